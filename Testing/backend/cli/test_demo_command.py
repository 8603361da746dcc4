"""``samprompt demo`` on a coarse synthetic patient: the files, the very same job, the comparison with the truth."""

from __future__ import annotations

import json
import re

import nibabel
import numpy as np
import pytest
from samprompt.cli.demo import compare_with_truth, write_patient
from samprompt.io.images import read_volume
from samprompt.io.structures import read_structures
from samprompt.io.summary import Provenance, Summary, VisitRecord
from samprompt.space.visit import Visit
from samprompt.synthesis.patient import synthetic_patient
from samprompt.synthesis.visits import simulate_visit


@pytest.fixture(scope="module")
def coarse_patient() -> list[Visit]:
    """A baseline and one later visit, on voxels three times as coarse as the demo's, with two structures."""
    whole = synthetic_patient(3, "lung", (20, 56, 64), (5.0, 5.0, 7.0))
    kept = tuple(s for s in whole.structures if s.name in ("GTV", "Heart"))
    baseline = Visit("baseline", whole.volume, kept)
    later = simulate_visit(baseline, seed=31, kind="concentric").visit
    return [baseline, Visit("visit1", later.volume, later.structures)]


def test_the_patient_on_disk_is_the_patient_in_memory(coarse_patient, tmp_path):
    images, segmentations = write_patient(coarse_patient, tmp_path / "patient")
    for visit, image, segmentation in zip(coarse_patient, images, segmentations, strict=True):
        read = read_volume(image)
        assert read.grid.same_as(visit.volume.grid)
        assert np.array_equal(read.array, visit.volume.array)
        assert np.allclose(
            nibabel.load(image).get_fdata().transpose(2, 1, 0), visit.volume.array, atol=1e-3
        )  # another reader
        for found, true in zip(read_structures(segmentation, read), visit.structures, strict=True):
            assert (found.name, found.terminology) == (true.name, true.terminology)
            assert np.array_equal(found.mask, true.mask)


def test_the_truth_itself_scores_one_and_a_shifted_copy_less(coarse_patient, tmp_path):
    _, segmentations = write_patient(coarse_patient, tmp_path)
    later = coarse_patient[1]
    record = VisitRecord("visit1", "", segmentations[1].name, ())
    provenance = Provenance("", "", "", "", "", "", "", "", {}, ())
    summary = Summary(VisitRecord("baseline", "", "", ()), (record,), provenance, 1)
    same = compare_with_truth(tmp_path, summary, [later])
    assert same[("visit1", "GTV")] == ("1.000", "1.000")
    moved = Visit("visit1", later.volume, tuple(s.with_mask(np.roll(s.mask, 2, 1), s.grid) for s in later.structures))
    gtv = later.structures[0].mask
    dice = 2 * (gtv & np.roll(gtv, 2, 1)).sum() / (2 * gtv.sum())
    assert compare_with_truth(tmp_path, summary, [moved])[("visit1", "GTV")][0] == f"{dice:.3f}"


def test_the_demo_runs_the_whole_road_with_the_built_in_model(coarse_patient, command, tmp_path, monkeypatch):
    monkeypatch.setattr("samprompt.synthesis.patient.demo_patient", lambda seed: coarse_patient)
    done = command("demo", "--out", tmp_path / "demo")
    assert done.code == 0, done.err
    lines = done.out.strip().splitlines()
    assert lines[-1] == f"report: {tmp_path / 'demo' / 'report.html'}"
    assert "Dice" in lines[0]
    row = next(line for line in lines if "GTV" in line)
    assert re.search(r"\s(0\.\d{3}|1\.000)\s+(0\.\d{3}|1\.000)\s", row)
    data = json.loads((tmp_path / "demo" / "summary.json").read_text(encoding="utf-8"))
    assert data["provenance"]["model_name"] == "tiny"
    assert len(data["provenance"]["model_fingerprint"]) == 16
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {
        "patient", "report.html", "summary.json", "visit1.seg.nrrd",
    }  # fmt: skip
    again = command("demo", "--out", tmp_path / "demo")
    assert again.code == 2
    assert "--overwrite" in again.err
