"""The published preset against the plain second implementation: point for point and mask for mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from samprompt.contract.prompting import (
    PUBLISHED_MEDICAL,
    PUBLISHED_NATURAL,
    PUBLISHED_UNADAPTED_CT,
    P2SamParameters,
)
from samprompt.prompting import p2sam
from samprompt.prompting.reference import Reference
from segment_anything import sam_model_registry
from small_sam import SmallSamBackbone, small_sam


def assert_same(backbone, plain, parameters: P2SamParameters, reference, target) -> set[bool]:
    """Every candidate is the plain one's; says which of the masks were empty."""
    (reference_image, reference_mask), target_image = reference, target
    expected, chosen = plain.run(
        backbone.sam,
        reference_image,
        reference_mask,
        target_image,
        parameters.positive_parts,
        parameters.negative_parts,
        parameters.negatives == "least_similar",
    )
    kept = Reference.from_mask(reference_mask, backbone.encode(reference_image[None]), backbone.input_size, parameters)
    embedding = backbone.encode(target_image[None])
    found = p2sam.candidates(kept, embedding, backbone, parameters)
    assert [(one.n, one.m) for one in found] == [(one["n"], one["m"]) for one in expected]
    assert found
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.points.numpy(), np.asarray(theirs["points"], np.float32))
        np.testing.assert_array_equal(ours.labels.numpy(), theirs["labels"])
        torch.testing.assert_close(ours.logits, theirs["logits"], atol=1e-3, rtol=0)
        assert bool((ours.mask == theirs["mask"]).all())
        assert ours.distance == pytest.approx(theirs["distance"], rel=1e-5)
    best = p2sam.segment(kept, embedding, backbone, parameters)
    assert (best.n, best.m) == (expected[chosen]["n"], expected[chosen]["m"])
    return {one.empty for one in found}


@pytest.mark.parametrize("seed", range(6))
def test_the_medical_preset_is_the_published_recipe(plain_p2sam, scenes, seed: int):
    backbone = SmallSamBackbone(small_sam(seed))
    assert_same(backbone, plain_p2sam, PUBLISHED_MEDICAL, scenes.draw(seed), scenes.draw(100 + seed)[0])


@pytest.mark.parametrize("seed", range(6))
def test_the_natural_preset_is_the_published_recipe(plain_p2sam, scenes, seed: int):
    backbone = SmallSamBackbone(small_sam(seed))
    reference, target = scenes.draw(seed, colour=True), scenes.draw(200 + seed, colour=True)[0]
    assert_same(backbone, plain_p2sam, PUBLISHED_NATURAL, reference, target)


@pytest.mark.parametrize("seed", range(2))
def test_the_preset_for_unadapted_models_with_45_negatives_is_the_published_recipe(plain_p2sam, scenes, seed: int):
    backbone = SmallSamBackbone(small_sam(seed))
    assert_same(backbone, plain_p2sam, PUBLISHED_UNADAPTED_CT, scenes.draw(seed), scenes.draw(300 + seed)[0])


@pytest.mark.parametrize(("height", "width"), [(96, 160), (200, 75), (64, 64), (256, 256)])
def test_images_that_are_not_square_or_not_of_the_models_size_follow_the_recipe(
    plain_p2sam, scenes, height: int, width: int
):
    backbone = SmallSamBackbone(small_sam(3))
    target = scenes.draw(8, height, width)[0]
    assert_same(backbone, plain_p2sam, PUBLISHED_MEDICAL, scenes.draw(7, height, width), target)
    assert_same(backbone, plain_p2sam, PUBLISHED_NATURAL, scenes.draw(7), target)  # reference of another size


def test_an_empty_mask_after_the_second_pass_ends_the_cascade_in_both(plain_p2sam, scenes):
    seen = set()
    for seed in range(8):
        model = small_sam(seed)
        # Positive features times a more and more negative weight: all logits sink, until no mask is left.
        model.mask_decoder.output_upscaling[3].bias += 2.0
        model.mask_decoder.output_hypernetworks_mlps[0].layers[-1].bias -= 0.4 * seed
        backbone = SmallSamBackbone(model)
        seen |= assert_same(backbone, plain_p2sam, PUBLISHED_MEDICAL, scenes.draw(seed), scenes.draw(seed + 50)[0])
    assert seen == {True, False}


def test_sam_vit_b_at_1024_pixels_follows_the_recipe(plain_p2sam, scenes):
    torch.manual_seed(0)
    model = sam_model_registry["vit_b"]().eval().requires_grad_(False)
    # One of the twelve blocks of the encoder: the whole takes 20 s an image on one core, and the rest is complete.
    model.image_encoder.blocks = model.image_encoder.blocks[:1]
    backbone = SmallSamBackbone(model)
    reference, target = scenes.draw(1, 512, 512), scenes.draw(2, 512, 512)[0]
    assert_same(backbone, plain_p2sam, PUBLISHED_MEDICAL, reference, target)
