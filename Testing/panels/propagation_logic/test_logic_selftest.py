"""The module as Slicer sees it: what it says of itself, its self-test, its sample data, and reloading."""

from __future__ import annotations

import sys
import unittest
from typing import Any

import pytest
import slicer


@pytest.fixture
def module(host: Any) -> Any:
    return host.load_module("SAMPropagation")


def test_the_module_introduces_itself(host: Any, module: Any) -> None:
    assert module.title == "Patient Propagation"
    assert list(module.categories) == ["Segmentation"]
    assert "esearch use only" in module.helpText
    assert module.acknowledgementText


def test_every_part_of_the_self_test_passes_with_the_real_worker(host: Any, module: Any, caplog: Any) -> None:
    caplog.set_level("INFO")
    host.testing = True
    slicer.selfTests["SAMPropagation"](msec=1)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_the_self_test_is_found_by_unittest_as_ctest_does_it(host: Any, module: Any) -> None:
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["SAMPropagation"])
    names = {test._testMethodName for group in suite for test in group}
    assert names == {"test_parameters", "test_problems", "test_geometry", "test_propagation"}


def test_without_the_packages_the_computing_part_is_skipped_and_the_rest_passes(
    host: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SAMPropagationLib import selftest

    monkeypatch.setattr(selftest, "missingPackages", lambda: ["torch"])
    host.testing = True
    shown: list[str] = []
    monkeypatch.setattr(selftest.SAMPropagationTest, "delayDisplay", lambda self, text, *_rest: shown.append(text))
    slicer.selfTests["SAMPropagation"](msec=1)
    assert shown == [
        "test_geometry: passed",
        "test_parameters: passed",
        "test_problems: passed",
        "test_propagation: skipped, the backend lacks torch",
    ]


def test_a_failing_part_fails_the_self_test(host: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from SAMPropagationLib import selftest

    monkeypatch.setattr(selftest, "missingPackages", lambda: ["torch"])
    monkeypatch.setattr(selftest, "phantom", lambda *_arguments, **_keywords: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        slicer.selfTests["SAMPropagation"](msec=1)


def test_the_demo_patient_is_offered_once_and_made_here(host: Any, module: Any) -> None:
    import SampleData

    slicer.app._in_emit("startupCompleted()")
    import SAMPropagation

    SAMPropagation.registerSampleData()  # and once more
    offered = SampleData.SampleDataLogic.sampleDataSourcesByCategory("SAMPromptTools")
    assert [source.sampleName for source in offered] == ["SAMPromptTools demo patient"]
    offered[0].customDownloader(offered[0])
    from SAMPromptCommonLib.client import WorkerClient
    from SAMPropagationLib.logic import SAMPropagationLogic

    baseline = slicer.mrmlScene.GetNthNodeByClass(0, "vtkMRMLScalarVolumeNode")
    logic = SAMPropagationLogic(client=WorkerClient.shared())
    later = logic.laterVolumes(baseline)
    assert len(later) == 3
    (contours,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    logic.setFields(baselineVolume=baseline, baselineSegmentation=contours, followUps=later, preset="soft tissue")
    assert logic.problems() == []
    logic.cleanup()
    WorkerClient.shared().dispose()


def test_reloading_brings_in_changed_libraries_and_leaves_a_working_panel(host: Any, module: Any) -> None:
    widget = host.open_module("SAMPropagation")
    before = sys.modules["SAMPropagationLib.logic"]
    widget.onReload()
    host.process_events(0.1)
    assert sys.modules["SAMPropagationLib.logic"] is not before
    fresh = slicer.modules.SAMPropagationWidget
    assert fresh is not widget
    assert type(fresh.logic) is sys.modules["SAMPropagationLib.logic"].SAMPropagationLogic
    assert fresh.logic.problems()
