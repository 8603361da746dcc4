"""Scenes, objects and prompts that the built-in model is trained on."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from samprompt_training.bodies import ORGANS, Body, BodyParameters, random_frame
from samprompt_training.fields import Random, sample_at, sampling_grid, slab
from samprompt_training.greys import render
from samprompt_training.lesions import FIRST, LesionParameters, Lesions
from samprompt_training.prompts import boxes_of, choose_objects, corrupt, interior, sample_points
from samprompt_training.scenes import SceneParameters, Scenes, make_scenes
from samprompt_training.stream import SceneStream
from scipy import ndimage

CPU = torch.device("cpu")
SMALL = SceneParameters(size=64)


def test_the_same_seed_makes_the_same_scenes() -> None:
    one, two = (make_scenes(Random(5, CPU), 3, SceneParameters(size=64)) for _ in range(2))
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.labels, two.labels)
    assert not torch.equal(one.images, make_scenes(Random(6, CPU), 3, SceneParameters(size=64)).images)


def test_scenes_are_grey_levels_with_labels_and_independent_noise_at_the_two_visits() -> None:
    scenes = make_scenes(Random(1, CPU), 6, SceneParameters(size=64))
    assert scenes.images.shape == (2, 6, 3, 64, 64)
    assert 0.0 <= float(scenes.images.min()) <= float(scenes.images.max()) <= 1.0
    assert bool((scenes.labels >= 100).any())
    noise = scenes.images - torch.nn.functional.avg_pool2d(scenes.images.flatten(0, 1), 5, 1, 2).view_as(scenes.images)
    first, second = (n.flatten().numpy() for n in noise[:, :, 1, 20:44, 20:44])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.5


def test_places_say_which_pixel_of_the_first_visit_is_seen_at_the_second() -> None:
    scenes = make_scenes(Random(3, CPU), 4, SceneParameters(size=96))
    assert agreement_of_the_visits(scenes) > 0.97


def test_what_is_beneath_a_transparent_lesion_shows_through_in_its_share() -> None:
    rng = np.random.default_rng(0)
    over, beneath = (torch.from_numpy(rng.integers(0, 5, (2, 3, 32, 32))) for _ in range(2))
    table, texture = torch.from_numpy(rng.random((2, 5), np.float32)), torch.zeros(2, 5)
    share = torch.full(over.shape, 0.3)
    for seed in range(6):  # some of them with speckle, streaks and correlated noise
        one, other, mixed = (
            render(Random(seed, CPU), *shown)
            for shown in ((over, table, texture), (beneath, table, texture), (over, table, texture, beneath, share))
        )
        assert torch.allclose(mixed, 0.3 * one + 0.7 * other, atol=1e-5)


def test_transparent_lesions_are_covered_least_at_their_rim_and_the_others_are_drawn_as_before() -> None:
    plain, glass = (LesionParameters(transparent=share) for share in (0.0, 1.0))
    places = slab(sampling_grid(64, CPU).expand(4, -1, -1, -1), torch.ones(4))
    ids = torch.zeros(4, 3, 64, 64, dtype=torch.long)
    lesions = Lesions(Random(1, CPU), ids, glass)
    drawn = lesions.drawn_over(ids, ids, places, 0, 1)
    assert drawn.cover is not None
    inside = drawn.instances >= FIRST
    assert bool(inside.any())
    assert bool((drawn.cover[~inside] == 1).all())
    assert float(drawn.cover[inside].max()) <= 0.7
    alone = drawn.instances == FIRST  # the first lies on top
    depth = lesions.fields(places, 0)[:, 0]
    for b in range(4):
        if int(alone[b].sum()) > 50 and float(lesions.rim[b, 0]) > 0.1:
            rim = alone[b] & (depth[b] < 0.2 * lesions.rim[b, 0])
            middle = alone[b] & (depth[b] > lesions.rim[b, 0])
            assert float(drawn.cover[b][rim].max()) <= 0.2 * float(lesions.solid[b, 0]) + 1e-6
            assert torch.allclose(drawn.cover[b][middle], lesions.solid[b, 0])
    opaque = Lesions(Random(1, CPU), ids, plain).drawn_over(ids, ids, places, 0, 1)
    assert opaque.cover is None
    assert torch.equal(opaque.ids, drawn.ids)


def test_a_core_of_its_own_is_an_object_with_the_core_s_grey_and_the_drawing_stays_the_same() -> None:
    parameters = BodyParameters(nested=1.0, own_core=1.0)
    body = Body(Random(8, CPU), random_frame(Random(9, CPU), 6, 64), parameters)
    places = slab(sampling_grid(64, CPU).expand(6, -1, -1, -1), torch.ones(6))
    ids, instances = body.labels(places)
    cores = (instances >= ORGANS + parameters.organs) & (instances < ORGANS + 2 * parameters.organs)
    assert bool(cores.any())
    n = instances[cores] - ORGANS - parameters.organs
    assert torch.equal(ids[cores], body.regions + 2 + 3 * n + 1)
    body.own_core = torch.zeros_like(body.own_core)
    same, whole = body.labels(places)
    assert torch.equal(same, ids)
    assert torch.equal(whole[cores], ORGANS + n)
    assert torch.equal(whole[~cores], instances[~cores])


def test_dead_tissue_is_darker_than_the_lesion_round_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []

    def remember(random: Random, labels: torch.Tensor, table: torch.Tensor, *others: object) -> torch.Tensor:
        tables.append(table)
        return render(random, labels, table, *others)

    monkeypatch.setattr("samprompt_training.scenes.render", remember)
    make_scenes(Random(2, CPU), 8, SceneParameters(size=64, lesions=LesionParameters(dark_core=True)))
    lesion, core = (tables[0][:, tables[0].shape[1] - 6 + k :: 2] for k in (0, 1))
    assert lesion.shape == (8, 3)
    assert bool(((lesion - core >= 0.02 - 1e-6) & (lesion - core <= 0.25 + 1e-6)).all())


def test_boxes_are_the_tight_ones_of_scipy() -> None:
    rng = np.random.default_rng(0)
    masks = torch.from_numpy((rng.random((5, 1, 40, 40)) < 0.01).astype(np.float32))
    masks[:, 0, 12, 20] = 1.0
    for box, mask in zip(boxes_of(masks).tolist(), masks[:, 0].numpy(), strict=True):
        rows, columns = ndimage.find_objects((mask > 0).astype(int))[0]
        assert box == [columns.start, rows.start, columns.stop, rows.stop]
    assert boxes_of(torch.zeros(1, 1, 8, 8)).tolist() == [[0.0, 0.0, 8.0, 8.0]]


def test_points_are_drawn_inside_and_mostly_deep() -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 10:30, 10:30] = 1
    points, valid = sample_points(Random(0, CPU), interior(mask), 200)
    assert bool(valid.all())
    x, y = points[0, :, 0], points[0, :, 1]
    assert float(x.min()) > 10
    assert float(x.max()) < 30
    assert float(((x > 13) & (x < 27) & (y > 13) & (y < 27)).float().mean()) > 0.55
    assert not bool(sample_points(Random(0, CPU), torch.zeros(1, 1, 8, 8), 1)[1].any())


def test_corrupted_priors_still_resemble_their_objects() -> None:
    mask = (((sampling_grid(96, CPU) - 48) ** 2).sum(0) < 20**2).float()[None, None].expand(40, -1, -1, -1)
    soft = corrupt(Random(2, CPU), mask)
    assert 0.0 <= float(soft.min()) <= float(soft.max()) <= 1.0
    hard = (soft > 0.5).float()
    dice = 2 * (hard * mask).sum((1, 2, 3)) / (hard + mask).sum((1, 2, 3))
    assert 0.55 < float(dice.median()) < 0.97
    assert float(dice.std()) > 0.03


def test_targets_and_registered_priors_belong_together() -> None:
    scenes = make_scenes(Random(4, CPU), 8, SceneParameters(size=96))
    target, prior = choose_objects(scenes, np.random.default_rng(1))
    assert target.shape == prior.shape == (16, 1, 96, 96)
    there = (target.sum((1, 2, 3)) > 50) & (prior.sum((1, 2, 3)) > 50)
    dice = 2 * (target * prior).sum((1, 2, 3)) / (target + prior).sum((1, 2, 3)).clamp_min(1)
    assert float(dice[there].median()) > 0.6


def agreement_of_the_visits(scenes: Scenes) -> float:
    """Share of the second visit's pixels, lesions left out, that carry the label of the place they show."""
    moved = sample_at(scenes.labels[0].float()[:, None], scenes.places, mode="nearest")[:, 0]
    beyond = (scenes.places < 0).any(1) | (scenes.places > scenes.images.shape[-1]).any(1)
    same = (moved == scenes.labels[1].float())[(scenes.labels[1] < FIRST) & (moved < FIRST) & ~beyond]
    return float(same.float().mean())


def test_mirrored_scenes_still_say_which_pixel_is_seen() -> None:
    scenes = make_scenes(Random(3, CPU), 4, SceneParameters(size=96))
    mirrored = scenes.mirrored()
    assert torch.equal(mirrored.images[..., 10], scenes.images[..., 85])
    assert agreement_of_the_visits(mirrored) == pytest.approx(agreement_of_the_visits(scenes), abs=0.01)
    again = mirrored.mirrored()
    assert torch.equal(again.images, scenes.images)
    assert torch.allclose(again.places, scenes.places, atol=1e-4)


def test_without_vanishing_every_lesion_of_the_first_visit_can_be_at_the_second() -> None:
    never, always = (
        make_scenes(Random(8, CPU), 12, SceneParameters(size=96, lesions=LesionParameters(vanish=chance)))
        for chance in (0.0, 1.0)
    )
    assert bool((never.labels[1] >= FIRST).any())
    assert not bool((always.labels[1] >= FIRST).any())
    assert bool((always.labels[0] >= FIRST).any())


def test_a_body_without_organs_or_tubes_shows_none() -> None:
    bare = SceneParameters(size=64, body=BodyParameters(organs=0, tubes=0))
    labels = make_scenes(Random(9, CPU), 6, bare).labels
    assert not bool(((labels >= ORGANS) & (labels < FIRST)).any())
    assert bool(((make_scenes(Random(9, CPU), 6, SMALL).labels // 10) == ORGANS // 10).any())


def test_neighbouring_slices_resemble_each_other_more_than_other_scenes_do() -> None:
    together = SceneParameters(size=64, slice_step=(0.5, 1.5), alone=0.0)
    images = make_scenes(Random(10, CPU), 16, together).images[0]
    below, middle, above = (images[:, n].flatten(1).numpy() for n in range(3))
    for other in (below, above):
        own = [np.corrcoef(one, two)[0, 1] for one, two in zip(middle, other, strict=True)]
        strange = [np.corrcoef(one, two)[0, 1] for one, two in zip(middle, np.roll(other, 1, 0), strict=True)]
        assert np.median(own) > 0.6 > np.median(strange)


def test_alone_repeats_the_middle_slice() -> None:
    images = make_scenes(Random(10, CPU), 4, SceneParameters(size=64, alone=1.0)).images
    assert torch.equal(images[:, :, 0], images[:, :, 1])
    assert torch.equal(images[:, :, 2], images[:, :, 1])


def test_the_stream_gives_the_same_scenes_from_any_step_on() -> None:
    whole = iter(SceneStream(4, 2, SMALL).loader())
    later = iter(SceneStream(4, 2, SMALL, first=2).loader())
    for _ in range(2):
        next(whole)
    assert torch.equal(next(whole).images, next(later).images)


def test_scenes_go_whole_to_another_type_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = make_scenes(Random(2, CPU), 2, SMALL)
    seen: list[tuple[str, bool]] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.double() + 1)
    pinned = scenes.pin_memory()
    original = torch.Tensor.to

    def to(tensor: torch.Tensor, device: torch.device, non_blocking: bool = False) -> torch.Tensor:
        seen.append((str(device), non_blocking))
        return original(tensor, device, non_blocking=non_blocking)

    monkeypatch.setattr(torch.Tensor, "to", to)
    moved = scenes.to(torch.device("meta"), non_blocking=True)
    assert seen == [("meta", True)] * 3
    for part in fields(Scenes):
        assert torch.equal(getattr(pinned, part.name), getattr(scenes, part.name).double() + 1)
        assert getattr(moved, part.name).is_meta
        assert getattr(moved, part.name).shape == getattr(scenes, part.name).shape


def test_lesions_are_about_as_smooth_as_tumours_are() -> None:
    """A filled ellipse in the exact box has a Dice of .93 on real tumours (methods page, section 8)."""
    scenes = make_scenes(Random(12, CPU), 24, SceneParameters(size=128))
    labels = scenes.labels[0].numpy()
    found = []
    for image in labels:
        mask = image == FIRST
        rows, columns = np.nonzero(mask)
        if mask.sum() < 200 or min(rows.min(), columns.min()) == 0 or max(rows.max(), columns.max()) == 127:
            continue
        centre = (rows.min() + rows.max() + 1) / 2, (columns.min() + columns.max() + 1) / 2
        half = (rows.max() + 1 - rows.min()) / 2, (columns.max() + 1 - columns.min()) / 2
        y, x = np.mgrid[:128, :128] + 0.5
        ellipse = ((y - centre[0]) / half[0]) ** 2 + ((x - centre[1]) / half[1]) ** 2 <= 1
        found.append(2 * (mask & ellipse).sum() / (mask.sum() + ellipse.sum()))
    assert len(found) > 8
    assert 0.78 < np.median(found) < 0.95
