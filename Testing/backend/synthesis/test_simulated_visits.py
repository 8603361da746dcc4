"""The simulator of later visits: the truth moves with the image, nothing is invented, nothing leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samprompt.contract.errors import GridError, ParameterError, StructureError
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.synthesis.parameters import FROZEN, KINDS, ORGAN_KINDS
from samprompt.synthesis.patient import synthetic_patient
from samprompt.synthesis.visits import SimulatedVisit, find_target, simulate_visit
from scipy import ndimage

SMALL = (26, 84, 84)
STILL = replace(FROZEN, observer_sd_mm=0.0)


@pytest.fixture(scope="module")
def patient() -> Visit:
    return synthetic_patient(3, "limb", SMALL, (2.6, 2.6, 4.0))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


def carried_by_hand(simulated: SimulatedVisit, baseline: Structure) -> np.ndarray:
    """The baseline mask looked up voxel by voxel through the stated map (nearest voxel, another implementation)."""
    grid = simulated.visit.volume.grid
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    source = np.rint(baseline.grid.to_kji(simulated.transform.to_baseline(grid.to_ras(index)))).astype(int)
    inside = ((source >= 0) & (source < baseline.grid.shape)).all(axis=1)
    found = np.zeros(len(index), bool)
    found[inside] = baseline.mask[tuple(source[inside].T)]
    return found.reshape(grid.shape)


@pytest.mark.parametrize("kind", ["elastic", "growth", "density", "breathing", "filling"])
def test_the_truth_is_the_baseline_mask_seen_through_the_stated_map(patient: Visit, kind: str):
    simulated = simulate_visit(patient, 5, kind, STILL)
    for structure in patient.structures:
        exact = next(s for s in simulated.exact if s.name == structure.name)
        assert dice(exact.mask, carried_by_hand(simulated, structure)) > 0.95  # nearest voxel against linear distance


def test_image_and_truth_move_together():
    """A bright ball in noiseless fat: thresholding the follow-up's image gives the follow-up's truth."""
    shape = (30, 70, 70)
    grid = Grid.from_spacing(shape, (2.0, 2.0, 3.0))
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    away = np.linalg.norm((index - np.array([15, 35, 35])) * np.array([3.0, 2.0, 2.0]), axis=-1)
    array = np.full(shape, -100.0, np.float32)
    array += 200.0 * np.clip((16.0 - away) / 2.0 + 0.5, 0, 1).astype(np.float32)
    visit = Visit("ball", Volume(array, grid), (Structure("GTV", away < 16.0, grid),))
    for kind in ("elastic", "growth"):
        simulated = simulate_visit(visit, 2, kind, replace(STILL, noise_factor=(0.0, 0.0)))
        bright = simulated.visit.volume.array > 0.0
        assert dice(bright, simulated.exact[0].mask) > 0.95
        assert simulated.folding == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_what_it_says_and_no_more(patient: Visit, kind: str):
    simulated = simulate_visit(patient, 11, kind, STILL)
    before = patient.structures[0]
    after = simulated.exact[0]
    ratio = after.volume_ml / before.volume_ml
    parts = ndimage.label(after.mask)[1]
    assert simulated.kind == kind
    assert after.name == before.name == simulated.target == "GTV"
    if kind == "disappearance":
        assert after.is_empty
        assert np.isnan(simulated.contrast_to_noise["GTV"])
    elif kind == "growth":
        assert 1.1 < ratio < 2.2
    elif kind in ("density", "breathing", "sliding"):
        assert 0.9 < ratio < 1.1
    elif kind in ("concentric", "eccentric", "elastic", "regressive"):
        assert 0.2 < ratio < 0.95
    elif kind == "splitting":
        assert parts >= 2
        assert 0.4 < ratio < 0.98
    if kind in ORGAN_KINDS:
        femur = next(s for s in patient.structures if s.name == "Femur")
        kept = next(s for s in simulated.exact if s.name == "Femur")
        slices = kept.mask.any(axis=(1, 2)).sum() * simulated.visit.volume.grid.spacing_kji[0]
        area = femur.volume_ml / (femur.mask.any(axis=(1, 2)).sum() * patient.volume.grid.spacing_kji[0])
        assert kept.volume_ml / slices == pytest.approx(area, rel=0.2)  # no organ is eroded


def test_the_same_seed_gives_the_same_visit_and_another_seed_another(patient: Visit):
    one, same, other = (simulate_visit(patient, seed, "regressive") for seed in (4, 4, 5))
    assert np.array_equal(one.visit.volume.array, same.visit.volume.array)
    assert np.array_equal(one.visit.structures[0].mask, same.visit.structures[0].mask)
    assert one.visit.volume.grid.shape != other.visit.volume.grid.shape or not np.array_equal(
        one.visit.volume.array, other.visit.volume.array
    )


def test_the_set_up_moves_the_patient_by_five_to_fifteen_millimetres_and_three_degrees(patient: Visit):
    centre = patient.volume.grid.to_ras((np.array(SMALL) - 1) / 2)
    for seed in range(4):
        rigid = simulate_visit(patient, seed, "density").transform.rigid
        moved = np.linalg.norm((np.linalg.inv(rigid) @ [*centre, 1.0])[:3] - centre)
        angle = np.degrees(np.arccos(np.clip((np.trace(rigid[:3, :3]) - 1) / 2, -1, 1)))
        assert 4.99 <= moved <= 15.01
        assert angle <= 3.01


def test_a_field_of_view_that_leaves_the_scan_is_cut_and_never_invented():
    """In a scan filled with tissue to its border, every voxel of the follow-up comes from within the scan."""
    rng = np.random.default_rng(0)
    grid = Grid.from_spacing((30, 60, 60), (1.5, 1.5, 3.0))
    array = (40.0 + 10.0 * rng.standard_normal(grid.shape)).astype(np.float32)
    mask = np.zeros(grid.shape, bool)
    mask[11:18, 25:38, 25:38] = True
    visit = Visit("full", Volume(array, grid), (Structure("GTV", mask, grid),))
    for seed in range(4):
        simulated = simulate_visit(visit, seed, "density")
        follow = simulated.visit.volume.grid
        index = np.stack(np.meshgrid(*map(np.arange, follow.shape), indexing="ij"), axis=-1).reshape(-1, 3)
        source = grid.to_kji(simulated.transform.to_baseline(follow.to_ras(index)))
        outside = (source < -0.6) | (source > np.array(grid.shape) - 0.4)
        assert outside.any(axis=1).mean() < 0.002  # faces are tested on a grid of every other voxel
        assert simulated.visit.volume.array.min() > -200.0


def test_the_place_of_the_structure_in_the_follow_up_does_not_tell_where_it_was(patient: Visit):
    """Crops centred on the tumour must not stay centred: the offset differs from visit to visit by several mm."""
    offsets = []
    for seed in range(5):
        visit = simulate_visit(patient, seed, "density").visit
        middle = visit.volume.grid.to_ras((np.array(visit.volume.grid.shape) - 1) / 2)
        offsets.append(visit.structures[0].centroid_ras() - middle)
    assert np.linalg.norm(np.std(offsets, axis=0)) > 3.0


def test_noise_is_drawn_anew_and_not_copied():
    """Flat tissue: what is left of the follow-up after smoothing is unrelated to the baseline's noise at its place."""
    rng = np.random.default_rng(1)
    grid = Grid.from_spacing((24, 64, 64), (1.5, 1.5, 3.0))
    array = (50.0 + 20.0 * rng.standard_normal(grid.shape)).astype(np.float32)
    mask = np.zeros(grid.shape, bool)
    mask[10:14, 28:36, 28:36] = True
    visit = Visit("flat", Volume(array, grid), (Structure("GTV", mask, grid),))
    simulated = simulate_visit(visit, 1, "density", replace(STILL, noise_factor=(1.0, 1.0)))
    follow = simulated.visit.volume
    index = np.stack(np.meshgrid(*map(np.arange, follow.grid.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    where = grid.to_kji(simulated.transform.to_baseline(follow.grid.to_ras(index))).T
    old = ndimage.map_coordinates(array, where, order=1, mode="nearest").reshape(follow.grid.shape)
    new = follow.array
    assert new.std() == pytest.approx(20.0, rel=0.35)
    detail = [(a - ndimage.gaussian_filter(a, 2)).ravel() for a in (old, new)]
    related = np.corrcoef(*detail)
    assert abs(related[0, 1]) < 0.12


def test_the_second_observer_differs_smoothly_by_about_a_millimetre(patient: Visit):
    simulated = simulate_visit(patient, 6, "density")
    exact, drawn = simulated.exact[0], simulated.visit.structures[0]
    spacing = exact.grid.spacing_kji
    signed = ndimage.distance_transform_edt(exact.mask, sampling=spacing) - ndimage.distance_transform_edt(
        ~exact.mask, sampling=spacing
    )
    surface = drawn.mask & ~ndimage.binary_erosion(drawn.mask)
    assert 0.8 < dice(exact.mask, drawn.mask) < 1.0
    assert np.abs(signed[surface]).max() < 7.0  # 3 SD and the voxels' own size
    assert np.array_equal(simulate_visit(patient, 6, "density", STILL).exact[0].mask, exact.mask)


def test_tissue_that_replaces_a_lung_tumour_is_lung_and_belongs_to_the_lung():
    patient = synthetic_patient(2, "lung", (30, 100, 110), (3.2, 3.2, 4.0))
    simulated = simulate_visit(patient, 3, "disappearance", STILL)
    lungs = np.zeros(simulated.visit.volume.grid.shape, bool)
    for structure in simulated.exact:
        if structure.name.startswith("Lung"):
            lungs |= structure.mask
    inner = ndimage.binary_erosion(simulated.edited, iterations=2)
    values = simulated.visit.volume.array[inner]
    assert np.median(values) == pytest.approx(
        np.median(simulated.visit.volume.array[lungs & ~simulated.edited]), abs=60
    )
    assert values.std() > 3.0  # no constant
    assert lungs[inner].mean() > 0.9


def test_the_lung_at_the_border_of_a_scan_stays_lung():
    patient = synthetic_patient(2, "lung", (20, 100, 110), (3.2, 3.2, 4.0))
    simulated = simulate_visit(patient, 3, "density", STILL)
    for structure in simulated.exact:
        if structure.name.startswith("Lung"):
            assert np.median(simulated.visit.volume.array[structure.mask]) > -900.0


def test_a_flipped_and_oblique_scan_gives_the_same_change_as_a_straight_one(patient: Visit):
    grid = patient.volume.grid
    angle = np.deg2rad(8.0)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = Grid(grid.shape, turn @ grid.ijk_to_ras)
    moved = Visit(
        patient.name,
        Volume(patient.volume.array, oblique),
        tuple(s.with_mask(s.mask, oblique) for s in patient.structures),
    )
    simulated = simulate_visit(moved, 9, "elastic", STILL)
    assert dice(simulated.exact[0].mask, carried_by_hand(simulated, moved.structures[0])) > 0.95


def test_input_that_makes_no_visit_is_refused_in_words(patient: Visit):
    with pytest.raises(ParameterError, match="melting"):
        simulate_visit(patient, 1, "melting")
    with pytest.raises(ParameterError, match="MR"):
        simulate_visit(replace(patient, volume=replace(patient.volume, modality="MR")), 1, "elastic")
    with pytest.raises(StructureError, match="no structure"):
        simulate_visit(replace(patient, structures=()), 1, "elastic")
    with pytest.raises(StructureError, match="Pancreas"):
        simulate_visit(patient, 1, "elastic", target="Pancreas")
    gtv = patient.structures[0]
    empty = gtv.with_mask(np.zeros_like(gtv.mask), gtv.grid)
    with pytest.raises(StructureError, match="empty"):
        simulate_visit(replace(patient, structures=(empty,)), 1, "elastic")
    with pytest.raises(StructureError, match="same name"):
        simulate_visit(replace(patient, structures=(gtv, gtv)), 1, "elastic")


def test_a_scan_too_small_for_any_set_up_is_refused():
    grid = Grid.from_spacing((8, 10, 10), (1.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, bool)
    mask[3:5, 4:7, 4:7] = True
    visit = Visit("tiny", Volume(np.full(grid.shape, 40.0, np.float32), grid), (Structure("GTV", mask, grid),))
    with pytest.raises(GridError, match="voxels"):
        simulate_visit(visit, 1, "elastic")


def test_the_target_is_what_is_called_like_a_tumour(patient: Visit):
    gtv, femur = (next(s for s in patient.structures if s.name == n) for n in ("GTV", "Femur"))
    assert find_target(replace(patient, structures=(femur, gtv))).name == "GTV"
    assert find_target(replace(patient, structures=(femur,))).name == "Femur"
    assert find_target(patient, "Femur").name == "Femur"


def test_a_real_tumour_shrinks_elastically_without_folding(shared_data):
    nibabel = pytest.importorskip("nibabel")
    folder = shared_data / "ct_sarcoma" / "STS_003"
    image = nibabel.load(folder / "ct.nii.gz")
    array = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)
    grid = Grid(array.shape, image.affine)
    mask = np.asarray(nibabel.load(folder / "gtv.nii.gz").dataobj).transpose(2, 1, 0) > 0
    visit = Visit("STS_003", Volume(array, grid), (Structure("GTV", mask, grid),))
    simulated = simulate_visit(visit, 1, "elastic", STILL)
    assert simulated.folding == 0.0
    assert simulated.exact[0].volume_ml < 0.85 * visit.structures[0].volume_ml
    assert dice(simulated.exact[0].mask, carried_by_hand(simulated, visit.structures[0])) > 0.95
