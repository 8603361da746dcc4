"""One request to the worker, as a panel sees it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from samprompt.contract.worker import Failure, Result

from SAMPromptCommonLib.signals import Signal

if TYPE_CHECKING:
    from SAMPromptCommonLib.client import WorkerClient


class Job:
    """Ends in exactly one of ``finished`` and ``failed``, whatever happens to the worker.

    ``state``: "waiting", "running", "done", "failed", "cancelled". ``result`` is set when it is done, ``failure`` when
    it failed or was cancelled (code "cancelled"). After ``cancel`` nothing but ``failed`` is emitted. No signal is
    emitted from inside ``WorkerClient.submit``: there is time to connect.
    """

    def __init__(self, client: WorkerClient, kind: str, request: Any) -> None:
        self.id = f"{kind}-{uuid.uuid4().hex[:12]}"
        self.kind = kind
        self.request = request
        self.state = "waiting"
        self.result: Result | None = None
        self.failure: Failure | None = None
        self.isCancelling = False
        self.progressed = Signal("ProgressMessage")
        self.visitReady = Signal("VisitReady")
        self.finished = Signal("Result")
        self.failed = Signal("Failure")
        self._client = client

    def __repr__(self) -> str:
        return f"Job({self.id}, {self.state})"

    @property
    def isOver(self) -> bool:
        """Whether it ended, one way or the other."""
        return self.state not in ("waiting", "running")

    def cancel(self) -> None:
        """Stop it; ``failed`` follows within some seconds, even when the worker no longer listens."""
        self._client.cancel(self)

    def end(self, outcome: Result | Failure) -> None:
        """For the client: note how it ended and tell; a second end is ignored."""
        if self.isOver:
            return
        if isinstance(outcome, Result):
            self.state, self.result = "done", outcome
            self.finished.emit(outcome)
        else:
            self.state, self.failure = ("cancelled" if outcome.code == "cancelled" else "failed"), outcome
            self.failed.emit(outcome)
