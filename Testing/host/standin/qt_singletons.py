"""None made as good as immortal, because PySide6 does not count its references to it.

Measured with PySide6 6.12.0 on Python 3.11: every method that answers None takes one reference too many from None
(`spin.setValue(3)` 500 times: 500 fewer), and after some ten thousand calls the interpreter aborts with "deallocating
None". The wheel was built for Pythons (3.12 and newer) where None is immortal and is not counted at all. True, False
and NotImplemented do not lose any.
"""

from __future__ import annotations

import ctypes
import sys

# Far more than any process can lose, far from the limit of a signed 64-bit number.
RESERVE = 1 << 40


def reserve() -> None:
    """Add to the reference count of None, once per process and only where Python counts it."""
    if sys.version_info < (3, 12) and sys.getrefcount(None) < RESERVE // 2:
        ctypes.c_ssize_t.from_address(id(None)).value += RESERVE
