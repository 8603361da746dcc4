"""The built-in model: its size, its file, and that it behaves as any other backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from samprompt.contract.errors import WeightsError, WeightsMissingError
from samprompt.models.backbone import Prompts, logits_to_image, mask_to_prompt
from samprompt.models.tiny import TinyBackbone, TinyModel, load_tiny, save_tiny
from samprompt.models.tiny_decoder import draw_dense


@pytest.fixture(scope="module")
def shipped(repository: Path) -> TinyBackbone:
    return load_tiny(repository / "Resources" / "models" / "tiny.safetensors")


def disc(side: int, x: float, y: float, radius: float) -> torch.Tensor:
    axis = torch.arange(side) + 0.5
    return ((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2 <= radius**2).float()


def picture(side: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = disc(side, 0.55 * side, 0.45 * side, 0.16 * side)
    image = 0.35 + 0.3 * mask + 0.15 * disc(side, 0.2 * side, 0.75 * side, 0.1 * side) + 0.02 * torch.randn(side, side)
    return image.clamp(0, 1).expand(1, 3, -1, -1).contiguous(), mask


def test_the_shipped_model_is_small_enough(shipped: TinyBackbone, repository: Path) -> None:
    assert sum(p.numel() for p in shipped.model.parameters()) <= 8_000_000
    assert (repository / "Resources" / "models" / "tiny.safetensors").stat().st_size <= 16 * 1024 * 1024
    assert all(bool(torch.isfinite(p).all()) for p in shipped.model.parameters())


@pytest.mark.parametrize("kind", ["box", "point", "prior"])
def test_every_kind_of_prompt_finds_a_plain_disc(shipped: TinyBackbone, kind: str) -> None:
    image, mask = picture()
    embedding = shipped.encode(image)
    prompts = {
        "box": Prompts(boxes=torch.tensor([[48.0, 36.0, 92.0, 79.0]])),
        "point": Prompts(points=torch.tensor([[[70.4, 57.6]]]), labels=torch.tensor([[1]])),
        "prior": Prompts(masks=mask_to_prompt(disc(128, 73, 55, 24)[None, None], shipped.mask_size)),
    }[kind]
    found = logits_to_image(shipped.decode(embedding, prompts).logits, embedding, shipped.input_size)[0, 0] > 0
    overlap = 2 * (found & (mask > 0)).sum() / (found.sum() + mask.sum())
    assert float(overlap) > (0.6 if kind == "point" else 0.85)


def test_prompts_in_one_batch_answer_as_each_alone(shipped: TinyBackbone) -> None:
    image, _ = picture()
    embedding = shipped.encode(image)
    points = torch.tensor([[[70.0, 57.0], [20.0, 20.0]], [[25.0, 96.0], [64.0, 64.0]]])
    labels = torch.tensor([[1, 0], [1, 0]])
    together = shipped.decode(embedding, Prompts(points, labels))
    for n in range(2):
        alone = shipped.decode(embedding, Prompts(points[n : n + 1], labels[n : n + 1]))
        assert torch.allclose(alone.logits[0], together.logits[n], atol=1e-3)


def test_images_of_other_sizes_are_resized_padded_and_answered_at_their_own_size(shipped: TinyBackbone) -> None:
    image, _ = picture(200)
    wide = image[:, :, :120]
    embedding = shipped.encode(wide)
    assert embedding.image_shape == (120, 200)
    assert embedding.valid == pytest.approx((0.6, 1.0), abs=0.01)
    logits = shipped.decode(embedding, Prompts(boxes=torch.tensor([[78.0, 58.0, 142.0, 120.0]]))).logits
    assert logits_to_image(logits, embedding, shipped.input_size).shape == (1, 1, 120, 200)


def test_matching_tokens_have_unit_length_and_see_the_object(shipped: TinyBackbone) -> None:
    image, mask = picture()
    tokens = shipped.encode(image).matching[0].flatten(1).T
    assert torch.allclose(tokens.norm(dim=1), torch.ones(len(tokens)), atol=1e-4)
    inside = torch.nn.functional.avg_pool2d(mask[None, None], 4).flatten() > 0.99
    outside = torch.nn.functional.avg_pool2d(mask[None, None], 4).flatten() < 0.01
    mean = tokens[inside].mean(0)
    assert float((tokens[inside] @ mean).mean()) > float((tokens[outside] @ mean).mean()) + 0.1


def test_a_decode_without_any_prompt_is_possible(shipped: TinyBackbone) -> None:
    embedding = shipped.encode(picture()[0])
    assert shipped.decode(embedding, Prompts(count=2)).logits.shape[0] == 2


def test_drawn_boxes_cover_the_area_of_the_box() -> None:
    boxes = torch.tensor([[10.0, 20.0, 50.0, 100.0], [0.0, 0.0, 128.0, 128.0]])
    drawn = draw_dense(64, 128.0, None, None, boxes, None, 2, torch.device("cpu"))
    area = drawn[:, 2].sum(dim=(1, 2)) * 4.0
    assert area.tolist() == pytest.approx([40.0 * 80.0, 128.0 * 128.0], rel=0.08)
    assert float(drawn[:, [0, 1, 3]].abs().max()) == 0.0


def test_drawn_points_peak_at_their_place_with_their_sign() -> None:
    points, labels = torch.tensor([[[33.0, 65.0], [97.0, 31.0], [5.0, 5.0]]]), torch.tensor([[1, 0, -1]])
    drawn = draw_dense(64, 128.0, points, labels, None, None, 1, torch.device("cpu"))[0, 3]
    assert float(drawn[32, 16]) > 0.95
    assert float(drawn[15, 48]) < -0.95
    assert abs(float(drawn[2, 2])) < 0.05


def test_weights_survive_a_round_trip(tmp_path: Path) -> None:
    model = TinyModel()
    save_tiny(model, tmp_path / "t.safetensors", {"note": "made in a test"})
    again = load_tiny(tmp_path / "t.safetensors")
    for name, value in model.state_dict().items():
        assert torch.allclose(value, again.model.state_dict()[name], atol=1e-2), name
    assert len(again.fingerprint) == 16


def test_another_architecture_version_is_refused_with_its_name(tmp_path: Path) -> None:
    save_tiny(TinyModel(), tmp_path / "t.safetensors")
    state = load_file(tmp_path / "t.safetensors")
    save_file(state, tmp_path / "new.safetensors", metadata={"architecture": "samprompt-tiny", "version": "99"})
    with pytest.raises(WeightsError, match="99"):
        load_tiny(tmp_path / "new.safetensors")


@pytest.mark.parametrize("config", ["", "[1]", '{"widths": [8, 8, 8, 8]}', '{"blocks": 3}'])
def test_weights_without_a_configuration_that_fits_them_are_refused(tmp_path: Path, config: str) -> None:
    save_tiny(TinyModel(), tmp_path / "t.safetensors")
    metadata = {"architecture": "samprompt-tiny", "version": "2", "config": config}
    save_file(load_file(tmp_path / "t.safetensors"), tmp_path / "other.safetensors", metadata=metadata)
    with pytest.raises(WeightsError, match=r"configuration|sizes"):
        load_tiny(tmp_path / "other.safetensors")


def test_missing_and_truncated_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        load_tiny(tmp_path / "absent.safetensors")
    save_tiny(TinyModel(), tmp_path / "t.safetensors")
    data = (tmp_path / "t.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError):
        load_tiny(tmp_path / "cut.safetensors")
