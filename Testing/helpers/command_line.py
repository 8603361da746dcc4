"""The command line as a user runs it, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def command_line(capsys: pytest.CaptureFixture[str]) -> Command:
    """``command_line(capsys)("propagate", ...)`` runs a command and says what it alone wrote."""

    def run(*arguments: object) -> Outcome:
        from samprompt.cli.main import main  # here, since tests of panels import this file too

        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
