"""Chest X-rays with the infected regions of COVID-19: QaTa-COV19."""

from __future__ import annotations

import re
from pathlib import Path

from samprompt_training.data.cases import Case, Dataset, MaskSource
from samprompt_training.data.finding import (
    PICTURES,
    by_stem,
    dataset_folder,
    image_files,
    refuse_unpaired,
    subfolder,
    visible,
)

# Names that come from BIMCV-COVID19+ hold the subject, as in "sub-S09345_ses-E18384_run-1_bp-chest_vp-ap_dx".
_SUBJECT = re.compile(r"^(sub-S\d+)_")
_SETS = {"Train Set": "train", "Test Set": "test"}


def open_qata_cov19(folder: Path) -> Dataset:
    """QaTa-COV19 version 2: ``Train Set`` and ``Test Set`` with ``Images`` and ``Ground-truths`` in each.

    The mask of ``NAME.png`` is ``mask_NAME.png``. The patient is the subject in the name, where there is one; other
    images count as a patient each. Source: Degerli et al. 2022 (arXiv 2202.10185),
    kaggle.com/datasets/aysendegerli/qatacov19-dataset.

    Raises:
        MissingFileError: a folder is absent or empty; an image without mask or the reverse.
    """
    folder = dataset_folder(folder)
    inner = [child for child in visible(folder) if child.is_dir() and child.name.casefold() == "qata-cov19-v2"]
    folder = inner[0] if inner else folder
    cases: list[Case] = []
    unknown = 0
    for name, part in _SETS.items():
        base = subfolder(folder, name)
        image_folder, mask_folder = subfolder(base, "Images"), subfolder(base, "Ground-truths")
        images = by_stem(image_files(image_folder, PICTURES), image_folder)
        stored = by_stem(image_files(mask_folder, PICTURES), mask_folder)
        masks = {title.removeprefix("mask_"): path for title, path in stored.items()}
        refuse_unpaired(images, masks)
        for title, image in sorted(images.items()):
            subject = _SUBJECT.match(title)
            unknown += subject is None
            patient = subject.group(1) if subject else title
            masked = {"infection": MaskSource(masks[title])}
            cases.append(Case(patient, f"{name}/{title}", (image,), masked, "xray", delivered=part))
    note = f"{unknown} of {len(cases)} images name no patient: each of these counts as a patient of its own."
    return Dataset("qata-cov19", folder, tuple(cases), (note,) if unknown else (), unknown == 0)
