"""What an adaptation may be told: every choice of methods page, section 1.4, is a field here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from samprompt_training.adapt.losses import LossWeights
from samprompt_training.adapt.schedule import FirstPrompt, Variant
from samprompt_training.core.recipe import LoopRecipe
from samprompt_training.data.recipe import DataRecipe

Part = Literal["encoder", "patch_embedding", "neck", "prompt_encoder", "decoder"]
Monitor = Literal["dice_none", "dice_point", "dice_box"]
Stopped = Literal["always", "without a prompt", "never"]


Side = Annotated[float, Field(gt=0)]


class LoraSettings(BaseModel):
    """Low-rank adaptation (arXiv 2106.09685): W + alpha / rank * B A.

    ``targets``: regular expressions of whole layer names; empty: the attention's q, k, v of SAM and SAM 2, the
    encoder's convolutions of the built-in model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rank: int = Field(8, ge=1)
    alpha: float = Field(8.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ()


class Interaction(BaseModel):
    """The interactive schedule.

    ``first``: what the first prompt is drawn from. Published are "none", "point" and "box"; "prior", a wrong contour as
    mask prompt, is for models that the propagation will use, which gives the warped contour so. Together with
    ``AdaptRecipe.crops_mm`` it took the propagation from the bare warped contour to nearly the base's own figures
    (Testing/benchmarks/results/adaptation.md); which of the two did it was not measured.
    ``variant``: "paper" or "code" (``schedule.plan_turns``). ``box_noise``: SD of a box's edges in units of its side,
    at most ``most_box_noise`` pixels (SAM's training). ``stopped``: when the embeddings "not a point" and "no mask" get
    no gradient: "always" as the paper says, "without a prompt" as the published code does, or "never".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    variant: Variant = "paper"
    iterations: int = Field(11, ge=1)
    first: tuple[FirstPrompt, ...] = Field(("none", "point", "box"), min_length=1)
    mask_only: int = Field(2, ge=0)
    most_points: int = Field(9, ge=1)
    box_noise: float = Field(0.1, ge=0)
    most_box_noise: float = Field(20.0, ge=0)
    stopped: Stopped = "always"

    @model_validator(mode="after")
    def _counts(self) -> Interaction:
        if self.variant == "paper" and self.mask_only > max(self.iterations - 1, 0):
            raise ValueError(f"mask_only ({self.mask_only}) is more than the iterations after the first")
        return self


class AdaptRecipe(LoopRecipe):
    """One adaptation: LoRA in the encoder and the decoder whole (the default), or other parts; all five without LoRA
    are a full fine-tune.

    ``drop_path`` grows linearly with depth. ``monitor`` is a mean Dice over the validation patients: from no prompt,
    one point or a box. ``crops_mm``: the propagation shows the model a region round the structure, not whole slices
    (see ``Interaction``). What the three channels of a slice hold is the model's to say,
    and is set by the program.
    """

    lora: LoraSettings | None = Field(default_factory=LoraSettings, description="low-rank changes; null: none")
    parts: tuple[Part, ...] = Field(("decoder",), description="parts of the model that are trained whole")
    freeze_blocks: int = Field(0, description="so many of the encoder's first blocks stay as they are", ge=0)
    layer_decay: float = Field(1.0, description="rate of a block in units of the next deeper one's", gt=0, le=1)
    drop_path: float = Field(0.1, description="chance that a sample skips the deepest block", ge=0, lt=1)
    interaction: Interaction = Field(default_factory=Interaction, description="the interactive schedule")
    loss: LossWeights = Field(default_factory=LossWeights, description="weights of the loss")
    data: DataRecipe = Field(default_factory=DataRecipe, description="which data, and how it is cut and changed")
    crops_mm: tuple[Side, ...] = Field((), description="training slices also as crops of these sides, in mm")
    monitor: Monitor = Field("dice_none", description="the figure by which the best weights are chosen")

    @model_validator(mode="after")
    def _something(self) -> AdaptRecipe:
        if self.lora is None and not self.parts:
            raise ValueError("nothing would be trained: lora is null and parts is empty")
        return self
