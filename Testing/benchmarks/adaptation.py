"""Adaptation with LoRA, measured: Dice without a prompt on held-out simulated patients with a lung tumour.

    python Testing/benchmarks/adaptation.py --out FOLDER [--steps 360] [--minutes 20] [--published]

Makes the patients (``samprompt.synthesis``) as an nnU-Net raw folder, adapts the built-in model to the tumours of the
training patients by ``samprompt train adapt``, and measures base and adapted model on every slice of the patients that
were in neither training nor validation. Everything follows from the seeds below: the same command gives the same
figures on the same machine. Run again, it goes on where it was stopped. Writes
Testing/benchmarks/results/adaptation.md, or adaptation_published.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from machine import describe_machine
from nnunet_raw import describe_dataset
from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.evaluation.metrics import volumetric_dice
from samprompt.evaluation.statistics import Interval, mean_interval
from samprompt.io.atomic import replacing
from samprompt.io.nifti import write_nifti
from samprompt.models.registry import find_weights, load_backbone
from samprompt.propagation.patient import propagate_visits
from samprompt.space.visit import Visit
from samprompt.synthesis.patient import synthetic_patient
from samprompt.synthesis.visits import simulate_visit
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.adapt.run import AdaptRequest, adapt
from samprompt_training.adapt.scoring import PROMPTS, dice_by_patient
from samprompt_training.adapt.task import all_items
from samprompt_training.core.recipe import load_recipe
from samprompt_training.data.cases import open_dataset
from samprompt_training.data.recipe import DataRecipe
from samprompt_training.data.slices import SliceSet
from samprompt_training.data.split import TEST, split_patients

RESULT = Path(__file__).parent / "results" / "adaptation.md"
PUBLISHED = RESULT.with_name("adaptation_published.md")
FIRST_SEED, PATIENTS = 7000, 20  # no other test or benchmark uses these patients
SHARES, SPLIT_SEED = (0.65, 0.10, 0.25), 1  # 13 train, 2 validate, 5 held out
STRUCTURE, SIZE = "GTV", 128
CROP_MM = 128.0  # about the side of the region in which the propagation shows such tumours
CHANGES = ("concentric", "growth", "eccentric", "density")  # of the later visits, in turn
REPEATS = 10_000


def make_dataset(folder: Path, patients: int = PATIENTS, first_seed: int = FIRST_SEED) -> Path:
    """Synthetic chests with a tumour in the lung, in nnU-Net's raw layout; those that are there are kept."""
    images, labels = folder / "imagesTr", folder / "labelsTr"
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(exist_ok=True)
    for seed in range(first_seed, first_seed + patients):
        name = f"chest_{seed}"
        image, label = images / f"{name}_0000.nii.gz", labels / f"{name}.nii.gz"
        if image.is_file() and label.is_file():
            continue
        visit = synthetic_patient(seed, "lung")
        tumour = next(s for s in visit.structures if s.name == STRUCTURE)
        with replacing(image) as temporary:
            write_nifti(temporary, visit.volume.array, visit.volume.grid)
        with replacing(label) as temporary:
            write_nifti(temporary, tumour.mask.astype(np.uint8), visit.volume.grid)
    describe_dataset(folder, patients, {STRUCTURE: 1})
    return folder


def recipe_of(steps: int, **changes: Any) -> AdaptRecipe:
    """The shipped LoRA recipe with the size, steps and data of this benchmark."""
    shipped = load_recipe("adapt_lora", AdaptRecipe)
    slices = shipped.data.slices.model_copy(update={"size": SIZE, "structures": (STRUCTURE,)})
    data = shipped.data.model_copy(
        update={
            "layout": "nnunet",
            "options": {"kind": "ct"},
            "shares": SHARES,
            "split_seed": SPLIT_SEED,
            "slices": slices,
        }
    )
    every = max(1, steps // 12)
    return shipped.model_copy(
        update={"steps": steps, "validate_every": every, "checkpoint_every": every, "workers": 0, "patience": 0}
        | {"threads": 1, "learning_rate": 1e-3, "batch": 4, "data": data}
        | changes
    )


def for_propagation(recipe: AdaptRecipe) -> AdaptRecipe:
    """Also what the propagation gives: a region round the structure, and a wrong contour as mask prompt."""
    rules = recipe.interaction.model_copy(update={"first": ("none", "point", "box", "prior")})
    return recipe.model_copy(update={"interaction": rules, "crops_mm": (CROP_MM,)})


def held_out(folder: Path, data: DataRecipe, cache: Path) -> SliceSet:
    """Every slice of the patients of the test part."""
    dataset = open_dataset(data.layout, folder, **data.options)
    split = split_patients(dataset.patients, data.split_seed, data.shares)
    slices = data.slices.model_copy(update={"channels": "neighbours", "least_pixels": 1, "empty_share": 1e6})
    return SliceSet(dataset.part(split, TEST), slices, cache)


def carried(names: dict[str, str], patients: list[str]) -> dict[str, dict[str, float]]:
    """Volumetric Dice on a simulated later visit of each patient: the warped contour, and each model."""
    backbones = {word: load_backbone(name, "cpu") for word, name in names.items()}
    found: dict[str, dict[str, float]] = {word: {} for word in ("warped contour", *names)}
    for number, patient in enumerate(patients):
        whole = synthetic_patient(int(patient.rpartition("_")[2]), "lung")
        baseline = Visit(whole.name, whole.volume, tuple(s for s in whole.structures if s.name == STRUCTURE))
        kind = CHANGES[number % len(CHANGES)]
        later = simulate_visit(baseline, FIRST_SEED + number, kind).visit
        truth = next(s for s in later.structures if s.name == STRUCTURE)
        cache: dict[object, object] = {}
        for word in found:
            method = "p2sam3d" if word in backbones else "deformable"
            parameters = replace(PropagationParameters(), method=method)
            visit = Visit(later.name, later.volume)
            result = next(propagate_visits(baseline, [visit], backbones.get(word), parameters, cache=cache))
            found[word][f"{patient}, {kind}"] = volumetric_dice(truth.mask, result.outcomes[0].structure.mask)
            print(patient, kind, word, found[word][f"{patient}, {kind}"], flush=True)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--name", default="lung-tumours", help="name of the adapted model in the catalogue")
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--published", action="store_true", help="the published schedule on whole slices alone")
    parser.add_argument("--result", type=Path, default=None)
    parser.add_argument("--rate", type=float, default=None, help="another learning rate, to compare")
    arguments = parser.parse_args()
    out = arguments.out
    folder = make_dataset(out / "dataset")
    recipe = recipe_of(arguments.steps, **({"learning_rate": arguments.rate} if arguments.rate else {}))
    if not arguments.published:
        recipe = for_propagation(recipe)
    request = AdaptRequest(recipe, folder, arguments.model, out / "run", arguments.name, "cpu", arguments.minutes)
    adapted = adapt(request, Progress(), lambda event: print(json.dumps(event), flush=True))
    if adapted.weights is None:
        print("paused; run again to go on")
        return
    slices = held_out(folder, recipe.data, out / "slices")
    names = {"base": arguments.model, "adapted": str(adapted.weights)}
    found = {word: dice_by_patient(load_backbone(name, "cpu"), all_items(slices)) for word, name in names.items()}
    (out / "held_out.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    later = carried(names, sorted(found["base"]["none"] | found["adapted"]["none"]))
    (out / "later_visits.json").write_text(json.dumps(later, indent=1), encoding="utf-8")
    text = report(found, recipe, adapted.outcome.seconds, arguments, len(slices)) + later_table(later)
    target = arguments.result or (PUBLISHED if arguments.published else RESULT)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(text)


def report(
    found: dict[str, dict[str, dict[str, float]]], recipe: AdaptRecipe, seconds: float, arguments: Any, slices: int
) -> str:
    """The table as markdown."""
    patients = sorted(found["base"]["none"] | found["adapted"]["none"])
    base = find_weights(arguments.model)
    command = f"python Testing/benchmarks/adaptation.py --out FOLDER --steps {arguments.steps}"
    command += " --published" if arguments.published else ""
    lines = [
        "# Adaptation with LoRA: simulated lung tumours",
        "",
        f"Base: {base.name}, SHA-256 `{base.sha256[:16]}...`. {PATIENTS} simulated chests (seeds {FIRST_SEED} to "
        f"{FIRST_SEED + PATIENTS - 1}), split by patient with seed {SPLIT_SEED}; {len(patients)} held out, "
        f"{slices} slices, all of them, with and without tumour. Volumetric Dice per patient; in brackets: 95 % "
        f"interval from a bootstrap over patients ({REPEATS} repeats).",
        "",
        f"`{command}`: {recipe.steps} steps of {recipe.batch} slices at {SIZE} x {SIZE}, "
        f"{seconds / 60:.0f} minutes. {describe_machine(1)}.",
        "",
        "| prompt | base | adapted | gain |",
        "|---|---|---|---|",
    ]
    for kind in PROMPTS:
        pairs = [(found["base"][kind].get(p, 0.0), found["adapted"][kind].get(p, 0.0)) for p in patients]
        columns = [[one for one, _ in pairs], [two for _, two in pairs], [two - one for one, two in pairs]]
        lines.append(f"| {kind} | " + " | ".join(_interval(c, patients) for c in columns) + " |")
    lines += [
        "",
        "The base was trained on scenes where no prompt has a meaning: its figure without one is that of a model that "
        "nobody told what to look for. "
        + (
            "The published schedule: first prompt none, point or box, whole slices only; see adaptation.md for the one "
            "that also learns what the propagation gives. "
            if recipe.crops_mm == ()
            else "Prompts and slices are also those that the propagation gives (a wrong contour as mask prompt, a "
            "region round the structure); the published schedule alone is in adaptation_published.md. Both were added "
            "together, and more steps with them, after the propagation had been seen to fail with the published "
            "schedule on chest_7004 and on a patient outside this set: the figures of chest_7004 are not blind, and "
            "which of the changes helped was not measured. "
        )
        + "Minutes are those of a machine shared with other trainings.",
    ]
    lines += ["", "| patient | base, no prompt | adapted, no prompt |", "|---|---|---|"]
    none = [found[word]["none"] for word in ("base", "adapted")]
    lines += [f"| {p} | {none[0].get(p, 0.0):.3f} | {none[1].get(p, 0.0):.3f} |" for p in patients]
    return "\n".join(lines) + "\n"


def later_table(later: dict[str, dict[str, float]]) -> str:
    """What the propagation made with each model, as markdown."""
    words, visits = list(later), list(next(iter(later.values())))
    lines = [
        "",
        "## `samprompt propagate` with the adapted model",
        "",
        "The tumour carried from the patient's scan to a simulated later visit: volumetric Dice. Both models are used "
        "by the same propagation.",
        "",
        f"| patient, change | {' | '.join(words)} |",
        "|---|" + "---|" * len(words),
    ]
    lines += [f"| {visit} | {' | '.join(f'{later[word][visit]:.3f}' for word in words)} |" for visit in visits]
    means = [_interval([later[word][visit] for visit in visits], visits) for word in words]
    lines.append(f"| mean | {' | '.join(means)} |")
    return "\n".join(lines) + "\n"


def _interval(values: list[float], patients: list[str]) -> str:
    found: Interval = mean_interval(values, patients, REPEATS)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
