"""A phantom patient on few coarse slices, and a propagation that takes the whole road with few prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from samprompt.contract.prompting import ADAPTED
from samprompt.contract.propagation import PropagationParameters, RegionParameters
from samprompt.space.grid import Grid
from samprompt.space.visit import Visit

COARSE = Grid.from_spacing((12, 62, 72), (3.8, 3.8, 6.0), (-137.0, -117.0, -36.0))
QUICK = PropagationParameters(
    prompting=replace(ADAPTED, positive_parts=(1, 1), negative_parts=(1, 1)), region=RegionParameters(extra_slices=2.0)
)


def first_visit(phantom: Any) -> Visit:
    """The baseline with its lesion."""
    visit: Visit = phantom.draw(COARSE, name="first")
    return visit


def later_visit(phantom: Any, number: int = 1) -> Visit:
    """A follow-up without contours; the lesion has shrunk."""
    visit: Visit = phantom.draw(COARSE, 15.0, (4.0, 3.0, 2.0), seed=1 + number, name=f"visit {number}")
    bare: Visit = phantom.bare(visit)
    return bare
