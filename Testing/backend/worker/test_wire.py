"""Messages as lines: what goes in comes out, and nothing else comes out."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.wire import MESSAGES, WireError, from_data, from_line, to_data, to_line
from samprompt.contract.worker import (
    CancelRequest,
    CheckSliceMessage,
    Failure,
    GridMessage,
    Hello,
    JobRequest,
    OutcomeMessage,
    ProgressMessage,
    PromptPointMessage,
    PropagateJob,
    QuitRequest,
    Released,
    ReleaseRequest,
    Result,
    StructureMessage,
    VisitMessage,
    VisitReady,
    VolumeMessage,
)

GRID = GridMessage((3, 4, 5), tuple(float(n) for n in range(16)))
VOLUME = VolumeMessage("visit 1", "/tmp/a b/ü.npy", GRID, "key", "CT")
STRUCTURE = StructureMessage("Segment_1", "GTV \u2028 \U0001f600", (0.1, 0.2, 1.0), "/x.npy", (0, 1, 2), (1, 1, 1), "t")
OUTCOME = OutcomeMessage(
    STRUCTURE, STRUCTURE, 1.5, 2.0, None, 3.25, 0.5, "medium", False, ("why",),
    (CheckSliceMessage(3, (1.0, 2.0, 3.0)),), (PromptPointMessage((1.0, 2.0, 3.0), True),), "model", gone=True,
)  # fmt: skip
JOB = PropagateJob(VisitMessage(VOLUME, (STRUCTURE,)), (VOLUME, VOLUME), "/out", (VisitMessage(VOLUME),))
ONE_OF_EACH = [
    JobRequest("a", "propagate", to_data(JOB)),
    CancelRequest("a"),
    ReleaseRequest(),
    QuitRequest(),
    Hello(1, "0.1", 77, "3.11.2", packages={"torch": "2"}, missing=("x",), problem="a\nb"),
    ProgressMessage("a", "encoding", 1, 2, "visit 1", 1, 3),
    VisitReady("a", "visit 1", 1, 3, (OUTCOME,), None, {"encoding": 1.0}),
    Result("a", {"inputs": [{"path": "x"}], "n": None}, ("note",), {"total": 1.0}, {"path": "y"}),
    Failure("a", "memory", "m", "h", "Traceback\n  line"),
    Released(12.5),
]


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda m: m.type)
def test_every_message_survives_the_way(message):
    line = to_line(message)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert line.isascii()
    assert from_line(line) == message
    assert from_line(line.encode()) == message


def test_there_is_one_example_of_every_message_here():
    assert {m.type for m in ONE_OF_EACH} == set(MESSAGES)


def test_a_job_survives_the_way_with_its_parameters_hashable():
    again = from_data(PropagateJob, from_line(to_line(ONE_OF_EACH[0])).job)
    assert again == JOB
    assert hash(again.parameters) == hash(JOB.parameters)


def test_fields_with_a_default_may_be_absent_and_others_not():
    assert from_line('{"type": "released"}') == Released()
    with pytest.raises(WireError, match="lacks 'id'"):
        from_line('{"type": "cancel"}')


@given(st.text(), st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_survives_the_way_even_undecodable_file_names(stage, visit):
    message = ProgressMessage("\udce4\udc00", stage, visit=visit)
    assert from_line(to_line(message).encode("ascii")) == message


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_json_value_survives_the_way(value):
    assert from_line(to_line(Result("a", value={"v": value}))).value == {"v": value}


@given(st.binary(max_size=60) | st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_rubbish_is_an_error_and_never_anything_else(rubbish):
    with pytest.raises(WireError):
        from_line(rubbish)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"type":"cancel","id":3}', "id is '3', not a text"),
        ('{"type":"cancel","id":"a","x":1}', "CancelRequest has no 'x'"),
        ('{"type":"cancel","id":"a","id":"b"}', "stands twice"),
        ('{"type":"job","id":"a","kind":"format-disk","job":{}}', "kind is 'format-disk'"),
        ('{"type":"job","id":"a","kind":"propagate","job":[]}', "job is '\\[\\]', not an object"),
        ('{"type":"released","freed_mib":"1"}', "not a number"),
        ('{"type":"released","freed_mib":true}', "not a number"),
        ('{"type":"released","freed_mib":1e999}', "finite"),
        ('{"type":"released","freed_mib":NaN}', "finite"),
        ('{"type":"released","freed_mib":' + "9" * 400 + "}", "finite"),
        ('{"type":"released","freed_mib":' + "9" * 5000 + "}", "not JSON"),
        ('{"type":"progress","id":"a","stage":"s","done":1.5}', "done is '1.5', not a whole number"),
        ('{"type":"progress","id":"a","stage":"s","done":false}', "not a whole number"),
        ('{"type":"hello","protocol":1,"version":"","pid":1,"python":"","missing":"torch"}', "missing is 'torch'"),
        ("[" * 100_000, "not JSON"),
        ('{"type":"result","id":"a","value":' + '{"a":' * 60 + "1" + "}" * 61, "too deeply"),
        ("null", "not a message"),
        ('{"type":["cancel"]}', "no known type"),
        (b'{"type":"cancel","id":"\xff"}', "not JSON"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(line, said):
    with pytest.raises(WireError, match=said):
        from_line(line)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"folder": "/out"}, "lacks 'baseline'"),
        ({"baseline": {"volume": 3}}, "baseline.volume is '3'"),
        (
            {"baseline": {"volume": {"name": "a", "array": "b", "grid": {"shape": [1, 2], "ijk_to_ras": []}}}},
            "2 entries",
        ),
        (
            {"baseline": {"volume": {"name": "a", "array": "b", "grid": {"shape": [1, 2, 3.0], "ijk_to_ras": []}}}},
            r"shape\[2\] is '3.0', not a whole number",
        ),
    ],
)
def test_a_job_that_does_not_fit_is_refused_with_its_place(job, said):
    with pytest.raises(WireError, match=said):
        from_data(PropagateJob, job)


@pytest.mark.parametrize(
    "message",
    [
        Released(math.nan),
        Released(math.inf),
        Released(np.float64(1.0)),
        ProgressMessage("a", "s", np.int64(3)),
        ProgressMessage("a", 3),
        Result("a", value={3: "x"}),
        Result("a", value={"x": {1, 2}}),
        Result("a", value={"x": b"bytes"}),
        "cancel",
        PropagationParameters(),
    ],
)
def test_what_cannot_be_sent_is_found_by_its_sender(message):
    with pytest.raises(WireError):
        to_line(message)


def test_a_message_that_holds_itself_is_refused():
    loop: dict[str, object] = {}
    loop["loop"] = loop
    with pytest.raises(WireError, match="too deeply"):
        to_line(Result("a", value=loop))


def test_a_line_longer_than_any_message_is_refused_unread():
    with pytest.raises(WireError, match="longer than any message"):
        from_line('{"type":"cancel","id":"' + "x" * (64 << 20) + '"}')


def test_the_names_in_the_lines_are_the_fields_of_the_dataclasses():
    data = json.loads(to_line(ONE_OF_EACH[5]))
    assert list(data) == [f.name for f in dataclasses.fields(ProgressMessage)]
