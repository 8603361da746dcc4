"""The life of a worker: hello, then one job after the other, until the input ends.

Three threads of its own: the main one waits for the end (and for signals), one reads requests, one does jobs in turn,
each in yet another thread, so that a job deep in native code can be given up when it is cancelled. Whatever they do,
the end of the input ends the process: nobody is left to compute for.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from types import FrameType
from typing import Any

from samprompt.contract.errors import Cancelled
from samprompt.contract.wire import WireError, from_line
from samprompt.contract.worker import (
    CancelRequest,
    Failure,
    JobRequest,
    QuitRequest,
    Released,
    ReleaseRequest,
    Result,
)
from samprompt.worker.channel import Channel
from samprompt.worker.context import Context
from samprompt.worker.failures import failure_of
from samprompt.worker.hello import hello
from samprompt.worker.jobs import EXCLUSIVE, Jobs

PATIENCE = 0.7  # seconds that a cancelled job has to notice before it is given up
_STACK = 16 << 20  # bytes; macOS gives threads too little for deep native code
_TERMINATED = 128 + 15


def serve(channel: Channel) -> int:
    """Serve until the input ends; does not come back but ends the process."""
    faulthandler.enable()  # a crash in native code leaves its place in the panel's log
    threading.stack_size(_STACK)
    worker = Worker(channel)
    worker.start()
    code = worker.wait()
    worker.tidy()
    sys.stderr.flush()
    os._exit(code)  # at once, even while native code runs in another thread


class Worker:
    """Takes requests, does jobs, answers."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._jobs = Jobs()
        self._queue: queue.SimpleQueue[Context | ReleaseRequest] = queue.SimpleQueue()
        self._active: dict[str, Context] = {}
        self._given_up: list[Context] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._code = 0
        channel.on_closed = self._ended.set

    def start(self) -> None:
        """Start the threads; say hello."""
        for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", None)):
            if number is not None:
                signal.signal(number, self._terminate)
        for target in (self._read, self._work):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        while not self._ended.wait(3600.0):  # a wait without limit cannot be interrupted on Windows
            pass
        return self._code

    def tidy(self) -> None:
        """Remove what unfinished jobs have written; let out what was answered."""
        with self._lock:
            contexts = [*self._active.values(), *self._given_up]
        for context in contexts:
            context.close()
        self._channel.flush(0.2)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self._code = _TERMINATED
        self._ended.set()

    # --- requests -----------------------------------------------------------------------------------------------------
    def _read(self) -> None:
        try:
            for line in self._channel.lines():
                if not self._take(line):
                    break
        finally:
            self._ended.set()

    def _take(self, line: bytes) -> bool:
        """Act on one line; False to end."""
        try:
            request = from_line(line)
        except WireError as error:
            self._channel.send(Failure(_job_named_in(line), error.code, error.message, "See the worker's log."))
            return True
        if isinstance(request, JobRequest):
            self._accept(request)
        elif isinstance(request, CancelRequest):
            self._cancel(request.id)
        elif isinstance(request, ReleaseRequest):
            self._queue.put(request)
        elif isinstance(request, QuitRequest):
            return False
        else:
            text = f"A worker takes no message of type {request.type!r}."
            self._channel.send(Failure("", WireError.code, text))
        return True

    def _accept(self, request: JobRequest) -> None:
        context = Context(request.id, request.kind, request.job, self._channel.send)
        with self._lock:
            taken = request.id in self._active
            if not taken:
                self._active[request.id] = context
        if taken:  # an answer under that name would end the other job
            self._channel.send(Failure("", WireError.code, f"There is a job {request.id!r} already."))
        else:
            self._queue.put(context)

    def _cancel(self, job: str) -> None:
        with self._lock:
            context = self._active.get(job)
        if context is not None:  # else it has just been answered
            context.cancel()
            if not context.started:
                self._end(context, _cancelled(job))

    # --- jobs ---------------------------------------------------------------------------------------------------------
    def _work(self) -> None:
        """Say hello, then do what is asked, in turn."""
        try:
            greeting = hello()
            self._jobs.missing = greeting.missing
            self._channel.send(greeting)
            while True:
                asked = self._queue.get()
                if isinstance(asked, ReleaseRequest):
                    self._wait_for_given_up()
                    self._channel.send(Released(self._jobs.release()))
                else:
                    self._run(asked)
        except BaseException as error:
            self._channel.send(failure_of("", error))
            self._code = 1
            self._ended.set()

    def _run(self, context: Context) -> None:
        """Do one job; come back when it is answered."""
        if context.kind in EXCLUSIVE:
            self._wait_for_given_up()
        if not context.start():
            return  # cancelled and answered while it waited
        threading.Thread(target=self._do, args=(context,), name=f"job {context.id}", daemon=True).start()
        context.changed.wait()
        if not context.finished.wait(PATIENCE):
            if not context.cancelled:
                context.finished.wait()
            else:
                with self._lock:
                    self._given_up.append(context)
                context.close()
                self._end(context, _cancelled(context.id))

    def _do(self, context: Context) -> None:
        """The job itself, on a thread of its own."""
        answer: Result | Failure
        try:
            answer = self._jobs.do(context)
        except BaseException as error:
            context.close()
            answer = failure_of(context.id, error)
            if answer.code == "memory":
                self._jobs.forget()
            if answer.detail:
                print(answer.detail, file=sys.stderr, flush=True)
        try:
            self._end(context, answer)
        except WireError as error:
            self._end(context, failure_of(context.id, error))
        finally:
            context.finished.set()
            context.changed.set()

    def _end(self, context: Context, answer: Result | Failure) -> None:
        """Answer a job, once."""
        context.answer(answer)
        with self._lock:
            if self._active.get(context.id) is context:
                del self._active[context.id]

    def _wait_for_given_up(self) -> None:
        """Until every job that was given up has noticed: models and GPU are theirs so long."""
        with self._lock:
            waiting, self._given_up = self._given_up, []
        for context in waiting:
            if context.kind in EXCLUSIVE:
                context.finished.wait()


def _cancelled(job: str) -> Failure:
    return failure_of(job, Cancelled("Cancelled.", "Finished visits are kept."))


def _job_named_in(line: bytes) -> str:
    """The id in a line that is no valid request, so that its sender does not wait for ever; "" where there is none."""
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    if isinstance(data, dict) and data.get("type") == "job" and isinstance(data.get("id"), str):
        return str(data["id"])
    return ""
