"""Dice per patient, against counting by hand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from samprompt.models.backbone import Decoded, Embedding, Prompts
from samprompt_training.adapt.scoring import dice_by_patient, mean_dice

SIDE = 16


class Threshold:
    """A model that answers every prompt with the bright pixels; what it was asked is kept."""

    name, fingerprint = "threshold", ""
    input_size = mask_size = SIDE
    matching_stride, uses_neighbours, device = 1.0, False, torch.device("cpu")
    decodes_pairs: ClassVar[bool] = False

    def __init__(self) -> None:
        self.asked: list[Prompts] = []
        self.seen: list[tuple[int, ...]] = []

    def encode(self, images: torch.Tensor) -> Embedding:
        self.seen.append(tuple(images.shape))
        shape = (int(images.shape[-2]), int(images.shape[-1]))
        square = torch.nn.functional.pad(images, (0, SIDE - shape[1], 0, SIDE - shape[0]))
        return Embedding(square, square, (), shape, (shape[0] / SIDE, shape[1] / SIDE))

    def decode(self, embedding: Embedding, prompts: Prompts, multimask: bool = False) -> Decoded:
        self.asked.append(prompts)
        logits = (embedding.tokens[:, :1] - 0.5).expand(max(len(prompts), len(embedding)), -1, -1, -1)
        return Decoded(logits, torch.ones(len(logits), 1))


class Pairs(Threshold):
    decodes_pairs: ClassVar[bool] = True


def _item(patient: str, truth: list[tuple[slice, slice]], bright: list[tuple[slice, slice]], case: str = "c") -> dict:
    mask, image = np.zeros((1, SIDE, SIDE), np.float32), np.zeros((3, SIDE, SIDE), np.float32)
    for place in truth:
        mask[0][place] = 1
    for place in bright:
        image[:, place[0], place[1]] = 1
    return {"image": torch.from_numpy(image), "mask": torch.from_numpy(mask), "patient": patient, "case": case,
            "structure": "GTV", "slice": 0}  # fmt: skip


A, B = (slice(2, 6), slice(2, 6)), (slice(10, 12), slice(10, 14))  # 16 and 8 pixels
ITEMS = [
    _item("one", [A], [A]),
    _item("one", [], [B]),  # found where nothing is
    _item("two", [A], [B]),
    _item("two", [B], [A, B], "second visit"),
    _item("three", [], []),  # a true negative
]


@pytest.mark.parametrize("model", [Threshold, Pairs])
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_slices_are_pooled_by_case_and_cases_averaged_by_patient(model, batch: int) -> None:
    scores = dice_by_patient(model(), ITEMS, batch=batch)
    assert scores["none"] == {"one": pytest.approx(2 * 16 / (16 + 24)), "two": pytest.approx((0 + 2 * 8 / 32) / 2)}
    # with a prompt only slices that have the structure are asked for
    for kind in ("point", "box"):
        assert scores[kind] == {"one": 1.0, "two": pytest.approx((0 + 2 * 8 / 32) / 2)}
    assert mean_dice(scores)["dice_none"] == pytest.approx((0.8 + 0.25) / 2)
    assert mean_dice({"none": {}}) == {"dice_none": 0.0}


def test_the_point_is_the_deepest_and_the_box_is_near_the_tight_one() -> None:
    model = Threshold()
    big = (slice(3, 12), slice(1, 10))
    dice_by_patient(model, [_item("p", [big, (slice(3, 4), slice(10, 16))], [])], ("point", "box"))
    point, box = model.asked
    assert point.points.tolist() == [[[5.5, 7.5]]]
    assert point.labels.tolist() == [[1]]
    assert np.abs(box.boxes[0].numpy() - [1, 3, 16, 12]).max() <= 0.05 * 15
    assert box.boxes[0].tolist() != [1.0, 3.0, 16.0, 12.0]
    again = Threshold()
    dice_by_patient(again, [_item("p", [big, (slice(3, 4), slice(10, 16))], [])], ("box",))
    assert torch.equal(again.asked[0].boxes, box.boxes)


@pytest.mark.parametrize("model", [Threshold, Pairs])
def test_pictures_are_measured_as_a_user_gives_them_without_padding(model) -> None:
    padding = (slice(0, SIDE), slice(10, SIDE))
    items = [
        _item("one", [A], [A, padding]) | {"extent": torch.tensor((SIDE, 10))},  # bright outside of the picture
        _item("two", [A], [A]) | {"extent": torch.tensor((SIDE, 10))},
        _item("three", [A], [A, padding]) | {"extent": torch.tensor((12, SIDE))},
        _item("four", [A], [A]) | {"extent": torch.tensor((SIDE, SIDE))},
    ]
    asked = model()
    scores = dice_by_patient(asked, items)
    assert asked.seen == [(2, 3, SIDE, 10), (1, 3, 12, SIDE), (1, 3, SIDE, SIDE)]
    assert scores["none"]["one"] == scores["none"]["two"] == scores["none"]["four"] == 1.0
    assert scores["none"]["three"] == pytest.approx(2 * 16 / (16 + 16 + 12 * 6))
    alone = {p: dice_by_patient(model(), [item])["box"] for p, item in zip(("one", "two"), items, strict=False)}
    assert {p: scores["box"][p] for p in alone} == {p: found[p] for p, found in alone.items()}
