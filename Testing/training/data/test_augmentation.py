"""Augmentation and the order of samples: equal bits for equal states, and the same for any number of processes."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import disc, polyp, save_picture
from samprompt_training.core.order import sample_batches
from samprompt_training.data.augment import AugmentationParameters, augment
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.slices import SliceSet
from scipy import ndimage

STILL = AugmentationParameters(
    rotation=0, scale=0, shift=0, flip=0, contrast=0, brightness=0, gain=0, noise=0, blur=0, probability=1
)


def item(side: int = 64, channels: int = 1) -> dict[str, Any]:
    """A bright disc left of the middle, on a grey ramp, with the disc as mask."""
    mask = np.roll(disc(9.0, (side, side)), -10, axis=1)
    image = np.where(mask, 0.8, np.linspace(0.2, 0.4, side)[None])
    image = np.broadcast_to(image, (channels, side, side))
    return {
        "image": torch.from_numpy(image.astype(np.float32).copy()),
        "mask": torch.from_numpy(mask[None].astype(np.float32)),
        "extent": torch.tensor((side, side)),
        "case": "a",
    }


def changed(**values: Any) -> AugmentationParameters:
    return STILL.model_copy(update=values)


def test_equal_states_give_equal_bits_and_others_do_not() -> None:
    parameters = AugmentationParameters(elastic=3.0)
    one, two = (augment(item(), np.random.default_rng(5), parameters) for _ in range(2))
    assert torch.equal(one["image"], two["image"])
    assert torch.equal(one["mask"], two["mask"])
    others = [augment(item(), np.random.default_rng(seed), parameters)["image"] for seed in range(6, 10)]
    assert not any(torch.equal(one["image"], other) for other in others)


def test_the_state_of_numpy_and_torch_outside_does_not_matter_and_is_left_alone() -> None:
    parameters = AugmentationParameters()
    torch.manual_seed(1)
    np.random.seed(1)
    first = augment(item(), np.random.default_rng(5), parameters)["image"]
    torch.manual_seed(2)
    np.random.seed(2)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    second = augment(item(), np.random.default_rng(5), parameters)["image"]
    assert torch.equal(first, second)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_with_every_limit_at_zero_nothing_changes() -> None:
    still = augment(item(), np.random.default_rng(0), STILL)
    assert torch.allclose(still["image"], item()["image"], atol=1e-5)
    assert torch.equal(still["mask"], item()["mask"])
    assert still["case"] == "a"


def test_a_flip_mirrors_image_and_mask_from_left_to_right() -> None:
    flipped = augment(item(), np.random.default_rng(0), changed(flip=1.0))
    assert torch.allclose(flipped["image"], item()["image"].flip(-1), atol=1e-5)
    assert torch.equal(flipped["mask"], item()["mask"].flip(-1))


def test_the_mask_moves_with_the_image_and_stays_zero_and_one() -> None:
    parameters = changed(rotation=45, scale=0.3, shift=0.1, flip=0.5, elastic=4.0)
    for seed in range(12):
        out = augment(item(channels=3), np.random.default_rng(seed), parameters)
        assert out["image"].shape == (3, 64, 64)
        assert set(out["mask"].unique().tolist()) <= {0.0, 1.0}
        bright = out["image"][0].numpy() > 0.6
        mask = out["mask"][0].numpy() > 0
        overlap = 2 * (bright & mask).sum() / (bright.sum() + mask.sum())
        assert overlap > 0.9


def test_a_shift_is_no_larger_than_its_limit_and_a_scale_within_its_range() -> None:
    middle = np.array(ndimage.center_of_mass(item()["mask"][0].numpy()))
    away, areas = [], []
    for seed in range(40):
        shifted = augment(item(), np.random.default_rng(seed), changed(shift=0.1))["mask"][0].numpy()
        away.append(np.array(ndimage.center_of_mass(shifted)) - middle)
        scaled = augment(item(), np.random.default_rng(seed), changed(scale=0.25))["mask"][0].numpy()
        areas.append(scaled.sum() / item()["mask"].sum().item())
    assert 4.0 < np.abs(away).max() <= 0.1 * 64 + 0.5
    assert 1 / 1.25**2 * 0.93 <= min(areas) < 0.85
    assert 1.2 < max(areas) <= 1.25**2 * 1.07


def test_a_structure_is_never_moved_out_of_its_image() -> None:
    small = item()
    small["mask"] = torch.zeros_like(small["mask"])
    small["mask"][0, 2, 2] = 1.0
    for seed in range(20):
        assert augment(small, np.random.default_rng(seed), changed(shift=0.5))["mask"].sum() > 0


def test_grey_levels_change_within_zero_and_one_and_leave_the_mask() -> None:
    parameters = changed(contrast=1.0, brightness=0.5, gain=0.5, noise=0.3, blur=2.0)
    out = augment(item(), np.random.default_rng(3), parameters)
    assert torch.equal(out["mask"], item()["mask"])
    assert 0.0 <= float(out["image"].min()) < float(out["image"].max()) <= 1.0
    assert not torch.allclose(out["image"], item()["image"], atol=0.05)


def test_gain_shifts_the_colours_of_a_picture() -> None:
    out = augment(item(channels=3), np.random.default_rng(3), changed(gain=0.2))["image"]
    ratios = (out / item(channels=3)["image"]).mean(dim=(1, 2))
    assert float(ratios.max() - ratios.min()) > 0.02


def test_the_padding_of_a_picture_that_is_not_square_is_no_part_of_it() -> None:
    narrow = item()
    narrow["image"][..., 40:] = narrow["mask"][..., 40:] = 0.0
    narrow["extent"] = torch.tensor((64, 40))
    parameters = AugmentationParameters(probability=1.0, flip=1.0, shift=0.3, rotation=30.0, noise=0.1, brightness=0.3)
    for seed in range(8):
        out = augment(narrow, np.random.default_rng(seed), parameters)
        assert out["extent"].tolist() == [64, 40]
        assert out["image"].shape == narrow["image"].shape
        assert float(out["image"][..., 40:].abs().max()) == 0.0
        assert not bool(out["mask"][..., 40:].any())
        assert bool(out["mask"].any())
    mirrored = augment(narrow, np.random.default_rng(0), changed(flip=1.0))
    assert torch.equal(mirrored["mask"][..., :40], narrow["mask"][..., :40].flip(-1))


@pytest.fixture
def items(nnunet_folder: Path, tmp_path: Path) -> SliceSet:
    cases = open_dataset("nnunet", nnunet_folder).cases
    return SliceSet(cases, SliceParameters(size=32), tmp_path / "cache", augmentation=AugmentationParameters())


def test_two_processes_see_together_what_one_sees_with_the_double_batch(items: SliceSet) -> None:
    whole = list(islice(sample_batches(items, 6, seed=1, workers=0), 8))
    halves = [list(islice(sample_batches(items, 3, 1, rank=rank, world=2, workers=0), 8)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *halves, strict=True):
        for key in ("image", "mask", "slice"):
            assert torch.equal(batch[key], torch.cat([first[key], second[key]]))
        assert batch["case"] == first["case"] + second["case"]


def test_two_accumulated_batches_hold_what_one_large_batch_holds(items: SliceSet) -> None:
    large = list(islice(sample_batches(items, 4, 1, workers=0), 2))
    small = list(islice(sample_batches(items, 2, 1, workers=0), 4))
    assert torch.equal(large[1]["image"], torch.cat([small[2]["image"], small[3]["image"]]))


def test_a_resumed_run_goes_on_with_the_batch_it_would_have_had_from_any_number_of_workers(items: SliceSet) -> None:
    straight = list(islice(sample_batches(items, 4, seed=9, workers=0), 12))
    resumed = list(islice(sample_batches(items, 4, seed=9, first=9, workers=2), 3))
    for one, two in zip(straight[9:], resumed, strict=True):
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["mask"], two["mask"])


def test_no_sample_of_an_epoch_is_left_out(items: SliceSet) -> None:
    seen = [
        (case, int(k))
        for batch in islice(sample_batches(items, 4, 2, workers=0), len(items))
        for case, k in zip(batch["case"], batch["slice"], strict=True)
    ]
    epoch = len(items)
    for start in (0, epoch, 2 * epoch, 3 * epoch):
        assert len(set(seen[start : start + epoch])) == epoch


def test_a_sample_looks_different_in_the_next_epoch(items: SliceSet) -> None:
    looks: dict[tuple[str, int], list[torch.Tensor]] = {}
    for batch in islice(sample_batches(items, len(items), 2, workers=0), 2):
        for n, (case, k) in enumerate(zip(batch["case"], batch["slice"].tolist(), strict=True)):
            looks.setdefault((case, k), []).append(batch["image"][n])
    assert sum(torch.equal(one, two) for one, two in looks.values()) <= 0.1 * len(looks)


def test_a_single_sample_looks_different_every_time(tmp_path: Path) -> None:
    save_picture(tmp_path / "images" / "a.png", polyp(1)[0])
    save_picture(tmp_path / "masks" / "a.png", polyp(1)[1] * np.uint8(255))
    cases = open_dataset("folders", tmp_path, kind="endoscopy").cases
    single = SliceSet(cases, SliceParameters(size=32), tmp_path / "cache", augmentation=AugmentationParameters())
    one, two, three = (batch["image"] for batch in islice(sample_batches(single, 1, 2, workers=0), 3))
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)
