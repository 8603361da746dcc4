"""Decoding in batches, sharing between structures, the baselines and the registry."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from samprompt.contract.errors import ParameterError
from samprompt.contract.prompting import ADAPTED, PERSAM, PUBLISHED_MEDICAL, PUBLISHED_NATURAL, P2SamParameters
from samprompt.models.backbone import Prompts, mask_to_prompt
from samprompt.models.tiny import TinyBackbone, TinyModel
from samprompt.prompting import direct, p2sam, persam
from samprompt.prompting.cascade import decode_points, tight_boxes
from samprompt.prompting.points import PointPrompt
from samprompt.prompting.reference import Reference
from samprompt.prompting.registry import METHODS, prompting_method


def scene(backbone, scenes, parameters: P2SamParameters = PUBLISHED_MEDICAL, seed: int = 0):
    image, mask = scenes.draw(seed)
    reference = Reference.from_mask(mask, backbone.encode(image[None]), backbone.input_size, parameters)
    return reference, backbone.encode(scenes.draw(seed + 40)[0][None])


def prompt(*points: tuple[float, float, int]) -> PointPrompt:
    rows = torch.tensor(points)
    return PointPrompt(1, 1, rows[:, :2], rows[:, 2])


def test_prompts_with_equally_many_points_share_three_decoder_calls_and_answer_as_alone(small_sam_backbone, scenes):
    embedding = small_sam_backbone.encode(scenes.draw(3)[0][None])
    prompts = [
        prompt((20.5, 30.5, 1), (90.5, 90.5, 0)),
        prompt((64.5, 64.5, 1), (1.5, 1.5, 1), (100.5, 3.5, 0)),
        prompt((70.5, 20.5, 1), (9.5, 110.5, 0)),
        prompt((20.5, 30.5, 1), (90.5, 90.5, 0)),  # the first once more
    ]
    together = decode_points(small_sam_backbone, embedding, prompts)
    assert small_sam_backbone.decoder_calls == 6
    assert together[3] is together[0]
    for one, shared in zip(prompts, together, strict=True):
        alone = decode_points(small_sam_backbone, embedding, [one])[0]
        torch.testing.assert_close(shared.logits, alone.logits, atol=1e-4, rtol=0)
        assert torch.equal(shared.mask, alone.mask)
        assert shared.iou == pytest.approx(alone.iou, abs=1e-4)
    small_sam_backbone.decoder_calls = 0
    decode_points(small_sam_backbone, embedding, [prompt((i + 0.5, 20.5, 1)) for i in range(10)], batch=4)
    assert small_sam_backbone.decoder_calls == 9


def test_boxes_run_through_the_outermost_pixels():
    masks = torch.zeros(2, 30, 40, dtype=torch.bool)
    masks[0, 3:9, 10:31] = True
    masks[1, 29, 0] = True
    assert tight_boxes(masks).tolist() == [[10.5, 3.5, 30.5, 8.5], [0.5, 29.5, 0.5, 29.5]]


def test_structures_on_one_slice_share_calls_and_come_out_as_alone(small_sam_backbone, scenes):
    first, embedding = scene(small_sam_backbone, scenes)
    second, other = scene(small_sam_backbone, scenes, seed=5)
    third, _ = scene(small_sam_backbone, scenes, seed=6)
    small_sam_backbone.decoder_calls = 0
    together = p2sam.candidates_for_slices(
        [first, second, third], [embedding, other, embedding], small_sam_backbone, PUBLISHED_MEDICAL
    )
    assert small_sam_backbone.decoder_calls == 18  # two slices, three point counts, three passes
    for mine, (reference, target) in zip(
        together, [(first, embedding), (second, other), (third, embedding)], strict=True
    ):
        alone = p2sam.candidates(reference, target, small_sam_backbone)
        assert [(one.n, one.m) for one in mine] == [(one.n, one.m) for one in alone]
        for one, two in zip(mine, alone, strict=True):
            torch.testing.assert_close(one.logits, two.logits, atol=1e-4, rtol=0)
            assert one.distance == pytest.approx(two.distance, rel=1e-4)


def test_slices_share_calls_where_the_model_takes_pairs_and_come_out_as_alone(scenes):
    torch.manual_seed(0)
    backbone = TinyBackbone(TinyModel(), torch.device("cpu"))
    image, mask = scenes.draw(0)
    reference = Reference.from_mask(mask, backbone.encode(image[None]), backbone.input_size)
    batch = backbone.encode(torch.stack([scenes.draw(seed)[0] for seed in range(1, 5)]))
    embeddings = [batch[index] for index in range(4)]
    calls = []
    decode = backbone.decode
    backbone.decode = lambda *arguments: calls.append(len(arguments[1])) or decode(*arguments)
    together = p2sam.candidates_for_slices([reference] * 4, embeddings, backbone)
    assert calls[:2] == [4, 4]
    assert len(calls) <= 9
    for mine, embedding in zip(together, embeddings, strict=True):
        alone = p2sam.candidates(reference, embedding, backbone)
        assert len(mine) == 3
        for one, two in zip(mine, alone, strict=True):
            assert torch.equal(one.points, two.points)
            torch.testing.assert_close(one.logits, two.logits, atol=1e-4, rtol=0)
            assert one.distance == pytest.approx(two.distance, rel=1e-4)
            assert one.presence == pytest.approx(two.presence, abs=1e-4)


def test_the_same_input_gives_the_same_bits_again(small_sam_backbone, scenes):
    runs = []
    for _ in range(2):
        reference, embedding = scene(small_sam_backbone, scenes, ADAPTED)
        prior = torch.zeros(128, 128)
        prior[30:80, 30:80] = 1.0
        runs.append(p2sam.candidates(reference, embedding, small_sam_backbone, ADAPTED, prior))
    assert len(runs[0]) > 0
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one.logits, two.logits)
        assert torch.equal(one.points, two.points)
        assert one.distance == two.distance


def test_the_prior_is_the_mask_prompt_of_the_first_pass(small_sam_backbone, scenes):
    options = replace(PUBLISHED_MEDICAL, prior_mask=True, positive_parts=(1, 1))
    reference, embedding = scene(small_sam_backbone, scenes, options)
    prior = torch.zeros(128, 128)
    prior[30:80, 30:80] = 1.0
    found = p2sam.candidates(reference, embedding, small_sam_backbone, options, prior)[0]
    given = Prompts(found.points[None], found.labels[None], masks=mask_to_prompt(prior[None, None], 64))
    logits = small_sam_backbone.decode(embedding, given).logits
    logits = small_sam_backbone.decode(embedding, Prompts(given.points, given.labels, masks=logits)).logits
    mask = torch.nn.functional.interpolate(logits, (128, 128), mode="bilinear")[0] > 0
    last = Prompts(given.points, given.labels, tight_boxes(mask), logits)
    torch.testing.assert_close(found.logits, small_sam_backbone.decode(embedding, last).logits[0, 0], atol=1e-4, rtol=0)
    without = p2sam.candidates(reference, embedding, small_sam_backbone, options)[0]
    nothing = p2sam.candidates(reference, embedding, small_sam_backbone, options, torch.zeros(128, 128))[0]
    assert not torch.allclose(found.logits, without.logits, atol=1e-2)
    assert torch.equal(nothing.logits, without.logits)  # an empty prior is no prompt


def test_one_image_at_a_time_and_lists_of_one_length(small_sam_backbone, scenes):
    reference, embedding = scene(small_sam_backbone, scenes)
    two = small_sam_backbone.encode(torch.rand(2, 3, 128, 128))
    with pytest.raises(ParameterError, match="one image"):
        p2sam.candidates(reference, two, small_sam_backbone)
    with pytest.raises(ParameterError, match="pairs"):
        p2sam.candidates_for_slices([reference], [embedding, embedding], small_sam_backbone)


def test_persam_is_one_part_with_the_least_similar_pixel(small_sam_backbone, plain_p2sam, scenes):
    image, mask = scenes.draw(1)
    target = scenes.draw(2)[0]
    reference = Reference.from_mask(mask, small_sam_backbone.encode(image[None]), 128)
    found = persam.segment(reference, small_sam_backbone.encode(target[None]), small_sam_backbone, PERSAM)
    expected, _ = plain_p2sam.run(small_sam_backbone.sam, image, mask, target, (1, 1), (1, 1), True)
    assert found.points.tolist() == [list(point) for point in expected[0]["points"]]
    torch.testing.assert_close(found.logits, expected[0]["logits"], atol=1e-3, rtol=0)


def test_direct_is_the_decoder_without_a_prompt(small_sam_backbone, scenes):
    reference, embedding = scene(small_sam_backbone, scenes)
    found = direct.segment(reference, embedding, small_sam_backbone)
    sam = small_sam_backbone.sam
    sparse, dense = sam.prompt_encoder(None, None, None)
    logits, _ = sam.mask_decoder(embedding.tokens, sam.prompt_encoder.get_dense_pe(), sparse, dense, False)
    torch.testing.assert_close(found.logits, logits[0, 0], atol=1e-5, rtol=0)
    assert (found.n, found.m, len(found.points)) == (0, 0, 0)


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("parameters", [PUBLISHED_MEDICAL, PUBLISHED_NATURAL, ADAPTED])
def test_every_method_takes_the_same_arguments(small_sam_backbone, scenes, name: str, parameters: P2SamParameters):
    reference, embedding = scene(small_sam_backbone, scenes, parameters)
    found = prompting_method(name)(reference, embedding, small_sam_backbone, parameters, torch.ones(128, 128))
    assert found.mask.shape == (128, 128)
    assert found.mask.dtype == torch.bool
    assert found.logits.shape == (64, 64)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ParameterError) as error:
        prompting_method("p3sam")
    assert "p2sam" in error.value.hint


def test_tokens_in_half_precision_work(small_sam_backbone, scenes):
    reference, embedding = scene(small_sam_backbone, scenes)
    half = replace(embedding, matching=embedding.matching.to(torch.bfloat16))
    assert len(p2sam.candidates(reference, half, small_sam_backbone)) == 3
