"""One visit of a patient: an image and what was contoured on it."""

from __future__ import annotations

from dataclasses import dataclass

from samprompt.space.structure import Structure
from samprompt.space.volume import Volume


@dataclass(frozen=True, eq=False)
class Visit:
    """A volume and its structures (none yet on a follow-up); ``name`` is unique within the patient."""

    name: str
    volume: Volume
    structures: tuple[Structure, ...] = ()
