"""Which tensors of a network are trained: LoRA layers, whole parts; and what becomes of them in the end."""

from __future__ import annotations

import re

import torch
from samprompt.contract.errors import ParameterError
from samprompt.models.adapter import low_rank_change
from torch import Tensor, nn

from samprompt_training.adapt.families import Family
from samprompt_training.adapt.recipe import AdaptRecipe, LoraSettings, Part

_BASE = ".base_layer."  # peft puts the layer it wraps under this name
_ADAPTER = "default"  # peft's name of the only adapter


def prepare(family: Family, recipe: AdaptRecipe) -> tuple[str, ...]:
    """Wrap LoRA's layers and let the recipe's parameters, and no others, have gradients.

    Returns the names of LoRA's layers. LoRA's first weights depend on the recipe's seed alone.

    Raises:
        ParameterError: targets that fit no layer, or nothing that would be trained.
    """
    network = family.network
    frozen = tuple(f"{name}." for name in family.block_names()[: recipe.freeze_blocks])
    if recipe.freeze_blocks > len(family.block_names()):
        raise ParameterError(
            f"freeze_blocks is {recipe.freeze_blocks}, but the encoder has {len(family.block_names())} blocks.",
            "Choose a smaller number.",
        )
    whole = [
        name
        for name, _ in network.named_parameters()
        if part_of(family, name) in recipe.parts
        and not name.startswith(frozen or ("\0",))
        and not (recipe.interaction.stopped == "always" and name in family.anatomy.stopped)
    ]
    network.requires_grad_(False)
    layers: tuple[str, ...] = ()
    if recipe.lora is not None:
        layers = lora_layers(family, recipe.lora, frozen)
        if not layers:
            raise ParameterError(
                f"freeze_blocks is {recipe.freeze_blocks}: every layer that LoRA would change lies in a frozen block.",
                "Choose a smaller number, other lora.targets, or lora: null.",
            )
        _add_lora(network, layers, recipe.lora, recipe.seed)
    plain = {plain_name(name): parameter for name, parameter in network.named_parameters() if not is_lora(name)}
    for name in whole:
        plain[name].requires_grad_(True)
    if not whole and not layers:
        raise ParameterError("With this recipe nothing would be trained.", "Give lora, or parts the model has.")
    return layers


def part_of(family: Family, name: str) -> Part | None:
    """The part of the network that a parameter belongs to (the first that fits), None: to none."""
    anatomy = family.anatomy
    order: tuple[tuple[Part, tuple[str, ...]], ...] = (
        ("encoder", anatomy.encoder),
        ("patch_embedding", anatomy.patch_embedding),
        ("neck", anatomy.neck),
        ("prompt_encoder", anatomy.prompt_encoder),
        ("decoder", anatomy.decoder),
    )
    return next((part for part, beginnings in order if name.startswith(beginnings)), None)


def lora_layers(family: Family, settings: LoraSettings, frozen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of the layers that the targets fit.

    Raises:
        ParameterError: a target that is no regular expression, fits nothing, or fits a layer that has no LoRA.
    """
    targets = settings.targets or family.anatomy.attention
    modules = dict(family.network.named_modules())
    found: list[str] = []
    for target in targets:
        try:
            pattern = re.compile(target)
        except re.error as error:
            raise ParameterError(f"lora.targets: {target!r} is no regular expression ({error}).", "") from error
        named = [name for name in modules if pattern.fullmatch(name)]
        layers = [name for name in named if isinstance(modules[name], nn.Linear | nn.Conv2d)]
        if not settings.targets:
            layers = [name for name in layers if isinstance(modules[name], family.anatomy.kinds)]
        if not layers:
            examples = [name for name, module in modules.items() if isinstance(module, family.anatomy.kinds)][:3]
            raise ParameterError(
                f"lora.targets: {target!r} fits no linear layer and no convolution of this model.",
                f"Its layers are called like {', '.join(examples)}; a target is a regular expression of a whole name.",
            )
        found += [name for name in layers if name not in found and not f"{name}.".startswith(frozen or ("\0",))]
    grouped = [name for name in found if getattr(modules[name], "groups", 1) != 1]
    if grouped:
        raise ParameterError(
            f"lora.targets: {grouped[0]} is a grouped convolution.", "LoRA is not defined for it here."
        )
    return tuple(found)


def _add_lora(network: nn.Module, layers: tuple[str, ...], settings: LoraSettings, seed: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds to import

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft divides it by the rank; fractions are fine
        lora_dropout=settings.dropout,
        target_modules="|".join(re.escape(name) for name in layers),
        bias="none",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, network)


def is_lora(name: str) -> bool:
    """Whether a parameter of a network with LoRA is one of LoRA's."""
    return ".lora_A." in name or ".lora_B." in name


def plain_name(name: str) -> str:
    """The official name of a tensor of a network with LoRA."""
    return name.replace(_BASE, ".")


def lora_tensors(network: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B of every layer with LoRA, by the layer's name."""
    return {
        name: (module.lora_A[_ADAPTER].weight, module.lora_B[_ADAPTER].weight)
        for name, module in network.named_modules()
        if hasattr(module, "lora_A") and hasattr(module, "base_layer")
    }


def replaced_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The parameters trained whole, by their official names."""
    return {plain_name(n): p for n, p in network.named_parameters() if p.requires_grad and not is_lora(n)}


@torch.no_grad()
def merged_state(network: nn.Module, scale: float = 0.0) -> dict[str, Tensor]:
    """The network's weights under their official names, LoRA multiplied out with ``scale`` (alpha / rank)."""
    state = {plain_name(name): tensor.detach() for name, tensor in network.state_dict().items() if not is_lora(name)}
    for name, (a, b) in lora_tensors(network).items():
        key = f"{name}.weight"
        state[key] = state[key] + scale * low_rank_change(a.float(), b.float()).to(state[key].dtype)
    return state
