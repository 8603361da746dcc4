"""Volume over time as a small SVG drawing, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 340.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 6.0, 22.0, 30.0
_INSET = 34.0  # room for half a label at the first and the last point


@dataclass(frozen=True)
class ChartPoint:
    """One visit: ``level`` is "baseline", "high", "medium" or "low" trust; ``truncated`` is drawn hollow."""

    visit: str
    volume_ml: float
    level: str
    truncated: bool = False


def volume_chart(points: Sequence[ChartPoint]) -> str:
    """SVG of one structure's volume (ml, from zero) at every visit in order; low trust is drawn as a triangle."""
    top = _nice_top(max((p.volume_ml for p in points), default=1.0))
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    count = max(len(points) - 1, 1)
    first, width = _LEFT + _INSET, inner_width - 2 * _INSET
    xs = [first + (width * n / count if len(points) > 1 else width / 2) for n in range(len(points))]
    ys = [_TOP + inner_height * (1.0 - p.volume_ml / top) for p in points]
    spoken = "; ".join(f"{p.visit} {p.volume_ml:.1f} ml" for p in points)
    svg = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="{escape(f"Volume: {spoken}", quote=True)}">'
    ]
    for fraction in (0.0, 0.5, 1.0):
        y = _TOP + inner_height * (1.0 - fraction)
        svg.append(f'<line class="gridline" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        svg.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{top * fraction:g}</text>')
    svg.append(f'<text class="tick" x="{_LEFT - 6}" y="{_TOP - 10}" text-anchor="end">ml</text>')
    for n in range(len(points) - 1):
        vague = " vague" if points[n].truncated or points[n + 1].truncated else ""
        ends = f'x1="{xs[n]:.1f}" y1="{ys[n]:.1f}" x2="{xs[n + 1]:.1f}" y2="{ys[n + 1]:.1f}"'
        svg.append(f'<line class="line{vague}" {ends}/>')
    stride = math.ceil(len(points) / 12)
    for n, (point, x, y) in enumerate(zip(points, xs, ys, strict=True)):
        title = f"<title>{escape(point.visit)}: {point.volume_ml:.2f} ml{', truncated' * point.truncated}</title>"
        hollow = " hollow" if point.truncated else ""
        if point.level == "low":
            corners = f"{x:.1f},{y - 5.5:.1f} {x - 5.5:.1f},{y + 4.5:.1f} {x + 5.5:.1f},{y + 4.5:.1f}"
            svg.append(f'<polygon class="dot {point.level}{hollow}" points="{corners}">{title}</polygon>')
        else:
            svg.append(f'<circle class="dot {point.level}{hollow}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>')
        if len(points) <= 8:
            svg.append(f'<text class="value" x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{_short(point)}</text>')
        if n % stride == 0:
            label = escape(_elided(point.visit, max(6, int(46 / max(len(points), 1)))))
            svg.append(f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{label}</text>')
    svg.append("</svg>")
    return "".join(svg)


def _nice_top(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten that leaves room above ``value``."""
    wanted = max(value * 1.08, 1e-3)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= wanted)


def _short(point: ChartPoint) -> str:
    return f"{point.volume_ml:.0f}" if point.volume_ml >= 100 else f"{point.volume_ml:.1f}"


def _elided(name: str, length: int) -> str:
    """``name`` cut in the middle: the ends of file names tell visits apart."""
    if len(name) <= length:
        return name
    return f"{name[: (length - 1) // 2]}…{name[-(length - 1 - (length - 1) // 2) :]}"
