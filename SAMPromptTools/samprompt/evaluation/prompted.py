"""A promptable model measured on real images it never saw: box, clicks, wrong priors, against what a box is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from samprompt.contract.errors import InputError, IntensityError, StructureError
from samprompt.contract.progress import Progress
from samprompt.evaluation.prompted_baselines import ellipse, otsu
from samprompt.evaluation.prompted_images import PromptedImage, measured_structures
from samprompt.evaluation.prompted_model import BOX, PRIOR, answers
from samprompt.evaluation.prompted_parameters import PromptedParameters
from samprompt.evaluation.prompted_pieces import Piece, pieces_of
from samprompt.evaluation.prompted_prior import corrupted
from samprompt.evaluation.prompted_rows import PromptedRow, measured
from samprompt.models.backbone import Backbone
from samprompt.propagation.knowledge import structure_window
from samprompt.space.volume import Volume
from samprompt.space.windows import Window

ELLIPSE, OTSU, AS_GIVEN = "filled ellipse", "Otsu's threshold", "as given"


@dataclass
class Measured:
    """All rows in the order they were measured, and the images that could not be (name and reason)."""

    rows: list[PromptedRow] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def measure(
    images: Sequence[PromptedImage],
    models: Mapping[str, Backbone],
    parameters: PromptedParameters | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measure every model (by the name it has in the tables) and the baselines on every piece of every image.

    An image that cannot be read or used is left out and named; with no model there are the baselines alone.

    Raises:
        Cancelled: through ``progress``.
        InputError: no image at all could be used; the first one's error.
    """
    known, told = parameters or PromptedParameters(), progress or Progress()
    result = Measured()
    first: InputError | None = None
    for done, image in enumerate(images):
        told.step(f"{image.data_set}: {image.name}", done, len(images))
        try:
            rows = _measured_image(image, models, known, told, (done, len(images)))
            if not rows:
                raise StructureError("It shows no structure that is large enough to be measured.", "Check its masks.")
            result.rows += rows
        except InputError as error:
            first = first or error
            result.left_out.append((f"{image.data_set}: {image.name}", error.message))
    if first is not None and not result.rows:
        raise first
    return result


def _measured_image(
    image: PromptedImage, models: Mapping[str, Backbone], known: PromptedParameters, told: Progress, at: tuple[int, int]
) -> list[PromptedRow]:
    visit = image.load()
    if float(visit.volume.array.min()) == float(visit.volume.array.max()):
        raise IntensityError(f"{visit.volume.source} has the same value everywhere.", "Copy the data set again.")
    rows: list[PromptedRow] = []
    for structure in measured_structures(image.data_set, visit):
        window = structure_window(visit, structure)
        name = f"{image.data_set}/{image.patient}/{image.name}/{structure.name}"
        for piece in pieces_of(structure.mask, name, known):
            told.step(f"{image.data_set}: {image.name}, {structure.name}", *at)
            rows += _measured_piece(image, visit.volume, window, structure.name, piece, models, known)
    return rows


def _measured_piece(
    image: PromptedImage,
    volume: Volume,
    window: Window,
    structure: str,
    piece: Piece,
    models: Mapping[str, Backbone],
    known: PromptedParameters,
) -> Iterator[PromptedRow]:
    spacing, shape = volume.grid.spacing_kji[1:], (piece.mask.shape[0], piece.mask.shape[1])
    prior = corrupted(piece.mask, spacing, piece.random, known.prior, in_mm=image.unit == "mm")

    def row(prompt: str, who: str, crop: float = float("nan"), presence: float = float("nan")) -> PromptedRow:
        return PromptedRow(
            image.data_set, image.patient, image.name, structure, piece.k, piece.number,
            int(piece.mask.sum()), image.unit, prompt, who, crop=crop, presence=presence,
        )  # fmt: skip

    yield measured(row(BOX, ELLIPSE), piece.mask, ellipse(piece.box, shape), spacing)
    yield measured(row(BOX, OTSU), piece.mask, otsu(window.apply(volume.array[piece.k]), piece.box), spacing)
    yield measured(row(PRIOR, AS_GIVEN), piece.mask, prior, spacing)
    for who, backbone in models.items():
        for found in answers(backbone, volume, window, piece, prior, known):
            yield measured(row(found.prompt, who, found.crop_side, found.presence), piece.mask, found.mask, spacing)
