"""SAM through our protocol is SAM through its own predictor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from prompts_for_tests import CASES, make_prompts, random_image
from samprompt.contract.errors import OutOfMemory, WeightsError
from samprompt.models.backbone import Embedding, Prompts, logits_to_image
from samprompt.models.sam import SamBackbone, load_sam
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

CPU = torch.device("cpu")
TOLERANCE = 1e-4


def _reference(predictor: SamPredictor, prompts: Prompts, shape: tuple[int, int], multimask: bool) -> tuple:
    """The predictor's own answer: masks as logits of image size, IoU, low-resolution logits."""
    transform = predictor.transform
    return predictor.predict_torch(
        None if prompts.points is None else transform.apply_coords_torch(prompts.points, shape),
        prompts.labels,
        None if prompts.boxes is None else transform.apply_boxes_torch(prompts.boxes, shape),
        prompts.masks,
        multimask_output=multimask,
        return_logits=True,
    )


@pytest.fixture(scope="module", params=[(300, 201), (97, 256), (256, 256), (40, 333)], ids=str)
def small(request: pytest.FixtureRequest, small_sam: Sam) -> tuple[SamBackbone, SamPredictor, Embedding]:
    """The small SAM with one image of the given size set in both."""
    shape = request.param
    image = random_image(shape)
    predictor = SamPredictor(small_sam)
    target = ResizeLongestSide.get_preprocess_shape(*shape, 256)
    resized = F.interpolate(image * 255, target, mode="bilinear", align_corners=False, antialias=True)
    predictor.set_torch_image(resized, shape)
    backbone = SamBackbone(small_sam, CPU)
    return backbone, predictor, backbone.encode(image)


def test_the_tokens_are_the_predictors(small: tuple[SamBackbone, SamPredictor, Embedding]) -> None:
    _, predictor, embedding = small
    torch.testing.assert_close(embedding.tokens, predictor.features, atol=TOLERANCE, rtol=0)
    assert embedding.matching is embedding.tokens


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_every_combination_of_prompts_gets_the_predictors_answer(
    small: tuple[SamBackbone, SamPredictor, Embedding], case: str, multimask: bool
) -> None:
    backbone, predictor, embedding = small
    prompts = make_prompts(case, embedding.image_shape, backbone.mask_size)
    masks, iou, low = _reference(predictor, prompts, embedding.image_shape, multimask)
    answer = backbone.decode(embedding, prompts, multimask)
    torch.testing.assert_close(answer.logits, low, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(answer.iou, iou, atol=TOLERANCE, rtol=0)
    full = logits_to_image(answer.logits, embedding, backbone.input_size)
    torch.testing.assert_close(full, masks, atol=TOLERANCE, rtol=0)
    assert answer.presence is None
    assert float(low.std()) > 100 * TOLERANCE  # the comparison is not one of constants


def test_prompts_change_the_answer(small: tuple[SamBackbone, SamPredictor, Embedding]) -> None:
    backbone, _, embedding = small
    answers = [backbone.decode(embedding, make_prompts(c, embedding.image_shape, 64)).logits[:1] for c in CASES]
    for one, other in itertools.pairwise(answers):
        assert float((one - other).abs().max()) > 10 * TOLERANCE


def test_the_valid_share_says_which_tokens_hold_image(small_sam: Sam) -> None:
    embedding = SamBackbone(small_sam, CPU).encode(random_image((128, 256)))
    assert embedding.valid == (0.5, 1.0)
    assert not embedding.stretched


def test_a_batch_of_images_is_each_image_by_itself(small_sam: Sam) -> None:
    backbone = SamBackbone(small_sam, CPU)
    backbone.encode_batch = 2
    images = torch.cat([random_image((100, 120), seed) for seed in range(3)])
    together = backbone.encode(images)
    assert len(together) == 3
    for index in range(3):
        alone = backbone.encode(images[index : index + 1])
        torch.testing.assert_close(together[index].tokens, alone.tokens, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_the_size_of_the_decoders_batches_changes_nothing(small_sam: Sam, case: str) -> None:
    backbone = SamBackbone(small_sam, CPU)
    embedding = backbone.encode(random_image((200, 256)))
    prompts = make_prompts(case, (200, 256), backbone.mask_size)
    whole = backbone.decode(embedding, prompts)
    backbone.decode_batch = 2
    torch.testing.assert_close(backbone.decode(embedding, prompts).logits, whole.logits, atol=TOLERANCE, rtol=0)


def test_decoding_without_a_prompt_gives_as_many_answers_as_asked_for(small_sam: Sam) -> None:
    backbone = SamBackbone(small_sam, CPU)
    embedding = backbone.encode(random_image((64, 64)))
    predictor = SamPredictor(small_sam)
    predictor.set_torch_image(
        F.interpolate(random_image((64, 64)) * 255, (256, 256), mode="bilinear", antialias=True), (64, 64)
    )
    _, iou, low = predictor.predict_torch(None, None, multimask_output=True)
    answer = backbone.decode(embedding, Prompts(count=3), multimask=True)
    assert answer.logits.shape == (3, 3, 64, 64)
    for index in range(3):
        torch.testing.assert_close(answer.logits[index], low[0], atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(answer.iou[index], iou[0], atol=TOLERANCE, rtol=0)


def test_medsam_gets_values_between_zero_and_one_as_they_are(small_sam: Sam) -> None:
    image = random_image((128, 256))
    resized = F.pad(F.interpolate(image, (128, 256), mode="bilinear", antialias=True), (0, 0, 0, 128))
    with torch.no_grad():
        expected = small_sam.image_encoder(resized)
    found = SamBackbone(small_sam, CPU, unit_range=True).encode(image).tokens
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)
    assert float((SamBackbone(small_sam, CPU).encode(image).tokens - expected).abs().max()) > 100 * TOLERANCE


def test_prompts_that_do_not_belong_together_are_refused(small_sam: Sam) -> None:
    backbone = SamBackbone(small_sam, CPU)
    embedding = backbone.encode(torch.rand(2, 3, 64, 64))
    points, labels = torch.rand(3, 1, 2), torch.ones(3, 1)
    with pytest.raises(ValueError, match="one image"):
        backbone.decode(embedding, Prompts(points, labels))
    for wrong in (Prompts(points), Prompts(points, labels, boxes=torch.rand(2, 4)), Prompts()):
        with pytest.raises(ValueError):
            backbone.decode(embedding[0], wrong)


def test_memory_that_runs_out_shrinks_the_batch_and_then_says_so(
    small_sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = SamBackbone(small_sam, CPU)
    embedding = backbone.encode(random_image((64, 64)))
    prompts = make_prompts("points", (64, 64), 64)
    expected = backbone.decode(embedding, prompts).logits
    forward, limit = small_sam.mask_decoder.forward, 2

    def small_memory(**values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if values["sparse_prompt_embeddings"].shape[0] > limit:
            torch.empty(2**60)
        return forward(**values)

    monkeypatch.setattr(small_sam.mask_decoder, "forward", small_memory)
    torch.testing.assert_close(backbone.decode(embedding, prompts).logits, expected, atol=TOLERANCE, rtol=0)
    limit = 0
    with pytest.raises(OutOfMemory):
        backbone.decode(embedding, prompts)


# --- the real size, in the official format ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def official_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ViT-B with random weights as the official checkpoints are written: a plain state dictionary."""
    path = tmp_path_factory.mktemp("official") / "sam_vit_b_random.pth"
    torch.manual_seed(3)
    model = sam_model_registry["vit_b"]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    torch.save(model.state_dict(), path)
    yield path
    path.unlink()


def test_an_official_vit_b_file_gives_what_sam_predictor_gives(official_file: Path) -> None:
    # 1024 pixels wide: no resampling, so the predictor's own road from a uint8 picture can be taken from end to end.
    picture = (random_image((700, 1024))[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    predictor = SamPredictor(sam_model_registry["vit_b"](checkpoint=str(official_file)))
    predictor.set_image(picture)
    backbone = load_sam(official_file, CPU, "vit_b")
    embedding = backbone.encode(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0)
    torch.testing.assert_close(embedding.tokens, predictor.features, atol=TOLERANCE, rtol=0)
    assert (backbone.input_size, backbone.mask_size, backbone.matching_stride) == (1024, 256, 16.0)
    assert len(backbone.fingerprint) == 16
    prompts = make_prompts("points, boxes and masks", (700, 1024), 256)
    masks, iou, low = _reference(predictor, prompts, (700, 1024), True)
    answer = backbone.decode(embedding, prompts, multimask=True)
    torch.testing.assert_close(answer.logits, low, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(answer.iou, iou, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(logits_to_image(answer.logits, embedding, 1024), masks, atol=TOLERANCE, rtol=0)


def test_weights_of_another_size_are_refused_with_names(small_sam: Sam, tmp_path: Path) -> None:
    torch.save(small_sam.state_dict(), tmp_path / "small.pth")
    with pytest.raises(WeightsError, match=r"vit_b: .*missing \(image_encoder.*of another shape"):
        load_sam(tmp_path / "small.pth", CPU, "vit_b")
