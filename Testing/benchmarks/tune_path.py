"""Choose the constants of path and trust on synthetic patients, before any real image is looked at.

``collect`` carries structures of synthetic patients to simulated visits and keeps every slice's candidates; ``fit``
searches ``PathParameters`` over them (no model needed) and fits ``TrustParameters``.

    python Testing/benchmarks/tune_path.py collect --out FOLDER [--part 0/2]
    python Testing/benchmarks/tune_path.py fit FOLDER
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from samprompt import resources
from samprompt.contract.propagation import PathParameters, PropagationParameters, TrustParameters
from samprompt.models.tiny import load_tiny
from samprompt.propagation import carry as carrying
from samprompt.propagation.knowledge import on_region
from samprompt.propagation.patient import propagate_visits
from samprompt.propagation.proposal import Candidates
from samprompt.propagation.region import Region
from samprompt.space.orientation import slice_normal, towards
from samprompt.space.visit import Visit
from samprompt.synthesis.parameters import ORGAN_KINDS, TUMOUR_KINDS
from samprompt.synthesis.patient import PATIENT_KINDS, synthetic_patient
from samprompt.synthesis.visits import simulate_visit
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

PATIENTS = 24  # seeds 100.. of three kinds in turn; evaluation uses other seeds


@dataclass
class Sample:
    """One structure on one simulated visit: candidates, truth on the region's pixels, and trust's raw parts."""

    patient: str
    kind: str
    structure: str
    proposed: Candidates
    region: Region
    truth: np.ndarray
    parts: dict[str, float]
    result_dice: float
    prior_dice: float
    cnr: float


def dice(one: np.ndarray, other: np.ndarray) -> float:
    total = int(one.sum()) + int(other.sum())
    return 1.0 if total == 0 else 2.0 * int((one & other).sum()) / total


def visits_of(number: int, patient: Visit) -> list[tuple[str, tuple[str, ...]]]:
    """Kinds of change and the structures that count for each: two tumour kinds and one organ kind per patient."""
    tumour = [TUMOUR_KINDS[(2 * number + n) % len(TUMOUR_KINDS)] for n in range(2)]
    organs = tuple(s.name for s in patient.structures if s.name != "GTV")
    return [*[(kind, ("GTV",)) for kind in tumour], (ORGAN_KINDS[number % len(ORGAN_KINDS)], organs)]


def collect(out: Path, part: int, parts: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    backbone = load_tiny(resources.root() / "models" / "tiny.safetensors")
    kept: list[Any] = []
    settle = carrying.settle

    def remember(proposed, knowledge, encoded, prior, model, parameters):  # type: ignore[no-untyped-def]
        kept.append((proposed, encoded))
        return settle(proposed, knowledge, encoded, prior, model, parameters)

    carrying.settle = remember
    for number in range(PATIENTS):
        patient = synthetic_patient(100 + number, PATIENT_KINDS[number % 3])
        for place, (kind, names) in enumerate(visits_of(number, patient)):
            path = out / f"{number:02d}-{place}.pickle"
            if (3 * number + place) % parts != part or path.exists() or not names:
                continue
            began = time.perf_counter()
            simulated = simulate_visit(patient, 7, kind)
            baseline = Visit(patient.name, patient.volume, tuple(s for s in patient.structures if s.name in names))
            kept.clear()
            result = next(propagate_visits(baseline, [Visit(kind, simulated.visit.volume)], backbone))
            truths = {s.name: s for s in simulated.visit.structures}
            samples, queue = [], list(kept)
            grid = simulated.visit.volume.grid
            orientation = towards(grid, slice_normal(grid))
            for outcome in result.outcomes:
                if outcome.route != "model":
                    continue
                truth = truths[outcome.structure.name].mask
                framed = np.ascontiguousarray(orientation.apply(truth))
                # settle ran in the order of the groups: find the one whose result this is by its prior
                prior = np.ascontiguousarray(orientation.apply(outcome.prior.mask))
                matching = [
                    (p, e) for p, e in queue if p.priors is not None and np.array_equal(p.priors, on_region(prior, e))
                ]
                if not matching:
                    continue
                proposed, encoded = matching[0]
                samples.append(
                    Sample(
                        patient.name,
                        kind,
                        outcome.structure.name,
                        proposed,
                        encoded.region,
                        on_region(framed, encoded),
                        outcome.trust.parts,
                        dice(outcome.structure.mask, truth),
                        dice(outcome.prior.mask, truth),
                        simulated.contrast_to_noise.get(outcome.structure.name, float("nan")),
                    )
                )
            path.write_bytes(pickle.dumps(samples))
            print(
                path.name,
                patient.name,
                kind,
                [(s.structure, round(s.result_dice, 3), round(s.prior_dice, 3)) for s in samples],
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )


def load(folder: Path) -> list[Sample]:
    return [s for path in sorted(folder.glob("*.pickle")) for s in pickle.loads(path.read_bytes())]


def with_prior(samples: list[Sample]) -> list[Sample]:
    """Without a prior, or gone: nothing about leaving the prior can be learnt there."""
    return [s for s in samples if s.truth.any() and s.proposed.priors is not None and s.proposed.priors.any()]


def score(samples: list[Sample], path: PathParameters) -> tuple[float, list[float], list[float]]:
    """Objective, Dice of the results and of the priors, on the region's pixels.

    Objective: mean gain over the prior, losses of more than five points counting three times (a result far below the
    free prior is what nobody forgives), patients weighted equally.
    """
    parameters = replace(PropagationParameters(), path=path)
    gains: dict[str, list[float]] = defaultdict(list)
    results, priors = [], []
    for sample in samples:
        _, options, chosen = carrying.choose(sample.proposed, sample.region, parameters)
        mask = np.stack([o.masks[n] for o, n in zip(options, chosen, strict=True)])
        mine = dice(mask, sample.truth)
        free = dice(sample.proposed.priors, sample.truth) if sample.proposed.priors is not None else 0.0
        results.append(mine)
        priors.append(free)
        gain = mine - free
        gains[sample.patient].append(gain + 2.0 * min(0.0, gain + 0.05))
    return float(np.mean([np.mean(g) for g in gains.values()])), results, priors


SPACE = {
    "appearance_weight": (0.1, 1.0),
    "decoder_weight": (0.0, 1.2),
    "prior_weight": (0.2, 2.0),
    "transport_weight": (0.0, 0.15),
    "smoothness_weight": (0.05, 0.8),
    "leave_prior_margin": (0.0, 0.08),
    "presence_per_mm": (0.0, 0.3),
    "certainty_cap": (0.6, 4.0),
    "minimum_error": (1.0, 5.0),
    "reliable_from": (-0.3, 0.4),
    "reliable_to": (0.1, 1.0),
    "leave_from": (0.3, 2.0),
    "leave_to": (1.0, 4.0),
    "least_bias": (0.01, 0.1),
}


def fit_path(samples: list[Sample], rounds: int, seed: int) -> PathParameters:
    """Random search, then local steps; the frozen values are rounded to two digits."""
    rng = np.random.default_rng(seed)
    best = PathParameters()
    value, results, priors = score(samples, best)
    print(f"start {value:+.4f} results {np.mean(results):.4f} priors {np.mean(priors):.4f}")
    for number in range(rounds):
        width = 0.5 if number < rounds // 3 else 0.2
        trial = {}
        for name, (low, high) in SPACE.items():
            if rng.random() < 0.5:
                moved = getattr(best, name) + rng.normal(0, width) * (high - low) / 2
                trial[name] = round(float(np.clip(moved, low, high)), 3)
        candidate = replace(best, **trial)
        new, results, priors = score(samples, candidate)
        if new > value:
            best, value = candidate, new
            print(
                f"{number} {value:+.4f} results {np.mean(results):.4f} priors {np.mean(priors):.4f} {trial}", flush=True
            )
    return best


TRUST_PARTS = (
    "alignment",
    "contrast",
    "cycle",
    "disagreement",
    "retrieval",
    "separation",
    "change",
    "border",
    "unreliable",
)


def weights_of(x: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Bias and non-positive weights of a logistic score of "did not fail"; a failure counts five times, L2 0.1 / n."""

    def loss(w: np.ndarray) -> float:
        z = w[0] - x @ np.abs(w[1:])
        each = np.where(failed, 5.0 * np.logaddexp(0, z), np.logaddexp(0, -z))
        return float(np.mean(each) + 0.1 / len(x) * np.sum(w[1:] ** 2))

    found = minimize(loss, np.r_[3.0, np.ones(x.shape[1])]).x
    return np.r_[found[0], -np.abs(found[1:])]


def fit_trust(samples: list[Sample]) -> None:
    """Fit the trust weights for "Dice < 0.7" and say how they rank patients that were left out."""
    x = np.array([[np.nan_to_num(s.parts.get(n, 0.0)) for n in TRUST_PARTS] for s in samples]).clip(max=3.0)
    failed = np.array([s.result_dice < 0.7 for s in samples])
    patients = np.array([s.patient for s in samples])
    print("failures", int(failed.sum()), "of", len(failed))
    if failed.sum() < 3:
        return
    weights = weights_of(x, failed)
    held_out = np.zeros(len(failed))
    for patient in np.unique(patients):
        test = patients == patient
        left = weights_of(x[~test], failed[~test])
        held_out[test] = left[0] + x[test] @ left[1:]
    print("left-out AUROC", roc_auc_score(~failed, held_out))
    shipped = TrustParameters()
    scores = shipped.bias + x @ np.array([getattr(shipped, name) for name in TRUST_PARTS])
    print("shipped AUROC", roc_auc_score(~failed, scores), "flagged among good", int((scores[~failed] < 0).sum()))
    print("bias", round(weights[0], 2), dict(zip(TRUST_PARTS, np.round(weights[1:], 2).tolist(), strict=True)))
    for n, name in enumerate(TRUST_PARTS):
        alone = roc_auc_score(~failed, -x[:, n])
        means = x[~failed, n].mean(), x[failed, n].mean()
        print(f"  {name:14s} AUROC alone {alone:.3f}, mean {means[0]:.2f} where good, {means[1]:.2f} where failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("collect")
    first.add_argument("--out", type=Path, required=True)
    first.add_argument("--part", default="0/1")
    second = commands.add_parser("fit")
    second.add_argument("folder", type=Path)
    second.add_argument("--rounds", type=int, default=60)
    second.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "collect":
        part, parts = (int(n) for n in arguments.part.split("/"))
        collect(arguments.out, part, parts)
        return
    everything = load(arguments.folder)
    fit_trust(everything)
    samples = with_prior(everything)
    best = fit_path(samples, arguments.rounds, arguments.seed)
    print(json.dumps({n: getattr(best, n) for n in SPACE}))
    _, results, priors = score(samples, best)
    for s, mine, free in zip(samples, results, priors, strict=True):
        print(f"{s.patient:22s} {s.kind:14s} {s.structure:12s} cnr {s.cnr:5.2f} result {mine:.3f} prior {free:.3f}")


if __name__ == "__main__":
    main()
