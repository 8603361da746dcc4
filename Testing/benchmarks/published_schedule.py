"""How much faster the published P2SAM runs here than by the published schedule, and whether it says the same.

    python Testing/benchmarks/published_schedule.py --backbone tiny --slices 20

Both sides get the same model, the same square slices and the same preset. The table says seconds of wall clock and of
CPU (the fairer one on a machine that does other things too), the ratio, the largest difference between the logits of
any candidate, and our total over the time of the encoder alone on the same slices.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from samprompt.contract.prompting import PUBLISHED_MEDICAL, PUBLISHED_UNADAPTED_CT, P2SamParameters
from samprompt.models.backbone import Backbone
from samprompt.prompting import p2sam
from samprompt.prompting.candidate import Candidate
from samprompt.prompting.reference import Reference
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
import plain_schedule
from small_sam import SmallSamBackbone, small_sam

TESTING = Path(__file__).resolve().parents[1]
PRESETS = {"medical": PUBLISHED_MEDICAL, "unadapted-ct": PUBLISHED_UNADAPTED_CT}


def slices(count: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """A reference slice (3, H, W), its mask (H, W) and ``count`` slices (S, 3, H, W) where the object moves on."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:side, 0:side] / side
    pictures, masks = [], []
    for step in range(count + 1):
        image = 0.3 + 0.05 * np.sin(40 * rows + step / 5) + 0.05 * np.sin(55 * columns)
        for place in ((0.2, 0.7), (0.75, 0.25), (0.8, 0.8)):
            image += 0.25 * ((rows - place[0]) ** 2 + (columns - place[1]) ** 2 < 0.008)
        mask = (rows - 0.4 - 0.005 * step) ** 2 / 0.02 + (columns - 0.45) ** 2 / 0.012 < 1
        image += mask * (0.35 + 0.1 * np.sin(90 * rows)) + random.normal(0, 0.03, rows.shape)
        pictures.append(torch.from_numpy(np.clip(image, 0, 1).astype(np.float32)).expand(3, -1, -1))
        masks.append(torch.from_numpy(mask))
    return pictures[0], masks[0], torch.stack(pictures[1:])


def load(name: str, device: str) -> Backbone:
    """The backbone of that name; vit_b and small with random weights, since only time and equality are measured."""
    if name == "small":
        return SmallSamBackbone(small_sam())
    if name == "vit_b":
        from samprompt.models.sam import SamBackbone
        from segment_anything import sam_model_registry

        torch.manual_seed(0)
        return SamBackbone(sam_model_registry["vit_b"](), torch.device(device), "vit_b, random weights")
    from samprompt.models.registry import load_backbone

    return load_backbone(name, device)


def ours(
    backbone: Backbone, reference: Tensor, mask: Tensor, targets: Tensor, parameters: P2SamParameters, batch: int
) -> list[list[Candidate]]:
    """Every target slice with the reference encoded and clustered once and the candidates decoded together."""
    kept = Reference.from_mask(mask, backbone.encode(reference[None]), backbone.input_size, parameters)
    found = []
    for start in range(0, len(targets), batch):
        embedding = backbone.encode(targets[start : start + batch])
        parts = [embedding[index] for index in range(len(embedding))]
        found += p2sam.candidates_for_slices([kept] * len(parts), parts, backbone, parameters)
    return found


def timed(backbone: Backbone, function: Callable[[], Any]) -> tuple[Any, float, float]:
    """The answer, seconds of wall clock, seconds of CPU."""
    wait = torch.cuda.synchronize if backbone.device.type == "cuda" else lambda: None
    wait()
    wall, cpu = time.perf_counter(), time.process_time()
    answer = function()
    wait()
    return answer, time.perf_counter() - wall, time.process_time() - cpu


def machine(device: torch.device) -> str:
    """Processor or device, cores and torch, without the host's name."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    model = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        names = [line.split(":", 1)[1].strip() for line in listing.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


def main() -> None:
    """Measure and write the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backbone", default="small", help="small, tiny, vit_b, or a name of the catalogue")
    options.add_argument("--slices", type=int, default=20)
    options.add_argument(
        "--side", type=int, default=0, help="pixels of a slice; 0: half the model's input, at least 128"
    )
    options.add_argument("--preset", choices=sorted(PRESETS), default="medical")
    options.add_argument("--device", default="cpu")
    options.add_argument("--batch", type=int, default=8, help="slices per encoder call on our side")
    options.add_argument("--out", type=Path, default=TESTING / "benchmarks" / "results")
    chosen = options.parse_args()

    backbone, parameters = load(chosen.backbone, chosen.device), PRESETS[chosen.preset]
    side = chosen.side or max(128, backbone.input_size // 2)
    reference, mask, targets = slices(chosen.slices, side)
    ours(backbone, reference, mask, targets[:1], parameters, 1)  # warm up

    mine, wall, cpu = timed(backbone, lambda: ours(backbone, reference, mask, targets, parameters, chosen.batch))
    _, encoder_wall, encoder_cpu = timed(
        backbone, lambda: [backbone.encode(targets[i : i + chosen.batch]) for i in range(0, len(targets), chosen.batch)]
    )
    plain, plain_wall, plain_cpu = timed(
        backbone,
        lambda: [plain_schedule.segment_slice(backbone, reference, mask, target, parameters) for target in targets],
    )
    pairs = [(one, other) for row, other_row in zip(mine, plain, strict=True)
             for one, other in zip(row, other_row, strict=True)]  # fmt: skip
    assert all((one.n, one.m) == other[:2] for one, other in pairs)
    difference = max(float((one.logits - other[2]).abs().max()) for one, other in pairs)
    spread = max(float(other[2].abs().max()) for _, other in pairs)
    same = sum(
        (p2sam.choose(row, parameters).n, p2sam.choose(row, parameters).m) == min(other, key=lambda one: one[3])[:2]
        for row, other in zip(mine, plain, strict=True)
    )

    lines = [
        f"# Published schedule, backbone {chosen.backbone}, preset {chosen.preset}",
        "",
        f"{backbone.name}; {chosen.slices} slices of {side} x {side} pixels, one structure, one reference, "
        f"input {backbone.input_size}, {len(pairs) // chosen.slices} candidates a slice. {machine(backbone.device)}.",
        f"`python Testing/benchmarks/published_schedule.py {' '.join(sys.argv[1:])}`".replace(str(chosen.out), "DIR"),
        "",
        "| | seconds | CPU seconds |",
        "|---|---:|---:|",
        f"| published schedule, plain | {plain_wall:.2f} | {plain_cpu:.2f} |",
        f"| ours, same preset | {wall:.2f} | {cpu:.2f} |",
        f"| encoder alone on the slices | {encoder_wall:.2f} | {encoder_cpu:.2f} |",
        f"| **times faster** (aim 2) | **{plain_wall / wall:.2f}** | **{plain_cpu / cpu:.2f}** |",
        f"| ours / encoder alone | {wall / encoder_wall:.2f} | {cpu / encoder_cpu:.2f} |",
        "",
        f"Largest difference of any logit: {difference:.1e} (aim 1e-3; the logits reach {spread:.3g}). "
        f"Same candidate chosen on {same} of {chosen.slices} slices.",
        "",
    ]
    chosen.out.mkdir(parents=True, exist_ok=True)
    target = chosen.out / f"published_schedule_{chosen.backbone}_{chosen.preset}_{backbone.device.type}.md"
    temporary = target.with_suffix(".tmp")
    temporary.write_text("\n".join(lines), encoding="utf-8")
    temporary.replace(target)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
