"""The module's self-test: runs in "Reload & Test", in ctest and in the stand-in, without GPU and network.

Without PyTorch and the other packages of the backend, the part that computes is skipped and says so.
"""
# ruff: noqa: PT009 - Slicer runs this with unittest, whose methods say what differs; pytest's rewriting is not there

import unittest

import numpy as np
import slicer
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.worker import OutcomeMessage, VisitMessage
from SAMPromptCommonLib import folders
from SAMPromptCommonLib.client import WorkerClient
from SAMPromptCommonLib.packages import Answer, missingPackages
from SAMPromptCommonLib.segmentations import exportStructures, importStructures
from SAMPromptCommonLib.steps import runNow
from SAMPromptCommonLib.volumes import VolumeHandover
from scipy import ndimage
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from SAMPropagationLib.logic import SAMPropagationLogic
from SAMPropagationLib.parameters import followUps, propagationParameters

SHAPE = (24, 72, 80)  # k, j, i
SPACING = (1.6, 1.6, 3.0)  # mm along i, j, k
MOVED = (1, 4, -3)  # voxels (k, j, i) by which the patient lies elsewhere on the later visit
TIMEOUT = 600.0  # seconds; importing PyTorch from a cold disk takes a minute of it


class SAMPropagationTest(ScriptedLoadableModuleTest):
    """Every ``test_`` method makes its own small patient in an empty scene."""

    def setUp(self) -> None:
        """An empty scene, a logic that installs nothing and has a worker of its own."""
        slicer.mrmlScene.Clear()
        self.client = WorkerClient()
        self.logic = SAMPropagationLogic(client=self.client, ensurePackages=lambda group: Answer(True))

    def tearDown(self) -> None:
        """Leave no process, no file and no node."""
        self.logic.cleanup()
        self.client.dispose()
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """All of them, as "Reload & Test" wants it: a skipped part is said and is no failure."""
        for name in sorted(each for each in dir(self) if each.startswith("test_")):
            self.setUp()
            try:
                getattr(self, name)()
            except unittest.SkipTest as reason:
                self.delayDisplay(f"{name}: skipped, {reason}")
            else:
                self.delayDisplay(f"{name}: passed")
            finally:
                self.tearDown()

    def test_parameters(self) -> None:
        """An untouched panel asks for the published defaults; lists live in the node."""
        p = self.logic.getParameterNode()
        self.assertEqual(propagationParameters(p), PropagationParameters())
        volumes = [addVolume(f"Visit {n}", phantom()[0]) for n in range(3)]
        self.logic.setFields(followUps=[volumes[2], volumes[1], volumes[2]])
        self.assertEqual([node.GetName() for node in followUps(p)], ["Visit 2", "Visit 1"])
        slicer.mrmlScene.RemoveNode(volumes[2])
        self.assertEqual(followUps(p), [volumes[1]])

    def test_problems(self) -> None:
        """What is missing is said, a whole patient has no problem."""
        fields = [problem.field for problem in self.logic.problems()]
        self.assertEqual(fields, ["baselineVolume", "baselineSegmentation", "followUps"])
        self.choosePatient()
        self.assertEqual(self.logic.problems(), [])
        self.logic.setFields(followUps=[self.logic.getParameterNode().baselineVolume])
        self.assertTrue(any(problem.blocking for problem in self.logic.problems()))

    def test_geometry(self) -> None:
        """Contours go to files and back onto the same voxels, on an oblique, flipped grid under a transform."""
        turned = np.diag([-SPACING[0], SPACING[1], -SPACING[2], 1.0])
        angle = np.deg2rad(20)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        turned[:3, :3] = turn @ turned[:3, :3]
        turned[:3, 3] = [40, -25, 310]
        image, mask = phantom()
        volume = addVolume("Oblique", image, turned)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shifted(11, -7, 5)))
        contours = addContours("Contours", volume, mask)
        for node in (volume, contours):
            node.SetAndObserveTransformNodeID(transform.GetID())
        segmentId = contours.GetSegmentation().GetNthSegmentID(0)
        folder = folders.privateFolder("selftest")
        try:
            handover = VolumeHandover(volume, folder)
            message = runNow(handover)
            np.testing.assert_array_equal(np.load(message.array), image)
            world = shifted(11, -7, 5) @ turned
            np.testing.assert_allclose(np.array(message.grid.ijk_to_ras).reshape(4, 4), world, atol=1e-6)
            structures = runNow(exportStructures(contours, None, volume, folder, frame=handover.frame))
            self.assertEqual(int(np.load(structures[0].array).sum()), int(mask.sum()))
            visit = VisitMessage(message, structures)
            node = runNow(importStructures([sameAgain(each) for each in visit.structures], volume, contours))
            found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume)
            np.testing.assert_array_equal(found.astype(bool), mask)
            self.assertIs(node.GetParentTransformNode(), transform)
        finally:
            folders.removeFolder(folder)

    def test_propagation(self) -> None:
        """A real propagation of a small phantom: the lesion is found where it moved."""
        missing = missingPackages()
        if missing:
            raise unittest.SkipTest(f"the backend lacks {', '.join(missing)}")
        _baseline, later, mask = self.choosePatient()
        run = self.logic.propagate(device="cpu", threads=1, waitForFinished=True, timeout=TIMEOUT)
        if run.error is not None and run.error.code == "environment":
            raise unittest.SkipTest(f"the backend does not run here: {run.error.message}")
        self.assertEqual((run.state, run.error), ("done", None))
        (row,) = self.logic.results()
        node = slicer.mrmlScene.GetNodeByID(row.segmentationId)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(node, row.segmentId, later).astype(bool)
        truth = np.roll(mask, MOVED, (0, 1, 2))
        dice = 2.0 * (found & truth).sum() / (found.sum() + truth.sum())
        self.delayDisplay(f"Dice with the truth {dice:.3f}, trust {row.trust:.2f}")
        self.assertGreater(dice, 0.8)
        self.assertGreater(dice, 2.0 * (mask & truth).sum() / (mask.sum() + truth.sum()))  # better than copying
        self.assertEqual(len(self.logic.undo()), 1)
        self.assertEqual(self.logic.results(), [])

    def choosePatient(self):
        """Make and choose a patient: baseline, later visit, and the lesion's mask on the baseline."""
        image, mask = phantom()
        baseline = addVolume("Baseline", image)
        later = addVolume("Later", phantom(MOVED, seed=2)[0])
        contours = addContours("Contours", baseline, mask)
        self.logic.setFields(baselineVolume=baseline, baselineSegmentation=contours, followUps=[later])
        return baseline, later, mask


def phantom(moved=(0, 0, 0), seed: int = 1):
    """A small CT (HU, int16) of a body with bones, an organ, grainy tissue and a lesion, all moved by whole voxels; and
    the lesion's mask before it moved. ``seed`` is of the scanner's noise alone."""
    k, j, i = np.indices(SHAPE)

    def ellipsoid(center, radii):
        distance = sum(
            ((x - c) * s / r) ** 2 for x, c, s, r in zip((k, j, i), center, SPACING[::-1], radii, strict=True)
        )
        return distance <= 1.0

    image = np.full(SHAPE, -1000.0)
    image[ellipsoid((12, 36, 40), (200, 50, 56))] = -90.0
    inside = ellipsoid((12, 36, 40), (200, 45, 51))
    image[inside] = 20.0
    image[ellipsoid((12, 58, 40), (200, 8, 9))] = 400.0
    image[ellipsoid((13, 34, 24), (24, 18, 14))] = 100.0
    for center in ((4, 18, 30), (9, 20, 58), (14, 50, 62), (19, 22, 44), (20, 50, 24)):
        image[ellipsoid(center, (9, 5, 5))] = 250.0
    lesion = ellipsoid((12, 34, 52), (13, 11, 12))
    image[lesion] = 90.0
    grain = ndimage.gaussian_filter(np.random.default_rng(7).normal(0.0, 1.0, SHAPE), (0.8, 1.5, 1.5))
    image[inside] += 15.0 * grain[inside] / grain.std()
    image = np.roll(image, moved, (0, 1, 2))
    image += np.random.default_rng(seed).normal(0.0, 10.0, SHAPE)
    return image.astype(np.int16), lesion


def shifted(x: float, y: float, z: float) -> np.ndarray:
    """A 4x4 matrix that moves by millimetres."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def addVolume(name: str, image: np.ndarray, ijkToRas=None):
    """A volume in the scene; axes as CT has them where no matrix is given."""
    if ijkToRas is None:
        ijkToRas = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    return slicer.util.addVolumeFromArray(image, ijkToRas, name)


def addContours(name: str, volume, mask: np.ndarray):
    """A segmentation of one lesion, drawn on a volume."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentId = node.GetSegmentation().AddEmptySegment("", "Lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segmentId, volume)
    return node


def sameAgain(structure) -> OutcomeMessage:
    """What a worker would answer that left everything where it was."""
    return OutcomeMessage(structure, structure, 1.0, 1.0, 0.0, 0.0, 1.0, "high", False)
