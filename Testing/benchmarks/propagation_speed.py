"""How long a visit takes, where the time goes, and how much of it is the encoder alone; peak memory.

    python Testing/benchmarks/propagation_speed.py --model tiny [--case lung|phantom] [--threads 2]
    python Testing/benchmarks/propagation_speed.py --model vit_b --random   # random weights are enough for speed

Ratios are within one run: total (with and without alignment) / the encoder's own seconds in it.
Writes a row to Testing/benchmarks/results/propagation_speed.md.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe_machine, write_row
from samprompt.io.images import read_volume
from samprompt.io.structures import read_structures
from samprompt.models.registry import load_backbone
from samprompt.propagation.patient import propagate_visits
from samprompt.space.visit import Visit
from samprompt.synthesis.patient import synthetic_patient
from samprompt.synthesis.visits import simulate_visit

REPOSITORY = Path(__file__).resolve().parents[2]


class Recording:
    """A backbone whose encoder is timed by itself: the same images, at the same time, under the same load."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.images, self.seconds = inner, 0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode(self, images: torch.Tensor) -> Any:
        began = time.perf_counter()
        encoded = self.inner.encode(images)
        self.seconds += time.perf_counter() - began
        self.images += len(images)
        return encoded


def random_vit_b() -> Any:
    from samprompt.models.sam import SamBackbone
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    return SamBackbone(sam_model_registry["vit_b"](), torch.device("cpu"))


def case(name: str, data: Path, slices: int) -> tuple[Visit, Visit]:
    """Baseline and a simulated follow-up; ``slices`` > 0 keeps only so many slices round the structure."""
    if name == "lung":
        volume = read_volume(data / "ct_lung_tumour" / "ct.nii.gz")
        structure = read_structures(data / "ct_lung_tumour" / "gtv.nii.gz", volume)[0]
        baseline = Visit("lung", volume, (structure,))
    else:
        patient = synthetic_patient(5, "lung")
        baseline = Visit("phantom", patient.volume, patient.structures[:1])
    if slices > 0:
        from dataclasses import replace

        structure = baseline.structures[0]
        planes = np.flatnonzero(structure.mask.any(axis=(1, 2)))
        middle = int(planes[len(planes) // 2])
        mask = structure.mask.copy()
        mask[: max(0, middle - slices // 2)] = False
        mask[middle + (slices + 1) // 2 :] = False
        baseline = Visit(baseline.name, baseline.volume, (replace(structure, mask=mask),))
    simulated = simulate_visit(baseline, 3, "concentric", target=baseline.structures[0].name)
    return baseline, Visit("follow-up", simulated.visit.volume)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--random", action="store_true", help="random weights (vit_b)")
    parser.add_argument("--case", default="lung", choices=("lung", "phantom"))
    parser.add_argument("--slices", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    backbone = random_vit_b() if arguments.random else load_backbone(arguments.model, "cpu")
    baseline, followup = case(arguments.case, arguments.data, arguments.slices)
    recording = Recording(backbone)
    began = time.perf_counter()
    result = next(propagate_visits(baseline, [followup], recording))
    total = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    images, alone = recording.images, recording.seconds
    without = total - result.seconds["alignment"]
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in result.seconds.items())
    row = {
        "model": arguments.model + (" (random weights)" if arguments.random else ""),
        "case": arguments.case, "slices encoded": str(images), "total s": f"{total:.1f}", "stages (s)": stages,
        "encoder alone s": f"{alone:.1f}", "(total - alignment) / encoder": f"{without / alone:.2f}",
        "total / encoder": f"{total / alone:.2f}", "peak GiB": f"{peak:.2f}",
        "machine": describe_machine(arguments.threads),
    }  # fmt: skip
    print(row)
    write_row(REPOSITORY / "Testing/benchmarks/results/propagation_speed.md", "Speed of one visit", row)


if __name__ == "__main__":
    main()
