"""Decide on synthetic patients whether the refined prior is a candidate, and what share of the prior's place it takes.

Every structure is carried once with the candidate on; then the path is chosen again from the same candidates with it
off and with every share. Constants and default of ``PathParameters.refiner`` and ``refiner_share`` come from here, no
real image was looked at.

    python Testing/benchmarks/refiner_share.py collect --out FOLDER [--patients 6]
    python Testing/benchmarks/refiner_share.py compare FOLDER
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from samprompt import resources
from samprompt.contract.propagation import PathParameters, PropagationParameters
from samprompt.models.tiny import load_tiny
from samprompt.propagation import carry as carrying
from samprompt.propagation.knowledge import on_region
from samprompt.propagation.patient import propagate_visits
from samprompt.propagation.proposal import REFINED, Candidates
from samprompt.propagation.region import Region
from samprompt.space.orientation import slice_normal, towards
from samprompt.space.visit import Visit
from samprompt.synthesis.patient import PATIENT_KINDS, synthetic_patient
from samprompt.synthesis.visits import simulate_visit
from tune_path import dice, visits_of

FIRST_SEED = 300  # tune_path has 100 and on
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass
class Sample:
    """One structure on one simulated visit; Dice of the whole scan's masks of prior and refined prior."""

    patient: str
    kind: str
    structure: str
    proposed: Candidates
    region: Region
    truth: np.ndarray
    prior: float
    refined: float
    cnr: float


def collect(out: Path, patients: int) -> None:
    """Carry and keep; what is there already is not made again."""
    out.mkdir(parents=True, exist_ok=True)
    backbone = load_tiny(resources.root() / "models" / "tiny.safetensors")
    kept: list[tuple[Candidates, object]] = []
    settle = carrying.settle

    def remember(proposed, knowledge, encoded, prior, model, parameters):  # type: ignore[no-untyped-def]
        kept.append((proposed, encoded))
        return settle(proposed, knowledge, encoded, prior, model, parameters)

    carrying.settle = remember
    on = PropagationParameters("p2sam3d", path=replace(PathParameters(), refiner=True))
    for number in range(patients):
        patient = synthetic_patient(FIRST_SEED + number, PATIENT_KINDS[number % 3])
        for place, (kind, names) in enumerate(visits_of(number, patient)):
            path = out / f"{number:02d}-{place}.pickle"
            if path.exists() or not names:
                continue
            began = time.perf_counter()
            simulated = simulate_visit(patient, 7, kind)
            baseline = Visit(patient.name, patient.volume, tuple(s for s in patient.structures if s.name in names))
            kept.clear()
            bare, cache = Visit(kind, simulated.visit.volume), {}
            results = {
                p.method: next(propagate_visits(baseline, [bare], backbone, p, cache=cache))
                for p in (on, PropagationParameters("refiner"))
            }
            grid = bare.volume.grid
            orientation = towards(grid, slice_normal(grid))
            truths = {s.name: s.mask for s in simulated.visit.structures}
            samples = []
            for ours, alone in zip(results["p2sam3d"].outcomes, results["refiner"].outcomes, strict=True):
                name = ours.structure.name
                if alone.route != "prior refined":
                    continue
                prior = np.ascontiguousarray(orientation.apply(ours.prior.mask))
                found = [
                    (p, e) for p, e in kept if p.priors is not None and np.array_equal(p.priors, on_region(prior, e))
                ]
                proposed, region, truth = None, None, None
                if found and ours.route == "model":
                    proposed, encoded = found[0]
                    framed = np.ascontiguousarray(orientation.apply(truths[name]))
                    region, truth = encoded.region, on_region(framed, encoded)
                samples.append(
                    Sample(
                        patient.name, kind, name, proposed, region, truth, dice(ours.prior.mask, truths[name]),
                        dice(alone.structure.mask, truths[name]),
                        simulated.contrast_to_noise.get(name, float("nan")),
                    )
                )  # fmt: skip
            path.write_bytes(pickle.dumps(samples))
            shown = [(s.structure, round(s.prior, 3), round(s.refined, 3)) for s in samples]
            print(path.name, patient.name, kind, shown, f"{time.perf_counter() - began:.0f} s", flush=True)


def without(proposed: Candidates) -> Candidates:
    """The same candidates without the refined prior."""
    slices, deviations = [], []
    for found, deviation in zip(proposed.slices, proposed.deviations, strict=True):
        kept = [n for n, c in enumerate(found.candidates) if c.kind != REFINED]
        slices.append(replace(found, candidates=tuple(found.candidates[n] for n in kept)))
        deviations.append(deviation[kept])
    return replace(proposed, slices=tuple(slices), deviations=tuple(deviations), refined=None)


def chosen(sample: Sample, share: float | None) -> float:
    """Dice of the path's choice on the region's pixels; ``share`` None: the refined prior is off."""
    path = PathParameters() if share is None else replace(PathParameters(), refiner_share=share)
    proposed = without(sample.proposed) if share is None else sample.proposed
    _, options, picked = carrying.choose(proposed, sample.region, PropagationParameters(path=path))
    return dice(np.stack([o.masks[n] for o, n in zip(options, picked, strict=True)]), sample.truth)


def compare(folder: Path) -> None:
    """Mean Dice by what kind of structure, for the candidate off and every share."""
    samples = [s for path in sorted(folder.glob("*.pickle")) for s in pickle.loads(path.read_bytes())]
    there = [s for s in samples if np.isfinite(s.cnr)]
    print("refined alone, whole scan (prior, refined), n:")
    for name, group in groups(there).items():
        prior, refined = (np.mean([getattr(s, which) for s in group]) for which in ("prior", "refined"))
        print(f"  {name:24s} {prior:.3f} {refined:.3f}  {len(group)}")
    carried = [s for s in there if s.proposed is not None and s.truth.any()]
    found: dict[float | None, dict[int, float]] = defaultdict(dict)
    for number, sample in enumerate(carried):
        for share in (None, *SHARES):
            found[share][number] = chosen(sample, share)
        row = " ".join(f"{found[share][number]:.3f}" for share in (None, *SHARES))
        prior = dice(sample.proposed.priors, sample.truth)
        what = f"{sample.patient:22s} {sample.kind:13s} {sample.structure:12s} cnr {sample.cnr:5.2f}"
        print(f"{what} prior {prior:.3f}  {row}")
    print("path: prior, candidate off, then shares", SHARES, "n")
    for name, group in groups(carried).items():
        members = [carried.index(s) for s in group]
        prior = np.mean([dice(s.proposed.priors, s.truth) for s in group])
        row = " ".join(f"{np.mean([found[share][n] for n in members]):.4f}" for share in (None, *SHARES))
        print(f"  {name:24s} {prior:.4f}  {row}  {len(group)}")


def groups(samples: list[Sample]) -> dict[str, list[Sample]]:
    """All, tumours by contrast, organs; empty ones left out."""
    tumours = [s for s in samples if s.structure == "GTV"]
    found = {
        "all": samples,
        "tumours": tumours,
        "tumours, CNR under 1": [s for s in tumours if s.cnr < 1.0],
        "tumours, CNR 1 and more": [s for s in tumours if s.cnr >= 1.0],
        "organs": [s for s in samples if s.structure != "GTV"],
    }
    return {name: group for name, group in found.items() if group}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("collect")
    first.add_argument("--out", type=Path, required=True)
    first.add_argument("--patients", type=int, default=6)
    second = commands.add_parser("compare")
    second.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "collect":
        collect(arguments.out, arguments.patients)
    else:
        compare(arguments.folder)


if __name__ == "__main__":
    main()
