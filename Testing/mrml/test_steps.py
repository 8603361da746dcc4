"""Long work in small steps: the event loop lives, a cancel cleans up, and exactly one end is told."""

from __future__ import annotations

import time

import pytest


def work(log, steps=5, result="done", seconds=0.0, error=None, fail_at=None):
    """A generator that writes what happens to it into ``log``."""
    try:
        for n in range(steps):
            if n == fail_at:
                raise error
            time.sleep(seconds)
            log.append(n)
            yield (n + 1) / steps
        return result
    finally:
        log.append("closed")


class Ends:
    """Remembers how it ended."""

    def __init__(self):
        self.done, self.errors, self.progress = [], [], []

    def steps(self, generators, **options):
        from SAMPromptCommonLib.steps import Steps

        return Steps(generators, self.done.append, self.errors.append, self.progress.append, **options)


def test_a_script_runs_a_generator_to_its_end_and_gets_its_result():
    from SAMPromptCommonLib.steps import runNow

    log = []
    assert runNow(work(log, result=42)) == 42
    assert log == [0, 1, 2, 3, 4, "closed"]
    with pytest.raises(ValueError, match="broken"):
        runNow(work([], error=ValueError("broken"), fail_at=2))


def test_generators_run_in_order_and_all_results_come_at_the_end(host):
    log, ends = [], Ends()
    steps = ends.steps([work(log, result="a"), work(log, steps=0, result="b"), work(log, result=None)]).start()
    assert steps.isRunning
    assert log == []
    assert host.wait_until(lambda: ends.done, 5)
    assert ends.done == [["a", "b", None]]
    assert log == [0, 1, 2, 3, 4, "closed", "closed", 0, 1, 2, 3, 4, "closed"]
    assert not ends.errors
    assert not steps.isRunning
    assert ends.progress[-1] == 1.0
    assert ends.progress == sorted(ends.progress)
    host.process_events(0.05)
    assert len(ends.done) == 1


def test_nothing_to_do_is_done(host):
    ends = Ends()
    ends.steps([]).start()
    assert host.wait_until(lambda: ends.done, 5)
    assert ends.done == [[]]


def test_events_are_served_between_the_turns(host):
    import qt

    ticks, ends = [], Ends()
    timer = qt.QTimer()
    timer.setInterval(5)
    timer.connect("timeout()", lambda: ticks.append(time.perf_counter()))
    timer.start()
    steps = ends.steps([work([], steps=100, seconds=0.004)]).start()
    assert host.wait_until(lambda: ends.done, 20)
    timer.stop()
    timer.deleteLater()
    assert len(ticks) > 10
    # 15 ms of work and one more step of 4 ms, with room for a busy machine.
    assert 0.004 < steps.longestTurn < 0.1


def test_an_error_ends_it_and_is_told_once_and_later_work_is_not_begun(host):
    log, ends = [], Ends()
    error = ValueError("broken")
    steps = ends.steps([work(log, error=error, fail_at=2), work(log)]).start()
    assert host.wait_until(lambda: ends.errors, 5)
    host.process_events(0.05)
    assert ends.errors == [error]
    assert ends.done == []
    assert log == [0, 1, "closed"]
    assert not steps.isRunning


def test_cancel_closes_the_work_and_tells_nobody(host):
    log, ends = [], Ends()
    steps = ends.steps([work(log, steps=1000, seconds=0.002), work(log)]).start()
    assert host.wait_until(lambda: len(log) > 3, 5)
    steps.cancel()
    count = len(log)
    host.process_events(0.05)
    assert log[-1] == "closed"
    assert len(log) == count
    assert (ends.done, ends.errors) == ([], [])
    steps.cancel()  # again: nothing happens


def test_work_can_cancel_itself(host):
    ends, held = Ends(), []

    def generator():
        yield 0.1
        held[0].cancel()
        yield 0.2
        pytest.fail("went on after the cancel")

    held.append(ends.steps([generator()]))
    held[0].start()
    host.process_events(0.1)
    assert not held[0].isRunning
    assert (ends.done, ends.errors) == ([], [])


def test_a_step_that_lets_events_in_is_not_entered_twice(host):
    ends, inside = Ends(), []

    def generator():
        for n in range(3):
            inside.append(n)
            host.process_events(0.02)
            assert inside[-1] == n
            yield None

    ends.steps([generator()], turnSeconds=0.0001).start()
    assert host.wait_until(lambda: ends.done or ends.errors, 5)
    assert ends.errors == []
    assert inside == [0, 1, 2]


def test_cancel_from_within_a_nested_event_loop_stops_it(host):
    ends, held, log = Ends(), [], []

    def generator():
        try:
            import qt

            qt.QTimer.singleShot(0, held[0].cancel)
            host.process_events(0.05)
            log.append("after")
            yield 0.5
            log.append("went on")
        finally:
            log.append("closed")

    held.append(ends.steps([generator()]))
    held[0].start()
    host.process_events(0.2)
    assert log == ["after", "closed"]
    assert (ends.done, ends.errors) == ([], [])


def test_it_can_be_started_again_from_its_own_end(host):
    ends, second = Ends(), Ends()
    from SAMPromptCommonLib.steps import Steps

    Steps([work([])], lambda results: second.steps([work([], result="second")]).start()).start()
    assert host.wait_until(lambda: second.done, 5)
    assert second.done == [["second"]]
    assert ends.done == []
