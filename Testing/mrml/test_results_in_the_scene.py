"""Masks of the worker become one new segmentation beside the follow-up, and nothing else in the scene changes."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from samprompt.contract.errors import InputError, UnreadableFileError
from samprompt.contract.worker import OutcomeMessage, StructureMessage
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent))
import phantoms

pytestmark = pytest.mark.usefixtures("host")

TERMS = (
    "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure"
    "~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~SCT^39607008^Lung~SCT^24028007^Right"
)


def structure(mask: np.ndarray, folder: Path, id: str = "Lesion") -> StructureMessage:
    """What the worker sends of a mask on the follow-up's grid: cropped."""
    if not mask.any():
        return StructureMessage(id, id, (0.1, 0.2, 0.3), "")
    where = [(int(a.min()), int(a.max()) + 1) for a in np.nonzero(mask)]
    part = mask[tuple(slice(*w) for w in where)].astype(np.uint8)
    path = folder / f"{id}-{len(list(folder.iterdir()))}.npy"
    np.save(path, part)
    return StructureMessage(id, id, (0.1, 0.2, 0.3), str(path), tuple(w[0] for w in where), part.shape)


def outcome(mask: np.ndarray, folder: Path, id: str = "Lesion", flagged: bool = False, **fields) -> OutcomeMessage:
    message = structure(mask, folder, id)
    prior = fields.pop("prior", message)
    return OutcomeMessage(message, prior, 1.0, 1.0, 0.0, 0.0, 0.9, "high", flagged, gone=not mask.any(), **fields)


def brought_back(outcomes, volume, baseline=None, **options):
    """The node of a complete run."""
    from SAMPromptCommonLib.segmentations import importStructures
    from SAMPromptCommonLib.steps import runNow

    return runNow(importStructures(outcomes, volume, baseline, **options))


def labels(node, segment, volume) -> np.ndarray:
    """Slicer's own answer: the segment on the volume's grid."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)


@pytest.fixture
def visit(tmp_path):
    """A follow-up volume, a baseline segmentation with one lesion, and a folder."""
    mask = phantoms.phantom_mask()
    volume = phantoms.add_volume(phantoms.phantom_image(), phantoms.GEOMETRIES["oblique"], "Follow-up")
    baseline = phantoms.add_segmentation({"Lesion": mask}, volume, "Contours")
    return volume, baseline, mask


@pytest.mark.parametrize("parent", phantoms.PARENTS)
@pytest.mark.parametrize("geometry", phantoms.GEOMETRIES)
def test_a_mask_lands_on_the_very_voxels_it_was_computed_for(host, tmp_path, geometry, parent):
    mask = phantoms.phantom_mask()
    matrix = phantoms.GEOMETRIES[geometry]
    volume = phantoms.add_volume(phantoms.phantom_image(), matrix)
    phantoms.put_under(volume, phantoms.PARENTS[parent])
    before = phantoms.memory_of(volume)[0]
    node = brought_back([outcome(mask, tmp_path)], volume)
    assert phantoms.memory_of(volume)[0] == before
    truth = phantoms.world_of(phantoms.combined(phantoms.PARENTS[parent]) @ matrix, np.argwhere(mask))
    np.testing.assert_allclose(phantoms.segment_voxels(node, "Lesion"), phantoms.sorted_points(truth), atol=1e-6)
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask)
    assert node.GetParentTransformNode() is volume.GetParentTransformNode()


@pytest.mark.parametrize("parent", ["none", "a chain"])
@pytest.mark.parametrize("geometry", phantoms.GEOMETRIES)
def test_contours_go_to_the_worker_and_back_to_the_same_points_of_the_world(host, tmp_path, geometry, parent):
    from SAMPromptCommonLib.segmentations import exportStructures
    from SAMPromptCommonLib.steps import runNow
    from SAMPromptCommonLib.volumes import VolumeHandover

    mask = phantoms.phantom_mask()
    volume = phantoms.add_volume(phantoms.phantom_image(), phantoms.GEOMETRIES[geometry])
    baseline = phantoms.add_segmentation({"Lesion": mask, "Other": mask[::-1, ::-1].copy()}, volume)
    for item in (volume, baseline):
        phantoms.put_under(item, phantoms.PARENTS[parent])
    before = phantoms.memory_of(volume, baseline)[0]
    handover = VolumeHandover(volume, tmp_path)
    runNow(handover)
    messages = runNow(exportStructures(baseline, None, volume, tmp_path, handover.frame))
    echo = [OutcomeMessage(m, m, 1.0, 1.0, 0.0, 0.0, 0.9, "high", False) for m in messages]
    node = brought_back(echo, volume, baseline, frame=handover.frame)
    for segment in ("Lesion", "Other"):
        there, here = phantoms.segment_voxels(baseline, segment), phantoms.segment_voxels(node, segment)
        np.testing.assert_allclose(here, there, atol=1e-6)
    assert phantoms.memory_of(volume, baseline)[0] == before


def test_a_single_slice_comes_back(host, tmp_path):
    mask = phantoms.phantom_mask((1, 22, 30))
    volume = phantoms.add_volume(phantoms.phantom_image((1, 22, 30)), phantoms.GEOMETRIES["oblique"])
    node = brought_back([outcome(mask, tmp_path)], volume)
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask)


# --- what the new node is ---------------------------------------------------------------------------------------------
def test_name_colour_terminology_and_tags_are_the_baselines(host, tmp_path, visit):
    volume, baseline, mask = visit
    original = baseline.GetSegmentation().GetSegment("Lesion")
    original.SetName("Läsion rechts")
    original.SetColor(0.5, 0.25, 0.125)
    original.SetTag("TerminologyEntry", TERMS)
    original.SetTag("Reader", "A. B.")
    original.SetLabelValue(7)
    node = brought_back([outcome(mask, tmp_path)], volume, baseline, tags={"Lesion": {"SAMPrompt.Model": "tiny"}})
    segment = node.GetSegmentation().GetSegment("Lesion")
    assert segment.GetName() == "Läsion rechts"
    assert segment.GetColor() == (0.5, 0.25, 0.125)
    for tag, expected in (("TerminologyEntry", TERMS), ("Reader", "A. B."), ("SAMPrompt.Model", "tiny")):
        value = vtk.reference("")
        assert segment.GetTag(tag, value), tag
        assert str(value) == expected
    assert segment.GetLabelValue() == 1
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask)
    missing = vtk.reference("")
    assert not original.GetTag("SAMPrompt.Model", missing)


def test_only_a_flagged_structure_is_flagged_and_the_baselines_status_is_not_inherited(host, tmp_path, visit):
    volume, baseline, mask = visit
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(baseline.GetSegmentation().GetSegment("Lesion"), logic.Completed)
    status = []
    for flagged in (True, False):
        node = brought_back([outcome(mask, tmp_path, flagged=flagged)], volume, baseline)
        status.append(logic.GetSegmentStatus(node.GetSegmentation().GetSegment("Lesion")))
    assert status == [logic.Flagged, logic.NotStarted]
    assert logic.GetSegmentStatus(baseline.GetSegmentation().GetSegment("Lesion")) == logic.Completed


def test_the_result_has_the_volume_as_reference_and_points_to_what_it_was_made_from(host, tmp_path, visit):
    from SAMPromptCommonLib.segmentations import BASELINE_ROLE, VOLUME_ROLE

    volume, baseline, mask = visit
    node = brought_back([outcome(mask, tmp_path)], volume, baseline)
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is volume
    assert node.GetNodeReference(VOLUME_ROLE) is volume
    assert node.GetNodeReference(BASELINE_ROLE) is baseline
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    geometry = slicer.vtkOrientedImageData()
    text = node.GetSegmentation().GetConversionParameter(name)
    assert slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, geometry, False)
    matrix = vtk.vtkMatrix4x4()
    geometry.GetImageToWorldMatrix(matrix)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), phantoms.GEOMETRIES["oblique"], atol=1e-5)
    assert geometry.GetDimensions() == (30, 22, 14)


def test_the_result_is_a_cropped_label_map_and_no_surface_is_made(host, tmp_path, visit):
    volume, baseline, _ = visit
    mask = np.zeros((14, 22, 30), np.uint8)
    mask[3:6, 10:12, 20:27] = 1
    node = brought_back([outcome(mask, tmp_path)], volume, baseline)
    segment = node.GetSegmentation().GetSegment("Lesion")
    assert node.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"
    kinds: list[str] = []
    segment.GetContainedRepresentationNames(kinds)
    assert kinds == ["Binary labelmap"]
    image = segment.GetRepresentation("Binary labelmap")
    assert image.GetExtent() == (20, 26, 10, 11, 3, 5)
    assert image.GetScalarTypeAsString() == "unsigned char"
    assert node.GetDisplayNode() is not None


def test_the_result_stands_under_the_volumes_study(host, tmp_path, visit):
    volume, baseline, mask = visit
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    studies = [hierarchy.CreateStudyItem(patient, name) for name in ("Baseline", "Later")]
    for node, study in ((baseline, studies[0]), (volume, studies[1])):
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(study, node), study)
    node = brought_back([outcome(mask, tmp_path)], volume, baseline)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == studies[1]
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(baseline)) == studies[0]


def test_names_are_free_and_no_node_is_overwritten(host, tmp_path, visit):
    volume, baseline, mask = visit
    nodes = [brought_back([outcome(mask, tmp_path)], volume, baseline, name="Contours") for _ in range(3)]
    names = {baseline.GetName(), *(node.GetName() for node in nodes)}
    assert len(names) == 4
    assert baseline.GetName() == "Contours"
    assert brought_back([outcome(mask, tmp_path)], volume, baseline).GetName() == "Contours Follow-up"


def test_a_structure_that_is_gone_becomes_an_empty_segment(host, tmp_path, visit):
    volume, baseline, mask = visit
    nothing = np.zeros_like(mask)
    baseline.GetSegmentation().AddEmptySegment("Node", "Node", (0.3, 0.6, 0.9))
    outcomes = [outcome(nothing, tmp_path, "Lesion"), outcome(mask, tmp_path, "Node")]
    node = brought_back(outcomes, volume, baseline)
    assert [node.GetSegmentation().GetNthSegmentID(n) for n in range(2)] == ["Lesion", "Node"]
    assert not labels(node, "Lesion", volume).any()
    np.testing.assert_array_equal(labels(node, "Node", volume), mask)
    # The user can draw into it as into any other.
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask[::-1].copy(), node, "Lesion", volume)
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask[::-1])
    np.testing.assert_array_equal(labels(node, "Node", volume), mask)


def test_the_prior_can_be_shown_as_well(host, tmp_path, visit):
    volume, baseline, mask = visit
    prior = structure(np.roll(mask, 1, axis=2), tmp_path)
    node = brought_back([outcome(mask, tmp_path, prior=prior, flagged=True)], volume, baseline, which="prior")
    np.testing.assert_array_equal(labels(node, "Lesion", volume), np.roll(mask, 1, axis=2))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.GetSegmentStatus(node.GetSegmentation().GetSegment("Lesion")) == logic.NotStarted


def test_overlapping_results_keep_their_common_voxels(host, tmp_path, visit):
    volume, baseline, mask = visit
    other = np.zeros_like(mask)
    other[2:12, 2:20, 3:20] = 1
    assert (mask & other).any()
    node = brought_back([outcome(mask, tmp_path, "Lesion"), outcome(other, tmp_path, "Lung")], volume, baseline)
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask)
    np.testing.assert_array_equal(labels(node, "Lung", volume), other)


@pytest.mark.parametrize("parent", ["none", "a chain"])
def test_saved_and_loaded_again_the_result_is_the_same(host, tmp_path, visit, parent):
    volume, baseline, mask = visit
    phantoms.put_under(volume, phantoms.PARENTS[parent])
    nothing = np.zeros_like(mask)
    outcomes = [outcome(mask, tmp_path), outcome(nothing, tmp_path, "Gone"), outcome(mask[::-1], tmp_path, "Other")]
    node = brought_back(outcomes, volume, baseline)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "result.seg.nrrd"))
    assert storage.WriteData(node)
    again = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(again)
    again.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    for id, truth in (("Lesion", mask), ("Gone", nothing), ("Other", mask[::-1])):
        assert again.GetSegmentation().GetSegment(id).GetName() == id
        world = phantoms.world_of(
            phantoms.combined(phantoms.PARENTS[parent]) @ phantoms.GEOMETRIES["oblique"], np.argwhere(truth)
        )
        np.testing.assert_allclose(phantoms.segment_voxels(again, id), phantoms.sorted_points(world), atol=1e-3)


def test_a_result_can_be_taken_back_with_all_that_came_with_it(host, tmp_path, visit):
    from SAMPromptCommonLib.segmentations import removeSegmentation

    volume, baseline, mask = visit
    brought_back([outcome(mask, tmp_path)], volume, baseline)  # the first one may bring shared nodes of the scene
    before = phantoms.memory_of(volume, baseline)
    node = brought_back([outcome(mask, tmp_path)], volume, baseline)
    node.AddDefaultStorageNode()
    assert slicer.mrmlScene.GetNumberOfNodes() > before[1]
    removeSegmentation(node)
    assert phantoms.memory_of(volume, baseline) == before
    removeSegmentation(node)  # a second time, and with nothing: no error
    removeSegmentation(None)


def test_the_scenes_own_undo_takes_a_result_back_where_it_is_on(host, tmp_path, visit):
    volume, baseline, mask = visit
    slicer.mrmlScene.SetUndoOn()
    try:
        node = brought_back([outcome(mask, tmp_path)], volume, baseline)
        assert slicer.mrmlScene.GetNumberOfUndoLevels() > 0
        assert node.GetScene() is slicer.mrmlScene
    finally:
        slicer.mrmlScene.SetUndoOff()
        slicer.mrmlScene.ClearUndoStack()


# --- bent and sheared volumes -----------------------------------------------------------------------------------------
SHAPE = (22, 40, 36)


def blob(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    d = points - centre
    return (((d / (10.0, 7.0, 8.0)) ** 2).sum(axis=1) <= 1) | (np.linalg.norm(d - [8.0, 4.0, 2.0], axis=1) <= 4.5)


def bent_visit(bend: str):
    return phantoms.bent_volume(np.zeros(SHAPE, np.int16), bend, "Bent")


def labels_on_own_voxels(node) -> np.ndarray:
    """The mask of the only segment by the extent of its label map."""
    found = np.zeros(SHAPE, bool)
    image = node.GetSegmentation().GetSegment("Lesion").GetRepresentation("Binary labelmap")
    e = image.GetExtent()
    part = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    found[e[4] : e[5] + 1, e[2] : e[3] + 1, e[0] : e[1] + 1] = part.reshape(image.GetDimensions()[::-1])
    return found


@pytest.mark.parametrize(
    ("bend", "meanwhile"),
    [
        *product(["grid", "b-spline", "shearing parent"], ["nothing", "transform edited", "transform deleted"]),
        ("sheared grid", "nothing"),
    ],
)
def test_a_mask_of_a_bent_volume_comes_back_onto_its_own_voxels(host, tmp_path, bend, meanwhile):
    from SAMPromptCommonLib.steps import runNow
    from SAMPromptCommonLib.volumes import VolumeHandover

    volume, matrix = bent_visit(bend)
    handover = VolumeHandover(volume, tmp_path)
    message = runNow(handover)
    own = phantoms.world_of(matrix, np.argwhere(np.ones(SHAPE)))
    centre = phantoms.through(volume, phantoms.world_of(matrix, np.array([[11.0, 19.0, 17.0]])))[0]
    truth = blob(phantoms.through(volume, own), centre).reshape(SHAPE)
    grid = np.array(message.grid.ijk_to_ras).reshape(4, 4)
    on_grid = blob(phantoms.world_of(grid, np.argwhere(np.ones(message.grid.shape))), centre)
    answer = outcome(on_grid.reshape(message.grid.shape), tmp_path)
    parent, before = volume.GetParentTransformNode(), phantoms.through(volume, own)
    if meanwhile == "transform deleted":
        slicer.mrmlScene.RemoveNode(parent)
    elif meanwhile == "transform edited" and parent.IsLinear():
        parent.SetMatrixTransformToParent(phantoms.to_vtk(phantoms.PARENTS["a shift"][0]))
    elif meanwhile == "transform edited":
        transform = parent.GetTransformToParent()
        field = transform.GetDisplacementGrid() if bend == "grid" else transform.GetCoefficientData()
        vtk.util.numpy_support.vtk_to_numpy(field.GetPointData().GetScalars())[...] *= -1
        field.GetPointData().GetScalars().Modified()
        transform.Modified()
        assert np.abs(phantoms.through(volume, own) - before).max() > 3
    node = brought_back([answer], volume, frame=handover.frame)
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    placed = vtk.vtkMatrix4x4()
    node.GetSegmentation().GetSegment("Lesion").GetRepresentation("Binary labelmap").GetImageToWorldMatrix(placed)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(placed), matrix, atol=1e-6)
    found = labels_on_own_voxels(node)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93
    # Digitised twice, on the regular grid and on its own: still far from a shift of half a voxel.
    assert np.abs(np.subtract(ndimage.center_of_mass(found), ndimage.center_of_mass(truth))).max() < 0.3
    depth = ndimage.distance_transform_edt(truth) - ndimage.distance_transform_edt(~truth)
    assert found[depth > 1.8].all()
    assert not found[depth < -1.8].any()


@pytest.mark.parametrize("bend", ["grid", "b-spline", "shearing parent", "sheared grid"])
def test_contours_of_a_bent_or_sheared_volume_survive_the_way_there_and_back(host, tmp_path, bend):
    from SAMPromptCommonLib.segmentations import exportStructures
    from SAMPromptCommonLib.steps import runNow
    from SAMPromptCommonLib.volumes import VolumeHandover

    volume, matrix = bent_visit(bend)
    own = phantoms.world_of(matrix, np.argwhere(np.ones(SHAPE)))
    centre = phantoms.world_of(matrix, np.array([[11.0, 19.0, 17.0]]))[0]
    mask = blob(own, centre).reshape(SHAPE)
    baseline = phantoms.add_segmentation({"Lesion": mask.astype(np.uint8)}, volume)
    baseline.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    before = phantoms.memory_of(volume, baseline)[0]
    handover = VolumeHandover(volume, tmp_path)
    runNow(handover)
    messages = runNow(exportStructures(baseline, None, volume, tmp_path, handover.frame))
    node = brought_back(messages, volume, baseline, frame=handover.frame)
    assert phantoms.memory_of(volume, baseline)[0] == before
    found = labels_on_own_voxels(node)
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.9
    assert np.abs(np.subtract(ndimage.center_of_mass(found), ndimage.center_of_mass(mask))).max() < 0.2
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    assert found[depth > 1.8].all()
    assert not found[depth < -1.8].any()


# --- what happens meanwhile -------------------------------------------------------------------------------------------
def test_nothing_is_in_the_scene_before_the_last_step_and_a_cancelled_import_leaves_nothing(host, tmp_path, visit):
    from SAMPromptCommonLib.segmentations import importStructures

    volume, baseline, mask = visit
    before = phantoms.memory_of(volume, baseline)
    outcomes = [outcome(mask, tmp_path, id) for id in ("Lesion", "B", "C")]
    complete = len(list(importStructures(outcomes, volume, baseline)))
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetNthNodeByClass(1, "vtkMRMLSegmentationNode"))
    for stop in range(1, complete):
        count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
        steps = importStructures(outcomes, volume, baseline)
        for _ in range(stop):
            next(steps)
        steps.close()
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == count == 1
    assert phantoms.memory_of(volume, baseline)[0] == before[0]


@pytest.mark.parametrize("fate", ["volume", "scene"])
def test_a_visit_that_was_deleted_meanwhile_gets_no_result(host, tmp_path, visit, fate):
    from SAMPromptCommonLib.segmentations import importStructures

    volume, baseline, mask = visit
    steps = importStructures([outcome(mask, tmp_path)], volume, baseline)
    next(steps)
    if fate == "volume":
        slicer.mrmlScene.RemoveNode(volume)
    else:
        slicer.mrmlScene.Clear(0)
    with pytest.raises(InputError, match="'Follow-up' was removed"):
        list(steps)
    expected = 1 if fate == "volume" else 0
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == expected


def test_without_the_baseline_the_result_still_comes_with_name_and_colour(host, tmp_path, visit):
    volume, baseline, mask = visit
    slicer.mrmlScene.RemoveNode(baseline)
    node = brought_back([outcome(mask, tmp_path)], volume, baseline)
    segment = node.GetSegmentation().GetSegment("Lesion")
    assert segment.GetName() == "Lesion"
    np.testing.assert_allclose(segment.GetColor(), (0.1, 0.2, 0.3), atol=1e-6)
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask)


def test_plain_structures_can_be_brought_in_as_well(host, tmp_path, visit):
    volume, _, mask = visit
    message = replace(structure(mask, tmp_path, "New"), name="A nodule", terminology=TERMS)
    node = brought_back([message], volume, name="Sample")
    segment = node.GetSegmentation().GetSegment("New")
    value = vtk.reference("")
    assert segment.GetTag("TerminologyEntry", value)
    assert (segment.GetName(), str(value), node.GetName()) == ("A nodule", TERMS, "Sample")
    np.testing.assert_array_equal(labels(node, "New", volume), mask)


def test_a_volume_of_another_size_is_refused(host, tmp_path, visit):
    from SAMPromptCommonLib.grids import frameOf

    volume, baseline, mask = visit
    frame = frameOf(volume)
    slicer.util.updateVolumeFromArray(volume, np.zeros((3, 4, 5)))
    with pytest.raises(InputError, match="another size"):
        brought_back([outcome(mask, tmp_path)], volume, baseline, frame=frame)


def test_a_volume_that_was_moved_meanwhile_takes_its_result_along(host, tmp_path, visit):
    from SAMPromptCommonLib.grids import frameOf

    volume, baseline, mask = visit
    frame = frameOf(volume)
    phantoms.put_under(volume, phantoms.PARENTS["a turn"])
    node = brought_back([outcome(mask, tmp_path)], volume, baseline, frame=frame)
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask)


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize(
    "damage", ["missing", "truncated", "another shape", "flat", "colours", "text", "outside", "negative"]
)
def test_a_damaged_mask_is_told_and_leaves_nothing_behind(host, tmp_path, visit, damage, bent):
    volume, baseline, mask = visit
    if bent:
        volume.SetAndObserveTransformNodeID(phantoms.bending_grid().GetID())
    good = outcome(mask, tmp_path).structure
    offset, path = good.offset, Path(good.array)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "another shape":
        np.save(path, np.ones((2, 3, 4), np.uint8))
    elif damage == "flat":
        np.save(path, np.ones(good.size[1:], np.uint8))
    elif damage == "colours":
        np.save(path, np.ones(good.size, np.complex64))
    elif damage == "text":
        path.write_text("not an array")
    else:
        offset = (40, 0, 0) if damage == "outside" else (0, -1, 0)
    message = StructureMessage(good.id, good.name, good.color, good.array, offset, good.size)
    count = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(UnreadableFileError, match="The mask of 'Lesion'"):
        brought_back([OutcomeMessage(message, message, 1, 1, 0, 0, 1, "high", False)], volume, baseline)
    assert slicer.mrmlScene.GetNumberOfNodes() == count


def test_the_masks_files_may_be_removed_afterwards(host, tmp_path, visit):
    volume, baseline, mask = visit
    node = brought_back([outcome(mask, tmp_path)], volume, baseline)
    for file in tmp_path.iterdir():
        file.unlink()
    np.testing.assert_array_equal(labels(node, "Lesion", volume), mask)
