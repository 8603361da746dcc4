"""DICOM export plugins: absent unless their extension is there, and strict about what they are given."""

import sys

import numpy as np
import pytest
import slicer


@pytest.fixture
def visit(host):
    """A volume and a segmentation below a study; their items in the hierarchy."""
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "P"), "S")
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(ct, np.zeros((2, 3, 4), np.int16))
    contours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    contours.GetSegmentation().AddEmptySegment("lesion", "Lesion")
    items = tree.GetItemByDataNode(ct), tree.GetItemByDataNode(contours)
    for item in items:
        tree.SetItemParent(item, study)
    return items


def refer(item, *uids):
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMReferencedInstanceUIDsAttributeName()
    slicer.mrmlScene.GetSubjectHierarchyNode().SetItemAttribute(item, attribute, " ".join(uids))
    for uid in uids:
        slicer.dicomDatabase.files[uid] = f"/data/{uid}.dcm"


def test_without_extensions_there_is_no_plugin(host):
    assert slicer.modules.dicomPlugins == {}
    for name in ("DICOMSegmentationPlugin", "DicomRtImportExportPlugin"):
        with pytest.raises(ModuleNotFoundError):
            __import__(name)


def test_5_12_writes_dicom_seg_by_itself(host):
    host.restart(version="5.12")
    assert set(slicer.modules.dicomPlugins) == {"DICOMSegmentationPlugin"}
    assert not slicer.app.extensionsManagerModel().isExtensionInstalled("QuantitativeReporting")


def test_dicom_seg_wants_referenced_instances_of_the_database(host, visit, tmp_path):
    host.install_extension("QuantitativeReporting")
    _, contours = visit
    plugin = slicer.modules.dicomPlugins["DICOMSegmentationPlugin"]()
    (exportable,) = plugin.examineForExport(contours)
    exportable.directory = str(tmp_path)
    assert "reference" in plugin.export([exportable])
    assert list(tmp_path.iterdir()) == []
    refer(contours, "1.2.3", "1.2.4")
    assert plugin.export([exportable]) == ""
    assert [path.suffix for path in tmp_path.iterdir()] == [".dcm"]
    del slicer.dicomDatabase.files["1.2.4"]
    assert plugin.examineForExport(contours) == []


def test_what_was_written_carries_the_tags_of_the_exportable(host, visit, tmp_path):
    import pydicom

    host.install_extension("SlicerRT")
    plugin = sys.modules["DicomRtImportExportPlugin"].DicomRtImportExportPluginClass()
    exportables = [one for item in visit for one in plugin.examineForExport(item)]
    for one in exportables:
        one.directory = str(tmp_path)
        one.setTag("SeriesDescription", "Carried contours")
    assert plugin.export(exportables) == ""
    written = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    assert {one.Modality for one in written} == {"CT", "RTSTRUCT"}
    assert {one.SeriesDescription for one in written} == {"Carried contours"}


def test_a_structure_set_without_its_image_or_study_is_refused(host, visit, tmp_path):
    host.install_extension("SlicerRT")
    volume, contours = visit
    plugin = slicer.modules.dicomPlugins["DicomRtImportExportPlugin"]()
    exportables = plugin.examineForExport(contours)
    assert "image" in plugin.export(exportables)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    tree.SetItemParent(contours, tree.GetSceneItemID())
    assert plugin.examineForExport(contours) == []
    assert plugin.examineForExport(volume) != []


def test_an_exportable_has_only_the_properties_of_the_real_one(host):
    exportable = slicer.qSlicerDICOMExportable()
    exportable.setTag("Modality", "SEG")
    assert exportable.tag("Modality") == "SEG"
    assert exportable.tag("Nonsense") == ""
    with pytest.raises(AttributeError, match="creating new attributes"):
        exportable.folder = "/tmp"


def test_the_extension_is_gone_in_the_next_test(host):
    assert slicer.modules.dicomPlugins == {}
    assert slicer.dicomDatabase.fileForInstance("1.2.3") == ""
