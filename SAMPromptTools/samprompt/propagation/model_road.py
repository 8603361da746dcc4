"""The road of the structures that the model looks at: one encoding for each group, then each structure's own path."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.models.refiner import Refiner
from samprompt.propagation.carry import carry
from samprompt.propagation.contoured import Contoured
from samprompt.propagation.encoding import encode_region
from samprompt.propagation.journey import Journey
from samprompt.propagation.knowledge import Group, on_region, token_width
from samprompt.propagation.refining import refined_fields, saturated_share
from samprompt.propagation.region import make_region
from samprompt.propagation.routing import route_of


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

    def carry(self, journey: Journey) -> None:
        """Give ``journey`` every structure's route, and what the model finds of those whose road leads through it."""
        for group in self.contoured.groups(journey.normal, journey.base.visit):
            self._carry_group(group, journey)

    def _carry_group(self, group: Group, journey: Journey) -> None:
        """All structures of one group: one encoding, then each structure's own path."""
        backbone, parameters, target = self.backbone, self.parameters, journey.followup.visit
        structures, grid, dead_zone = (
            journey.base.visit.structures,
            target.volume.grid,
            parameters.path.refiner_dead_zone,
        )
        alignments, priors, routes = journey.alignments, journey.priors, journey.routes
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
            with journey.timed("encoding"):
                region = make_region(grid, centre, side, here.pixels, first, last)
                place = (journey.normal, tuple(centre.tolist()), side, here.pixels, first, last)
                encoded = self.contoured.kept(
                    (journey.followup.original.volume,),
                    ("follow-up", place, group.window, parameters.encode_batch),
                    partial(
                        encode_region, target.volume, region, group.window, backbone, parameters.encode_batch,
                        self.progress, f"encoding {target.name}",
                    ),
                )  # fmt: skip
            for n in members:
                with journey.timed("baseline"):
                    knowledge = self.contoured.knowledge(journey.normal, here, group, n, journey.base)
                refined = None
                if trusted and self.refiner is not None:
                    with journey.timed("refining"):
                        self.progress.step(f"refining {structures[n].name}")
                        refined, moved = refined_fields(
                            self.refiner, encoded.grey, on_region(priors[n], encoded), region, group.window,
                            journey.base.visit.volume, alignments[n], dead_zone,
                        )  # fmt: skip
                        journey.saturated[n] = saturated_share(refined, moved, self.refiner.limit_mm - dead_zone)
                with journey.timed("prompting"):
                    journey.carried[n] = carry(
                        knowledge, encoded, priors[n] if trusted else None, alignments[n].error_mm, backbone,
                        parameters, self.progress, structures[n].name, refined,
                    )  # fmt: skip
