"""What the contoured visits tell of a structure: tokens, likelihood, spread. Built once per patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters, WindowName
from samprompt.models.backbone import Backbone
from samprompt.prompting.parts import even_subsample
from samprompt.prompting.reference import Reference
from samprompt.prompting.retrieval import distance
from samprompt.propagation.encoding import Encoded, encode_region, region_pixels
from samprompt.propagation.likelihood import Likelihood, fit_likelihood
from samprompt.propagation.region import in_plane_box, make_region, side_of
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.windows import Window, chosen_window, window_round

_SPREAD_SLICES = 12  # left out one at a time; more change mean and SD by less than 3 %
_SPREAD_TOKENS = 128
_FURTHER_SLICES = 2  # beyond the structure's ends, so that the ring has slices without it


@dataclass(frozen=True, eq=False)
class Group:
    """Structures that are seen through the same square: the same window, side (mm) and pixels, encoded together."""

    members: tuple[int, ...]
    window: Window
    side: float
    pixels: int


@dataclass(frozen=True, eq=False)
class Knowledge:
    """One structure as the contoured visits show it.

    ``pieces`` pairs each visit's encoded region with the structure's mask on its pixels, the baseline first;
    ``spread`` is mean and SD of the retrieval distance of one baseline slice to all others; ``reliability`` in [-1, 1]
    and ``bias`` in [0, 1] are what ``measure_reliability`` found; ``separation`` is the baseline's own (see
    ``likelihood.separation``).
    """

    pieces: tuple[tuple[Encoded, NDArray[np.bool_]], ...]
    reference: Reference
    likelihood: Likelihood | None
    spread: tuple[float, float]
    reliability: float = 1.0
    bias: float = 0.0
    separation: float = 0.0

    def deviation(self, found: float) -> float:
        """A retrieval distance in standard deviations of the baseline's own; 0 where nothing is known."""
        mean, deviation = self.spread
        if not np.isfinite(found) or not np.isfinite(mean):
            return 0.0
        return float((found - mean) / max(deviation, 0.1 * mean, 1e-6))


def structure_window(visit: Visit, structure: Structure, choice: WindowName = "auto") -> Window:
    """Grey-level window that shows the structure and 15 mm round it, or the one that a person chose."""
    chosen = chosen_window(choice)
    if chosen is not None:
        return chosen
    modality = "OT" if choice == "MR/other" else visit.volume.modality
    return window_round(visit.volume.array, structure.mask, structure.grid.spacing_kji, modality)


def make_groups(
    visit: Visit, structures: Sequence[Structure], backbone: Backbone, parameters: PropagationParameters
) -> list[Group]:
    """Group structures that can share encoded slices: same window, and one square would hardly be coarser for any."""
    scan_pixel = float(visit.volume.grid.spacing[:2].min())
    order, sides, windows, boxes = [], [], [], []
    for index, structure in enumerate(structures):
        centre, lengths, _, _ = in_plane_box(structure)
        order.append(index)
        sides.append(side_of(lengths, parameters.region))
        windows.append(structure_window(visit, structure, parameters.window))
        kji = structure.grid.to_kji(centre)[1:] * structure.grid.spacing_kji[1:]
        boxes.append((kji - lengths / 2, kji + lengths / 2))
    groups: list[tuple[list[int], Window, float, tuple[NDArray[np.float64], NDArray[np.float64]]]] = []
    for index in sorted(order, key=lambda n: -sides[n]):
        low, high = boxes[index]
        for place, (members, window, side, (group_low, group_high)) in enumerate(groups):
            union = (np.minimum(low, group_low), np.maximum(high, group_high))
            together = side_of(union[1] - union[0], parameters.region)
            if window == windows[index] and together <= parameters.region.sharing * sides[index]:
                groups[place] = ([*members, index], window, max(side, together), union)
                break
        else:
            groups.append(([index], windows[index], sides[index], boxes[index]))
    result = []
    for members, window, side, _ in groups:
        side = min(side, parameters.region.maximum_pixel * backbone.input_size)
        result.append(Group(tuple(members), window, side, region_pixels(backbone, side, scan_pixel)))
    return result


def token_width(group: Group, backbone: Backbone) -> float:
    """Width of a matching token in mm."""
    return backbone.matching_stride * group.side / backbone.input_size


def encode_structures(
    visit: Visit,
    structures: Sequence[Structure],
    group: Group,
    backbone: Backbone,
    parameters: PropagationParameters,
    progress: Progress,
) -> Encoded:
    """Encode a visit round the given structures (all on the visit's grid, none empty)."""
    low = np.min([np.argwhere(s.mask).min(axis=0) for s in structures], axis=0)
    high = np.max([np.argwhere(s.mask).max(axis=0) for s in structures], axis=0)
    scan = visit.volume.grid
    region = make_region(
        scan, scan.to_ras((low + high) / 2.0), group.side, group.pixels,
        int(low[0]) - _FURTHER_SLICES, int(high[0]) + _FURTHER_SLICES,
    )  # fmt: skip
    return encode_region(
        visit.volume, region, group.window, backbone, parameters.encode_batch, progress, f"encoding {visit.name}"
    )


def on_region(mask: NDArray[np.bool_], encoded: Encoded) -> NDArray[np.bool_]:
    """A mask of the visit's grid on the region's pixels; see ``Region.mask``."""
    return encoded.region.mask(mask)


@torch.inference_mode()
def learn(
    pieces: Sequence[tuple[Encoded, NDArray[np.bool_]]],
    backbone: Backbone,
    parameters: PropagationParameters,
    use_grey: bool,
) -> Knowledge:
    """Everything that is kept of one structure; ``use_grey`` is False where grey levels are not calibrated (CBCT)."""
    references = []
    for encoded, mask in pieces:
        for index in np.flatnonzero(mask.any(axis=(1, 2))):
            references.append(
                Reference.from_mask(
                    torch.from_numpy(mask[index]), encoded.embeddings[index], backbone.input_size, parameters.prompting
                )
            )
    reference = Reference.join(references)
    return Knowledge(tuple(pieces), reference, fit_likelihood(pieces, use_grey), _spread(references, parameters))


def _spread(references: Sequence[Reference], parameters: PropagationParameters) -> tuple[float, float]:
    """Mean and SD of the distance of one slice's tokens to those of all other slices; NaN with fewer than three."""
    usable = [r for r in references if not r.lost]
    if len(usable) < 3:
        return float("nan"), float("nan")
    chosen = np.unique(np.linspace(0, len(usable) - 1, _SPREAD_SLICES).round().astype(int))
    found = []
    for left_out in chosen:
        others = torch.cat([r.foreground for n, r in enumerate(usable) if n != left_out])
        one = even_subsample(usable[left_out].foreground, _SPREAD_TOKENS)
        found.append(distance(even_subsample(others, _SPREAD_TOKENS), one, parameters.prompting))
    return float(np.mean(found)), float(np.std(found))
