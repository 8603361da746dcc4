"""A device that is not the CPU, on a machine that has none: it finds tensors of two devices in one computation.

Tensors on it really compute (on the CPU, in the same kernels), but say that they are elsewhere, on torch's "meta"
device. So code runs on it as on a GPU as far as places go: what CUDA refuses is refused (a CPU tensor and one from
elsewhere in one operation, ``numpy()`` of one from elsewhere), and what makes the processor wait for a GPU is counted
(a number read, a mask as index, a copy). It has neither bfloat16 autocast nor the GPU's own kernels.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import lru_cache
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ELSEWHERE = torch.device("meta")
_OURS = ("samprompt.", "samprompt_training.")
_READS = ("aten::_local_scalar_dense", "aten::item", "aten::equal", "aten::is_nonzero")
_SIZES = ("aten::nonzero", "aten::masked_select", "aten::unique", "aten::_unique2", "aten::bincount")
_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
_COPYING = ("aten::copy_", "aten::_to_copy", "aten::_foreach_copy_")


class Elsewhere(torch.Tensor):
    """A tensor that says it is on ``ELSEWHERE``; ``inner`` holds its numbers, on the CPU."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Elsewhere:
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=ELSEWHERE
        )
        return made

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError("a tensor of the stand-in device was used outside of it")


class StandInDevice:
    """A context in which ``ELSEWHERE`` computes.

    ``waits`` counts what would make the processor wait for a GPU, by kind and place in our code. With ``strict`` a
    mistake raises; without, it is noted in ``mistakes`` and the computation goes on, so that all are found at once.
    """

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.mistakes: Counter[str] = Counter()
        self.waits: Counter[tuple[str, str]] = Counter()
        self._alive: weakref.WeakSet[Elsewhere] = weakref.WeakSet()
        self._stack = ExitStack()

    def __enter__(self) -> StandInDevice:
        autocast = torch.autocast

        def cast(device_type: str, *args: Any, **kwargs: Any) -> Any:
            return nullcontext() if device_type == ELSEWHERE.type else autocast(device_type, *args, **kwargs)

        self._stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        self._stack.enter_context(mock.patch.object(torch, "autocast", cast))
        # tensors of a class of one's own have no views in inference mode; without gradients it is the same otherwise
        for name in ("__enter__", "__exit__"):
            change = getattr(torch.no_grad, name)
            self._stack.enter_context(mock.patch.object(torch.inference_mode, name, change))
        self._stack.enter_context(_Calls(self))
        self._stack.enter_context(_Computing(self))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def allocated(self) -> int:
        """Bytes of all tensors that live there, each storage counted once."""
        storages = [t.inner.untyped_storage() for t in self._alive]
        return sum({s.data_ptr(): s.nbytes() for s in storages}.values())

    def place(self, tensor: torch.Tensor) -> Elsewhere:
        """The same numbers, elsewhere."""
        made = Elsewhere(tensor)
        self._alive.add(made)
        return made

    def wait(self, kind: str) -> None:
        """Count something that waits."""
        self.waits[kind, _where()] += 1

    def mistake(self, what: str) -> None:
        """Refuse, or note."""
        if self.strict:
            raise RuntimeError(f"{what} at {_where()}")
        self.mistakes[f"{_where()}: {what}"] += 1


class _Generator(torch.Generator):
    """Numbers for ``ELSEWHERE`` are drawn on the CPU."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made: _Generator = super().__new__(cls, "cpu" if torch.device(device) == ELSEWHERE else device)
        return made


class _Computing(TorchDispatchMode):
    """Runs every operation on the CPU and puts its results where they belong."""

    def __init__(self, device: StandInDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if _is_made_of_others(func):  # of tensors made in inference mode they come whole
            with self:
                return func.decompose(*args, **kwargs)
        tensors = list(_tensors((*args, *kwargs.values())))
        there = any(isinstance(t, Elsewhere) for t in tensors)
        wanted = kwargs.get("device")
        goes = there if wanted is None else torch.device(wanted).type == ELSEWHERE.type
        if wanted is not None and goes:
            kwargs["device"] = torch.device("cpu")
        if there or goes:
            self._judge(func, args, tensors, goes)
        found = func(*_mapped(_inner, args), **{name: _mapped(_inner, value) for name, value in kwargs.items()})
        if func._schema.is_mutable:
            return _as_given(func, args, kwargs, found)
        return _mapped(self.device.place, found) if goes else found

    def _judge(self, func: Any, args: Any, tensors: list[torch.Tensor], goes: bool) -> None:
        """Refuse two devices in one operation, and count what waits."""
        name = func._schema.name
        here = [t for t in tensors if not isinstance(t, Elsewhere)]
        if name in _COPYING:
            if name != "aten::_to_copy":
                goes = isinstance(next(_tensors(args)), Elsewhere)
            if goes and here:
                self.device.wait("copied to the device")
            elif not goes:
                self.device.wait("copied to the CPU")
            return
        if name in _READS:
            self.device.wait("a number is read")
        elif name in _SIZES:
            self.device.wait("a result's size is read")
        elif name in _INDEXING:
            if any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1]):
                self.device.wait("a mask is an index")
            elif any(t is not None and not isinstance(t, Elsewhere) for t in args[1]):
                self.device.wait("copied to the device")
            # an index may lie on the CPU, as CUDA has it; the tensor that is indexed and what is put in may not
            here = [t for t in (args[0], *args[2:3]) if isinstance(t, torch.Tensor) and not isinstance(t, Elsewhere)]
        wrong = [t for t in here if t.ndim > 0]  # a CPU number of no dimension is allowed
        if wrong:
            shapes = ", ".join(str(tuple(t.shape)) for t in wrong)
            self.device.mistake(f"{name} of a tensor on the device and one on the CPU {shapes}")


class _Calls(TorchFunctionMode):
    """The few functions that do not come to the dispatcher, or would go round it."""

    def __init__(self, device: StandInDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        elsewhere = bool(args) and isinstance(args[0], Elsewhere)
        if func is torch.Tensor.tolist and elsewhere:
            self.device.wait("a number is read")
            return args[0].inner.tolist()
        if func in (torch.Tensor.numpy, torch.Tensor.__array__) and elsewhere:
            self.device.mistake("numpy() of a tensor on the device")
            return args[0].inner.numpy()
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == ELSEWHERE:
            # torch itself takes a short cut to tensors without numbers
            del kwargs["device"]
            return func(*args, **kwargs).to(ELSEWHERE)
        return func(*args, **kwargs)


@lru_cache(maxsize=4096)
def _is_made_of_others(func: Any) -> bool:
    composite = "CompositeImplicitAutograd"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), composite))


def _inner(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.inner if isinstance(tensor, Elsewhere) else tensor


def _mapped(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """``value`` with every tensor in it changed; torch's own way to do so takes longer than the operations here."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(change, one) for one in value)  # type: ignore[call-arg]
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def _as_given(func: Any, args: Any, kwargs: dict[str, Any], found: Any) -> Any:
    """What an operation that changes its arguments gives back: the arguments themselves."""
    names = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if found is None or not func._schema.returns:
        return None
    given = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | kwargs
    changed = [given[name] for name in names]
    return changed[0] if len(changed) == 1 else tuple(changed)


def _where() -> str:
    """File and line of the innermost frame of our own code."""
    frame = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OURS):
            return f"{module.replace('.', '/')}.py:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"
