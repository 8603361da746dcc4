"""Constants of the measurement with prompts; chosen before any model was measured with them, and not changed since."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PriorParameters:
    """How wrong a prior is: a mask carried from an earlier visit, and not quite in place (methods page, section 8).

    Shift and warp together move the contour by 0 to ``reach`` mm, at most by ``share`` of the piece's diameter (that of
    the disc of equal area), or the prior of something small would miss it altogether.
    """

    reach: float = 10.0  # mm
    share: float = 0.35  # of the diameter
    share_without_mm: float = 0.2  # of the diameter, in place of both, where an image has no spacing
    smoothness: float = 0.25  # of the diameter: standard deviation of the Gaussian that smooths the warp
    scale: float = 1.25  # each axis is scaled by this to the power of -1 to 1
    cut: float = 0.15  # chance that a part beyond a straight line is missing
    cut_from: float = 0.1  # of the radius from the centre: the nearest such line
    cut_to: float = 0.6  # of the radius from the centre: the farthest


@dataclass(frozen=True)
class PromptedParameters:
    """What is measured, and on which crop. Lengths are in pixels of the image unless they say otherwise."""

    seed: int = 1
    slices: int = 10  # of a structure, evenly spaced over those that show it; all where there are fewer
    least_pixels: int = 3  # a piece (connected, diagonal neighbours too) of fewer is no object that one prompts for
    jitter: float = 0.05  # each edge of the box moves by up to this share of the box's side
    enlargement: float = 2.0  # side of the crop / longest side of the box (methods page, section 8)
    least_side: float = 16.0  # of the crop: something of three pixels needs surroundings
    picture_side: int = 512  # a picture's longest side; larger ones (X-rays of up to 4,280) are reduced first
    corrections: int = 2  # clicks after the first one
    prior: PriorParameters = field(default_factory=PriorParameters)
