"""Training of the built-in model: SAM-style interactive prompts on randomised synthetic scenes.

Run: ``python -m samprompt_training.tiny --recipe tiny.yaml --out FOLDER``; run again to resume.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from pydantic import BaseModel, ConfigDict
from samprompt.models.backbone import mask_to_prompt
from samprompt.models.tiny import TinyModel, save_tiny
from torch import Tensor

from samprompt_training.fields import Random
from samprompt_training.prompts import boxes_of, choose_objects, corrupt, interior, sample_points
from samprompt_training.scenes import SceneParameters, Scenes, make_scenes
from samprompt_training.tiny_losses import correspondence_loss, mask_loss, score_loss


class Recipe(BaseModel):
    """One training run; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    seed: int
    size: int
    scenes: int
    steps: int
    max_minutes: float
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    contrast_weight: float
    ema: float
    threads: int
    log_every: int = 50
    validate_every: int
    checkpoint_every: int


# Kind of prompt and how often: a third each for prior, box and points; points come with and without a prior, because
# P2SAM gives both.
KINDS = (("prior", 0.27), ("prior+points", 0.12), ("box", 0.24), ("box+prior", 0.05), ("click", 0.14), ("points", 0.18))


@dataclass(frozen=True)
class Given:
    """Prompts of one decoder call, as ``TinyDecoder.forward`` takes them."""

    points: tuple[Tensor, Tensor] | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None


def _points(random: Random, target: Tensor, positives: int, negatives: int) -> tuple[Tensor, Tensor]:
    inside, valid = sample_points(random, interior(target), positives)
    labels = torch.where(valid, 1, -1)
    if negatives == 0:
        return inside, labels
    near = F.max_pool2d(target, 25, 1, 12) * (1 - target)
    outside, ok = sample_points(random, near + 0.1 * (1 - target), negatives)
    return torch.cat((inside, outside), 1), torch.cat((labels, torch.where(ok, 0, -1)), 1)


def first_prompts(random: Random, kind: str, target: Tensor, prior: Tensor, mask_size: int) -> Given:
    """Prompts of ``kind`` for targets and priors (N, 1, S, S)."""
    masks = mask_to_prompt(corrupt(random, prior), mask_size) if "prior" in kind else None
    if kind.startswith("box"):
        # where the object vanished the prior's box is what a user of the prior would give
        shown = torch.where(target.sum(dim=(1, 2, 3), keepdim=True) > 0, target, prior)
        return Given(None, boxes_of(shown, random, 0.08), masks)
    if kind == "click":
        return Given(_points(random, target, 1, 0))
    if "points" in kind:
        return Given(_points(random, target, random.integer(1, 3), random.integer(0, 2)), None, masks)
    return Given(None, None, masks)


def next_prompts(random: Random, given: Given, logits: Tensor, target: Tensor) -> Given:
    """After a first answer: the same points (P2SAM's passes), with the answer's box, or a correcting point."""
    logits = logits.detach()
    answer = (F.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=False) > 0).float()
    draw = float(random.uniform((1,)))
    if draw < 0.25 and given.points is not None:
        return Given(given.points, None, logits)
    if draw < 0.45:
        return Given(given.points, boxes_of(answer), logits)
    missed, extra = target * (1 - answer), answer * (1 - target)
    weights = interior(missed) + interior(extra)
    points, valid = sample_points(random, weights + 1e-6, 1)
    index = points.long()
    on_missed = missed[torch.arange(len(missed)), 0, index[:, 0, 1], index[:, 0, 0]] > 0
    on_extra = extra[torch.arange(len(extra)), 0, index[:, 0, 1], index[:, 0, 0]] > 0
    labels = torch.where(on_missed, 1, torch.where(on_extra, 0, -1))[:, None]
    labels = torch.where(valid, labels, -1)
    if given.points is not None:
        points, labels = torch.cat((given.points[0], points), 1), torch.cat((given.points[1], labels), 1)
    return Given((points, labels), None, logits)


def losses(
    model: TinyModel, scenes: Scenes, random: Random, rng: np.random.Generator, recipe: Recipe
) -> dict[str, Tensor]:
    """All losses of one batch: two objects per image, each prompted and then once more after its first answer."""
    images = scenes.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    tokens, matching, skip4, skip2 = model.encoder(images)
    mask_size = recipe.size // 2
    total = {"mask": images.new_zeros(()), "score": images.new_zeros(())}
    names, shares = zip(*KINDS, strict=True)
    for _ in range(2):
        kind = str(rng.choice(names, p=shares))
        target, prior = choose_objects(scenes, rng)
        small = F.avg_pool2d(target, 2)
        given = first_prompts(random, kind, target, prior, mask_size)
        for iteration in range(2):
            logits, iou, presence = model.decoder(tokens, skip4, skip2, given.points, given.boxes, given.masks)
            total["mask"] = total["mask"] + 0.25 * mask_loss(logits, small)
            total["score"] = total["score"] + 0.25 * score_loss(logits, iou, presence, small)
            if iteration == 0:
                given = next_prompts(random, given, logits, target)
    total["contrast"] = correspondence_loss(matching, scenes, random)
    return total


@torch.no_grad()
def validate(model: TinyModel, recipe: Recipe, batches: int = 6) -> dict[str, float]:
    """Mean hard Dice per kind of prompt on fixed scenes that training never draws, present objects only."""
    random, rng = Random(10_000_019, torch.device("cpu")), np.random.default_rng(7)
    sums: dict[str, list[float]] = {}
    model.eval()
    for _ in range(batches):
        scenes = make_scenes(random, 8, SceneParameters(size=recipe.size))
        tokens, _m, skip4, skip2 = model.encoder(scenes.images.flatten(0, 1))
        for kind, _share in KINDS:
            target, prior = choose_objects(scenes, rng)
            given = first_prompts(random, kind, target, prior, recipe.size // 2)
            logits, _i, _p = model.decoder(tokens, skip4, skip2, given.points, given.boxes, given.masks)
            mask = (F.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=False) > 0).float()
            dice = 2 * (mask * target).sum((1, 2, 3)) / (mask + target).sum((1, 2, 3)).clamp_min(1)
            there = target.sum((1, 2, 3)) > 0
            sums.setdefault(kind, []).extend(dice[there].tolist())
            if kind == "prior":
                given_mask = (F.interpolate(given.masks, target.shape[-2:], mode="bilinear") > 0).float()
                before = 2 * (given_mask * target).sum((1, 2, 3)) / (given_mask + target).sum((1, 2, 3)).clamp_min(1)
                sums.setdefault("prior as given", []).extend(before[there].tolist())
    model.train()
    return {kind: round(float(np.mean(values)), 4) for kind, values in sums.items()}


def _write(state: Any, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def shipped_recipe(name: str) -> dict[str, Any]:
    """The recipe of that name that comes with the package."""
    text = resources.files("samprompt_training").joinpath("recipes", name).read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def train(recipe: Recipe, out: Path, stop_at: int | None = None) -> Path:
    """Train, resuming from ``out/checkpoint.pt`` where there is one; returns the path of the weights.

    ``stop_at`` ends the run early after so many steps, its schedule unchanged, as an interruption would.
    """
    torch.set_num_threads(recipe.threads)
    torch.set_flush_denormal(True)  # tiny Adam moments are denormal, which slows a CPU severalfold
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = TinyModel({"input_size": recipe.size}).to(memory_format=torch.channels_last)
    average = TinyModel({"input_size": recipe.size})
    average.load_state_dict(model.state_dict())
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    random, rng = Random(recipe.seed, torch.device("cpu")), np.random.default_rng(recipe.seed)
    step, spent = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        random.generator.set_state(state["random"])
        rng.bit_generator.state = json.loads(state["rng"])
        step, spent = state["step"], state["spent"]
    log = (out / "log.jsonl").open("a", encoding="utf-8")
    started = time.monotonic() - spent
    running: dict[str, float] = {}
    parameters = SceneParameters(size=recipe.size)
    while True:
        minutes = (time.monotonic() - started) / 60
        progress = max(step / recipe.steps, minutes / recipe.max_minutes)
        if progress >= 1 or step == stop_at:
            break
        rate = recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup_steps)
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        parts = losses(model, make_scenes(random, recipe.scenes, parameters), random, rng, recipe)
        loss = parts["mask"] + 0.3 * parts["score"] + recipe.contrast_weight * parts["contrast"]
        if not torch.isfinite(loss):
            raise FloatingPointError(f"The loss is {float(loss)} at step {step}; the last checkpoint is kept.")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        decay = min(recipe.ema, step / (step + 20))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)
        for name, value in parts.items():
            number = float(value.detach())
            running[name] = 0.98 * running.get(name, number) + 0.02 * number
        if step % recipe.log_every == 0:
            entry: dict[str, Any] = {"step": step, "minutes": round(minutes, 2), "lr": rate}
            entry |= {k: round(v, 4) for k, v in running.items()}
            if step % recipe.validate_every == 0:
                entry["dice"] = validate(average, recipe)
            log.write(json.dumps(entry) + "\n")
            log.flush()
        if step % recipe.checkpoint_every == 0:
            _write(
                {
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "random": random.generator.get_state(),
                    "rng": json.dumps(rng.bit_generator.state),
                    "step": step,
                    "spent": time.monotonic() - started,
                },
                checkpoint,
            )
            save_tiny(average, out / "tiny.safetensors", {"steps": str(step)})
    card = {
        "steps": str(step),
        "minutes": f"{(time.monotonic() - started) / 60:.1f}",
        "machine": f"{recipe.threads} threads, {platform.machine()}",
        "torch": torch.__version__,
        "recipe": recipe.model_dump_json(),
    }
    weights = out / "tiny.safetensors"
    save_tiny(average, weights, card)
    log.write(json.dumps({"step": step, "final": validate(average, recipe, 12), **card}) + "\n")
    return weights


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="tiny.yaml", help="file, or the name of a shipped recipe")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    path = Path(arguments.recipe)
    found = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else shipped_recipe(arguments.recipe)
    print(train(Recipe(**found), arguments.out))


if __name__ == "__main__":
    main()
