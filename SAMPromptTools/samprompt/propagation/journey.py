"""One follow-up on its way: what is known of every structure there, and what was found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from samprompt.propagation.align import Alignment
from samprompt.propagation.carry import Carried
from samprompt.propagation.contoured import Framed
from samprompt.propagation.routing import Route


@dataclass
class Journey:
    """From ``base`` to ``followup``, both with slices along the world axis ``normal``.

    Everything by structure goes by its index in the baseline; masks are on the follow-up's framed grid. ``priors`` are
    the warped contours; ``saturated`` is the share of a contour that the refiner moved as far as it may. ``seconds``
    are those of each stage.
    """

    normal: int
    base: Framed
    followup: Framed
    alignments: list[Alignment] = field(default_factory=list)
    priors: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    routes: dict[int, Route] = field(default_factory=dict)
    masks: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    carried: dict[int, Carried] = field(default_factory=dict)
    saturated: dict[int, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what the block takes to the seconds of ``stage``."""
        began = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began
