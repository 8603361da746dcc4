"""What ends a run, or keeps it from beginning: numbers that are none, no gain, no data, nothing to train."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from samprompt.contract.errors import OutOfMemory, ParameterError, TrainingError


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_stops_before_it_reaches_the_weights_and_says_where(
    small, trained, tmp_path: Path, what: str
) -> None:
    broken = {"step": 9, "iteration": 2, "place": 0, "what": what}
    options = {"iterations": 3}
    task = small.SmallTask(small.recipe(), broken=broken, **options)
    seen: list[torch.Tensor] = []
    task.trained.decoder.register_forward_pre_hook(lambda module, _: seen.append(module.weight.detach().clone()))
    with pytest.raises(TrainingError) as told:
        trained("out", task=task)
    said = "the loss is not" if what == "loss" else "but its gradient is not"
    assert "Step 10 of 12, update 3 of 3: " in told.value.message
    assert said in told.value.message
    assert "first " in told.value.message  # the parts of the loss
    assert f"The checkpoint of step 8 in {tmp_path / 'out'} is kept." in told.value.hint
    assert "learning_rate" in told.value.hint
    kept = torch.load(tmp_path / "out" / "checkpoint.pt")
    assert kept["state"]["step"] == 8
    assert torch.equal(task.trained.decoder.weight, seen[-1])  # as the update at fault found them
    assert not torch.equal(seen[-1], seen[-2])  # the one before had acted
    # without the fault the run goes on from the checkpoint
    assert trained("out", options).status == "finished"


def test_a_loss_that_is_no_number_in_the_first_step_leaves_the_first_weights(small, trained, tmp_path: Path) -> None:
    task = small.SmallTask(small.recipe(), broken={"step": 0, "iteration": 0, "place": 0, "what": "loss"})
    before = {name: p.detach().clone() for name, p in task.trained.named_parameters()}
    with pytest.raises(TrainingError, match="There is no checkpoint yet"):
        trained("out", task=task)
    assert all(torch.equal(before[name], p) for name, p in task.trained.named_parameters())
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def scripted(small: Any, scores: list[float], **changes: Any) -> Any:
    """A small task whose validations give these scores one after the other; ``given`` keeps the weights of each."""
    task = small.SmallTask(small.recipe(**changes))
    left, task.given = list(scores), []

    def validate(trained: Any) -> dict[str, float]:
        task.given.append(trained.decoder.weight.detach().clone())
        return {"score": left.pop(0), "other": float(len(left))}

    task.validate = validate
    return task


SCORES = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9]
EVERY = {"validate_every": 2, "checkpoint_every": 100}


def test_a_run_without_gain_stops_early_and_keeps_the_best_weights(small, trained, tmp_path: Path) -> None:
    changes = EVERY | {"patience": 3}
    task = scripted(small, SCORES, **changes)
    outcome = trained("out", task=task, recipe=changes)
    assert (outcome.step, outcome.status) == (10, "early stop")  # an equal score is no gain
    assert outcome.best == {"step": 4, "metric": 0.7, "metrics": {"score": 0.7, "other": 4.0}}
    assert outcome.weights == tmp_path / "out" / "best.safetensors"
    assert torch.equal(load_file(outcome.weights)["decoder.weight"], task.given[1])
    with safe_open(outcome.weights, "pt") as file:
        assert file.metadata()["step"] == "4"
        assert file.metadata()["score"] == "0.7"
        assert '"patience":3' in file.metadata()["recipe"]
    assert trained("out", task=scripted(small, [], **changes), recipe=changes).status == "early stop"


def test_patience_survives_a_pause(small, trained) -> None:
    changes = EVERY | {"patience": 3}
    trained("out", task=scripted(small, SCORES[:4], **changes), recipe=changes, stop_at=8)
    outcome = trained("out", task=scripted(small, SCORES[4:], **changes), recipe=changes)
    assert (outcome.step, outcome.status) == (10, "early stop")


def test_without_patience_the_run_ends_at_its_last_step_with_the_best_of_all(small, trained) -> None:
    outcome = trained("out", task=scripted(small, SCORES, **EVERY), recipe=EVERY)
    assert (outcome.step, outcome.status, outcome.best["step"]) == (12, "finished", 12)


def test_the_last_step_is_validated_whatever_the_rhythm(small, trained) -> None:
    changes = {"validate_every": 5}
    task = scripted(small, [0.1, 0.2, 0.3], **changes)
    assert trained("out", task=task, recipe=changes).best["step"] == 12
    assert len(task.given) == 3


def test_averaged_weights_are_validated_and_exported_and_training_goes_on_with_its_own(small, trained) -> None:
    averaged, plain = scripted(small, SCORES, **EVERY), scripted(small, SCORES, ema=0.0, **EVERY)
    trained("averaged", task=averaged, recipe=EVERY)
    trained("plain", task=plain, recipe=EVERY | {"ema": 0.0})
    assert not torch.equal(averaged.given[-1], plain.given[-1])
    assert torch.equal(averaged.trained.decoder.weight, plain.trained.decoder.weight)
    assert torch.equal(plain.given[-1], plain.trained.decoder.weight)


def test_a_metric_that_is_no_number_is_never_the_best(small, trained, log_of, tmp_path: Path) -> None:
    changes = {"validate_every": 4}
    outcome = trained("out", task=scripted(small, [math.nan, 0.2, math.nan], **changes), recipe=changes)
    assert outcome.best["step"] == 8
    assert [e["metrics"]["score"] for e in log_of(tmp_path / "out") if "metrics" in e] == [None, 0.2, None]
    outcome = trained("never", task=scripted(small, [math.nan] * 3, **changes), recipe=changes)
    assert outcome.best is None
    assert outcome.weights.name == "last.safetensors"


def test_a_validation_without_the_metric_to_watch_is_said(small, trained) -> None:
    task = small.SmallTask(small.recipe())
    task.monitor = "dice"
    with pytest.raises(TrainingError, match=r'gave no "dice".*it gave \[\'other\', \'score\'\]'):
        trained("out", task=task)


def test_data_that_ends_is_said(small, trained) -> None:
    task = small.SmallTask(small.recipe())
    endless = task.batches
    task.batches = lambda first, rank, world: (b for b, _ in zip(endless(first, rank, world), range(5), strict=False))
    with pytest.raises(TrainingError, match="The data ended at step 6 of 12"):
        trained("out", task=task)


def test_a_parameter_in_no_group_or_in_two_is_named(small, trained) -> None:
    task = small.SmallTask(small.recipe())
    groups = task.parameter_groups()
    task.parameter_groups = lambda: groups[:1]
    with pytest.raises(TrainingError, match=r"not in any: encoder\.bias, decoder\.bias"):
        trained("out", task=task)
    task.parameter_groups = lambda: [*groups, groups[0]]
    with pytest.raises(TrainingError, match="one parameter is in two"):
        trained("out", task=task)


def test_a_model_that_is_frozen_altogether_is_said(small, trained) -> None:
    task = small.SmallTask(small.recipe())
    task.trained.requires_grad_(False)
    with pytest.raises(TrainingError, match="nothing to train"):
        trained("out", task=task)


def test_memory_that_runs_out_is_said_with_what_to_do(small, trained) -> None:
    task = small.SmallTask(small.recipe())
    task.trained.drop = Greedy()
    with pytest.raises(OutOfMemory, match="with batch: 4") as told:
        trained("out", task=task)
    assert "halve batch and double accumulate" in told.value.hint


class Greedy(torch.nn.Module):
    """A layer that asks for more memory than any machine has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.empty(2**60)[: len(x)]


@pytest.mark.parametrize("minutes", [-5.0, 0.0, math.nan])
def test_a_time_that_is_none_is_refused_before_anything_is_written(trained, tmp_path: Path, minutes: float) -> None:
    with pytest.raises(ParameterError, match="leaves no time") as told:
        trained("out", stop_after_minutes=minutes)
    assert f"stop_after_minutes={minutes:g}" in told.value.message
    assert "above 0" in told.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask of this kind")
@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_weights_may_be_read_by_whoever_may_read_other_new_files(trained, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        trained("out")
        (tmp_path / "other").open("w").close()
    finally:
        os.umask(before)
    usual = (tmp_path / "other").stat().st_mode
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "out" / name).stat().st_mode == usual
