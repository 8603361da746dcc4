"""After a job, and after "release GPU", the device's memory is what it was before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from samprompt.contract.propagation import PropagationParameters
from samprompt.contract.worker import Released, ReleaseRequest, Result
from samprompt.models import refiner
from samprompt.propagation.patient import propagate_visits
from samprompt.worker.cache import Kept
from small_visits import COARSE, QUICK, first_visit, later_visit

Allocated = Callable[[torch.device], int]


@pytest.fixture(autouse=True)
def _no_refiner_stays() -> Iterator[None]:
    yield
    refiner._load.cache_clear()


def keyed(visit: Any) -> Any:
    """The visit with names for its contents, so that what was computed for it is kept."""
    structures = tuple(replace(s, key=f"{visit.name} {s.name}") for s in visit.structures)
    return replace(visit, volume=replace(visit.volume, key=visit.name), structures=structures)


def job(kept: Kept, place: torch.device, phantom: Any, parameters: PropagationParameters) -> None:
    """What the worker's job does with what it keeps."""
    backbone = kept.models("tiny", str(place), None)
    visits = keyed(first_visit(phantom)), [keyed(later_visit(phantom))]
    result = next(propagate_visits(*visits, backbone, parameters, cache=kept.cache))
    assert result.outcomes[0].structure.mask.any()


@pytest.fixture
def any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's store also takes the stand-in's name."""
    from samprompt.worker import cache

    original = cache.choose_device
    monkeypatch.setattr(cache, "choose_device", lambda name: torch.device(name) if name == "meta" else original(name))


def test_a_release_gives_all_memory_of_the_device_back(
    phantom: Any, accelerator: torch.device, any_device: None, allocated: Allocated
) -> None:
    before = allocated(accelerator)
    kept = Kept()
    job(kept, accelerator, phantom, QUICK)
    model = sum(p.numel() * 4 for p in kept.models("tiny", str(accelerator), None).model.parameters())  # type: ignore[attr-defined]
    warm = allocated(accelerator)
    assert warm >= before + model + 100_000  # the model, and what it saw in the images
    kept.forget()
    assert before + model <= allocated(accelerator) < before + 1.1 * model  # the model stays
    kept.release()
    assert allocated(accelerator) == before


def test_a_job_that_nobody_keeps_anything_of_leaves_nothing(
    phantom: Any, accelerator: torch.device, build: Callable[[str, torch.device], Any], allocated: Allocated
) -> None:
    before = allocated(accelerator)
    backbone = build("small SAM", accelerator)
    loaded = allocated(accelerator)
    for _ in range(2):
        next(propagate_visits(first_visit(phantom), [later_visit(phantom)], backbone, QUICK))
        assert allocated(accelerator) == loaded
    del backbone
    assert allocated(accelerator) == before


def test_a_release_takes_the_refiner_along(
    phantom: Any, accelerator: torch.device, any_device: None, allocated: Allocated
) -> None:
    before = allocated(accelerator)
    kept = Kept()
    job(kept, accelerator, phantom, replace(QUICK, path=replace(QUICK.path, refiner=True)))
    kept.release()
    assert allocated(accelerator) == before


def test_the_workers_release_message_frees_what_its_job_took(
    panel: Any, phantom: Any, tmp_path: Path, real: torch.device
) -> None:
    handover = panel.Handover(tmp_path / "private")
    worker = panel.WorkerProcess()
    try:
        visits = phantom.draw(COARSE, name="first"), phantom.draw(COARSE, lesion=14.0, seed=2, name="later")
        asked = handover.job(*visits, method="p2sam3d", device=real.type)
        for _ in range(2):  # after a release it works as before
            answer = worker.answer("propagate", asked, 120.0)
            assert isinstance(answer, Result), answer
            assert answer.provenance["device"].startswith(real.type)
            worker.send(ReleaseRequest())
            released = worker.next(30.0)
            assert isinstance(released, Released)
            assert released.freed_mib > 10 if real.type == "cuda" else released.freed_mib == 0
    finally:
        worker.close()
