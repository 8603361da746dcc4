"""How every library says that memory ran out; standard library only."""

from __future__ import annotations

import errno

# The CPU allocator of torch, C++ itself on each system (so ITK and VTK), CUDA, cuDNN and cuBLAS.
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad allocation",
    "bad_alloc",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out: of Python, numpy, torch on any device, C++, or the system."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)
