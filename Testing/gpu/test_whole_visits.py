"""A whole visit on a device: the same contour as on the CPU, results on the CPU, the baseline encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gpu_models import SMALL
from gpu_visit import Waiting
from samprompt.contract.progress import Progress
from samprompt.models import refiner
from samprompt.propagation.patient import propagate_visits
from samprompt.propagation.result import VisitResult
from small_visits import QUICK, first_visit, later_visit

LEAST_DICE = 0.98  # of the contour carried on a GPU (in bfloat16) with the CPU's
CPU = torch.device("cpu")
Build = Callable[[str, torch.device], Any]


@pytest.fixture(scope="module")
def cache() -> dict[object, object]:
    """Alignments, which no device changes, are computed once."""
    return {}


@pytest.fixture(scope="module")
def visits(phantom: Any) -> tuple[Any, Any]:
    return first_visit(phantom), later_visit(phantom)


@pytest.fixture(autouse=True)
def _no_refiner_stays() -> Iterator[None]:
    yield
    refiner._load.cache_clear()


def carried(backbone: Any, visits: tuple[Any, Any], cache: dict[object, object], method: str) -> VisitResult:
    alignments = {key: value for key, value in cache.items() if key[0] == "alignment"}  # type: ignore[index]
    parameters = replace(QUICK, method=method)
    result = next(propagate_visits(visits[0], [visits[1]], backbone, parameters, cache=alignments))
    cache.update({key: value for key, value in alignments.items() if key[0] == "alignment"})  # type: ignore[index]
    return result


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


def there_is_something(result: VisitResult) -> np.ndarray:
    (outcome,) = result.outcomes
    mask = outcome.structure.mask
    assert isinstance(mask, np.ndarray)
    assert mask.any()
    assert np.isfinite(outcome.trust.score)
    return mask


@pytest.mark.parametrize("name", SMALL)
def test_a_visit_there_is_the_visit_here(
    build: Build, visits: Any, cache: dict[object, object], accelerator: torch.device, name: str
) -> None:
    here = carried(build(name, CPU), visits, cache, "p2sam3d")
    there = carried(build(name, accelerator), visits, cache, "p2sam3d")
    assert here.outcomes[0].route == there.outcomes[0].route == "model"
    assert dice(there_is_something(here), there_is_something(there)) > LEAST_DICE
    assert there.outcomes[0].trust.score == pytest.approx(here.outcomes[0].trust.score, abs=0.05)


@pytest.mark.parametrize("method", ["p2sam", "persam", "refiner"])
def test_the_other_methods_too(
    build: Build, visits: Any, cache: dict[object, object], accelerator: torch.device, method: str
) -> None:
    # slice by slice and without a prior, a mask may tip over on the last digit: a point elsewhere, another answer
    least = LEAST_DICE if method == "refiner" else 0.9
    here = carried(build("tiny", CPU), visits, cache, method)
    there = carried(build("tiny", accelerator), visits, cache, method)
    assert dice(there_is_something(here), there_is_something(there)) > least


@pytest.fixture
def refined_on(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Where the refiner's network was, at each of its calls."""
    used: list[torch.device] = []
    original = refiner.Refiner.correction

    def correction(self: Any, *args: Any, **kwargs: Any) -> Any:
        used.append(next(self.network.parameters()).device)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(refiner.Refiner, "correction", correction)
    return used


def test_the_refiner_as_a_candidate_computes_where_the_model_does(
    build: Build, visits: Any, cache: dict[object, object], place: torch.device, refined_on: list[torch.device]
) -> None:
    parameters = replace(QUICK, path=replace(QUICK.path, refiner=True, refiner_share=0.5))
    kept = {key: value for key, value in cache.items() if key[0] == "alignment"}  # type: ignore[index]
    result = next(propagate_visits(visits[0], [visits[1]], build("small SAM", place), parameters, cache=kept))
    there_is_something(result)
    assert set(refined_on) == {place}


def test_the_refiner_without_a_model_computes_on_the_device_that_is_named(
    visits: Any, cache: dict[object, object], place: torch.device, refined_on: list[torch.device]
) -> None:
    parameters = replace(QUICK, method="refiner")
    kept = {key: value for key, value in cache.items() if key[0] == "alignment"}  # type: ignore[index]
    here = next(propagate_visits(visits[0], [visits[1]], None, parameters, cache=kept))
    cache.update(kept)
    assert set(refined_on) == {CPU}
    refined_on.clear()
    there = next(propagate_visits(visits[0], [visits[1]], None, parameters, cache=kept, device=place))
    assert set(refined_on) == {place}
    assert dice(there_is_something(here), there_is_something(there)) > LEAST_DICE


def test_the_baseline_is_encoded_in_the_first_of_several_visits_alone(
    build: Build, visits: Any, phantom: Any, real: torch.device
) -> None:
    recording = Waiting(build("small SAM", real))
    others = [later_visit(phantom, number) for number in (2, 3)]
    results = propagate_visits(visits[0], [visits[1], *others], recording, QUICK, Progress(recording.told))
    seen = []
    for _ in range(3):
        recording.encoded.clear()
        there_is_something(next(results))
        seen.append(set(recording.encoded))
    assert seen == [{"first", "visit 1"}, {"visit 2"}, {"visit 3"}]
