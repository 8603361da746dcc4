"""The window "auto": in training the one through which the propagation shows the same structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samprompt.io.images import read_volume
from samprompt.propagation.knowledge import structure_window
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.space.windows import WINDOWS, Window
from samprompt_training.data.content import Content
from samprompt_training.data.cutting import cut_case
from samprompt_training.data.parameters import SliceParameters

# Stored as scanners do, and the same patient stored the other way round.
MATRICES = (np.diag([-1.0, -1.0, 3.0, 1.0]), np.diag([1.0, 1.0, -3.0, 1.0]))


def propagations(volume: Volume, mask: np.ndarray) -> Window:
    return structure_window(Visit("v", volume), Structure("s", mask, volume.grid))


def shown_through(volume: Volume, mask: np.ndarray, window: str | tuple[float, float]) -> np.ndarray:
    """The grey levels of a small square of every slice with the structure."""
    content = Content(volume.array[None], {"s": mask}, volume.grid, volume.modality)
    return cut_case(content, "a", SliceParameters(size=16, least_pixels=1, window=window)).images


def tumour_under_the_skin() -> tuple[np.ndarray, np.ndarray]:
    """Fat of -100 HU with a tumour of 40 HU, 5 mm below the skin; outside is air of -1000 HU."""
    mask = np.zeros((7, 120, 120), bool)
    j, i = np.indices((120, 120))
    mask[2:5, np.hypot(j - 32, i - 60) < 12] = True
    image = np.full(mask.shape, -1000.0, np.float32)
    image[:, 15:] = -100.0
    image[mask] = 40.0
    return image, mask


@pytest.mark.parametrize("matrix", MATRICES)
def test_air_outside_the_patient_does_not_widen_the_window(matrix: np.ndarray) -> None:
    image, mask = tumour_under_the_skin()
    volume = Volume(image, Grid((7, 120, 120), matrix), "CT")
    soft = WINDOWS["soft"]
    assert propagations(volume, mask) == soft
    assert np.array_equal(shown_through(volume, mask, "auto"), shown_through(volume, mask, (soft.low, soft.high)))


def test_a_small_nodule_is_shown_with_the_lung_round_it() -> None:
    mask = np.zeros((9, 80, 80), bool)
    mask[4, 40:42, 40:42] = True  # half its own box round it would still be the nodule alone
    image = np.where(mask, 40.0, -850.0).astype(np.float32)
    image[4, 38:44, 38:44] = 40.0
    volume = Volume(image, Grid((9, 80, 80), MATRICES[0]), "CT")
    lung = WINDOWS["lung"]
    assert propagations(volume, mask) == lung
    assert np.array_equal(shown_through(volume, mask, "auto"), shown_through(volume, mask, (lung.low, lung.high)))


def test_training_and_propagation_agree_on_real_structures(shared_data: Path) -> None:
    files = (("ct_lung_tumour", "ct.nii.gz", "gtv.nii.gz"), ("ct_organs", "ct_small.nii.gz", "organs_small.nii.gz"))
    compared: list[Window] = []
    for folder, image, labels in files:
        found = read_volume(shared_data / folder / image)
        volume = Volume(found.array, found.grid, "CT")
        drawn = read_volume(shared_data / folder / labels).array
        for label in np.unique(drawn)[1:]:
            mask = drawn == label
            if mask.sum() < 100:
                continue
            k = int(mask.sum(axis=(1, 2)).argmax())
            window = propagations(volume, mask)
            content = Content(volume.array[None], {"s": mask}, volume.grid, "CT")
            enough = int(mask[k].sum())  # the largest slice alone, which is quicker
            auto, told = (
                cut_case(content, "a", SliceParameters(size=16, least_pixels=enough, window=which)).images
                for which in ("auto", (window.low, window.high))
            )
            assert np.array_equal(auto, told), f"{folder}, label {label}"
            compared.append(window)
    assert len(compared) > 20
    assert len(set(compared)) >= 3


def test_a_structure_that_is_nowhere_is_shown_as_the_whole_body_is() -> None:
    image, mask = tumour_under_the_skin()
    image[:, :, 60:] = 320.0
    content = Content(image[None], {"s": np.zeros_like(mask)}, Grid((7, 120, 120), MATRICES[0]), "CT")
    cut = cut_case(content, "a", SliceParameters(size=16, window="auto", empty_share=2.0))
    assert len(cut.items) == 2
    lung = WINDOWS["lung"]  # -100 to 320 HU once the air is left out
    assert cut.images[0, 0, 12, 3] / 65535.0 == pytest.approx((-100 - lung.low) / (lung.high - lung.low), abs=1e-3)
