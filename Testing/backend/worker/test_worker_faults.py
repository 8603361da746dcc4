"""What can go wrong with a job: each ends in one Failure that says what to do, and the worker goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samprompt.contract.propagation import AlignParameters, PropagationParameters
from samprompt.contract.worker import (
    DownloadJob,
    Failure,
    GridMessage,
    PropagateJob,
    Result,
    SamplePatientJob,
    StructureMessage,
    VisitMessage,
)

# The name of the model says what happens in place of the second visit.
FAULTS = """
import functools
import samprompt.worker.propagate_job as job
import samprompt.propagation.patient as patient
def faulty(baseline, followups, backbone, parameters, progress, references=(), cache=None, device=None):
    import errno, os, numpy, torch
    results = patient.propagate_visits(baseline, followups, backbone, parameters, progress, references, cache, device)
    yield next(results)
    next(results)
    progress.step("about to fail")
    import __main__
    exec(__main__.how)
inner = job.run
def run(choices, read, *rest, **named):
    import __main__
    __main__.how = choices.model
    return inner(choices, read, *rest, propagate=faulty, **named)
job.run = run
"""
MEMORY = {
    "numpy": "numpy.zeros((1 << 20, 1 << 20, 1 << 10))",
    "Python": "b'x' * (1 << 62)",
    "torch on the CPU": "torch.empty(1 << 55)",
    "torch on CUDA": "raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')",
    "C++": "raise RuntimeError('std::bad_alloc')",
    "C++ on Windows": "raise RuntimeError('bad allocation')",
    "the system": "raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))",
}
OTHER = {
    "a full disk": ("raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'x.npy')", "output", "No space left"),
    "a fault": ("{}['größe']", "error", "Unexpected KeyError"),
    "an exit": ("raise SystemExit(3)", "error", "Unexpected SystemExit"),
    "an interrupt": ("raise KeyboardInterrupt", "error", "Unexpected KeyboardInterrupt"),
    "deep recursion": ("f = lambda g: g(g); f(f)", "error", "Unexpected RecursionError"),
    "a missing package": ("import no_such_package", "environment", "no_such_package"),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A worker in whose jobs something goes wrong after the first of two visits."""
    from importlib import import_module

    worker_class = import_module(__name__.rpartition(".")[0] + ".conftest").WorkerProcess
    worker = worker_class(change=FAULTS)
    yield worker
    worker.close()


def refused(answer: Result | Failure, code: str, *words: str) -> Failure:
    """A failure of that code, with a message of one line, a hint that names no option of the command line."""
    assert isinstance(answer, Failure), answer
    assert answer.code == code, answer
    assert answer.message
    assert "\n" not in answer.message
    assert answer.hint
    assert "--" not in answer.hint
    for word in words:
        assert word in answer.message
    return answer


def failing(faulty, handover, phantom, how: str, visits_of, files_of) -> Failure:
    """Run a job that fails in its second visit: the first one's files are there, nothing else is."""
    visits = [phantom.draw(name=n) for n in ("first", "one", "two")]
    messages = faulty.do("propagate", replace(handover.job(*visits), model=how))
    assert len(visits_of(messages)) == 1
    assert set(handover.left()) == files_of(messages) != set()
    assert faulty.process.poll() is None
    answer = messages[-1]
    assert isinstance(answer, Failure)
    return answer


@pytest.mark.parametrize("library", MEMORY)
def test_memory_that_runs_out_is_said_with_a_hint_whoever_says_it(
    faulty, handover, phantom, visits_of, files_of, library
):
    answer = failing(faulty, handover, phantom, MEMORY[library], visits_of, files_of)
    refused(answer, "memory")
    assert "smaller model" in answer.hint


@pytest.mark.parametrize("what", OTHER)
def test_every_other_fault_is_an_answer_and_not_the_end_of_the_worker(
    faulty, handover, phantom, visits_of, files_of, what
):
    how, code, words = OTHER[what]
    answer = failing(faulty, handover, phantom, how, visits_of, files_of)
    refused(answer, code, words)
    if code == "error":
        assert "Traceback" in answer.detail
        assert "faulty" in answer.detail
        assert answer.detail.strip().splitlines()[-1] in faulty.said()


def job_with(handover, phantom, **changes: object) -> PropagateJob:
    job = handover.job(phantom.draw(name="first"), phantom.draw(name="later", seed=1))
    return replace(job, **changes)


def changed_file(handover, phantom, change) -> PropagateJob:
    """A job whose follow-up's file was changed by ``change(path, array)``."""
    job = job_with(handover, phantom)
    path = Path(job.followups[0].array)
    change(path, np.load(path))
    return job


class _Attack:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda path, _: path.unlink(), "missing-file"),
        (lambda path, _: (path.unlink(), path.mkdir()), "missing-file"),
        (lambda path, _: path.write_bytes(b""), "unreadable-file"),
        (lambda path, _: path.write_bytes(b"not an array at all"), "unreadable-file"),
        (lambda path, _: path.write_bytes(path.read_bytes()[:5000]), "unreadable-file"),
        (lambda path, _: np.savez(path.open("wb"), a=np.ones(3)), "unreadable-file"),
        (lambda path, _: np.save(path, np.array([_Attack()] * 3, dtype=object), allow_pickle=True), "unreadable-file"),
        (lambda path, array: np.save(path, array[:-1]), "grid"),
        (lambda path, array: np.save(path, array.T), "grid"),
        (lambda path, array: np.save(path, array[..., None]), "grid"),
        (lambda path, array: np.save(path, array.astype(complex)), "not-an-image"),
        (lambda path, array: np.save(path, array.astype("S3")), "not-an-image"),
        (lambda path, array: np.save(path, array.astype("M8[s]")), "not-an-image"),
        (lambda path, array: np.save(path, np.full_like(array, np.nan)), "intensity"),
        (lambda path, array: np.save(path, np.zeros_like(array)), "intensity"),
    ],
    ids=["gone", "a folder", "empty", "text", "truncated", "npz", "pickle", "short", "transposed", "4D", "complex",
         "texts", "dates", "NaN", "constant"],
)  # fmt: skip
def test_voxels_that_cannot_be_used_are_refused(worker, handover, phantom, change, code):
    answer = refused(worker.answer("propagate", changed_file(handover, phantom, change)), code)
    assert "later" in answer.message
    assert handover.left() == []
    assert not Path("executed").exists()


SPACING = (2.5, 0.0, 0.0, 0.0, 0.0, 2.5, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (SPACING[:15], "15 numbers"),
        ((0.0, *SPACING[1:]), "no inverse"),
        ((2.5, 1.0, *SPACING[2:]), "sheared"),
        ((*SPACING[:12], 1.0, 0.0, 0.0, 1.0), "last row"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(worker, handover, phantom, matrix, words):
    job = job_with(handover, phantom)
    volume = replace(job.followups[0], grid=GridMessage(job.followups[0].grid.shape, matrix))
    refused(worker.answer("propagate", replace(job, followups=(volume,))), "grid", words, "later")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"followups": ()}, "parameter", "followups"),
        ({"threads": -1}, "parameter", "threads"),
        ({"threads": 10**6}, "parameter", "threads"),
        ({"device": "abacus"}, "parameter", "abacus"),
        ({"device": "cuda:77"}, "environment", "cuda:77"),
        ({"model": "no-such-model"}, "parameter", "no-such-model"),
        ({"model": "/nowhere/model.pth"}, "weights-missing", "model.pth"),
        ({"folder": "/nowhere"}, "missing-file", "/nowhere"),
        ({"parameters": replace(PropagationParameters(), encode_batch=0)}, "parameter", "encode_batch"),
        ({"parameters": replace(PropagationParameters(), align=AlignParameters(rigid_spacing=0.0))}, "parameter", "0"),
    ],
)
def test_requests_that_make_no_sense_are_refused(worker, handover, phantom, changes, code, words):
    job = job_with(handover, phantom, parameters=PropagationParameters())
    refused(worker.answer("propagate", replace(job, **changes)), code, words)
    assert handover.left() == []


def structure(handover, array: np.ndarray, offset=(3, 3, 3)) -> StructureMessage:
    path = handover.folder / "mask.npy"
    np.save(path, array)
    return StructureMessage("s", "GTV", (1.0, 0.0, 0.0), str(path), offset, tuple(array.shape))


@pytest.mark.parametrize(
    ("array", "offset", "code", "words"),
    [
        (np.ones((4, 4, 4), np.uint8), (24, 3, 3), "grid", "beyond"),
        (np.ones((4, 4, 4), np.uint8) * 3, (3, 3, 3), "structure", "no mask"),
        (np.ones((4, 4, 4), np.float32), (3, 3, 3), "structure", "no mask"),
        (-np.ones((4, 4, 4), np.int8), (3, 3, 3), "structure", "no mask"),
        (np.zeros((4, 4, 4), np.uint8), (3, 3, 3), "structure", "empty"),
    ],
)
def test_a_structure_that_cannot_be_is_refused(worker, handover, phantom, array, offset, code, words):
    job = job_with(handover, phantom)
    baseline = VisitMessage(job.baseline.volume, (structure(handover, array, offset),))
    refused(worker.answer("propagate", replace(job, baseline=baseline)), code, words)


def test_a_baseline_without_structures_is_refused(worker, handover, phantom):
    job = job_with(handover, phantom)
    refused(worker.answer("propagate", replace(job, baseline=VisitMessage(job.baseline.volume))), "structure")


def test_a_reference_without_any_of_the_structures_is_refused(worker, handover, phantom):
    job = job_with(handover, phantom)
    other = replace(job.baseline.structures[0], name="Heart")
    reference = VisitMessage(job.followups[0], (other,))
    answer = refused(worker.answer("propagate", replace(job, references=(reference,))), "structure", "later")
    assert answer.hint == "It holds Heart; wanted are GTV."


def test_truncated_weights_are_refused_by_a_warm_worker_too(worker, handover, phantom, repository, tmp_path):
    whole = (repository / "Resources" / "models" / "tiny.safetensors").read_bytes()
    path = tmp_path / "mine.safetensors"
    job = replace(handover.job(phantom.draw(), phantom.draw(name="later"), method="p2sam3d"), model=f"tiny:{path}")
    for content, good in ((whole[:100_000], False), (whole, True), (whole[:200_000], False)):
        path.write_bytes(content)
        if good:
            assert isinstance(worker.answer("propagate", job), Result)
        else:
            refused(worker.answer("propagate", job), "weights", "mine.safetensors")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_a_disk_that_fills_up_while_results_are_written_leaves_nothing_half(start_worker, handover, phantom):
    def small_files_only() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))

    worker = start_worker(preexec=small_files_only, environment={"PYTHONDONTWRITEBYTECODE": "1"})
    job = handover.job(phantom.draw(name="first"), phantom.draw(name="later"))
    refused(worker.answer("propagate", job), "output", "cannot be written")
    assert handover.left() == []
    assert worker.process.poll() is None


def test_a_really_full_disk_is_said(worker, handover, phantom, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no permission to mount a small disk")
    try:
        job = job_with(handover, phantom, folder=str(place))
        refused(worker.answer("propagate", job), "output", "No space left")
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def shadow(folder: Path, **modules: str) -> Path:
    """A folder that, first on the path, makes packages say something at import."""
    for name, text in modules.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(text, encoding="utf-8")
    return folder


def test_a_worker_without_torch_says_so_and_makes_the_sample_patient(start_worker, handover, phantom, tmp_path):
    folder = shadow(
        tmp_path / "shadow", torch="raise OSError('libtorch.so: cannot open')", pydantic="raise ImportError"
    )
    worker = start_worker(shadow=folder)
    assert worker.hello.missing == ("torch", "pydantic")
    assert worker.hello.kernel_ms == -1.0
    assert "libtorch.so" in worker.hello.problem
    assert "numpy" in worker.hello.packages
    assert isinstance(worker.answer("sample-patient", SamplePatientJob(str(handover.results), followups=0)), Result)
    refused(worker.answer("sample-patient", SamplePatientJob(str(handover.results), followups=-1)), "parameter")
    refused(worker.answer("propagate", job_with(handover, phantom)), "environment", "torch")
    refused(worker.answer("download", DownloadJob("tiny")), "environment", "torch")


def test_a_worker_with_nothing_but_python_says_what_is_missing(start_worker, handover, tmp_path):
    broken = "raise ImportError('broken')"
    names = ("numpy", "scipy", "torch", "pydantic")
    worker = start_worker(shadow=shadow(tmp_path / "shadow", **dict.fromkeys(names, broken)))
    assert set(names) <= set(worker.hello.missing)
    refused(worker.answer("sample-patient", SamplePatientJob(str(handover.results))), "environment", "numpy", "scipy")


def test_propagation_needs_none_of_the_packages_that_read_files(start_worker, handover, phantom, tmp_path):
    unwanted = ("SimpleITK", "pydicom", "nrrd", "jinja2", "contourpy", "typer", "rich", "nibabel")
    broken = dict.fromkeys(unwanted, "raise ImportError('not to be imported')")
    worker = start_worker(shadow=shadow(tmp_path / "shadow", **broken))
    assert worker.hello.missing == ()
    assert isinstance(worker.answer("propagate", job_with(handover, phantom)), Result)
