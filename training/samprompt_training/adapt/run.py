"""One adaptation from a folder of images to a model that has a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samprompt.contract.errors import MissingFileError, OutputError, ParameterError
from samprompt.contract.progress import Progress
from samprompt.models.adapter import is_adapter
from samprompt.models.device import choose_device
from samprompt.models.registry import find_weights, load_backbone

from samprompt_training.adapt.account import Account
from samprompt_training.adapt.families import Family, family_of
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.adapt.result import Adapted, finish, refuse_name
from samprompt_training.adapt.scoring import dice_by_patient, mean_dice
from samprompt_training.adapt.task import AdaptTask, all_items
from samprompt_training.adapt.zooms import training_slices
from samprompt_training.core.loop import train
from samprompt_training.data.parameters import SliceParameters
from samprompt_training.data.recipe import Parts, prepare
from samprompt_training.showing import main_process

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class AdaptRequest:
    """What to adapt to what.

    ``model`` as ``load_backbone`` takes it; ``data`` the folder of the dataset whose layout the recipe names; ``out``
    the folder of the run, in which a run that was interrupted goes on; ``name`` of the result ("": none).
    """

    recipe: AdaptRecipe
    data: Path
    model: str
    out: Path
    name: str = ""
    device: str = "auto"
    minutes: float | None = None


def adapt(request: AdaptRequest, progress: Progress | None = None, report: Report | None = None) -> Adapted:
    """Adapt, or go on with it; a run that is finished ends with its weights, model card and catalogue entry.

    Raises:
        ParameterError: the name is taken, the model cannot be adapted, no split is possible, the recipe was changed.
        MissingFileError and others of ``data.recipe.prepare``: the dataset is not whole.
        TrainingError: the loss is no number.
        Cancelled: through ``progress``; a checkpoint is written.
    """
    progress = progress or Progress()
    out = request.out.expanduser()
    refuse_what_cannot_be(request, out)
    progress.step(f"loading {request.model}")
    base = find_weights(request.model, progress)
    if is_adapter(base.path):
        raise ParameterError(
            f'"{base.name}" is an adapter; another one cannot stand on it.', "Merge it first: samprompt train merge."
        )
    family = family_of(load_backbone(request.model, "cpu", progress))
    recipe = for_model(request.recipe, family)
    account = Account(out, base, recipe)
    account.refuse_another()
    parts = prepare(recipe.data, request.data, out / "slices", None, progress=progress)
    if parts.validation is None:
        raise ParameterError(
            "No patient is left to validate on, so the best weights could not be chosen.",
            "Give validation a share (data.shares in the recipe).",
        )
    account.refuse_another(parts.manifest)
    if main_process():
        account.write(parts.manifest)
    before = _before(account, family, parts, request, progress)
    task = AdaptTask(family, base, recipe, training_slices(parts, recipe, out / "slices", progress), parts.validation)
    outcome = train(
        task,
        recipe,
        out,
        progress=progress,
        report=report,
        stop_after_minutes=request.minutes,
        device=request.device,
    )
    if outcome.status == "paused" or not main_process():
        return Adapted(outcome, before)
    return finish(outcome, before, base, recipe, parts.manifest, out, request.name)


def for_model(recipe: AdaptRecipe, family: Family) -> AdaptRecipe:
    """The recipe with the channels of a slice that the model takes.

    Raises:
        ParameterError: the recipe takes three sequences, and the model neighbouring slices of one.
    """
    given = recipe.data.slices
    if family.uses_neighbours and len(given.sequences) != 1:
        raise ParameterError(
            f"The recipe takes three sequences ({', '.join(map(str, given.sequences))}), but the three channels of "
            "this model are neighbouring slices of one.",
            "Name one sequence (data.slices.sequences), or adapt a SAM.",
        )
    channels = "neighbours" if family.uses_neighbours else "same"
    slices = SliceParameters.model_validate(given.model_dump() | {"channels": channels})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"slices": slices})})


def refuse_what_cannot_be(request: AdaptRequest, out: Path) -> None:
    """All that can be said before anything is read.

    Raises:
        ParameterError, MissingFileError, OutputError.
    """
    if request.minutes is not None and not request.minutes > 0:
        raise ParameterError(f"--minutes {request.minutes:g} leaves no time.", "Give a number above 0.")
    if not request.data.expanduser().is_dir():
        raise MissingFileError(f"The folder {request.data} does not exist.", "Check --data.")
    if out.exists() and not out.is_dir():
        raise OutputError(f"The output {out} is a file, not a folder.", "Give a folder with --out.")
    if request.name:
        refuse_name(request.name, out)


def _before(
    account: Account, family: Family, parts: Parts, request: AdaptRequest, progress: Progress
) -> dict[str, float]:
    """The figures of the model as it is, computed once per run."""
    found = account.figures(parts.manifest)
    if found is not None:
        return found
    if not main_process() or parts.validation is None:
        return {}
    progress.step("measuring the model before")
    backbone = family.backbone(choose_device(request.device))
    figures = mean_dice(dice_by_patient(backbone, all_items(parts.validation)))
    account.write_figures(parts.manifest, figures)
    return figures
