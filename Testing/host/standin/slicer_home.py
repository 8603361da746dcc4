"""The application's folder: where Slicer looks for terminologies and colour tables, and where PythonSlicer lies.

The wheel brings no such files. The terminologies written here are small: the codes (SNOMED CT, as used by DICOM) that
segments of a CT need, in the file format and under the names of Slicer's own lists.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

GENERAL_ANATOMY = "Segmentation category and type - 3D Slicer General Anatomy list"
DICOM_MASTER = "Segmentation category and type - DICOM master list"
REGIONS = "Anatomic codes - DICOM master list"

# Category -> (code, whether a region belongs to it, types: meaning, code, Slicer's label, colour).
CATEGORIES = {
    "Tissue": ("85756007", True, [("Tissue", "85756007", "tissue", (128, 174, 128))]),
    "Anatomical Structure": (
        "123037004",
        False,
        [
            ("Liver", "10200004", "liver", (221, 130, 101)),
            ("Lung", "39607008", "lung", (197, 165, 145)),
            ("Kidney", "64033007", "kidney", (185, 102, 83)),
            ("Spleen", "78961009", "spleen", (157, 108, 162)),
            ("Heart", "80891009", "heart", (206, 110, 84)),
            ("Lymph node", "59441001", "lymph node", (68, 172, 100)),
            ("Bone", "272673000", "bone", (241, 214, 145)),
            ("Aorta", "15825003", "aorta", (224, 97, 76)),
        ],
    ),
    "Morphologically Altered Structure": (
        "49755003",
        True,
        [
            ("Mass", "4147007", "mass", (144, 238, 144)),
            ("Nodule", "27925004", "nodule", (90, 140, 90)),
            ("Neoplasm, Primary", "86049000", "tumor", (200, 90, 90)),
            ("Lesion", "52988006", "lesion", (238, 216, 174)),
        ],
    ),
}
ANATOMIC_REGIONS = {"Liver": "10200004", "Lung": "39607008", "Kidney": "64033007", "Lymph node": "59441001"}
LATERALITY = {"Right": "24028007", "Left": "7771000"}


def _coded(meaning: str, value: str) -> dict[str, str]:
    return {"CodeMeaning": meaning, "CodingSchemeDesignator": "SCT", "CodeValue": value}


def _segmentation_context(name: str) -> dict:
    categories = [
        {
            **_coded(meaning, code),
            "showAnatomy": region,
            "Type": [
                {**_coded(kind, value), "3dSlicerLabel": label, "recommendedDisplayRGBValue": list(colour)}
                for kind, value, label, colour in types
            ],
        }
        for meaning, (code, region, types) in CATEGORIES.items()
    ]
    return {
        "SegmentationCategoryTypeContextName": name,
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/segment-context-schema.json#",
        "SegmentationCodes": {"Category": categories},
    }


def _region_context() -> dict:
    sides = [_coded(side, code) for side, code in LATERALITY.items()]
    return {
        "AnatomicContextName": REGIONS,
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/anatomic-context-schema.json#",
        "AnatomicCodes": {
            "AnatomicRegion": [
                {**_coded(region, code), "Modifier": sides} for region, code in sorted(ANATOMIC_REGIONS.items())
            ]
        },
    }


def make_home(folder: Path, version: str) -> Path:
    """Fill an empty folder as the application's home and answer with it; `version` is "5.8" or "5.12"."""
    terminologies = folder / "share" / f"Slicer-{version}" / "qt-loadable-modules" / "Terminologies"
    terminologies.mkdir(parents=True)
    (folder / "share" / f"Slicer-{version}" / "ColorFiles").mkdir()
    for stem, content in {
        "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy": _segmentation_context(GENERAL_ANATOMY),
        "SegmentationCategoryTypeModifier-DICOM-Master": _segmentation_context(DICOM_MASTER),
        "AnatomicRegionAndModifier-DICOM-Master": _region_context(),
    }.items():
        (terminologies / f"{stem}.term.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    python = folder / "bin" / "PythonSlicer"
    python.parent.mkdir()
    # The real one is a launcher, too: it starts another process, so that killing it alone leaves Python running.
    python.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n', encoding="utf-8")
    os.chmod(python, 0o755)
    return folder
