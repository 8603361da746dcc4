"""Everything of a model is on the device that was asked for, and results come back on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpu_models import SMALL
from samprompt.contract.prompting import ADAPTED, PERSAM_MEDICAL, PUBLISHED_MEDICAL
from samprompt.models.backbone import Decoded, Embedding, Prompts
from samprompt.models.refiner import Refiner, RefinerNetwork
from samprompt.models.registry import load_backbone
from samprompt.prompting import direct, p2sam, persam
from samprompt.prompting.reference import Reference
from torch import Tensor

SHAPE = (96, 96)
Build = Callable[[str, torch.device], Any]


def tensors_of(thing: Any) -> dict[str, Tensor]:
    """The tensors in the fields of a dataclass, by name."""
    found: dict[str, Tensor] = {}
    for one in fields(thing):
        value = getattr(thing, one.name)
        values = value if isinstance(value, tuple) else (value,)
        found |= {f"{one.name} {n}": v for n, v in enumerate(values) if isinstance(v, Tensor)}
    return found


def all_on(place: torch.device, tensors: dict[str, Tensor]) -> None:
    assert tensors
    assert {name: str(t.device) for name, t in tensors.items() if t.device != place} == {}


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_and_every_answer_is_where_it_was_asked_for(
    build: Build, prompts: Any, place: torch.device, name: str
) -> None:
    backbone = build(name, place)
    assert backbone.device == place
    all_on(place, dict(backbone.model.named_parameters()) | dict(backbone.model.named_buffers()))
    images = prompts.random_image(SHAPE).expand(3, -1, -1, -1)
    embedding = backbone.encode(images)  # images of the CPU
    assert len(embedding) == 3
    all_on(place, tensors_of(embedding))
    all_on(place, tensors_of(backbone.encode(images.to(place))))  # and of the device itself
    first: Decoded | None = None
    for case in prompts.CASES:
        given = prompts.make_prompts(case, SHAPE, backbone.mask_size)
        answer = backbone.decode(embedding[0], given)
        all_on(place, tensors_of(answer))
        first = first or answer
    assert first is not None
    again = backbone.decode(embedding[1], Prompts(masks=first.logits))
    blank = backbone.decode(embedding[2], Prompts(count=2), True)
    for answer in (again, blank):
        all_on(place, tensors_of(answer))
        assert bool(torch.isfinite(answer.logits).all())
    assert len(blank.logits) == 2


def test_an_embedding_of_the_cpu_is_decoded_on_the_device(build: Build, prompts: Any, place: torch.device) -> None:
    for name in SMALL[1:]:  # of the built-in model embeddings are never kept elsewhere
        backbone = build(name, place)
        found = backbone.encode(prompts.random_image(SHAPE))
        parts = {"tokens": found.tokens.cpu(), "matching": found.matching.cpu()}
        kept = Embedding(
            **parts, high_res=tuple(level.cpu() for level in found.high_res), image_shape=found.image_shape,
            valid=found.valid, stretched=found.stretched,
        )  # fmt: skip
        given = prompts.make_prompts("boxes", SHAPE, backbone.mask_size)
        one, other = backbone.decode(found, given), backbone.decode(kept, given)
        all_on(place, tensors_of(other))
        assert torch.equal(one.logits.cpu(), other.logits.cpu())


@pytest.mark.parametrize("name", SMALL)
def test_prompting_methods_stay_on_the_device(build: Build, prompts: Any, place: torch.device, name: str) -> None:
    backbone = build(name, place)
    embedding = backbone.encode(prompts.random_image(SHAPE).expand(2, -1, -1, -1))
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[30:70, 25:60] = True
    for parameters in (PUBLISHED_MEDICAL, ADAPTED):
        reference = Reference.from_mask(mask, embedding[0], backbone.input_size, parameters)
        all_on(place, {"foreground": reference.foreground, "background": reference.background})
        prior = mask.float() if parameters is ADAPTED else None
        found = p2sam.candidates(reference, embedding[1], backbone, parameters, prior)
        assert found
        for candidate in found:
            all_on(place, tensors_of(candidate))
            assert np.isfinite([candidate.iou, candidate.distance]).all()
        box = (20.0, 20.0, 80.0, 80.0)
        for answer in (
            direct.segment(reference, embedding[1], backbone, parameters),
            persam.segment(reference, embedding[1], backbone, PERSAM_MEDICAL, prior, box),
        ):
            all_on(place, tensors_of(answer))


def test_the_refiner_answers_on_the_cpu_what_it_answers_there(place: torch.device, exact: None) -> None:
    torch.manual_seed(3)
    network = RefinerNetwork({"widths": (8, 8, 16, 16)})
    torch.nn.init.normal_(network.head.weight, std=0.2)  # fresh, it changes nothing
    rng = np.random.default_rng(0)
    followup, baseline = (rng.random((5, 3, 50, 60)).astype(np.float32) for _ in range(2))
    distance = rng.normal(0, 5, (5, 50, 60)).astype(np.float32)
    expected = Refiner(network).correction(followup, baseline, distance, 1.0, 3.0, batch=2)
    coarse = Refiner(network).correction(followup, baseline, distance, 0.4, 3.0)
    there = Refiner(network, place)
    all_on(place, dict(there.network.named_parameters()))
    found = there.correction(followup, baseline, distance, 1.0, 3.0, batch=2)
    assert isinstance(found, np.ndarray)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(there.correction(followup, baseline, distance, 0.4, 3.0), coarse, atol=2e-3)


def test_weights_are_loaded_onto_the_device(place: torch.device, repository: Path) -> None:
    for name in ("tiny", f"tiny:{repository / 'Resources' / 'models' / 'tiny.safetensors'}"):
        backbone: Any = load_backbone(name, place)
        all_on(place, dict(backbone.model.named_parameters()))
        assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
