"""The GPU benchmark's command, at small size on the CPU: it goes on where it stopped and says what is missing."""

from __future__ import annotations

import json
import mmap
import re
import sys
import time
from pathlib import Path
from typing import Any

import gpu
import gpu_encoders
import gpu_models
import pytest
import torch
from gpu_measure import Peak, problems, resident, seconds_of
from gpu_record import Record
from samprompt.contract.errors import OutOfMemory

CPU = torch.device("cpu")
QUICK = ("--device", "cpu", "--small", "--batches", "1", "--slices", "8", "--structures", "1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    import encoder_speed

    monkeypatch.setattr(encoder_speed, "matrix_rate", lambda _device, _dtype: 1e10)  # 4096 x 4096 takes seconds


def rows(page: str, title: str) -> list[dict[str, str]]:
    """The table below a title."""
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [[c.strip() for c in line[1:-1].split("|")] for line in section.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def run(out: Path, *words: str) -> str:
    assert gpu.main([*QUICK, "--out", str(out), *words]) == 0
    return out.read_text(encoding="utf-8")


def vit_gmac(width: int, depth: int, wide: int, heads: int = 64) -> float:
    """Multiply-adds of SAM's image encoder at 1024 pixels, from its description: ``wide`` blocks see all tokens."""
    tokens, windowed, window = 64 * 64, 25 * 14 * 14, 14 * 14  # 64 tokens a side are padded to 70 = 5 windows of 14
    total = tokens * 3 * 16 * 16 * width
    for block in range(depth):
        seen = tokens if block < wide else windowed
        near, side = (tokens, 64) if block < wide else (window, 14)
        total += seen * width * 3 * width + seen * width * width + 2 * tokens * width * 4 * width
        total += 2 * seen * near * width + 2 * seen * side * width  # attention, and relative places by row and column
    total += tokens * width * 256 + tokens * 256 * 256 * 9
    return total / 1e9


@pytest.mark.parametrize(("name", "width", "depth"), [("vit_b", 768, 12), ("vit_l", 1024, 24), ("vit_h", 1280, 32)])
def test_the_work_of_an_encoder_is_counted_without_doing_it(name: str, width: int, depth: int) -> None:
    parameters, counted = gpu_models.count_only(name)
    assert counted == pytest.approx(vit_gmac(width, depth, wide=4), rel=1e-3)
    assert parameters == pytest.approx({"vit_b": 89.7, "vit_l": 308.3, "vit_h": 637.0}[name], abs=0.1)


def test_the_encoders_table_holds_rates_shares_and_peaks(tmp_path: Path) -> None:
    page = run(tmp_path / "page.md", "--parts", "encoders", "--models", "tiny", "small SAM")
    table = rows(page, gpu_encoders.TITLE)
    assert [row["model"] for row in table][:2] == ["tiny", "small SAM"]
    for row in table[:2]:
        median = float(row["images/s: median (range)"].split()[0])
        low, high = (float(x) for x in re.findall(r"[\d.]+", row["images/s: median (range)"])[1:])
        assert 0 < low <= median <= high
        share = float(row["share of the matrix rate"].rstrip("%")) / 100
        assert share == pytest.approx(median * float(row["GMAC per image"]) * 1e9 / 1e10, rel=0.2)
        assert float(row["peak GiB"]) > 0.05
        assert float(row["images/s through `encode`"]) > 0
    assert "not measured" in next(row for row in table if row["model"].startswith("vit_h"))["batch"]
    assert "A trial at small size" in page
    assert "no GPU" in page or torch.cuda.is_available()


def test_a_visit_is_measured_stage_by_stage_and_its_baseline_encoded_once(tmp_path: Path) -> None:
    page = run(tmp_path / "page.md", "--parts", "visit", "visits", "--models", "small SAM")
    (visit,) = rows(page, "A whole visit")
    assert visit["slices"] == "8"
    assert visit["images encoded"].startswith("visit 1 8, baseline ")
    total, encoder = float(visit["total s"]), float(visit["encoder alone s"])
    assert 0 < encoder < total
    assert float(visit["total / encoder"]) == pytest.approx(total / encoder, rel=0.2)
    stages = {n: float(s) for n, s in re.findall(r"(\w+) ([\d.]+)", visit["stages (s)"])}
    assert {"alignment", "encoding", "baseline", "prompting"} <= stages.keys()
    assert sum(stages.values()) == pytest.approx(total, rel=0.1, abs=0.1)
    assert visit["roads of the structures"] == "model 1"
    (several,) = rows(page, "Several visits that share the baseline")
    assert several["visits in which the baseline was encoded"] == "1"
    assert several["images of each following"] == "visit 2 8"


def test_an_adaptation_is_measured_both_ways(tmp_path: Path) -> None:
    page = run(tmp_path / "page.md", "--parts", "adaptation", "--models", "small SAM", "--adapt-steps", "1")
    full, lora = rows(page, "Adaptation")
    assert (full["trained"], lora["trained"]) == ("full", "LoRA")
    assert float(lora["million parameters trained"]) < float(full["million parameters trained"])
    assert float(full["steps/s"]) > 0
    ratio = float(lora["steps/s, data ready"]) / float(full["steps/s, data ready"])
    assert float(lora["LoRA / full"]) == pytest.approx(ratio, rel=0.02, abs=0.01)


def test_the_same_command_again_measures_what_is_missing_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []

    def measure(name: str, _settings: Any) -> dict[str, Any]:
        if name == "small SAM" and not measured.count("stop"):
            measured.append("stop")
            raise KeyboardInterrupt
        measured.append(name)
        row = {"batch": 1, "rates": [2.0, 3.0, 4.0], "peak": 1.0}
        return {"rows": [row], "side": 1, "parameters": 1.0, "gmac": 1.0, "most": 1e9, "encode": [1.0]}

    monkeypatch.setattr(gpu_encoders, "measure", measure)
    monkeypatch.setattr(gpu_encoders, "count", lambda _name: {"rows": [], "side": 1, "parameters": 1.0, "gmac": 1.0})
    out, words = tmp_path / "page.md", ("--parts", "encoders")
    with pytest.raises(KeyboardInterrupt):
        run(out, *words)
    assert "tiny" in out.read_text()
    with (tmp_path / "page.jsonl").open("a") as record:
        record.write('{"part": "encoders", "pie')  # killed while a line was written
    page = run(out, *words)
    assert measured == ["tiny", "stop", "small SAM", "small SAM 2"]
    assert {"tiny", "small SAM", "small SAM 2"} <= {row["model"] for row in rows(page, gpu_encoders.TITLE)}
    assert "3.0 (2.0 to 4.0)" in page
    run(out, *words)
    assert len(measured) == 4
    assert gpu.main([*QUICK, "--out", str(out), "--precision", "bf16", *words]) == 2  # other figures do not mix
    assert "precision: was fp32, is bf16" in capsys.readouterr().err
    run(out, *words, "--again")
    assert len(measured) == 7


def test_no_piece_begins_when_the_time_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.md"
    assert gpu.main([*QUICK, "--out", str(out), "--minutes", "-1", "--parts", "encoders", "--models", "tiny"]) == 0
    assert not out.exists()
    assert "encoders: tiny" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--slices", "2"), ("--structures", "11"), ("--batches", "0"), ("--visits", "1")])
def test_sizes_that_make_no_sense_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    assert gpu.main(["--device", "cpu", "--small", "--out", str(tmp_path / "page.md"), *words]) == 2


def test_a_missing_package_is_a_row_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, words = tmp_path / "page.md", ("--parts", "encoders", "visit", "--models", "small SAM 2")
    with monkeypatch.context() as without:
        for name in [n for n in sys.modules if n == "sam2" or n.startswith("sam2.")] or ["sam2"]:
            without.setitem(sys.modules, name, None)
        page = run(out, *words)
    assert (
        "small SAM 2 needs a package that is missing" in rows(page, gpu_encoders.TITLE)[0]["images/s: median (range)"]
    )
    assert "needs a package that is missing" in " ".join(rows(page, "A whole visit")[0].values())
    kept = [json.loads(line) for line in (tmp_path / "page.jsonl").read_text().splitlines()]
    record = Record(tmp_path / "page.jsonl", kept[0]["identity"])
    assert not record.has("encoders", "small SAM 2")
    assert record.has("encoders", "vit_b, counted only")


def test_memory_that_runs_out_is_said_in_the_row_and_other_errors_are_not_hidden() -> None:
    figures: dict[str, Any] = {}
    with problems(figures):
        torch.empty(2**60)
    assert figures["problem"] == "out of memory"
    with problems(figures):
        raise OutOfMemory("Even a batch of one.", "")
    with pytest.raises(ValueError, match="a fault"), problems({}):
        raise ValueError("a fault")


def test_a_peak_is_that_of_its_block(real: torch.device) -> None:
    with Peak(real) as large:
        before = torch.cuda.memory_allocated(real) if real.type == "cuda" else resident()
        if real.type == "cuda":
            torch.ones(300 << 20, dtype=torch.uint8, device=real)
        else:  # from the system, since the allocator may still have as much of what was freed before
            with mmap.mmap(-1, 300 << 20) as pages:
                pages.write(b"1" * (300 << 20))
                time.sleep(0.05)
    with Peak(real) as small:
        torch.ones(1, device=real)
    assert 0.25 < large.gib - before / 2**30 < 0.35
    assert small.gib < large.gib - 0.25  # the second block does not see the peak of the first


def test_the_clock_says_the_seconds_of_a_call() -> None:
    settings = gpu.settings_of(gpu.arguments_of(["--device", "cpu", "--small"]))
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        time.sleep(1.0 if len(calls) == 1 else 0.02)  # the first one is not counted

    found = seconds_of(work, settings)
    assert len(found) == settings.rounds
    assert all(0.02 <= seconds < 0.3 for seconds in found)
    assert len(calls) - 1 >= sum(settings.least / seconds for seconds in found) - 1e-6  # as often as fills the time
