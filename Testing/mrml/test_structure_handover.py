"""Segments of the scene become masks on the volume's grid, at the same place of the world, and stay as they are."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import vtk
from samprompt.contract.errors import GridError, InputError, OutputError, StructureError
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent))
import phantoms

pytestmark = pytest.mark.usefixtures("host")


def handed_over(segmentation, volume, folder, ids=None, notes=None):
    """Messages of a complete run."""
    from SAMPromptCommonLib.segmentations import exportStructures
    from SAMPromptCommonLib.steps import runNow

    return runNow(exportStructures(segmentation, ids, volume, folder, notes=notes))


def grid_of(volume):
    """Shape and matrix of the grid on which a volume is handed over."""
    from SAMPromptCommonLib.grids import gridMessage

    message = gridMessage(volume)
    return message.shape, np.array(message.ijk_to_ras).reshape(4, 4)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


# --- the same voxels --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("parent", phantoms.PARENTS)
@pytest.mark.parametrize("geometry", phantoms.GEOMETRIES)
def test_a_mask_on_the_volumes_own_voxels_is_copied_exactly(host, tmp_path, geometry, parent):
    mask = phantoms.phantom_mask()
    volume = phantoms.add_volume(phantoms.phantom_image(), phantoms.GEOMETRIES[geometry])
    segmentation = phantoms.add_segmentation({"Lesion": mask}, volume)
    for node in (volume, segmentation):
        phantoms.put_under(node, phantoms.PARENTS[parent])
    before = phantoms.memory_of(volume, segmentation)
    (message,) = handed_over(segmentation, volume, tmp_path)
    np.testing.assert_array_equal(phantoms.full_mask(message, mask.shape), mask)
    assert phantoms.memory_of(volume, segmentation) == before
    # Cropped: every face of the box holds a voxel.
    part = np.load(message.array)
    assert all(part.take(end, axis).any() for axis in range(3) for end in (0, -1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_label_maps_of_any_type_are_understood(host, tmp_path, dtype):
    mask = phantoms.phantom_mask()
    volume = phantoms.add_volume(phantoms.phantom_image(), phantoms.GEOMETRIES["oblique"])
    segmentation = phantoms.add_segmentation({"A": mask.astype(dtype)}, volume)
    (message,) = handed_over(segmentation, volume, tmp_path)
    np.testing.assert_array_equal(phantoms.full_mask(message, mask.shape), mask)


def test_segments_that_share_a_layer_are_kept_apart(host, tmp_path):
    shape = (14, 22, 30)
    masks = {name: np.zeros(shape, np.uint8) for name in ("Left", "Right", "Middle")}
    masks["Left"][2:6, 3:9, 2:10] = masks["Right"][2:6, 3:9, 20:28] = masks["Middle"][7:9, 12:15, 9:22] = 1
    volume = phantoms.add_volume(phantoms.phantom_image(shape), phantoms.GEOMETRIES["oblique"])
    segmentation = phantoms.add_segmentation(masks, volume)
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    before = phantoms.memory_of(volume, segmentation)
    for message in handed_over(segmentation, volume, tmp_path):
        np.testing.assert_array_equal(phantoms.full_mask(message, shape), masks[message.id])
    assert phantoms.memory_of(volume, segmentation) == before


def test_overlapping_segments_both_keep_the_common_voxels(host, tmp_path):
    shape = (14, 22, 30)
    masks = {name: np.zeros(shape, np.uint8) for name in ("Tumour", "Lung", "Apart")}
    masks["Tumour"][4:8, 8:14, 10:18] = masks["Lung"][2:10, 4:16, 6:24] = masks["Apart"][0:2, 0:2, 0:2] = 1
    volume = phantoms.add_volume(phantoms.phantom_image(shape), phantoms.GEOMETRIES["sagittal"])
    segmentation = phantoms.add_segmentation(masks, volume)
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 2
    messages = {m.id: m for m in handed_over(segmentation, volume, tmp_path)}
    for name, mask in masks.items():
        np.testing.assert_array_equal(phantoms.full_mask(messages[name], shape), mask)


def test_only_the_chosen_segments_go_in_the_chosen_order_with_names_and_colours(host, tmp_path):
    masks = {name: phantoms.phantom_mask() for name in ("a", "b", "c")}
    volume = phantoms.add_volume(phantoms.phantom_image(), phantoms.GEOMETRIES["oblique"])
    segmentation = phantoms.add_segmentation(masks, volume)
    segmentation.GetSegmentation().GetSegment("c").SetName("Große Läsion 肺")
    segmentation.GetSegmentation().GetSegment("c").SetColor(0.25, 0.5, 0.125)
    segmentation.GetSegmentation().GetSegment("c").SetTag("TerminologyEntry", "Somewhere~SCT^4147007^Mass~^^~~^^~^^")
    messages = handed_over(segmentation, volume, tmp_path, ["c", "a"])
    assert [(m.id, m.name) for m in messages] == [("c", "Große Läsion 肺"), ("a", "a")]
    assert messages[0].color == (0.25, 0.5, 0.125)
    assert messages[0].terminology == "Somewhere~SCT^4147007^Mass~^^~~^^~^^" != messages[1].terminology
    assert len(list(tmp_path.iterdir())) == 2


def test_a_structure_of_many_slices_is_found_from_end_to_end(host, tmp_path):
    """Labels are searched a few planes at a time: a structure has to be put together again."""
    shape = (70, 256, 256)
    masks = {name: np.zeros(shape, np.uint8) for name in ("Ends", "Diagonal")}
    masks["Ends"][0, 10:20, 5:9] = masks["Ends"][69, 200:210, 250:256] = 1
    for k in range(3, 66):
        masks["Diagonal"][k, 3 * k, 255 - 3 * k] = 1
    volume = phantoms.add_volume(np.zeros(shape, np.int16), phantoms.GEOMETRIES["oblique"])
    segmentation = phantoms.add_segmentation(masks, volume)
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    for message in handed_over(segmentation, volume, tmp_path):
        np.testing.assert_array_equal(phantoms.full_mask(message, shape), masks[message.id])


def test_a_single_slice_with_its_contour_is_handed_over(host, tmp_path):
    mask = phantoms.phantom_mask((1, 22, 30))
    volume = phantoms.add_volume(phantoms.phantom_image((1, 22, 30)), phantoms.GEOMETRIES["oblique"])
    segmentation = phantoms.add_segmentation({"Flat": mask}, volume)
    (message,) = handed_over(segmentation, volume, tmp_path)
    np.testing.assert_array_equal(phantoms.full_mask(message, mask.shape), mask)


# --- other extent, other geometry -------------------------------------------------------------------------------------
@pytest.mark.parametrize("extent", ["cropped", "shifted out", "larger"])
def test_a_label_map_of_another_extent_lands_on_the_same_voxels(host, tmp_path, extent):
    mask = phantoms.phantom_mask((14, 22, 30))
    matrix = phantoms.GEOMETRIES["oblique"]
    volume = phantoms.add_volume(phantoms.phantom_image((14, 22, 30)), matrix)
    segmentation = phantoms.add_segmentation({"Lesion": mask}, volume)
    segment = segmentation.GetSegmentation().GetSegment("Lesion")
    expected = mask.copy()
    if extent == "cropped":
        # Without the lonely voxel in the last slices, and by extent, not by origin, as the Segment Editor does it.
        expected[7:] = 0
        part, first = mask[2:7, 3:20, 4:28], (2, 3, 4)
        expected[:2], expected[:, :3], expected[:, :, :4] = 0, 0, 0
        expected[:, 20:], expected[:, :, 28:] = 0, 0
        image = phantoms.oriented_image(part, matrix, first)
    else:
        big = np.zeros((30, 40, 50), np.uint8)
        big[10:24, 10:32, 10:40] = mask
        big[0:11, 0:11, 0:11] = 1  # reaches over the volume's corner
        expected[0, 0, 0] = 1
        if extent == "larger":
            image = phantoms.oriented_image(big, matrix, (-10, -10, -10))
        else:
            moved = matrix.copy()
            moved[:3, 3] = phantoms.world_of(matrix, np.array([[-10, -10, -10]]))[0]
            image = phantoms.oriented_image(big, moved)
    segment.AddRepresentation("Binary labelmap", image)
    notes: list[str] = []
    (message,) = handed_over(segmentation, volume, tmp_path, notes=notes)
    np.testing.assert_array_equal(phantoms.full_mask(message, mask.shape), expected)
    assert bool(notes) == (extent != "cropped")
    if notes:
        lost = 1 - expected.sum() / (mask.sum() + 11**3 - (mask[0, 0, 0] == 1))
        assert notes == [f"{100 * lost:.0f} % of 'Lesion' lies outside the volume and was cut off."]


@pytest.mark.parametrize("turn", ["flipped", "permuted"])
def test_a_label_map_stored_in_another_order_of_axes_is_copied_exactly(host, tmp_path, turn):
    mask = phantoms.phantom_mask()
    matrix = phantoms.GEOMETRIES["oblique"]
    volume = phantoms.add_volume(phantoms.phantom_image(), matrix)
    segmentation = phantoms.add_segmentation({"Lesion": mask}, volume)
    if turn == "flipped":
        stored = mask[::-1, :, ::-1]
        change = np.array([[-1, 0, 0, 29.0], [0, 1, 0, 0], [0, 0, -1, 13.0], [0, 0, 0, 1]])
    else:  # stored (i, k, j): its i is the volume's j, its j the volume's k, its k the volume's i
        stored = mask.transpose(2, 0, 1)
        change = np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    image = phantoms.oriented_image(stored, matrix @ change)
    segmentation.GetSegmentation().GetSegment("Lesion").AddRepresentation("Binary labelmap", image)
    (message,) = handed_over(segmentation, volume, tmp_path)
    np.testing.assert_array_equal(phantoms.full_mask(message, mask.shape), mask)


def ellipsoid(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Whether points of the world lie in an ellipsoid with a bump on one side: no symmetry left."""
    d = points - centre
    body = (d[:, 0] / 9.0) ** 2 + (d[:, 1] / 6.0) ** 2 + (d[:, 2] / 7.5) ** 2 <= 1
    bump = np.linalg.norm(d - [8.0, 3.0, 2.0], axis=1) <= 4.0
    return body | bump


def shape_on(matrix: np.ndarray, shape: tuple, centre: np.ndarray, place=lambda points: points) -> np.ndarray:
    kji = np.argwhere(np.ones(shape))
    return ellipsoid(place(phantoms.world_of(matrix, kji)), centre).reshape(shape).astype(np.uint8)


CENTRE_KJI = np.array([[11.0, 19.0, 17.0]])
SHAPE = (22, 40, 36)
IDENTITY = np.eye(4)
FINE = (0.45, 0.45, 0.5)


def fine_grid(matrix: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """A fine grid round the middle of a volume of ``SHAPE``."""
    centre = phantoms.world_of(matrix, CENTRE_KJI)[0]
    grid = phantoms.affine(turn, FINE, (0, 0, 0))
    grid[:3, 3] = centre - grid[:3, :3] @ [45, 45, 40]
    return grid


@pytest.mark.parametrize("where", ["volume", "segmentation", "both, different"])
@pytest.mark.parametrize("geometry", phantoms.GEOMETRIES)
def test_a_mask_of_another_geometry_and_other_transforms_lands_where_it_is_seen(host, tmp_path, geometry, where):
    matrix = phantoms.GEOMETRIES[geometry]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    volume_parents = phantoms.PARENTS["a chain"] if where != "segmentation" else []
    segmentation_parents = phantoms.PARENTS["a turn"] if where != "volume" else []
    to_world = phantoms.combined(volume_parents)
    from_world = np.linalg.inv(phantoms.combined(segmentation_parents))
    # Truth: a shape of the world, drawn on a fine grid in the segmentation's own RAS.
    world_matrix = to_world @ matrix
    centre = phantoms.world_of(world_matrix, CENTRE_KJI)[0]
    drawn_on = from_world @ fine_grid(world_matrix, phantoms.rotation(10, 20, 30))
    segmentation = phantoms.add_segmentation({}, volume)
    segmentation.GetSegmentation().AddEmptySegment("Lesion", "Lesion")
    drawn = shape_on(np.linalg.inv(from_world) @ drawn_on, (80, 90, 90), centre)
    assert 0 < drawn.sum() < drawn.size
    phantoms.set_labels(segmentation, "Lesion", drawn, drawn_on)
    phantoms.put_under(volume, volume_parents)
    phantoms.put_under(segmentation, segmentation_parents)
    before = phantoms.memory_of(volume, segmentation)
    (message,) = handed_over(segmentation, volume, tmp_path)
    assert phantoms.memory_of(volume, segmentation) == before
    found = phantoms.full_mask(message, SHAPE).astype(bool)
    truth = shape_on(world_matrix, SHAPE, centre).astype(bool)
    assert dice(found, truth) > 0.93
    # Not shifted by so much as a third of a voxel: the centres of mass agree.
    shift = np.subtract(ndimage.center_of_mass(found), ndimage.center_of_mass(truth))
    assert np.abs(shift).max() < 0.15
    # And voxels that are well inside or well outside the shape are all right.
    depth = ndimage.distance_transform_edt(truth) - ndimage.distance_transform_edt(~truth)
    assert found[depth > 1.8].all()
    assert not found[depth < -1.8].any()


@pytest.mark.parametrize("where", ["volume", "segmentation", "both"])
@pytest.mark.parametrize("bend", ["grid", "b-spline"])
def test_bent_volumes_and_segmentations_meet_in_the_world(host, tmp_path, bend, where):
    matrix = phantoms.GEOMETRIES["oblique"]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    transform = phantoms.bending_grid() if bend == "grid" else phantoms.bending_bspline()
    if where != "segmentation":
        volume.SetAndObserveTransformNodeID(transform.GetID())
    segmentation = phantoms.add_segmentation({}, volume)
    segmentation.GetSegmentation().AddEmptySegment("Lesion", "Lesion")
    if where != "volume":
        segmentation.SetAndObserveTransformNodeID(transform.GetID())
    centre = phantoms.through(volume, phantoms.world_of(matrix, CENTRE_KJI))[0]
    middle = phantoms.world_of(matrix, CENTRE_KJI)[0]
    drawn_on = fine_grid(matrix, np.eye(3))
    drawn_on[:3, 3] += centre - middle if where == "volume" else 0
    place = (lambda p: p) if where == "volume" else (lambda p: phantoms.through(segmentation, p))
    drawn = shape_on(drawn_on, (80, 90, 90), centre, place)
    assert drawn.any()
    phantoms.set_labels(segmentation, "Lesion", drawn, drawn_on)
    before = phantoms.memory_of(volume, segmentation)
    (message,) = handed_over(segmentation, volume, tmp_path)
    assert phantoms.memory_of(volume, segmentation) == before
    shape, grid = grid_of(volume)
    found = phantoms.full_mask(message, shape).astype(bool)
    truth = shape_on(grid, shape, centre).astype(bool)
    assert dice(found, truth) > 0.93
    assert np.abs(np.subtract(ndimage.center_of_mass(found), ndimage.center_of_mass(truth))).max() < 0.15


def test_a_coarse_volume_keeps_a_voxel_when_half_of_it_is_covered(host, tmp_path):
    coarse = phantoms.affine(np.eye(3), (4.0, 4.0, 4.0), (0, 0, 0))
    volume = phantoms.add_volume(np.zeros((8, 8, 8), np.int16), coarse)
    segmentation = phantoms.add_segmentation({}, volume)
    fine = phantoms.affine(np.eye(3), (0.5, 0.5, 0.5), (-1.75, -1.75, -1.75))  # eight fine voxels per coarse one
    drawn = np.zeros((64, 64, 64), np.uint8)
    drawn[16:40, 16:40, 16:40] = 1  # coarse voxels 2, 3, 4 exactly
    drawn[16:40, 16:40, 40:43] = 1  # and less than half of voxel 5 along i
    segmentation.GetSegmentation().AddEmptySegment("Block", "Block")
    phantoms.set_labels(segmentation, "Block", drawn, fine)
    (message,) = handed_over(segmentation, volume, tmp_path)
    expected = np.zeros((8, 8, 8), np.uint8)
    expected[2:5, 2:5, 2:5] = 1
    np.testing.assert_array_equal(phantoms.full_mask(message, (8, 8, 8)), expected)


def test_a_lesion_smaller_than_a_voxel_does_not_vanish(host, tmp_path):
    volume = phantoms.add_volume(np.zeros((8, 8, 8), np.int16), phantoms.affine(np.eye(3), (4, 4, 4), (0, 0, 0)))
    segmentation = phantoms.add_segmentation({}, volume)
    drawn = np.zeros((40, 40, 40), np.uint8)
    drawn[30:32, 21:23, 10:12] = 1
    segmentation.GetSegmentation().AddEmptySegment("Dot", "Dot")
    phantoms.set_labels(segmentation, "Dot", drawn, phantoms.affine(np.eye(3), (0.5, 0.5, 0.5), (0.1, 0.1, 0.1)))
    (message,) = handed_over(segmentation, volume, tmp_path)
    assert np.argwhere(phantoms.full_mask(message, (8, 8, 8))).tolist() == [[4, 3, 1]]


# --- surfaces and contours --------------------------------------------------------------------------------------------
def surface_segmentation(volume, centre, radii=(9.0, 6.0, 7.5), own=IDENTITY, kind="Closed surface"):
    """A segmentation whose source is an ellipsoid's surface round ``centre`` (of the world), in its own RAS."""
    import slicer
    from SAMPromptCommonLib.sources import setSourceName

    source = vtk.vtkSphereSource()
    source.SetRadius(1.0)
    source.SetThetaResolution(96)
    source.SetPhiResolution(96)
    transform = vtk.vtkTransform()
    transform.SetMatrix(phantoms.to_vtk(own @ phantoms.affine(np.eye(3), radii, centre)))
    mover = vtk.vtkTransformPolyDataFilter()
    mover.SetInputConnection(source.GetOutputPort())
    mover.SetTransform(transform)
    mover.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surfaces")
    setSourceName(node.GetSegmentation(), kind)
    segment = slicer.vtkSegment()
    segment.SetName("Ball")
    segment.AddRepresentation(kind, mover.GetOutput())
    node.GetSegmentation().AddSegment(segment, "Ball")
    return node


def in_ellipsoid(matrix, shape, centre, radii=(9.0, 6.0, 7.5)):
    kji = np.argwhere(np.ones(shape))
    return ((((phantoms.world_of(matrix, kji) - centre) / radii) ** 2).sum(axis=1) <= 1).reshape(shape)


@pytest.mark.parametrize("parent", ["none", "a chain", "a mirror"])
@pytest.mark.parametrize("geometry", phantoms.GEOMETRIES)
def test_a_closed_surface_is_filled_on_the_volumes_grid(host, tmp_path, geometry, parent):
    matrix = phantoms.GEOMETRIES[geometry]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    centre = phantoms.world_of(matrix, CENTRE_KJI)[0]
    from_world = np.linalg.inv(phantoms.combined(phantoms.PARENTS[parent]))
    segmentation = surface_segmentation(volume, centre, own=from_world)
    phantoms.put_under(segmentation, phantoms.PARENTS[parent])
    before = phantoms.memory_of(volume, segmentation)
    (message,) = handed_over(segmentation, volume, tmp_path)
    assert phantoms.memory_of(volume, segmentation) == before
    found = phantoms.full_mask(message, SHAPE).astype(bool)
    truth = in_ellipsoid(matrix, SHAPE, centre)
    # A sphere of 96 x 96 facets is smaller than the sphere by a thousandth of its radius: few voxels may differ.
    assert (found ^ truth).sum() <= 0.02 * truth.sum()
    assert not (found & ~truth).any()


def test_a_closed_surface_gives_the_voxels_that_slicer_itself_gives(host, tmp_path):
    import slicer

    matrix = phantoms.GEOMETRIES["oblique"]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    segmentation = surface_segmentation(volume, phantoms.world_of(matrix, CENTRE_KJI)[0])
    (message,) = handed_over(segmentation, volume, tmp_path)
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    assert segmentation.GetSegmentation().CreateRepresentation("Binary labelmap", True)
    image = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation("Ball", image)
    theirs = np.zeros(SHAPE, np.uint8)
    e = image.GetExtent()
    part = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    shape = (e[5] - e[4] + 1, e[3] - e[2] + 1, e[1] - e[0] + 1)
    theirs[e[4] : e[5] + 1, e[2] : e[3] + 1, e[0] : e[1] + 1] = part.reshape(shape)
    np.testing.assert_array_equal(phantoms.full_mask(message, SHAPE), theirs)


def test_a_bent_closed_surface_is_filled_where_it_is_seen(host, tmp_path):
    matrix = phantoms.GEOMETRIES["oblique"]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    own_centre = phantoms.world_of(matrix, CENTRE_KJI)[0]
    segmentation = surface_segmentation(volume, own_centre)
    segmentation.SetAndObserveTransformNodeID(phantoms.bending_grid().GetID())
    (message,) = handed_over(segmentation, volume, tmp_path)
    found = phantoms.full_mask(message, SHAPE).astype(bool)
    # Truth: points of the own RAS on a fine lattice, inside and outside, moved through Slicer's transform.
    rng = np.random.default_rng(0)
    points = own_centre + rng.uniform(-14, 14, (6000, 3))
    level = (((points - own_centre) / (9.0, 6.0, 7.5)) ** 2).sum(axis=1)
    there = np.linalg.inv(matrix)
    world = phantoms.through(segmentation, points)
    kji = np.rint((world @ there[:3, :3].T + there[:3, 3])[:, ::-1]).astype(int)
    within = ((kji >= 0) & (kji < SHAPE)).all(axis=1)
    assert within[level < 1].all()
    values, level = found[tuple(kji[within].T)], level[within]
    assert values[level < 0.55].all()
    assert not values[level > 1.75].any()


def test_planar_contours_use_the_surface_that_slicerrt_has_made_of_them(host, tmp_path):
    matrix = phantoms.GEOMETRIES["as from DICOM"]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    centre = phantoms.world_of(matrix, CENTRE_KJI)[0]
    segmentation = surface_segmentation(volume, centre, kind="Planar contour")
    segment = segmentation.GetSegmentation().GetSegment("Ball")
    segment.AddRepresentation("Closed surface", segment.GetRepresentation("Planar contour"))
    before = phantoms.memory_of(volume, segmentation)
    (message,) = handed_over(segmentation, volume, tmp_path)
    assert phantoms.memory_of(volume, segmentation) == before
    truth = in_ellipsoid(matrix, SHAPE, centre)
    assert (phantoms.full_mask(message, SHAPE).astype(bool) ^ truth).sum() <= 0.02 * truth.sum()


def test_planar_contours_without_slicerrt_are_refused_with_what_to_do(host, tmp_path):
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), phantoms.GEOMETRIES["as from DICOM"])
    segmentation = surface_segmentation(volume, (0, 0, 0), kind="Planar contour")
    before = phantoms.memory_of(volume, segmentation)
    with pytest.raises(StructureError) as caught:
        handed_over(segmentation, volume, tmp_path)
    assert "'Ball' consists of planar contours" in caught.value.message
    assert "SlicerRT" in caught.value.hint
    assert phantoms.memory_of(volume, segmentation) == before
    assert list(tmp_path.iterdir()) == []


def test_what_is_neither_label_map_nor_surface_is_converted_on_a_copy(host, tmp_path):
    from SAMPromptCommonLib.sources import setSourceName

    matrix = phantoms.GEOMETRIES["oblique"]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    centre = phantoms.world_of(matrix, CENTRE_KJI)[0]
    segmentation = surface_segmentation(volume, centre)
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    # A kind of representation for which Slicer has a rule, as SlicerRT brings one for planar contours.
    assert segmentation.GetSegmentation().CreateRepresentation("Fractional labelmap", True)
    setSourceName(segmentation.GetSegmentation(), "Fractional labelmap")
    segmentation.GetSegmentation().RemoveRepresentation("Closed surface")
    before = phantoms.memory_of(volume, segmentation)
    (message,) = handed_over(segmentation, volume, tmp_path)
    assert phantoms.memory_of(volume, segmentation) == before
    found = phantoms.full_mask(message, SHAPE).astype(bool)
    truth = in_ellipsoid(matrix, SHAPE, centre)
    assert dice(found, truth) > 0.95
    shift = np.subtract(ndimage.center_of_mass(found), ndimage.center_of_mass(truth))
    assert np.abs(shift).max() < 0.15


def test_a_surface_smaller_than_a_voxel_keeps_one(host, tmp_path):
    volume = phantoms.add_volume(np.zeros((8, 8, 8), np.int16), phantoms.affine(np.eye(3), (4, 4, 4), (0, 0, 0)))
    segmentation = surface_segmentation(volume, (9.5, 14.2, 18.1), (0.3, 0.3, 0.3))
    (message,) = handed_over(segmentation, volume, tmp_path)
    assert np.argwhere(phantoms.full_mask(message, (8, 8, 8))).tolist() == [[5, 4, 2]]


# --- nothing there, or elsewhere --------------------------------------------------------------------------------------
def test_an_empty_segment_goes_without_voxels_and_is_noted(host, tmp_path):
    volume = phantoms.add_volume(phantoms.phantom_image(), phantoms.GEOMETRIES["oblique"])
    segmentation = phantoms.add_segmentation({"Full": phantoms.phantom_mask()}, volume)
    segmentation.GetSegmentation().AddEmptySegment("Empty", "Empty")
    notes: list[str] = []
    full, empty = handed_over(segmentation, volume, tmp_path, notes=notes)
    assert full.array
    assert (empty.array, empty.size, empty.offset) == ("", (0, 0, 0), (0, 0, 0))
    assert notes == ["'Empty' is empty."]


@pytest.mark.parametrize("kind", ["same grid", "other grid", "surface"])
def test_a_segment_outside_the_volume_is_noted_and_nothing_but_such_is_refused(host, tmp_path, kind):
    matrix = phantoms.GEOMETRIES["oblique"]
    volume = phantoms.add_volume(np.zeros(SHAPE, np.int16), matrix)
    away = phantoms.world_of(matrix, np.array([[400.0, 19.0, 17.0]]))[0]
    if kind == "surface":
        segmentation = surface_segmentation(volume, away)
    else:
        segmentation = phantoms.add_segmentation({}, volume)
        grid = matrix.copy() if kind == "same grid" else phantoms.affine(phantoms.rotation(1, 2, 3), (1, 1, 2), away)
        grid[:3, 3] = away
        segmentation.GetSegmentation().AddEmptySegment("Ball", "Ball")
        phantoms.set_labels(segmentation, "Ball", phantoms.phantom_mask(), grid)
    with pytest.raises(GridError, match="share no space"):
        handed_over(segmentation, volume, tmp_path)
    if kind == "surface":
        return
    segmentation.GetSegmentation().AddEmptySegment("Here", "Here")
    phantoms.set_labels(segmentation, "Here", np.ones(SHAPE, np.uint8), matrix)
    notes: list[str] = []
    ball, here = handed_over(segmentation, volume, tmp_path, notes=notes)
    assert ball.array == ""
    assert here.size == SHAPE
    assert notes == ["'Ball' lies outside the volume."]


def test_a_segmentation_without_segments_is_refused(host, tmp_path):
    volume = phantoms.add_volume(phantoms.phantom_image(), np.eye(4))
    segmentation = phantoms.add_segmentation({}, volume, "Nothing yet")
    for ids in (None, []):
        with pytest.raises(StructureError, match="'Nothing yet' has no segments"):
            handed_over(segmentation, volume, tmp_path, ids)


def test_an_unknown_segment_is_refused(host, tmp_path):
    volume = phantoms.add_volume(phantoms.phantom_image(), np.eye(4))
    segmentation = phantoms.add_segmentation({"A": phantoms.phantom_mask()}, volume)
    with pytest.raises(StructureError, match="no segment 'B'"):
        handed_over(segmentation, volume, tmp_path, ["B"])


# --- what happens meanwhile -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fate", "after"),
    [*product(["segmentation", "volume", "scene", "segment"], [1, 2, 4, 7]), ("edited", 4), ("edited", 6)],
)
def test_what_disappears_between_two_steps_ends_in_a_clear_error(host, tmp_path, fate, after):
    import slicer
    from SAMPromptCommonLib.segmentations import exportStructures

    shape = (60, 300, 300)
    mask = np.ones(shape, np.uint8)
    volume = phantoms.add_volume(np.zeros(shape, np.int16), np.eye(4), "Volume")
    segmentation = phantoms.add_segmentation({"A": mask}, volume, "Contours")
    steps = exportStructures(segmentation, None, volume, tmp_path)
    for _ in range(after):
        next(steps)
    if fate == "scene":
        slicer.mrmlScene.Clear(0)
    elif fate == "segment":
        segmentation.GetSegmentation().RemoveSegment("A")
    elif fate == "edited":
        image = segmentation.GetSegmentation().GetSegment("A").GetRepresentation("Binary labelmap")
        image.GetPointData().GetScalars().Modified()
    else:
        slicer.mrmlScene.RemoveNode(volume if fate == "volume" else segmentation)
    with pytest.raises((InputError, StructureError), match=r"removed from the scene|edited|deleted|any more"):
        list(steps)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_mask(host, tmp_path, monkeypatch):
    import SAMPromptCommonLib.segmentations as segmentations

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    volume = phantoms.add_volume(phantoms.phantom_image(), np.eye(4))
    segmentation = phantoms.add_segmentation({"A": phantoms.phantom_mask()}, volume)
    monkeypatch.setattr(segmentations.secrets, "token_hex", lambda n: "full")
    (tmp_path / "structure-full.npy.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        handed_over(segmentation, volume, tmp_path)
    assert list(tmp_path.iterdir()) == []
