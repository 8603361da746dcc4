"""Timers, child processes, files and settings do what they do in Qt."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest


@pytest.fixture
def wait(installed_host):
    def until(predicate, timeout=10.0):
        assert installed_host.wait_until(predicate, timeout), "it did not come about"

    return until


def test_a_timer_runs_until_it_is_stopped(qt, wait):
    timer, ticks = qt.QTimer(), []
    timer.interval = 5
    timer.connect("timeout()", lambda: ticks.append(time.monotonic()))
    begun = time.monotonic()
    timer.start()
    assert timer.active
    assert timer.isActive()
    wait(lambda: len(ticks) >= 3)
    timer.stop()
    count = len(ticks)
    time.sleep(0.03)
    assert len(ticks) == count
    assert ticks[2] - begun >= 0.013  # three intervals, but for Qt's coarse clock


def test_a_single_shot_comes_once_and_only_when_events_run(qt, wait, installed_host):
    calls = []
    qt.QTimer.singleShot(0, lambda: calls.append(1))
    assert calls == []
    wait(lambda: calls)
    installed_host.process_events(0.03)
    assert calls == [1]


def test_a_child_process_is_read_while_it_runs(qt, wait):
    process, lines, ended = qt.QProcess(), [], []

    def read():
        while process.canReadLine():
            lines.append(process.readLine().data().decode())

    process.connect("readyReadStandardOutput()", read)
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.finished.connect(ended.append)  # Qt 5's first overload: finished(int), which Qt 6 has not
    process.start("/bin/sh", ["-c", "echo first; read answer; echo got $answer; exit 4"])
    assert process.waitForStarted(5000)
    wait(lambda: lines)
    assert lines == ["first\n"]
    assert process.state() == qt.QProcess.Running
    assert process.processId() > 0
    process.write("hello\n")
    wait(lambda: len(ended) == 2)
    assert lines == ["first\n", "got hello\n"]
    assert sorted(ended, key=str) == [(4, qt.QProcess.NormalExit), 4]
    assert process.state() == qt.QProcess.NotRunning


def test_a_killed_process_and_one_that_cannot_start_say_so(qt, wait):
    process, errors, ended = qt.QProcess(), [], []
    process.connect("errorOccurred(QProcess::ProcessError)", errors.append)
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append(status))
    process.start("/no/such/program", [])
    wait(lambda: errors)
    assert errors == [qt.QProcess.FailedToStart]
    assert process.errorString()
    process.start("/bin/sh", ["-c", "sleep 30"])
    assert process.waitForStarted(5000)
    os.kill(process.processId(), signal.SIGKILL)
    wait(lambda: ended)
    assert ended == [qt.QProcess.CrashExit]
    assert errors == [qt.QProcess.FailedToStart, qt.QProcess.Crashed]


def test_a_process_has_the_environment_and_folder_it_was_given(qt, tmp_path):
    process = qt.QProcess()
    environment = qt.QProcessEnvironment.systemEnvironment()
    environment.insert("SAMPROMPT_TEST", "yes ä")
    environment.remove("HOME")
    process.setProcessEnvironment(environment)
    process.setWorkingDirectory(str(tmp_path))
    process.setProcessChannelMode(qt.QProcess.MergedChannels)
    process.start("/bin/sh", ["-c", 'echo "$SAMPROMPT_TEST|$HOME|$(pwd)"; echo err >&2'])
    assert process.waitForFinished(5000)
    assert process.readAllStandardOutput().data().decode() == f"yes ä||{tmp_path}\nerr\n"
    assert environment.contains("SAMPROMPT_TEST")
    assert "SAMPROMPT_TEST" in environment.keys()  # noqa: SIM118


def test_a_file_is_written_and_read_in_bytes(qt, tmp_path):
    path = tmp_path / "ä.txt"
    file = qt.QFile(str(path))
    assert file.open(qt.QIODevice.WriteOnly)
    assert file.write(b"one\ntwo\n") == 8
    file.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert file.open(qt.QFile.ReadOnly | qt.QFile.Text)
    assert file.readLine().data() == b"one\n"
    assert file.readAll().data() == b"two\n"
    file.close()
    assert qt.QFile.exists(str(path))
    assert qt.QFileInfo(str(path)).size() == 8
    assert file.remove()
    assert not path.exists()


def test_settings_are_kept_in_a_private_place(qt):
    settings = qt.QSettings()
    place = Path(settings.fileName())
    assert Path.home() not in place.parents
    settings.setValue("SAMPromptTools/Python", "/usr/bin/python")
    settings.setValue("SAMPromptTools/Count", 3)
    settings.setValue("SAMPromptTools/List", ["a", "b"])
    again = qt.QSettings()
    assert again.value("SAMPromptTools/Python") == "/usr/bin/python"
    assert int(again.value("SAMPromptTools/Count")) == 3
    assert again.value("SAMPromptTools/List") == ("a", "b")
    assert again.value("SAMPromptTools/none", "other") == "other"
    assert again.contains("SAMPromptTools/Count")
    settings.remove("SAMPromptTools")
    assert qt.QSettings().value("SAMPromptTools/Python") is None
    assert qt.QSettings().allKeys() == () or "SAMPromptTools/Python" not in qt.QSettings().allKeys()
