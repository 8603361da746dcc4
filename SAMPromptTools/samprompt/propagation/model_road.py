"""The road of the structures that the model looks at: one encoding for each group, then each structure's own path."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.models.refiner import Refiner
from samprompt.propagation.align import Alignment
from samprompt.propagation.carry import Carried, carry
from samprompt.propagation.contoured import Contoured, Framed
from samprompt.propagation.encoding import encode_region
from samprompt.propagation.knowledge import Group, on_region, token_width
from samprompt.propagation.refining import refined_fields, saturated_share
from samprompt.propagation.region import make_region
from samprompt.propagation.routing import Route, route_of


class ModelRoad:
    """Carries structures through the model (method p2sam3d); ``refiner`` adds the refined prior where it is given."""

    def __init__(
        self,
        contoured: Contoured,
        refiner: Refiner | None,
        backbone: Backbone,
        parameters: PropagationParameters,
        progress: Progress,
    ) -> None:
        self.contoured, self.refiner, self.backbone = contoured, refiner, backbone
        self.parameters, self.progress = parameters, progress

    def carry(
        self,
        normal: int,
        base: Framed,
        followup: Framed,
        alignments: list[Alignment],
        priors: dict[int, NDArray[np.bool_]],
        routes: dict[int, Route],
        seconds: dict[str, float],
    ) -> dict[int, Carried]:
        """What the model finds on one follow-up, by structure; structures that take another road are left out.

        ``routes`` is given every structure's road, ``seconds`` the time of each stage.
        """
        carried: dict[int, Carried] = {}
        for group in self.contoured.groups(normal, base.visit):
            self._carry_group(normal, group, base, followup, alignments, priors, routes, carried, seconds)
        return carried

    def _carry_group(
        self,
        normal: int,
        group: Group,
        base: Framed,
        followup: Framed,
        alignments: list[Alignment],
        priors: dict[int, NDArray[np.bool_]],
        routes: dict[int, Route],
        carried: dict[int, Carried],
        seconds: dict[str, float],
    ) -> None:
        """All structures of one group on one follow-up: one encoding, then each structure's own path."""
        backbone, parameters, target = self.backbone, self.parameters, followup.visit
        structures, grid, dead_zone = base.visit.structures, target.volume.grid, parameters.path.refiner_dead_zone
        for n in group.members:
            thin_refined = self.refiner is not None and alignments[n].trusted
            routes[n] = route_of(structures[n], token_width(group, backbone), thin_refined)
        wanted = [n for n in group.members if routes[n].kind == "model"]
        lost = [n for n in wanted if not alignments[n].trusted or not priors[n].any()]
        for trusted in (True, False):
            members = [n for n in wanted if (n not in lost) == trusted]
            if not members:
                continue
            side, first, last, centre = group.side, 0, grid.shape[0] - 1, grid.to_ras((np.array(grid.shape) - 1) / 2)
            if trusted:
                found = np.concatenate([np.argwhere(priors[n]) for n in members])
                low, high = found.min(axis=0), found.max(axis=0)
                extra = int(np.ceil(parameters.region.extra_slices / grid.spacing[2])) + 1
                first, last, centre = int(low[0]) - extra, int(high[0]) + extra, grid.to_ras((low + high) / 2)
            else:
                side = float(max(n * s for n, s in zip(grid.shape[1:], grid.spacing_kji[1:], strict=True)))
                side = max(side, group.side)
            here = replace(group, members=tuple(members), side=side)
            began = time.perf_counter()
            region = make_region(grid, centre, side, here.pixels, first, last)
            place = (normal, tuple(centre.tolist()), side, here.pixels, first, last)
            encoded = self.contoured.kept(
                (followup.original.volume,),
                ("follow-up", place, group.window, parameters.encode_batch),
                partial(
                    encode_region, target.volume, region, group.window, backbone, parameters.encode_batch,
                    self.progress, f"encoding {target.name}",
                ),
            )  # fmt: skip
            seconds["encoding"] = seconds.get("encoding", 0.0) + time.perf_counter() - began
            for n in members:
                began = time.perf_counter()
                knowledge = self.contoured.knowledge(normal, here, group, n, base)
                seconds["baseline"] = seconds.get("baseline", 0.0) + time.perf_counter() - began
                refined, saturated = None, 0.0
                if trusted and self.refiner is not None:
                    began = time.perf_counter()
                    self.progress.step(f"refining {structures[n].name}")
                    refined, moved = refined_fields(
                        self.refiner, encoded.grey, on_region(priors[n], encoded), region, group.window,
                        base.visit.volume, alignments[n], dead_zone,
                    )  # fmt: skip
                    saturated = saturated_share(refined, moved, self.refiner.limit_mm - dead_zone)
                    seconds["refining"] = seconds.get("refining", 0.0) + time.perf_counter() - began
                began = time.perf_counter()
                carried[n] = carry(
                    knowledge, encoded, priors[n] if trusted else None, alignments[n].error_mm, backbone, parameters,
                    self.progress, structures[n].name, refined,
                )  # fmt: skip
                carried[n].parts["saturated"] = saturated
                seconds["prompting"] = seconds.get("prompting", 0.0) + time.perf_counter() - began
