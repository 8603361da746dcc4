"""Alignment of a baseline to a follow-up: body mask, rigid with several starts, local rigid, deformable, quality."""

from samprompt.propagation.align.rigid import RigidAlignment, align_rigid
from samprompt.propagation.align.structure import align_structure, align_structures
from samprompt.propagation.align.transform import (
    Alignment,
    Stage,
    copied_mask,
    identity_alignment,
    warp_mask,
    warp_volume,
)

__all__ = [
    "Alignment",
    "RigidAlignment",
    "Stage",
    "align_rigid",
    "align_structure",
    "align_structures",
    "copied_mask",
    "identity_alignment",
    "warp_mask",
    "warp_volume",
]
