"""Results out of the scene: .seg.nrrd always, DICOM SEG and RTSTRUCT through Slicer's plugins where they are."""

from dataclasses import dataclass
from pathlib import Path

import slicer
from samprompt.contract.errors import EnvironmentProblem, InputError, OutputError
from slicer.i18n import tr as _

from SAMPropagationLib.results import segmentOf, volumeOf

# Which plugin of the DICOM module writes what. DICOM SEG: part of Slicer 5.12, of QuantitativeReporting before.
_PLUGINS = {"dicom-seg": "DICOMSegmentationPlugin", "rtstruct": "DicomRtImportExportPlugin"}


@dataclass(frozen=True)
class ExportChoice:
    """A way out of the scene: ``kind`` "seg.nrrd", "dicom-seg" or "rtstruct"; where it is not ``available``, ``hint``
    says what is missing."""

    kind: str
    title: str
    available: bool
    hint: str = ""


def exportChoices() -> list[ExportChoice]:
    """What results can be exported as in this Slicer."""
    seg, rt = _plugin("dicom-seg") is not None, _plugin("rtstruct") is not None
    return [
        ExportChoice("seg.nrrd", _("Segmentation file (.seg.nrrd)"), True),
        ExportChoice("dicom-seg", _("DICOM SEG"), seg, "" if seg else _missing("dicom-seg")),
        ExportChoice("rtstruct", _("DICOM RTSTRUCT"), rt, "" if rt else _missing("rtstruct")),
    ]


def export(row, kind: str, folder) -> list[str]:
    """Write the row's segmentation (all structures of the visit) into ``folder``; the files that were written.

    Raises:
        InputError: the result is gone, or DICOM export lacks what it needs (the text says what).
        OutputError: the folder cannot be written.
        EnvironmentProblem: what writes this kind is not in this Slicer.
    """
    node, segment = segmentOf(row)
    if segment is None:
        raise InputError(_("The result is no longer in the scene."), _("Carry the contours again."))
    target = Path(folder)
    if not target.is_dir():
        raise OutputError(_("There is no folder {folder}.").format(folder=target), _("Choose a folder that exists."))
    if kind == "seg.nrrd":
        return [_writeFile(node, target)]
    if kind not in _PLUGINS:
        raise InputError(_('Results cannot be written as "{kind}".').format(kind=kind))
    if _plugin(kind) is None:
        raise EnvironmentProblem(_("This Slicer cannot write {kind}.").format(kind=_title(kind)), _missing(kind))
    return _writeDicom(kind, node, volumeOf(row), target)


def _writeFile(node, folder: Path) -> str:
    """Write beside, then rename: an existing file is replaced only by a whole one.

    Through a storage node of its own: the node's would remember the file, and saving the scene would write there.
    """
    path = folder / f"{fileName(node.GetName())}.seg.nrrd"
    part = folder / f".{path.name.removesuffix('.seg.nrrd')}.part.seg.nrrd"
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(part))
    try:
        if not storage.WriteData(node) or not part.is_file():
            raise OSError(_("the writer failed"))
        part.replace(path)
    except OSError as error:
        raise OutputError(
            _("{path} cannot be written: {error}.").format(path=path, error=error.strerror or error),
            _("Check the free space and your permission to write there."),
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def fileName(name: str) -> str:
    """A name that every file system takes."""
    kept = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in name).strip(" .")
    return kept or "result"


def _writeDicom(kind: str, node, volume, folder: Path) -> list[str]:
    if volume is None or not volume.GetAttribute("DICOM.instanceUIDs"):
        raise InputError(
            _("DICOM export needs the visit as it was loaded from DICOM; {visit} was not.").format(
                visit=volume.GetName() if volume is not None else node.GetName()
            ),
            _("Load the visit from the DICOM database, or export as .seg.nrrd."),
        )
    before = set(folder.iterdir())
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    plugin = _plugin(kind)()
    exportables = []
    # An RTSTRUCT refers to its image, which the plugin wants beside it.
    for each in [node] if kind == "dicom-seg" else [volume, node]:
        exportables += plugin.examineForExport(hierarchy.GetItemByDataNode(each))
    if not exportables:
        raise InputError(
            _("{name} cannot be exported as {kind}.").format(name=node.GetName(), kind=_title(kind)),
            _("Its images may be missing from the DICOM database."),
        )
    for exportable in exportables:
        exportable.directory = str(folder)
        if exportable.tag("Modality") in ("SEG", "RTSTRUCT"):
            exportable.setTag("SeriesDescription", node.GetName())
    message = plugin.export(exportables)
    if message:
        raise InputError(str(message), _("The details are in Slicer's error log."))
    return sorted(str(path) for path in set(folder.iterdir()) - before)


def _plugin(kind: str):
    """The class of the DICOM module's plugin; None where it is not installed."""
    return getattr(slicer.modules, "dicomPlugins", {}).get(_PLUGINS[kind])


def _title(kind: str) -> str:
    return {"dicom-seg": "DICOM SEG", "rtstruct": "DICOM RTSTRUCT"}[kind]


def _missing(kind: str) -> str:
    if kind == "dicom-seg":
        return _("Needs Slicer 5.12 or later, or the extension QuantitativeReporting (Extensions Manager).")
    return _("Needs the extension SlicerRT (Extensions Manager).")
