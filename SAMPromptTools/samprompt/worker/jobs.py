"""The kinds of jobs and their functions; what a kind needs is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from samprompt.contract.errors import EnvironmentProblem
from samprompt.contract.worker import Result
from samprompt.worker.context import Context
from samprompt.worker.packages import NEEDED
from samprompt.worker.validation import job_of

# Jobs that share models and the GPU: one that was given up must have ended before the next of them begins.
EXCLUSIVE = ("propagate",)

JobFunction = Callable[[Any, Context, Any], Result]


class Jobs:
    """Does jobs one after the other; keeps models and embeddings between them."""

    def __init__(self, missing: tuple[str, ...] = ()) -> None:
        self.missing = missing
        self._kept: Any = None

    def do(self, context: Context) -> Result:
        """Check the request and do the job.

        Raises:
            ParameterError: the request makes no sense.
            EnvironmentProblem: a package that this kind of job needs is missing.
            SamPromptError: as the job's own function.
        """
        context.progress.step("starting")
        job = job_of(context.kind, context.data)
        absent = [name for name in NEEDED[context.kind] if name in self.missing]
        if absent:
            raise EnvironmentProblem(
                f"Python packages are missing or broken: {', '.join(absent)}.",
                "Let the panel install them, or install them by hand into the Python that computes.",
            )
        function, keeps = _function(context.kind)
        if keeps and self._kept is None:
            from samprompt.worker.cache import Kept

            self._kept = Kept()
        return function(job, context, self._kept)

    def forget(self) -> None:
        """Let go of embeddings and images (memory ran out); the model stays."""
        if self._kept is not None:
            self._kept.forget()

    def release(self) -> float:
        """Let go of everything; MiB of the GPU that this freed."""
        return float(self._kept.release()) if self._kept is not None else 0.0


def _function(kind: str) -> tuple[JobFunction, bool]:
    """The function of a kind, and whether it uses what is kept between jobs."""
    if kind == "propagate":
        from samprompt.worker.propagate_job import propagate

        return propagate, True
    if kind == "download":
        from samprompt.worker.download_job import download

        return download, False
    from samprompt.worker.sample_job import sample_patient

    return sample_patient, False
