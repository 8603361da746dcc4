"""A dataset, a built-in model and recipes, all small."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
import yaml
from nnunet_raw import describe_dataset
from samprompt.models.tiny import TinyModel, save_tiny
from samprompt_training.adapt.families import Family

sys.path.insert(0, str(Path(__file__).parent))

from small_models import FAMILIES, SMALL_TINY


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    """Every kind of network in turn, with a single mask as ``InteractiveAdaptation`` has it."""
    made = FAMILIES[request.param]()
    made.single_mask = True
    return made


@pytest.fixture
def own_tiny(tmp_path: Path, models_here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small network with random weights as the built-in model; the file."""
    folder = tmp_path / "own resources" / "models"
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    save_tiny(TinyModel(SMALL_TINY), folder / "tiny.safetensors")
    (folder / "catalogue.toml").write_text(
        '[[model]]\nname = "tiny"\narchitecture = "tiny"\nfile = "tiny.safetensors"\nbuiltin = true\n'
        'licence = "Apache-2.0"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(folder.parent))
    return folder / "tiny.safetensors"


@pytest.fixture
def lungs(tmp_path: Path) -> Path:
    """nnU-Net raw data: six small CTs with a bright ball in air."""
    folder = tmp_path / "Dataset001_Lungs"
    k, j, i = np.indices((8, 40, 40)).astype(float)
    rng = np.random.default_rng(0)
    for number in range(6):
        y, x, radius = rng.uniform(14, 26), rng.uniform(14, 26), rng.uniform(5, 8)
        ball = ((k - 3.5) * 2) ** 2 + (j - y) ** 2 + (i - x) ** 2 < radius**2
        image = np.where(ball, 40.0, -800.0) + rng.normal(0, 20, ball.shape)
        affine = np.diag([-2.0, -2.0, 4.0, 1.0])
        for kind, array in (("imagesTr", image.astype(np.float32)), ("labelsTr", ball.astype(np.uint8))):
            ending = "_0000.nii.gz" if kind == "imagesTr" else ".nii.gz"
            path = folder / kind / f"Case{number}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array.T, affine), path)
    describe_dataset(folder, 6, {"GTV": 1})
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path) -> Callable[..., Path]:
    """``recipe_file(key=value)``: a short recipe on the disk; values that are dictionaries replace parts of its own."""

    def write(**values: Any) -> Path:
        content: dict[str, Any] = {
            "seed": 1, "steps": 4, "batch": 2, "learning_rate": 0.003, "weight_decay": 0.01, "validate_every": 2,
            "checkpoint_every": 1, "log_every": 1, "workers": 0, "threads": 1, "drop_path": 0.0,
            "lora": {"rank": 2, "alpha": 2.0}, "interaction": {"iterations": 3},
            "data": {
                "layout": "nnunet", "shares": [0.5, 0.25, 0.25], "augmentation": None,
                "slices": {"size": 64, "empty_share": 0.5},
            },
        }  # fmt: skip
        for key, value in values.items():
            content[key] = content[key] | value if isinstance(value, dict) and content.get(key) else value
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    return write
