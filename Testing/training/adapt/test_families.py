"""The networks with gradients are the backbones without; layers, drop path."""

from __future__ import annotations

import pytest
import torch
from samprompt.contract.errors import ParameterError
from samprompt.models.backbone import Prompts
from samprompt_training.adapt.clicks import Given
from samprompt_training.adapt.drop_path import add_drop_path
from samprompt_training.adapt.families import Family, family_of
from samprompt_training.adapt.layers import part_of
from small_models import CPU, discs, tiny_family

SIDE = 96  # neither network's own size, so that everything is scaled


def _given(kind: str, mask_size: int) -> Given:
    torch.manual_seed(2)
    points, labels = torch.rand(2, 3, 2) * SIDE, torch.tensor([[1, 0, 1], [0, 1, 1]])
    boxes = torch.tensor([[10.0, 20.0, 50.0, 60.0], [30.0, 5.0, 90.0, 44.0]])
    masks = torch.randn(2, 1, mask_size, mask_size) * 4
    return {
        "none": Given(),
        "points": Given(points, labels),
        "box": Given(boxes=boxes),
        "points and mask": Given(points, labels, None, masks),
        "mask": Given(masks=masks),
    }[kind]


@pytest.mark.parametrize("kind", ["none", "points", "box", "points and mask", "mask"])
def test_a_pair_of_image_and_prompt_gets_the_backbones_answer(family: Family, kind: str) -> None:
    images = discs(2, SIDE)["image"]
    given = _given(kind, family.mask_size)
    family.network.train()
    answer = family.decode(family.encode(images), given, SIDE)
    assert answer.logits.requires_grad
    backbone = family.backbone(CPU)
    embedding = backbone.encode(images)
    for n in range(2):
        one = Prompts(
            *(None if p is None else p[n : n + 1] for p in (given.points, given.labels, given.boxes, given.masks)),
            count=1,
        )
        expected = backbone.decode(embedding[n], one)
        torch.testing.assert_close(answer.logits[n].detach(), expected.logits[0], atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(answer.iou[n].detach(), expected.iou[0, 0], atol=1e-4, rtol=1e-4)
        if expected.presence is not None:
            torch.testing.assert_close(answer.presence[n].detach(), expected.presence[0], atol=1e-4, rtol=1e-4)


def test_a_point_means_the_same_pixel_whatever_the_size_of_the_image() -> None:
    family = tiny_family()
    asked: list[torch.Tensor] = []
    family.network.decoder.sparse.register_forward_pre_hook(lambda _module, inputs: asked.append(inputs[0][0]))
    for side in (64, 128):
        image = torch.zeros(1, 3, side, side)
        given = Given(torch.tensor([[[side * 0.75, side * 0.25]]]), torch.ones(1, 1))
        family.decode(family.encode(image), given, side)
    assert asked[0].tolist() == asked[1].tolist() == [[[48.0, 16.0]]]  # in the input square of 64 pixels


def test_every_parameter_of_the_image_path_has_a_part(family: Family) -> None:
    parts = {name: part_of(family, name) for name, _ in family.network.named_parameters()}
    assert set(parts.values()) >= {"encoder", "patch_embedding", "neck", "prompt_encoder", "decoder"}
    without = {name.split(".")[0] for name, part in parts.items() if part is None}
    # SAM 2's memory of earlier frames is not trained
    assert without <= {
        "memory_attention", "memory_encoder", "maskmem_tpos_enc", "no_mem_embed", "no_mem_pos_enc", "no_obj_ptr",
        "no_obj_embed_spatial", "obj_ptr_proj", "obj_ptr_tpos_proj", "mask_downsample",
    }  # fmt: skip
    for name in family.anatomy.stopped:
        assert parts[name] == "prompt_encoder"


def test_a_model_of_no_family_cannot_be_adapted() -> None:
    class Other:
        name = "other"

    with pytest.raises(ParameterError, match="other"):
        family_of(Other())


def test_drop_path_skips_whole_samples_more_often_with_depth_and_keeps_the_mean() -> None:
    class Adds(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1.0

    blocks = [Adds() for _ in range(5)]
    add_drop_path(blocks, 0.4)
    torch.manual_seed(0)
    for index, block in enumerate(blocks):
        y = block(torch.zeros(4000, 2, 3))
        assert bool((y == y[:, :1, :1]).all())  # a sample is skipped as a whole
        chance = 0.1 * index
        assert float((y[:, 0, 0] == 0).float().mean()) == pytest.approx(chance, abs=0.03)
        assert float(y.mean()) == pytest.approx(1.0, abs=0.05)
        assert bool((block.eval()(torch.zeros(9, 2)) == 1).all())


def test_drop_path_leaves_blocks_alone_that_change_the_shape() -> None:
    block = torch.nn.Conv2d(3, 4, 3)
    add_drop_path([torch.nn.Identity(), block], 0.9)
    x = torch.rand(8, 3, 9, 9)
    assert torch.equal(block(x), torch.nn.functional.conv2d(x, block.weight, block.bias))
