"""What makes a folder of images and masks the raw data of nnU-Net, version 2."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path


def describe_dataset(
    folder: Path,
    cases: int,
    labels: Mapping[str, int | Sequence[int]],
    channels: Sequence[str] = ("CT",),
    ending: str = ".nii.gz",
) -> None:
    """Write ``dataset.json``: labels without the background (a list of them is a region), channels in their order."""
    described = {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": {"background": 0, **labels},
        "numTraining": cases,
        "file_ending": ending,
    }
    (folder / "dataset.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
