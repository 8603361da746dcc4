"""What the contoured visits of one patient show the model: encoded once and learned once, for all follow-ups."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samprompt.contract.progress import Progress
from samprompt.contract.propagation import PropagationParameters
from samprompt.models.backbone import Backbone
from samprompt.propagation.encoding import Encoded
from samprompt.propagation.knowledge import Group, Knowledge, encode_structures, learn, make_groups, on_region
from samprompt.propagation.reliability import baseline_separation, measure_reliability
from samprompt.space.orientation import Orientation, towards
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Framed:
    """A visit with its axes in the common order, and the way back."""

    visit: Visit
    orientation: Orientation
    original: Visit


def framed(visit: Visit, normal: int) -> Framed:
    """``visit`` with slices along the world axis ``normal``, as ``slice_normal`` names it."""
    orientation = towards(visit.volume.grid, normal)
    structures = tuple(orientation.structure(s) for s in visit.structures)
    return Framed(Visit(visit.name, orientation.volume(visit.volume), structures), orientation, visit)


class Contoured:
    """The baseline and the ``references`` as the model sees them, for every slice direction that follow-ups have.

    ``cache`` keeps what was made of volumes and structures that have a ``key``; it may outlive the patient.
    """

    def __init__(
        self,
        references: Sequence[Visit],
        backbone: Backbone,
        parameters: PropagationParameters,
        progress: Progress,
        cache: MutableMapping[object, object],
    ) -> None:
        self.references, self.backbone, self.parameters = references, backbone, parameters
        self.progress, self.cache = progress, cache
        self._visits: dict[int, list[Framed]] = {}
        self._groups: dict[int, list[Group]] = {}
        self._encoded: dict[tuple[int, tuple[int, ...], float, int], Encoded] = {}
        self._knowledge: dict[tuple[int, int, float], Knowledge] = {}

    def groups(self, normal: int, base: Visit) -> list[Group]:
        """The structures of the baseline that are encoded together."""
        if normal not in self._groups:
            self._groups[normal] = make_groups(base, base.structures, self.backbone, self.parameters)
        return self._groups[normal]

    def kept(self, named: Sequence[Volume | Structure], key: tuple[object, ...], make: Callable[[], T]) -> T:
        """What ``make`` gives for this model, from the cache where everything it was made of has a key."""
        if not all(one.key for one in named):
            return make()
        model = self.backbone.name, self.backbone.fingerprint, str(self.backbone.device)
        key = (*key, tuple(one.key for one in named), model)
        found = self.cache.get(key)
        if found is None:
            found = make()
            self.cache[key] = found
        return found  # type: ignore[return-value]

    def knowledge(self, normal: int, here: Group, group: Group, n: int, base: Framed) -> Knowledge:
        """Knowledge of structure ``n`` of ``group`` at the scale of ``here``; encoded once per patient."""
        key = (normal, n, here.side)
        if key in self._knowledge:
            return self._knowledge[key]
        structures = base.visit.structures
        pieces: list[tuple[Encoded, NDArray[np.bool_]]] = []
        named: list[Volume | Structure] = []
        names = {structures[m].name for m in group.members}
        if normal not in self._visits:
            self._visits[normal] = [base, *(framed(r, normal) for r in self.references)]
        for index, one in enumerate(self._visits[normal]):
            visit = one.original
            shown = [s for s in one.visit.structures if s.name in names and not s.is_empty]
            mine = [s for s in shown if s.name == structures[n].name]
            if not mine:
                continue
            seen: list[Volume | Structure] = [visit.volume]
            seen += [s for s in visit.structures if s.name in names and not s.is_empty]
            place = (normal, group.members, here.side, index)
            if place not in self._encoded:
                what = ("contoured", normal, here.side, here.pixels, here.window, self.parameters.encode_batch)
                self._encoded[place] = self.kept(
                    seen,
                    what,
                    partial(encode_structures, one.visit, shown, here, self.backbone, self.parameters, self.progress),
                )
            named += [*seen, *(s for s in visit.structures if s.name == structures[n].name)]
            pieces.append((self._encoded[place], on_region(mine[0].mask, self._encoded[place])))
        use_grey = base.visit.volume.modality == "CT" and self.parameters.window != "MR/other"
        what_for = ("knowledge", normal, here.side, here.pixels, here.window, use_grey, self.parameters)
        self._knowledge[key] = self.kept(named, what_for, partial(self._learn, pieces, use_grey, structures[n].name))
        return self._knowledge[key]

    def _learn(self, pieces: Sequence[tuple[Encoded, NDArray[np.bool_]]], use_grey: bool, name: str) -> Knowledge:
        self.progress.step(f"learning {name}", 0, 3)
        known = learn(pieces, self.backbone, self.parameters, use_grey)
        self.progress.step(f"learning {name}", 1, 3)
        reliability, bias = measure_reliability(known, self.backbone, self.parameters)
        self.progress.step(f"learning {name}", 2, 3)
        own = baseline_separation(known, self.backbone, self.parameters)
        return replace(known, reliability=reliability, bias=bias, separation=own)
