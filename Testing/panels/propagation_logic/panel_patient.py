"""A small patient as arrays and nodes, and a worker in this process that answers exactly when a test lets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from samprompt.contract.worker import (
    CheckSliceMessage,
    Failure,
    OutcomeMessage,
    ProgressMessage,
    PromptPointMessage,
    PropagateJob,
    Result,
    StructureMessage,
    VisitReady,
)

SHAPE = (12, 40, 48)  # k, j, i
SPACING = (1.5, 1.25, 3.0)  # mm along i, j, k
SHIFT = (1, 3, -2)  # voxels (k, j, i) by which everything moved on every follow-up


def ijk_to_ras() -> np.ndarray:
    """LPS-like axes as CT has them: i to the left, j to the back."""
    matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    matrix[:3, 3] = [30.0, 40.0, -100.0]
    return matrix


def ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    """Mask of a ball; centre in voxels (k, j, i), radius in mm."""
    k, j, i = np.indices(SHAPE)
    distance = ((k - center[0]) * SPACING[2]) ** 2 + ((j - center[1]) * SPACING[1]) ** 2
    return distance + ((i - center[2]) * SPACING[0]) ** 2 <= radius**2


STRUCTURES = {"Lesion": ball((5, 18, 20), 9.0), "Node": ball((7, 27, 34), 6.0)}


def voxels(shift: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """A CT of a body with the structures in it, moved by whole voxels."""
    rng = np.random.default_rng(3)
    image = np.full(SHAPE, -1000.0)
    image[:, 4:-4, 4:-4] = 0.0
    for mask, value in zip(STRUCTURES.values(), (60.0, 110.0), strict=True):
        image[mask] = value
    return (np.roll(image, shift, (0, 1, 2)) + rng.normal(0, 6, SHAPE)).astype(np.int16)


@dataclass
class Patient:
    """Nodes of the patient: a baseline with contours, and later visits."""

    baseline: Any
    contours: Any
    followups: list[Any]
    ids: dict[str, str] = field(default_factory=dict)  # structure -> segment ID


def add_volume(name: str, array: np.ndarray, date: str = "", patient: str = "Doe") -> Any:
    """A volume in the scene, in a study of that date when one is given."""
    node = slicer.util.addVolumeFromArray(array, ijk_to_ras(), name)
    if date:
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        parent = hierarchy.GetItemByName(patient)
        if not parent:
            parent = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), patient)
        study = hierarchy.CreateStudyItem(parent, f"Study {date}")
        hierarchy.SetItemAttribute(study, "DICOM.StudyDate", date)
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    assert isinstance(node, vtk.vtkObject)
    return node


def add_contours(name: str, volume: Any, masks: dict[str, np.ndarray]) -> Any:
    """A segmentation with one segment per mask, drawn on the volume."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for structure, mask in masks.items():
        segment_id = node.GetSegmentation().AddEmptySegment("", structure)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment_id, volume)
    return node


def make_patient() -> Patient:
    """A baseline of January with two structures, and follow-ups of March and June."""
    dates = {"Baseline": "20210104", "March": "20210308", "June": "20210607"}
    nodes = [add_volume(name, voxels(SHIFT if n else (0, 0, 0)), date) for n, (name, date) in enumerate(dates.items())]
    contours = add_contours("Contours", nodes[0], STRUCTURES)
    segmentation = contours.GetSegmentation()
    segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName("Lesion")).SetColor(0.9, 0.3, 0.1)
    ids = {name: segmentation.GetSegmentIdBySegmentName(name) for name in STRUCTURES}
    return Patient(nodes[0], contours, nodes[1:], ids)


class FakeSignal:
    """As SAMPromptCommonLib's, without its tolerance: an error in a slot fails the test."""

    def __init__(self) -> None:
        self.slots: list[Callable] = []

    def connect(self, slot: Callable) -> None:
        self.slots.append(slot)

    def disconnect(self, slot: Callable) -> None:
        self.slots.remove(slot)

    def emit(self, message: Any) -> None:
        for slot in list(self.slots):
            slot(message)


class FakeJob:
    """What a client gives for a request: signals, told by the test."""

    def __init__(self, job_id: str, request: PropagateJob) -> None:
        self.id, self.request, self.state = job_id, request, "running"
        self.progressed, self.visitReady, self.finished, self.failed = (FakeSignal() for _ in range(4))


class FakeClient:
    """A worker that moves every contour by ``SHIFT`` and says so when the test calls it."""

    def __init__(self) -> None:
        self.jobs: list[FakeJob] = []
        self.cancelled: list[FakeJob] = []
        self.refuse: Exception | None = None
        self.trust = 0.9
        self.reasons: tuple[str, ...] = ()
        self.cut: set[tuple[str, int]] = set()  # (structure, number of the follow-up) that a scan's border cuts

    @property
    def job(self) -> FakeJob:
        """The newest one."""
        return self.jobs[-1]

    def submit(self, kind: str, request: PropagateJob) -> FakeJob:
        assert kind == "propagate"
        assert isinstance(request, PropagateJob)
        if self.refuse is not None:
            raise self.refuse
        self.jobs.append(FakeJob(f"job{len(self.jobs)}", request))
        return self.job

    def cancel(self, job: FakeJob) -> None:
        self.cancelled.append(job)

    def say_progress(self, number: int, stage: str, done: int = 0, total: int = 0) -> None:
        followups = self.job.request.followups
        name = followups[number - 1].name if number else ""
        self.job.progressed.emit(ProgressMessage(self.job.id, stage, done, total, name, number, len(followups)))

    def say_visit(self, number: int, gone: tuple[str, ...] = (), shift: tuple[int, int, int] = SHIFT) -> None:
        request = self.job.request
        outcomes = tuple(
            self.outcome(structure, number, shift, structure.name in gone) for structure in request.baseline.structures
        )
        name = request.followups[number - 1].name
        self.job.visitReady.emit(VisitReady(self.job.id, name, number, len(request.followups), outcomes, 0.8))

    def say_done(self) -> None:
        self.job.state = "done"
        known = {"model_name": "tiny", "model_fingerprint": "abc123", "samprompt_version": "0.1.0", "device": "cpu"}
        self.job.finished.emit(Result(self.job.id, known))

    def say_failed(self, code: str, message: str = "It went wrong.", hint: str = "Do something.") -> None:
        self.job.state = "failed"
        self.job.failed.emit(Failure(self.job.id, code, message, hint))

    def outcome(self, structure: StructureMessage, number: int, shift: tuple[int, ...], gone: bool) -> OutcomeMessage:
        """The structure moved by whole voxels, its prior where the baseline has it."""
        folder = Path(self.job.request.folder)
        mask = np.load(structure.array)
        path = folder / f"{number}-{structure.id}.npy"
        prior = folder / f"{number}-{structure.id}-prior.npy"
        np.save(path, mask)
        np.save(prior, mask)
        grid = self.job.request.followups[number - 1].grid
        matrix = np.array(grid.ijk_to_ras).reshape(4, 4)
        offset = tuple(int(o + s) for o, s in zip(structure.offset, shift, strict=True))
        middle = [o + n // 2 for o, n in zip(offset, mask.shape, strict=True)]
        ras = tuple(float(x) for x in (matrix @ [*middle[::-1], 1.0])[:3])
        ml = float(mask.sum()) * abs(np.linalg.det(matrix[:3, :3])) / 1000
        size = tuple(int(n) for n in mask.shape)
        there = StructureMessage(structure.id, structure.name, structure.color, str(path), offset, size)
        nothing = StructureMessage(structure.id, structure.name, structure.color, "")
        return OutcomeMessage(
            nothing if gone else there,
            StructureMessage(structure.id, structure.name, structure.color, str(prior), structure.offset, size),
            0.0 if gone else ml,
            ml,
            None if (structure.name, number) in self.cut else -100.0 if gone else 0.0,
            None if gone else 5.5,
            0.2 if gone else self.trust,
            "low" if gone else "high",
            gone,
            ("nothing was found on this visit",) if gone else self.reasons,
            () if gone else (CheckSliceMessage(middle[0], ras),),
            (PromptPointMessage(ras, True), PromptPointMessage((ras[0] + 20, *ras[1:]), False)),
            route="model",
            truncated=(structure.name, number) in self.cut,
            gone=gone,
        )


def mask_of(node: Any, segment_id: str, volume: Any) -> np.ndarray:
    """A segment on the volume's voxels, by Slicer's own export."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).astype(bool)


def result_nodes() -> list[Any]:
    """Segmentations that runs made."""
    from SAMPropagationLib.results import resultNodes

    return resultNodes()


def names_in_scene() -> list[str]:
    """Class and name of every node, to see that nothing came or went."""
    return sorted(f"{node.GetClassName()} {node.GetName()}" for node in slicer.util.getNodesByClass("vtkMRMLNode"))
