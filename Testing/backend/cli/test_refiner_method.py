"""``samprompt propagate --method refiner``: no promptable model, its own weights named, their absence an error."""

from __future__ import annotations

import json
import shutil

import nrrd
import numpy as np
from samprompt.evaluation.rows import read_rows
from samprompt.models.refiner import shipped_fingerprint


def test_the_refiner_alone_carries_contours_and_the_summary_names_its_weights(propagate, patient, tmp_path):
    done = propagate("--structure", "GTV", method="refiner", model="no such model")
    assert done.code == 0, done.err
    data = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    (structure,) = data["visits"][0]["structures"]
    provenance = data["provenance"]
    assert structure["route"] == "prior refined"
    assert provenance["method"] == "refiner"
    assert provenance["model_name"] == "refiner"
    assert provenance["model_fingerprint"] == provenance["parameters"]["refiner_fingerprint"] == shipped_fingerprint()
    image, header = nrrd.read(str(tmp_path / "out" / "ct1.seg.nrrd"))
    found = image == int(header["Segment0_LabelValue"])
    truth = np.zeros(found.shape, bool)
    indices = np.indices(found.shape).astype(float)
    centre, radii = (32.0, 19.0, 8.0), (3.8, 3.8, 3.04)
    truth |= sum(((indices[n] - centre[n]) / radii[n]) ** 2 for n in range(3)) <= 1.0
    assert 2.0 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_missing_refiner_weights_end_with_exit_code_3_and_nothing_written(propagate, repository, tmp_path, monkeypatch):
    folder = tmp_path / "resources" / "models"
    folder.mkdir(parents=True)
    shutil.copy(repository / "Resources" / "models" / "catalogue.toml", folder)
    monkeypatch.setenv("SAMPROMPT_RESOURCES", str(folder.parent))
    done = propagate(method="refiner")
    assert done.code == 3
    assert "refiner is not at" in done.err
    assert not list((tmp_path / "out").glob("*.seg.nrrd"))


def test_the_table_has_a_row_of_the_refiner_without_any_promptable_model(command, patient, tmp_path):
    case = tmp_path / "cases" / "P1"
    case.mkdir(parents=True)
    shutil.copy(patient.ct0, case / "ct.nii.gz")
    shutil.copy(patient.masks / "GTV.nii.gz", case / "gtv.nii.gz")
    out = tmp_path / "table"
    chosen = ("--methods", "deformable,refiner", "--visits", 1, "--kinds", "concentric", "--model", "no such model")
    done = command("evaluate", "--patients", case, *chosen, "--out", out)
    assert done.code == 0, done.err
    rows = {row.method: row for row in read_rows(out / "results.csv")}
    assert set(rows) == {"deformable", "refiner"}
    assert rows["refiner"].status == "ok"
    assert rows["refiner"].route in ("prior refined", "prior only: not aligned")
    assert "refiner" in (out / "table.md").read_text("utf-8")
    settings = json.loads((out / "summary.json").read_text("utf-8"))["settings"]
    assert settings["refiner"] == shipped_fingerprint()
