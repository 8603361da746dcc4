"""What a propagation is given, whether from files or from a panel, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from samprompt.contract.errors import StructureError
from samprompt.io.summary import InputFile
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit


@dataclass
class Inputs:
    """The visits, where they came from (``files``, for the provenance), remarks, and the seconds that reading took."""

    baseline: Visit
    followups: list[Visit]
    references: list[Visit]
    files: list[InputFile]
    notes: list[str]
    seconds: float = 0.0


def usable_structures(structures: Sequence[Structure], source: str, notes: list[str]) -> tuple[Structure, ...]:
    """The structures that hold something, under names that tell them apart; what is left out is noted.

    Raises:
        StructureError: nothing is left of what ``source`` holds.
    """
    filled = tuple(s for s in structures if not s.is_empty)
    empty = [s.name for s in structures if s.is_empty]
    if not filled:
        if not empty:
            raise StructureError(f"{source} holds no structure.", "Contour at least one on the baseline.")
        what = f"The structure {empty[0]!r} is" if len(empty) == 1 else f"The structures {listed(empty)} are"
        raise StructureError(f"{what} empty in {source}.", "Contour it on the baseline image, or leave it out.")
    notes += [f"The structure {name} is empty on the baseline and was left out." for name in empty]
    for structure in filled:
        if int(structure.mask.sum()) == 1:
            notes.append(f"The structure {structure.name} is a single voxel: too small to be recognised.")
    return named_apart(filled, notes)


def named_apart(structures: Sequence[Structure], notes: list[str]) -> tuple[Structure, ...]:
    """The structures with a number behind every name that came before: results are told apart by name."""
    taken: set[str] = set()
    renamed = []
    for structure in structures:
        name, number = structure.name, 2
        while name in taken:
            name, number = f"{structure.name} ({number})", number + 1
        if name != structure.name:
            notes.append(f"There are several structures named {structure.name}; one is called {name} here.")
        taken.add(name)
        renamed.append(replace(structure, name=name))
    return tuple(renamed)


def reference_structures(
    contours: Sequence[Structure], baseline: Sequence[Structure], source: str
) -> tuple[Structure, ...]:
    """Those of a reference's contours that the baseline has as well, by name.

    Raises:
        StructureError: there is none.
    """
    wanted = {s.name for s in baseline}
    kept = tuple(s for s in contours if s.name in wanted and not s.is_empty)
    if not kept:
        raise StructureError(
            f"The reference {source} has none of the baseline's structures.",
            f"It holds {listed([s.name for s in contours])}; wanted are {listed(sorted(wanted))}.",
        )
    return kept


def note_same_image(name: str, digest: str, files: Sequence[InputFile], notes: list[str]) -> None:
    """Remark that follow-up ``name`` with the content ``digest`` is one of ``files``, if it is."""
    same = next((f for f in files if digest and f.sha256 == digest), None)
    if same is not None:
        what = "the baseline" if same.role == "Baseline" else same.path
        notes.append(f"{name} is the very same image as {what}: its result says nothing about a later visit.")


def note_modality(visits: Sequence[Visit], notes: list[str]) -> None:
    """Remark that an image is not a CT, if one is not."""
    if any(visit.volume.modality != "CT" for visit in visits):
        notes.append("At least one image is not a CT: not validated for that.")


def listed(names: Sequence[str]) -> str:
    """Names for a message, at most twelve."""
    shown = ", ".join(names[:12]) or "nothing"
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown
