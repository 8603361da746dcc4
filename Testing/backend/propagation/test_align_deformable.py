"""Features, the discrete search, the refinement and the agreement, against plain second implementations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from samprompt.propagation.align.deformable import Features, enlarge, folding, refine, search, strain, warp
from samprompt.propagation.align.mind import box_mean, mind_ssc, noise_level
from samprompt.propagation.align.quality import agreement, eroded
from scipy import ndimage


def blobs(shape, seed: int, width: float = 2.0) -> torch.Tensor:
    """A smooth random image with a standard deviation of 100."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), width)
    return torch.from_numpy((100.0 * field / max(field.std(), 1e-6)).astype(np.float32))


def features(image: torch.Tensor) -> Features:
    return Features(mind_ssc(image, 0.0), torch.ones(image.shape))


def plain_mind(image: np.ndarray, at: tuple[int, int, int], dilation: int) -> np.ndarray:
    """The twelve raw distances at one voxel, written from the paper with loops (before scaling)."""
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, s)) == 1]
    pairs = [(a, b) for a, b in itertools.combinations(steps, 2) if np.dot(a, b) == 0]
    out = []
    for a, b in pairs:
        total = 0.0
        for o in itertools.product((-1, 0, 1), repeat=3):
            one = image[tuple(np.array(at) + o + dilation * np.array(a))]
            two = image[tuple(np.array(at) + o + dilation * np.array(b))]
            total += (one - two) ** 2
        out.append(total / 27.0)
    return np.sort(out)


def test_the_features_are_the_papers():
    image = blobs((15, 15, 15), 1)
    at = (7, 6, 8)
    raw = plain_mind(image.numpy().astype(np.float64), at, 2)
    raw -= raw.min()
    expected = np.exp(-raw / raw.mean())
    assert np.allclose(np.sort(expected), np.sort(mind_ssc(image, 0.0)[(slice(None), *at)].numpy()), atol=1e-3)


def test_the_features_ignore_scale_offset_and_sign_of_grey_values():
    image = blobs((14, 15, 16), 2)
    assert torch.allclose(mind_ssc(image, 0.0), mind_ssc(1000.0 - 3.0 * image, 0.0), atol=1e-3)


def test_flat_noise_describes_itself_as_flat_when_its_level_is_known():
    noise = 20.0 * torch.from_numpy(np.random.default_rng(3).standard_normal((20, 20, 20)).astype(np.float32))
    level = noise_level(noise, torch.ones(noise.shape))
    assert level == pytest.approx(20.0, rel=0.2)
    assert mind_ssc(noise, 4.0 * level).mean() > mind_ssc(noise, 0.0).mean() + 0.2


def test_a_shift_by_whole_cells_is_found_by_the_search():
    image = blobs((30, 30, 30), 4)
    fixed, moving = image[6:26, 6:26, 6:26], image[4:24, 7:27, 6:26]
    found = search(features(fixed), features(moving), spacing=3.0, reach=9.0)
    middle = found[:, 6:14, 6:14, 6:14].flatten(1)
    assert torch.allclose(middle.median(dim=1).values, torch.tensor([6.0, -3.0, 0.0]), atol=0.3)


def test_the_refinement_recovers_a_smooth_displacement():
    shape = (28, 30, 32)
    axes = torch.meshgrid(*[torch.linspace(0, 3.0, n) for n in shape], indexing="ij")
    true = 3.0 * torch.stack([torch.sin(axes[1]), torch.cos(axes[2]), torch.sin(axes[0] + axes[2])])
    moving = blobs(shape, 5)
    # follow-up(x) = baseline(x + true(x)), so the displacement looked for is the one that made it.
    fixed = warp(Features(moving[None], torch.ones(shape)), true, 3.0)[0][0]
    found = refine(features(fixed), features(moving), torch.zeros(3, *shape), 3.0, 0.05, 15)
    inner = (slice(None), *[slice(5, -5)] * 3)
    before = true[inner].square().sum(dim=0).sqrt().mean()
    after = (found - true)[inner].square().sum(dim=0).sqrt().mean()
    assert before > 3.0
    assert after < 0.5


def test_what_was_not_measured_pulls_on_nothing():
    image = blobs((20, 20, 20), 6)
    wrong = image.clone()
    wrong[10:] = blobs((20, 20, 20), 7)[10:]
    weight = torch.ones(image.shape)
    weight[7:] = 0.0
    found = refine(Features(mind_ssc(image, 0.0), weight), features(wrong), torch.zeros(3, 20, 20, 20), 3.0, 0.05, 10)
    assert found.abs().max() < 0.3


def test_folding_and_strain_of_linear_maps_are_exact():
    k = torch.arange(10, dtype=torch.float32)[:, None, None].expand(10, 10, 10) * 2.0
    field = torch.stack([-1.5 * k, torch.zeros_like(k), torch.zeros_like(k)])
    share, jacobian = folding(field, 2.0)
    inner = (slice(1, -1),) * 3
    assert share == pytest.approx(0.8)
    assert torch.allclose(jacobian[inner], torch.tensor(-0.5))
    assert torch.allclose(strain(field, 2.0)[inner], torch.tensor(1.5))
    assert folding(0.3 * field, 2.0)[0] == 0.0


@pytest.mark.parametrize("shape", [(8, 9, 10), (1, 7, 4), (3, 1, 1)])
def test_halving_and_enlarging_keep_the_place_of_a_ramp(shape):
    ramp = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape], indexing="ij"))
    again = enlarge(Features(ramp, torch.ones(shape)).halved().values, shape)
    assert again.shape == ramp.shape
    inner = tuple(slice(1, max(n - 2, 1)) if n > 3 else slice(0, 0) for n in shape)
    assert torch.allclose(again[(slice(None), *inner)], ramp[(slice(None), *inner)], atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 12, 12), (12, 1, 12), (1, 1, 1), (2, 3, 2)])
def test_a_region_of_one_slice_stays_finite(shape):
    image, other = blobs(shape, 8, 0.5).nan_to_num(), blobs(shape, 9, 0.5).nan_to_num()
    a, b = features(image), features(other)
    field = refine(a, b, enlarge(search(a.halved(), b.halved(), 6.0, 18.0), shape), 3.0, 0.05, 5)
    assert field.shape == (3, *shape)
    assert torch.isfinite(field).all()


def test_the_same_image_agrees_fully_and_another_one_not():
    image, other = blobs((24, 24, 24), 10), blobs((24, 24, 24), 11)
    ones = torch.ones(image.shape)
    assert agreement(image, image, ones, 0.0, 0.0)[0] == pytest.approx(1.0, abs=1e-3)
    assert agreement(image, 2.0 * image + 30.0, ones, 0.0, 0.0)[0] == pytest.approx(1.0, abs=1e-3)
    assert agreement(image, other, ones, 0.0, 0.0)[0] < 0.2
    assert agreement(image, -image, ones, 0.0, 0.0)[0] == 0.0


def test_agreement_does_not_fall_with_the_noise_of_the_images():
    image = blobs((24, 24, 24), 12)
    rng = np.random.default_rng(13)
    a, b = (image + torch.from_numpy(25.0 * rng.standard_normal(image.shape).astype(np.float32)) for _ in range(2))
    ones = torch.ones(image.shape)
    ignorant = agreement(a, b, ones, 0.0, 0.0)[0]
    informed = agreement(a, b, ones, 50.0, 50.0)[0]
    assert ignorant < informed <= 1.0


def test_two_flat_images_tell_nothing():
    rng = np.random.default_rng(14)
    a, b = (torch.from_numpy(10.0 * rng.standard_normal((20, 20, 20)).astype(np.float32)) for _ in range(2))
    assert agreement(a, b, torch.ones(a.shape), 10.0, 10.0)[0] < 0.1
    assert agreement(a, b, torch.zeros(a.shape), 10.0, 10.0)[0] == 0.0
    zero = torch.zeros(a.shape)
    assert agreement(zero, zero, torch.ones(a.shape), 0.0, 0.0)[0] == 0.0


def test_the_box_mean_is_scipys_and_erosion_spares_the_border():
    image = blobs((9, 10, 11), 15, 0.7)
    assert np.allclose(box_mean(image[None], 2)[0], ndimage.uniform_filter(image.numpy(), 5, mode="nearest"), atol=1e-2)
    mask = torch.ones(7, 7, 7)
    mask[0, :, :] = 0.0
    assert eroded(mask, 2).sum() == 4 * 7 * 7
