"""How slices are cut: the part of a recipe that decides what a model sees."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SliceParameters(BaseModel):
    """How slices are cut.

    ``size`` is the side of the square in pixels. ``window`` of a CT: a name of ``samprompt.space.windows.WINDOWS``,
    "auto" (chosen per case and structure by the propagation's own rule), or the HU of black and of white; the default
    is the range of P2SAM's CT preparation (methods page, 1.4). Images in other units are shown from their 1st to their
    99th percentile, 8-bit pictures as they are. ``plane`` is the plane the image was acquired in (its k axis), or
    "axial". ``channels`` says what the three channels of an item hold: "same" one grey level three times (or a
    picture's colours), "neighbours" slices k-1, k, k+1 (of a coloured picture its luminance). ``sequences`` are the
    channels of the image to take: one, or three that become the item's colours. ``structures`` (none named: all).
    ``least_pixels`` of the structure in the stored slice, below which a slice is left out; so is one in whose square
    less than 4 pixels of it would be left. ``crop_mm`` above 0 cuts a square of that side round the structure (round
    its largest part, where not all fit), shifted by up to ``crop_shift`` of the free room (else its place would be
    known); 0 takes whole slices.
    ``empty_share`` adds slices without the structure, as part of the number of slices with it; ``seed`` chooses them
    and the shifts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size: int = Field(256, ge=16, le=2048)
    window: Literal["auto", "lung", "soft", "bone", "wide"] | tuple[float, float] = (-910.0, 590.0)
    plane: Literal["acquired", "axial"] = "acquired"
    channels: Literal["same", "neighbours"] = "same"
    sequences: tuple[int, ...] = (0,)
    structures: tuple[str, ...] = ()
    least_pixels: int = Field(10, ge=1)
    crop_mm: float = Field(0.0, ge=0.0)
    crop_shift: float = Field(0.5, ge=0.0, le=1.0)
    empty_share: float = Field(0.0, ge=0.0)
    seed: int = 0

    @model_validator(mode="after")
    def _sensible(self) -> SliceParameters:
        if isinstance(self.window, tuple) and not self.window[0] < self.window[1]:
            raise ValueError(f"window {self.window}: the HU of black must be below that of white")
        if len(self.sequences) not in (1, 3):
            raise ValueError(f"sequences {self.sequences}: name one, or three for the three channels")
        if self.channels == "neighbours" and len(self.sequences) != 1:
            raise ValueError("neighbours need a single sequence")
        return self
