"""Installing Python packages, recorded instead of done: `slicer.packaging` (5.12), pip of slicer.util, PyTorchUtils.

A test sets what the host's `packages` pretends (installed, failing) and reads what was asked of it. Signatures and
behaviour follow Slicer's Base/Python/slicer/packaging.py and the extension SlicerPyTorch's PyTorchUtils.py.
"""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from packaging.markers import default_environment
from packaging.requirements import Requirement


@dataclass
class Packages:
    """What is pretended, and the record.

    pretend: package name -> version, or None for "not installed"; others are looked up as they are.
    fails: name of a package whose installation fails (pip's exit code 1). confirm_torch: the answer to PyTorchUtils'
    question. installs: arguments of every pip install, in order. torch_requests: those of installTorch.
    """

    pretend: dict[str, str | None] = field(default_factory=dict)
    fails: str = ""
    confirm_torch: bool = True
    installs: list[dict[str, Any]] = field(default_factory=list)
    torch_requests: list[dict[str, Any]] = field(default_factory=list)

    def version(self, name: str) -> str | None:
        """The version that is pretended or installed."""
        if name in self.pretend:
            return self.pretend[name]
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def install(self, requirements: str | list[str], constraints: Any = None) -> None:
        """Note it down, and pretend from then on that it is there. subprocess.CalledProcessError when it is to fail."""
        wanted = requirements.split() if isinstance(requirements, str) else list(requirements)
        self.installs.append({"requirements": wanted, "constraints": None if constraints is None else str(constraints)})
        if self.fails and any(one.startswith(self.fails) for one in wanted):
            raise subprocess.CalledProcessError(1, ["PythonSlicer", "-m", "pip", "install", *wanted])
        for one in wanted:
            if not one.startswith("-"):
                requirement = Requirement(one)
                exact = [spec.version for spec in requirement.specifier if spec.operator in ("==", ">=", "~=")]
                self.pretend[requirement.name] = exact[0] if exact else "1.0"


def load_requirements(path: str | Path) -> list[Requirement]:
    """Requirements of a file; comments, empty lines and pip's options are passed over."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def make_packaging_module(host: Any) -> types.ModuleType:
    """`slicer.packaging`, bound to the host's record."""
    module = types.ModuleType("slicer.packaging")
    module.__doc__ = "Stand-in for slicer.packaging: see slicer_packaging.py."

    def pip_check(req: Requirement | list[Requirement], _seen: set | None = None) -> bool:
        """Whether requirements are satisfied; those for another system count as such. Extras are not followed."""
        if isinstance(req, list):
            return all(pip_check(one) for one in req)
        if req.marker is not None and not req.marker.evaluate(default_environment()):
            return True
        installed = host.packages.version(req.name)
        return installed is not None and installed in req.specifier

    def pip_install(
        requirements: str | list[str],
        constraints: str | Path | None = None,
        no_deps_requirements: str | list[str] | None = None,
        skip_packages: list[str] | None = None,
        blocking: bool = True,
        show_progress: bool = True,
        requester: str | None = None,
        parent: Any = None,
        logCallback: Any = None,
        completedCallback: Any = None,
    ) -> list[str] | None:
        if skip_packages is not None and no_deps_requirements is not None:
            raise ValueError("skip_packages and no_deps_requirements are mutually exclusive.")
        if skip_packages is not None and not blocking:
            raise ValueError("skip_packages requires blocking=True.")
        if not blocking:
            raise NotImplementedError("the stand-in installs nothing in the background")
        if no_deps_requirements is not None:
            host.packages.install(no_deps_requirements, constraints)
        try:
            host.packages.install(requirements, constraints)
        except subprocess.CalledProcessError:
            if show_progress and not slicer.app.testingEnabled():
                slicer.util.errorDisplay("Package installation failed.")
            raise
        return None if skip_packages is None else []

    def pip_ensure(
        requirements: list[Requirement],
        constraints: str | Path | None = None,
        skip_packages: list[str] | None = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> list[str] | None:
        missing = [one for one in requirements if not pip_check(one)]
        if not missing:
            return None
        if skip_in_testing and slicer.app.testingEnabled():
            logging.info("Testing mode is enabled: skipping pip_ensure for %s", ", ".join(map(str, missing)))
            return None
        if prompt_install:
            title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
            count = f"{len(missing)} Python package{'s' if len(missing) > 1 else ''}"
            text = f"{count} to be installed.\n\nThis will modify Slicer's Python environment. Continue?"
            details = "\n".join(map(str, missing))
            if not slicer.util.confirmOkCancelDisplay(text, title, detailedText=details):
                raise RuntimeError("User declined package installation")
        return pip_install([str(one) for one in missing], constraints, skip_packages=skip_packages)

    module.load_requirements = load_requirements
    module.pip_check = pip_check
    module.pip_install = pip_install
    module.pip_ensure = pip_ensure
    module.Requirement = Requirement
    return module


def make_torch_module(host: Any) -> types.ModuleType:
    """`PyTorchUtils` of the extension PyTorch: only what is asked of it, never a torch in this process."""
    module = types.ModuleType("PyTorchUtils")

    class PyTorchUtilsLogic:
        def torchInstalled(self) -> bool:
            return host.packages.version("torch") is not None

        def installTorch(
            self,
            askConfirmation: bool = False,
            forceComputationBackend: str | None = None,
            torchVersionRequirement: str | None = None,
            torchvisionVersionRequirement: str | None = None,
        ) -> Any:
            """None when the user declines, as in PyTorchUtils; the real one answers with the imported torch."""
            host.packages.torch_requests.append(
                {"askConfirmation": askConfirmation, "torchVersionRequirement": torchVersionRequirement}
            )
            if askConfirmation and not slicer.app.testingEnabled():
                question = "PyTorch will be downloaded and installed. This may take several minutes. Continue?"
                if not slicer.util.confirmOkCancelDisplay(question):
                    return None
            if host.packages.fails == "torch":
                raise ValueError("PyTorch installation failed.")
            host.packages.pretend.update(torch="2.6.0", torchvision="0.21.0")
            return types.ModuleType("torch")

    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    return module


def switch_extension(host: Any, name: str, module: types.ModuleType, present: bool) -> None:
    """Make the module of an extension importable, and known to the extensions manager, or take it away."""
    if present:
        sys.modules[module.__name__] = module
        host.extensions.add(name)
    else:
        sys.modules.pop(module.__name__, None)
        host.extensions.discard(name)
