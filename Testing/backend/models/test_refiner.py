"""The prior refiner's network: what it may do to a contour, how its scale is handled, and which files it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from samprompt import resources
from samprompt.contract.errors import WeightsError, WeightsMissingError
from samprompt.models.refiner import (
    FILE,
    Refiner,
    RefinerNetwork,
    load_refiner,
    prior_distance,
    prior_distances,
    save_refiner,
    shipped_fingerprint,
)
from scipy import ndimage

SMALL = {"widths": (8, 16, 16, 16)}


def trained(seed: int = 0, strength: float = 0.05) -> RefinerNetwork:
    """A network whose last layer is no longer zero."""
    torch.manual_seed(seed)
    network = RefinerNetwork(SMALL)
    torch.nn.init.normal_(network.head.weight, std=strength)
    return network


def inputs(size: int = 48, count: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth pictures and the distance to a disc."""
    rng = np.random.default_rng(seed)
    pictures = ndimage.gaussian_filter(rng.random((2, count, 3, size, size)), (0, 0, 0, 3, 3)).astype(np.float32)
    rows, columns = np.indices((size, size)) + 0.5
    distance = 0.25 * size - np.hypot(rows - size / 2, columns - size / 2)
    return pictures[0], pictures[1], np.repeat(distance[None].astype(np.float32), count, 0)


def test_an_untrained_network_leaves_every_prior_where_it_is() -> None:
    refiner = Refiner(RefinerNetwork())
    assert np.array_equal(refiner.correction(*inputs(), 1.5, 3.0), np.zeros((2, 48, 48), np.float32))


def test_no_weights_move_a_contour_by_more_than_eight_millimetres() -> None:
    moved = Refiner(trained(strength=50.0)).correction(*inputs(), 1.5, 3.0)
    assert 7.9 < np.abs(moved).max() <= 8.0


def test_the_shipped_size_is_within_a_million_parameters_and_two_megabytes(tmp_path: Path) -> None:
    network = RefinerNetwork()
    assert sum(p.numel() for p in network.parameters()) <= 1_000_000
    save_refiner(network, tmp_path / FILE)
    assert (tmp_path / FILE).stat().st_size <= 2_000_000
    assert {t.dtype for t in load_file(tmp_path / FILE).values()} == {torch.float16}


def test_written_and_read_weights_answer_alike_and_the_answer_depends_on_each_input(tmp_path: Path) -> None:
    network = trained()
    save_refiner(network, tmp_path / "one.safetensors", {"trained_on": "nothing"})
    read = load_refiner(tmp_path / "one.safetensors")
    given = inputs()
    expected = Refiner(network).correction(*given, 1.5, 3.0)
    found = read.correction(*given, 1.5, 3.0)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert len(read.fingerprint) == 16
    for number in range(3):
        changed = [part.copy() for part in given]
        changed[number] = changed[number][..., ::-1].copy() + np.float32(0.2)
        assert np.abs(read.correction(*changed, 1.5, 3.0) - found).max() > 1e-3
    for pixel, step in ((2.4, 3.0), (1.5, 5.0)):
        assert np.abs(read.correction(*given, pixel, step) - found).max() > 1e-3


def test_the_same_slice_gives_the_same_answer_in_any_batch() -> None:
    refiner, given = Refiner(trained()), inputs(count=5)
    together = refiner.correction(*given, 1.5, 3.0, batch=5)
    for n in range(5):
        alone = refiner.correction(*(part[n : n + 1] for part in given), 1.5, 3.0)[0]
        assert np.allclose(alone, together[n], atol=1e-4)


def test_pixels_finer_than_in_training_are_brought_to_its_finest_so_that_millimetres_stay_millimetres() -> None:
    refiner = Refiner(trained())
    coarse = inputs(size=64)
    fine = [
        ndimage.zoom(part, (1,) * (part.ndim - 2) + (2, 2), order=1, grid_mode=True, mode="nearest") for part in coarse
    ]
    expected = refiner.correction(*coarse, 0.6, 3.0)
    found = refiner.correction(*fine, 0.3, 3.0)
    assert found.shape == (2, 128, 128)
    # a random last layer answers in a chequered pattern; what matters is where it moves a contour, and how far
    halved, expected = (
        ndimage.gaussian_filter(part, (0, 3, 3))
        for part in (found.reshape(2, 64, 2, 64, 2).mean(axis=(2, 4)), expected)
    )
    assert np.corrcoef(halved.ravel(), expected.ravel())[0, 1] > 0.95
    assert np.abs(halved - expected).mean() < 0.2 * np.abs(expected).mean()


def test_any_side_is_answered_at_its_own_size() -> None:
    followup, baseline, distance = inputs(size=64)
    cut = [part[..., :51, :37] for part in (followup, baseline, distance)]
    assert Refiner(trained()).correction(*cut, 1.5, 3.0).shape == (2, 51, 37)


# --- the distance ---------------------------------------------------------------------------------------------------
def plain_distance(sections: np.ndarray, pixel: float, step: float) -> np.ndarray:
    """Signed distance on the middle section by trying every voxel of the three."""
    places = np.argwhere(np.ones_like(sections))
    result = np.zeros(sections.shape[1:])
    for row, column in np.ndindex(result.shape):
        here = sections[1, row, column]
        others = places[sections.ravel() != here]
        in_plane = np.hypot(others[:, 1] - row, others[:, 2] - column) * pixel
        through = np.abs(others[:, 0] - 1) * step * 0.5
        away = np.hypot(np.maximum(in_plane - 0.5 * pixel, 0.0), through)
        result[row, column] = (1 if here else -1) * (away.min() if len(away) else 1000.0)
    return result


@pytest.mark.parametrize("seed", range(4))
def test_the_distance_is_the_nearest_of_all_voxels_of_three_slices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sections = ndimage.gaussian_filter(rng.standard_normal((3, 12, 12)), (0.5, 2, 2)) > 0.1
    if seed == 3:
        sections[1] = False  # beyond the structure's end
    found = prior_distance(list(sections), 1.5, 4.0)
    assert np.allclose(found, plain_distance(sections, 1.5, 4.0), atol=1e-4)
    assert np.array_equal(found > 0, sections[1])


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_the_distance_through_thin_slices_is_the_nearest_of_all_voxels_within_reach(reach: int) -> None:
    rng = np.random.default_rng(reach)
    masks = ndimage.gaussian_filter(rng.standard_normal((11, 9, 9)), (1.5, 1.5, 1.5)) > 0.1
    masks[5:] = False  # fewer sections than slices
    pixel, step = (1.2, 0.7), 0.5
    indices = [0, 3, 5, 7, 10]
    found = prior_distances(masks, indices, reach, pixel, step)
    for number, index in enumerate(indices):
        for row, column in np.ndindex(9, 9):
            here, best = masks[index, row, column], 1000.0
            for offset in range(-reach, reach + 1):
                section = masks[min(max(index + offset, 0), 10)]
                for r, c in np.argwhere(section != here):
                    plane = max(np.hypot((r - row) * pixel[0], (c - column) * pixel[1]) - 0.35, 0.0)
                    best = min(best, float(np.hypot(plane, max(abs(offset) - 0.5, 0.0) * step)))
            assert found[number, row, column] == pytest.approx(best if here else -best, abs=1e-4)


@pytest.mark.parametrize("pixel", [(4.5, 1.0), (1.0, 5.0), (1.0, 1.0)])
def test_a_strip_of_one_pixel_is_inside_however_long_the_pixels_are(pixel: tuple[float, float]) -> None:
    masks = np.zeros((3, 7, 7), bool)
    masks[:, 3, 1:6] = masks[:, 5, 2] = True
    assert np.array_equal(prior_distances(masks, [0, 1, 2], 1, pixel, 3.0) > 0, masks)


def test_the_distance_to_a_long_cylinder_is_its_radius_less_the_way_to_its_axis() -> None:
    rows, columns = np.indices((80, 80))
    way = np.hypot(rows - 40, columns - 40) * 0.8
    found = prior_distance([way < 16.0] * 3, 0.8, 3.0)
    assert np.abs(found - (16.0 - way)).max() < 0.8


def test_nothing_on_three_slices_is_far_away() -> None:
    assert (prior_distance([np.zeros((8, 8), bool)] * 3, 1.0, 3.0) == -1000.0).all()


# --- files ----------------------------------------------------------------------------------------------------------
def test_a_missing_file_is_named_and_nothing_is_made_up(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match="refiner is not at") as found:
        load_refiner(tmp_path / "absent.safetensors")
    assert "method" in found.value.hint


def test_weights_of_another_version_or_architecture_are_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for metadata, named in (
        ({"architecture": "samprompt-refiner", "version": "2"}, "samprompt-refiner 2"),
        ({"architecture": "samprompt-tiny", "version": "1"}, "samprompt-tiny 1"),
        ({}, "unknown"),
    ):
        save_file({"x": torch.zeros(1)}, path, metadata={**metadata, "config": "{}"})
        with pytest.raises(WeightsError, match=named):
            load_refiner(path)
        path.unlink()


def test_a_truncated_file_and_one_that_does_not_fit_its_configuration_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_refiner(trained(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_refiner(path)
    state = load_file_of(whole, tmp_path)
    metadata = {"architecture": "samprompt-refiner", "version": "1", "config": json.dumps({"widths": [16, 16, 16, 16]})}
    save_file(state, tmp_path / "two.safetensors", metadata=metadata)
    with pytest.raises(WeightsError, match="configuration"):
        load_refiner(tmp_path / "two.safetensors")


def load_file_of(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    (folder / "whole.safetensors").write_bytes(content)
    return load_file(folder / "whole.safetensors")


def test_a_write_that_fails_leaves_the_file_before_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.safetensors"
    save_refiner(trained(1), path)
    before = path.read_bytes()

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("samprompt.models.own_weights.save_file", full)
    with pytest.raises(OSError, match="space"):
        save_refiner(trained(2), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["one.safetensors"]


# --- what is shipped ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def shipped() -> Refiner:
    return load_refiner()


def disc(radius: float, centre: tuple[float, float] = (48.0, 48.0)) -> np.ndarray:
    rows, columns = np.indices((96, 96)) + 0.5
    return np.hypot(rows - centre[0], columns - centre[1]) * 1.2 < radius


def picture(mask: np.ndarray, seed: int) -> np.ndarray:
    """Three slices of a bright disc on a darker ground with noise."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(np.where(mask, 0.62, 0.45), 0.8)
    return (image + rng.normal(0.0, 0.03, (3, 96, 96))).astype(np.float32)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * (one & other).sum() / max(1, one.sum() + other.sum())


@pytest.mark.parametrize(
    ("then", "now", "place"),
    [(24.0, 20.0, (48.0, 48.0)), (20.0, 23.0, (48.0, 48.0)), (22.0, 22.0, (51.0, 45.0))],
    ids=["shrunk", "grown", "moved"],
)
def test_the_shipped_refiner_follows_a_visible_change(shipped: Refiner, then: float, now: float, place) -> None:
    before, truth = disc(then), disc(now, place)
    distance = prior_distance([before] * 3, 1.2, 3.0)
    moved = shipped.correction(picture(truth, 1)[None], picture(before, 2)[None], distance[None], 1.2, 3.0)
    assert dice(distance + moved[0] > 0, truth) > 0.5 * (1.0 + dice(before, truth))


def test_the_shipped_refiner_leaves_an_unchanged_disc_alone(shipped: Refiner) -> None:
    truth = disc(22.0)
    distance = prior_distance([truth] * 3, 1.2, 3.0)
    moved = shipped.correction(picture(truth, 1)[None], picture(truth, 2)[None], distance[None], 1.2, 3.0)
    assert dice(distance + moved[0] > 0, truth) > 0.97


def test_the_shipped_file_is_the_small_one_that_its_card_describes(shipped: Refiner) -> None:
    path = resources.root() / "models" / FILE
    assert path.stat().st_size <= 2_000_000
    assert shipped.fingerprint == shipped_fingerprint()
    assert shipped.fingerprint in (path.parent / "refiner.md").read_text("utf-8")
