"""DICOM export as far as a panel meets it: plugins that only an extension or a newer Slicer brings.

QuantitativeReporting (part of Slicer 5.12) writes DICOM SEG, SlicerRT writes RTSTRUCT. The stand-ins ask for what the
real ones ask for (a study above the item, referenced instances in the database, the image beside the contours) and
write small DICOM files with the tags of their exportables: enough to see that a panel calls them rightly, no images.
Followed: DICOMSegmentationPlugin.py of QuantitativeReporting, DicomRtImportExportPlugin.py of SlicerRT.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import slicer

from standin.slicer_strict import CppObject

EXTENSIONS = {"QuantitativeReporting": "DICOMSegmentationPlugin", "SlicerRT": "DicomRtImportExportPlugin"}


class DICOMExportable(CppObject):
    """qSlicerDICOMExportable: one series to be written."""

    _in_class = "qSlicerDICOMExportable"
    _in_writable = frozenset(
        ("name", "tooltip", "nodeID", "subjectHierarchyItemID", "pluginClass", "confidence", "directory")
    )
    _in_members = frozenset(("tags", "copy"))

    def __init__(self) -> None:
        super().__init__()
        self._in_tags: dict[str, str] = {}
        for name in ("name", "tooltip", "nodeID", "pluginClass", "directory"):
            setattr(self, name, "")
        self.subjectHierarchyItemID = 0
        self.confidence = 0.0

    def setTag(self, name: str, value: str) -> None:
        self._in_tags[name] = value

    def tag(self, name: str) -> str:
        """Empty for a tag that was not set."""
        return self._in_tags.get(name, "")


class DICOMDatabase:
    """slicer.dicomDatabase: which files hold which instances; `files` is filled by the test."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def fileForInstance(self, uid: str) -> str:
        """Empty for an instance that is not in the database."""
        return self.files.get(uid, "")


def prepare(host: Any) -> None:
    """What is there without any extension: an empty database and no plugin that exports structures."""
    slicer.qSlicerDICOMExportable = DICOMExportable
    slicer.dicomDatabase = DICOMDatabase()
    slicer.modules.dicomPlugins = {}
    for extension in EXTENSIONS:
        switch(host, extension, present=False)
    if host.version == "5.12":
        switch(host, "QuantitativeReporting", present=True)
        host.extensions.discard("QuantitativeReporting")  # there it is part of Slicer


def switch(host: Any, extension: str, present: bool) -> None:
    """Make the extension's plugin importable and known to the DICOM module, or take it away."""
    name = EXTENSIONS[extension]
    plugin_class = {"QuantitativeReporting": SegmentationPlugin, "SlicerRT": RadiotherapyPlugin}[extension]
    if present:
        module = types.ModuleType(name)
        setattr(module, f"{name}Class", plugin_class)
        sys.modules[name] = module
        slicer.modules.dicomPlugins[name] = plugin_class
        host.extensions.add(extension)
    else:
        sys.modules.pop(name, None)
        slicer.modules.dicomPlugins.pop(name, None)
        host.extensions.discard(extension)


class SegmentationPlugin:
    """DICOMSegmentationPluginClass: one DICOM SEG per segmentation."""

    loadType = "DICOMSegmentation"

    def examineForExport(self, subjectHierarchyItemID: int) -> list:
        """One exportable for a segmentation whose referenced instances are all in the database; none otherwise."""
        node = _node(subjectHierarchyItemID)
        if node is None or not node.IsA("vtkMRMLSegmentationNode"):
            return []
        if not all(slicer.dicomDatabase.fileForInstance(uid) for uid in _references(subjectHierarchyItemID)):
            return []
        return [_exportable(self.loadType, "DICOMSegmentationPlugin", subjectHierarchyItemID, "SEG", node.GetName())]

    def export(self, exportables: list) -> str:
        """Empty when all were written, else what went wrong."""
        for one in exportables:
            if not _references(one.subjectHierarchyItemID):
                return "No DICOM reference files of the segmentation were found"
            segmentation = _node(one.subjectHierarchyItemID).GetSegmentation()
            if segmentation.GetNumberOfSegments() == 0:
                return "There are no segments that can be exported"
            _write(one)
        return ""


class RadiotherapyPlugin:
    """DicomRtImportExportPluginClass: an image and the contours on it, exported together."""

    loadType = "RT"

    def examineForExport(self, subjectHierarchyItemID: int) -> list:
        """One exportable for a segmentation or a volume that lies under a study; none otherwise."""
        node = _node(subjectHierarchyItemID)
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        study = hierarchy.GetItemAncestorAtLevel(subjectHierarchyItemID, "Study")
        if node is None or not study:
            return []
        if node.IsA("vtkMRMLSegmentationNode"):
            return [
                _exportable(
                    self.loadType, "DicomRtImportExportPlugin", subjectHierarchyItemID, "RTSTRUCT", node.GetName()
                )
            ]
        if node.IsA("vtkMRMLScalarVolumeNode") and not node.IsA("vtkMRMLLabelMapVolumeNode"):
            return [
                _exportable(self.loadType, "DicomRtImportExportPlugin", subjectHierarchyItemID, "CT", node.GetName())
            ]
        return []

    def export(self, exportables: list) -> str:
        """Empty when all were written, else what went wrong. A structure set without its image is refused."""
        if not any(one.tag("Modality") == "CT" for one in exportables):
            return "Must include the anatomical image in the export"
        for one in exportables:
            _write(one)
        return ""


def _node(item: int) -> Any:
    return slicer.mrmlScene.GetSubjectHierarchyNode().GetItemDataNode(item)


def _references(item: int) -> list[str]:
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMReferencedInstanceUIDsAttributeName()
    return slicer.mrmlScene.GetSubjectHierarchyNode().GetItemAttribute(item, attribute).split()


def _exportable(kind: str, plugin: str, item: int, modality: str, description: str) -> DICOMExportable:
    exportable = DICOMExportable()
    exportable.name, exportable.pluginClass, exportable.subjectHierarchyItemID = kind, plugin, item
    exportable.confidence = 1.0
    exportable.setTag("Modality", modality)
    exportable.setTag("SeriesDescription", description)
    exportable.setTag("SeriesNumber", "100")
    return exportable


def _write(exportable: DICOMExportable) -> None:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    if not Path(exportable.directory).is_dir():
        raise OSError(f"there is no folder {exportable.directory}")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    path = Path(exportable.directory) / f"{exportable.tag('Modality')}-{meta.MediaStorageSOPInstanceUID}.dcm"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = exportable.tag("Modality")
    dataset.SeriesDescription = exportable.tag("SeriesDescription")
    dataset.SeriesNumber = exportable.tag("SeriesNumber")
    dataset.save_as(path)
