"""SAM 2.1 through our protocol is SAM 2.1 through its own image predictor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prompts_for_tests import CASES, make_prompts, random_image
from samprompt.contract.errors import WeightsError
from samprompt.models.backbone import Embedding, Prompts, logits_to_image, mask_to_prompt

pytest.importorskip("sam2", reason="sam2 is not installed (optional: SAM2_BUILD_CUDA=0 pip install sam2)")
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor
from samprompt.models.sam2 import CONFIGURATIONS, Sam2Backbone, load_sam2

TINY = "sam2.1_hiera_tiny"
SHAPE = (360, 517)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def official_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Hiera tiny with random weights as the official checkpoints are written."""
    torch.manual_seed(5)
    model = build_sam2(CONFIGURATIONS[TINY], device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("official") / "sam2.pt"
    torch.save({"model": model.state_dict()}, path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def both(official_file: Path) -> tuple[Sam2Backbone, SAM2ImagePredictor, Embedding]:
    """The same weights and the same picture on both roads."""
    picture = (random_image(SHAPE)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    predictor = SAM2ImagePredictor(build_sam2(CONFIGURATIONS[TINY], str(official_file), device="cpu"))
    predictor.set_image(picture)
    backbone = load_sam2(official_file, "cpu", TINY)
    return backbone, predictor, backbone.encode(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0)


def _reference(predictor: SAM2ImagePredictor, prompts: Prompts, multimask: bool) -> list[Any]:
    """The predictor asked with one prompt after the other: masks, IoU, low-resolution logits."""
    answers = []
    for index in range(len(prompts)):
        pick = {
            "point_coords": prompts.points, "point_labels": prompts.labels, "box": prompts.boxes,
            "mask_input": prompts.masks,
        }  # fmt: skip
        given = {key: None if part is None else part[index].numpy() for key, part in pick.items()}
        answers.append(predictor.predict(**given, multimask_output=multimask, return_logits=True))
    return [torch.from_numpy(np.stack(part)) for part in zip(*answers, strict=True)]


def test_the_features_are_the_predictors(both: tuple[Sam2Backbone, SAM2ImagePredictor, Embedding]) -> None:
    _, predictor, embedding = both
    features = predictor._features
    torch.testing.assert_close(embedding.tokens, features["image_embed"], atol=TOLERANCE, rtol=0)
    for ours, theirs in zip(reversed(embedding.high_res), features["high_res_feats"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
    assert embedding.stretched
    assert embedding.valid == (1.0, 1.0)


@pytest.mark.parametrize(("case", "multimask"), [*((case, False) for case in CASES), ("points and boxes", True)])
def test_every_combination_of_prompts_gets_the_predictors_answer(
    both: tuple[Sam2Backbone, SAM2ImagePredictor, Embedding], case: str, multimask: bool
) -> None:
    backbone, predictor, embedding = both
    prompts = make_prompts(case, SHAPE, backbone.mask_size)
    masks, iou, low = _reference(predictor, prompts, multimask)
    answer = backbone.decode(embedding, prompts, multimask)
    torch.testing.assert_close(answer.logits, low, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(answer.iou, iou, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(logits_to_image(answer.logits, embedding, 1024), masks, atol=TOLERANCE, rtol=0)
    assert float(low.std()) > 100 * TOLERANCE
    assert answer.presence is not None
    assert answer.presence.shape == (len(prompts),)


def test_decoding_without_a_prompt_repeats_one_answer(both: tuple[Sam2Backbone, SAM2ImagePredictor, Embedding]) -> None:
    backbone, predictor, embedding = both
    _, iou, low = predictor.predict(multimask_output=True, return_logits=True)
    answer = backbone.decode(embedding, Prompts(count=2), multimask=True)
    assert answer.presence is not None
    assert len(answer.logits) == len(answer.presence) == 2
    for index in range(2):
        torch.testing.assert_close(answer.logits[index], torch.from_numpy(low), atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(answer.iou[index], torch.from_numpy(iou), atol=TOLERANCE, rtol=0)


def test_a_mask_prompt_of_a_stretched_image_comes_back_in_its_place() -> None:
    mask = torch.zeros(1, 1, 100, 300)
    mask[..., 20:60, 200:280] = 1.0
    blank = torch.zeros(1, 1, 64, 64)
    embedding = Embedding(blank, blank, (), (100, 300), (1.0, 1.0), stretched=True)
    back = logits_to_image(mask_to_prompt(mask, 256, stretched=True), embedding, 1024) > 0
    assert float((back != (mask > 0)).float().mean()) < 0.005


def test_weights_of_another_size_are_refused(official_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"sam2\.1_hiera_small: .*missing"):
        load_sam2(official_file, "cpu", "sam2.1_hiera_small")


def test_the_next_larger_configuration_builds() -> None:
    model = build_sam2(CONFIGURATIONS["sam2.1_hiera_base_plus"], device="cpu")
    backbone = Sam2Backbone(model, torch.device("cpu"))
    assert (backbone.input_size, backbone.mask_size, backbone.matching_stride) == (1024, 256, 16.0)
