"""The alignment round a structure as a whole, on made-up scans whose movement is known at every point."""

from __future__ import annotations

import numpy as np
import pytest
from samprompt.contract.errors import Cancelled, StructureError
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import AlignParameters
from samprompt.propagation.align import align_rigid, align_structure, align_structures, warp_mask
from samprompt.propagation.align.matching import rotation
from samprompt.propagation.align.sampling import grid_points
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume
from scipy import ndimage

GRID = Grid.from_spacing((36, 60, 68), [2.5, 2.5, 3.5], [-84.0, -74.0, -61.0])
TUMOUR = (np.array([22.0, -8.0, 3.0]), 17.0)


class Trunk:
    """HU of a made-up trunk as a function of RAS: texture of many smooth lumps, bones, a tumour; air outside."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.lumps = ndimage.gaussian_filter(rng.standard_normal((40, 48, 56)), 2.0)
        self.lumps *= 60.0 / self.lumps.std()
        self.bones = rng.uniform(-1, 1, (7, 3)) * [60.0, 45.0, 55.0]

    def __call__(self, ras: np.ndarray) -> np.ndarray:
        place = np.moveaxis((ras[..., ::-1] + [78.0, 94.0, 110.0]) / 4.0, -1, 0)
        hu = 30.0 + ndimage.map_coordinates(self.lumps, place, order=1, mode="nearest")
        for bone in self.bones:
            hu = np.where(((ras - bone) ** 2).sum(axis=-1) < 100.0, 500.0, hu)
        hu = np.where(((ras - TUMOUR[0]) ** 2).sum(axis=-1) < TUMOUR[1] ** 2, 110.0, hu)
        skin = (ras[..., 0] / 76.0) ** 2 + (ras[..., 1] / 64.0) ** 2
        return np.where(skin < 1.0, hu, -1000.0)


def bend(ras: np.ndarray, millimetres: float) -> np.ndarray:
    """A set-up error and a smooth bend: follow-up RAS to baseline RAS."""
    x, y, z = np.moveaxis(ras, -1, 0) / 35.0
    bent = ras + millimetres * np.stack([np.sin(y + 0.5), np.cos(x + z), np.sin(x)], axis=-1)
    return bent @ rotation(np.array([0.02, 0.03, -0.04])).T + [6.0, -8.0, 5.0]


def scan(trunk: Trunk, grid: Grid, seed: int, millimetres: float | None = None) -> Volume:
    """The trunk with noise of its own; moved by ``bend`` when given millimetres."""
    ras = grid_points(grid)
    hu = trunk(ras if millimetres is None else bend(ras, millimetres))
    noise = 12.0 * np.random.default_rng(seed).standard_normal(grid.shape)
    return Volume((hu + noise).astype(np.float32), grid, "CT", f"scan {seed}")


def tumour(grid: Grid = GRID) -> Structure:
    return Structure("GTV", ((grid_points(grid) - TUMOUR[0]) ** 2).sum(axis=-1) < TUMOUR[1] ** 2, grid)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture(scope="module")
def bent():
    """Baseline, follow-up on another grid, the rigid alignment and the alignment round the tumour."""
    trunk = Trunk(1)
    matrix = np.diag([-2.3, -2.6, 3.0, 1.0])
    matrix[:3, 3] = [80.0, 77.0, -60.0]
    baseline, followup = scan(trunk, GRID, 1), scan(trunk, Grid((40, 58, 70), matrix), 2, 5.0)
    rigid = align_rigid(baseline, followup)
    return baseline, followup, rigid, align_structure(baseline, followup, tumour(), rigid)


def near_tumour(grid: Grid) -> np.ndarray:
    """Follow-up points that belong within 25 mm of the tumour's centre."""
    points = grid_points(grid).reshape(-1, 3)
    return points[np.linalg.norm(bend(points, 5.0) - TUMOUR[0], axis=1) < 25.0][::3]


def test_a_known_deformation_is_recovered(bent):
    _, followup, _, found = bent
    points = near_tumour(followup.grid)
    exact = bend(points, 5.0)
    error = {
        s: np.linalg.norm(found.map_to_baseline(points, s) - exact, axis=1).mean() for s in ("rigid", "deformable")
    }
    assert error["rigid"] > 2.0
    assert error["deformable"] < 1.2
    assert found.stage == "deformable"
    assert found.trusted
    assert found.quality > 0.6
    assert found.folding == 0.0


def test_the_estimated_error_is_of_the_size_of_the_true_one(bent):
    _, followup, _, found = bent
    points = near_tumour(followup.grid)
    true = np.linalg.norm(found.map_to_baseline(points) - bend(points, 5.0), axis=1).mean()
    assert true / 4.0 < found.error_mm < 4.0 * max(true, 0.5)


def test_the_warped_contour_lies_where_the_tumour_is(bent):
    _, followup, _, found = bent
    truth = np.linalg.norm(bend(grid_points(followup.grid), 5.0) - TUMOUR[0], axis=-1) < TUMOUR[1]
    assert dice(warp_mask(tumour(), found, followup.grid), truth) > 0.94
    assert dice(warp_mask(tumour(), found, followup.grid, "copied"), truth) < 0.85


def test_nothing_moved_nothing_moves():
    trunk = Trunk(2)
    baseline, followup = scan(trunk, GRID, 1), scan(trunk, GRID, 2)
    found = align_structure(baseline, followup, tumour(), align_rigid(baseline, followup))
    points = GRID.to_ras(np.argwhere(tumour().mask)[::20])
    assert np.abs(found.map_to_baseline(points) - points).max() < 1.0
    assert found.quality > 0.7
    assert found.trusted


def test_another_patient_is_not_trusted_and_says_why():
    baseline, followup = scan(Trunk(3), GRID, 1), scan(Trunk(4), GRID, 2)
    found = align_structure(baseline, followup, tumour(), align_rigid(baseline, followup))
    assert found.quality < 0.3
    assert not found.trusted
    assert found.reasons
    assert np.isfinite(found.map_to_baseline(np.array([[0.0, 0.0, 0.0], [1e4, 0.0, 0.0]]))).all()


def test_a_structure_outside_the_follow_up_is_said_to_be_so(bent):
    baseline, followup, rigid, _ = bent
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[:2, 28:32, 30:36] = True
    lower = Volume(followup.array[33:], followup.grid.crop((33, 0, 0), (7, *followup.grid.shape[1:])))
    found = align_structure(
        baseline, lower, Structure("low", mask, GRID), rigid, AlignParameters(deformable_margin=10.0)
    )
    assert not found.trusted
    assert "outside the follow-up" in found.reasons[0]
    assert found.quality == 0.0
    assert np.isfinite(found.error_mm)


def test_an_empty_structure_is_refused_by_name(bent):
    baseline, followup, rigid, _ = bent
    with pytest.raises(StructureError, match="nothing here"):
        align_structure(baseline, followup, Structure("nothing here", np.zeros(GRID.shape, dtype=bool), GRID), rigid)


def test_a_structure_at_the_border_and_one_voxel_are_carried(bent):
    baseline, followup, rigid, _ = bent
    edge, dot = np.zeros(GRID.shape, dtype=bool), np.zeros(GRID.shape, dtype=bool)
    edge[-4:, 20:36, 25:40] = True
    dot[18, 30, 30] = True
    found = align_structures(baseline, followup, [Structure("edge", edge, GRID), Structure("dot", dot, GRID)], rigid)
    for alignment, mask in zip(found, (edge, dot), strict=True):
        warped = warp_mask(Structure("x", mask, GRID), alignment, followup.grid)
        assert np.isfinite(alignment.quality)
        assert warped.any()


def test_neighbours_share_one_region_and_keep_their_order(bent):
    baseline, followup, rigid, alone = bent
    other = Structure("beside", np.roll(tumour().mask, 4, axis=1), GRID)
    far = Structure("corner", np.zeros(GRID.shape, dtype=bool), GRID)
    far.mask[1:3, 10:13, 20:24] = True
    small = AlignParameters(deformable_margin=15.0)
    found = align_structures(baseline, followup, [tumour(), far, other], rigid, small)
    assert found[0].displacement is found[2].displacement
    assert found[1].displacement is not found[0].displacement
    points = near_tumour(followup.grid)
    assert np.linalg.norm(found[0].map_to_baseline(points) - alone.map_to_baseline(points), axis=1).mean() < 1.0


def test_the_same_input_gives_the_same_answer(bent):
    baseline, followup, rigid, found = bent
    again = align_structure(baseline, followup, tumour(), rigid)
    assert np.array_equal(again.displacement, found.displacement)
    assert again.quality == found.quality


def test_a_cancel_is_heard_between_the_steps(bent):
    baseline, followup, rigid, _ = bent
    stages = []
    progress = Progress(lambda stage, done, total: (stages.append(stage), progress.cancel()))
    with pytest.raises(Cancelled):
        align_structure(baseline, followup, tumour(), rigid, progress=progress)
    assert len(stages) == 1


@pytest.mark.parametrize("shape", [(1, 58, 70), (2, 58, 70), (40, 1, 70)])
def test_a_follow_up_of_one_slice_gives_a_finite_answer(bent, shape):
    baseline, followup, _, _ = bent
    start = tuple(0 if n == m else m // 2 for n, m in zip(shape, followup.grid.shape, strict=True))
    block = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    thin = Volume(followup.array[block], followup.grid.crop(start, shape))
    found = align_structure(baseline, thin, tumour(), align_rigid(baseline, thin))
    assert np.isfinite(found.quality)
    assert np.isfinite(found.map_to_baseline(near_tumour(followup.grid))).all()


def test_a_thigh_of_another_patient_is_told_from_the_same_one(shared_data):
    import nibabel

    def read(case, file):
        image = nibabel.load(shared_data / "ct_sarcoma" / case / file)
        array = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32).T)
        return array, Grid(array.shape, image.affine)

    (one, grid), (mask, _), (two, grid_two) = (
        read("STS_010", "ct.nii.gz"),
        read("STS_010", "gtv.nii.gz"),
        read("STS_028", "ct.nii.gz"),
    )
    baseline = Volume(one, grid)
    noise = np.random.default_rng(0).standard_normal(one.shape).astype(np.float32)
    shifted = ndimage.shift(one, (1.0, 4.0, -6.0), order=1, mode="nearest")
    structure = Structure("GTV", mask > 0, grid)
    same = Volume(shifted + 10.0 * noise, grid)
    other = Volume(two, grid_two)
    good, bad = (align_structure(baseline, f, structure, align_rigid(baseline, f)) for f in (same, other))
    assert good.trusted
    assert good.quality > 0.65
    assert not bad.trusted
    assert bad.quality < 0.4
