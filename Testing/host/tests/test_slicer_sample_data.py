"""SampleData: an extension's own source, made locally, and its button."""

import hashlib

import numpy as np
import pytest
import SampleData
import slicer


def register(**overrides):
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        **{
            "category": "SAMPromptTools",
            "sampleName": "DemoPatient",
            "uris": "local://demo",
            "fileNames": "demo.nrrd",
            "nodeNames": "Demo",
            **overrides,
        }
    )


def test_a_source_is_registered_once(host):
    register()
    register()
    assert len(slicer.modules.sampleDataSources["SAMPromptTools"]) == 1
    logic = SampleData.SampleDataLogic()
    source = logic.sourceForSampleName("DemoPatient")
    assert logic.categoryForSource(source) == "SAMPromptTools"
    assert source.sampleDescription == "DemoPatient"


def test_the_next_test_finds_no_source(host):
    assert SampleData.SampleDataLogic().sourceForSampleName("DemoPatient") is None
    with pytest.raises(ValueError, match="DemoPatient"):
        host.click_sample_data("DemoPatient")


def test_the_button_calls_the_custom_downloader_with_the_source(host):
    seen = []
    register(customDownloader=lambda source: seen.append(source.sampleName) or "made")
    assert host.click_sample_data("DemoPatient") == "made"
    assert seen == ["DemoPatient"]


def test_downloading_by_name_does_not_ask_the_custom_downloader_as_in_slicer(host):
    seen = []
    register(customDownloader=seen.append)
    assert SampleData.downloadSamples("DemoPatient") == []
    assert seen == []


def test_a_file_is_loaded_under_the_name_of_its_node_without_a_storage_node(host, tmp_path):
    ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(ct, np.ones((2, 3, 4), np.int16))
    path = tmp_path / "demo.nrrd"
    slicer.util.saveNode(ct, str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    register(uris=path.as_uri(), checksums=f"SHA256:{digest}")
    node = SampleData.downloadSample("DemoPatient")
    assert node.GetName() == "Demo"
    assert node.GetStorageNode() is None
    assert slicer.util.arrayFromVolume(node).sum() == 24


def test_a_wrong_checksum_gives_nothing(host, tmp_path):
    (tmp_path / "demo.nrrd").write_text("not what was promised")
    register(uris=(tmp_path / "demo.nrrd").as_uri(), checksums="SHA256:" + "0" * 64)
    assert SampleData.downloadSamples("DemoPatient") == []


def test_lists_of_different_lengths_are_refused(host):
    with pytest.raises(ValueError, match="same length"):
        register(uris=["a", "b"], fileNames=["a", "b"], nodeNames=["only one"])


def test_an_unknown_name_gives_an_empty_list(host):
    assert SampleData.downloadSamples("NoSuchSample") == []
