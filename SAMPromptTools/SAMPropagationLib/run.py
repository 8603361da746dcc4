"""One propagation from Apply to its end: a state machine driven by small steps on the main thread, never blocking."""

from dataclasses import dataclass, field

PREPARING, COMPUTING, IMPORTING = "preparing", "computing", "importing"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
WAITING = "waiting"
OVER = (DONE, FAILED, CANCELLED)
PREPARATION_SHARE = 0.05


@dataclass
class VisitState:
    """Where one follow-up stands.

    ``state``: waiting, computing, importing, done, failed or cancelled. ``stage`` is what is being done, in words;
    ``done`` of ``total`` steps of it (0, 0 where there is no number). ``resultId`` is the segmentation node's ID once
    it was imported, ``message`` says why a visit has none.
    """

    nodeId: str
    name: str
    state: str = WAITING
    stage: str = ""
    done: int = 0
    total: int = 0
    resultId: str = ""
    message: str = ""
    stages: int = 0  # of computing that were entered

    @property
    def share(self) -> float:
        """How much of the visit is done, in [0, 1], as far as that can be told."""
        if self.state in OVER:
            return 1.0
        if self.state == IMPORTING:
            return 0.95
        if self.state != COMPUTING:
            return 0.0
        within = self.done / self.total if self.total else 0.0
        return 0.9 * (1.0 - 0.85 ** (max(0, self.stages - 1) + within))


@dataclass
class Run:
    """One propagation.

    ``state`` goes "preparing" -> "computing" -> "importing" -> "done", or ends as "failed" or "cancelled". ``error`` is
    a ``samprompt.contract.worker.Failure`` (code, message, hint) unless it is done. ``stage`` says in words what is
    being done before the first visit. ``notes`` are remarks of the worker and of the import for the user.
    """

    id: str
    parametersId: str
    visits: list[VisitState]
    state: str = PREPARING
    stage: str = ""
    error: object = None
    notes: list[str] = field(default_factory=list)
    provenance: dict = field(default_factory=dict)
    started: str = ""
    ended: str = ""
    preparation: float = 0.0  # share of the preparation that is done
    reached: float = 0.0  # the highest progress that was told

    @property
    def isOver(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in OVER

    @property
    def progress(self) -> float:
        """How much is done, in [0, 1]; never goes back.

        Nobody knows beforehand how many steps a visit takes: each stage that is reached takes a part of what is left.
        """
        shares = [visit.share for visit in self.visits]
        now = PREPARATION_SHARE * self.preparation + (1 - PREPARATION_SHARE) * sum(shares) / max(1, len(shares))
        self.reached = 1.0 if self.state == DONE else max(self.reached, min(now, 0.99))
        return self.reached

    def record(self) -> dict:
        """JSON-ready, for the parameter node: what is shown of a run after its scene was saved and loaded."""
        error = self.error
        return {
            "id": self.id,
            "state": self.state,
            "started": self.started,
            "ended": self.ended,
            "message": error.message if error is not None else "",
            "hint": error.hint if error is not None else "",
            "notes": list(self.notes),
            "visits": [{"name": visit.name, "state": visit.state, "message": visit.message} for visit in self.visits],
        }
