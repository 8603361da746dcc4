"""An adapter of ViT-B at its real size, in the form of the official file, and merged as SAM's own builder reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from samprompt.models.added import add_model
from samprompt.models.registry import find_weights, load_backbone
from samprompt_training.adapt.families import family_of
from samprompt_training.adapt.files import write_adapter
from samprompt_training.adapt.interactive import InteractiveAdaptation
from samprompt_training.adapt.merge import merge
from segment_anything import sam_model_registry
from small_models import recipe


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ViT-B as published, with numbers of no meaning in place of the trained ones."""
    with torch.device("meta"):
        model = sam_model_registry["vit_b"]()
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.empty(t.shape).normal_(0, 0.02, generator=generator) for name, t in model.state_dict().items()}
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(state, path)
    return path


def test_an_adapter_of_the_official_size_loads_by_its_name_and_merges_into_the_official_format(
    official: Path, models_here: Path, tmp_path: Path
) -> None:
    given = f"vit_b:{official}"
    family = family_of(load_backbone(given, "cpu"))
    trained = InteractiveAdaptation(family, recipe())
    assert len(trained.layers) == 12
    with torch.no_grad():  # what training would have changed
        for parameter in family.network.parameters():
            if parameter.requires_grad:
                parameter += 0.01
    path = tmp_path / "lungs.safetensors"
    write_adapter(family.network, find_weights(given), trained.recipe.lora, trained.layers, path, {})
    assert path.stat().st_size < 0.06 * official.stat().st_size
    del family, trained
    add_model("lungs", path, base=given)
    merged, _ = merge("lungs", tmp_path / "merged.pth")
    reference = sam_model_registry["vit_b"](checkpoint=str(merged)).state_dict()
    adapted = load_backbone("lungs", "cpu").model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(adapted[name], reference[name]) for name in reference)
    base = torch.load(official, weights_only=True, mmap=True)
    changed = {name for name in reference if not torch.equal(reference[name], base[name])}
    assert "image_encoder.blocks.11.attn.qkv.weight" in changed
    assert {name.split(".")[0] for name in changed} == {"image_encoder", "mask_decoder"}
    # W + alpha / rank * B A, where B was zero and both were moved by 0.01
    layer = "image_encoder.blocks.0.attn.qkv"
    state = load_file(path)
    change = state[f"lora_B/{layer}"].double() @ state[f"lora_A/{layer}"].double()
    expected = base[f"{layer}.weight"].double() + change
    torch.testing.assert_close(reference[f"{layer}.weight"].double(), expected, atol=1e-6, rtol=1e-5)
