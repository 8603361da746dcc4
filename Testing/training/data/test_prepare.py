"""The parts of a dataset, made ready: a structure may be absent from the test part, not from training or validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from balls import Ball, save_nifti
from samprompt.contract.errors import StructureError
from samprompt.io.notes import collected_notes
from samprompt_training.data.manifest import read_manifest
from samprompt_training.data.recipe import DataRecipe, Parts, prepare
from samprompt_training.data.split import split_patients

NAMES = [f"a{number}" for number in range(6)]
SHARES = (0.6, 0.2, 0.2)
SPLIT = split_patients(NAMES, 0, SHARES)


def prepared(folder: Path, empty: str, share: float = 0.0) -> Parts:
    """A dataset whose patients of the part ``empty`` have masks without a voxel, made ready."""
    for number, name in enumerate(NAMES):
        ball = Ball(8.0 + number)
        mask = ball.mask & (SPLIT[name] != empty)
        save_nifti(folder / "data" / "images" / f"{name}.nii.gz", ball.hu, ball)
        save_nifti(folder / "data" / "masks" / f"{name}.nii.gz", mask.astype(np.uint8), ball)
    recipe = DataRecipe.model_validate(
        {"options": {"kind": "ct", "structure": "GTV"}, "shares": SHARES, "slices": {"size": 32, "empty_share": share}}
    )
    return prepare(recipe, folder / "data", folder / "cache", folder / "manifest.json")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_test_part_without_the_structure_is_none_and_noted(tmp_path: Path, share: float) -> None:
    with collected_notes() as notes:
        parts = prepared(tmp_path, "test", share)
    assert parts.test is None
    assert parts.validation is not None
    assert len(parts.train) > 0
    assert any("test part" in said for said in notes)
    summary = read_manifest(tmp_path / "manifest.json")["summary"]
    assert summary["test"] == {"patients": 1, "cases": 1, "slices": {}, "empty_slices": {}}


@pytest.mark.parametrize("part", ["train", "validation"])
def test_training_or_validation_without_the_structure_is_refused_by_name(tmp_path: Path, part: str) -> None:
    with pytest.raises(StructureError, match=f"'GTV'.*{'validation part' if part == 'validation' else 'no slice'}"):
        prepared(tmp_path, part)
    assert not (tmp_path / "manifest.json").exists()
