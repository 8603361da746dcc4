"""Which road a structure takes: prompted model, prior only, or geometry only; and whether the scan cuts it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from samprompt.space.structure import Structure

# Targets with a margin are constructs of planning, not visible things (ICRU 83): they are carried by geometry only.
_GEOMETRIC = re.compile(r"(^|[^a-z])(i?ctv|ptv|itv|prv|igtv)([^a-z]|$)", re.IGNORECASE)
_THIN_TOKENS = 3.0


@dataclass(frozen=True)
class Route:
    """``kind`` is "model", "thin", "geometric" or "small", or with the refiner alone "refined", "thin refined" or

    "not refined"; ``note`` says why in words.
    """

    kind: str
    note: str = ""


def route_of(structure: Structure, token_mm: float, refiner: bool = False) -> Route:
    """The road of ``structure`` when a matching token is ``token_mm`` wide in its region.

    With ``refiner`` the prior of a thin structure is refined; otherwise it is taken as it is.
    """
    if _GEOMETRIC.search(structure.name):
        return Route(
            "geometric",
            f"{structure.name} is a planning construct, not a visible thing: it was moved with the patient only.",
        )
    count = int(structure.mask.sum())
    if count < 8:
        return Route("small", f"{structure.name} has only {count} voxels: it was moved with the patient only.")
    width = typical_width(structure)
    if width < _THIN_TOKENS * token_mm:
        follows = "the registration, refined by its own network" if refiner else "the registration only"
        return Route(
            "thin refined" if refiner else "thin",
            f"{structure.name} is typically {width:.0f} mm wide, too thin for the model's {token_mm:.1f} mm tokens: "
            f"it follows {follows}.",
        )
    return Route("model")


def route_without_model(structure: Structure, aligned: bool) -> Route:
    """The road of ``structure`` when the refiner alone looks at it; ``aligned``: whether its alignment is trusted."""
    route = route_of(structure, 0.0)
    if route.kind != "model":
        return route
    if not aligned:
        return Route("not refined", f"{structure.name} follows the registration, which is not trusted, as it is.")
    return Route("refined")


def typical_width(structure: Structure) -> float:
    """Median over slices of twice the largest in-plane inscribed radius, in mm."""
    found = []
    for plane in structure.mask:
        if plane.any():
            padded = np.pad(plane, 1)
            found.append(2.0 * float(ndimage.distance_transform_edt(padded, structure.grid.spacing_kji[1:]).max()))
    return float(np.median(found)) if found else 0.0


def cut_by_border(structure: Structure) -> bool:
    """Whether the structure reaches the outermost voxels of its scan in any direction (one-slice scans: in plane)."""
    mask = structure.mask
    for axis, length in enumerate(mask.shape):
        if length > 1 and (mask.take(0, axis).any() or mask.take(length - 1, axis).any()):
            return True
    return mask.shape[0] == 1 and bool(mask.any())
