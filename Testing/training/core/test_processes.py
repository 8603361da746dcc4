"""Two processes, accumulated batches and one large batch are the same training; so is a loop written out by hand."""

from __future__ import annotations

import math
import socket
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from samprompt.contract.errors import EnvironmentProblem, ParameterError
from samprompt_training.core.loop import train

ITERATED = {"iterations": 3}  # the encoder has a gradient in the first update alone, a correction in the others
BROKEN = {"step": 9, "iteration": 0, "place": 4, "what": "loss"}  # in the second process alone
LONG = {"steps": 20, "checkpoint_every": 7}


def curve(log: list[dict]) -> list[float]:
    """All figures of a run's log in order: losses, parts, gradient norms and metrics."""
    figures = []
    for entry in log:
        figures += [entry["loss"], entry["parts"]["first"], entry["gradient_norm"]] if "loss" in entry else []
        figures += list(entry.get("metrics", {}).values())
    return figures


def assert_same_training(one: Path, two: Path, log_of) -> None:
    first, second = curve(log_of(one)), curve(log_of(two))
    assert len(first) == 20 * 3 + 5 * 2
    assert first == pytest.approx(second, rel=1e-4, abs=1e-4)
    weights = [load_file(path / "last.safetensors") for path in (one, two)]
    # the number of passes is counted per process
    different = [n for n in weights[0] if n != "seen" and not torch.allclose(weights[0][n], weights[1][n], atol=1e-4)]
    assert different == []


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.fixture(scope="module")
def two_processes(launch, tmp_path_factory) -> Path:
    """Folder with the runs "plain", "iterated" and "accumulated" of two processes, "iterated" after a pause."""
    out = tmp_path_factory.mktemp("two")
    jobs = [
        {"out": str(out / "plain"), "recipe": LONG},
        {"out": str(out / "iterated"), "recipe": LONG, "options": ITERATED, "stop_at": 9},
        {"out": str(out / "iterated"), "recipe": LONG, "options": ITERATED},
        {"out": str(out / "accumulated"), "recipe": LONG | {"accumulate": 2}, "options": ITERATED},
        {"out": str(out / "broken"), "recipe": LONG, "options": {"broken": BROKEN}},
        {"out": str(out / "cancelled"), "recipe": LONG, "options": ITERATED, "cancel": (1, 5)},
        {"out": str(out / "cancelled"), "recipe": LONG, "options": ITERATED},
        {"out": str(out / "file"), "recipe": LONG},
    ]
    (out / "file").write_text("in the way")
    # what `accelerate launch --multi_gpu --num_processes 2` does; --multi_gpu is its word for several processes
    before = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")
    before += ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
    ended = launch(*jobs, before=(*before, "--main_process_port", free_port()))
    assert ended.returncode == 0, ended.stderr
    told = ended.stdout.split("\n")
    assert sorted(line for line in told if line in ("finished", "paused")) == ["finished"] * 8 + ["paused"] * 2
    (out / "said").write_text(ended.stdout)
    return out


def test_two_processes_learn_as_one_with_the_double_batch(two_processes: Path, trained, log_of, tmp_path: Path) -> None:
    trained("one", recipe=LONG | {"batch": 8})
    assert_same_training(two_processes / "plain", tmp_path / "one", log_of)


def test_several_updates_a_batch_and_parameters_without_gradient_are_no_exception(
    two_processes: Path, trained, log_of, tmp_path: Path
) -> None:
    trained("one", ITERATED, LONG | {"batch": 8})
    assert_same_training(two_processes / "iterated", tmp_path / "one", log_of)


def test_accumulated_batches_are_the_larger_batch(two_processes: Path, trained, log_of, tmp_path: Path) -> None:
    trained("one", ITERATED, LONG | {"batch": 16})
    trained("accumulated", ITERATED, LONG | {"accumulate": 4})
    assert_same_training(tmp_path / "accumulated", tmp_path / "one", log_of)
    assert_same_training(two_processes / "accumulated", tmp_path / "one", log_of)


def test_a_loss_that_is_no_number_on_one_process_stops_both_and_is_said_by_both(two_processes: Path) -> None:
    said = errors(two_processes, "TrainingError")
    assert "Step 10 of 20, update 1 of 1: the loss is not a finite number" in said
    assert "checkpoint of step 8" in said  # the best so far, between the steps 7 and 14


def errors(two_processes: Path, kind: str) -> str:
    """The error of this kind, which both processes must have had in the same words."""
    one, two = (line for line in (two_processes / "said").read_text().splitlines() if line.startswith(kind))
    assert one == two
    return one


def test_a_cancel_on_one_process_stops_both_after_the_same_step_with_a_checkpoint(two_processes: Path, log_of) -> None:
    assert "after step 6 of 20" in errors(two_processes, "Cancelled")
    whole, resumed = (curve(log_of(two_processes / name)) for name in ("iterated", "cancelled"))
    assert whole == resumed


def test_what_the_main_process_cannot_write_ends_the_others_too(two_processes: Path) -> None:
    assert "recipe.yaml cannot be written" in errors(two_processes, "OutputError")


def test_a_run_of_two_processes_is_not_continued_by_one(two_processes: Path, trained, small, tmp_path: Path) -> None:
    chosen = small.recipe(**LONG)
    with pytest.raises(ParameterError, match="number of processes: was 2, is 1"):
        train(small.SmallTask(chosen), chosen, two_processes / "plain", tensorboard=False, device="cpu")


def test_processes_that_were_launched_but_did_not_meet_are_refused(trained, monkeypatch) -> None:
    monkeypatch.setattr("samprompt_training.core.processes.Accelerator", lambda **_: Alone())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EnvironmentProblem, match="2 processes were asked for, but 1 found each other"):
        trained("out")


def test_the_launch_that_starts_one_process_instead_of_several_is_refused(launch, tmp_path: Path) -> None:
    before = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    ended = launch({"out": str(tmp_path / "out")}, before=before)
    assert "EnvironmentProblem: Several processes were asked for, but 1 found each other." in ended.stdout
    assert "torchrun" in ended.stdout


class Alone:
    """An accelerator that met nobody."""

    num_processes = 1


def test_the_loop_computes_what_a_loop_written_by_hand_does(small, trained, tmp_path: Path) -> None:
    recipe = small.recipe(warmup_share=0.25, final_rate_share=0.1, clip=0.5)
    by_hand = small.SmallTask(recipe)
    model = by_hand.trained
    matrices, vectors = (g["params"] for g in by_hand.parameter_groups())
    optimiser = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], weight_decay=0.01)
    batches = by_hand.batches(0, 0, 1)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    for step in range(12):
        rate = 0.01 * (step + 1) / 3
        if step >= 3:
            rate = 0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 3) / 9)) / 2)
        optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"] = rate, rate / 2
        optimiser.zero_grad()
        model(next(batches), small.Draws(3, step, 0))[0].backward()
        torch.nn.utils.clip_grad_norm_([*matrices, *vectors], 0.5)
        optimiser.step()
        decay = min(0.9, (2 + step) / (11 + step))
        average = {n: decay * average[n] + (1 - decay) * p.detach() for n, p in model.named_parameters()}
    trained("loop", recipe={"warmup_share": 0.25, "final_rate_share": 0.1, "clip": 0.5})
    exported = load_file(tmp_path / "loop" / "last.safetensors")
    assert all(torch.allclose(exported[name], value, atol=1e-6) for name, value in average.items())
    own = torch.load(tmp_path / "loop" / "checkpoint.pt")["weights"]
    assert "frozen.weight" not in own
    assert all(torch.allclose(own[name], p, atol=1e-6) for name, p in model.named_parameters() if name in own)


def test_bfloat16_on_the_cpu_learns_and_keeps_full_weights(trained, log_of, tmp_path: Path) -> None:
    for name, precision in (("bf16", "bf16"), ("fp32", "fp32")):
        trained(name, ITERATED, LONG | {"precision": precision, "learning_rate": 0.03})
    half, full = ([e["loss"] for e in log_of(tmp_path / name) if "loss" in e] for name in ("bf16", "fp32"))
    assert half != full
    assert half == pytest.approx(full, rel=0.1)
    assert sum(half[-5:]) < sum(half[:5])
    assert load_file(tmp_path / "bf16" / "last.safetensors")["encoder.weight"].dtype == torch.float32


def test_half_precision_is_refused_on_the_cpu(trained) -> None:
    with pytest.raises(ParameterError, match="fp16 needs a GPU"):
        trained("out", recipe={"precision": "fp16"})


def test_the_module_is_given_back_as_it_came(small, trained) -> None:
    task = small.SmallTask(small.recipe(precision="bf16"))
    trained("first", task=task, recipe={"precision": "bf16"})
    x, y = next(task.batches(0, 0, 1))
    loss, _parts, _carried = task.trained((x, y), small.Draws(0, 0, 0))
    answer = task.trained.decoder(x.new_zeros(1, 8))
    assert loss.dtype == answer.dtype == torch.float32
    assert "forward" not in vars(task.trained)
