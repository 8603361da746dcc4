"""From the rows of a measurement with prompts to its tables: means, differences, what was missed, what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from samprompt.contract.version import VERSION
from samprompt.evaluation.prompted import AS_GIVEN, ELLIPSE, OTSU
from samprompt.evaluation.prompted_model import BOX, CLICKS, PRIOR, PROMPTS
from samprompt.evaluation.prompted_parameters import PromptedParameters
from samprompt.evaluation.prompted_rows import PromptedRow, by_patient
from samprompt.evaluation.table import Table, with_interval

_INTERVALS = (
    "Means over pieces, then structures, then patients. In brackets: 95 % interval from a bootstrap over patients; "
    "with one patient there is none."
)
Asked = tuple[str, str]  # prompt and who answered


def heading(parameters: PromptedParameters, models: Mapping[str, str], note: str = "") -> str:
    """What the tables are and how they came about, as Markdown; ``models`` are fingerprints by name.

    ``note``, what the reader has to know of these models besides, gets a paragraph of its own.
    """
    named = ", ".join(f"{name} ({fingerprint})" for name, fingerprint in models.items())
    p, prior = parameters, parameters.prior
    return f"""# Prompts on real images that no model was trained on

`samprompt evaluate-prompts`, version {VERSION}, seed {p.seed}. Models (fingerprint of the weights): {named}.
Research use only.
{f"{chr(10)}{note.strip()}{chr(10)}" if note.strip() else ""}
Each connected piece of a structure in a slice is prompted for by itself (diagonal neighbours touch; at least
{p.least_pixels} pixels; at most {p.slices} slices of a structure, evenly spaced). All constants are those of
`evaluation/prompted_parameters.py`, chosen with the figures of the ellipse, Otsu's threshold and the priors at
hand, before any model was measured with them.

- **Box**: the tight box, each edge moved by up to {100 * p.jitter:.0f} % of the side, evenly distributed. The filled
  ellipse touches the edges of the same box. Otsu's threshold is that of the grey levels in it; the class that fills
  more of the ellipse than of the corners is taken.
- **Clicks**: the first on the pixel of the piece that is farthest from its edge, then {p.corrections} corrections,
  each in the largest connected region of error, on its pixel farthest from the region's edge: positive where something
  is missing, negative where there is too much. Each comes with all clicks before it and the model's last logits.
- **Corrupted prior**: the piece moved by 0 to {prior.reach:.0f} mm (shift and smooth warp together, at most
  {100 * prior.share:.0f} % of its diameter; {100 * prior.share_without_mm:.0f} % where there are no mm), each axis
  scaled by {1 / prior.scale:.2f} to {prior.scale:.2f}, and {100 * prior.cut:.0f} % of the pieces cut by a straight
  line. Given as a mask prompt and nothing else.
- **No prompt**: reported only; the crop alone says where the piece is.
- **Crop**: a square of {p.enlargement:g} times the longest side of the box as it was drawn, at least
  {p.least_side:.0f} pixels of the image, resampled to the pixels that propagation would take (128 x 128 for an input of
  128). It favours clicks and no prompt, since it shows where and how large the piece is. The corrupted prior has a crop
  of its own, round its own box. Models that use neighbours get slices k-1, k, k+1; grey levels are windowed as
  propagation does.
- Pictures have no spacing: HD95 is in pixels, after reduction to a longest side of {p.picture_side} pixels.

"""


def tables(rows: Sequence[PromptedRow]) -> list[Table]:
    """All tables, a column per data set each."""
    return [
        _means("Dice", rows, lambda row: row.dice, 3),
        _means("HD95", rows, lambda row: row.hd95, 2),
        _differences("Differences in Dice points", rows, lambda row: 100.0 * row.dice, 1),
        _differences("Differences in HD95", rows, lambda row: row.hd95, 2),
        _missed(rows),
        _measured(rows),
    ]


def asked(rows: Sequence[PromptedRow]) -> list[Asked]:
    """Prompts with who answered them, by prompt; baselines before models."""
    present = list(dict.fromkeys((row.prompt, row.who) for row in rows))
    return [pair for prompt in PROMPTS for pair in present if pair[0] == prompt]


def compared(rows: Sequence[PromptedRow]) -> list[tuple[str, Asked, Asked]]:
    """What is set against what, in words: models against baselines and themselves, later models against the first."""
    present = set(asked(rows))
    models = list(dict.fromkeys(row.who for row in rows if row.prompt == CLICKS))
    found = []
    for who in models:
        found += [
            (f"{who}, box: over the ellipse of that box", (BOX, who), (BOX, ELLIPSE)),
            (f"{who}, box: over Otsu's threshold in it", (BOX, who), (BOX, OTSU)),
            (f"{who}, three clicks: over its own box", (CLICKS, who), (BOX, who)),
            (f"{who}, corrupted prior: over the prior as given", (PRIOR, who), (PRIOR, AS_GIVEN)),
        ]
    for who in models[1:]:
        found += [(f"{who}, {prompt}: over {models[0]}", (prompt, who), (prompt, models[0])) for prompt in PROMPTS]
    return [(text, one, other) for text, one, other in found if one in present and other in present]


def paired(rows: Sequence[PromptedRow], one: Asked, other: Asked) -> list[PromptedRow]:
    """A row per piece that both answered: Dice and HD95 are the differences (the latter NaN where one missed it)."""
    others = {row.place: row for row in rows if (row.prompt, row.who) == other}
    pairs = [(row, others.get(row.place)) for row in rows if (row.prompt, row.who) == one]
    return [replace(a, dice=a.dice - b.dice, hd95=a.hd95 - b.hd95) for a, b in pairs if b is not None]


def _sets(rows: Sequence[PromptedRow]) -> dict[str, list[PromptedRow]]:
    found: dict[str, list[PromptedRow]] = {}
    for row in rows:
        found.setdefault(row.data_set, []).append(row)
    return found


def _head(rows: Sequence[PromptedRow], with_unit: bool) -> tuple[str, ...]:
    return tuple(f"{name} ({mine[0].unit})" if with_unit else name for name, mine in _sets(rows).items())


def _means(title: str, rows: Sequence[PromptedRow], value: Callable[[PromptedRow], float], digits: int) -> Table:
    body = []
    for pair in asked(rows):
        mine = [[r for r in part if (r.prompt, r.who) == pair] for part in _sets(rows).values()]
        cells = [with_interval(by_patient(part, value), digits) for part in mine]
        body.append((f"{pair[0]}: {pair[1]}", *cells))
    notes = [_INTERVALS]
    if title == "HD95":
        notes.append("Over the pieces of which something was found; the others are counted below.")
    return Table(title, ("prompt: answer", *_head(rows, title == "HD95")), tuple(body), tuple(notes))


def _differences(title: str, rows: Sequence[PromptedRow], value: Callable[[PromptedRow], float], digits: int) -> Table:
    body = []
    for text, one, other in compared(rows):
        parts = [paired(part, one, other) for part in _sets(rows).values()]
        body.append((text, *(with_interval(by_patient(part, value), digits, sign=True) for part in parts)))
    note = "Paired by piece. " + ("Less is better." if "HD95" in title else "More is better.")
    return Table(title, ("answer: compared with", *_head(rows, "HD95" in title)), tuple(body), (note, _INTERVALS))


def _missed(rows: Sequence[PromptedRow]) -> Table:
    body = []
    for pair in asked(rows):
        counts = [sum(r.missed for r in part if (r.prompt, r.who) == pair) for part in _sets(rows).values()]
        if any(counts):
            body.append((f"{pair[0]}: {pair[1]}", *map(str, counts)))
    note = "An empty answer has Dice 0 and no HD95. Answers that are not listed missed nothing."
    return Table("Pieces of which nothing was found", ("prompt: answer", *_head(rows, False)), tuple(body), (note,))


def _measured(rows: Sequence[PromptedRow]) -> Table:
    counted: tuple[tuple[str, Callable[[PromptedRow], object]], ...] = (
        ("patients", lambda r: r.patient),
        ("images", lambda r: r.image),
        ("structures", lambda r: (r.patient, r.structure)),
        ("slices of structures", lambda r: (r.image, r.structure, r.k)),
        ("pieces", lambda r: r.place),
    )
    parts = _sets(rows).values()
    body = [(name, *(str(len({key(r) for r in part})) for part in parts)) for name, key in counted]
    sizes = [{r.place: r.pixels for r in part} for part in parts]
    body.append(("size of a piece in pixels: median (range)", *(_range(list(size.values()), 0) for size in sizes)))
    for prompt in (BOX, PRIOR):
        crops = [[r.crop for r in part if r.prompt == prompt and r.crop == r.crop] for part in parts]
        if any(crops):
            text = f"side of the crop for the {prompt}, in the unit of HD95: median (range)"
            body.append((text, *(_range(crop, 0) for crop in crops)))
    return Table("What was measured", ("", *_head(rows, False)), tuple(body))


def _range(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
