"""CT or MR: as DICOM says it, wherever Slicer has kept it, else as the values say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

sys.path.insert(0, str(Path(__file__).parent))
import phantoms

pytestmark = pytest.mark.usefixtures("host")


class Database:
    """A DICOM database with one file."""

    def __init__(self, modality: str, broken: bool = False) -> None:
        self.modality, self.broken = modality, broken

    def fileForInstance(self, uid: str) -> str:
        if self.broken:
            raise RuntimeError("database is locked")
        return "/somewhere/slice.dcm" if uid == "1.2.3" else ""

    def fileValue(self, file: str, tag: str) -> str:
        return self.modality if (file, tag) == ("/somewhere/slice.dcm", "0008,0060") else ""


def volume_of(low: float = 0.0) -> object:
    array = np.full((3, 4, 5), 40.0, np.float32)
    array[0, 0, 0] = low
    return phantoms.add_volume(array, np.eye(4))


def modalities(volume, tmp_path) -> tuple[str, str]:
    """What is asked without values, and what the hand-over says."""
    from SAMPromptCommonLib.steps import runNow
    from SAMPromptCommonLib.volumes import VolumeHandover, volumeModality

    return volumeModality(volume), runNow(VolumeHandover(volume, tmp_path)).modality


@pytest.mark.parametrize(("said", "expected"), [("CT", "CT"), ("ct ", "CT"), ("MR", "MR"), ("PT", "")])
@pytest.mark.parametrize("place", ["attribute", "hierarchy", "database"])
def test_what_dicom_says_counts_wherever_it_is_kept(host, tmp_path, monkeypatch, place, said, expected):
    volume = volume_of(low=-1000.0)
    if place == "attribute":
        volume.SetAttribute("DICOM.Modality", said)
    elif place == "hierarchy":
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.GetItemByDataNode(volume) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", said)
    else:
        volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
        monkeypatch.setattr(slicer, "dicomDatabase", Database(said), raising=False)
    assert modalities(volume, tmp_path) == (expected, expected)


def test_hounsfield_units_mean_ct_and_mr_signal_means_mr(host, tmp_path):
    for quantity, units, expected in (
        (("112031", "DCM", "Attenuation Coefficient"), None, "CT"),
        (("110852", "DCM", "MR signal intensity"), None, "MR"),
        (None, ("hnsf'U", "UCUM", "Hounsfield unit"), "CT"),
        (("110820", "DCM", "Blood Oxygenation Level"), ("1", "UCUM", "no units"), ""),
    ):
        volume = volume_of()
        if quantity:
            entry = slicer.vtkCodedEntry()
            entry.SetValueSchemeMeaning(*quantity)
            volume.SetVoxelValueQuantity(entry)
        if units:
            entry = slicer.vtkCodedEntry()
            entry.SetValueSchemeMeaning(*units)
            volume.SetVoxelValueUnits(entry)
        assert modalities(volume, tmp_path) == (expected, expected)


@pytest.mark.parametrize(("low", "expected"), [(-1000.0, "CT"), (-50.5, "CT"), (-50.0, ""), (0.0, "")])
def test_where_nothing_is_said_only_values_that_a_ct_alone_has_mean_ct(host, tmp_path, low, expected):
    assert modalities(volume_of(low), tmp_path) == ("", expected)


def test_a_word_of_dicom_is_stronger_than_the_values(host, tmp_path):
    volume = volume_of(low=-1000.0)
    volume.SetAttribute("DICOM.Modality", "MR")
    assert modalities(volume, tmp_path) == ("MR", "MR")


def test_what_the_caller_says_is_strongest(host, tmp_path):
    from SAMPromptCommonLib.steps import runNow
    from SAMPromptCommonLib.volumes import VolumeHandover

    volume = volume_of(low=-1000.0)
    assert runNow(VolumeHandover(volume, tmp_path, modality="MR")).modality == "MR"
    assert runNow(VolumeHandover(volume, tmp_path, modality="")).modality == ""


def test_a_database_that_is_broken_or_does_not_know_the_volume_stops_nobody(host, tmp_path, monkeypatch):
    volume = volume_of(low=-1000.0)
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    monkeypatch.setattr(slicer, "dicomDatabase", Database("MR", broken=True), raising=False)
    assert modalities(volume, tmp_path) == ("", "CT")
    volume.SetAttribute("DICOM.instanceUIDs", "9.9.9")
    monkeypatch.setattr(slicer, "dicomDatabase", Database("MR"), raising=False)
    assert modalities(volume, tmp_path) == ("", "CT")
