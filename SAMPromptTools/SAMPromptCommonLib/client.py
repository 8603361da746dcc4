"""The panels' one way to the worker process that computes for them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import slicer
from samprompt.contract.wire import WireError, to_data
from samprompt.contract.worker import (
    JOBS,
    CancelRequest,
    Failure,
    Hello,
    JobRequest,
    ProgressMessage,
    Released,
    ReleaseRequest,
    Result,
)

from SAMPromptCommonLib import failures
from SAMPromptCommonLib.connection import WorkerConnection
from SAMPromptCommonLib.job import Job
from SAMPromptCommonLib.process import Launch
from SAMPromptCommonLib.python import workerLaunch
from SAMPromptCommonLib.signals import Signal
from SAMPromptCommonLib.soon import Soon, milliseconds, timer
from SAMPromptCommonLib.users import Users

__all__ = ["Job", "WorkerClient"]

_SHARED = "samPromptToolsWorkerClient"  # on the module slicer: survives the reloading of this one


class WorkerClient:
    """Starts the worker when it is needed, sends it one job after the other, and tells what comes back.

    Everything happens on the main thread and returns at once; what comes back is told by signals, from Qt's event
    loop. ``state``: "stopped", "starting", "ready", "busy", "stopping". ``lastFailure`` says why there is no worker,
    when there should be one. A worker that crashed is started anew for the next job. While nobody uses it
    (``addUser``) it is stopped after ``idleTimeout`` seconds.

        client = WorkerClient.shared()
        job = client.submit("sample-patient", SamplePatientJob(folder))
        job.finished.connect(onResult)
        job.failed.connect(onFailure)
    """

    idleTimeout: ClassVar[float] = 600.0  # seconds
    cancelGrace: ClassVar[float] = 3.0  # seconds between asking to stop and killing

    @classmethod
    def shared(cls) -> WorkerClient:
        """The client that all panels of this Slicer share; ends its worker when Slicer quits."""
        client = getattr(slicer, _SHARED, None)
        if type(client) is not cls:
            if client is not None:  # of the class as it was before a developer reloaded the module
                client.dispose()
            client = cls()
            setattr(slicer, _SHARED, client)
            slicer.app.connect("aboutToQuit()", client.shutDown)
        return client

    def __init__(self, launch: Callable[[], Launch] = workerLaunch) -> None:
        self.state = "stopped"
        self.lastFailure: Failure | None = None
        self.stateChanged = Signal("str")
        self.logged = Signal("str")
        self.released = Signal("Released")
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._startAgain = False
        self._quitting = False
        self._users = Users()
        self._soon = Soon()
        self._cancelTimer = timer(self._onCancelNotHeard)
        self._idleTimer = timer(self._onIdle)
        self._connection = WorkerConnection(launch)
        self._connection.opened.connect(self._onOpened)
        self._connection.received.connect(self._onMessage)
        self._connection.lost.connect(self._onLost)
        self._connection.closed.connect(self._onClosed)
        self._connection.noted.connect(self.logged.emit)

    # --- what panels call ---------------------------------------------------------------------------------------------
    @property
    def hello(self) -> Hello | None:
        """What the worker said about itself; None while none is ready."""
        return self._connection.hello

    @property
    def log(self) -> tuple[str, ...]:
        """The last 200 lines that the worker wrote, for the details of an error."""
        return tuple(self._connection.log)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The running job and those that wait, in their order."""
        return (*([self._running] if self._running else ()), *self._waiting)

    def start(self) -> None:
        """Have the worker ready before it is needed."""
        if self._connection.state == "stopping":
            self._startAgain = True
        elif self.state == "stopped" and not self._quitting:
            self._connection.open()
            self._setState("starting")

    def submit(self, kind: str, request: Any) -> Job:
        """Queue a job; ``request`` is the dataclass that ``contract.worker.JOBS`` names for this ``kind``.

        Raises:
            TypeError: ``kind`` and ``request`` do not belong together.
        """
        if type(request) is not JOBS.get(kind):
            raise TypeError(f"A job of the kind {kind!r} is not described by a {type(request).__name__}.")
        job = Job(self, kind, request)
        if self._quitting:
            self._soon.do(lambda: job.end(failures.cancelled()))
            return job
        self._waiting.append(job)
        if self.state == "ready" and self.hello is not None and self.hello.missing:
            self.restart()  # it lacks packages, which may have been installed meanwhile
        self.start()
        self._soon.do(self._sendNext)
        return job

    def cancel(self, job: Job) -> None:
        """Stop ``job``; it fails with the code "cancelled", after ``cancelGrace`` seconds at the latest."""
        if job.isOver or job.isCancelling:
            return
        job.isCancelling = True
        if job is self._running:
            self._connection.send(CancelRequest(job.id))
            self._cancelTimer.start(milliseconds(self.cancelGrace))
        else:
            self._waiting = deque(one for one in self._waiting if one is not job)
            self._soon.do(lambda: job.end(failures.cancelled()))

    def release(self) -> bool:
        """Ask the worker to let go of the GPU and of what it keeps in memory; False: there is nothing to let go."""
        if self.state not in ("ready", "busy"):
            return False
        self._connection.send(ReleaseRequest())
        return True

    def restart(self) -> None:
        """End the worker and start a fresh one, because its Python changed; jobs that wait are kept."""
        if self.state == "stopped":
            return
        self._startAgain = True
        self._close(2.0)
        self._endRunning(failures.cancelled())

    def stop(self, graceSeconds: float = 2.0) -> None:
        """End the worker, after ``graceSeconds`` by force, without waiting for it; all jobs end as cancelled."""
        self._startAgain = False
        self._close(graceSeconds)
        self._endAll(failures.cancelled())

    def shutDown(self, seconds: float = 3.0) -> None:
        """End the worker and wait until it is gone, at most ``seconds``. Only for when Slicer quits: it blocks.

        What is submitted while it ends is cancelled; afterwards a worker can be started again.
        """
        self._quitting, self._startAgain = True, False
        self._connection.closeAndWait(seconds)
        self._cancelTimer.stop()
        self._idleTimer.stop()
        self._setState("stopped")
        self._endAll(failures.cancelled())
        self._soon.stop()
        self._soon.now()
        self._quitting = False

    def dispose(self) -> None:
        """Shut down and let go of everything; the client cannot be used afterwards."""
        self.shutDown()
        self._connection.dispose()
        self._soon.dispose()
        for one in (self._cancelTimer, self._idleTimer):
            one.deleteLater()
        if getattr(slicer, _SHARED, None) is self:
            slicer.app.disconnect("aboutToQuit()", self.shutDown)
            delattr(slicer, _SHARED)

    def addUser(self, user: object) -> None:
        """``user`` (a panel that is open) wants the worker to stay warm."""
        self._users.add(user)

    def removeUser(self, user: object) -> None:
        """``user`` no longer needs it; with the last one the idle time-out begins."""
        if self._users.remove(user):
            self._watchIdleness()

    # --- what the worker does -----------------------------------------------------------------------------------------
    def _onOpened(self, hello: Hello) -> None:
        self.lastFailure = None
        self._setState("ready")
        self._sendNext()

    def _onMessage(self, message: Any) -> None:
        job = self._running
        if isinstance(message, Released):
            self.released.emit(message)
        elif isinstance(message, Failure) and not message.id:
            logging.debug("The worker did not understand: %s", message.message)
            if job is not None:  # it will never answer what it did not understand
                self._finish(job, message)
        elif job is None or message.id != job.id:
            logging.debug("An answer to a job that is over: %s", message.id)
        elif isinstance(message, Result | Failure):
            self._finish(job, message)
        elif not job.isCancelling:
            (job.progressed if isinstance(message, ProgressMessage) else job.visitReady).emit(message)

    def _onLost(self, failure: Failure, starting: bool) -> None:
        logging.debug("[samprompt worker] lost: %s %s\n%s", failure.message, failure.hint, failure.detail)
        if failure.code != "cancelled":
            self.lastFailure = failure
        self._setState("stopping")
        if starting:
            self._endAll(failure)  # the next one would not start either
        else:
            self._endRunning(failure)

    def _onClosed(self) -> None:
        again, self._startAgain = self._startAgain or bool(self._waiting), False
        self._setState("stopped")
        if again:
            self.start()

    def _close(self, graceSeconds: float) -> None:
        self._connection.close(graceSeconds)
        self._setState(self._connection.state)

    # --- jobs ---------------------------------------------------------------------------------------------------------
    def _sendNext(self) -> None:
        while self.state == "ready" and self._waiting:
            job = self._waiting.popleft()
            try:
                self._connection.send(JobRequest(job.id, job.kind, to_data(job.request)))  # type: ignore[arg-type]
            except WireError as error:
                job.end(failures.ofError(error))
                continue
            self._running, job.state = job, "running"
            self._setState("busy")
        self._watchIdleness()

    def _finish(self, job: Job, outcome: Result | Failure) -> None:
        """The worker is done with ``job`` and free for the next."""
        self._cancelTimer.stop()
        self._running = None
        self._setState("ready")
        _conclude([job], outcome)
        self._sendNext()

    def _endRunning(self, failure: Failure) -> None:
        self._cancelTimer.stop()
        job, self._running = self._running, None
        if job is not None:
            _conclude([job], failure)

    def _endAll(self, failure: Failure) -> None:
        self._cancelTimer.stop()
        ending = self.jobs
        self._running = None
        self._waiting.clear()
        _conclude(ending, failure)

    # --- time ---------------------------------------------------------------------------------------------------------
    def _onCancelNotHeard(self) -> None:
        if self._running is not None and self._running.isCancelling:
            self._connection.breakOff(failures.cancelled())

    def _watchIdleness(self) -> None:
        if self.state == "ready":
            self._idleTimer.start(milliseconds(self.idleTimeout))
        else:
            self._idleTimer.stop()

    def _onIdle(self) -> None:
        if self.state != "ready":
            return
        if self._users:
            self._watchIdleness()
        else:
            logging.info("SAMPromptTools' computing process had nothing to do and is ended.")
            self.stop()

    def _setState(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.stateChanged.emit(state)


def _conclude(ending: Iterable[Job], outcome: Result | Failure) -> None:
    """Tell that jobs ended; one that was to be cancelled is cancelled, whatever came in between."""
    for job in ending:
        job.end(failures.cancelled() if job.isCancelling else outcome)
