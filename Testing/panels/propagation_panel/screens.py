"""What the tests of the panel share: a patient in the scene, a worker that says what a test wants, pictures.

Pictures go to the folder that SAMPROMPT_SCREENSHOTS names, else to a temporary one. ``PanelTest`` holds one panel as
Slicer opens it and does what a user does: clicks, checks boxes, picks lines.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from samprompt.contract.worker import (
    CheckSliceMessage,
    Failure,
    Hello,
    OutcomeMessage,
    ProgressMessage,
    PromptPointMessage,
    Released,
    Result,
    StructureMessage,
    VisitReady,
)
from SAMPromptCommonLib.signals import Signal

NARROW, WIDE = 380, 520  # pixels: a panel on a laptop, and one that was pulled wider
SHAPE = (16, 48, 56)  # k, j, i
SPACING = (1.5, 1.5, 3.0)  # mm along i, j, k
STRUCTURES = {"Lung lesion": ((6, 20, 18), 9.0, (0.86, 0.3, 0.25)), "Lymph node": ((9, 30, 38), 6.0, (0.95, 0.75, 0.2))}
VISITS = {"CT 2021-01-04": "20210104", "CT 2021-03-08": "20210308", "CT 2021-06-07": "20210607"}
HELLO = Hello(1, "0.3.0", 4242, "3.11.2", "cuda:0", "NVIDIA H100 80GB HBM3, 78 GiB free", 1.2)


def screenshotFolder() -> Path:
    """Where pictures go."""
    named = os.environ.get("SAMPROMPT_SCREENSHOTS")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / "samprompt-screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --- a patient --------------------------------------------------------------------------------------------------------
def ball(center: tuple[int, int, int], radius: float) -> np.ndarray:
    """Mask of a ball; centre in voxels (k, j, i), radius in mm."""
    k, j, i = np.indices(SHAPE)
    squares = ((k - center[0]) * SPACING[2]) ** 2 + ((j - center[1]) * SPACING[1]) ** 2
    return squares + ((i - center[2]) * SPACING[0]) ** 2 <= radius**2


def addPatient(dated: bool = True) -> tuple[Any, Any, list]:
    """Baseline volume, its contours, and two later visits, in one patient of the subject hierarchy."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Doe^Jane")
    matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    matrix[:3, 3] = [40.0, 36.0, -120.0]
    volumes = []
    for number, (name, date) in enumerate(VISITS.items()):
        voxels = np.full(SHAPE, -1000, dtype=np.int16)
        voxels[:, 4:-4, 4:-4] = np.random.default_rng(number).normal(0, 8, (SHAPE[0], SHAPE[1] - 8, SHAPE[2] - 8))
        for center, radius, _color in STRUCTURES.values():
            voxels[ball(center, radius)] = 90
        node = slicer.util.addVolumeFromArray(voxels, matrix, name)
        study = hierarchy.CreateStudyItem(patient, f"Study {number + 1}")
        if dated:
            hierarchy.SetItemAttribute(study, "DICOM.StudyDate", date)
        item = hierarchy.GetItemByDataNode(node)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
        hierarchy.SetItemParent(item, study)
        volumes.append(node)
    contours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    contours.CreateDefaultDisplayNodes()
    contours.SetReferenceImageGeometryParameterFromVolumeNode(volumes[0])
    for name, (center, radius, color) in STRUCTURES.items():
        segmentId = contours.GetSegmentation().AddEmptySegment("", name)
        mask = ball(center, radius).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, contours, segmentId, volumes[0])
        contours.GetSegmentation().GetSegment(segmentId).SetColor(*color)
    return volumes[0], contours, volumes[1:]


# --- a worker ---------------------------------------------------------------------------------------------------------
class ScriptedJob:
    """What a client gives for a request; the test says how it goes on."""

    def __init__(self, worker: ScriptedWorker, kind: str, request: Any) -> None:
        self.id, self.kind, self.request = f"{kind}-{len(worker.jobs)}", kind, request
        self.state, self.isCancelling, self._worker = "running", False, worker
        self.progressed, self.visitReady, self.finished, self.failed = (Signal() for _ in range(4))

    def cancel(self) -> None:
        self._worker.cancel(self)

    def say(self, stage: str, done: int = 0, total: int = 0, visit: int = 0) -> None:
        """Progress; ``visit`` counts from 1."""
        followups = getattr(self.request, "followups", ())
        name = followups[visit - 1].name if visit else ""
        self.progressed.emit(ProgressMessage(self.id, stage, done, total, name, visit, len(followups)))

    def sayVisit(self, number: int, **changes: Any) -> None:
        """The masks of a visit: the baseline's, moved by one slice. ``changes`` of ``outcome`` for every structure."""
        outcomes = tuple(self.outcome(each, number, **changes) for each in self.request.baseline.structures)
        followups = self.request.followups
        self.visitReady.emit(VisitReady(self.id, followups[number - 1].name, number, len(followups), outcomes, 0.8))

    def end(self, **value: Any) -> None:
        """It is done."""
        self._over("done")
        known = {"model_name": "tiny", "model_fingerprint": "abc123", "samprompt_version": "0.3.0", "device": "cpu"}
        self.finished.emit(Result(self.id, known, value=value))

    def fail(self, code: str, message: str, hint: str = "", detail: str = "") -> None:
        """It ends without a result."""
        self._over("cancelled" if code == "cancelled" else "failed")
        self.failed.emit(Failure(self.id, code, message, hint, detail))

    def _over(self, state: str) -> None:
        self.state = state
        self._worker.be("ready")

    def outcome(self, structure: StructureMessage, number: int, **changes: Any) -> OutcomeMessage:
        """What was found of a structure; ``by`` maps a structure's name to changes of its own."""
        own = {**changes, **changes.get("by", {}).get(structure.name, {})}
        trust = own.get("trust", 0.9)
        level = "low" if trust < 0.5 else "medium" if trust < 0.75 else "high"
        mask, folder = np.load(structure.array), Path(self.request.folder)
        path, prior = (folder / f"{number}-{structure.id}-{kind}.npy" for kind in ("found", "prior"))
        np.save(path, mask)
        np.save(prior, mask)
        size = tuple(int(n) for n in mask.shape)
        offset = (structure.offset[0] + 1, *structure.offset[1:])
        grid = self.request.followups[number - 1].grid
        matrix = np.array(grid.ijk_to_ras).reshape(4, 4)
        slices = [offset[0] + n for n in range(min(own.get("slices", 3), size[0]))]
        middle = [offset[1] + size[1] // 2, offset[2] + size[2] // 2]
        places = [tuple(float(x) for x in (matrix @ [middle[1], middle[0], k, 1.0])[:3]) for k in slices]
        ml = float(mask.sum()) * float(abs(np.linalg.det(matrix[:3, :3]))) / 1000
        return OutcomeMessage(
            StructureMessage(structure.id, structure.name, structure.color, str(path), offset, size),
            StructureMessage(structure.id, structure.name, structure.color, str(prior), structure.offset, size),
            ml * (1 + own.get("change", 0.0) / 100),
            ml,
            own.get("change", 0.0),
            SPACING[2],
            trust,
            level,
            trust < 0.5,
            own.get("reasons", ()),
            tuple(CheckSliceMessage(k, ras) for k, ras in zip(slices, places, strict=True)),
            (PromptPointMessage(places[0], True), PromptPointMessage((places[0][0] + 20, *places[0][1:]), False)),
            route="model",
        )


class ScriptedWorker:
    """In the place of the client that all panels share; starts at once and answers when the test lets it."""

    def __init__(self) -> None:
        self.state, self.hello, self.lastFailure = "stopped", None, None
        self.log = ("[worker] loading the model", "[worker] cuda:0")
        self.jobs: list[ScriptedJob] = []
        self.users: list[Any] = []
        self.calls: list[str] = []
        self.stateChanged, self.logged, self.released = Signal(), Signal(), Signal()

    @property
    def job(self) -> ScriptedJob:
        """The newest one."""
        return self.jobs[-1]

    def be(self, state: str, hello: Hello | None = HELLO) -> None:
        """Take on a state; in "ready" and "busy" it has said hello."""
        self.state = state
        self.hello = hello if state in ("ready", "busy") else None
        self.stateChanged.emit(state)

    def start(self) -> None:
        self.calls.append("start")
        self.be("ready")

    def stop(self, graceSeconds: float = 2.0) -> None:
        self.calls.append("stop")
        self.be("stopped")

    def shutDown(self, seconds: float = 3.0) -> None:
        self.stop()

    def release(self) -> bool:
        self.calls.append("release")
        self.released.emit(Released(2048.0))
        return True

    def submit(self, kind: str, request: Any) -> ScriptedJob:
        self.jobs.append(ScriptedJob(self, kind, request))
        self.be("busy")
        return self.job

    def cancel(self, job: ScriptedJob) -> None:
        self.calls.append("cancel")
        job.isCancelling = True

    def addUser(self, user: Any) -> None:
        if user not in self.users:
            self.users.append(user)

    def removeUser(self, user: Any) -> None:
        if user in self.users:
            self.users.remove(user)


def plain(text: str) -> str:
    """Without what only says where a line may be broken."""
    return text.replace("\u200b", "").replace("\u2011", "-")


# --- the panel --------------------------------------------------------------------------------------------------------
class PanelTest:
    """The panel as Slicer opens it, and what a user does with it."""

    def __init__(self, host: Any, worker: Any) -> None:
        self.host, self.worker = host, worker
        self.widget = host.open_module("SAMPropagation")
        self.panel, self.logic = self.widget.panel, self.widget.logic
        self.ui = self.panel.ui

    @property
    def parameters(self) -> Any:
        return self.logic.getParameterNode()

    def settle(self, seconds: float = 0.08) -> None:
        """Let the panel's timers run."""
        self.host.process_events(seconds)

    def click(self, name: str) -> None:
        """Click a button as a user can: only where it is shown and enabled."""
        button = getattr(self.ui, name)
        assert button.isVisibleTo(self.panel.widget), f"{name} is not shown"
        assert button.enabled, f"{name} is disabled"
        button.click()
        self.settle()

    def check(self, table: str, row: int, on: bool) -> None:
        """Check or uncheck the box of a line."""
        import qt

        getattr(self.ui, table).item(row, 0).setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)
        self.settle()

    def texts(self, table: str) -> list[list[str]]:
        """What a table shows, cell by cell."""
        shown = getattr(self.ui, table)
        items = [[shown.item(row, column) for column in range(shown.columnCount)] for row in range(shown.rowCount)]
        return [[plain(item.text()) if item is not None else "" for item in line] for line in items]

    def checked(self, table: str) -> list[str]:
        """First texts of the checked lines."""
        import qt

        shown = getattr(self.ui, table)
        items = [shown.item(row, 0) for row in range(shown.rowCount)]
        return [item.text() for item in items if item.checkState() == qt.Qt.Checked]

    def choosePatient(self) -> tuple[Any, Any, list]:
        """A patient in the scene, chosen by the panel's own widgets."""
        baseline, contours, followups = addPatient()
        self.settle()
        self.ui.baselineVolumeSelector.setCurrentNode(baseline)
        self.ui.baselineSegmentationSelector.setCurrentNode(contours)
        self.settle()
        self.click("laterVisitsButton")
        return baseline, contours, followups

    def until(self, predicate: Callable[[], Any], seconds: float = 20.0, what: str = "") -> None:
        """Wait as a user does."""
        assert self.host.wait_until(predicate, seconds), what or self.panel.messages.text() or self.ui.reasonLabel.text

    def startRun(self) -> ScriptedJob:
        """Press Apply and wait until the worker has the job."""
        before = len(self.worker.jobs)
        self.click("applyButton")
        self.until(lambda: len(self.worker.jobs) > before, 10)
        return self.worker.job

    def picture(self, name: str) -> None:
        """Pictures of the whole panel at both widths."""
        for width in (NARROW, WIDE):
            grab(self.host, self.panel.widget, name, width)


def grab(host: Any, widget: Any, name: str, width: int) -> Path:
    """A picture of the whole panel, in a module panel of so many pixels width."""
    area = widget.window()
    for _turn in range(3):  # texts wrap elsewhere, tables get other heights
        area.resize(area.width + width - widget.width, area.height)
        host.process_events(0.05)
    path = screenshotFolder() / f"{name}-{widget.width}.png"
    host.screenshot(widget, path)
    return path


@contextmanager
def panel_with_its_worker(host: Any, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[PanelTest]:
    """The panel in an empty scene with the worker that users get, whose files are in ``folder``/private."""
    from SAMPromptCommonLib import folders
    from SAMPromptCommonLib.client import WorkerClient

    monkeypatch.setenv("SAMPROMPT_PYTHON", sys.executable)
    private = folder / "private"
    private.mkdir()
    monkeypatch.setattr(folders, "rootFolder", lambda: private)
    yield PanelTest(host, WorkerClient.shared())
    host.quit()
    WorkerClient.shared().dispose()
    host.process_events(0.1)
