"""Faults of a real child process, as a run of the panel meets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import slicer
from panel_patient import Patient, mask_of, names_in_scene, result_nodes
from SAMPromptCommonLib.client import WorkerClient
from SAMPromptCommonLib.packages import Answer
from SAMPromptCommonLib.process import Launch
from SAMPropagationLib.logic import SAMPropagationLogic

MARK = "SAMPROMPT_TEST_RUN"
BEGIN = """
import json, os, sys, time
def say(**message):
    os.write(1, json.dumps(message).encode() + b"\\n")
say(type="hello", protocol=1, version="0", pid=os.getpid(), python="3")
for line in sys.stdin:
    request = json.loads(line)
    if request["type"] != "job":
        continue
    say(type="progress", id=request["id"], stage="rigid", done=1, total=3, visit="March", number=1, count=2)
"""


def marked() -> list[psutil.Process]:
    """Processes that this test started, wherever they hang in the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == str(os.getpid()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def assert_nothing_is_left() -> None:
    """The marked processes are gone within 5 s; those that are not are killed."""
    until = time.monotonic() + 5
    while marked() and time.monotonic() < until:
        time.sleep(0.05)
    left = marked()
    for process in left:
        process.kill()
    assert not left, f"left behind after 5 s: {left}"


@pytest.fixture
def with_worker(host: Any, patient: Patient, tmp_path: Path) -> Iterator[Callable]:
    """A logic whose worker is a script, or the real one, with the patient chosen."""
    made: list[Any] = []

    def make(script: str | None) -> Any:
        from SAMPromptCommonLib.python import workerLaunch

        if script is None:
            real = workerLaunch()
            launch = Launch(real.program, real.arguments, {**real.environment, MARK: str(os.getpid())}, real.hint)
        else:
            path = tmp_path / "worker.py"
            path.write_text(BEGIN + textwrap.indent(textwrap.dedent(script), "    "), encoding="utf-8")
            environment = {**os.environ, MARK: str(os.getpid()), "PYTHONUTF8": "1"}
            launch = Launch(sys.executable, (str(path),), environment, "Look after it.")
        client = WorkerClient(lambda: launch)
        logic = SAMPropagationLogic(client=client, ensurePackages=lambda group: Answer(True))
        logic.setFields(
            baselineVolume=patient.baseline, baselineSegmentation=patient.contours, followUps=patient.followups,
            device="cpu", threads=1,
        )  # fmt: skip
        made.append((logic, client))
        return logic

    yield make
    for logic, client in made:
        logic.cleanup()
        client.dispose()
    assert_nothing_is_left()


def ended(host: Any, logic: Any, timeout: float = 30, **keywords: Any) -> Any:
    run = logic.propagate(**keywords)
    assert host.wait_until(lambda: run.isOver, timeout), run
    return run


def computing(host: Any, logic: Any, timeout: float = 90) -> Any:
    run = logic.propagate()
    assert host.wait_until(lambda: run.isOver or run.visits[0].state == "computing", timeout)
    assert not run.isOver, run.error
    return run


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_worker_killed_with_sigkill_fails_the_run_and_the_next_one_gets_another(host: Any, with_worker: Any) -> None:
    logic = with_worker("time.sleep(60)")
    before = names_in_scene()
    run = computing(host, logic)
    os.kill(marked()[0].pid, signal.SIGKILL)
    assert host.wait_until(lambda: run.isOver, 10)
    assert (run.state, [visit.state for visit in run.visits]) == ("failed", ["failed", "failed"])
    assert run.error.message
    assert run.error.hint
    assert names_in_scene() == before
    again = computing(host, logic)
    assert again.state == "computing"
    logic.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_real_worker_killed_in_the_middle_fails_the_run(host: Any, with_worker: Any) -> None:
    logic = with_worker(None)
    run = computing(host, logic)
    for process in marked():
        os.kill(process.pid, signal.SIGKILL)
    assert host.wait_until(lambda: run.isOver, 10)
    assert run.state == "failed"
    assert run.error.hint
    assert result_nodes() == []


def test_a_worker_that_prints_rubbish_is_given_up_with_a_reason(host: Any, with_worker: Any) -> None:
    logic = with_worker("""
        while True:
            os.write(1, b"\\xff\\x00 Traceback, progress: 10%|##\\n")
            time.sleep(0.001)
    """)
    run = ended(host, logic)
    assert (run.state, bool(run.error.message), bool(run.error.hint)) == ("failed", True, True)


def test_a_worker_that_answers_with_visits_nobody_asked_for_does_no_harm(host: Any, with_worker: Any) -> None:
    logic = with_worker("""
        for number in (0, 7, -1):
            say(type="visit", id=request["id"], visit="x", number=number, count=9, outcomes=[])
        say(type="progress", id=request["id"], stage="odd", number=99, count=2)
        say(type="result", id=request["id"])
    """)
    before = names_in_scene()
    run = ended(host, logic)
    assert run.isOver
    assert result_nodes() == []
    assert [name for name in names_in_scene() if "Segmentation" in name] == [
        name for name in before if "Segmentation" in name
    ]


def test_a_result_without_its_visits_is_no_success(host: Any, with_worker: Any) -> None:
    run = ended(host, with_worker('say(type="result", id=request["id"])'))
    assert run.state == "failed"
    assert run.error.message
    assert [visit.state for visit in run.visits] == ["failed", "failed"]


def test_out_of_memory_is_told_with_its_hint(host: Any, with_worker: Any) -> None:
    logic = with_worker("""
        say(type="error", id=request["id"], code="memory", message="The GPU's memory ran out.", hint="Choose the CPU.")
    """)
    run = ended(host, logic)
    assert (run.state, run.error.code, run.error.hint) == ("failed", "memory", "Choose the CPU.")


def test_cancelling_ends_a_worker_that_does_not_listen_within_five_seconds(host: Any, with_worker: Any) -> None:
    logic = with_worker("time.sleep(600)")
    run = computing(host, logic)
    folder_root = Path(logic._runs._runner._folder)
    begin = time.monotonic()
    logic.cancel()
    assert run.state == "cancelled"
    assert host.wait_until(lambda: not marked(), 5)
    assert time.monotonic() - begin < 5
    assert host.wait_until(lambda: not folder_root.exists(), 5)


@pytest.mark.parametrize(
    ("content", "code"), [(None, "missing-file"), (b"not weights at all" * 100, "weights")], ids=["missing", "corrupt"]
)
def test_weights_that_are_missing_or_corrupt_are_named(
    host: Any, with_worker: Any, tmp_path: Path, content: bytes | None, code: str
) -> None:
    weights = tmp_path / "mine.pth"
    if content is not None:
        weights.write_bytes(content)
    logic = with_worker(None)
    run = ended(host, logic, timeout=120, weightsPath=str(weights))
    assert run.state == "failed"
    assert run.error.code in (code, "weights-missing", "weights", "parameter"), run.error
    assert "mine.pth" in run.error.message
    assert run.error.hint
    assert result_nodes() == []


def test_a_model_that_does_not_exist_is_named(host: Any, with_worker: Any) -> None:
    run = ended(host, with_worker(None), timeout=120, model="sam-vit-zzz")
    assert run.state == "failed"
    assert "sam-vit-zzz" in run.error.message


def test_a_real_run_finds_the_lesion_where_it_moved_and_a_second_one_starts_at_once(
    host: Any, with_worker: Any
) -> None:
    from SAMPropagationLib import provenance
    from SAMPropagationLib.selftest import MOVED, addContours, addVolume, phantom

    logic = with_worker(None)
    image, mask = phantom()
    baseline = addVolume("First", image)
    later = [addVolume(f"Later {n}", phantom(MOVED, seed=n)[0]) for n in (2, 3)]
    chosen = {"baselineVolume": baseline, "baselineSegmentation": addContours("C", baseline, mask), "followUps": later}
    run = ended(host, logic, timeout=240, **chosen)
    assert (run.state, run.error) == ("done", None)
    truth = np.roll(mask, MOVED, (0, 1, 2))
    for row, visit in zip(logic.results(), run.visits, strict=True):
        node, volume = slicer.mrmlScene.GetNodeByID(visit.resultId), slicer.mrmlScene.GetNodeByID(visit.nodeId)
        assert (row.segmentationId, row.visitId) == (visit.resultId, visit.nodeId)
        found = mask_of(node, row.segmentId, volume)
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
        assert row.volume_ml == pytest.approx(found.sum() * float(np.prod(volume.GetSpacing())) / 1000, rel=1e-3)
        assert row.prompts
        segment = node.GetSegmentation().GetSegment(row.segmentId)
        assert provenance.tag(segment, "Model") == "tiny"
        assert len(provenance.tag(segment, "ModelHash")) >= 8
        assert logic.showBaselineContour(row, True)
    again = logic.propagate()
    begin = time.monotonic()
    assert host.wait_until(lambda: again.visits[0].state == "computing", 10)
    assert time.monotonic() - begin < 0.5
    logic.cancel()


def test_quitting_slicer_during_a_run_leaves_no_process_after_five_seconds(tmp_path: Path, repository: Path) -> None:
    """In a process of its own: a real worker is computing when the application quits."""
    script = tmp_path / "quit.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(repository / "Testing" / "host")!r}, {str(Path(__file__).parent)!r}]
        import standin
        host = standin.install()
        host.application_layer.start(main_window=True)
        import slicer
        from panel_patient import SHIFT, STRUCTURES, add_contours, add_volume, voxels
        from SAMPropagationLib.logic import SAMPropagationLogic
        baseline, later = add_volume("B", voxels()), add_volume("F", voxels(SHIFT))
        logic = SAMPropagationLogic()
        run = logic.propagate(
            baselineVolume=baseline, baselineSegmentation=add_contours("C", baseline, STRUCTURES), followUps=[later],
            device="cpu", threads=1)
        assert host.wait_until(lambda: run.isOver or run.visits[0].state == "computing", 120)
        assert not run.isOver, run.error
        print("computing", flush=True)
        host.quit()
        print(run.state, flush=True)
        """),
        encoding="utf-8",
    )
    environment = {**os.environ, MARK: str(os.getpid()), "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert ran.stdout.split()[:1] == ["computing"], ran.stderr[-3000:]
    assert_nothing_is_left()
