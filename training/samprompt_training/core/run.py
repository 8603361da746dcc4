"""One call of the loop: its steps, and every way to stop and to go on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import yaml
from accelerate.utils import send_to_device
from samprompt.contract.errors import Cancelled, OutputError, SamPromptError
from samprompt.contract.progress import Progress
from samprompt.io.atomic import replacing

from samprompt_training.core.average import Average
from samprompt_training.core.checkpoint import (
    State,
    check_same_run,
    own_weights,
    put_weights,
    read_checkpoint,
    run_identity,
    with_later_keys,
    write_checkpoint,
)
from samprompt_training.core.loading import Loading
from samprompt_training.core.outcome import Outcome, Status, cancelled_at
from samprompt_training.core.processes import Processes
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.core.reporting import Events, Log, cancelled_by
from samprompt_training.core.schedule import rate_at
from samprompt_training.core.tally import Tally
from samprompt_training.core.task import Task
from samprompt_training.core.updates import Updates
from samprompt_training.core.validation import BEST, LAST, Validation


class Run:
    """A task and where its training stands; ``close`` it at the end."""

    def __init__(self, task: Task, recipe: LoopRecipe, out: Path, tensorboard: bool, device: str) -> None:
        self._task, self._recipe, self._out = task, recipe, out
        self._processes = Processes(recipe, device)
        self._checkpoint = out / "checkpoint.pt"
        self._identity = run_identity(recipe, self._processes.world)
        self._state, self._saved = State(), (-1, -1)
        self._log: Log | None = None
        self._loading: Loading | None = None
        self._last_loss: float | None = None
        self._tally = Tally()
        self._updates = Updates(task, recipe, self._processes)
        try:
            self._average = Average(task.trained, recipe.ema) if recipe.ema > 0 else None
            self._validation = Validation(task, recipe, out, self._average, self._processes)
            self._resume()
            self._processes.on_main(lambda: self._open(tensorboard))
        except BaseException:
            self.close()
            raise
        self._began = time.monotonic() - self._state.seconds

    # --- going on from what is there ----------------------------------------------------------------------------------
    def _resume(self) -> None:
        """Take everything from the checkpoint where there is one; the main process reads it for all."""
        found = self._processes.on_main(self._read)
        if found is None:
            return
        content, self._state = found
        put_weights(self._task.trained, content["weights"], self._checkpoint)
        self._updates.load(content["updates"])
        if self._average is not None:
            self._average.load(content["average"])
        if "since_line" in content:  # checkpoints of earlier versions have none
            self._tally.load(content["since_line"], self._processes.main)
        self._saved = (self._state.step, self._state.validated)

    def _read(self) -> tuple[dict[str, Any], State] | None:
        if not self._checkpoint.exists():
            return None
        content, state = read_checkpoint(self._checkpoint)
        check_same_run(self._checkpoint, with_later_keys(content["identity"], self._recipe), self._identity)
        return content, state

    def _open(self, tensorboard: bool) -> None:
        with replacing(self._out / "recipe.yaml") as temporary:
            text = yaml.safe_dump(self._recipe.model_dump(mode="json"), sort_keys=False)
            temporary.write_text(text, encoding="utf-8")
        self._log = Log(self._out, self._state.log_length, self._state.step, tensorboard)

    def close(self) -> None:
        """Close files, end the loading of data, and give the task's module back as it came."""
        with ExitStack() as stack:
            stack.callback(self._updates.close)
            for opened in (self._log, self._loading):
                if opened is not None:
                    stack.callback(opened.close)

    # --- the loop -----------------------------------------------------------------------------------------------------
    def go(
        self,
        progress: Progress,
        report: Callable[[dict[str, Any]], None] | None,
        stop_at: int | None,
        stop_after_minutes: float | None,
    ) -> Outcome:
        """Steps until the end or a reason to stop."""
        recipe, state, processes = self._recipe, self._state, self._processes
        events = Events(report if processes.main else None, state.step, recipe.steps)
        until = math.inf if stop_after_minutes is None else time.monotonic() + 60.0 * stop_after_minutes
        while True:
            asked, late = processes.any(cancelled_by(progress, state.step, recipe.steps), time.monotonic() >= until)
            cancelled = asked or not self._validated(events)
            ended = None if cancelled else self._ended(stop_at)
            if ended == "early stop" and self._tally.means.updates > 0:
                self._write_means()
                self._saved = (-1, -1)  # the checkpoint at this step, if there is one, counts without that line
            gained = state.best is not None and state.best["step"] == state.step
            if cancelled or late or gained or ended is not None or state.step % recipe.checkpoint_every == 0:
                self._save()
            if cancelled:
                raise cancelled_at(state.step, recipe.steps, self._out)
            if late or ended is not None:
                return self._outcome(ended or "paused")
            self._step(progress)
            events.tell(state.step, self._last_loss, rate_at(state.step - 1, recipe), state.best)

    def _validated(self, events: Events) -> bool:
        """Validate when it is due; False when that was cancelled, and is due again after a resume."""
        state, recipe = self._state, self._recipe
        due = state.step > 0 and (state.step % recipe.validate_every == 0 or state.step == recipe.steps)
        if due and state.validated < state.step:
            try:
                state.best, state.waited = self._processes.on_main(self._judge)
            except Cancelled:
                return False
            state.validated = state.step
            events.tell(state.step, self._last_loss, rate_at(state.step - 1, recipe), state.best, now=True)
        return True

    def _judge(self) -> tuple[dict[str, Any] | None, int]:
        found = self._validation.judge(self._state)
        self._write({"step": self._state.step, "metrics": found.figures, "best": found.gained})
        return found.best, found.waited

    def _ended(self, stop_at: int | None) -> Status | None:
        if self._state.step >= self._recipe.steps:
            return "finished"
        if 0 < self._recipe.patience <= self._state.waited:
            return "early stop"
        return "paused" if stop_at is not None and self._state.step >= stop_at else None

    def _step(self, progress: Progress) -> None:
        """One step: its batches, its updates, the average, and a line of the log when one is due."""
        state, tally = self._state, self._tally
        with tally.measure("loop"):
            with tally.measure("data"):
                batches = self._load(progress)
            with tally.measure("compute"):
                self._updates.step(state.step, batches, tally.means, self._kept())
                state.step += 1
                if self._average is not None:
                    self._average.update(state.step)
        self._last_loss = tally.means.last
        state.seconds = time.monotonic() - self._began
        if state.step % self._recipe.log_every == 0 or state.step == self._recipe.steps:
            self._write_means()

    def _kept(self) -> str:
        """What a user has left when a step fails."""
        step = self._saved[0]
        return f"The checkpoint of step {step} in {self._out} is kept." if step > 0 else "There is no checkpoint yet."

    # --- its data -----------------------------------------------------------------------------------------------------
    def _load(self, progress: Progress) -> list[Any]:
        """The batches of a step; what keeps them from one process ends the step on all, with a checkpoint."""
        step, count, processes = self._state.step, self._recipe.accumulate, self._processes
        batches: list[Any] = []
        error: SamPromptError | None = None
        try:
            if self._loading is None:
                self._loading = Loading(self._task.batches(step * count, processes.rank, processes.world))
            for _ in range(count):
                batch = self._loading.next(f"at step {step + 1} of {self._recipe.steps}")
                batches.append(send_to_device(batch, processes.device, non_blocking=True))
        except SamPromptError as found:
            error = found
        (failed,) = processes.any(error is not None)
        if failed:
            raise self._unloaded(error, progress)
        return batches

    def _unloaded(self, error: SamPromptError | None, progress: Progress) -> SamPromptError:
        """The first process's error, or that it was cancelled; no update has begun, so the state is whole."""
        step, steps = self._state.step, self._recipe.steps
        told = self._processes.gather((error, cancelled_by(progress, step, steps)))
        if any(cancelled for _, cancelled in told):
            self._save()
            return cancelled_at(step, steps, self._out)
        with suppress(OutputError):  # why the loading ended says more
            self._save()
        first: SamPromptError = next(found for found, _ in told if found is not None)
        first.hint = f"{first.hint} {self._kept()}".strip()
        return first

    # --- what is written ----------------------------------------------------------------------------------------------
    def _write_means(self) -> None:
        entry = {
            "step": self._state.step,
            "seconds": round(self._state.seconds, 3),
            "rate": rate_at(self._state.step - 1, self._recipe),
            **self._tally.line(self._processes.gather(self._tally.means.parts())),
        }
        self._processes.on_main(lambda: self._write(entry))

    def _write(self, entry: dict[str, Any]) -> None:
        assert self._log is not None, "only the main process writes"
        self._log.write(entry)

    def _save(self) -> None:
        """Write a checkpoint, if there is anything that the last one does not have."""
        now = self._state.step, self._state.validated
        if self._state.step == 0 or self._saved == now:
            return
        since_line = self._tally.kept(self._processes.gather(self._tally.means.parts()))
        self._processes.on_main(lambda: self._save_on_main(since_line))
        self._saved = now

    def _save_on_main(self, since_line: dict[str, Any]) -> None:
        assert self._log is not None, "only the main process writes"
        self._state.log_length = self._log.to_disk()
        content = {
            "identity": self._identity,
            "weights": own_weights(self._task.trained),
            "average": self._average.values if self._average is not None else {},
            "updates": self._updates.state(),
            "since_line": since_line,
        }
        write_checkpoint(self._checkpoint, content, self._state)

    # --- ends ---------------------------------------------------------------------------------------------------------
    def _outcome(self, status: Status) -> Outcome:
        state, clock = self._state, self._tally.total
        notes = {"step": str(state.step)}
        last = self._processes.on_main(lambda: self._validation.export(LAST, notes))
        weights = self._out / BEST if state.best is not None else last
        return Outcome(state.step, status, state.best, weights, state.seconds, clock.data, clock.compute, clock.loop)
