"""Synthetic patients: a CT with organs, a lesion and exact masks, drawn from formulas and random fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samprompt.contract.errors import ParameterError
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.visit import Visit
from samprompt.space.volume import Volume
from samprompt.synthesis.fields import Bool, Float, scanner_noise, smooth_field

PATIENT_KINDS: tuple[str, ...] = ("lung", "abdomen", "limb")
_HU = {
    "air": -1000.0, "fat": -95.0, "muscle": 52.0, "lung": -820.0, "heart": 42.0, "liver": 100.0, "bone": 320.0,
    "marrow": 120.0, "cord": 30.0, "vessel": 150.0, "kidney": 130.0, "bowel": 20.0,
}  # fmt: skip
_SCT = "Segmentation category and type - DICOM master list"


def _terminology(category: tuple[str, str], kind: tuple[str, str]) -> str:
    """Slicer's ``TerminologyEntry`` for SNOMED CT codes (category and type as code, meaning)."""
    return f"{_SCT}~SCT^{category[0]}^{category[1]}~SCT^{kind[0]}^{kind[1]}~^^~Anatomic codes - DICOM master list~^^~^^"


_MASS = ("49755003", "Morphologically Altered Structure")
_ORGAN = ("123037004", "Anatomical Structure")
_LOOKS: dict[str, tuple[tuple[float, float, float], str]] = {
    "GTV": ((0.90, 0.25, 0.20), _terminology(_MASS, ("86049000", "Neoplasm, Primary"))),
    "Lung left": ((0.77, 0.64, 0.45), _terminology(_ORGAN, ("44029006", "Left Lung"))),
    "Lung right": ((0.77, 0.64, 0.45), _terminology(_ORGAN, ("3341006", "Right Lung"))),
    "Heart": ((0.81, 0.30, 0.38), _terminology(_ORGAN, ("80891009", "Heart"))),
    "Liver": ((0.87, 0.51, 0.40), _terminology(_ORGAN, ("10200004", "Liver"))),
    "Kidney left": ((0.73, 0.40, 0.33), _terminology(_ORGAN, ("18639004", "Left Kidney"))),
    "Spinal cord": ((0.96, 0.84, 0.31), _terminology(_ORGAN, ("2748008", "Spinal cord"))),
    "Femur": ((0.95, 0.93, 0.82), _terminology(_ORGAN, ("71341001", "Femur"))),
}


@dataclass
class _Canvas:
    """HU being drawn, the points' RAS, a smooth wobble that keeps every outline from being a perfect ellipsoid."""

    grid: Grid
    points: Float
    wobble: tuple[Float, Float]
    hu: Float
    masks: dict[str, Bool]

    def ellipsoid(self, centre: tuple[float, ...], radii: tuple[float, ...], roughness: float = 0.06) -> Bool:
        """Voxels inside an ellipsoid (RAS mm) roughened by the wobble."""
        r = np.sqrt((((self.points - np.array(centre)) / np.array(radii)) ** 2).sum(-1))
        return np.asarray(r + roughness * self.wobble[0] + 0.5 * roughness * self.wobble[1] <= 1.0)

    def paint(self, mask: Bool, hu: float, name: str = "") -> None:
        """Give ``mask`` the HU; with a ``name`` it becomes a structure and takes its voxels from the others."""
        self.hu[mask] = hu
        for other in self.masks.values():
            other &= ~mask
        if name:
            self.masks[name] = mask.copy()


def synthetic_patient(
    seed: int,
    kind: str = "lung",
    shape: tuple[int, int, int] = (48, 144, 160),
    spacing: tuple[float, ...] = (2.2, 2.2, 3.0),
) -> Visit:
    """A synthetic CT of ``kind`` "lung", "abdomen" or "limb" in HU with exact structures; the first one is "GTV".

    ``shape`` is (k, j, i) and ``spacing`` (i, j, k) in mm. Everything random comes from ``seed``.

    Raises:
        ParameterError: unknown kind.
    """
    if kind not in PATIENT_KINDS:
        raise ParameterError(f"Unknown kind of patient: {kind}.", f"Choose one of {', '.join(PATIENT_KINDS)}.")
    rng = np.random.default_rng([seed, PATIENT_KINDS.index(kind)])
    matrix = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    centre = (np.array(shape) - 1) / 2.0
    matrix[:3, 3] = -matrix[:3, :3] @ centre[::-1]
    grid = Grid(shape, matrix)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    wobble = (
        smooth_field(rng, shape, grid.spacing_kji, 22.0),
        smooth_field(rng, shape, grid.spacing_kji, 8.0),
    )
    points = grid.to_ras(index).astype(np.float32)
    canvas = _Canvas(grid, points, wobble, np.full(shape, _HU["air"], np.float32), {})
    body = {"lung": _thorax, "abdomen": _abdomen, "limb": _limb}[kind](canvas, rng)
    array = _acquire(canvas, body, rng)
    structures = [
        Structure(name, canvas.masks[name], grid, *_LOOKS[name])
        for name in sorted(canvas.masks, key=lambda n: n != "GTV")
        if canvas.masks[name].any()
    ]
    return Visit(f"synthetic-{kind}-{seed}", Volume(array, grid, "CT", f"synthetic {kind} {seed}"), tuple(structures))


def demo_patient(seed: int = 1, followups: int = 3) -> list[Visit]:
    """The demo: ``demo_visits``, all of them."""
    return list(demo_visits(seed, followups))


def demo_visits(seed: int = 1, followups: int = 3) -> Iterator[Visit]:
    """The demo: a baseline and later visits with known truth (regression, then more of it, then growth, and again).

    Each visit is made when it is asked for, which takes a second or two.
    """
    from samprompt.synthesis.visits import simulate_visit

    baseline = synthetic_patient(seed, "lung")
    baseline = Visit("baseline", baseline.volume, baseline.structures)
    yield baseline
    for number in range(1, followups + 1):
        kind = ("concentric", "regressive", "growth")[(number - 1) % 3]
        simulated = simulate_visit(baseline, seed=seed * 10 + number, kind=kind)
        yield Visit(f"visit{number}-{kind}", simulated.visit.volume, simulated.visit.structures)


def _trunk(canvas: _Canvas, rng: np.random.Generator) -> Bool:
    """Skin, fat, muscle, spine with cord, aorta; returns the body."""
    width, depth = rng.uniform(130, 148), rng.uniform(92, 108)
    body = canvas.ellipsoid((0, 0, 0), (width, depth, 2000), 0.03)
    canvas.paint(body, _HU["fat"])
    layer = rng.uniform(10, 22)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (width - layer, depth - layer, 2000), 0.04), _HU["muscle"])
    back = -(depth - layer) * 0.62
    z = canvas.points[..., 2]
    phase = rng.uniform(0, 28)
    vertebra = canvas.ellipsoid((0, back, 0), (19, 15, 2000), 0.05)
    canvas.paint(vertebra, _HU["bone"])
    canvas.paint(canvas.ellipsoid((0, back, 0), (16, 12, 2000), 0.05), _HU["marrow"])
    disc = canvas.ellipsoid((0, back, 0), (17, 13, 2000), 0.04) & (((z + phase) % 28.0) < 6.0)
    canvas.paint(disc, 75.0)
    canvas.paint(canvas.ellipsoid((0, back - 25, 0), (28, 11, 2000), 0.1), _HU["bone"])
    canvas.paint(canvas.ellipsoid((0, back - 23, 0), (9.5, 9.5, 2000), 0.02), 20.0)
    canvas.paint(canvas.ellipsoid((0, back - 23, 0), (6.5, 6.5, 2000), 0.02), _HU["cord"], "Spinal cord")
    canvas.paint(canvas.ellipsoid((16, back + 28, 0), (11.5, 11.5, 2000), 0.05), _HU["vessel"])
    return body


def _ribs(canvas: _Canvas, radii: tuple[float, float]) -> None:
    """Slanted shells of bone round the chest."""
    p = canvas.points
    r = np.sqrt((p[..., 0] / radii[0]) ** 2 + (p[..., 1] / radii[1]) ** 2) + 0.02 * canvas.wobble[0]
    slanted = p[..., 2] + 0.35 * p[..., 1]
    rib = (np.abs(r - 1.0) < 0.045) & ((slanted % 27.0) < 9.0)
    canvas.hu[rib & (canvas.hu > -300)] = _HU["bone"]


def _vessels(canvas: _Canvas, rng: np.random.Generator, where: Bool, hu: float, width: float) -> None:
    """Thin branching tubes: level bands of two smooth fields crossing."""
    a = smooth_field(rng, where.shape, canvas.grid.spacing_kji, 14.0)
    b = smooth_field(rng, where.shape, canvas.grid.spacing_kji, 14.0)
    canvas.hu[where & (a**2 + b**2 < width**2)] = hu


def _lesion(canvas: _Canvas, rng: np.random.Generator, centre: tuple[float, ...], radius: float, hu: float) -> None:
    """An irregular mass with lobes, spicules and sometimes a necrotic core."""
    radii = radius * rng.uniform(0.8, 1.25, 3)
    rough = smooth_field(rng, canvas.hu.shape, canvas.grid.spacing_kji, max(5.0, 0.45 * radius))
    p = (canvas.points - np.array(centre)) / radii
    r = np.sqrt((p**2).sum(-1)) + rng.uniform(0.08, 0.16) * rough
    mask = r <= 1.0
    labels, count = ndimage.label(mask)
    if count > 1:
        sizes = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
        mask = labels == 1 + int(np.argmax(sizes))
    canvas.paint(mask, hu, "GTV")
    if rng.random() < 0.4:
        canvas.hu[mask & (r < 0.5)] = hu - rng.uniform(15, 30)


def _thorax(canvas: _Canvas, rng: np.random.Generator) -> Bool:
    body = _trunk(canvas, rng)
    for side, name in ((-1, "Lung left"), (1, "Lung right")):
        lung = canvas.ellipsoid(
            (side * 62, 4, 25), (rng.uniform(40, 46), rng.uniform(56, 64), rng.uniform(85, 105)), 0.07
        )
        canvas.paint(lung, _HU["lung"] + rng.uniform(-30, 60), name)
        _vessels(canvas, rng, lung, 20.0, 0.13)
    _ribs(canvas, (106, 72))
    canvas.paint(canvas.ellipsoid((-14, 28, -22), (40, 34, 46), 0.07), _HU["heart"] + rng.uniform(-5, 60), "Heart")
    dome = canvas.ellipsoid((55, 6, -92), (72, 62, rng.uniform(42, 55)), 0.05)
    canvas.paint(dome, _HU["liver"] + rng.uniform(-20, 15), "Liver")
    side = rng.choice([-1, 1])
    wall = rng.random() < 0.5
    x = side * (rng.uniform(78, 90) if wall else rng.uniform(50, 68))
    _lesion(canvas, rng, (x, rng.uniform(-20, 30), rng.uniform(0, 25)), rng.uniform(13, 30), rng.uniform(25, 60))
    return body


def _abdomen(canvas: _Canvas, rng: np.random.Generator) -> Bool:
    body = _trunk(canvas, rng)
    cavity = canvas.ellipsoid((0, 18, 0), (98, 62, 2000), 0.05)
    canvas.hu[cavity & (canvas.hu > 40) & (canvas.hu < 60)] = -85.0
    liver = canvas.ellipsoid((44, 18, 22), (62, 54, 62), 0.08)
    canvas.paint(liver, _HU["liver"] + rng.uniform(-25, 25), "Liver")
    _vessels(canvas, rng, liver, canvas.hu[liver].mean() + 35.0, 0.10)
    canvas.paint(canvas.ellipsoid((-58, -28, 0), (27, 24, 46), 0.07), _HU["kidney"], "Kidney left")
    for _ in range(7):
        place = (rng.uniform(-75, 20), rng.uniform(10, 58), rng.uniform(-60, 50))
        canvas.paint(canvas.ellipsoid(place, tuple(rng.uniform(12, 24, 3)), 0.1), _HU["bowel"] + rng.uniform(-10, 60))
    if rng.random() < 0.6:
        base = float(np.median(canvas.hu[canvas.masks["Liver"]]))
        _lesion(canvas, rng, (58, 20, 18), rng.uniform(12, 24), base - rng.uniform(25, 60))
    else:
        _lesion(canvas, rng, (-20, 20, -5), rng.uniform(14, 28), rng.uniform(25, 70))
    return body


def _limb(canvas: _Canvas, rng: np.random.Generator) -> Bool:
    width = rng.uniform(78, 98)
    body = canvas.ellipsoid((0, 0, 0), (width, width * rng.uniform(0.85, 1.0), 2000), 0.05)
    canvas.paint(body, _HU["fat"])
    inner = canvas.ellipsoid((0, 0, 0), (width - 18, width - 20, 2000), 0.06)
    canvas.paint(inner, _HU["muscle"])
    septa = smooth_field(rng, canvas.hu.shape, canvas.grid.spacing_kji, 24.0)
    canvas.hu[inner & (np.abs(septa) < 0.07)] = _HU["fat"] + 30.0
    canvas.paint(canvas.ellipsoid((8, 4, 0), (17, 16, 2000), 0.04), 900.0, "Femur")
    canvas.hu[canvas.ellipsoid((8, 4, 0), (9, 9, 2000), 0.04)] = 30.0
    contrast = rng.choice([-1, 1]) * rng.uniform(6, 40)
    _lesion(canvas, rng, (-30, 18, rng.uniform(-10, 10)), rng.uniform(18, 30), _HU["muscle"] + contrast)
    return body


def _acquire(canvas: _Canvas, body: Bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Texture, partial volume, a couch, correlated noise; float32 HU."""
    shape, spacing = canvas.hu.shape, canvas.grid.spacing_kji
    texture = smooth_field(rng, shape, spacing, 4.0)
    hu = canvas.hu + np.where(body, rng.uniform(3, 9) * texture, 0.0)
    blur = rng.uniform(0.7, 1.3)  # mm, of the reconstruction; slices average over their thickness
    hu = ndimage.gaussian_filter(hu, (0.35, blur / spacing[1], blur / spacing[2]))
    under = canvas.points[..., 1] + canvas.points[..., 0] ** 2 / 900.0
    bottom = float(canvas.points[..., 1][body].min()) - rng.uniform(4, 10)
    couch = (np.abs(under - bottom) < 3.0) & ~body
    hu = np.where(couch, -250.0, hu)
    noise = scanner_noise(rng, shape, (0.3, 0.7, 0.7))
    hu = hu + noise * rng.uniform(8, 22) * np.where(body, 1.0, 0.4)
    return np.clip(hu, -1024.0, 3000.0).astype(np.float32)
