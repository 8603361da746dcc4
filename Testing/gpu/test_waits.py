"""How often the processor waits for a GPU while it prompts: not more often for more prompts or more masks.

Counted on the stand-in device; a GPU that is waited for at every prompt stands still most of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from samprompt.contract.prompting import ADAPTED
from samprompt.models.backbone import Embedding
from samprompt.prompting.cascade import decode_points
from samprompt.prompting.points import PointPrompt, point_prompts
from samprompt.prompting.reduction import tokens_under, valid_tokens
from samprompt.prompting.reference import Reference
from standin_device import ELSEWHERE, StandInDevice

SHAPE = (96, 96)
MASK = torch.zeros(SHAPE, dtype=torch.bool)
MASK[30:70, 25:60] = True
OURS = "samprompt/prompting/"
Waits = Counter[tuple[str, str]]


def counted(device: StandInDevice, work: Callable[[], object], where: str = OURS) -> Waits:
    """What waits in our own files ``where`` while ``work`` is done; libraries and models wait besides."""
    device.waits.clear()
    work()
    return Counter({key: count for key, count in device.waits.items() if where in key[1]})


def prompts_there(count: int) -> list[PointPrompt]:
    """``count`` different prompts of one positive and one negative point."""
    labels = torch.tensor([1.0, 0.0]).to(ELSEWHERE)
    return [
        PointPrompt(1, 1, torch.tensor([[40.5 + n, 50.5], [10.5, 80.5 - n]]).to(ELSEWHERE), labels)
        for n in range(count)
    ]


@pytest.fixture
def embedding_there(prompts: Any) -> Callable[[Any], Embedding]:
    """``embedding_there(backbone)``: of one random image."""
    return lambda backbone: backbone.encode(prompts.random_image(SHAPE))


def test_many_prompts_wait_as_often_as_one(build: Any, embedding_there: Callable[[Any], Embedding]) -> None:
    with StandInDevice() as device:
        backbone = build("tiny", ELSEWHERE)
        embedding = embedding_there(backbone)
        waits = [counted(device, lambda n=n: decode_points(backbone, embedding, prompts_there(n))) for n in (1, 12)]
    assert waits[0] == waits[1]
    assert 1 <= sum(waits[0].values()) <= 4  # points, which masks are empty, scores; an index when some are


def test_points_of_many_parts_are_told_apart_in_one_reading(
    build: Any, embedding_there: Callable[[Any], Embedding]
) -> None:
    with StandInDevice() as device:
        backbone = build("tiny", ELSEWHERE)
        embedding = embedding_there(backbone)
        found = []
        for negatives in (2, 4):
            parameters = replace(ADAPTED, positive_parts=(1, 1), negative_parts=(1, negatives), minimum_distance=0.5)
            reference = Reference.from_mask(MASK, embedding, backbone.input_size, parameters)
            reference.parts(1, parameters)  # learned once for all images
            for m in range(1, negatives + 1):
                reference.background_parts(m, parameters)
            waits = counted(
                device, lambda p=parameters, r=reference: point_prompts(r, embedding, backbone.input_size, p)
            )
            found.append(sum(count for (kind, _), count in waits.items() if kind == "a number is read"))
    assert found == [1, 1]


def test_tokens_of_many_masks_come_in_one_copy(build: Any, embedding_there: Callable[[Any], Embedding]) -> None:
    with StandInDevice() as device:
        embedding = embedding_there(build("tiny", ELSEWHERE))
        grid = embedding.matching.shape[-2:]
        masks = [(torch.rand(n, *grid, generator=torch.Generator().manual_seed(n)) > 0.7) for n in (1, 9)]
        there = [mask.to(ELSEWHERE) for mask in masks]
        waits = [counted(device, lambda m=m: tokens_under(m, embedding)) for m in there]
        assert waits[0] == waits[1]
        assert sum(waits[0].values()) == 3  # the masks, which tokens, the tokens
        features = embedding.matching.cpu()[0].flatten(1).T
        for mask, tokens in zip(masks[1], tokens_under(there[1], embedding), strict=True):
            assert torch.equal(tokens.cpu(), features[mask.flatten()])


def test_what_is_padding_is_known_without_a_copy(build: Any, embedding_there: Callable[[Any], Embedding]) -> None:
    with StandInDevice() as device:
        embedding = embedding_there(build("tiny", ELSEWHERE))
        assert not counted(device, lambda: valid_tokens(embedding), "samprompt/")


def test_tokens_of_many_reference_slices_come_in_one_copy(
    build: Any, embedding_there: Callable[[Any], Embedding]
) -> None:
    with StandInDevice() as device:
        backbone = build("tiny", ELSEWHERE)
        one = Reference.from_mask(MASK, embedding_there(backbone), backbone.input_size, ADAPTED)
        found = []
        for count in (1, 8):
            reference = Reference.join([one] * count)
            found.append(counted(device, lambda r=reference: r.foreground))
            assert len(reference.foreground) == count * len(one.foreground)
    assert found[0] == found[1]
    assert sum(found[0].values()) == 2
