"""What kind of image a volume is, as DICOM or the scene says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import slicer

from SAMPromptCommonLib.hierarchy import itemAttribute

_MODALITY = "DICOM.Modality"
_TAG = "0008,0060"
# DICOM's codes for what a value means or is counted in, as Slicer's loaders put them on the volume.
_MEANINGS = {"110852": "MR", "112031": "CT", "112034": "CT"}
_HOUNSFIELD = "hnsf'U"
# A CT shows air or at least fat below this; MR images have no values below it (the same rule as for files).
_CT_BELOW_HU = -50.0


def volumeModality(volumeNode: Any) -> str:
    """ "CT" or "MR" where DICOM or the volume's own attributes say so, "" for any other kind and where nothing does."""
    found = _said(volumeNode)
    return found if found in ("CT", "MR") else ""


def guessedModality(volumeNode: Any, lowest: float) -> str:
    """``volumeModality``, or "CT" when nothing is said and the volume's ``lowest`` value is one only CT has."""
    said = _said(volumeNode)
    if said:
        return said if said in ("CT", "MR") else ""
    return "CT" if lowest < _CT_BELOW_HU else ""


def _said(volumeNode: Any) -> str:
    """DICOM's modality of any kind in capitals, "" when nothing tells it."""
    return (
        _clean(volumeNode.GetAttribute(_MODALITY))
        or _clean(itemAttribute(volumeNode, _MODALITY))
        or _ofDatabase(volumeNode)
        or _ofUnits(volumeNode)
    )


def _clean(text: Any) -> str:
    return str(text or "").strip().upper()


def _ofDatabase(volumeNode: Any) -> str:
    database = getattr(slicer, "dicomDatabase", None)
    uids = str(volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not uids:
        return ""
    with suppress(Exception):  # a database that is closed, moved or of an older layout must not stop anybody
        file = database.fileForInstance(uids[0])
        return _clean(database.fileValue(file, _TAG)) if file else ""
    return ""


def _ofUnits(volumeNode: Any) -> str:
    quantity = volumeNode.GetVoxelValueQuantity() if hasattr(volumeNode, "GetVoxelValueQuantity") else None
    if quantity is not None and quantity.GetCodeValue() in _MEANINGS:
        return _MEANINGS[quantity.GetCodeValue()]
    units = volumeNode.GetVoxelValueUnits() if hasattr(volumeNode, "GetVoxelValueUnits") else None
    return "CT" if units is not None and units.GetCodeValue() in (_HOUNSFIELD, "[hnsf'U]") else ""
