"""What each of a batch's iterations is prompted with (methods page, section 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

FirstPrompt = Literal["none", "point", "box", "prior"]
Variant = Literal["paper", "code"]


@dataclass(frozen=True)
class Turn:
    """One iteration: a first prompt, or ``points`` error points (0: none) with the previous logits as mask prompt."""

    first: FirstPrompt | None = None
    points: int = 0

    @property
    def mask_only(self) -> bool:
        """Whether nothing but the previous logits is given."""
        return self.first is None and self.points == 0


def plan_turns(
    rng: np.random.Generator,
    first: tuple[FirstPrompt, ...],
    variant: Variant = "paper",
    iterations: int = 11,
    mask_only: int = 2,
    most_points: int = 9,
) -> tuple[Turn, ...]:
    """The iterations of one batch.

    The first is drawn uniformly from ``first``. "paper": then single error points, and ``mask_only`` iterations with
    the previous logits alone, of which one is the last and the others are anywhere between. "code" (what the authors
    published): each further iteration has 1 to ``most_points`` error points at once or, with probability
    1 / ``most_points``, none; the last one has none.
    """
    turns = [Turn(first=first[int(rng.integers(len(first)))])]
    between = iterations - 2  # neither the first nor the last
    if variant == "code":
        for _ in range(between):
            alone = rng.random() < 1.0 / most_points
            turns.append(Turn(points=0 if alone else int(rng.integers(1, most_points + 1))))
    else:
        more = min(max(mask_only - 1, 0), max(between, 0))
        alone_at = set(rng.choice(between, more, replace=False).tolist()) if more else set()
        turns += [Turn(points=0 if n in alone_at else 1) for n in range(between)]
    if iterations > 1:
        turns.append(Turn(points=0 if variant == "code" or mask_only > 0 else 1))
    return tuple(turns)
