"""What a dataset is made of: cases of patients, the files of their images and where the masks of structures are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from samprompt.contract.errors import InputError, ParameterError

from samprompt_training.data.options import refuse_wrong_options

Kind = Literal["ct", "mr", "xray", "ultrasound", "endoscopy"]
PARTS = ("train", "validation", "test")

# Name of a layout -> module and function that opens it: ``function(folder, **options) -> Dataset``.
LAYOUTS = {
    "folders": ("folders", "open_folders"),
    "nnunet": ("nnunet", "open_nnunet"),
    "msd": ("msd", "open_msd"),
    "nsclc-radiomics": ("tcia", "open_nsclc_radiomics"),
    "4d-lung": ("tcia", "open_4d_lung"),
    "kvasir-seg": ("endoscopy", "open_kvasir_seg"),
    "cvc-clinicdb": ("endoscopy", "open_cvc_clinicdb"),
    "qata-cov19": ("xray", "open_qata_cov19"),
    "tn3k": ("ultrasound", "open_tn3k"),
    "brats": ("brats", "open_brats"),
    "abdomenct-1k": ("abdomenct", "open_abdomenct_1k"),
}


@dataclass(frozen=True)
class MaskSource:
    """Where the mask of one structure is; nothing is read yet.

    ``path`` is a picture, a label map, an RTSTRUCT or a DICOM SEG. ``labels`` are the values that belong to the
    structure; with none given the file is a mask of two values (or all that is not 0, in a label map). ``names`` are
    the names of regions of interest or segments (``*`` and ``?`` as in file names, capitals do not count); several that
    fit are joined.
    """

    path: Path
    labels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One image of one patient with its masks.

    ``name`` is unique in the dataset. ``images`` are the channels of one image, co-registered: picture or volume files,
    or the folder of a DICOM series. ``masks`` maps the name of each structure to its source. ``known_labels`` are the
    values a label map may hold (none: any). ``visit`` tells the visits of a patient apart where the layout does
    (a date). ``delivered`` is the part that the dataset's authors put the case in ("" where they did not).
    """

    patient: str
    name: str
    images: tuple[Path, ...]
    masks: Mapping[str, MaskSource]
    kind: Kind
    known_labels: tuple[int, ...] = ()
    visit: str = ""
    delivered: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the case, each once; those of a DICOM series by name."""
        found: dict[Path, None] = {}
        for path in (*self.images, *(source.path for source in self.masks.values())):
            if path.is_dir():
                found.update(dict.fromkeys(sorted(p for p in path.iterdir() if p.is_file())))
            else:
                found[path] = None
        return tuple(found)


@dataclass(frozen=True)
class Dataset:
    """The cases of a dataset's folder. ``notes`` say what a person should know of it (what was left out, and why).

    ``patients_known`` is False where the dataset names no patients and each image counts as one.
    """

    layout: str
    folder: Path
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    patients_known: bool = True

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({case.patient for case in self.cases}))

    @property
    def structures(self) -> tuple[str, ...]:
        """Every structure that some case may have, in the order of the cases."""
        return tuple(dict.fromkeys(name for case in self.cases for name in case.masks))

    def part(self, split: Mapping[str, str], name: str) -> tuple[Case, ...]:
        """The cases whose patient ``split`` puts in the part ``name``."""
        return tuple(case for case in self.cases if split[case.patient] == name)


def open_dataset(
    layout: str, folder: Path | str, *, duplicates: Literal["refuse", "join"] | None = None, **options: Any
) -> Dataset:
    """The cases of ``folder``, which has the ``layout`` of that name; images and masks are not read yet.

    The same image under two patients would be in two parts of a split: with ``duplicates`` "refuse" that is an error,
    with "join" these patients count as one (noted; the default for public sets that name no patients). ``options`` are
    those of the layout's function in ``samprompt_training.data.layouts``.

    Raises:
        ParameterError: unknown layout or option, or one of another type.
        MissingFileError: the folder is absent, empty or half copied; an image has no mask or a mask no image.
        InputError: the same image under two patients, or two spellings of one patient.
    """
    if layout not in LAYOUTS:
        raise ParameterError(f"There is no layout '{layout}'.", f"Choose one of: {', '.join(LAYOUTS)}.")
    module, function = LAYOUTS[layout]
    opener: Callable[..., Dataset] = getattr(import_module(f"samprompt_training.data.layouts.{module}"), function)
    refuse_wrong_options(layout, opener, options)
    dataset = opener(Path(folder), **options)
    from samprompt_training.data.duplicates import without_duplicates

    if duplicates is None:
        duplicates = "refuse" if dataset.patients_known else "join"
    _refuse_repeated_names(dataset.cases)
    return without_duplicates(dataset, duplicates)


def with_patient(case: Case, patient: str) -> Case:
    """The same case of another patient."""
    return replace(case, patient=patient)


def _refuse_repeated_names(cases: Iterable[Case]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.name in seen:
            raise InputError(f"Two cases are called '{case.name}'.", "Give every image a name of its own.")
        seen.add(case.name)
