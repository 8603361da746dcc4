"""What is left of a finished adaptation: weights, a model card beside them, and a name in the catalogue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samprompt.contract.catalogue import CatalogueEntry
from samprompt.contract.places import catalogue
from samprompt.io.atomic import replacing
from samprompt.models.adapter import adapter_bytes, is_adapter, read_adapter
from samprompt.models.added import add_model, check_name, remove_model
from samprompt.models.checkpoint import load_state
from samprompt.models.registry import Weights

from samprompt_training.adapt.card import card_text, trained_on
from samprompt_training.adapt.files import official_suffix, write_state
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.core.loop import Outcome

UNNAMED = "adapted"


@dataclass(frozen=True)
class Adapted:
    """How an adaptation ended: ``before`` and ``after`` are figures of the validation patients.

    ``weights``, ``card`` and ``entry`` are there once it is finished, ``entry`` where a name was asked for.
    """

    outcome: Outcome
    before: Mapping[str, float]
    after: Mapping[str, float] | None = None
    weights: Path | None = None
    card: Path | None = None
    entry: CatalogueEntry | None = None


def finish(
    outcome: Outcome,
    before: Mapping[str, float],
    base: Weights,
    recipe: AdaptRecipe,
    manifest: Mapping[str, Any],
    out: Path,
    name: str,
) -> Adapted:
    """Write ``out``/NAME with the best weights, its card, and add it to the catalogue.

    Raises:
        OutputError: the folder or the catalogue cannot be written.
    """
    after = dict(outcome.best["metrics"]) if outcome.best else {}
    called = name or UNNAMED
    notes = {
        "title": called,
        "trained_on": trained_on(manifest),
        "data": str(manifest["digest"]),
        "recipe": recipe.model_dump_json(),
        "before": json.dumps(dict(before)),
        "after": json.dumps(after),
        "step": str(outcome.best["step"] if outcome.best else outcome.step),
    }
    weights = out / (called + (".safetensors" if recipe.lora is not None else official_suffix(base.architecture)))
    if recipe.lora is not None:
        content = adapter_bytes(replace(read_adapter(outcome.weights), notes=notes))
        with replacing(weights) as temporary:
            temporary.write_bytes(content)
    else:
        write_state(load_state(outcome.weights), base, weights, notes)
    card = weights.with_suffix(".md")
    with replacing(card) as temporary:
        temporary.write_text(card_text(called, base, recipe, manifest, outcome, before, after), encoding="utf-8")
    return Adapted(outcome, before, after, weights, card, _named(name, weights, base, manifest) if name else None)


def refuse_name(name: str, out: Path) -> None:
    """Refuse a name that another model has; one that an earlier call of this run gave is given again.

    Raises:
        ParameterError: taken, or no name.
    """
    taken = catalogue().get(name)
    if taken is None or not taken.user or Path(taken.file).parent != out.resolve():
        check_name(name)


def _named(name: str, weights: Path, base: Weights, manifest: Mapping[str, Any]) -> CatalogueEntry:
    """The entry; a base without a name of its own is found by its path."""
    if catalogue().get(name) is not None:
        remove_model(name)
    known = catalogue().get(base.name)
    licence = known.licence if known is not None else ""
    place = base.name if known is not None else f"{base.architecture}:{base.path.resolve()}"
    stands_on = place if is_adapter(weights) else ""
    return add_model(name, weights, base.architecture, licence, trained_on(manifest), stands_on)
