"""LoRA: merged is unmerged, only what was meant changes, and the loss goes down."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from samprompt.contract.errors import ParameterError
from samprompt.models.adapter import apply_adapter, read_adapter
from samprompt.models.backbone import Prompts
from samprompt.models.registry import Weights
from samprompt_training.adapt.families import Family
from samprompt_training.adapt.files import official_suffix, write_adapter, write_state
from samprompt_training.adapt.interactive import InteractiveAdaptation
from samprompt_training.adapt.layers import is_lora, merged_state, part_of, plain_name
from samprompt_training.adapt.task import AdaptTask
from small_models import CPU, discs, draws, recipe, run_step, sam2_family, sam_family, tiny_family

MAKERS = {"SAM": sam_family, "SAM 2": sam2_family, "tiny": tiny_family}
FAMILIES = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
BASE = Weights(Path("base.pth"), "vit_b", "base", "0" * 64)


def _trained(family: Family, steps: int = 3, **values) -> InteractiveAdaptation:
    torch.manual_seed(0)
    trained = InteractiveAdaptation(family, recipe(**values))
    optimiser = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=3e-3)
    for step in range(steps):
        run_step(trained, discs(2, seed=step), optimiser, step)
    return trained


def _answer(family: Family) -> torch.Tensor:
    backbone = family.backbone(CPU)
    return backbone.decode(backbone.encode(discs(1, seed=9)["image"]), Prompts(count=1)).logits


@FAMILIES
def test_merged_and_unmerged_and_the_adapter_file_answer_alike(make, tmp_path: Path) -> None:
    family = make()
    settings = {"lora": {"rank": 4, "alpha": 6.0}}
    trained = _trained(family, **settings)
    unmerged = _answer(family)
    state = merged_state(family.network, 6.0 / 4)
    merged, again = make(), make()
    merged.single_mask = again.single_mask = True  # as loading does, see test_single_mask
    before = _answer(merged)
    assert float((before - unmerged).abs().max()) > 1e-2
    merged.network.load_state_dict(state)  # strict: the names are the official ones
    torch.testing.assert_close(_answer(merged), unmerged, atol=1e-4, rtol=1e-4)
    path = tmp_path / "a.safetensors"
    write_adapter(family.network, BASE, trained.recipe.lora, trained.layers, path, {})
    apply_adapter(read_adapter(path), again.network, path)
    torch.testing.assert_close(_answer(again), unmerged, atol=1e-4, rtol=1e-4)


CODE = ("decoder", "neck", "patch_embedding", "prompt_encoder")  # what the published code trains beside LoRA


@FAMILIES
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"parts": ()},
        {"parts": CODE},
        {"lora": None, "parts": ("neck", "decoder")},
        {"lora": None, "parts": ("prompt_encoder",)},
    ],
    ids=["LoRA and decoder", "LoRA alone", "as the published code", "no LoRA", "prompt encoder alone"],
)
def test_only_lora_and_the_named_parts_change(make, values) -> None:
    parts, with_lora = set(values.get("parts", ("decoder",))), values.get("lora", True) is not None
    family, fresh = make(), make()
    old = {name: t.clone() for name, t in fresh.network.state_dict().items()}
    trained = _trained(family, 2, **values)
    state = {plain_name(n): t for n, t in family.network.state_dict().items() if not is_lora(n)}
    assert set(state) == set(old)
    changed = {name for name, tensor in state.items() if not torch.equal(tensor, old[name])}
    assert {part_of(fresh, name) for name in changed} == parts
    assert bool(trained.layers) == with_lora
    merged = merged_state(family.network, 1.0)
    for layer in trained.layers:
        assert not torch.equal(merged[f"{layer}.weight"], old[f"{layer}.weight"]), layer


def test_without_decoder_and_prompt_encoder_there_is_one_iteration() -> None:
    assert InteractiveAdaptation(sam_family(), recipe(parts=())).iterations == 1
    assert InteractiveAdaptation(sam_family(), recipe(parts=("neck",))).iterations == 1
    assert InteractiveAdaptation(sam_family(), recipe()).iterations == 11


@pytest.mark.parametrize(
    ("make", "target"),
    [
        (sam_family, r"mask_decoder\.transformer\..*(q_proj|v_proj)"),
        (sam2_family, r"sam_mask_decoder\.transformer\..*(q_proj|v_proj)"),
        (tiny_family, r"decoder\..*(q_proj|v_proj|lin1|query|value)"),
        (sam_family, r"prompt_encoder\.mask_downscaling\.\d+"),
    ],
    ids=["SAM", "SAM 2", "tiny", "prompt encoder"],
)
def test_lora_on_the_decoder_alone_learns_from_every_iteration(make, target: str) -> None:
    trained = InteractiveAdaptation(make(), recipe(parts=(), lora={"targets": (target,)}))
    assert trained.iterations == 11
    carried, reached = None, []
    for iteration in range(11):
        trained.zero_grad(set_to_none=True)
        loss, _, carried = trained(discs(2), draws(0, iteration), carried)
        loss.backward()
        reached.append(any(p.grad is not None and bool(p.grad.any()) for p in trained.parameters()))
    assert all(reached[1:])  # at first there is no mask, which the prompt encoder's layers are for


def test_the_default_targets_are_every_attention_of_sam_and_sam_2_and_the_convolutions_of_tiny() -> None:
    sam2 = InteractiveAdaptation(sam2_family(), recipe())
    assert list(sam2.layers) == [f"image_encoder.trunk.blocks.{n}.attn.qkv" for n in range(5)]
    sam = InteractiveAdaptation(sam_family(), recipe())
    assert list(sam.layers) == [f"image_encoder.blocks.{n}.attn.qkv" for n in range(3)]
    family = tiny_family()
    convolutions = {n for n, m in family.network.encoder.named_modules() if isinstance(m, torch.nn.Conv2d)}
    tiny = InteractiveAdaptation(family, recipe())
    heads = {n for n in convolutions if n.startswith(("matching", "top4", "lateral4"))}
    assert set(tiny.layers) == {f"encoder.{n}" for n in convolutions - heads}


def test_whole_weights_have_the_form_of_the_published_files(tmp_path: Path) -> None:
    state = {"a.weight": torch.ones(2)}
    write_state(state, BASE, tmp_path / "sam.pth", {})
    write_state(state, Weights(Path("b.pt"), "sam2.1_hiera_tiny", "b", "0"), tmp_path / "sam2.pt", {"step": "4"})
    assert list(torch.load(tmp_path / "sam.pth", weights_only=True)) == ["a.weight"]
    content = torch.load(tmp_path / "sam2.pt", weights_only=True)
    assert list(content["model"]) == ["a.weight"]  # SAM 2's builder reads this and leaves the rest
    assert content["notes"]["step"] == "4"
    assert [official_suffix(kind) for kind in ("vit_h", "medsam", "sam2.1_hiera_large", "tiny")] == [
        ".pth",
        ".pth",
        ".pt",
        ".safetensors",
    ]


def test_targets_are_whole_names_and_frozen_blocks_have_no_lora() -> None:
    targets = (r"image_encoder\.blocks\.\d+\.attn\.(qkv|proj)",)
    trained = InteractiveAdaptation(sam_family(), recipe(lora={"targets": targets}, freeze_blocks=2))
    assert set(trained.layers) == {"image_encoder.blocks.2.attn.qkv", "image_encoder.blocks.2.attn.proj"}
    lora = [n for n, p in trained.network.named_parameters() if p.requires_grad and is_lora(n)]
    assert len(lora) == 4
    assert all(p.shape[0] == 8 for n, p in trained.network.named_parameters() if ".lora_A." in n)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"lora": {"targets": ("attn.qkw",)}}, "attn.qkw"),
        ({"lora": {"targets": ("(",)}}, "regular expression"),
        ({"lora": {"targets": (r"image_encoder\.neck\.1",)}}, "fits no linear layer"),  # a norm
        ({"freeze_blocks": 9}, "9"),
        ({"freeze_blocks": 3}, "freeze_blocks"),
        ({"freeze_blocks": 3, "parts": ()}, "freeze_blocks"),
    ],
    ids=["no such layer", "no expression", "a norm", "too many blocks", "all blocks", "all blocks, LoRA alone"],
)
def test_what_cannot_be_trained_is_said_with_the_key(values, word: str) -> None:
    with pytest.raises(ParameterError, match=word):
        InteractiveAdaptation(sam_family(), recipe(**values))


@FAMILIES
@pytest.mark.parametrize("values", [{}, {"lora": None, "parts": ("encoder", "neck", "decoder")}], ids=["LoRA", "full"])
def test_the_loss_goes_down(make, values) -> None:
    torch.manual_seed(0)
    trained = InteractiveAdaptation(make(), recipe(interaction={"iterations": 3}, **values))
    optimiser = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=2e-3)
    batch = discs(2)
    losses = [sum(run_step(trained, batch, optimiser, step)) for step in range(14)]
    assert sum(losses[-3:]) < 0.75 * sum(losses[:3])


def test_lora_starts_at_the_base_and_its_first_weights_follow_from_the_seed() -> None:
    base = _answer(sam_family())
    families = [sam_family() for _ in range(3)]
    for family, seed in zip(families, (1, 1, 2), strict=True):
        InteractiveAdaptation(family, recipe(seed=seed))
        assert torch.equal(_answer(family), base)
    first = [next(p for n, p in f.network.named_parameters() if ".lora_A." in n) for f in families]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_the_rate_falls_with_depth_and_vectors_have_no_weight_decay() -> None:
    family = sam_family()
    values = {"lora": None, "parts": ("encoder", "patch_embedding", "neck", "decoder"), "layer_decay": 0.5}
    task = AdaptTask(family, BASE, recipe(**values), None, None)  # type: ignore[arg-type]
    rates = {id(p): group["lr_scale"] for group in task.parameter_groups() for p in group["params"]}
    plain = {id(p) for group in task.parameter_groups() if group.get("weight_decay") == 0.0 for p in group["params"]}
    expected = {"blocks.2.": 0.5, "blocks.1.": 0.25, "blocks.0.": 0.125, "patch_embed": 0.0625, "pos_embed": 0.0625}
    for name, parameter in family.network.named_parameters():
        if parameter.requires_grad:
            rate = next((r for part, r in expected.items() if part in name), 1.0)
            assert rates.pop(id(parameter)) == rate, name
            assert (id(parameter) in plain) == (parameter.ndim <= 1)
    assert not rates
