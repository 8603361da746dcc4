"""The parameter node: what it holds, what it becomes in the worker's terms, and that it survives saving."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import slicer
from panel_patient import Patient, add_contours, add_volume, voxels
from samprompt.contract.errors import ParameterError
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.worker import PropagateJob
from SAMPropagationLib import parameters as module


def leaves(values: dict, prefix: str = "") -> dict[str, Any]:
    """The values of nested dictionaries by dotted path, pairs by index."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{prefix}{name}.")
        elif isinstance(value, (tuple, list)):
            found |= {f"{prefix}{name}[{n}]": each for n, each in enumerate(value)}
        else:
            found[prefix + name] = value
    return found


def test_an_untouched_panel_asks_for_exactly_the_defaults_of_the_contract(logic: Any) -> None:
    p = logic.getParameterNode()
    assert module.propagationParameters(p) == PropagationParameters()
    job = PropagateJob.__dataclass_fields__
    assert (p.model, p.device, p.threads) == tuple(job[name].default for name in ("model", "device", "threads"))
    assert not module.isAdvancedChanged(p)


@pytest.mark.parametrize("name", list(module.ADVANCED))
def test_an_advanced_field_sets_its_own_parameter_and_no_other(logic: Any, name: str) -> None:
    p = logic.getParameterNode()
    before = getattr(p, name)
    # the lower end of the range of points is 1, so the upper one goes up
    value = before + 1 if isinstance(before, int) else round(before * 0.5, 3)
    setattr(p, name, value)
    defaults, now = (leaves(asdict(each)) for each in (PropagationParameters(), module.propagationParameters(p)))
    changed = {path: now[path] for path in now if now[path] != defaults[path]}
    assert changed == {module.ADVANCED[name]: value}
    assert module.isAdvancedChanged(p)
    module.resetAdvanced(p)
    assert module.propagationParameters(p) == PropagationParameters()


def test_fewer_points_than_the_ranges_lower_end_bring_that_down_too(logic: Any) -> None:
    p = logic.getParameterNode()
    p.positivePoints = 1
    assert module.propagationParameters(p).prompting.positive_parts == (1, 1)


@pytest.mark.parametrize("preset", module.PRESETS)
def test_the_preset_is_the_workers_grey_level_window(logic: Any, preset: str) -> None:
    p = logic.getParameterNode()
    p.preset = preset
    assert module.propagationParameters(p).window == preset


def test_a_preset_or_method_that_does_not_exist_is_named(logic: Any) -> None:
    logic.setFields(preset="liver")
    with pytest.raises(ParameterError, match="liver"):
        module.propagationParameters(logic.getParameterNode())
    logic.setFields(preset="auto", method="magic")
    with pytest.raises(ParameterError, match="magic"):
        module.propagationParameters(logic.getParameterNode())


def test_followups_hold_each_volume_once_and_no_nothing(logic: Any, patient: Patient) -> None:
    one, two = patient.followups
    logic.setFields(followUps=[two, None, one, two])
    assert module.followUps(logic.getParameterNode()) == [two, one]


def test_a_deleted_followup_is_no_longer_chosen(logic: Any, patient: Patient, chosen: Any) -> None:
    slicer.mrmlScene.RemoveNode(patient.followups[0])
    assert module.followUps(chosen) == [patient.followups[1]]


def test_structures_are_chosen_by_id_or_by_name(logic: Any, patient: Patient, chosen: Any) -> None:
    logic.setFields(segments=["Node"])
    assert module.chosenSegments(chosen) == (patient.ids["Node"],)
    logic.setFields(segments=[patient.ids["Lesion"]])
    assert module.chosenSegments(chosen) == (patient.ids["Lesion"],)
    logic.setFields(segments=None)
    assert module.chosenSegments(chosen) is None
    logic.setFields(segments=[])
    assert module.chosenSegments(chosen) == ()


def test_a_structure_that_is_not_there_is_named_and_nothing_is_chosen(logic: Any, chosen: Any) -> None:
    with pytest.raises(ParameterError, match="Spleen"):
        logic.setFields(segments=["Lesion", "Spleen"])
    assert module.chosenSegments(chosen) is None


def test_a_misspelt_field_is_named_and_changes_nothing(logic: Any, patient: Patient) -> None:
    with pytest.raises(ParameterError, match="basline"):
        logic.setFields(basline=patient.baseline, baselineVolume=patient.baseline)
    assert logic.getParameterNode().baselineVolume is None


def test_everything_that_was_chosen_survives_saving_and_loading_the_scene(
    logic: Any, patient: Patient, chosen: Any, tmp_path: Path
) -> None:
    odd = 'C:\\weights "new"|ä <1>.pth'
    logic.setFields(
        segments=["Node"], weightsPath=odd, preset="soft tissue", method="rigid", threads=3, device="cpu", trustLow=0.37
    )
    path = tmp_path / "scene.mrml"
    for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode"):
        slicer.util.saveNode(node, str(tmp_path / f"{node.GetName()}.nrrd"))
    slicer.util.saveNode(patient.contours, str(tmp_path / "Contours.seg.nrrd"))
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    assert logic.getParameterNode().weightsPath == ""
    assert slicer.util.loadScene(str(path))
    p = logic.getParameterNode()
    assert p.baselineVolume.GetName() == "Baseline"
    assert p.baselineSegmentation.GetName() == "Contours"
    assert [node.GetName() for node in module.followUps(p)] == ["March", "June"]
    assert module.chosenSegments(p) == (patient.ids["Node"],)
    assert (p.weightsPath, p.preset, p.method, p.threads, p.device, p.trustLow) == (
        odd, "soft tissue", "rigid", 3, "cpu", 0.37,
    )  # fmt: skip


def test_a_reference_knows_its_visit_by_its_geometry(logic: Any, patient: Patient, chosen: Any) -> None:
    march = patient.followups[0]
    drawn = add_contours("By hand", march, {"Lesion": voxels() > 40})
    logic.setFields(references=[drawn])
    assert module.references(chosen) == [(march, drawn)]
    module.removeReference(chosen, drawn)
    assert module.references(chosen) == []


def test_a_reference_without_a_visit_is_no_reference(logic: Any, chosen: Any) -> None:
    stray = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Stray")
    logic.setFields(references=[stray])
    assert module.references(chosen) == []


def test_deleting_one_reference_leaves_the_others_with_their_own_visits(
    logic: Any, patient: Patient, chosen: Any
) -> None:
    drawn = [
        add_contours(f"By hand {n}", volume, {"Lesion": voxels() > 40}) for n, volume in enumerate(patient.followups)
    ]
    logic.setFields(references=drawn)
    slicer.mrmlScene.RemoveNode(drawn[0])
    assert module.references(chosen) == [(patient.followups[1], drawn[1])]


def test_a_second_patient_in_the_scene_changes_nothing(logic: Any, chosen: Any) -> None:
    add_volume("Other", voxels(), "20210901", patient="Miller")
    assert [node.GetName() for node in module.followUps(chosen)] == ["March", "June"]
