"""The cheapest chain of candidates along z: every slice chooses, neighbours must agree (Viterbi).

All costs are areas in mm2 and share one zero: the empty section costs nothing by appearance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.propagation import PathParameters

Masks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Section:
    """One slice for the path: ``masks`` (N, P, P) of its candidates, the first one empty; ``unary`` (N,) in mm2."""

    masks: Masks
    unary: NDArray[np.float64]


def unary_costs(
    masks: Masks,
    fields: NDArray[np.float32],
    prior: Masks | None,
    certainty: NDArray[np.float32],
    deviation: NDArray[np.float64],
    pixel_area: float,
    parameters: PathParameters,
    refined: tuple[Masks, NDArray[np.float32]] | None = None,
) -> NDArray[np.float64]:
    """Cost (N,) of each candidate on its own.

    ``fields`` (P, P) is the evidence per pixel (weighted log-likelihood ratio and decoder logit, positive inside);
    ``prior`` is the warped prior's section or None; ``certainty`` (P, P) weighs disagreement with it;
    ``deviation`` (N,) is the retrieval distance in standard deviations of the baseline's own, 0 where unknown.
    ``refined`` is the refined prior's section and the certainty of its own, which take ``refiner_share`` of the prior's
    place; the margin is asked for leaving the warped prior all the same.
    """
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    area = flat.sum(axis=1) * pixel_area
    cost = -(flat @ fields.ravel()) * pixel_area
    cost = cost + parameters.transport_weight * np.clip(deviation, 0.0, 5.0) * area
    if prior is not None:
        differs = (masks != prior[None]).reshape(len(masks), -1).astype(np.float32)
        share = 0.0 if refined is None else parameters.refiner_share
        cost = cost + (1.0 - share) * parameters.prior_weight * (differs @ certainty.ravel()) * pixel_area
        if refined is not None:
            other = (masks != refined[0][None]).reshape(len(masks), -1).astype(np.float32)
            cost = cost + share * parameters.prior_weight * (other @ refined[1].ravel()) * pixel_area
        # any way of leaving the prior must gain more than a margin
        left = differs.sum(axis=1) > 0
        cost = cost + left * parameters.leave_prior_margin * float(prior.sum()) * pixel_area
    return np.asarray(cost, dtype=np.float64)


def transition_costs(
    left: Masks, right: Masks, allowed: float, pixel_area: float, parameters: PathParameters
) -> NDArray[np.float64]:
    """Cost (N, M) of neighbouring choices: the area by which they differ beyond ``allowed`` mm2.

    ``allowed`` is what the warped prior itself differs between the same planes, so tapering and spacing cost nothing.
    """
    a = left.reshape(len(left), -1).astype(np.float32)
    b = right.reshape(len(right), -1).astype(np.float32)
    differs = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - 2.0 * (a @ b.T)
    return np.asarray(parameters.smoothness_weight * np.maximum(differs * pixel_area - allowed, 0.0), dtype=np.float64)


def cheapest_path(
    sections: Sequence[Section],
    allowed: Sequence[float],
    pixel_area: float,
    parameters: PathParameters,
    one_run: bool = True,
) -> tuple[list[int], float]:
    """Index of the chosen candidate per slice and the total cost in mm2.

    ``allowed`` (one per pair of neighbours) as in ``transition_costs``. With ``one_run`` the non-empty slices are
    contiguous: the empty candidate (index 0) exists twice, before and after the run.
    """
    count = len(sections)
    infinite = np.inf
    # state 0: empty before the run; 1..N-1: candidates; N: empty after the run
    best: list[NDArray[np.float64]] = []
    back: list[NDArray[np.int64]] = []
    for index, section in enumerate(sections):
        n = len(section.masks)
        cost = np.concatenate([section.unary, section.unary[:1]])
        if index == 0:
            start = cost.copy()
            start[n] = infinite
            best.append(start)
            back.append(np.zeros(n + 1, np.int64))
            continue
        previous = sections[index - 1]
        m = len(previous.masks)
        step = transition_costs(previous.masks, section.masks, allowed[index - 1], pixel_area, parameters)
        full = np.full((m + 1, n + 1), infinite)
        full[:m, :n] = step
        full[1:m, n] = step[1:, 0]
        full[m, n] = 0.0
        if one_run:
            full[1:m, 0] = infinite
        else:
            full[m, 1:n] = step[0, 1:]
        total = best[-1][:, None] + full
        back.append(np.argmin(total, axis=0))
        best.append(cost + np.min(total, axis=0))
    state = int(np.argmin(best[-1]))
    cost_total = float(best[-1][state])
    chosen: list[int] = []
    for index in range(count - 1, -1, -1):
        n = len(sections[index].masks)
        chosen.append(0 if state == n else state)
        state = int(back[index][state])
    return chosen[::-1], cost_total
