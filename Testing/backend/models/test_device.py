"""Choosing a device and living with too little memory."""

from __future__ import annotations

import contextlib
import warnings

import pytest
import torch
from samprompt.contract.errors import EnvironmentProblem, OutOfMemory, ParameterError
from samprompt.models import device as devices
from samprompt.models.device import (
    autocast,
    choose_device,
    free_memory,
    launch_kernel,
    out_of_memory_guard,
    with_smaller_batches,
)

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


def test_a_real_kernel_runs_on_the_cpu() -> None:
    assert launch_kernel(torch.device("cpu")) == ""


def test_a_kernel_on_a_device_that_does_not_compute_is_said_in_words() -> None:
    assert launch_kernel(torch.device("meta")) != ""  # the meta device has shapes and no numbers


@without_cuda
def test_auto_is_the_cpu_where_there_is_nothing_else_and_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_device("auto") == torch.device("cpu")


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "CUDA:3"])
def test_a_device_that_was_asked_for_and_is_absent_is_an_error(name: str) -> None:
    with pytest.raises(EnvironmentProblem, match=name):
        choose_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "meta", "cpu cuda"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(ParameterError):
        choose_device(name)


def test_broken_cuda_falls_back_with_a_warning_for_auto_and_is_an_error_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A broken driver cannot be had in a test; what torch says on one is put in its place.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(devices, "launch_kernel", lambda device: "no kernel image is available")
    with pytest.warns(UserWarning, match="no kernel image"):
        assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(EnvironmentProblem, match="no kernel image"):
        choose_device("cuda")
    with pytest.raises(EnvironmentProblem, match="1 CUDA device"):
        choose_device("cuda:1")


@pytest.mark.parametrize("real", [True, False])
def test_a_card_that_only_imitates_bfloat16_computes_in_full_precision(
    monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    def supported(including_emulation: bool = True) -> bool:  # as torch's own, which counts the imitation by default
        return real or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert isinstance(autocast(torch.device("cuda")), contextlib.nullcontext) == (not real)


def test_autocast_leaves_the_cpu_at_full_precision() -> None:
    with autocast(torch.device("cpu")):
        assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_computes_in_bfloat16_and_tells_its_memory() -> None:
    device = choose_device("cuda")
    with autocast(device):
        assert (torch.ones(4, 4, device=device) @ torch.ones(4, 4, device=device)).dtype == torch.bfloat16
    assert (free_memory(device) or 0) > 0


def test_free_memory_of_the_cpu_agrees_with_psutil() -> None:
    psutil = pytest.importorskip("psutil")
    assert free_memory(torch.device("cpu")) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_the_guard_turns_a_real_failed_allocation_into_our_error() -> None:
    with pytest.raises(OutOfMemory, match="Loading"), out_of_memory_guard("Loading"):
        torch.empty(2**60)


def test_the_guard_works_as_a_decorator_and_for_plain_memory_errors() -> None:
    @out_of_memory_guard()
    def greedy() -> None:
        raise MemoryError

    with pytest.raises(OutOfMemory):
        greedy()


def test_the_guard_lets_other_errors_through() -> None:
    with pytest.raises(RuntimeError, match="shape"), out_of_memory_guard():
        raise RuntimeError("shape mismatch")


def test_batches_are_halved_until_they_fit_and_keep_their_order() -> None:
    sizes: list[int] = []

    def doubled(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        if len(batch) > 3:
            torch.empty(2**60)
        return batch * 2

    items = torch.arange(11)
    assert torch.equal(torch.cat(with_smaller_batches(doubled, items, 8)), items * 2)
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 1]


def test_a_batch_larger_than_what_there_is_is_halved_from_what_there_is() -> None:
    sizes: list[int] = []

    def one_at_a_time(batch: list[int]) -> int:
        sizes.append(len(batch))
        if len(batch) > 1:
            raise MemoryError
        return batch[0]

    assert with_smaller_batches(one_at_a_time, [5, 6, 7], 64) == [5, 6, 7]
    assert sizes == [3, 1, 1, 1]


def test_one_item_that_does_not_fit_ends_it() -> None:
    def never(batch: list[int]) -> int:
        raise MemoryError

    with pytest.raises(OutOfMemory):
        with_smaller_batches(never, [1, 2, 3], 4)


def test_an_error_that_is_not_about_memory_is_not_retried() -> None:
    calls: list[int] = []

    def wrong(batch: list[int]) -> int:
        calls.append(len(batch))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        with_smaller_batches(wrong, [1, 2, 3, 4], 4)
    assert calls == [4]
