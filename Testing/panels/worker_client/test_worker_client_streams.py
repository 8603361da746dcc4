"""Lines in any pieces, very long ones, floods; and the main thread that is never kept busy by them."""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from fake_workers import GOOD, Ended
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.contract.wire import from_line, to_line
from samprompt.contract.worker import (
    CheckSliceMessage,
    OutcomeMessage,
    PromptPointMessage,
    SamplePatientJob,
    StructureMessage,
    VisitReady,
)
from SAMPromptCommonLib.lines import LineReader
from SAMPromptCommonLib.process import WorkerProcess
from SAMPromptCommonLib.translate import LONG, Rubbish, messagesOf

BUSY = 0.050  # seconds that the main thread may be away


def submit(client: Any, folder: str = "/nowhere") -> Ended:
    return Ended(client.submit("sample-patient", SamplePatientJob(folder)))


def busy(event_loop: Any, action: Callable[[], None], clock: str = "worked") -> float:
    """Longest pause of the event loop during ``action``, in seconds; the best of three tries.

    What keeps the main thread busy does so every time; another process that takes the processor away does not. What
    the test session has in memory is taken from the garbage collector: to search it takes 170 ms here.
    """
    pauses = []
    gc.collect()
    gc.freeze()
    try:
        while len(pauses) < 3 and (not pauses or pauses[-1] >= BUSY):
            event_loop.restart()
            action()
            pauses.append(getattr(event_loop, clock))
    finally:
        gc.unfreeze()
    return min(pauses)


def visit(structures: int, points: int) -> VisitReady:
    """A visit as a worker sends it, with ``points`` prompts for each structure."""
    structure = StructureMessage("Segment_1", "Lésion 中", (1.0, 0.5, 0.0), "/tmp/ä/mask.npy", (1, 2, 3), (4, 5, 6))
    prompts = tuple(PromptPointMessage((1.123456789 * n, -2.5, 3.25), n % 2 == 0) for n in range(points))
    outcome = OutcomeMessage(
        structure, structure, 1.5, 2.0, -25.0, None, 0.5, "low", True, ("Looks odd.",),
        (CheckSliceMessage(3, (1.0, 2.0, 3.0)),), prompts,
    )  # fmt: skip
    return VisitReady("job", "Visit 2", 0, 1, (outcome,) * structures)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 25)), st.integers(1, 60))
def test_lines_come_out_as_they_went_in_however_they_are_cut(lines: list[bytes], cuts: list[int], longest: int) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    data = b"".join(line + b"\n" for line in lines) + b"rest"
    reader, found, at = LineReader(longest), [], 0
    for cut in [*cuts, len(data)]:
        reader.feed(data[at : at + cut])
        at += cut
        while (line := reader.next()) is not None:
            found.append(line)
    assert len(found) == len(lines) + (longest < 4)
    for came, line in zip(found, lines, strict=False):
        assert came == line or (len(line) > longest and line.startswith(came))
    assert reader.rest() == (b"rest" if longest >= 4 else None)
    assert len(reader) == 0


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    reader = LineReader(longest=1000)
    given_out = []
    for _ in range(1000):
        reader.feed(b"x" * 500)
        while (line := reader.next()) is not None:
            given_out.append(line)
        assert len(reader) <= 1500
    assert [len(line) for line in given_out] == [200]
    reader.feed(b"\nnext\n")
    assert reader.next() == b"next"


def test_a_long_line_is_not_searched_again_with_every_piece() -> None:
    reader = LineReader(1 << 30)
    began = time.perf_counter()
    for _ in range(20_000):
        reader.feed(b"x" * 1000)
        assert reader.next() is None
    assert time.perf_counter() - began < 1.0, "quadratic"


@pytest.mark.parametrize(("structures", "points"), [(0, 0), (1, 0), (3, 1000), (40, 50)])
def test_a_long_visit_made_in_pieces_is_the_same_as_made_at_once(structures: int, points: int) -> None:
    line = to_line(visit(structures, points))
    *pieces, message = messagesOf(line.encode())
    assert message == from_line(line) == visit(structures, points)
    assert pieces == [None] * len(pieces)
    assert len(pieces) == (structures + 2 if len(line) > LONG else 0)


def test_no_piece_of_a_very_long_visit_takes_long() -> None:
    line = to_line(visit(50, 600)).encode()
    assert len(line) > 1_000_000
    gc.collect()
    gc.freeze()
    try:
        longest, last = 0.0, time.thread_time()
        for _ in messagesOf(line):
            now = time.thread_time()
            longest, last = max(longest, now - last), now
    finally:
        gc.unfreeze()
    assert 0.0 < longest < BUSY


@pytest.mark.parametrize("spoil", ["outcomes", "number", "unknown", "no object", "trust"])
def test_a_long_visit_with_a_mistake_is_rubbish(spoil: str) -> None:
    data = json.loads(to_line(visit(40, 50)))
    if spoil == "outcomes":
        data["outcomes"] = {"a": 1, "filler": "x" * LONG}
    elif spoil == "number":
        data["number"] = "one"
    elif spoil == "unknown":
        data["news"] = 1
    elif spoil == "no object":
        data["outcomes"][39] = 5
    else:
        data["outcomes"][39]["trust"] = float("nan")
    *_, message = messagesOf(json.dumps(data).encode())
    assert isinstance(message, Rubbish)
    assert message.reason


def test_a_long_line_that_is_no_visit_is_read_as_well() -> None:
    line = b'{"type":"result","id":"a","value":{"text":"' + b"y" * 2_000_000 + b'"}}\r'
    *_, message = messagesOf(line)
    assert message.value == {"text": "y" * 2_000_000}
    for bad in (b"\xff" * 200_000, b'{"' * 200_000, b'{"type":' + b"[" * 200_000, b"null" + b" " * 200_000):
        *_, message = messagesOf(bad)
        assert isinstance(message, Rubbish)
        assert len(message.line) <= 200


def test_letters_that_arrive_in_two_halves_are_put_together(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    line = json.dumps({"type": "result", "id": request["id"], "value": {"name": "Lésion 中 \U0001f600"}},
                      ensure_ascii=False).encode() + b"\\r\\n"
    for byte in line:
        raw(bytes([byte]))
        time.sleep(0.001)
""")
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.result.value["name"] == "Lésion 中 \U0001f600"


def test_a_last_line_without_line_feed_is_read_when_the_worker_ends(host: Any, client_of: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    raw(json.dumps({"type": "result", "id": request["id"]}).encode())
    os._exit(0)
""")
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.job.state == "done"
    assert host.wait_until(lambda: client.state == "stopped", 3)


def test_very_long_answers_arrive_whole_and_the_main_thread_stays_free(
    host: Any, client_of: Any, event_loop: Any
) -> None:
    line = to_line(visit(50, 600))
    client = client_of(f"""
visit = {line!r}
hello()
for request in requests():
    for _ in range(3):
        raw(visit.replace('"id":"job"', '"id":"' + request["id"] + '"').encode())
    result(request, text="y" * 3_000_000)
""")
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)
    ends: list[Ended] = []

    def receive() -> None:
        ends.append(submit(client))
        assert host.wait_until(lambda: ends[-1].job.isOver, 20)

    assert busy(event_loop, receive) < BUSY
    assert ends[0].names == ["visitReady"] * 3 + ["finished"]
    visits = [message for name, message in ends[0].told if name == "visitReady"]
    assert all(message.outcomes == visit(50, 600).outcomes for message in visits)
    assert len(ends[0].result.value["text"]) == 3_000_000


def test_a_flood_of_progress_is_told_without_keeping_the_main_thread_busy(
    host: Any, client_of: Any, event_loop: Any
) -> None:
    client = client_of("""
hello()
for request in requests():
    block = b"".join(json.dumps({"type": "progress", "id": request["id"], "stage": "Working", "done": n}).encode()
                     + b"\\n" for n in range(20000))
    raw(block)
    result(request)
""")
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)
    ends: list[Ended] = []

    def receive() -> None:
        ends.append(submit(client))
        assert host.wait_until(lambda: ends[-1].job.isOver, 30)

    assert busy(event_loop, receive) < BUSY
    assert [message.done for name, message in ends[0].told if name == "progressed"] == list(range(20000))
    assert event_loop.ticks > 10


def test_a_flood_of_log_keeps_the_last_lines_and_the_job_goes_on(host: Any, client_of: Any, event_loop: Any) -> None:
    client = client_of("""
hello()
for request in requests():
    for n in range(50000):
        os.write(2, b"frame %d of 50000: something that a library finds worth saying\\n" % n)
    os.write(2, b"10%\\r50%\\r100%\\r\\nlast words\\n")
    time.sleep(0.3)
    result(request)
""")
    lines: list[str] = []
    client.logged.connect(lines.append)
    client.start()
    assert host.wait_until(lambda: client.state == "ready", 10)

    def receive() -> None:
        ended = submit(client)
        assert host.wait_until(lambda: ended.job.isOver, 30)
        assert ended.job.state == "done"

    assert busy(event_loop, receive) < BUSY
    assert client.log[-2:] == ("100%", "last words")
    assert len(client.log) == 200
    assert lines[-200:] == list(client.log)


def test_a_flood_without_line_feeds_breaks_the_worker_and_not_slicer(
    host: Any, client_of: Any, workers: Any, event_loop: Any
) -> None:
    import psutil

    client = client_of("""
hello()
for request in requests():
    block = b"x" * (1 << 20)
    while True:
        os.write(1, block)
""")
    before = psutil.Process().memory_info().rss
    ended = submit(client)
    peak = [0]

    def over() -> bool:
        peak[0] = max(peak[0], psutil.Process().memory_info().rss - before)
        return peak[0] > 1 << 29 or ended.job.isOver or len(ended.told) > 0

    assert not host.wait_until(over, 2.0), "one endless line is one line of rubbish"
    ended.job.cancel()
    assert host.wait_until(lambda: ended.job.isOver, 6)
    assert peak[0] < 200 << 20
    assert host.wait_until(lambda: not workers.alive(), 3)


def test_random_bytes_never_do_harm(host: Any, client_of: Any, workers: Any) -> None:
    noise = random.Random(7).randbytes(200_000)
    client = client_of(f"hello()\nfor request in requests():\n    raw({noise!r})\n    time.sleep(600)\n")
    ended = submit(client)
    assert host.wait_until(lambda: ended.job.isOver, 10)
    assert ended.failure.code == "environment"
    assert host.wait_until(lambda: not workers.alive(), 3)


def test_starting_stopping_and_killing_keep_the_main_thread_free(
    host: Any, client_of: Any, event_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(GOOD)

    def live_and_die() -> None:
        ended = submit(client)
        assert host.wait_until(lambda: ended.job.isOver, 10)
        client.stop()
        assert host.wait_until(lambda: client.state == "stopped", 5)
        client.start()
        assert host.wait_until(lambda: client.state == "ready", 10)
        client._connection._kill()
        assert host.wait_until(lambda: client.state == "stopped", 5)

    with monkeypatch.context() as patch:
        patch.setattr(WorkerProcess, "wait", lambda self, seconds: pytest.fail("waits for the process"))
        assert busy(event_loop, live_and_die, "away") < BUSY
