"""Commands that another package brings: ``samprompt train`` of samprompt_training, found without importing it."""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from samprompt.contract.errors import EnvironmentProblem

GROUP = "samprompt.commands"  # entry points: command = "module:typer application"
_KNOWN = {"train": "samprompt_training.cli:train_app"}  # in a checkout nothing is installed, so nothing is registered
_HELP = {"train": "Adapt a model to your own images."}
_INSTALL = 'pip install "samprompttools[training]"'


class AddedCommands(TyperGroup):
    """The commands of samprompt and, behind them, those of other packages; these are imported when they are asked for.

    A command of ``_KNOWN`` whose package is not there is shown nevertheless, and says what to install.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help."""
        return [*super().list_commands(ctx), *(name for name in places() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in places():
            return own
        place = places()[cmd_name]
        module, _, attribute = place.partition(":")
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            return _absent(cmd_name, module.partition(".")[0])
        command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        command.name = cmd_name
        return command


def places() -> dict[str, str]:
    """Command to "module:application": what is registered, then what a checkout has."""
    return _KNOWN | {found.name: found.value for found in entry_points(group=GROUP)}


def _absent(name: str, package: str) -> TyperCommand:
    """A command that takes any words and says what to install."""

    def refuse(**_options: object) -> None:
        raise EnvironmentProblem(
            f"samprompt {name} needs the package {package}, which is not installed.", _INSTALL + "."
        )

    return TyperCommand(
        name,
        callback=refuse,
        short_help=f"{_HELP.get(name, '').removesuffix('.')} (not installed).".lstrip(),
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
        rich_markup_mode=None,
    )
