"""How fast the loop trains and whether loading data ever holds it up: whole loop / computing alone.

    python Testing/benchmarks/training_speed.py --out FOLDER [--steps 40] [--rounds 3] [--note "quiet machine"]

Three tasks: the built-in model on its scenes, the prior refiner on its pairs, and an adaptation of the built-in model
by LoRA to slices of simulated patients that are read from the cache (FOLDER keeps them). Computing alone repeats one
batch while nothing is loaded. Aim (2 cores): at most 1.15. Writes Testing/benchmarks/results/training_speed.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from adaptation import make_dataset, recipe_of
from machine import describe_machine
from samprompt.contract.progress import Progress
from samprompt.io.atomic import replacing
from samprompt.models.registry import find_weights, load_backbone
from samprompt_training.adapt.families import family_of
from samprompt_training.adapt.run import for_model
from samprompt_training.adapt.task import AdaptTask
from samprompt_training.adapt.zooms import training_slices
from samprompt_training.core.recipe import LoopRecipe, load_recipe
from samprompt_training.core.speed import Speed, measure_speed
from samprompt_training.core.task import Task
from samprompt_training.data.recipe import prepare
from samprompt_training.refiner.recipe import RefinerRecipe
from samprompt_training.refiner.task import RefinerTask
from samprompt_training.tiny.recipe import TinyRecipe
from samprompt_training.tiny.task import TinyTask

RESULT = Path(__file__).parent / "results" / "training_speed.md"
PATIENTS, FIRST_SEED = 5, 7500  # no other test or benchmark uses these patients
AIM = 1.15


def tiny(_folder: Path) -> tuple[Task, LoopRecipe]:
    """The built-in model's second stage."""
    recipe = load_recipe("tiny", TinyRecipe)
    return TinyTask(recipe), recipe


def refiner(_folder: Path) -> tuple[Task, LoopRecipe]:
    """The prior refiner."""
    recipe = load_recipe("refiner", RefinerRecipe)
    return RefinerTask(recipe), recipe


def adaptation(folder: Path) -> tuple[Task, LoopRecipe]:
    """LoRA on the built-in model, slices of simulated patients from the cache."""
    data = make_dataset(folder / "dataset", PATIENTS, FIRST_SEED)
    recipe = recipe_of(1000, workers=1)
    base = find_weights("tiny", Progress())
    family = family_of(load_backbone("tiny", "cpu"))
    recipe = for_model(recipe, family)
    parts = prepare(recipe.data, data, folder / "slices", folder / "manifest.json")
    assert parts.validation is not None
    training = training_slices(parts, recipe, folder / "slices", Progress())
    return AdaptTask(family, base, recipe, training, parts.validation), recipe


TASKS: dict[str, Callable[[Path], tuple[Task, LoopRecipe]]] = {
    "built-in model, scenes": tiny,
    "prior refiner, pairs": refiner,
    "adaptation by LoRA, cached slices": adaptation,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--note", default="")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    lines = [
        "| task | loading processes | loop s/step | computing s/step | loop / computing: median (range) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, make in TASKS.items():
        found: list[Speed] = []
        for _ in range(arguments.rounds):
            task, recipe = make(arguments.out)
            found.append(measure_speed(task, recipe, arguments.steps, device=arguments.device))
            print(name, found[-1], f"{found[-1].loop_per_compute:.3f}", flush=True)
        ratios = [one.loop_per_compute for one in found]
        loop, compute = (statistics.median(getattr(one, part) for one in found) for part in ("loop", "compute"))
        lines.append(
            f"| {name} | {recipe.workers} | {loop:.3f} | {compute:.3f} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    about = [
        describe_machine(torch.get_num_threads()) + ".",
        f"{arguments.steps} steps, {arguments.rounds} rounds. Aim: loop / computing at most {AIM}.",
        arguments.note,
    ]
    text = "\n".join(["# Speed of the training loop", "", " ".join(about).rstrip(), "", *lines]) + "\n"
    print(text)
    with replacing(RESULT) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
