"""What gets a gradient, and when: the encoder in the first iteration alone, two embeddings never."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from samprompt_training.adapt.clicks import Given
from samprompt_training.adapt.families import Family
from samprompt_training.adapt.interactive import InteractiveAdaptation
from samprompt_training.adapt.losses import Answer, answer_loss
from small_models import discs, draws, recipe, run_step, sam2_family, sam_family, tiny_family

FULL = {"lora": None, "parts": ("encoder", "patch_embedding", "neck", "prompt_encoder", "decoder")}
FAMILIES = pytest.mark.parametrize("make", [sam_family, sam2_family, tiny_family], ids=["SAM", "SAM 2", "tiny"])


def _gradients(trained: InteractiveAdaptation) -> list[dict[str, bool]]:
    """For every iteration of one batch: which parameters got a gradient other than zero."""
    batch, carried, found = discs(2), None, []
    for iteration in range(trained.iterations):
        trained.zero_grad(set_to_none=True)
        loss, _, carried = trained(batch, draws(0, iteration), carried)
        loss.backward()
        found.append(
            {name: p.grad is not None and bool(p.grad.any()) for name, p in trained.network.named_parameters()}
        )
    return found


def _of_encoder(name: str) -> bool:
    return name.startswith(("image_encoder.", "encoder."))


@FAMILIES
@pytest.mark.parametrize("method", [FULL, {}], ids=["full", "LoRA"])
def test_only_the_first_iteration_reaches_the_encoder_and_all_reach_the_decoder(make, method) -> None:
    found = _gradients(InteractiveAdaptation(make(), recipe(**method)))
    assert len(found) == 11
    reached = [any(got for name, got in one.items() if _of_encoder(name)) for one in found]
    assert reached == [True] + [False] * 10
    assert all(any(got for name, got in one.items() if "hyper" in name) for one in found)


def test_the_first_iterations_gradient_of_the_encoder_is_that_of_the_plain_network() -> None:
    """Written out with SAM's own modules, without any code of the adaptation but the loss."""
    family = sam_family()
    trained = InteractiveAdaptation(family, recipe(**FULL, interaction={"first": ("none",), "stopped": "never"}))
    batch = discs(2)
    loss, _, _ = trained(batch, draws(), None)
    loss.backward()
    reference = sam_family().network
    total = 0.0
    for image, target in zip(batch["image"], batch["mask"], strict=True):
        large = torch.nn.functional.interpolate(
            image[None] * 255.0, (128, 128), mode="bilinear", align_corners=False, antialias=True
        )
        tokens = reference.image_encoder(reference.preprocess(large))
        sparse, dense = reference.prompt_encoder(None, None, None)
        logits, iou = reference.mask_decoder(tokens, reference.prompt_encoder.get_dense_pe(), sparse, dense, False)
        full = torch.nn.functional.interpolate(logits, (64, 64), mode="bilinear", align_corners=False)
        total = total + answer_loss(Answer(logits, iou[:, 0]), full, target[None], trained.recipe.loss)[0] / 2
    total.backward()
    expected = dict(reference.named_parameters())
    reached = {name for name, parameter in expected.items() if parameter.grad is not None}
    for part in ("image_encoder.patch_embed.", "image_encoder.blocks.0.", "image_encoder.neck.", "mask_decoder."):
        assert any(name.startswith(part) for name in reached)
    found = {name: p.grad for name, p in family.network.named_parameters() if p.grad is not None}
    assert {name for name, gradient in found.items() if gradient.any() or name in reached} == reached
    for name in reached:
        torch.testing.assert_close(found[name], expected[name].grad, atol=1e-5, rtol=1e-3)


@FAMILIES
def test_the_paper_stops_two_embeddings_in_every_iteration(make: Callable[[], Family]) -> None:
    family = make()
    trained = InteractiveAdaptation(family, recipe(**FULL))
    before = {name: family.network.get_parameter(name).clone() for name in family.anatomy.stopped}
    run_step(trained, discs(2), torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=1e-3))
    for name, old in before.items():
        assert torch.equal(family.network.get_parameter(name), old)
        assert not family.network.get_parameter(name).requires_grad
    other = next(n for n, _ in family.network.named_parameters() if "point_embeddings.1" in n)
    assert family.network.get_parameter(other).requires_grad


@pytest.mark.parametrize("first", ["none", "point", "box"])
def test_the_published_code_stops_them_only_where_nothing_is_given(first: str) -> None:
    rules = {"first": (first,), "stopped": "without a prompt"}
    found = _gradients(InteractiveAdaptation(sam_family(), recipe(**FULL, interaction=rules)))
    no_mask, no_point = "prompt_encoder.no_mask_embed.weight", "prompt_encoder.not_a_point_embed.weight"
    assert found[0][no_mask] == (first != "none")  # only the first iteration has no mask prompt
    assert found[0][no_point] == (first == "point")  # a point is followed by a padding point
    assert not any(one[no_mask] for one in found[1:])
    assert sum(one[no_point] for one in found[1:]) == 8  # the single points
    free = _gradients(InteractiveAdaptation(sam_family(), recipe(**FULL, interaction=rules | {"stopped": "never"})))
    assert free[0][no_mask]


def test_each_iteration_prompts_with_the_logits_of_the_one_before_and_one_mask() -> None:
    family = sam_family()
    trained = InteractiveAdaptation(family, recipe(interaction={"first": ("box",)}))
    seen: list[tuple[Given, torch.Tensor]] = []
    plain = family.decode

    def spy(features, given, side):
        answer = plain(features, given, side)
        assert not torch.is_grad_enabled() or features[0].requires_grad == (not seen)
        seen.append((given, answer.logits.detach()))
        assert answer.logits.shape[1] == 1
        return answer

    family.decode = spy  # type: ignore[method-assign]
    run_step(trained, discs(2), None)
    assert seen[0][0].boxes is not None
    assert seen[0][0].masks is None
    for (_, before), (given, _) in itertools.pairwise(seen):
        assert torch.equal(given.masks, before)
        assert given.boxes is None
    assert [given.points is None for given, _ in seen].count(True) == 3
    assert seen[-1][0].points is None


@FAMILIES
def test_half_precision_is_the_encoders_alone_and_answers_nearly_alike(make: Callable[[], Family]) -> None:
    losses = []
    for enabled in (False, True):
        trained = InteractiveAdaptation(make(), recipe(interaction={"iterations": 4}))
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(run_step(trained, discs(2), torch.optim.SGD(trained.parameters(), lr=0.0)))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.15)
