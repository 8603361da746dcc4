"""slicer.app: the lines of pythonqt_facts.md about the application, and that it refuses what it does not have."""

import importlib
import inspect
import sys

import pytest
import qt
import slicer


def test_without_a_main_window_there_is_no_layout_manager_and_no_window(host_without_main_window):
    assert slicer.util.mainWindow() is None
    assert slicer.app.mainWindow() is None
    assert slicer.app.layoutManager() is None
    assert slicer.app.commandOptions().noMainWindow is True
    with pytest.raises(RuntimeError, match="main window"):
        slicer.util.selectModule("Data")


def test_with_a_main_window_slicer_util_finds_it_by_name(host):
    assert slicer.util.mainWindow().objectName == "qSlicerMainWindow"
    assert slicer.app.mainWindow() is not None
    assert slicer.app.layoutManager() is not None
    assert slicer.app.commandOptions().noMainWindow is False


def test_the_window_can_come_and_go_within_a_process(host):
    host.main_window = False
    assert slicer.util.mainWindow() is None
    host.main_window = True
    assert slicer.util.mainWindow() is not None


def test_it_is_5_8_1_unless_another_version_is_played(host):
    assert slicer.app.applicationVersion == "5.8.1-2025-03-02"
    assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 8)
    host.restart(version="5.12")
    assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 12)
    assert slicer.app.applicationVersion.startswith("5.12.")


def test_a_version_that_nobody_wrote_is_refused(host):
    with pytest.raises(ValueError, match=r"5\.8 and 5\.12"):
        host.restart(version="4.11")


def test_5_8_has_no_packaging_and_a_console_process_that_blocks(host):
    with pytest.raises(ModuleNotFoundError, match=r"slicer\.packaging"):
        importlib.import_module("slicer.packaging")
    assert not hasattr(slicer, "packaging")
    signature = str(inspect.signature(slicer.util.launchConsoleProcess))
    assert signature == "(args, useStartupEnvironment=True, updateEnvironment=None, cwd=None)"


def test_5_12_has_packaging_and_a_console_process_that_need_not_block(host):
    host.restart(version="5.12")
    assert importlib.import_module("slicer.packaging") is slicer.packaging
    assert "blocking" in inspect.signature(slicer.util.launchConsoleProcess).parameters


def test_signals_of_the_application_connect_and_a_wrong_name_answers_false_and_raises_nothing(host, capsys):
    assert slicer.app.connect("startupCompleted()", lambda: None) is True
    assert slicer.app.aboutToQuit.connect(lambda: None) is True
    assert slicer.app.connect("aboutToQuitt()", lambda: None) is False
    assert "does not exist" in capsys.readouterr().err


def test_quitting_tells_those_who_asked(host):
    heard = []
    slicer.app.connect("aboutToQuit()", lambda: heard.append("quit"))
    host.quit()
    assert heard == ["quit"]


def test_a_disconnected_slot_hears_nothing(host):
    heard = []

    def slot():
        heard.append(1)

    slicer.app.connect("aboutToQuit()", slot)
    assert slicer.app.disconnect("aboutToQuit()", slot) is True
    assert slicer.app.disconnect("aboutToQuit()", slot) is False
    host.quit()
    assert heard == []


def test_what_the_application_does_not_have_raises_as_in_pythonqt(host):
    with pytest.raises(AttributeError, match="qSlicerApplication has no attribute named 'nonsense'"):
        slicer.app.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        slicer.app.nonsense = 1
    with pytest.raises(AttributeError):
        slicer.app.applicationVersion = "6"


def test_what_the_application_has_and_the_stand_in_lacks_is_said_clearly(host):
    with pytest.raises(NotImplementedError, match="pythonConsole"):
        slicer.app.pythonConsole  # noqa: B018


def test_a_module_that_is_not_there_raises_attribute_error(host):
    with pytest.raises(AttributeError, match="moduleNames"):
        slicer.modules.nosuchmodule  # noqa: B018
    assert slicer.app.moduleManager().module("NoSuchModule") is None
    with pytest.raises(RuntimeError, match="Could not find module"):
        slicer.util.getModule("NoSuchModule")


def test_testing_mode_is_a_switch(host):
    assert slicer.app.testingEnabled() is False
    host.testing = True
    assert slicer.app.testingEnabled() is True
    assert slicer.util.confirmOkCancelDisplay("asks nobody") in (True, False)
    assert host.messages == []


def test_settings_are_private_to_the_process_and_empty_in_each_test(host):
    assert slicer.app.userSettings().value("SAMPromptTools/Python") is None
    slicer.app.userSettings().setValue("SAMPromptTools/Python", "/usr/bin/python3")
    assert qt.QSettings().value("SAMPromptTools/Python") == "/usr/bin/python3"
    assert slicer.util.settingsValue("SAMPromptTools/Python", "") == "/usr/bin/python3"
    assert slicer.app.slicerUserSettingsFilePath.startswith(host.settings_folder.name)


def test_settings_of_the_test_before_are_gone(host):
    assert slicer.app.userSettings().value("SAMPromptTools/Python") is None


def test_python_slicer_is_found_on_the_path_and_runs_python(host):
    import shutil
    import subprocess

    python = shutil.which("PythonSlicer")
    assert python is not None
    assert python.startswith(slicer.app.slicerHome)
    answer = subprocess.run([python, "-c", "print(6 * 7)"], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == "42"


def test_the_temporary_path_is_there_and_takes_text_only(host, tmp_path):
    import os

    assert os.path.isdir(slicer.app.temporaryPath)
    slicer.app.temporaryPath = str(tmp_path)
    assert slicer.app.applicationLogic().GetTemporaryPath() == str(tmp_path)
    with pytest.raises(AttributeError, match="does not accept an object of type"):
        slicer.app.temporaryPath = tmp_path


def test_each_test_finds_an_empty_scene(host):
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "left for the next test")


def test_the_scene_of_the_test_before_is_gone(host):
    assert slicer.util.getNodes("left for*") == {}
    assert slicer.app.mrmlScene() is slicer.mrmlScene
    assert slicer.app.applicationLogic().GetMRMLScene() is slicer.mrmlScene


def test_module_logics_are_connected_to_the_scene(host):
    for name in ("Volumes", "Segmentations", "SubjectHierarchy", "Markups", "Plots", "Sequences", "Terminologies"):
        logic = slicer.util.getModuleLogic(name)
        assert logic.GetMRMLScene() is slicer.mrmlScene, name
        assert logic is getattr(slicer.modules, name.lower()).logic()
        assert logic.GetMRMLApplicationLogic() is slicer.app.applicationLogic()


def test_the_logic_of_the_segment_editor_is_there_in_5_12_only(host):
    assert slicer.modules.segmenteditor.logic() is None
    host.restart(version="5.12")
    assert slicer.modules.segmenteditor.logic().GetClassName() == "vtkSlicerSegmentEditorLogic"


def test_restart_and_exit_are_recorded_and_not_carried_out(host):
    slicer.app.restart()
    slicer.app.exit(3)
    assert host.requests == [("restart",), ("exit", 3)]


def test_importing_the_stand_in_again_gives_the_same_host(host):
    import standin

    assert standin.install() is host
    assert sys.modules["qt"] is qt


def test_an_error_display_shows_its_text_once(host):
    slicer.util.errorDisplay("The volume has no voxels.")
    assert host.messages == ["The volume has no voxels."]


def test_without_a_main_window_error_displays_are_only_logged(host_without_main_window):
    slicer.util.errorDisplay("Nobody sees this.")
    assert host_without_main_window.messages == []


def test_a_question_gets_the_queued_answer(host):
    host.answers.append(qt.QMessageBox.Yes)
    assert slicer.util.confirmYesNoDisplay("Continue?") is True
    host.answers.append(qt.QMessageBox.No)
    assert slicer.util.confirmYesNoDisplay("Continue?") is False
