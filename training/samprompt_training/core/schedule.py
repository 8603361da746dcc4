"""The learning rate: a pure function of the step, so that a pause cannot change it."""

from __future__ import annotations

import math

from samprompt_training.core.recipe import LoopRecipe


def rate_at(step: int, recipe: LoopRecipe) -> float:
    """Learning rate of step ``step`` (from 0): linear warm-up, then half a cosine down to the share that is left."""
    warmup = round(recipe.warmup_share * recipe.steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, recipe.steps - warmup)
    falling = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return recipe.learning_rate * (recipe.final_rate_share + (1.0 - recipe.final_rate_share) * falling)
