"""What decides a training of the prior refiner."""

from __future__ import annotations

from pydantic import Field

from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.making import Generator
from samprompt_training.refiner.pairs import PairParameters


class RefinerRecipe(LoopRecipe):
    """One training of the prior refiner; ``batch`` counts scenes, of each of which ``objects`` are refined."""

    size: int = Field(80, description="side of the training images in pixels", ge=32, multiple_of=16)
    objects: int = Field(2, description="objects per scene, each with a registration of its own", ge=1)
    widths: tuple[int, int, int, int] = Field((16, 32, 64, 64), description="channels at strides 2, 4, 8, 16")
    generator: Generator = "cpu"
    reuse: int = Field(2, description="steps that show the same pairs, turned and mirrored in between", ge=1, le=8)
    distance_weight: float = Field(0.3, description="of the mean error of the distance (mm) against 1 - Dice", ge=0)
    validation_scenes: int = Field(160, description="scenes, never trained on, that the metric is taken on", ge=16)

    def pairs(self) -> PairParameters:
        """Parameters of the generator."""
        return PairParameters(size=self.size, objects=self.objects)
