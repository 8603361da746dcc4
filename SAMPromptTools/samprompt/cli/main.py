"""``samprompt``: the commands, and what becomes of their errors."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from samprompt.cli.added import AddedCommands
from samprompt.cli.demo import demo
from samprompt.cli.doctor import doctor
from samprompt.cli.evaluate import evaluate
from samprompt.cli.evaluate_prompts import evaluate_prompts
from samprompt.cli.models import models_app
from samprompt.cli.propagate import propagate
from samprompt.contract.errors import Cancelled, SamPromptError
from samprompt.worker.failures import known_problem

_DEBUG = "SAMPROMPT_DEBUG"

app = typer.Typer(
    name="samprompt",
    help="Carry a patient's contours from the first visit to the later ones. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=AddedCommands,
)
app.command(short_help="Carry contours to later visits.")(propagate)
app.command(short_help="Try it on a synthetic patient.")(demo)
app.command(short_help="Measure methods on simulated visits.")(evaluate)
app.command("evaluate-prompts", short_help="Measure models with prompts on real images.")(evaluate_prompts)
app.add_typer(models_app, name="models")
app.command(short_help="Show what is installed and works.")(doctor)


@app.callback()
def _options(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show warnings of libraries and the full traceback of an error.")
    ] = False,
) -> None:
    if verbose:
        os.environ[_DEBUG] = "1"
    if not os.environ.get(_DEBUG):
        warnings.filterwarnings("ignore")
        # Remarks of the readers are shown in the table and the report, not between the lines of a progress bar.
        logging.getLogger("samprompt").addHandler(logging.NullHandler())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 2 input, 3 environment or weights, 4 cancelled, 5 memory, 1 a bug.

    Errors are two lines on stderr, ``error: ...`` and ``hint: ...``; ``SAMPROMPT_DEBUG=1`` or ``--verbose`` adds the
    traceback.
    """
    debug_before = os.environ.get(_DEBUG)
    old = _install_signal_handlers()
    try:
        result = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
        # typer gives back the code of an Exit; 130 is how it says Ctrl-C
        return _report(_interrupted()) if result == 130 else result if isinstance(result, int) else 0
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        return _report(as_samprompt_error(error), error)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        if debug_before is None:
            os.environ.pop(_DEBUG, None)


def as_samprompt_error(error: BaseException) -> SamPromptError:
    """The error a user is told of, whatever was raised."""
    if isinstance(error, SamPromptError):
        return error
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return _interrupted()
    problem = known_problem(error)
    if problem is not None:
        return problem
    if hasattr(error, "format_message"):  # the argument parser's own; its class is not the same in every version
        return _UsageError(str(error.format_message()))
    return _Unexpected(error)


def _interrupted() -> Cancelled:
    return Cancelled("Cancelled.", "Run the command again to start over.")


class _UsageError(SamPromptError):
    """The command line itself is wrong."""

    exit_code = 2
    code = "usage"

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()), "samprompt --help and samprompt COMMAND --help list what there is.")


class _Unexpected(SamPromptError):
    """A fault of the program; the traceback is kept in a file, since it is not shown."""

    def __init__(self, error: BaseException) -> None:
        name = type(error).__name__
        text = (str(error).strip().splitlines() or ["no message"])[0]
        hint = "This is a fault of the program; please report it."
        if not os.environ.get(_DEBUG):
            hint += f" The traceback is in {_keep_traceback(error)} (shown with --verbose)."
        super().__init__(f"Unexpected {name}: {text}", hint)


def _keep_traceback(error: BaseException) -> str:
    try:
        handle, path = tempfile.mkstemp(prefix="samprompt-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            traceback.print_exception(error, file=stream)
    except OSError:
        return "no file (none could be written)"
    return str(Path(path))


def _report(problem: SamPromptError, cause: BaseException | None = None) -> int:
    """Print the two lines, and the traceback where it was asked for."""
    if os.environ.get(_DEBUG) and cause is not None:
        traceback.print_exception(cause, file=sys.stderr)
    print(f"error: {' '.join(problem.message.split())}", file=sys.stderr)
    if problem.hint:
        print(f"hint: {' '.join(problem.hint.split())}", file=sys.stderr)
    return problem.exit_code


def _install_signal_handlers() -> dict[int, Any]:
    """SIGTERM ends a command as Ctrl-C does; only the main thread may say so."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        return {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    except ValueError:
        return {}


def _silence_stdout() -> None:
    """Nobody reads our output any more: let Python's flush at the end go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
