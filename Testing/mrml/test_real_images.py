"""Real CTs and contours loaded by Slicer's own readers, compared with what nibabel reads from the same files."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import slicer
import slicer.util
from samprompt.contract.worker import OutcomeMessage
from samprompt.worker.arrays_in import read_structure, read_volume

sys.path.insert(0, str(Path(__file__).parent))
import phantoms

pytestmark = pytest.mark.usefixtures("host")

CASES = (
    ("ct_lung_tumour/ct.nii.gz", "ct_lung_tumour/gtv.nii.gz"),
    ("ct_organs/ct.nii.gz", "ct_organs/organs.nii.gz"),
)


def loaded(path: Path, kind: str, name: str):
    """A node that Slicer's reader filled."""
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def segmentation_of(path: Path, volume):
    """The label map as a user imports it: all labels into one segmentation, sharing a layer."""
    label_map = loaded(path, "vtkMRMLLabelMapVolumeNode", "Labels")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    assert slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_map, node)
    slicer.mrmlScene.RemoveNode(label_map)
    return node


def as_read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array (k, j, i) and matrix of a NIfTI file as nibabel reads it; labels as whole numbers."""
    image = nibabel.load(path)
    return np.asarray(image.dataobj).T, image.affine


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].split("/")[0])
def test_a_real_ct_with_its_contours_goes_there_and_back_unchanged(host, tmp_path, shared_data, case):
    from SAMPromptCommonLib.segmentations import exportStructures, importStructures
    from SAMPromptCommonLib.steps import runNow
    from SAMPromptCommonLib.volumes import VolumeHandover

    volume = loaded(shared_data / case[0], "vtkMRMLScalarVolumeNode", "CT")
    segmentation = segmentation_of(shared_data / case[1], volume)
    before = phantoms.memory_of(volume, segmentation)
    handover = VolumeHandover(volume, tmp_path)
    message = runNow(handover)
    structures = runNow(exportStructures(segmentation, None, volume, tmp_path, handover.frame))
    assert phantoms.memory_of(volume, segmentation) == before
    voxels, affine = as_read(shared_data / case[0])
    labels, label_affine = as_read(shared_data / case[1])
    assert message.modality == "CT"
    np.testing.assert_allclose(np.load(message.array), voxels, atol=1e-3)
    matrix = np.array(message.grid.ijk_to_ras).reshape(4, 4)
    corners = np.array([(k, j, i) for k in (0, 59) for j in (0, 100) for i in (0, 100)])
    np.testing.assert_allclose(phantoms.world_of(matrix, corners), phantoms.world_of(affine, corners), atol=2e-3)
    np.testing.assert_allclose(affine, label_affine, atol=1e-4)
    # The worker reads what was handed over as the same image at the same place.
    notes: list[str] = []
    image = read_volume(message, notes)
    np.testing.assert_array_equal(image.array, np.load(message.array).astype(np.float32))
    np.testing.assert_allclose(image.grid.to_ras(corners), phantoms.world_of(affine, corners), atol=2e-3)
    assert notes == []
    # Segments come in the order of the labels.
    values = [int(v) for v in np.unique(np.rint(labels)) if v > 0]
    assert len(structures) == len(values)
    masks = {}
    for structure, value in zip(structures, values, strict=True):
        masks[structure.id] = np.rint(labels) == value
        np.testing.assert_array_equal(phantoms.full_mask(structure, voxels.shape), masks[structure.id])
        np.testing.assert_array_equal(read_structure(structure, image.grid, "CT").mask, masks[structure.id])
    echo = [OutcomeMessage(s, s, 1.0, 1.0, 0.0, 0.0, 0.9, "high", False) for s in structures]
    node = runNow(importStructures(echo, volume, segmentation, frame=handover.frame))
    assert phantoms.memory_of(volume, segmentation)[0] == before[0]
    for structure in structures[:8]:
        back = slicer.util.arrayFromSegmentBinaryLabelmap(node, structure.id, volume)
        np.testing.assert_array_equal(back, masks[structure.id])
