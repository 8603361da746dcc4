"""How well the alignment recovers known movements of real scans, and how it answers to another patient's scan.

    python Testing/benchmarks/alignment.py [--cases NAME ...] [--visits 2] [--strangers] [--data FOLDER]

A follow-up is the baseline's own scan, denoised, moved by a known smooth deformation and set-up error, sampled on
another grid with another field of view, and given noise of its own; so the error of every stage is known at every
point. Table: mean target registration error (mm) in and within 15 mm of the structure, Dice of the warped structure,
for copied, rigid, local rigid and deformable; the quality, estimated error and CPU seconds (whole scan + round the
structure). ``--strangers`` aligns every patient to every other: the quality must be low and the answer not trusted.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import nibabel
import numpy as np
from samprompt.contract.propagation import AlignParameters
from samprompt.propagation.align import align_rigid, align_structure, warp_mask
from samprompt.propagation.align.matching import rotation
from samprompt.propagation.align.sampling import apply, grid_points, inside, sample
from samprompt.propagation.align.transform import signed_distance
from samprompt.space.grid import Grid
from samprompt.space.structure import Structure
from samprompt.space.volume import Volume
from scipy import ndimage

# TotalSegmentator's labels of organs of several sizes in ct_organs.
ORGANS = {"spleen": 1, "kidney_right": 2, "liver": 5, "stomach": 6, "aorta": 52, "vertebra_L1": 31, "pancreas": 7}


def read(path: Path) -> tuple[np.ndarray, Grid]:
    """Array (k, j, i) and grid of a NIfTI file (whose matrix is RAS already)."""
    image = nibabel.load(path)
    array = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32).T)
    return array, Grid(array.shape, image.affine)


def load_cases(data: Path) -> dict[str, tuple[Volume, Structure]]:
    """Every case by name: volume and structure."""
    cases = {}
    for folder in [data / "ct_lung_tumour", *sorted((data / "ct_sarcoma").glob("STS_*"))]:
        array, grid = read(folder / "ct.nii.gz")
        mask, _ = read(folder / "gtv.nii.gz")
        name = "lung" if folder.name == "ct_lung_tumour" else folder.name
        cases[name] = (Volume(array, grid, "CT", name), Structure("GTV", mask > 0, grid))
    array, grid = read(data / "ct_organs" / "ct.nii.gz")
    labels, _ = read(data / "ct_organs" / "organs.nii.gz")
    for organ, label in ORGANS.items():
        if (labels == label).sum() > 50:
            cases[organ] = (Volume(array, grid, "CT", "organs"), Structure(organ, labels == label, grid))
    return cases


class KnownMovement:
    """Follow-up RAS to baseline RAS: a smooth random displacement, then a rotation about the centre and a shift."""

    def __init__(self, grid: Grid, generator: np.random.Generator, magnitude: float, setup: float) -> None:
        corners = grid.corners_ras()
        self.centre = corners.mean(axis=0)
        low, high = corners.min(axis=0) - 60.0, corners.max(axis=0) + 60.0
        spacing = 8.0
        shape = np.ceil((high - low) / spacing).astype(int) + 1
        self.grid = Grid.from_spacing(tuple(int(n) for n in shape[::-1]), [spacing] * 3, low)
        field = np.stack(
            [ndimage.gaussian_filter(generator.standard_normal(self.grid.shape), 30.0 / spacing) for _ in range(3)]
        )
        length = np.sqrt((field**2).sum(axis=0))
        self.field = (field * magnitude / np.percentile(length, 95)).astype(np.float32)
        direction = generator.standard_normal(3)
        self.matrix = np.eye(4)
        turn = rotation(np.deg2rad(generator.uniform(-3, 3, 3)))
        shift = direction / np.linalg.norm(direction) * setup
        self.matrix[:3, :3] = turn
        self.matrix[:3, 3] = self.centre + shift - turn @ self.centre

    def __call__(self, ras: np.ndarray) -> np.ndarray:
        bent = ras + np.moveaxis(sample(self.field, self.grid.to_kji(ras)), 0, -1)
        return apply(self.matrix, bent)


def make_visit(
    volume: Volume, structure: Structure, seed: int, magnitude: float = 10.0
) -> tuple[Volume, Volume, Structure, KnownMovement]:
    """Noisy baseline, moved and noisy follow-up on a grid of its own, the true structure on it and the movement."""
    generator = np.random.default_rng(seed)
    movement = KnownMovement(volume.grid, generator, magnitude, generator.uniform(5.0, 15.0))
    spacing = volume.grid.spacing * generator.uniform(0.95, 1.15, 3)
    corners = volume.grid.corners_ras()
    low, high = corners.min(axis=0), corners.max(axis=0)
    # Another field of view: each side moved by -15 to 10 mm, then the crop's own random offset.
    low = low + generator.uniform(-10.0, 15.0, 3)
    high = high - generator.uniform(-10.0, 15.0, 3)
    shape = tuple(int(n) for n in np.maximum(((high - low) / spacing).astype(int), 4)[::-1])
    grid = Grid.from_spacing(shape, spacing, low)
    clean = ndimage.gaussian_filter(volume.array, [0.0, 0.7, 0.7])
    points = movement(grid_points(grid))
    kji = volume.grid.to_kji(points)
    seen = inside(volume.grid.shape, kji)
    moved = np.where(seen, sample(clean, kji), -1000.0)
    noise = [
        ndimage.gaussian_filter(generator.standard_normal(s), [0.3, 0.6, 0.6]) for s in (volume.array.shape, shape)
    ]
    noise = [20.0 * n / n.std() for n in noise]
    # What the simulation has no voxels for stays outside the follow-up's field of view.
    whole = seen.all(axis=(1, 2)) | (seen.mean(axis=(1, 2)) > 0.5)
    keep = np.flatnonzero(whole)
    part = slice(int(keep.min()), int(keep.max()) + 1)
    own = grid.crop((part.start, 0, 0), (part.stop - part.start, shape[1], shape[2]))
    followup = np.where(seen, moved + noise[1], -2000.0)[part]
    distance = signed_distance(structure.mask, structure.grid.spacing_kji)
    truth = ((sample(distance, kji) >= 0) & seen)[part]
    return (
        Volume((clean + noise[0]).astype(np.float32), volume.grid, volume.modality, volume.source),
        Volume(followup.astype(np.float32), own, volume.modality, f"{volume.source} moved"),
        Structure(structure.name, truth, own),
        movement,
    )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2.0 * (a & b).sum() / max(a.sum() + b.sum(), 1))


def measure(name: str, volume: Volume, structure: Structure, seed: int, parameters: AlignParameters) -> dict:
    """One simulated visit: figures per stage."""
    baseline, followup, truth, movement = make_visit(volume, structure, seed)
    began = time.process_time()
    rigid = align_rigid(baseline, followup, parameters)
    between = time.process_time()
    found = align_structure(baseline, followup, structure, rigid, parameters)
    ended = time.process_time()
    near = signed_distance(truth.mask, truth.grid.spacing_kji) > -15.0
    points = truth.grid.to_ras(np.argwhere(near)[::7])
    exact = movement(points)
    row = {"case": name, "seed": seed, "quality": found.quality, "stage": found.stage, "error": found.error_mm}
    row.update(trusted=found.trusted, folding=found.folding, rigid_s=between - began, local_s=ended - between)
    for stage in ("copied", "rigid", "local", "deformable"):
        row[f"tre_{stage}"] = float(np.linalg.norm(found.map_to_baseline(points, stage) - exact, axis=-1).mean())
        row[f"dice_{stage}"] = dice(warp_mask(structure, found, truth.grid, stage), truth.mask)
    row["alignment"] = found
    row["rigid"] = rigid
    return row


def show(rows: list[dict]) -> None:
    """Print the table and its means."""
    print(
        f"{'case':14s} seed |    TRE copied rigid local deform |   Dice copied rigid local deform | qual  est   fold  s"
    )
    for r in rows:
        tre = " ".join(f"{r[f'tre_{s}']:6.2f}" for s in ("copied", "rigid", "local", "deformable"))
        dsc = " ".join(f"{r[f'dice_{s}']:6.3f}" for s in ("copied", "rigid", "local", "deformable"))
        print(
            f"{r['case']:14s} {r['seed']:4d} | {tre} | {dsc} | {r['quality']:.2f} {r['error']:5.2f} {r['folding']:.4f}"
            f" {r['rigid_s']:.1f}+{r['local_s']:.1f} {r['stage']} {'' if r['trusted'] else 'NOT TRUSTED'}"
        )
    for key in ("tre_rigid", "tre_local", "tre_deformable", "dice_rigid", "dice_local", "dice_deformable", "quality"):
        print(f"mean {key}: {np.mean([r[key] for r in rows]):.3f}")


def strangers(cases: dict[str, tuple[Volume, Structure]], parameters: AlignParameters) -> None:
    """Every patient aligned to every other."""
    seen: dict[str, tuple[str, Volume]] = {}
    for name, (volume, _) in cases.items():
        seen.setdefault(volume.source, (name, volume))
    for _, (name, volume) in seen.items():
        for other, (_, target) in seen.items():
            if other != volume.source:
                rigid = align_rigid(volume, target, parameters)
                found = align_structure(volume, target, cases[name][1], rigid, parameters)
                print(
                    f"{name:14s} -> {other:10s} quality {found.quality:.2f} rigid {rigid.quality:.2f} "
                    f"body {rigid.body_overlap:.2f} shared {rigid.shared_field:.2f} error {found.error_mm:.1f} "
                    f"agreement {found.stage_quality.get('rigid', 0):.2f} -> "
                    f"{found.stage_quality.get('deformable', 0):.2f} {'TRUSTED' if found.trusted else 'not trusted'}",
                    flush=True,
                )


def main() -> None:
    default = os.environ.get("SAMPROMPT_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--visits", type=int, default=2)
    parser.add_argument("--strangers", action="store_true")
    parser.add_argument("--data", type=Path, default=Path(default))
    arguments = parser.parse_args()
    cases = load_cases(arguments.data)
    if arguments.cases:
        cases = {name: cases[name] for name in arguments.cases}
    parameters = AlignParameters()
    if arguments.strangers:
        strangers(cases, parameters)
        return
    show([measure(n, v, s, seed, parameters) for n, (v, s) in cases.items() for seed in range(arguments.visits)])


if __name__ == "__main__":
    main()
