"""How well a model answers on slices of patients it was not trained on: volumetric Dice per patient and prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, Literal

import numpy as np
import torch
from samprompt.models.backbone import Backbone, Prompts, decodes_pairs, join_embeddings, logits_to_image
from scipy import ndimage
from torch import Tensor

from samprompt_training.adapt.clicks import noisy_box

Asked = Literal["none", "point", "box"]
PROMPTS: tuple[Asked, ...] = ("none", "point", "box")
JITTER = 0.05  # of a box's side, uniform: no reader draws the tight box
Item = Mapping[str, Any]
Scores = dict[str, dict[str, float]]  # prompt -> patient -> Dice


@torch.no_grad()
def dice_by_patient(
    backbone: Backbone, items: Iterable[Item], prompts: Sequence[Asked] = PROMPTS, batch: int = 8, seed: int = 0
) -> Scores:
    """Dice of each patient for each kind of prompt: pixels of all slices of a structure pooled, structures averaged.

    ``items`` are slices as ``data.slices`` gives them; the model gets them as a user would give them, without the
    padding that makes them square. "none": every slice is decoded without a prompt, so what is
    found where the structure is absent counts against the model. "point" (the deepest point of the slice's mask) and
    "box" (tight, each edge moved by up to 5 %) are given on the slices that have the structure; on the others the
    answer is empty, since nobody would prompt there.
    """
    counts: dict[tuple[str, str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    number = 0
    for some in _chunks(map(_picture, items), batch):
        images = torch.stack([torch.as_tensor(item["image"]) for item in some])
        embedding = backbone.encode(images)
        for kind in prompts:
            chosen, given = [], []
            for place, item in enumerate(some):
                truth = torch.as_tensor(item["mask"])[0] > 0.5
                key = (kind, str(item["patient"]), str(item["case"]), str(item["structure"]))
                counts[key][1] += float(truth.sum())
                if kind == "none" or bool(truth.any()):
                    chosen.append((place, key, truth))
                    given.append(_prompt(kind, truth.numpy(), (seed, number + place)))
            for (_, key, truth), found in zip(chosen, _answers(backbone, embedding, chosen, given), strict=True):
                counts[key][0] += 2.0 * float((found & truth).sum())
                counts[key][1] += float(found.sum())
        number += len(some)
    pooled: dict[str, dict[str, list[float]]] = {kind: defaultdict(list) for kind in prompts}
    for (prompt, patient, _case, _structure), (twice, total) in counts.items():
        if total > 0:  # neither found nor there: a true negative, kept out of the means
            pooled[prompt][patient].append(twice / total)
    return {kind: {p: float(np.mean(v)) for p, v in sorted(found.items())} for kind, found in pooled.items()}


def mean_dice(scores: Scores) -> dict[str, float]:
    """Mean over patients as the figures of a validation: "dice_none", "dice_point", "dice_box"."""
    return {f"dice_{kind}": float(np.mean(list(v.values()))) if v else 0.0 for kind, v in scores.items()}


def _prompt(kind: Asked, mask: np.ndarray, seed: tuple[int, int]) -> Prompts:
    """One prompt made from the truth; nothing random but the box's jitter."""
    if kind == "none":
        return Prompts(count=1)
    if kind == "point":
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), mask.shape)
        return Prompts(points=torch.tensor([[[x + 0.5, y + 0.5]]]), labels=torch.ones(1, 1, dtype=torch.int64))
    box = noisy_box(mask, np.random.default_rng(0), 0.0, 0.0)
    sides = np.tile(box[2:] - box[:2], 2)
    jitter = np.random.default_rng(seed).uniform(-JITTER, JITTER, 4) * sides
    return Prompts(boxes=torch.from_numpy((box + jitter).astype(np.float32))[None])


def _answers(
    backbone: Backbone, embedding: Any, chosen: Sequence[tuple[int, Any, Tensor]], given: Sequence[Prompts]
) -> Iterator[Tensor]:
    """The answered masks (H, W), image by image; in one call where the model decodes pairs."""
    if not chosen:
        return
    if decodes_pairs(backbone):
        places = [place for place, _, _ in chosen]
        parts = [(one.points, one.labels, one.boxes) for one in given]
        joined = [None if p[0] is None else torch.cat(list(p)) for p in zip(*parts, strict=True)]
        prompts = Prompts(joined[0], joined[1], joined[2], count=len(given))
        some = join_embeddings([embedding[place] for place in places])
        for logits in backbone.decode(some, prompts).logits:
            yield (logits_to_image(logits[None, :1], embedding, backbone.input_size)[0, 0] > 0).cpu()
        return
    for (place, _, _), prompts in zip(chosen, given, strict=True):
        logits = backbone.decode(embedding[place], prompts).logits[:, :1]
        yield (logits_to_image(logits, embedding, backbone.input_size)[0, 0] > 0).cpu()


def _picture(item: Item) -> Item:
    """The item without its padding."""
    if "extent" not in item:
        return item
    rows, columns = (int(length) for length in item["extent"])
    return {**item, **{key: torch.as_tensor(item[key])[..., :rows, :columns] for key in ("image", "mask")}}


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Up to ``size`` neighbours of one shape at a time."""
    for _shape, alike in groupby(items, lambda item: tuple(item["image"].shape)):
        while chunk := list(islice(alike, size)):
            yield chunk
