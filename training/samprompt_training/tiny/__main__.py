"""Train the built-in model: ``python -m samprompt_training.tiny --out FOLDER``; run again to go on."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from samprompt_training.core.loop import train
from samprompt_training.core.recipe import load_recipe
from samprompt_training.tiny.recipe import TinyRecipe
from samprompt_training.tiny.task import TinyTask


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="tiny", help="file, or the name of a shipped recipe")
    parser.add_argument("--out", type=Path, required=True, help="folder of weights, checkpoint and log")
    parser.add_argument("--minutes", type=float, help="pause after so many, with a checkpoint")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, TinyRecipe)
    outcome = train(
        TinyTask(recipe),
        recipe,
        arguments.out,
        report=lambda line: print(json.dumps(line), file=sys.stderr, flush=True),
        stop_after_minutes=arguments.minutes,
    )
    print(f"{outcome.status} at step {outcome.step} of {recipe.steps}: {outcome.weights}")


if __name__ == "__main__":
    main()
