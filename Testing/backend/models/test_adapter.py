"""Adapters: a small file on its base is the model that was adapted, and on anything else it is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from prompts_for_tests import make_prompts, random_image
from safetensors.torch import load_file, save_file
from samprompt.cli.models import models_app
from samprompt.contract.errors import ParameterError, WeightsError, WeightsMissingError
from samprompt.contract.places import catalogue, user_catalogue_path
from samprompt.models import sam
from samprompt.models.adapter import Adapter, adapter_bytes, read_adapter
from samprompt.models.added import add_model, remove_model
from samprompt.models.checkpoint import safetensors_metadata
from samprompt.models.registry import load_backbone
from samprompt.models.tiny import TinyModel, save_tiny
from samprompt.worker.cache import Models
from segment_anything.modeling import Sam
from typer.testing import CliRunner

SMALL = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 1, 1), "dim": 64, "matching_dim": 16, "input_size": 64}
QKV, CONV = "image_encoder.blocks.1.attn.qkv", "image_encoder.neck.2"


@pytest.fixture(autouse=True)
def _own_models_folder(models_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own" / "models"
    folder.mkdir(parents=True)
    save_tiny(TinyModel(SMALL), folder / "tiny.safetensors")
    (folder / "catalogue.toml").write_text(
        '[[model]]\nname = "tiny"\narchitecture = "tiny"\nfile = "tiny.safetensors"\nbuiltin = true\n', encoding="utf-8"
    )
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(tmp_path / "own"))


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch, small_sam: Sam, tmp_path: Path) -> Path:
    """The small SAM's weights, which stand for ViT-B's, added as the model "hospital"."""
    kind = type(small_sam)
    parts = (small_sam.image_encoder, small_sam.prompt_encoder, small_sam.mask_decoder)

    def build() -> Sam:
        return torch.load(copy, weights_only=False)  # a new network each time: adapters change it in place

    copy = tmp_path / "network.pt"
    torch.save(kind(*parts), copy)
    monkeypatch.setitem(sam.sam_model_registry, "vit_b", build)
    path = tmp_path / "hospital.pth"
    torch.save(small_sam.state_dict(), path)
    add_model("hospital", path, "vit_b")
    return path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def adapter(base: Path, small_sam: Sam) -> Adapter:
    """A random change of an attention layer, a convolution and the decoder's tokens."""
    torch.manual_seed(3)
    state = small_sam.state_dict()
    out, inputs = state[f"{QKV}.weight"].shape
    lora = {
        QKV: (torch.randn(4, inputs) * 0.2, torch.randn(out, 4) * 0.2),
        CONV: (torch.randn(4, 64, 3, 3) * 0.1, torch.randn(64, 4, 1, 1) * 0.1),
    }
    name = "mask_decoder.mask_tokens.weight"
    replaced = {name: state[name] + 0.3 * torch.randn(state[name].shape)}
    return Adapter("hospital", _digest(base), "vit_b", 4, 12.0, ("qkv",), lora, replaced, {"recipe": "{}"})


def _written(adapter: Adapter, path: Path) -> Path:
    path.write_bytes(adapter_bytes(adapter))
    return path


def _answer(name: str) -> torch.Tensor:
    backbone = load_backbone(name, "cpu")
    return backbone.decode(backbone.encode(random_image((200, 180))), make_prompts("points", (200, 180), 64)).logits


def test_an_adapter_on_its_base_answers_as_the_weights_multiplied_out_by_hand(
    adapter: Adapter, base: Path, tmp_path: Path
) -> None:
    state = {name: tensor.numpy().astype(np.float64) for name, tensor in torch.load(base, weights_only=True).items()}
    a, b = (t.numpy().astype(np.float64) for t in adapter.lora[QKV])
    state[f"{QKV}.weight"] = state[f"{QKV}.weight"] + 12.0 / 4.0 * (b @ a)
    a, b = (t.numpy().astype(np.float64) for t in adapter.lora[CONV])
    change = np.zeros_like(state[f"{CONV}.weight"])
    for r in range(4):
        change += b[:, r, 0, 0][:, None, None, None] * a[r][None]
    state[f"{CONV}.weight"] = state[f"{CONV}.weight"] + 3.0 * change
    state |= {name: t.numpy() for name, t in adapter.replaced.items()}
    whole = tmp_path / "whole.pth"
    torch.save({name: torch.from_numpy(np.asarray(t)).float() for name, t in state.items()}, whole)
    path = _written(adapter, tmp_path / "small.safetensors")
    expected = _answer(f"vit_b:{whole}")
    torch.testing.assert_close(_answer(str(path)), expected, atol=1e-4, rtol=1e-4)
    assert float((expected - _answer("hospital")).abs().max()) > 0.1  # the change is no trifle
    assert path.stat().st_size < base.stat().st_size / 4


def test_the_change_of_a_convolution_is_one_convolution_after_the_other() -> None:
    from samprompt.models.adapter import low_rank_change

    torch.manual_seed(0)
    a, b, x = torch.randn(3, 5, 3, 3), torch.randn(7, 3, 1, 1), torch.randn(2, 5, 9, 9)
    torch.testing.assert_close(
        F.conv2d(x, low_rank_change(a, b), padding=1), F.conv2d(F.conv2d(x, a, padding=1), b), atol=1e-4, rtol=1e-4
    )


def test_loading_an_adapter_leaves_the_base_as_it_was(adapter: Adapter, tmp_path: Path) -> None:
    before = _answer("hospital")
    _answer(str(_written(adapter, tmp_path / "a.safetensors")))
    assert torch.equal(_answer("hospital"), before)


def test_an_adapter_is_added_listed_and_used_by_its_name(adapter: Adapter, tmp_path: Path) -> None:
    path = _written(adapter, tmp_path / "lungs.safetensors")
    answer = CliRunner().invoke(models_app, ["add", "lungs", str(path), "--trained-on", "our lungs"])
    assert answer.exit_code == 0, answer.output
    assert "adapter of hospital" in answer.output
    entry = catalogue().find("LUNGS")
    assert (entry.base, entry.architecture, entry.input_size, entry.user) == ("hospital", "vit_b", 256, True)
    listed = CliRunner().invoke(models_app, ["list", "--details"], env={"COLUMNS": "300"}).output
    assert "adapter of hospital" in listed
    assert "our lungs" in listed
    backbone = Models()("lungs", "cpu", None)  # as the panels' worker loads it
    assert (backbone.name, backbone.fingerprint) == ("lungs", _digest(path)[:16])
    assert torch.equal(_answer("lungs"), _answer(str(path)))
    assert "forgotten" in remove_model("lungs")


def test_another_base_of_the_same_name_is_refused_by_name(adapter: Adapter, base: Path, tmp_path: Path) -> None:
    path = _written(adapter, tmp_path / "lungs.safetensors")
    add_model("lungs", path)
    state = torch.load(base, weights_only=True)
    state["mask_decoder.iou_token.weight"] += 1.0
    torch.save(state, base)
    for name in ("lungs", str(path)):
        with pytest.raises(WeightsError) as caught:
            load_backbone(name, "cpu")
        for word in ("lungs", "hospital", adapter.base_sha256[:16], _digest(base)[:16]):
            assert word in str(caught.value)


def test_an_adapter_finds_its_base_under_another_name_when_told(adapter: Adapter, base: Path, tmp_path: Path) -> None:
    path = _written(adapter, tmp_path / "lungs.safetensors")
    remove_model("hospital")
    with pytest.raises(WeightsMissingError, match="hospital"):
        load_backbone(str(path), "cpu")
    with pytest.raises(WeightsMissingError, match="hospital"):
        add_model("lungs", path)
    assert not [entry for entry in catalogue() if entry.user]
    add_model("lungs", path, base=f"vit_b:{base}")
    assert load_backbone("lungs", "cpu").name == "lungs"


def test_an_adapter_of_the_built_in_model_is_asked_for_the_built_in_models_fingerprint(tmp_path: Path) -> None:
    tiny = tmp_path / "own" / "models" / "tiny.safetensors"
    tokens = load_file(tiny)["decoder.output_tokens.weight"].float() + 1.0
    torch.manual_seed(0)
    lora = {"encoder.stem": (torch.randn(2, 3, 5, 5) * 0.1, torch.randn(8, 2, 1, 1) * 0.1)}
    small = Adapter("tiny", _digest(tiny), "tiny", 2, 2.0, (), lora, {"decoder.output_tokens.weight": tokens})
    path = _written(small, tmp_path / "a.safetensors")
    image = random_image((64, 64))
    plain, adapted = (load_backbone(name, "cpu").encode(image).tokens for name in ("tiny", str(path)))
    assert load_backbone(str(path), "cpu").name == "tiny:a.safetensors"
    assert float((plain - adapted).abs().max()) > 1e-3
    torch.manual_seed(1)
    save_tiny(TinyModel(SMALL), tiny)  # a later version of SAMPromptTools
    with pytest.raises(WeightsError, match="tiny"):
        load_backbone(str(path), "cpu")


def test_an_adapter_on_an_adapter_is_refused(adapter: Adapter, tmp_path: Path) -> None:
    first = _written(adapter, tmp_path / "first.safetensors")
    add_model("first", first)
    second = _written(replace(adapter, base="first", base_sha256=_digest(first)), tmp_path / "second.safetensors")
    with pytest.raises(WeightsError, match=r"adapter itself.*[Mm]erge"):
        load_backbone(str(second), "cpu")


def _without_b(path: Path) -> None:
    tensors = {name: t for name, t in load_file(path).items() if name != f"lora_B/{QKV}"}
    save_file(tensors, path, safetensors_metadata(path))


def _stray(path: Path) -> None:
    save_file(load_file(path) | {"something": torch.ones(1)}, path, safetensors_metadata(path))


def _noted(**values: str | None):
    def change(path: Path) -> None:
        notes = {k: v for k, v in (safetensors_metadata(path) | values).items() if v is not None}
        save_file(load_file(path), path, notes)

    return change


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "truncated"),
        (_without_b, "lora_B"),
        (_stray, "something"),
        (_noted(version="2"), "reads samprompt-adapter 1"),
        (_noted(base_sha256=None), "base_sha256"),
        (_noted(rank="many"), "incomplete"),
        (_noted(rank="0"), "rank of 0"),
        (_noted(rank="3"), QKV),
    ],
    ids=["truncated", "no B", "stray tensor", "later version", "no fingerprint", "no number", "rank 0", "other rank"],
)
def test_a_damaged_adapter_says_what_is_wrong(adapter: Adapter, tmp_path: Path, damage, word: str) -> None:
    path = _written(adapter, tmp_path / "bad.safetensors")
    damage(path)
    before = user_catalogue_path().read_bytes()
    with pytest.raises(WeightsError, match=word):
        add_model("bad", path, "vit_b")
    assert user_catalogue_path().read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"lora": {"image_encoder.blocks.9.attn.qkv": (torch.ones(4, 48), torch.ones(144, 4))}},
        {"lora": {QKV: (torch.ones(4, 48), torch.ones(7, 4))}},
        {"lora": {}, "replaced": {"mask_decoder.mask_tokens.weight": torch.ones(1)}},
    ],
    ids=["a layer it has not", "another width", "another shape"],
)
def test_an_adapter_that_does_not_fit_its_base_names_the_layer(adapter: Adapter, tmp_path: Path, change) -> None:
    path = _written(replace(adapter, **change), tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit hospital.*(qkv|mask_tokens)"):
        load_backbone(str(path), "cpu")


def test_what_is_no_adapter_cannot_have_a_base_and_other_architectures_are_refused(
    adapter: Adapter, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="not an adapter"):
        add_model("other", base, "vit_b", base="hospital")
    path = _written(adapter, tmp_path / "lungs.safetensors")
    with pytest.raises(WeightsError, match="vit_b"):
        add_model("lungs", path, "medsam")
    add_model("lungs", path)
    path.write_bytes(Path(base).read_bytes())
    with pytest.raises(WeightsError):  # another size than was noted
        load_backbone("lungs", "cpu")


def test_what_was_noted_comes_back(adapter: Adapter, tmp_path: Path) -> None:
    back = read_adapter(_written(adapter, tmp_path / "a.safetensors"))
    assert (back.base, back.rank, back.alpha, back.targets) == ("hospital", 4, 12.0, ("qkv",))
    assert dict(back.notes) == {"recipe": "{}"}
    for name, pair in adapter.lora.items():
        assert all(torch.equal(one, other) for one, other in zip(pair, back.lora[name], strict=True))
