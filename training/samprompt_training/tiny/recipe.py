"""What decides a training of the built-in model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from samprompt_training.bodies import BodyParameters
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.lesions import LesionParameters
from samprompt_training.making import Generator
from samprompt_training.prompts import ObjectShares
from samprompt_training.scenes import SceneParameters

Kind = Literal["prior", "prior+points", "box", "box+prior", "click", "points"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Shares = dict[Kind, Share]

# A third each for prior, box and points; points come with and without a prior, because P2SAM gives both.
PROMPTS: Shares = {
    "prior": 0.25,
    "prior+points": 0.12,
    "box": 0.26,
    "box+prior": 0.05,
    "click": 0.14,
    "points": 0.18,
}


class TinyRecipe(LoopRecipe):
    """One training of the built-in model; ``batch`` counts scenes, each seen at two visits."""

    size: int = Field(
        128, description="side of the images in pixels; also the input size of the model", ge=64, multiple_of=16
    )
    widths: tuple[int, int, int, int] = Field((24, 48, 96, 192), description="channels of the encoder's stages")
    blocks: tuple[int, int, int, int] = Field((1, 2, 3, 3), description="residual blocks of the encoder's stages")
    skips: tuple[int, int] = Field((32, 16), description="channels of the decoder at strides 4 and 2")
    decoder_blocks: tuple[int, int, int] | None = Field(
        None, description="residual blocks of the decoder at strides 8, 4, 2; none: one convolution each at 4 and 2"
    )
    ellipse: bool = Field(False, description="boxes are also drawn as the ellipse that touches their edges")
    lesions: LesionParameters = Field(LesionParameters(), description="what the scenes' lesions look like")
    body: BodyParameters = Field(BodyParameters(), description="what the scenes' bodies hold")
    asked: ObjectShares = Field(ObjectShares(), description="how often what kind of object is prompted for")
    objects: int = Field(2, description="objects prompted per image and step", ge=1)
    prompts: Shares = Field(PROMPTS, description="how often each kind of first prompt is given")
    jitter: float = Field(0.08, description="by how much of its side each edge of a box is moved at most", ge=0, le=0.3)
    generator: Generator = "cpu"
    reuse: int = Field(2, description="steps that show the same scenes, every second time mirrored", ge=1)
    score_weight: float = Field(0.3, description="of predicted IoU and presence, against the mask's loss", ge=0)
    contrast_weight: float = Field(0.1, description="of the correspondence between the visits", ge=0)
    validation_scenes: int = Field(64, description="scenes, never trained on, that the metric is taken on", ge=8)

    @field_validator("prompts")
    @classmethod
    def _some_prompts(cls, prompts: Shares) -> Shares:
        if sum(prompts.values()) <= 0:
            raise ValueError("no kind of prompt has a share above 0")
        return prompts

    @field_validator("asked")
    @classmethod
    def _shares_of_one(cls, asked: ObjectShares) -> ObjectShares:
        if not 0 <= asked.centred <= asked.lesions or asked.things < 0 or asked.lesions + asked.things > 1:
            raise ValueError("shares are from 0 to 1, lesions and things together too; centred is a part of lesions")
        return asked

    def scenes(self) -> SceneParameters:
        """Parameters of the generator."""
        return SceneParameters(size=self.size, body=self.body, lesions=self.lesions)
