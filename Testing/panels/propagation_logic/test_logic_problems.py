"""What is wrong with a choice is said before anything is computed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from panel_patient import SHAPE, Patient, add_contours, add_volume, ijk_to_ras, names_in_scene, voxels
from samprompt.contract.errors import InputError
from SAMPropagationLib.problems import Problem


def blocking(logic: Any) -> list[Problem]:
    return [each for each in logic.problems() if each.blocking]


def warnings(logic: Any) -> list[Problem]:
    return [each for each in logic.problems() if not each.blocking]


def set_modality(node: Any, modality: str) -> None:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), "DICOM.Modality", modality)


def test_a_whole_patient_has_no_problem(logic: Any, chosen: Any) -> None:
    assert logic.problems() == []


def test_an_empty_panel_asks_for_everything_in_order(logic: Any) -> None:
    assert [each.field for each in blocking(logic)] == ["baselineVolume", "baselineSegmentation", "followUps"]
    assert all(each.hint for each in blocking(logic))


def test_no_followup_is_said_and_nothing_starts(logic: Any, client: Any, chosen: Any) -> None:
    logic.setFields(followUps=[])
    before = names_in_scene()
    with pytest.raises(InputError, match=r"No follow-up"):
        logic.propagate()
    assert not logic.isRunning
    assert logic.run is None
    assert client.jobs == []
    assert names_in_scene() == before


def test_a_baseline_without_segments_is_said(logic: Any, chosen: Any) -> None:
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nothing drawn")
    logic.setFields(baselineSegmentation=empty)
    assert [(each.field, "Nothing drawn" in each.message) for each in blocking(logic)] == [
        ("baselineSegmentation", True)
    ]


def test_structures_that_are_all_empty_block_and_single_ones_are_only_left_out(
    logic: Any, patient: Patient, chosen: Any
) -> None:
    patient.contours.GetSegmentation().AddEmptySegment("", "Not drawn yet")
    assert blocking(logic) == []
    assert ["Not drawn yet" in each.message for each in warnings(logic)] == [True]
    logic.setFields(segments=["Not drawn yet"])
    assert [each.field for each in blocking(logic)] == ["segments"]


def test_choosing_no_structure_blocks(logic: Any, chosen: Any) -> None:
    logic.setFields(segments=[])
    assert [each.field for each in blocking(logic)] == ["segments"]


def test_a_chosen_structure_that_was_deleted_since_is_not_waited_for(logic: Any, patient: Patient, chosen: Any) -> None:
    logic.setFields(segments=["Lesion"])
    patient.contours.GetSegmentation().RemoveSegment(patient.ids["Lesion"])
    assert [each.field for each in blocking(logic)] == ["segments"]


def test_the_baseline_as_its_own_followup_blocks(logic: Any, patient: Patient, chosen: Any) -> None:
    logic.setFields(followUps=[patient.baseline, patient.followups[0]])
    assert [each.field for each in blocking(logic)] == ["followUps"]
    assert "Baseline" in blocking(logic)[0].message


def test_a_copy_of_the_baseline_is_only_warned_of(logic: Any, patient: Patient, chosen: Any) -> None:
    copy = add_volume("Copy", voxels())
    logic.setFields(followUps=[copy])
    assert blocking(logic) == []
    assert [each.field for each in warnings(logic)] == ["followUps"]


def test_a_volume_without_voxels_blocks_wherever_it_is_chosen(logic: Any, patient: Patient, chosen: Any) -> None:
    hollow = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow")
    logic.setFields(followUps=[hollow])
    assert [(each.field, "Hollow" in each.message) for each in blocking(logic)] == [("followUps", True)]
    hollow.SetAndObserveImageData(vtk.vtkImageData())
    logic.setFields(followUps=patient.followups, baselineVolume=hollow)
    assert [(each.field, "Hollow" in each.message) for each in blocking(logic)] == [("baselineVolume", True)]


def test_a_label_map_is_no_visit(logic: Any, chosen: Any) -> None:
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.util.updateVolumeFromArray(labels, np.ones(SHAPE, np.uint8))
    logic.setFields(followUps=[labels])
    assert ["label map" in each.message for each in blocking(logic)] == [True]


@pytest.mark.parametrize("preset", ["lung", "soft tissue", "bone"])
def test_a_ct_preset_blocks_where_dicom_says_mr(logic: Any, patient: Patient, chosen: Any, preset: str) -> None:
    set_modality(patient.followups[1], "MR")
    set_modality(patient.baseline, "MR")
    logic.setFields(preset=preset)
    found = blocking(logic)
    assert [each.field for each in found] == ["preset"]
    assert preset in found[0].message
    assert "MR/other" in found[0].hint


def test_a_ct_preset_is_doubted_where_no_voxel_is_below_zero(logic: Any, chosen: Any) -> None:
    likeMr = add_volume("T1", voxels() + 1100)
    logic.setFields(preset="lung", followUps=[likeMr])
    assert blocking(logic) == []
    assert [("T1" in each.message, each.field) for each in warnings(logic)] == [(True, "preset")]


@pytest.mark.parametrize("preset", ["auto", "MR/other"])
def test_other_presets_take_any_image(logic: Any, patient: Patient, chosen: Any, preset: str) -> None:
    for node in (patient.baseline, *patient.followups):
        set_modality(node, "MR")
    logic.setFields(preset=preset)
    assert logic.problems() == []


def test_visits_of_different_kinds_are_warned_of(logic: Any, patient: Patient, chosen: Any) -> None:
    set_modality(patient.baseline, "CT")
    set_modality(patient.followups[0], "MR")
    assert [each.message for each in warnings(logic) if "CT, MR" in each.message]


def test_contours_of_another_scan_are_told_by_their_place(logic: Any, patient: Patient, chosen: Any) -> None:
    far = ijk_to_ras()
    far[:3, 3] += 5000
    elsewhere = slicer.util.addVolumeFromArray(voxels(), far, "Elsewhere")
    logic.setFields(baselineSegmentation=add_contours("Far away", elsewhere, {"Lesion": voxels() > 40}))
    found = blocking(logic)
    assert [each.field for each in found] == ["baselineSegmentation"]
    assert "Far away" in found[0].message


def test_contours_and_volume_under_one_transform_are_in_one_place(logic: Any, patient: Patient, chosen: Any) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 900)
    transform.SetMatrixTransformToParent(matrix)
    for node in (patient.baseline, patient.contours):
        node.SetAndObserveTransformNodeID(transform.GetID())
    assert logic.problems() == []
    patient.contours.SetAndObserveTransformNodeID(None)
    assert [each.field for each in blocking(logic)] == ["baselineSegmentation"]


def test_a_visit_that_is_a_reference_is_not_computed_again(logic: Any, patient: Patient, chosen: Any) -> None:
    drawn = add_contours("By hand", patient.followups[0], {"Lesion": voxels() > 40})
    logic.setFields(references=[drawn])
    assert blocking(logic) == []
    assert ["March" in each.message for each in warnings(logic)] == [True]
    logic.setFields(followUps=[patient.followups[0]])
    assert [each.field for each in blocking(logic)] == ["followUps"]


def test_an_unknown_preset_or_method_in_a_saved_scene_blocks(logic: Any, chosen: Any) -> None:
    chosen.preset = "liver"
    assert [each.field for each in blocking(logic)] == ["preset"]
    chosen.preset, chosen.method = "auto", "magic"
    assert [each.field for each in blocking(logic)] == ["method"]


def test_looking_for_problems_of_a_large_patient_takes_less_than_50_ms(logic: Any, host: Any) -> None:
    big = np.zeros((200, 512, 512), np.int16)
    big[:, 100:400, 100:400] = -30
    nodes = [slicer.util.addVolumeFromArray(big + n, ijk_to_ras(), f"Visit {n}") for n in range(2)]
    mask = np.zeros(big.shape, np.uint8)
    mask[80:120, 200:260, 200:260] = 1
    contours = add_contours("Contours", nodes[0], {"Organ": mask})
    logic.setFields(baselineVolume=nodes[0], baselineSegmentation=contours, followUps=nodes[1:], preset="lung")
    logic.problems()  # the first look at a segment takes its fingerprint
    begin = time.perf_counter()
    assert logic.problems() == []
    assert time.perf_counter() - begin < 0.05
