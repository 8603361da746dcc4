"""``samprompt propagate`` on good input: files, names, table, summary, report."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from samprompt.cli.names import visit_names
from samprompt.cli.propagate import split_reference


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_every_visit_gets_its_contours_on_its_own_grid_and_nothing_else_is_left(propagate, patient, tmp_path):
    done = propagate(followups=(patient.ct1, patient.ct2))
    assert done.code == 0, done.err
    out = tmp_path / "out"
    assert listing(out) == ["ct1.seg.nrrd", "ct2.seg.nrrd", "report.html", "summary.json"]
    data, header = nrrd.read(str(out / "ct1.seg.nrrd"))
    assert data.shape[-3:] == nibabel.load(patient.ct1).shape
    names = {header[f"Segment{n}_Name"] for n in range(2)}
    assert names == {"GTV", "Cord"}
    assert "research use only" in header["Segment0_Tags"]
    # copied: the same voxels as the baseline's own mask, since both scans share one grid
    gtv = next(n for n in range(2) if header[f"Segment{n}_Name"] == "GTV")
    layer = data if data.ndim == 3 else data[int(header[f"Segment{gtv}_Layer"])]
    found = layer == int(header[f"Segment{gtv}_LabelValue"])
    assert np.array_equal(found, nibabel.load(patient.masks / "GTV.nii.gz").get_fdata() > 0)


def test_the_terminal_ends_with_the_table_and_the_reports_path(propagate, patient, tmp_path):
    done = propagate(followups=(patient.ct1, patient.ct2))
    lines = done.out.strip().splitlines()
    assert lines[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    assert any(line.startswith("ct1") and "Cord" in line for line in lines)
    assert "Research use only" in done.out
    assert "visit 1 of 2: ct1" in done.err
    assert "visit 2 of 2: done" in done.err


def test_the_summary_says_what_was_done_with_what(propagate, patient, tmp_path):
    assert propagate("--structure", "gtv").code == 0
    data = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    (visit,) = data["visits"]
    (structure,) = visit["structures"]
    voxels = int((nibabel.load(patient.masks / "GTV.nii.gz").get_fdata() > 0).sum())
    assert structure["name"] == "GTV"
    assert structure["volume_ml"] == pytest.approx(voxels * 4 * 4 * 5 / 1000)
    assert structure["change_percent"] == pytest.approx(0.0)
    assert 0.0 <= structure["trust"]["score"] <= 1.0
    assert visit["segmentation"] == "ct1.seg.nrrd"
    assert visit["seconds"]["total"] > 0
    provenance = data["provenance"]
    assert provenance["method"] == "copied"
    assert provenance["parameters"]["method"] == "copied"
    digests = {f["role"]: f["sha256"] for f in provenance["inputs"]}
    assert digests["Baseline"] == hashlib.sha256(patient.ct0.read_bytes()).hexdigest()
    assert digests["Follow-up 1"] == hashlib.sha256(patient.ct1.read_bytes()).hexdigest()
    for check in structure["trust"]["check_slices"]:
        assert check["z_mm"] == pytest.approx(-40 + 5 * check["k"], abs=0.01)


def test_the_report_holds_a_picture_of_every_structure_on_every_visit(propagate, patient, tmp_path):
    propagate(followups=(patient.ct1, patient.ct2))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    cards = page.split('<div class="card" id="v')[1:]
    assert len(cards) == 4
    for card in cards:
        assert card.count("data:image/png;base64,") >= 4
        assert 'class="contour result"' in card
        assert 'class="contour baseline"' in card


def test_the_same_image_twice_is_done_and_said(propagate, patient, tmp_path):
    done = propagate(followups=(patient.ct0,))
    assert done.code == 0
    assert "very same image as the baseline" in done.out
    assert "very same image" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_an_existing_result_is_kept_unless_told_otherwise(propagate, patient, tmp_path):
    assert propagate().code == 0
    first = (tmp_path / "out" / "summary.json").read_bytes()
    refused = propagate()
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert (tmp_path / "out" / "summary.json").read_bytes() == first
    assert propagate("--overwrite").code == 0
    assert (tmp_path / "out" / "summary.json").read_bytes() != first


def test_an_empty_structure_among_others_is_left_out_with_a_note(propagate, patient):
    mask = patient.masks / "Cord.nii.gz"
    image = nibabel.load(mask)
    nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), mask)
    done = propagate()
    assert done.code == 0
    assert "Cord is empty on the baseline and was left out" in done.out
    assert "GTV" in done.out


def test_a_single_voxel_is_carried_with_low_trust(propagate, patient, tmp_path):
    for name in ("GTV", "Cord"):
        mask = patient.masks / f"{name}.nii.gz"
        image = nibabel.load(mask)
        one = np.zeros(image.shape, np.uint8)
        one[24, 22, 9] = 1
        nibabel.save(nibabel.Nifti1Image(one, image.affine), mask)
    done = propagate()
    assert done.code == 0
    assert "single voxel" in done.out
    data = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert all(s["trust"]["flagged"] for s in data["visits"][0]["structures"])


def test_hostile_names_reach_the_report_escaped(propagate, patient, tmp_path):
    shutil.move(patient.masks / "GTV.nii.gz", patient.masks / "<img src=x onerror=alert(1)>&.nii.gz")
    assert propagate().code == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;" in page


def test_visit_names_come_from_the_files_and_never_collide():
    paths = ["/p/week1/ct.nii.gz", "/p/week2/ct.nii.gz", "/p/b/Other CT.seg.nrrd", "/p/c/x.dcm", "/p/d/x.DCM"]
    assert visit_names([Path(p) for p in paths]) == ["week1-ct", "week2-ct", "Other_CT", "c-x", "d-x"]
    assert visit_names([Path("/a/ct.nii"), Path("/a/ct.nrrd"), Path("/a/CT.mha")]) == ["a-ct", "a-ct-2", "a-CT-3"]
    assert visit_names([Path("/a/con.nii"), Path("/a/...nii.gz"), Path("/a/ü/größe.nii")])[0] == "visit-con"
    for name in visit_names([Path(f"/a/{c}.nii.gz") for c in ('a:b*?"<>|', "..", "x" * 300, "nul", " ")]):
        assert name
        assert len(name) <= 86
        assert not set(name) & set('/\\:*?"<>| ')
        assert not name.startswith(".")


def test_a_reference_is_two_paths_even_with_a_colon_in_one(tmp_path):
    image, contours = tmp_path / "C:scan.nii.gz", tmp_path / "contours.seg.nrrd"
    image.touch()
    contours.touch()
    assert split_reference(f"{image}:{contours}") == (str(image), str(contours))
