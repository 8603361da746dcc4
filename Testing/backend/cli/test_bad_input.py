"""Bad input through the real command line: one line of error, a hint, the right exit code, nothing half written."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from samprompt.cli import main as cli
from samprompt.contract.errors import OutOfMemory


def refused(done, code: int, *words: str) -> None:
    """The command ended as it should for a mistake of the user."""
    lines = done.err.strip().splitlines()
    errors = [n for n, line in enumerate(lines) if line.startswith("error: ")]
    assert done.code == code, done.err
    assert len(errors) == 1, done.err
    assert errors[0] == len(lines) - 2, done.err
    assert lines[-1].startswith("hint: "), done.err
    assert len(lines[-1]) > 12
    assert "Traceback" not in done.err + done.out
    for word in words:
        assert word in done.err, done.err


@pytest.fixture(autouse=True)
def nothing_half_written(tmp_path: Path):
    """Whatever a test of this file does, no temporary file may be left, and no result of a refused run."""
    yield
    left = [p for p in tmp_path.rglob("*") if p.name.startswith(".tmp-") or p.suffix == ".partial"]
    assert left == []
    out = tmp_path / "out"
    if out.is_dir():
        assert not (out / "summary.json").exists()


def rewrite(path: Path, change) -> None:
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(change(image.get_fdata().astype(np.float32)), image.affine), path)


@pytest.mark.parametrize("option", ["baseline", "structures"])
def test_a_missing_input(propagate, tmp_path, option):
    refused(propagate(**{option: tmp_path / "absent.nii.gz"}), 2, "absent.nii.gz")
    assert not (tmp_path / "out").exists()


def test_a_missing_followup(propagate, tmp_path):
    refused(propagate(followups=(tmp_path / "absent.nii.gz",)), 2, "absent.nii.gz")


def test_a_truncated_image(propagate, patient):
    patient.ct1.write_bytes(patient.ct1.read_bytes()[:3000])
    refused(propagate(), 2, "ct1.nii.gz")


def test_a_file_that_is_no_image(propagate, patient):
    patient.ct1.write_text("this is a letter to the physician, not an image")
    refused(propagate(), 2, "ct1.nii.gz")


def test_a_file_of_an_unknown_kind(propagate, patient, tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text("dear colleague")
    refused(propagate(followups=(letter,)), 2, "letter.txt")


def test_a_folder_without_dicom(propagate, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(propagate(followups=(tmp_path / "empty",)), 2, "empty")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(propagate, patient):
    patient.ct1.chmod(0)
    refused(propagate(), 2, "ct1.nii.gz")


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 6, 3)])
def test_an_image_of_the_wrong_dimension(propagate, patient, shape):
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), patient.ct1)
    refused(propagate(), 2, "ct1.nii.gz")


def test_a_ct_given_as_rgb(propagate, patient):
    rgb = np.zeros((20, 20, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), patient.ct1)
    refused(propagate(), 2, "ct1.nii.gz")


def test_an_image_of_nothing_but_nan(propagate, patient):
    rewrite(patient.ct1, lambda array: np.full_like(array, np.nan))
    refused(propagate(), 2, "ct1.nii.gz")


def test_structures_that_do_not_overlap_the_image(propagate, patient):
    for mask in patient.masks.iterdir():
        image = nibabel.load(mask)
        affine = image.affine.copy()
        affine[0, 3] += 5000
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), mask)
    refused(propagate(), 2, "share no space")


def test_a_sheared_grid(propagate, patient):
    image = nibabel.load(patient.ct1)
    affine = image.affine.copy()
    affine[1, 2] = 2.0
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), patient.ct1)
    refused(propagate(), 2, "ct1.nii.gz")


def test_structures_that_are_all_empty_are_named(propagate, patient):
    for mask in patient.masks.iterdir():
        rewrite(mask, np.zeros_like)
    refused(propagate(), 2, "GTV", "Cord", "empty")


def test_the_only_structure_asked_for_is_empty(propagate, patient):
    rewrite(patient.masks / "GTV.nii.gz", np.zeros_like)
    refused(propagate("--structure", "GTV"), 2, "'GTV' is empty")


def test_an_unknown_structure_lists_those_that_exist(propagate):
    refused(propagate("--structure", "Liver"), 2, "'Liver'", "GTV", "Cord")


def test_an_unknown_method_lists_those_that_exist(propagate):
    refused(propagate(method="magic"), 2, "magic", "p2sam3d")


def test_an_unknown_model_is_refused(propagate):
    done = propagate(method="p2sam3d", model="no_such_model")
    refused(done, done.code, "no_such_model")
    assert done.code in (2, 3)


def test_a_device_that_is_not_there(propagate):
    refused(propagate("--device", "cuda:77", method="p2sam3d"), 3, "cuda")


def test_a_wrong_command_line(command):
    refused(command("propagate", "--followup", "x"), 2)
    refused(command("propgate"), 2, "propgate")


def test_an_output_that_is_a_file(propagate, tmp_path):
    (tmp_path / "taken").write_text("keep me")
    refused(propagate(out=tmp_path / "taken"), 2, "is a file")
    assert (tmp_path / "taken").read_text() == "keep me"


def test_a_result_never_replaces_an_input(propagate, patient):
    contours = patient.folder / "ct1.seg.nrrd"
    (patient.masks / "GTV.nii.gz").rename(patient.folder / "gtv.nii.gz")
    contours.write_bytes(b"the physician's own")
    refused(propagate("--overwrite", out=patient.folder, structures=contours), 2, "would replace an input")
    assert contours.read_bytes() == b"the physician's own"


def test_a_malformed_reference(propagate, patient, tmp_path):
    refused(propagate("--reference", "one-path-only"), 2, "IMAGE:SEGMENTATION")
    refused(propagate("--reference", f"{patient.ct2}:{tmp_path / 'no.seg.nrrd'}"), 2, "no.seg.nrrd")


def test_a_reference_without_any_of_the_structures(propagate, patient):
    other = patient.folder / "other"
    other.mkdir()
    (other / "Liver.nii.gz").write_bytes((patient.masks / "GTV.nii.gz").read_bytes())
    refused(propagate("--reference", f"{patient.ct2}:{other}"), 2, "Liver", "GTV")


def test_a_truncated_checkpoint(propagate, tmp_path):
    checkpoint = tmp_path / "sam_vit_b.pth"
    torch.save({"weights": torch.zeros(1000)}, checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    refused(propagate(method="p2sam3d", model=f"vit_b:{checkpoint}"), 3, "sam_vit_b.pth")


def test_a_checkpoint_of_another_model(propagate, tmp_path):
    checkpoint = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3, 3)}, checkpoint)
    refused(propagate(method="p2sam3d", model=f"vit_b:{checkpoint}"), 3, "other.pth")


class _Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_executes_code_is_refused_and_not_executed(propagate, tmp_path):
    checkpoint, trace = tmp_path / "evil.pth", tmp_path / "executed"
    checkpoint.write_bytes(pickle.dumps(_Attack(trace)))
    refused(propagate(method="p2sam3d", model=f"vit_b:{checkpoint}"), 3, "evil.pth")
    torch.save({"weights": _Attack(trace)}, checkpoint)
    refused(propagate(method="p2sam3d", model=f"vit_b:{checkpoint}"), 3, "evil.pth")
    assert not trace.exists()


def test_memory_errors_of_every_library_end_with_code_5(command, monkeypatch):
    for error in (
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ):
        problem = cli.as_samprompt_error(error)
        assert isinstance(problem, OutOfMemory)
        assert problem.exit_code == 5
    with pytest.raises(MemoryError):
        np.zeros((1 << 20, 1 << 20, 1 << 10))


def test_a_fault_of_the_program_keeps_its_traceback_in_a_file(command, propagate, patient, monkeypatch, tmp_path):
    def broken(_request):
        raise ValueError("a fault\nof two lines")

    monkeypatch.setattr("samprompt.cli.propagate.run", broken)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    done = propagate()
    refused(done, 1, "ValueError", "a fault")
    (kept,) = tmp_path.glob("samprompt-error-*.txt")
    assert "Traceback" in kept.read_text()
    assert kept.name in done.err
    monkeypatch.setenv("SAMPROMPT_DEBUG", "1")
    assert "Traceback" in propagate().err
