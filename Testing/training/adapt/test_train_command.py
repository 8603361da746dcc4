"""How ``samprompt`` finds the training, and what it says where it is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from samprompt.cli import added
from samprompt.cli.main import main
from samprompt.contract.places import catalogue
from samprompt_training.adapt.recipe import AdaptRecipe
from samprompt_training.core.recipe import load_recipe


def test_the_command_is_listed_and_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "train" in capsys.readouterr().out
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert "adapt" in out
    assert "merge" in out
    assert main(["train", "adapt", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--recipe", "--data", "--layout", "--model", "--out", "--name", "--minutes", "--json"):
        assert option in out


def test_without_the_training_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(added.importlib.util, "find_spec", lambda name: None)
    for words in (["train"], ["train", "adapt", "--data", "x"], ["train", "--help"]):
        assert main(words) == 3
        err = capsys.readouterr().err
        assert "samprompt_training" in err
        assert 'pip install "samprompttools[training]"' in err
    assert main(["--help"]) == 0
    assert "not installed" in capsys.readouterr().out
    assert main(["models", "path", "tiny"]) == 0


def test_without_one_of_its_packages_it_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("samprompt_training.", "accelerate"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert main(["train", "adapt", "--data", ".", "--model", "tiny", "--out", "x"]) == 3
    err = capsys.readouterr().err
    assert "accelerate" in err
    assert "samprompttools[training]" in err


def test_another_package_can_bring_a_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "brings_a_command.py").write_text(
        "import typer\napp = typer.Typer()\n\n@app.command()\ndef greet(name: str) -> None:\n    print('hello', name)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = EntryPoint("greet", "brings_a_command:app", added.GROUP)
    monkeypatch.setattr(added, "entry_points", lambda group: [found] if group == added.GROUP else [])
    assert main(["greet", "you"]) == 0
    assert "hello you" in capsys.readouterr().out
    assert main(["grete", "you"]) == 2


def test_the_other_commands_do_not_import_the_training() -> None:
    code = (
        "import sys\nfrom samprompt.cli.main import main\nmain(['models', 'path', 'tiny'])\n"
        "sys.exit(any(name.startswith('samprompt_training') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_accelerate_launches_two_processes_that_end_with_one_model(
    lungs: Path, own_tiny: Path, recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    """As docs/training.md has it, without a GPU."""
    words = ["--recipe", recipe_file(steps=2, interaction={"iterations": 3}), "--data", lungs, "--model", "tiny"]
    words += ["--out", tmp_path / "run", "--name", "two", "--device", "cpu", "--json"]
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes", 2]
    launch += ["--num_machines", 1, "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", 0]
    done = subprocess.run(
        [str(word) for word in (*launch, "-m", "samprompt_training.adapt", *words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    results = [event for event in events if event["event"] == "result"]
    assert len(results) == 1  # two that had not met would each have one
    assert (results[0]["step"], results[0]["name"]) == (2, "two")
    assert catalogue().find("two").base == "tiny"


@pytest.mark.parametrize("name", ["adapt_lora", "adapt_full"])
def test_the_shipped_recipes_are_those_of_the_methods_page(name: str) -> None:
    recipe = load_recipe(name, AdaptRecipe)
    assert recipe.betas == (0.9, 0.999)
    assert recipe.warmup_share == 0.1
    assert recipe.drop_path == 0.1
    assert recipe.interaction.iterations == 11
    assert recipe.interaction.first == ("none", "point", "box")
    assert recipe.interaction.stopped == "always"
    assert recipe.data.slices.window == (-910.0, 590.0)
    assert (recipe.lora is None) == (name == "adapt_full")
    if recipe.lora is not None:
        assert recipe.lora.rank == 8
        assert recipe.parts == ("decoder",)
