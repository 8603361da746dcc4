"""Parameters of carrying structures from one visit to the next; lengths in mm, areas in mm2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from samprompt.contract.prompting import ADAPTED, P2SamParameters

Method = Literal["p2sam3d", "p2sam", "persam", "copied", "rigid", "deformable"]
METHODS: tuple[Method, ...] = ("p2sam3d", "p2sam", "persam", "copied", "rigid", "deformable")


@dataclass(frozen=True)
class AlignParameters:
    """Alignment of the baseline to a follow-up (methods page, section 6)."""

    rigid_spacing: float = 6.0  # mm, grid of the global rigid step
    local_margin: float = 40.0  # mm round the structure for the local rigid step
    deformable_spacing: float = 3.0  # mm, grid of the deformable step
    deformable_margin: float = 40.0  # mm round the structure
    iterations: int = 80  # Adam steps of the deformable refinement
    smoothness: float = 1.0  # weight of the displacement's squared gradient
    interior_weight: float = 0.3  # weight of the similarity inside the structure: it may have changed
    # Local normalised cross-correlation (0..1) of the aligned images round the structure, under which the alignment
    # is not trusted and the whole image is searched.
    trusted_quality: float = 0.35


@dataclass(frozen=True)
class RegionParameters:
    """The square that is cut from each slice round the aligned prior."""

    margin: float = 20.0  # mm beyond the prior's box on each side, at least
    enlargement: float = 1.5  # side of the square / side of the prior's box, at least
    minimum_side: float = 96.0  # mm
    maximum_pixel: float = 2.5  # mm; a larger structure is seen whole at a coarser pixel up to here, then in part
    extra_slices: float = 15.0  # mm searched above and below the aligned prior


@dataclass(frozen=True)
class PathParameters:
    """The cheapest chain of candidates along z (methods page, section 6). All costs are in mm2 of image area."""

    log_ratio_clip: float = 2.0  # clip of the log-likelihood ratio per pixel
    appearance_weight: float = 0.5
    transport_weight: float = 0.05  # of a candidate's area, per standard deviation of the baseline's own distances
    prior_weight: float = 0.35  # cost per mm2 of disagreement with the warped prior
    smoothness_weight: float = 0.5  # cost per mm2 by which neighbours differ beyond what the prior's slices differ
    leave_prior_margin: float = 0.05  # share of the prior's area that must be gained before the prior is left
    presence_per_mm: float = 0.05  # of the nearest prior section's area, per mm outside the warped extent


@dataclass(frozen=True)
class TrustParameters:
    """Weights of the trust score: the logistic of ``bias`` plus the weighted reasons; calibrated on simulated visits."""

    bias: float = 3.0
    retrieval: float = -0.4  # per standard deviation of retrieval distance beyond the baseline's spread
    disagreement: float = -3.0  # 1 - mean Dice of the leading candidates with the result
    cycle: float = -3.0  # 1 - Dice after carrying the result back without the prior
    alignment: float = -2.0  # 1 - alignment quality
    contrast: float = -1.5  # max(0, 1 - CNR)
    change: float = -1.0  # implausible volume change: |log(volume ratio)| beyond log 2
    border: float = -1.0  # share of the result's slices touching the scan's border
    low: float = 0.5  # below this a result is flagged "check"


@dataclass(frozen=True)
class PropagationParameters:
    """Everything that decides a propagation apart from the images and the weights."""

    method: Method = "p2sam3d"
    prompting: P2SamParameters = field(default_factory=lambda: ADAPTED)
    align: AlignParameters = field(default_factory=AlignParameters)
    region: RegionParameters = field(default_factory=RegionParameters)
    path: PathParameters = field(default_factory=PathParameters)
    trust: TrustParameters = field(default_factory=TrustParameters)
    decode_batch: int = 64  # prompts per decoder call
    encode_batch: int = 8  # slices per encoder call
