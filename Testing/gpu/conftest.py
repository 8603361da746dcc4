"""The places that tests run at: the CPU, a stand-in for a GPU, and CUDA where there is a card."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "gpu_parts"))
sys.path.append(str(Path(__file__).parents[1] / "training" / "adapt"))

import gpu_models
from module_by_path import module_by_path
from samprompt.contract.errors import EnvironmentProblem
from standin_device import ELSEWHERE, StandInDevice
from torch.utils._python_dispatch import _get_current_dispatch_mode

NO_CUDA = "no CUDA device"
_TESTING = Path(__file__).resolve().parents[1]


def _opened(name: str) -> Iterator[torch.device]:
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip(NO_CUDA)
    if name == "stand-in":
        with StandInDevice():
            yield ELSEWHERE
    else:
        yield torch.device(name, 0) if name == "cuda" else torch.device(name)


@pytest.fixture(params=["cpu", "stand-in", "cuda"])
def place(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Every kind of device in turn."""
    yield from _opened(request.param)


@pytest.fixture(params=["stand-in", "cuda"])
def accelerator(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """What is not the CPU."""
    yield from _opened(request.param)


@pytest.fixture(params=["cpu", "cuda"])
def real(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Devices with kernels, autocast and memory of their own."""
    yield from _opened(request.param)


@pytest.fixture(scope="session")
def allocated() -> Callable[[torch.device], int]:
    """``allocated(device)``: bytes of the tensors that are alive there."""

    def count(device: torch.device) -> int:
        gc.collect()
        if device.type == "cuda":
            torch._C._cuda_clearCublasWorkspaces()  # the library's own, which it keeps
            return torch.cuda.memory_allocated(device)
        if device == ELSEWHERE:
            mode: Any = _get_current_dispatch_mode()
            found: int = mode.device.allocated()
            return found
        alive = [t.untyped_storage() for t in gc.get_objects() if type(t) is torch.Tensor and t.device == device]
        return sum({s.data_ptr(): s.nbytes() for s in alive}.values())

    return count


@pytest.fixture
def build() -> Callable[[str, torch.device], Any]:
    """``build(name, device)``: a backbone of ``gpu_models``; skips where its package is not installed."""

    def made(name: str, device: torch.device) -> Any:
        try:
            return gpu_models.build(name, device)
        except EnvironmentProblem as error:
            pytest.skip(error.message)

    return made


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Full precision on CUDA too: no bfloat16, and no TF32 in convolutions (matrix products have none by default)."""
    for module in ("sam", "sam2"):
        monkeypatch.setattr(f"samprompt.models.{module}.autocast", lambda _device: contextlib.nullcontext())
    now = torch.backends.cudnn
    with now.flags(now.enabled, now.benchmark, now.benchmark_limit, now.deterministic, allow_tf32=False):
        yield


@pytest.fixture(scope="session")
def phantom() -> ModuleType:
    """The phantom patient of the propagation tests."""
    return module_by_path("gpu_phantom", _TESTING / "backend" / "propagation" / "phantom.py")


@pytest.fixture(scope="session")
def panel() -> ModuleType:
    """The panel's side of a worker process, as the worker's own tests have it."""
    return module_by_path("gpu_worker_conftest", _TESTING / "backend" / "worker" / "conftest.py")


@pytest.fixture(scope="session")
def prompts() -> ModuleType:
    """Prompts of every kind, as the models' own tests have them."""
    return module_by_path("gpu_prompts", _TESTING / "backend" / "models" / "prompts_for_tests.py")
