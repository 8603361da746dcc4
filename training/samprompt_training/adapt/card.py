"""The model card of an adapted model: what it is, what it was made from, how well it did, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import yaml
from samprompt.contract.version import VERSION
from samprompt.models.registry import Weights
from samprompt.models.sam2 import adapted_notes

from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.core.loop import Outcome
from samprompt_training.data.manifest import manifest_summary

_PROMPTS = {"dice_none": "no prompt", "dice_point": "one point", "dice_box": "a box (jittered by 5 %)"}


def trained_on(manifest: Mapping[str, Any]) -> str:
    """The training data in a line, without a patient's name."""
    part = manifest_summary(manifest)["parts"]["train"]
    slices = ", ".join(f"{count} of {name}" for name, count in part["slices"].items())
    word = "patients" if manifest["patients_known"] else "cases"
    return f"{part['patients']} {word} of a dataset of layout {manifest['layout']}: slices {slices}"


def card_text(
    name: str,
    base: Weights,
    recipe: AdaptRecipe,
    manifest: Mapping[str, Any],
    outcome: Outcome,
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> str:
    """The card as markdown. Nothing in it names a patient or a place on the disk."""
    summary = manifest_summary(manifest)
    kind = "full fine-tune" if recipe.lora is None else f"LoRA of rank {recipe.lora.rank}, alpha {recipe.lora.alpha:g}"
    lines = [
        f"# {name}",
        "",
        "Research use only: not cleared for the diagnosis or treatment of patients.",
        "",
        f"| base | {base.name} ({base.architecture}) |",
        "|---|---|",
        f"| SHA-256 of the base | `{base.sha256}` |",
        f"| adaptation | {kind}; trained whole: {', '.join(recipe.parts) or 'nothing'} |",
        *_masks(base),
        f"| steps | {outcome.step} of {recipe.steps} ({outcome.status}); best at {_best_step(outcome)} |",
        f"| time | {outcome.seconds / 60:.1f} minutes |",
        f"| made with | SAMPromptTools {VERSION}, torch {torch.__version__.split('+')[0]} |",
        "",
        "## Data",
        "",
        f"Layout {summary['layout']}, split by patient with seed {summary['seed']}; "
        f"SHA-256 of the manifest's content `{summary['digest']}`. The manifest itself, with the names of files and "
        "patients, stays with the run.",
        "",
        "| part | patients | cases | slices with masks, by structure |",
        "|---|---|---|---|",
    ]
    for part, found in summary["parts"].items():
        slices = ", ".join(f"{structure} {count}" for structure, count in found["slices"].items()) or "none"
        lines.append(f"| {part} | {found['patients']} | {found['cases']} | {slices} |")
    lines += ["", *(f"- {note}" for note in summary["notes"])]
    lines += [
        "",
        "## Figures",
        "",
        "Mean over the validation patients of the volumetric Dice in the slices used. These patients chose the best "
        "weights, so figures of patients that nobody looked at will be lower; the test patients are untouched.",
        "",
        "| prompt | base | adapted |",
        "|---|---|---|",
        *(f"| {_PROMPTS.get(key, key)} | {before.get(key, float('nan')):.3f} | {after[key]:.3f} |" for key in after),
        "",
        "## Recipe",
        "",
        "```yaml",
        yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def _masks(base: Weights) -> list[str]:
    """Of SAM 2: which of its masks is meant, and how its own tools are told."""
    if not adapted_notes(base.architecture):
        return []
    return [
        "| masks | the single mask alone was trained, and is what SAMPromptTools answers with. SAM 2's own tools also "
        "choose among others, which were not: build it with `apply_postprocessing=False`, and ask with "
        "`multimask_output=False` |"
    ]


def _best_step(outcome: Outcome) -> str:
    return f"step {outcome.best['step']}" if outcome.best else "no validation"
