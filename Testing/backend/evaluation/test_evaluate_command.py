"""``samprompt evaluate`` as a user runs it, on two small patients written by nibabel."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_line import Command
from samprompt.evaluation.rows import read_rows

AFFINE = np.array([[-4.0, 0, 0, 90], [0, -4.0, 0, 80], [0, 0, 5.0, -40], [0, 0, 0, 1]])
SHAPE = (46, 42, 18)  # i, j, k


@pytest.fixture
def evaluate(command: Command) -> Command:
    """``evaluate(...)`` runs the real command line in this process."""
    return partial(command, "evaluate")


@pytest.fixture(scope="session")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients: a body with a lung on each side and a tumour in one of them."""
    folder = tmp_path_factory.mktemp("patients")
    place = np.indices(SHAPE).astype(float)

    def inside(centre: tuple[float, ...], radius: tuple[float, ...]) -> np.ndarray:
        return sum(((place[n] - centre[n]) / radius[n]) ** 2 for n in range(3)) <= 1.0

    for seed, size in ((1, 4.5), (2, 5.0)):
        image = np.full(SHAPE, -1000.0)
        image[inside((22.5, 20.5, 8.5), (19, 15, 30))] = 40.0
        image[inside((14.5, 19, 8.5), (6, 8, 9)) | inside((30.5, 19, 8.5), (6, 8, 9))] = -800.0
        tumour = inside((30.0, 19.0, 8.0), (size, size, size * 0.7))
        image[tumour] = 45.0
        image[inside((22.5, 30.0, 8.5), (3, 3, 40))] = 400.0
        image += np.random.default_rng(seed).normal(0, 8, SHAPE)
        one = folder / f"P{seed}"
        one.mkdir()
        nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), AFFINE), one / "ct.nii.gz")
        nibabel.save(nibabel.Nifti1Image(tumour.astype(np.uint8), AFFINE), one / "gtv.nii.gz")
    return folder


def test_two_runs_on_different_patients_are_joined_and_an_interrupted_one_goes_on(
    evaluate: Command, patients: Path, tmp_path: Path
):
    one, two, both = tmp_path / "one", tmp_path / "two", tmp_path / "both"
    options = ("--visits", 1, "--kinds", "growth")
    first = evaluate("--patients", patients / "P1", "--methods", "copied", *options, "--out", one)
    assert first.code == 0, first.err
    assert len(read_rows(one / "results.csv")) == 1
    more = evaluate("--patients", patients / "P1", "--methods", "copied,deformable", *options, "--out", one)
    assert more.code == 0, more.err
    assert "P1 growth-1 deformable" in more.err
    assert "P1 growth-1 copied" not in more.err  # it was there already
    rows = read_rows(one / "results.csv")
    assert [(r.method, r.status) for r in rows] == [("copied", "ok"), ("deformable", "ok")]
    assert rows[1].dice > rows[0].dice > 0.2
    # the alignment was computed anew for the second run; a method's own seconds leave it out
    assert rows[1].alignment_seconds > rows[1].seconds > 0
    last = evaluate("--patients", patients / "P2", "--methods", "copied,deformable", *options, "--out", two)
    assert last.code == 0, last.err
    merged = evaluate("--merge", one, two, "--out", both)
    assert merged.code == 0, merged.err
    assert {(r.patient, r.method) for r in read_rows(both / "results.csv")} == {
        (p, m) for p in ("P1", "P2") for m in ("copied", "deformable")
    }
    summary = json.loads((both / "summary.json").read_text())
    assert summary["patients"] == ["P1", "P2"]
    assert summary["best_prior"] == "deformable"
    assert "Against the best free prior: deformable" in merged.out
    assert "research use only" in merged.out.lower()
    table = (both / "table.md").read_text()
    assert f"{summary['measures']['all']['copied']['Dice']['value']:.3f} [" in table
    assert (both / "table.csv").read_text().startswith("structure-visits,n,patients,copied,deformable\n")
    other = evaluate("--merge", one, "--out", both)
    assert (other.code, "holds other results" in other.err) == (2, True)


def test_results_of_another_seed_are_not_overwritten(evaluate: Command, patients: Path, tmp_path: Path):
    run = ("--patients", patients / "P1", "--visits", 1, "--kinds", "density", "--methods", "copied", "--out", tmp_path)
    assert evaluate(*run).code == 0
    before = (tmp_path / "results.csv").read_text()
    again = evaluate(*run, "--seed", 2)
    assert again.code == 2
    assert "other settings (seed)" in again.err
    assert "hint:" in again.err
    assert (tmp_path / "results.csv").read_text() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--patients DIR or --synthetic N"),
        (("--synthetic", 1, "--patients", "{patients}"), "two kinds of patients"),
        (("--synthetic", -1), "none"),
        (("--patients", "absent-folder"), "does not exist"),
        (("--patients", "{patients}/P1", "--methods", "magic"), "magic"),
        (("--patients", "{patients}/P1", "--methods", "rigid", "--protocol", "oracle2d"), "rigid"),
        (("--patients", "{patients}/P1", "--protocol", "guess"), "guess"),
        (("--patients", "{patients}/P1", "--visits", 0), "0 visits"),
        (("--patients", "{patients}/P1", "--kinds", "ageing"), "ageing"),
        (("--patients", "{patients}/P1", "--threads", -1), "threads"),
        (("--patients", "{patients}/P1", "--methods", "copied", "--structure", "liver"), "liver"),
        (("--merge", "absent-folder"), "no settings"),
        (("--merge", "{patients}/P1", "--synthetic", 2), "--merge"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(
    evaluate: Command, patients: Path, tmp_path: Path, options: tuple[object, ...], words: str
):
    found = evaluate(*(str(o).format(patients=patients) for o in options), "--out", tmp_path / "out")
    assert found.code == 2
    assert words in found.err
    assert "Traceback" not in found.err
    lines = found.err.strip().splitlines()
    assert lines[-2].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    assert not (tmp_path / "out" / "summary.json").exists()


def test_a_patient_that_cannot_be_read_is_listed_among_the_errors(evaluate: Command, patients: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ct.nii.gz").write_bytes(b"not an image")
    (broken / "gtv.nii.gz").write_bytes(b"")
    found = evaluate("--patients", broken, "--visits", 1, "--methods", "copied", "--out", tmp_path / "out")
    assert found.code == 2
    assert "every visit failed" in found.err
    (row,) = read_rows(tmp_path / "out" / "results.csv")
    assert (row.patient, row.structure, row.status) == ("broken", "*", "error")
    assert "Errors" in (tmp_path / "out" / "table.md").read_text()
