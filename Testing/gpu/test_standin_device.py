"""The stand-in finds what a GPU would refuse or wait for, and computes what the CPU computes."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from standin_device import ELSEWHERE, StandInDevice
from torch import nn

THERE = {"device": ELSEWHERE}


def test_numbers_come_back_as_the_cpu_has_them() -> None:
    here = torch.arange(12.0).reshape(3, 4)
    with StandInDevice():
        there = here.to(ELSEWHERE)
        assert there.device == ELSEWHERE
        answer = torch.softmax(there @ there.T, dim=1)[1:]
        answer[0, 0] += 1.0
        assert answer.device == ELSEWHERE
        back = answer.cpu()
        assert float(answer.sum()) == pytest.approx(float(back.sum()))
        assert answer.tolist() == back.tolist()
        assert torch.tensor([3.0, 4.0], **THERE).tolist() == [3.0, 4.0]
    expected = torch.softmax(here @ here.T, dim=1)[1:]
    expected[0, 0] += 1.0
    assert back.device.type == "cpu"
    assert torch.equal(back, expected)


MISTAKES = {
    "added": lambda there, here: there + here,
    "multiplied": lambda there, here: there @ here,
    "joined": lambda there, here: torch.cat((there, here)),
    "chosen between": lambda there, here: torch.where(there > 0, here, here),
    "put into": lambda there, here: there.index_put_((torch.tensor([0]),), here[:1]),
    "added in place": lambda there, here: there.add_(here),
    "a CPU tensor indexed from there": lambda there, here: here[there > 0],
    "numpy": lambda there, here: there.numpy(),
    "numpy by its array": lambda there, here: np.asarray(there),
}


@pytest.mark.parametrize("which", MISTAKES)
def test_two_devices_in_one_operation_are_refused(which: str) -> None:
    with StandInDevice(), pytest.raises(RuntimeError, match=r"on the device"):
        MISTAKES[which](torch.ones(3, 3, **THERE), torch.ones(3, 3))
    with StandInDevice(strict=False) as device:  # noted, and gone on
        with contextlib.suppress(AttributeError):
            MISTAKES[which](torch.ones(3, 3, **THERE), torch.ones(3, 3))
        assert len(device.mistakes) == 1


def test_what_cuda_allows_is_allowed() -> None:
    with StandInDevice() as device:
        there = torch.arange(6.0, **THERE)
        assert (there * torch.tensor(2.0)).tolist()[1] == 2.0  # a number on the CPU
        assert there[torch.tensor([1, 2])].tolist() == [1.0, 2.0]  # places on the CPU
        there[:2].copy_(torch.tensor([8.0, 9.0]))
        assert there.tolist()[:2] == [8.0, 9.0]
        assert device.mistakes == {}


def test_what_makes_the_processor_wait_is_counted() -> None:
    with StandInDevice() as device:
        there = torch.arange(6.0, **THERE)
        assert sum(device.waits.values()) == 0
        for work, kind in (
            (lambda: float(there.sum()), "a number is read"),
            (lambda: bool((there > 2).any()), "a number is read"),
            (lambda: there.tolist(), "a number is read"),
            (lambda: there[there > 2], "a mask is an index"),
            (lambda: torch.nonzero(there), "a result's size is read"),
            (lambda: there.cpu(), "copied to the CPU"),
            (lambda: torch.ones(2).to(ELSEWHERE), "copied to the device"),
        ):
            device.waits.clear()
            work()
            assert [name for name, _ in device.waits] == [kind]
        device.waits.clear()
        (there * 2 + there.mean()).clamp(0, 1).reshape(2, 3).sum(dim=1)
        assert sum(device.waits.values()) == 0


def test_random_numbers_are_the_seeds() -> None:
    expected = torch.rand(5, generator=torch.Generator().manual_seed(4))
    with StandInDevice():
        drawn = torch.rand(5, generator=torch.Generator(device=ELSEWHERE).manual_seed(4), **THERE)
        assert drawn.tolist() == expected.tolist()
    assert torch.Generator().manual_seed(4).device.type == "cpu"


def test_a_network_learns_there_as_on_the_cpu() -> None:
    def steps(device: torch.device) -> list[float]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 1))
        network.to(device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=0.05)
        images = torch.rand(3, 2, 6, 6).to(device)
        losses = []
        for _ in range(4):
            loss = ((network(images) - 1.0) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert all(p.device == device and p.grad is not None and p.grad.device == device for p in network.parameters())
        return losses

    expected = steps(torch.device("cpu"))
    with StandInDevice():
        found = steps(ELSEWHERE)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found[-1] < found[0]


def test_bytes_there_are_counted_once_and_given_back() -> None:
    with StandInDevice() as device:
        one = torch.zeros(1000, **THERE)
        view = one[10:20]
        assert device.allocated() == 4000
        del one
        assert device.allocated() == 4000  # a view keeps all of it
        del view
        assert device.allocated() == 0


def test_nothing_of_it_is_left_behind() -> None:
    before = torch.Generator, torch.autocast, torch.inference_mode.__enter__
    with StandInDevice():
        kept = torch.ones(2, **THERE)
    assert before == (torch.Generator, torch.autocast, torch.inference_mode.__enter__)
    with torch.inference_mode():
        assert torch.ones(2).is_inference()
    with pytest.raises(RuntimeError, match="outside"):
        kept + 1
