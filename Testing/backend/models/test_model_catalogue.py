"""Reading the catalogue of models."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from samprompt.contract.catalogue import read_catalogue
from samprompt.contract.errors import EnvironmentProblem, ParameterError


def test_the_shipped_catalogue_names_every_model_that_is_promised() -> None:
    names = set(read_catalogue().names())
    sam2 = {f"sam2.1_hiera_{size}" for size in ("tiny", "small", "base_plus", "large")}
    assert {"tiny", "sam_vit_b", "sam_vit_l", "sam_vit_h", "medsam"} | sam2 <= names


def test_every_shipped_entry_is_complete_and_names_are_unique() -> None:
    entries = list(read_catalogue())
    words = [word.casefold() for entry in entries for word in (entry.name, *entry.aliases)]
    assert len(words) == len(set(words))
    for entry in entries:
        assert entry.licence
        assert entry.trained_on
        assert entry.input_size > 0
        assert entry.builtin or entry.manual or (entry.url.startswith("https://") and entry.size > 0)
        assert not entry.manual or entry.instructions
        assert entry.builtin or re.fullmatch(r"[0-9a-f]{64}", entry.sha256) or re.fullmatch(r"[0-9a-f]{32}", entry.md5)


def test_an_alias_and_any_case_find_the_same_entry() -> None:
    catalogue = read_catalogue()
    assert catalogue.find("VIT_B") is catalogue.find("sam_vit_b")


def test_a_name_with_a_slip_gets_the_nearest_names_as_hint() -> None:
    with pytest.raises(ParameterError) as caught:
        read_catalogue().find("sam_vit_n")
    assert "sam_vit_" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[[model]\nname = 1", "cannot be read"),
        ("model = 3", "no catalogue"),
        ('[[model]]\nname = "a"\nfile = "b"', "lacks architecture"),
        ('[[model]]\nname = "a"\nfile = "b"\narchitecture = "c"\nsize = "large"', '"size"'),
        ('[[model]]\nname = "a"\nfile = "b"\narchitecture = "c"\nsize = true', '"size"'),
        ('[[model]]\nname = "a"\nfile = "b"\narchitecture = "c"\ncolour = "red"', "colour"),
    ],
)
def test_a_broken_catalogue_is_reported_with_what_is_wrong(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match=re.escape(word)) as caught:
        read_catalogue(path)
    assert str(path) in caught.value.message


def test_a_users_model_comes_behind_and_never_replaces_an_official_one(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(
        '[[model]]\nname = "mine"\narchitecture = "vit_b"\nfile = "/a"\n'
        '[[model]]\nname = "vit_b"\narchitecture = "vit_b"\nfile = "/b"\n',
        encoding="utf-8",
    )
    catalogue = read_catalogue(user=path)
    assert catalogue.find("mine").user
    assert catalogue.find("vit_b").name == "sam_vit_b"


def test_reading_it_needs_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        "from samprompt.contract.catalogue import read_catalogue; read_catalogue();"
        "new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(m for m in new if m not in sys.stdlib_module_names and m != 'samprompt'))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
