"""Steps a second and memory of an adaptation: everything trained against LoRA with the decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gpu_measure import Figures, Peak, Piece, Settings, problems, table
from gpu_models import build
from gpu_patients import patient
from samprompt.space.windows import window_for

TITLE = "Adaptation"
FULL = ("tiny", "vit_b", "sam2.1_hiera_base_plus")
SMALL = ("tiny", "small SAM")
RECIPES = {"full": "adapt_full", "LoRA": "adapt_lora"}
_SIDE = 256  # pixels of a training slice, as the shipped recipes have it


class Slices:
    """Slices of the synthetic patient with the mask of its first structure, the same for every model and recipe."""

    def __init__(self, settings: Settings) -> None:
        visit = patient(settings.slices, settings.small)
        structure = visit.structures[0]
        planes = np.flatnonzero(structure.mask.any(axis=(1, 2)))
        grey = window_for(visit.volume.array, structure.mask).apply(visit.volume.array[planes])
        side = (_SIDE // 4, _SIDE // 4) if settings.small else (_SIDE, _SIDE)
        images = F.interpolate(torch.from_numpy(grey)[:, None], side, mode="bilinear", align_corners=False)
        masks = F.interpolate(torch.from_numpy(structure.mask[planes]).float()[:, None], side, mode="nearest")
        self._items = [{"image": i.expand(3, -1, -1), "mask": m} for i, m in zip(images, masks, strict=True)]

    def __len__(self) -> int:
        return len(self._items)

    def sample(self, index: int, _rng: np.random.Generator) -> dict[str, Any]:
        """One slice; nothing is changed at random."""
        return self._items[index]


def pieces(settings: Settings) -> list[Piece]:
    """Two per model."""
    chosen = settings.models or (SMALL if settings.small else FULL)
    return [
        Piece(f"{name}, {how}", lambda n=name, h=how: measure(n, h, settings)) for name in chosen for how in RECIPES
    ]


def measure(name: str, how: str, settings: Settings) -> Figures:
    """Steps a second with loading and without; see ``lines``."""
    figures: Figures = {"model": name, "how": how}
    with problems(figures):
        from samprompt.models.registry import Weights
        from samprompt_training.adapt.families import family_of
        from samprompt_training.adapt.recipe import AdaptRecipe
        from samprompt_training.adapt.task import AdaptTask
        from samprompt_training.core.recipe import load_recipe
        from samprompt_training.core.speed import measure_speed

        shipped = load_recipe(RECIPES[how], AdaptRecipe)
        changes: dict[str, Any] = {"batch": settings.adapt_batch, "precision": settings.precision, "workers": 0}
        if settings.small:
            changes["interaction"] = shipped.interaction.model_copy(update={"iterations": 3, "mask_only": 1})
        recipe = shipped.model_copy(update={**changes, "steps": 10 * settings.adapt_steps})
        with Peak(settings.device) as peak:
            family = family_of(build(name, torch.device("cpu")))
            validation: Any = None  # nothing is validated here
            task = AdaptTask(family, Weights(Path(), name, name, ""), recipe, Slices(settings), validation)
            counts = [sum(p.numel() for p in task.trained.parameters() if p.requires_grad or every) for every in (0, 1)]
            speed = measure_speed(task, recipe, settings.adapt_steps, warm=2, device=str(settings.device))
        figures |= {
            "batch": recipe.batch, "iterations": task.trained.iterations, "trained": counts[0] / 1e6,
            "parameters": counts[1] / 1e6, "loop": 1.0 / speed.loop, "compute": 1.0 / speed.compute, "peak": peak.gib,
        }  # fmt: skip
    return figures


def lines(found: dict[str, Figures], settings: Settings) -> list[str]:
    """The table, with what its columns mean."""
    head = ["model", "trained", "million parameters trained", "of", "batch", "updates per step", "steps/s"]
    head += ["steps/s, data ready", "LoRA / full", "peak GiB"]
    full = {f["model"]: f["compute"] for f in found.values() if f.get("how") == "full" and "compute" in f}
    rows = []
    for f in found.values():
        if "problem" in f:
            rows.append([f["model"], f["how"], *[""] * 4, f["problem"], "", "", ""])
            continue
        ratio = f"{f['compute'] / full[f['model']]:.2f}" if f["how"] == "LoRA" and f["model"] in full else ""
        rows.append(
            [
                f["model"], f["how"], f"{f['trained']:.3f}", f"{f['parameters']:.2f}", str(f["batch"]),
                str(f["iterations"]), f"{f['loop']:.3f}", f"{f['compute']:.3f}", ratio, f"{f['peak']:.2f}",
            ]
        )  # fmt: skip
    return [
        f"The shipped recipes `adapt_full` and `adapt_lora` in {settings.precision}, the same slices in the same "
        "order; a step is one batch with all its updates. The ratio is of steps with their data ready.",
        "",
        *table(head, rows),
    ]
