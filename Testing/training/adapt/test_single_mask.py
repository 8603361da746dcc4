"""Adapted SAM 2 weights answer with the mask that was trained; their base goes on choosing by stability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from samprompt.models import sam2
from samprompt.models.added import add_model
from samprompt.models.backbone import Prompts
from samprompt.models.registry import Weights, find_weights, load_backbone
from samprompt_training.adapt.families import family_of
from samprompt_training.adapt.files import write_adapter, write_state, write_whole
from samprompt_training.adapt.interactive import InteractiveAdaptation
from samprompt_training.adapt.layers import merged_state
from samprompt_training.adapt.merge import merge
from samprompt_training.adapt.result import finish
from samprompt_training.core.loop import Outcome
from small_models import discs, recipe, small_sam2

ARCHITECTURE = "sam2.1_hiera_tiny"
PROMPTS = Prompts(points=torch.tensor([[[20.0, 30.0]], [[40.0, 10.0]], [[5.0, 50.0]]]), labels=torch.ones(3, 1))
WHOLE = {"lora": None, "parts": ("decoder", "neck")}
MANIFEST: dict[str, Any] = {
    "layout": "nnunet", "seed": 1, "shares": [0.5, 0.5, 0.0], "digest": "d", "notes": [], "patients_known": True,
    "summary": {"train": {"patients": 1, "cases": 1, "slices": {"GTV": 3}}},
}  # fmt: skip


@pytest.fixture
def base(tmp_path: Path, models_here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small SAM 2.1 in the form of the official file, as "ARCHITECTURE:PATH"."""
    pytest.importorskip("sam2", reason="sam2 is not installed (optional)")
    monkeypatch.setattr(sam2, "build_sam2_model", lambda _architecture: small_sam2(9))
    path = tmp_path / "base.pt"
    torch.save({"model": small_sam2().state_dict()}, path)
    return f"{ARCHITECTURE}:{path}"


def _trained(base: str, **values: Any) -> InteractiveAdaptation:
    trained = InteractiveAdaptation(family_of(load_backbone(base, "cpu")), recipe(**values))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():  # what training would have changed; masks stay unstable so
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return trained


def _answers(model: Any, multimask: bool = False) -> torch.Tensor:
    backbone = load_backbone(model, "cpu") if isinstance(model, str) else model
    return backbone.decode(backbone.encode(discs(1, seed=9)["image"]), PROMPTS, multimask).logits


def _by_hand(state: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The single masks of these weights and what the official decoder answers, through SAM 2's own modules."""
    network = small_sam2()
    network.load_state_dict(state)
    backbone = sam2.Sam2Backbone(network, torch.device("cpu"))
    seen: list[torch.Tensor] = []
    plain = network.sam_mask_decoder.predict_masks

    def spy(**given: Any) -> Any:
        found = plain(**given)
        seen.append(found[0].clamp(-32, 32))
        return found

    network.sam_mask_decoder.predict_masks = spy
    answered = _answers(backbone)
    return torch.cat(seen)[:, :1], answered


def test_the_base_keeps_its_official_answer_which_is_another_mask(base: str) -> None:
    state = torch.load(base.partition(":")[2], weights_only=True)["model"]
    single, official = _by_hand(state)
    torch.testing.assert_close(_answers(base), official)
    assert float((official - single).abs().max()) > 0.05  # the fall-back is at work in this network
    assert _answers(base, multimask=True).shape[1] == 3


def test_what_is_trained_and_validated_and_loaded_is_one_mask(base: str, tmp_path: Path) -> None:
    trained = _trained(base)
    single, official = _by_hand(merged_state(trained.network, 1.0))
    assert float((official - single).abs().max()) > 0.05
    validated = _answers(trained.family.backbone(torch.device("cpu")))
    torch.testing.assert_close(validated, single, atol=1e-4, rtol=1e-4)
    path = tmp_path / "ours.safetensors"
    write_adapter(trained.network, find_weights(base), trained.recipe.lora, trained.layers, path, {"base_note": "x"})
    with safe_open(str(path), framework="pt") as file:
        assert file.metadata()["masks"] == "single"
    add_model("ours", path, base=base)
    torch.testing.assert_close(_answers("ours"), single, atol=1e-4, rtol=1e-4)
    assert torch.equal(_answers("ours", multimask=True), _answers("ours"))  # the three others were never trained


def test_merged_weights_keep_the_single_mask_in_the_official_format(base: str, tmp_path: Path) -> None:
    trained = _trained(base)
    path = tmp_path / "ours.safetensors"
    write_adapter(trained.network, find_weights(base), trained.recipe.lora, trained.layers, path, {})
    add_model("ours", path, base=base)
    merged, _ = merge("ours", tmp_path / "merged.pt")
    torch.testing.assert_close(_answers(f"{ARCHITECTURE}:{merged}"), _answers("ours"), atol=1e-5, rtol=1e-5)
    small_sam2().load_state_dict(torch.load(merged, weights_only=True)["model"])  # as SAM 2's own builder reads it
    assert torch.load(merged, weights_only=True)["notes"]["masks"] == "single"


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_whole_adapted_weights_say_so_in_either_form(base: str, tmp_path: Path, suffix: str) -> None:
    trained = _trained(base, **WHOLE)
    single, official = _by_hand(merged_state(trained.network))
    path = tmp_path / f"whole{suffix}"
    write_whole(trained.network, find_weights(base), path, {})
    found = _answers(f"{ARCHITECTURE}:{path}")
    torch.testing.assert_close(found, single, atol=1e-4, rtol=1e-4)
    assert float((found - official).abs().max()) > 0.05
    further = family_of(load_backbone(f"{ARCHITECTURE}:{path}", "cpu"))  # as the base of the next adaptation
    torch.testing.assert_close(_answers(further.backbone(torch.device("cpu"))), single, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("values", [{}, WHOLE], ids=["adapter", "whole"])
def test_the_finished_file_and_its_card_say_which_mask_is_answered(
    base: str, tmp_path: Path, values: dict[str, Any]
) -> None:
    trained, found = _trained(base, **values), find_weights(base)
    best = tmp_path / "best.safetensors"
    if trained.recipe.lora is not None:
        write_adapter(trained.network, found, trained.recipe.lora, trained.layers, best, {})
    else:
        write_whole(trained.network, found, best, {})
    single, _ = _by_hand(merged_state(trained.network, 1.0))
    outcome = Outcome(4, "finished", {"step": 4, "metric": 0.5, "metrics": {"dice_none": 0.5}}, best, 1.0)
    adapted = finish(outcome, {"dice_none": 0.1}, found, trained.recipe, MANIFEST, tmp_path, "ours")
    torch.testing.assert_close(_answers("ours"), single, atol=1e-4, rtol=1e-4)
    card = adapted.card.read_text(encoding="utf-8")
    assert "apply_postprocessing=False" in card
    assert "multimask_output=False" in card


def test_files_of_other_models_say_nothing_of_masks(tmp_path: Path) -> None:
    state = {"a": torch.ones(2)}
    write_state(state, Weights(Path("b.pth"), "vit_b", "b", "0"), tmp_path / "a.pth", {})
    assert list(torch.load(tmp_path / "a.pth", weights_only=True)) == ["a"]


def test_an_official_file_of_torchs_older_form_still_loads(base: str, tmp_path: Path) -> None:
    path = Path(base.partition(":")[2])
    torch.save(torch.load(path, weights_only=True), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(_answers(f"{ARCHITECTURE}:{tmp_path / 'old.pt'}"), _answers(base))
