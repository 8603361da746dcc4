"""Parameters of carrying structures from one visit to the next; lengths in mm, areas in mm2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from samprompt.contract.prompting import ADAPTED, P2SamParameters

Method = Literal["p2sam3d", "p2sam", "persam", "refiner", "copied", "rigid", "deformable"]
METHODS: tuple[Method, ...] = ("p2sam3d", "p2sam", "persam", "refiner", "copied", "rigid", "deformable")
# These ask no promptable model; "refiner" is the warped prior refined by its own small network, which is shipped.
METHODS_WITHOUT_MODEL: tuple[Method, ...] = ("refiner", "copied", "rigid", "deformable")
WindowName = Literal["auto", "lung", "soft tissue", "bone", "MR/other"]
WINDOW_NAMES: tuple[WindowName, ...] = ("auto", "lung", "soft tissue", "bone", "MR/other")


@dataclass(frozen=True)
class AlignParameters:
    """Alignment of the baseline to a follow-up (methods page, section 6)."""

    rigid_spacing: float = 6.0  # mm, grid of the global rigid step
    minimum_overlap: float = 0.3  # share of the smaller scan's body that a rigid position must leave in both scans
    minimum_shared_field: float = 0.25  # under this share of the smaller body the rigid step is not trusted
    minimum_body_overlap: float = 0.6  # Dice of the two bodies under which the rigid step is not trusted
    minimum_rigid_quality: float = 0.35  # correlation inside both bodies under which the rigid step is not trusted
    local_margin: float = 40.0  # mm round the structure for the local rigid step
    deformable_spacing: float = 3.0  # mm, grid of the deformable step
    deformable_margin: float = 40.0  # mm round the structure
    search_reach: float = 12.0  # mm searched round the local rigid position by the discrete deformable step
    maximum_voxels: int = 250_000  # of the deformable region; a larger one is aligned on a coarser grid
    iterations: int = 6  # Gauss-Newton steps of the deformable refinement on each of its two grids
    smoothness: float = 0.05  # weight of the displacement's squared gradient against squared feature difference
    interior_weight: float = 0.3  # weight of the similarity inside the structure: it may have changed
    # Quality (0..1) is the local correlation of the aligned images round the structure to the power 1.5, halved where
    # matching there and back misses the start by ``doubtful_inconsistency`` mm, and again where the mean gradient of
    # the displacement reaches ``doubtful_strain``. Measured: the same patient 0.66 and more (0.28 in a flat, noisy
    # liver), another patient 0.34 and less. Under ``trusted_quality`` the whole image is searched.
    doubtful_inconsistency: float = 1.5
    doubtful_strain: float = 0.5
    maximum_folding: float = 0.01  # share of folded voxels beyond which the deformable step is left out
    trusted_quality: float = 0.4


@dataclass(frozen=True)
class RegionParameters:
    """The square that is cut from each slice round the aligned prior."""

    margin: float = 20.0  # mm beyond the prior's box on each side, at least
    enlargement: float = 1.5  # side of the square / side of the prior's box, at least
    minimum_side: float = 96.0  # mm
    maximum_pixel: float = 2.5  # mm; a larger structure is seen whole at a coarser pixel up to here, then in part
    extra_slices: float = 15.0  # mm searched above and below the aligned prior
    sharing: float = 1.4  # structures share encoded slices when one square is at most this much wider than their own


@dataclass(frozen=True)
class PathParameters:
    """The cheapest chain of candidates along z (methods page, section 6). All costs are in mm2 of image area.

    Constants tuned on synthetic patients only (``Testing/benchmarks/tune_path.py``) and frozen before any real image.
    """

    log_ratio_clip: float = 2.0  # clip of the log-likelihood ratio per pixel
    appearance_weight: float = 0.3  # gain per mm2 and unit of the log-likelihood ratio
    decoder_weight: float = 0.7  # gain per mm2 and unit of the decoder's averaged logit, clipped as the ratio
    # cost per mm2 of disagreement with the warped prior at the registration's error from its edge; half of it nearer,
    # more with every further error up to the cap
    prior_weight: float = 0.65
    certainty_cap: float = 2.5
    transport_weight: float = 0.05  # of a candidate's area, per standard deviation of the baseline's own distances
    smoothness_weight: float = 0.3  # cost per mm2 by which neighbours differ beyond what the prior's slices differ
    leave_prior_margin: float = 0.02  # share of the prior's area that must be gained before the prior is left
    presence_per_mm: float = 0.1  # of the nearest prior section's area, per mm outside the warped extent
    minimum_error: float = 3.0  # mm; the prior's edge is never taken to be more certain than this
    # The evidence counts in full from the upper reliability on and not at all below the lower one (shares of a prior's
    # error that it takes back on the baseline, where the truth is known).
    reliable_from: float = 0.1
    reliable_to: float = 0.4
    # The evidence's departure from the prior (1 - Dice), in units of its departure from the true contour on the
    # baseline (at least ``least_bias``): below the first the prior stays, from the second on the evidence counts in
    # full.
    leave_from: float = 1.8
    leave_to: float = 2.2
    least_bias: float = 0.02
    # What is found is called gone when the evidence separates it from its ring by so much less than on the baseline
    # (in units of twice the clip; on synthetic visits 0.4 and less where something was there, 0.7 and more where not).
    gone: float = 0.55
    gone_without_prior: float = 0.3
    # The prior refined by its network is one more candidate, and takes this share of the prior's place in the costs.
    # On synthetic visits (``Testing/benchmarks/refiner_share.py``, nine patients apart from those of ``tune_path.py``)
    # the share of 1 took 14 tumours from .862 to .871 Dice and 27 organs from .905 to .909, none lost more than 0.6
    # points to the warped prior; the candidate alone changed nothing.
    refiner: bool = True
    refiner_share: float = 1.0
    # mm; smaller corrections of the network are left out and larger ones lessened by it. Eight synthetic tumours gain
    # 1.6 Dice points with 0, 1.4 with 0.5, 1.0 with 1; contours that were right lose the less the larger it is.
    refiner_dead_zone: float = 0.5


@dataclass(frozen=True)
class TrustParameters:
    """Weights of the trust score: the logistic of ``bias`` plus the weighted doubts, each 0 at its best.

    Fitted on 67 simulated structure-visits of synthetic patients, 5 failures (``Testing/benchmarks/tune_path.py``, a
    failure counts five times) and rounded; such a fit ranks the patients left out of it with an AUROC of 0.96. The
    weights of border, absent and without_model were set by hand: the samples hold no failure that they would tell.
    """

    bias: float = 5.3
    alignment: float = -2.1  # 1 - alignment quality
    contrast: float = -3.2  # max(0, 1 - CNR)
    cycle: float = -1.0  # 1 - Dice with the known contour after carrying the result back without the prior
    disagreement: float = -1.0  # 1 - mean Dice of the leading candidates with the result
    retrieval: float = -0.3  # standard deviations of retrieval distance beyond the baseline's own mean
    separation: float = -4.4  # 1 - mean log-likelihood ratio inside minus outside, in units of twice its clip
    change: float = -0.7  # |log(volume ratio)| beyond log 2
    unreliable: float = -2.0  # 1 - reliability of the evidence on the baseline
    border: float = -0.5  # share of the result's slices that touch the scan's border
    departure: float = 0.0  # 1 - Dice with the warped prior; weight 0, since a true responder must not be punished
    absent: float = -4.0  # 1 when the result is empty
    without_model: float = -1.5  # 1 when no promptable model looked at the structure
    saturated: float = -3.0  # share of the contour that the refiner moved by all it may (set by hand)
    low: float = 0.5  # below this a result is flagged "check"


@dataclass(frozen=True)
class PropagationParameters:
    """Everything that decides a propagation apart from the images and the weights.

    ``window`` is the grey-level window a model sees the images through: "auto" takes the one that shows each structure
    against its surroundings (HU on CT, percentiles elsewhere), "MR/other" percentiles whatever the image is said to be.
    """

    method: Method = "p2sam3d"
    prompting: P2SamParameters = field(default_factory=lambda: ADAPTED)
    align: AlignParameters = field(default_factory=AlignParameters)
    region: RegionParameters = field(default_factory=RegionParameters)
    path: PathParameters = field(default_factory=PathParameters)
    trust: TrustParameters = field(default_factory=TrustParameters)
    decode_batch: int = 64  # prompts per decoder call
    encode_batch: int = 8  # slices per encoder call
    window: WindowName = "auto"

    @property
    def uses_refiner(self) -> bool:
        """Whether the prior refiner has a part in the result."""
        return self.method == "refiner" or (self.method == "p2sam3d" and self.path.refiner)
