"""Results out of the scene."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
import slicer
from panel_patient import SHIFT, STRUCTURES, Patient
from samprompt.contract.errors import EnvironmentProblem, InputError, OutputError


class Exportable:
    """As qSlicerDICOMExportable: tags and a folder."""

    def __init__(self, modality: str, item: int) -> None:
        self.tags = {"Modality": modality}
        self.item = item
        self.directory = ""

    def tag(self, name: str) -> str:
        return self.tags.get(name, "")

    def setTag(self, name: str, value: str) -> None:
        self.tags[name] = value


def plugin(modality: dict[str, str], message: str = "") -> type:
    """A plugin of the DICOM module that writes one file per exportable; modality by class of node."""

    class Plugin:
        asked: list[Exportable]

        def examineForExport(self, item: int) -> list[Exportable]:
            node = slicer.mrmlScene.GetSubjectHierarchyNode().GetItemDataNode(item)
            return [Exportable(modality[node.GetClassName()], item)] if node.GetClassName() in modality else []

        def export(self, exportables: list[Exportable]) -> str:
            type(self).asked = exportables
            for exportable in exportables if not message else []:
                Path(exportable.directory, f"{exportable.tag('Modality')}.dcm").write_bytes(b"DICM")
            return message

    return Plugin


@pytest.fixture
def row(host: Any, logic: Any, chosen: Any, run_to_end: Callable) -> Any:
    run_to_end()
    return logic.results()[0]


@pytest.fixture
def dicom(patient: Patient) -> None:
    for node in patient.followups:
        node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")


def plugins(monkeypatch: pytest.MonkeyPatch, **classes: type) -> None:
    monkeypatch.setattr(slicer.modules, "dicomPlugins", classes, raising=False)


def test_the_segmentation_file_holds_masks_names_and_provenance(logic: Any, row: Any, tmp_path: Path) -> None:
    (written,) = logic.export(row, "seg.nrrd", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["Contours on March.seg.nrrd"]
    data, header = nrrd.read(written, index_order="C")
    names = {header[f"Segment{n}_Name"]: n for n in range(2)}
    assert set(names) == set(STRUCTURES)
    value = int(header[f"Segment{names['Lesion']}_LabelValue"])
    layer = int(header.get(f"Segment{names['Lesion']}_Layer", 0))
    mask = (data if data.ndim == 3 else data[..., layer]) == value
    assert mask.sum() == STRUCTURES["Lesion"].sum()
    tags = header[f"Segment{names['Lesion']}_Tags"]
    assert "SAMPromptTools.Use:research use only" in tags
    (reasons,) = [part.partition(":")[2] for part in tags.split("|") if part.startswith("SAMPromptTools.CheckSlices")]
    assert json.loads(reasons)[0]["k"] == pytest.approx(5 + SHIFT[0], abs=1)


def test_exporting_again_replaces_the_file_and_does_not_bind_the_node_to_it(
    logic: Any, row: Any, tmp_path: Path
) -> None:
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
    (first,) = logic.export(row, "seg.nrrd", tmp_path)
    (second,) = logic.export(row, "seg.nrrd", tmp_path)
    assert first == second
    storage = node.GetStorageNode()
    assert storage is None or storage.GetFileName() != first


def test_a_name_that_no_file_may_have_is_changed_for_the_file_only(logic: Any, row: Any, tmp_path: Path) -> None:
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
    node.SetName("T1/2: 'left'?")
    (written,) = logic.export(row, "seg.nrrd", tmp_path)
    assert Path(written).parent == tmp_path
    assert Path(written).is_file()
    assert node.GetName() == "T1/2: 'left'?"


def test_a_folder_that_is_not_there_is_refused(logic: Any, row: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        logic.export(row, "seg.nrrd", tmp_path / "nowhere")


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    logic: Any, row: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (written,) = logic.export(row, "seg.nrrd", tmp_path)
    before = Path(written).read_bytes()

    class Failing:
        def SetFileName(self, name: str) -> None:
            Path(name).write_bytes(b"half")

        def WriteData(self, node: Any) -> int:
            return 0

    monkeypatch.setattr(slicer, "vtkMRMLSegmentationStorageNode", Failing)
    with pytest.raises(OutputError):
        logic.export(row, "seg.nrrd", tmp_path)
    assert Path(written).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [Path(written).name]


def test_without_plugins_dicom_is_not_offered_and_the_hint_names_what_to_install(
    logic: Any, row: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins(monkeypatch)
    choices = {choice.kind: choice for choice in logic.exportChoices()}
    assert [choices[kind].available for kind in ("seg.nrrd", "dicom-seg", "rtstruct")] == [True, False, False]
    assert "QuantitativeReporting" in choices["dicom-seg"].hint
    assert "SlicerRT" in choices["rtstruct"].hint
    for kind in ("dicom-seg", "rtstruct"):
        with pytest.raises(EnvironmentProblem) as caught:
            logic.export(row, kind, tmp_path)
        assert caught.value.hint == choices[kind].hint


def test_dicom_seg_goes_through_slicers_plugin(
    logic: Any, row: Any, dicom: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seg = plugin({"vtkMRMLSegmentationNode": "SEG"})
    plugins(monkeypatch, DICOMSegmentationPlugin=seg)
    assert [Path(path).name for path in logic.export(row, "dicom-seg", tmp_path)] == ["SEG.dcm"]
    (asked,) = seg.asked
    node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
    assert asked.item == slicer.mrmlScene.GetSubjectHierarchyNode().GetItemByDataNode(node)
    assert asked.tag("SeriesDescription") == "Contours on March"
    # what the real plugin wants of every segment
    segment = node.GetSegmentation().GetSegment(row.segmentId)
    import vtk

    kind, name = vtk.mutable(""), vtk.mutable("")
    assert segment.GetTag("DICOM.SegmentAlgorithmType", kind)
    assert segment.GetTag("DICOM.SegmentAlgorithmName", name)
    assert str(kind) == "AUTOMATIC"
    assert str(name).startswith("SAMPromptTools")


def test_rtstruct_goes_with_its_image(
    logic: Any, row: Any, dicom: None, patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rt = plugin({"vtkMRMLSegmentationNode": "RTSTRUCT", "vtkMRMLScalarVolumeNode": "CT"})
    plugins(monkeypatch, DicomRtImportExportPlugin=rt)
    written = logic.export(row, "rtstruct", tmp_path)
    assert sorted(Path(path).name for path in written) == ["CT.dcm", "RTSTRUCT.dcm"]
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    nodes = [hierarchy.GetItemDataNode(asked.item) for asked in rt.asked]
    assert nodes[0] is patient.followups[0]


def test_a_visit_that_did_not_come_from_dicom_is_said(
    logic: Any, row: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins(monkeypatch, DICOMSegmentationPlugin=plugin({"vtkMRMLSegmentationNode": "SEG"}))
    with pytest.raises(InputError, match="March") as caught:
        logic.export(row, "dicom-seg", tmp_path)
    assert ".seg.nrrd" in caught.value.hint


def test_what_the_plugin_says_reaches_the_user(
    logic: Any, row: Any, dicom: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seg = plugin({"vtkMRMLSegmentationNode": "SEG"}, "Segment Lesion has missing attributes.")
    plugins(monkeypatch, DICOMSegmentationPlugin=seg)
    with pytest.raises(InputError, match="missing attributes"):
        logic.export(row, "dicom-seg", tmp_path)


def test_a_result_that_is_gone_cannot_be_exported(logic: Any, row: Any, tmp_path: Path) -> None:
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetNodeByID(row.segmentationId))
    with pytest.raises(InputError):
        logic.export(row, "seg.nrrd", tmp_path)


def test_masks_survive_export_and_loading(logic: Any, row: Any, patient: Patient, tmp_path: Path) -> None:
    from panel_patient import mask_of

    (written,) = logic.export(row, "seg.nrrd", tmp_path)
    loaded = slicer.util.loadSegmentation(written)
    np.testing.assert_array_equal(
        mask_of(loaded, row.segmentId, patient.followups[0]), np.roll(STRUCTURES["Lesion"], SHIFT, (0, 1, 2))
    )
