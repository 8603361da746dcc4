"""The page a person reads: ``report.html``, in one file, readable without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from samprompt.io.atomic import replacing
from samprompt.io.chart import ChartPoint, volume_chart
from samprompt.io.figures import SlicePicture
from samprompt.io.summary import RESEARCH_USE_ONLY, VISIBLE_MASS, StructureRecord, Summary, VisitRecord, summary_dict


@dataclass(frozen=True)
class PicturePair:
    """One slice of the visit and the matching slice of the baseline (None where it has no section)."""

    title: str  # "Check first", "Middle", "Surest"
    visit: SlicePicture
    baseline: SlicePicture | None


Pictures = Mapping[tuple[str, str], Sequence[PicturePair]]  # (visit, structure) -> pairs, the one to check first


@dataclass(frozen=True)
class _Finding:
    visit: VisitRecord
    structure: StructureRecord
    anchor: str


def write_report(path: Path, summary: Summary, pictures: Pictures) -> None:
    """Write the report of ``summary`` with ``pictures``, whole or not at all; every name is escaped.

    Raises:
        OutputError: it cannot be written.
    """
    page = render_report(summary, pictures)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_report(summary: Summary, pictures: Pictures) -> str:
    """The report as one HTML page."""
    findings = [
        _Finding(visit, structure, f"v{v}s{s}")
        for v, visit in enumerate(summary.visits)
        for s, structure in enumerate(visit.structures)
    ]
    environment = Environment(
        loader=PackageLoader("samprompt.io", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = _signed
    environment.filters["number"] = _number
    environment.filters["sentence"] = _sentence
    environment.globals["hex_color"] = _hex_color
    return environment.get_template("report.html.j2").render(
        summary=summary,
        findings=findings,
        first=_first_to_look_at(findings),
        charts=[(s, Markup(volume_chart(_course(summary, s.name)))) for s in summary.baseline.structures],
        pictures=pictures,
        date=_date(summary.provenance.date),
        parameters=json.dumps(summary_dict(summary)["provenance"]["parameters"], indent=2, ensure_ascii=False),
        research_use_only=RESEARCH_USE_ONLY,
        visible_mass=VISIBLE_MASS,
    )


def _first_to_look_at(findings: Sequence[_Finding]) -> list[_Finding]:
    """The flagged results, the least trusted first."""
    flagged = [f for f in findings if f.structure.trust is not None and f.structure.trust.flagged]
    return sorted(flagged, key=lambda f: f.structure.trust.score if f.structure.trust else 1.0)


def _course(summary: Summary, name: str) -> list[ChartPoint]:
    """One structure through all visits."""
    points = []
    for visit in (summary.baseline, *summary.visits):
        for structure in visit.structures:
            if structure.name == name:
                level = structure.trust.level if structure.trust else "baseline"
                points.append(ChartPoint(visit.name, structure.volume_ml, level, structure.truncated))
    return points


def _signed(value: float | None, digits: int = 0) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def _number(value: float | None, digits: int = 1) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def _hex_color(color: Sequence[Any]) -> str:
    """ "#rrggbb" of red, green, blue in [0, 1]."""
    return "#" + "".join(f"{round(255 * min(max(float(c), 0.0), 1.0)):02x}" for c in color)


def _sentence(text: str) -> str:
    """``text`` with a capital at its beginning and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in (".", "!", "?") else ".")


def _date(iso: str) -> str:
    """ "21 November 2025, 05:00" of an ISO date; anything else unchanged."""
    try:
        when = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{when.day} {when:%B %Y, %H:%M}"
