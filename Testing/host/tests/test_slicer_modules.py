"""Scripted modules: loaded, shown, left, reloaded and unloaded as in Slicer."""

import sys
from pathlib import Path

import pytest
import qt
import slicer

MODULES = Path(__file__).parent / "modules"


@pytest.fixture
def probe(host):
    """The host with the module StandInProbe on its path."""
    host.module_paths.insert(0, MODULES)
    yield host
    sys.modules.pop("StandInProbe", None)


def _fails(self):
    raise AssertionError("1 != 2")


def calls():
    return sys.modules["StandInProbe"].calls


def test_loading_publishes_the_module_and_its_metadata(probe):
    module = probe.load_module("StandInProbe")
    assert slicer.modules.standinprobe is module
    assert module.title == "Stand-in probe"
    assert module.categories == ("Segmentation",)
    assert module.name == "StandInProbe"
    assert slicer.util.modulePath("StandInProbe") == str(MODULES / "StandInProbe.py")
    assert slicer.modules.StandInProbeInstance.resourcePath("UI/x.ui") == str(MODULES / "Resources" / "UI" / "x.ui")
    assert "StandInProbe" in slicer.util.moduleNames()
    assert "online documentation" in module.helpText
    assert probe.load_module("StandInProbe") is module
    with pytest.raises(AttributeError):
        slicer.modules.StandInProbeWidget  # noqa: B018 - the panel does not exist before it is shown


def test_properties_of_the_module_are_typed_and_no_others_can_be_set(probe):
    module = probe.load_module("StandInProbe")
    with pytest.raises(AttributeError, match="QString"):
        module.title = 5
    with pytest.raises(AttributeError, match="QStringList"):
        module.categories = "Segmentation"
    with pytest.raises(AttributeError, match="creating new attributes"):
        module.titel = "misspelt"


def test_a_module_that_does_not_exist_is_named(probe):
    with pytest.raises(FileNotFoundError, match="NoSuchModule"):
        probe.load_module("NoSuchModule")


def test_a_module_that_fails_to_load_leaves_nothing(probe, tmp_path):
    (tmp_path / "Broken.py").write_text("raise RuntimeError('broken at import')\n")
    probe.module_paths.insert(0, tmp_path)
    with pytest.raises(RuntimeError, match="broken at import"):
        probe.load_module("Broken")
    assert "Broken" not in sys.modules
    assert not hasattr(slicer.modules, "broken")
    assert slicer.app.moduleManager().module("Broken") is None


def test_the_panel_is_set_up_once_and_entered(probe):
    widget = probe.open_module("StandInProbe")
    assert calls() == ["setup", "enter"]
    assert slicer.modules.StandInProbeWidget is widget
    assert slicer.util.getModuleWidget("StandInProbe") is widget
    assert slicer.util.getModuleLogic("StandInProbe") is widget.logic
    assert widget.button.visible
    probe.open_module("StandInProbe")
    assert calls() == ["setup", "enter"]


def test_selecting_another_module_leaves_the_first_and_coming_back_enters_again(probe):
    widget = probe.open_module("StandInProbe")
    slicer.util.selectModule("Segmentations")
    assert calls() == ["setup", "enter", "exit"]
    assert slicer.util.selectedModule() == "Segmentations"
    assert not widget.button.visible
    slicer.util.selectModule("StandInProbe")
    assert calls() == ["setup", "enter", "exit", "enter"]
    assert widget.button.visible


def test_selecting_an_unknown_or_hidden_module_changes_nothing(probe):
    probe.open_module("StandInProbe")
    slicer.util.selectModule("NoSuchModule")
    assert slicer.util.selectedModule() == "StandInProbe"
    probe.load_module("StandInProbe").hidden = True
    with pytest.raises(ValueError, match="cannot select"):
        probe.select_module("NoSuchModule")


def test_without_a_main_window_a_panel_is_a_window_of_its_own(host_without_main_window):
    host = host_without_main_window
    host.module_paths.insert(0, MODULES)
    widget = host.open_module("StandInProbe")
    assert widget.parent.visible
    host.select_module("Segmentations")
    assert calls()[-1] == "exit"
    sys.modules.pop("StandInProbe", None)


def test_closing_the_scene_is_observed_and_cleanup_ends_that(probe):
    probe.open_module("StandInProbe")
    probe.clear_scene()
    assert calls() == ["setup", "enter", "scene"]
    seen = calls()
    probe.quit()
    assert seen == ["setup", "enter", "scene", "exit", "cleanup"]
    probe.clear_scene()
    assert seen[-1] == "cleanup"
    assert not hasattr(slicer.modules, "StandInProbeWidget")
    assert not hasattr(slicer.modules, "standinprobe")


def test_reloading_makes_a_new_panel_from_the_new_source(probe):
    old = probe.open_module("StandInProbe")
    first = sys.modules["StandInProbe"]
    slicer.util.reloadScriptedModule("StandInProbe")
    assert first.calls[-1] == "cleanup"
    assert sys.modules["StandInProbe"] is not first
    new = slicer.modules.StandInProbeWidget
    assert new is not old
    assert type(new).__module__ == "StandInProbe"
    assert calls() == ["setup"]
    probe.select_module("Data")
    assert calls() == ["setup", "exit"]


def test_developer_mode_shows_reload_and_test(probe):
    qt.QSettings().setValue("Developer/DeveloperMode", True)
    widget = probe.open_module("StandInProbe")
    assert widget.reloadCollapsibleButton.text == "Reload && Test"
    widget.onTest()
    assert calls()[-1] == "tested"
    assert probe.messages == []


def test_without_developer_mode_there_is_no_reload_section(probe):
    widget = probe.open_module("StandInProbe")
    assert not hasattr(widget, "reloadCollapsibleButton")


def test_the_self_test_is_registered_and_a_failing_one_fails(probe):
    probe.load_module("StandInProbe")
    slicer.selfTests["StandInProbe"]()
    assert calls() == ["tested"]
    sys.modules["StandInProbe"].StandInProbeTest.test_arithmetic = _fails
    with pytest.raises(AssertionError):
        slicer.selfTests["StandInProbe"]()
    del sys.modules["StandInProbe"].StandInProbeTest
    with pytest.raises(AssertionError, match="StandInProbeTest"):
        slicer.selfTests["StandInProbe"]()


def test_a_panel_and_its_parameter_node_follow_each_other(probe):
    widget = probe.open_module("StandInProbe")
    assert widget.threads.value == 2
    widget.threads.value = 5
    assert widget.parameters.threads == 5
    widget.parameters.threads = 7
    assert widget.threads.value == 7


def test_a_parameter_node_survives_the_file_and_the_panel_shows_it_again(probe, tmp_path):
    probe.open_module("StandInProbe").parameters.threads = 6
    slicer.util.saveScene(str(tmp_path / "s.mrb"))
    probe.select_module("Data")
    probe.clear_scene()
    slicer.util.loadScene(str(tmp_path / "s.mrb"))
    widget = probe.open_module("StandInProbe")
    assert widget.parameters.threads == 6
    assert widget.threads.value == 6


def test_core_modules_have_logic_name_and_an_empty_panel(host):
    module = slicer.modules.segmentations
    assert module.name == "Segmentations"
    assert module.logic().GetClassName() == "vtkSlicerSegmentationsModuleLogic"
    assert slicer.util.getModuleWidget("Segmentations") is not None
    with pytest.raises(AttributeError):
        module.nonsense  # noqa: B018


def test_texts_keep_their_placeholders_in_translation(host, monkeypatch, caplog):
    from slicer.i18n import tr

    assert tr("{count} structures").format(count=3) == "3 structures"
    monkeypatch.setattr(type(slicer.app), "translate", lambda self, context, text: text.replace("count", "nombre"))
    assert tr("{count} structures").format(count=3) == "3 structures"
    assert "placeholders" in caplog.text
    assert tr("no placeholder") == "no placeholder"


def test_the_context_of_a_text_is_the_file_in_its_package(host, tmp_path):
    from slicer.i18n import getContext

    package = tmp_path / "SAMPropagationLib"
    package.mkdir()
    for name in ("__init__.py", "widget.py"):
        (package / name).write_text("")
    (tmp_path / "SAMPropagation.py").write_text("")
    assert getContext(str(package / "widget.py")) == "SAMPropagationLib.widget"
    assert getContext(str(tmp_path / "SAMPropagation.py")) == "SAMPropagation"
