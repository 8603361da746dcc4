"""How a long computation says where it is, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable

from samprompt.contract.errors import Cancelled


class Progress:
    """Told of every stage; raises ``Cancelled`` at the next step after ``cancel`` was called.

    ``report`` gets the stage in words, the steps done and the steps in all. Long loops call ``step`` often enough that
    a cancel is felt within a second.
    """

    def __init__(self, report: Callable[[str, int, int], None] | None = None) -> None:
        self._report = report
        self._cancelled = False

    def cancel(self) -> None:
        """Ask the computation to stop; may be called from another thread or a signal handler."""
        self._cancelled = True

    def step(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say where the computation is.

        Raises:
            Cancelled: ``cancel`` was called since the last step.
        """
        if self._cancelled:
            raise Cancelled("Cancelled.", "Nothing was written for the visit that was being computed.")
        if self._report is not None:
            self._report(stage, done, total)
