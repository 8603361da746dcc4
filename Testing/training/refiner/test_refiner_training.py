"""Pairs of visits with a registration that errs, and that the refiner learns from them to put it right."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from samprompt.contract.errors import ParameterError
from samprompt.models.refiner import RefinerNetwork, load_refiner
from samprompt_training.core.loop import train
from samprompt_training.core.recipe import load_recipe
from samprompt_training.core.task import Draws
from samprompt_training.fields import Random
from samprompt_training.refiner.losses import distance_loss, overlap_loss
from samprompt_training.refiner.measure import score, summary, table, validation_pairs
from samprompt_training.refiner.pairs import FAMILIES, PairParameters, Pairs, make_pairs
from samprompt_training.refiner.recipe import RefinerRecipe
from samprompt_training.refiner.task import RefinerTask

CPU = torch.device("cpu")
SMALL = PairParameters(size=48, objects=2)


def recipe(**changes) -> RefinerRecipe:
    short = {
        "seed": 3, "steps": 4, "batch": 2, "learning_rate": 2e-3, "weight_decay": 0.01, "validate_every": 4,
        "checkpoint_every": 2, "threads": 1, "workers": 0, "size": 48, "widths": (8, 16, 16, 16), "reuse": 2,
        "validation_scenes": 16,
    }  # fmt: skip
    return RefinerRecipe(**(short | changes))


def same(one: Pairs, other: Pairs) -> bool:
    return all(
        torch.equal(torch.nan_to_num(getattr(one, f.name)), torch.nan_to_num(getattr(other, f.name)))
        for f in fields(Pairs)
    )


def dice(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    one, other = one > 0, other > 0
    total = (one.sum((1, 2, 3)) + other.sum((1, 2, 3))).clamp_min(1)
    return (2.0 * (one & other).sum((1, 2, 3)) / total).numpy()


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Two hundred pairs as they are trained on, only smaller."""
    found = [make_pairs(Random(seed, CPU), 10, SMALL) for seed in range(10)]
    return Pairs(*(torch.cat([getattr(part, f.name) for part in found]) for f in fields(Pairs)))


# --- pairs -----------------------------------------------------------------------------------------------------------
def test_the_same_seed_makes_the_same_pairs_and_another_one_others() -> None:
    one, two, other = (make_pairs(Random(seed, CPU), 3, SMALL) for seed in (5, 5, 6))
    assert same(one, two)
    assert not same(one, other)


def test_pairs_are_grey_levels_distances_and_scales_within_what_the_network_is_told(pairs: Pairs) -> None:
    config = RefinerNetwork().config
    for images in (pairs.followup, pairs.baseline):
        assert images.shape[1:] == (3, 48, 48)
        assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0
    for name, values in (("pixel_mm", pairs.pixel), ("step_mm", pairs.step)):
        low, high = config[name]
        assert low <= float(values.min()) < float(values.max()) <= high
        assert float(values.max() - values.min()) > 0.7 * (high - low)
    for distance in (pairs.prior, pairs.target):
        steepest = torch.diff(distance, dim=-1).abs().amax((1, 2, 3)) / pairs.pixel
        assert float(steepest.max()) < 2.01  # a distance in mm: two pixels at most across an edge or a thin rim


def test_every_kind_of_change_occurs_and_is_what_it_is_called(pairs: Pairs) -> None:
    assert set(pairs.family.tolist()) == set(range(len(FAMILIES)))
    area = (pairs.target > 0).sum((1, 2, 3)).float() / (pairs.prior > 0).sum((1, 2, 3)).float()
    known = torch.isfinite(area)
    middle = {name: float(area[known & (pairs.family == n)].median()) for n, name in enumerate(FAMILIES)}
    assert middle["vanished"] == 0.0
    assert middle["shrunk"] < 0.85 < 1.15 < middle["grown"]
    assert 0.85 < middle["organ"] < 1.15
    assert 0.8 < middle["unchanged"] < 1.2
    assert float(np.nanpercentile(pairs.contrast, 20)) < 0.5 < 1.5 < float(np.nanpercentile(pairs.contrast, 85))


def test_a_registration_without_error_brings_the_contour_to_the_truth_and_the_grey_levels_with_it() -> None:
    exact = replace(SMALL, size=80, error_mm=0.0, height_mm=0.0, observer_mm=0.0, objects=1)
    found = [make_pairs(Random(seed, CPU), 8, exact) for seed in range(6)]
    overlap = np.concatenate([dice(p.prior, p.target) for p in found])
    family = np.concatenate([p.family.numpy() for p in found])
    large = np.concatenate([((p.target > 0).sum((1, 2, 3)) > 60).numpy() for p in found])
    still = np.isin(family, [FAMILIES.index("organ"), FAMILIES.index("unchanged")]) & large
    assert still.sum() >= 8
    # a lesion that changes at an organ's edge changes the organ, so not all of them are the same
    assert np.quantile(overlap[still], 0.7) > 0.93
    wrong = [make_pairs(Random(seed, CPU), 8, replace(exact, error_mm=8.0, height_mm=6.0)) for seed in range(6)]
    worse = np.concatenate([dice(p.prior, p.target) for p in wrong])
    assert worse.mean() < overlap.mean() - 0.1
    near, far = (
        np.mean(
            [
                np.corrcoef(b.ravel(), f.ravel())[0, 1]
                for p in some
                for b, f in zip(p.baseline.numpy(), p.followup.numpy(), strict=True)
            ]
        )
        for some in (found, wrong)
    )
    assert near > far


def test_turned_pairs_are_the_same_pairs_seen_otherwise(pairs: Pairs) -> None:
    turned = pairs.turned(1, mirrored=True)
    assert np.array_equal(turned.target[0, 0], np.rot90(pairs.target[0, 0].numpy())[:, ::-1])
    assert np.array_equal(turned.followup[3, 2], np.rot90(pairs.followup[3, 2].numpy())[:, ::-1])
    assert torch.equal(turned.pixel, pairs.pixel)
    assert np.array_equal(dice(turned.prior, turned.target), dice(pairs.prior, pairs.target))


# --- losses and measures ---------------------------------------------------------------------------------------------
def test_the_losses_are_zero_for_the_truth_and_count_millimetres_and_overlap() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    target = (20.0 - torch.hypot(rows - 32, columns - 32))[None, None]
    pixel = torch.tensor([1.0])
    assert float(distance_loss(target, target, target, 8.0)) == 0.0
    assert float(overlap_loss(target, target, pixel)) < 0.06
    for by in (1.0, 3.0):
        error = float(distance_loss(target + by, target, target, 8.0))
        assert 0.75 * by < error <= by  # clipped at 8 mm on one side
    expected = 1.0 - 2 * 17**2 / (17**2 + 20**2)
    assert float(overlap_loss(target - 3.0, target, pixel)) == pytest.approx(expected, abs=0.04)
    empty = torch.full_like(target, -32.0)
    assert float(overlap_loss(empty, empty, pixel)) < 0.01
    assert float(overlap_loss(target, empty, pixel)) > 0.9


def test_the_measures_of_a_prior_left_alone_are_the_priors_own(pairs: Pairs) -> None:
    scores = score(RefinerNetwork({"widths": (8, 16, 16, 16)}), [pairs])
    assert np.array_equal(scores.dice[0], scores.dice[1], equal_nan=True)
    there = (pairs.target > 0).any(-1).any(-1)[:, 0].numpy()
    assert np.allclose(scores.dice[0][there], dice(pairs.prior, pairs.target)[there])
    assert np.isnan(scores.dice[0][~there]).all()
    found = summary(scores)
    assert found["prior"] == found["refined"]
    assert found["harm"] == 0.0
    assert found["left"] == 1.0
    lines = list(table(scores))
    assert any(line.startswith("| unchanged") for line in lines)
    assert any("contrast-to-noise" in line for line in lines)


def test_validation_pairs_are_fixed_and_none_of_training() -> None:
    one, two = (validation_pairs(8, SMALL)[0] for _ in range(2))
    assert same(one, two)
    task = RefinerTask(recipe(batch=8))
    assert not any(same(one, batch) for batch in islice(task.batches(0, 0, 1), 2))


# --- the task --------------------------------------------------------------------------------------------------------
def test_training_starts_at_the_prior() -> None:
    task = RefinerTask(recipe())
    batch = next(task.batches(0, 0, 1))
    loss, parts, carried = task.trained(batch, Draws(3, 0, 0))
    assert carried is None
    assert float(parts["distance"]) == float(parts["prior"])
    assert float(loss.detach()) == pytest.approx(0.3 * float(parts["prior"]) + float(parts["overlap"]))


def test_a_batch_depends_on_its_number_and_process_alone() -> None:
    def batches(first: int, rank: int = 0, world: int = 1) -> list[Pairs]:
        return list(islice(RefinerTask(recipe()).batches(first, rank, world), 3))

    from_start, later = batches(0), batches(1)
    assert same(from_start[1], later[0])
    assert same(from_start[2], later[1])
    assert same(from_start[1], from_start[0].turned(1, mirrored=True))  # shown again, turned
    assert not same(from_start[2], from_start[0])
    first, second = (batches(0, rank, 2)[0] for rank in (0, 1))
    assert not same(first, second)


@pytest.mark.parametrize("workers", [0, 1])
def test_without_a_gpu_pairs_are_the_same_wherever_the_recipe_has_them_made(workers: int) -> None:
    one, two = (
        list(islice(RefinerTask(recipe(generator=place, workers=workers)).batches(1, 0, 1), 2))
        for place in ("cpu", "device")
    )
    assert all(same(a, b) for a, b in zip(one, two, strict=True))


def test_pairs_are_pinned_whole(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.to(torch.float64) + 1)
    pinned = pairs.pin_memory()
    for part in fields(Pairs):
        assert getattr(pinned, part.name).dtype == torch.float64
        expected = getattr(pairs, part.name).double() + 1
        assert torch.equal(torch.nan_to_num(getattr(pinned, part.name)), torch.nan_to_num(expected))


def test_it_learns_to_put_a_visible_contour_right(tmp_path: Path) -> None:
    plain = replace(SMALL, low_contrast=0.0, alone=0.0, observer_mm=0.0, height_mm=0.0)
    shown = make_pairs(Random(1, CPU), 8, plain)
    task = RefinerTask(recipe(widths=(16, 32, 32, 32)))
    optimiser = torch.optim.AdamW(task.parameter_groups(), lr=3e-3)
    losses = []
    for step in range(25):
        loss, parts, _ = task.trained(shown, Draws(3, step, 0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(parts["distance"]))
    assert losses[-1] < 0.85 * losses[0]


def test_a_run_that_was_paused_ends_with_the_weights_of_one_in_a_piece(tmp_path: Path) -> None:
    whole = train(RefinerTask(recipe()), recipe(), tmp_path / "whole", tensorboard=False)
    train(RefinerTask(recipe()), recipe(), tmp_path / "parts", stop_at=3, tensorboard=False)
    parts = train(RefinerTask(recipe()), recipe(), tmp_path / "parts", tensorboard=False)
    assert whole.status == parts.status == "finished"
    assert whole.best is not None
    assert {"prior", "refined", "harm"} <= set(whole.best["metrics"])
    one, two = (load_refiner(tmp_path / name / "last.safetensors").network.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)


# --- the recipe ------------------------------------------------------------------------------------------------------
def test_the_shipped_recipe_is_read_and_a_wrong_key_or_type_is_named(tmp_path: Path) -> None:
    shipped = load_recipe("refiner", RefinerRecipe)
    assert shipped.steps > 100
    text = (Path(__file__).parents[3] / "training/samprompt_training/recipes/refiner.yaml").read_text("utf-8")
    for changed, named in ((text + "objekts: 2\n", "objekts"), (text.replace("size: 80", "size: large"), "size")):
        assert changed != text
        (tmp_path / "wrong.yaml").write_text(changed, "utf-8")
        with pytest.raises(ParameterError, match=named):
            load_recipe(tmp_path / "wrong.yaml", RefinerRecipe)
    with pytest.raises(ValueError, match="multiple of 16"):
        recipe(size=50)
