"""What the worker's jobs need beside the standard library, and whether it is there."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util

# Distribution (as pip calls it) -> module. Modules that are imported for real are those whose binaries may not fit the
# rest; the others are only looked for, since importing them all takes seconds.
MODULES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "torchvision": "torchvision",
    "segment-anything": "segment_anything",
    "scikit-learn": "sklearn",
    "POT": "ot",
    "pydantic": "pydantic",
    "safetensors": "safetensors",
}
OPTIONAL = {"sam2": "sam2"}  # told when they are there, never missed
TRIED = ("numpy", "scipy", "torch", "pydantic")
NEEDED = {
    "propagate": tuple(MODULES),
    "download": ("numpy", "torch", "torchvision", "segment-anything", "safetensors"),
    "sample-patient": ("numpy", "scipy"),
}


def look() -> tuple[dict[str, str], tuple[str, ...], str]:
    """Versions of the packages that are there, the names of those that are not, and what the first of them says."""
    versions: dict[str, str] = {}
    missing: list[str] = []
    problem = ""
    for name, module in (MODULES | OPTIONAL).items():
        reason = _reason(name, module)
        if not reason:
            versions[name] = _version(name)
        elif name not in OPTIONAL:
            missing.append(name)
            problem = problem or reason
    return versions, tuple(missing), problem


def _reason(name: str, module: str) -> str:
    """Why a package cannot be used; "" when it can."""
    try:
        if name in TRIED:
            importlib.import_module(module)
        elif importlib.util.find_spec(module) is None:
            return f"There is no package {name}."
    except Exception as error:  # a broken binary raises what it likes: OSError, AttributeError, RuntimeError
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"{name} cannot be used: {text}"
    return ""


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
