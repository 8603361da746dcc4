"""Reading weights, and refusing what is none."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from samprompt.contract.catalogue import CatalogueEntry
from samprompt.contract.errors import WeightsError, WeightsMissingError
from samprompt.models.checkpoint import check_sums, file_sha256, fit_state, load_state

STATE = {"a.weight": torch.arange(600.0).reshape(20, 30), "a.bias": torch.ones(20)}


class RunsCode:
    """Unpickling this makes a file: the proof that code ran."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f'echo ran > "{self.proof}"',)


def _same(state: dict[str, torch.Tensor]) -> bool:
    return list(state) == list(STATE) and all(torch.equal(state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"model": STATE},
        {"model": STATE, "optimizer": {"lr": 1e-4}, "epoch": 3},
        {"state_dict": STATE},
        {f"module.{key}": value for key, value in STATE.items()},
    ],
    ids=["plain", "ordered", "sam2", "training", "state_dict", "parallel"],
)
def test_every_usual_wrapping_gives_the_same_state(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert _same(load_state(tmp_path / "w.pth"))


def test_the_old_torch_format_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert _same(load_state(tmp_path / "w.pth"))


def test_safetensors_are_read_whatever_their_ending(tmp_path: Path) -> None:
    for name in ("w.safetensors", "w.pth"):
        save_file(STATE, str(tmp_path / name))
        found = load_state(tmp_path / name)
        assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("kind", ["zip", "old", "bare", "hidden"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run_it(tmp_path: Path, kind: str) -> None:
    proof, path = tmp_path / "proof", tmp_path / "w.pth"
    if kind == "bare":
        path.write_bytes(pickle.dumps(RunsCode(proof), protocol=2))
    elif kind == "hidden":  # among good weights
        torch.save({**STATE, "note": RunsCode(proof)}, path)
    else:
        torch.save({"model": RunsCode(proof)}, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(WeightsError, match="run code"):
        load_state(path)
    assert not proof.exists()


def test_the_probe_above_would_have_run_without_the_refusal(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(RunsCode(proof)))
    assert proof.exists()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_a_truncated_file_is_named_as_damaged(
    tmp_path: Path, kind: str, share: float, truncated: Callable[[Path, float], Path]
) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(STATE, str(path))
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(WeightsError, match="damaged") as caught:
        load_state(truncated(path, share))
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>please log in</html>", "web page"),
        (b"<html><head></head></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "LFS"),
        (b"just some words that somebody saved", "damaged"),
        (bytes(range(256)) * 8, "damaged"),
        (b"PK\x03\x04" + bytes(64), "damaged"),
    ],
)
def test_what_is_no_checkpoint_is_said_in_words(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=word):
        load_state(path)


@pytest.mark.parametrize("content", [torch.ones(3), [1, 2], {}, {"epoch": 3}, {"a": {"b": 1}}])
def test_a_torch_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="weights"):
        load_state(tmp_path / "w.pth")


def test_a_missing_file_and_a_folder_are_missing_weights(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(WeightsMissingError, match="no weights"):
            load_state(path)


def test_missing_unexpected_and_misshaped_tensors_are_named(tmp_path: Path) -> None:
    module = torch.nn.Linear(30, 20)
    with pytest.raises(WeightsError) as caught:
        fit_state(module, {"weight": torch.ones(20, 31), "head": torch.ones(1)}, tmp_path / "w.pth", "vit_b")
    for word in ("vit_b", "1 missing (bias)", "1 unexpected (head)", "weight (20, 31) instead of (20, 30)"):
        assert word in caught.value.message


def test_half_precision_weights_are_put_into_a_full_precision_model(tmp_path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    fit_state(module, {"weight": torch.full((2, 3), 0.5).half(), "bias": torch.ones(2).half()}, tmp_path, "x")
    assert module.weight.dtype == torch.float32
    assert module(torch.ones(1, 3)).tolist() == [[2.5, 2.5]]


def test_the_sum_is_the_one_of_the_standard_library(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(os.urandom(3_000_001))
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_size_or_sum_than_the_official_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"official")
    entry = {"name": "m", "architecture": "vit_b", "file": "w"}
    good = hashlib.sha256(b"official").hexdigest()
    assert check_sums(path, CatalogueEntry(**entry, sha256=good.upper(), size=8)) == good
    assert check_sums(path, CatalogueEntry(**entry, md5=hashlib.md5(b"official").hexdigest())) == good
    with pytest.raises(WeightsError, match="truncated"):
        check_sums(path, CatalogueEntry(**entry, sha256=good, size=9))
    with pytest.raises(WeightsError, match="checksum"):
        check_sums(path, CatalogueEntry(**entry, sha256="0" * 64))
    with pytest.raises(WeightsError, match="checksum"):
        check_sums(path, CatalogueEntry(**entry, md5="0" * 32))
