"""Every expression that was evaluated in a running Slicer gives the same here: all 127 lines of pythonqt_facts.md."""

from __future__ import annotations

from pathlib import Path

import pytest

HOST = Path(__file__).resolve().parents[1]
SHARED = HOST.parents[2] / "shared"
# The Python of the wheel that the stand-in runs on may be another patch release than the application's.
ONLY_MINOR = {"python"}


@pytest.fixture(scope="module")
def answers(installed_host):
    from standin import qt_replay

    installed_host.main_window = False
    installed_host.testing = True
    found = qt_replay.run(installed_host.process_events)
    installed_host.testing = False
    return found


def _labels() -> list[str]:
    from standin import qt_replay

    return list(qt_replay.facts())


def test_every_fact_is_replayed_in_the_order_of_the_page(answers):
    assert len(_labels()) == 127  # the page speaks of 128: it counts the arrow in its own introduction
    assert list(answers) == _labels()


@pytest.mark.parametrize("label", _labels())
def test_the_expression_answers_as_in_the_running_slicer(label, answers):
    from standin import qt_replay

    expected, found = qt_replay.facts()[label], answers[label]
    if label in ONLY_MINOR:
        expected, found = (text.strip("'").rpartition(".")[0] for text in (expected, found))
    assert found == expected


@pytest.mark.parametrize("name", ["pythonqt_facts.md", "slicer_api.json"])
def test_the_copied_facts_are_those_that_were_read_from_the_application(name):
    if not (SHARED / name).exists():
        pytest.skip("the original is not beside this checkout")
    assert (HOST / "facts" / name).read_bytes() == (SHARED / name).read_bytes()
