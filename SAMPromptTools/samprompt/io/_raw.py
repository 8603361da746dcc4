"""What a file holds before anything is checked or interpreted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RawImage:
    """Voxels as stored, (k, j, i) or (k, j, i, component), with the IJK-to-RAS matrix and the file's metadata."""

    array: NDArray[Any]
    ijk_to_ras: NDArray[np.float64]
    metadata: dict[str, str] = field(default_factory=dict)
    components: int = 1
