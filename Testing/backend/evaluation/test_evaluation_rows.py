"""Rows on disk: round trips, interrupted runs, other settings, merging."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samprompt.contract.errors import MissingFileError, OutputError, ParameterError, UnreadableFileError
from samprompt.evaluation.rows import Row, read_rows, rows_to_text
from samprompt.evaluation.store import Store, merge

RowMaker = Callable[..., Row]
SETTINGS = {"protocol": "visits", "model": "tiny", "seed": 1}


def same(one: Row, other: Row) -> bool:
    """Equal, with NaN equal to NaN, and numbers to six digits."""
    for field in fields(Row):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, float):
            if not (a == pytest.approx(b, rel=1e-5) or (math.isnan(a) and math.isnan(b))):
                return False
        elif a != b:
            return False
    return True


words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)


@given(name=words, message=words, dice=st.floats(0, 1) | st.just(math.nan), cnr=st.floats(0, 50) | st.just(math.inf))
def test_rows_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, name: str, message: str, dice: float, cnr: float
):
    row = Row(
        "visits", "A,B", "gas-3", "gas", 3, name, "p2sam", "error", message, dice=dice, cnr=cnr, flagged=True, slices=4
    )
    path = tmp_path_factory.mktemp("rows") / "results.csv"
    path.write_text(rows_to_text([row, row]), encoding="utf-8", newline="\n")
    found = read_rows(path)
    assert len(found) == 2
    assert same(found[0], row)


def test_a_damaged_table_is_refused_with_its_line(tmp_path: Path, a_row: RowMaker):
    path = tmp_path / "results.csv"
    text = rows_to_text([a_row("A"), a_row("B")])
    path.write_text(text[:-40])
    with pytest.raises(UnreadableFileError, match="line 3"):
        read_rows(path)
    path.write_text(text.replace("0.8", "many", 1))
    with pytest.raises(UnreadableFileError, match="line 2"):
        read_rows(path)
    path.write_text("patient,dice\nA,0.8\n")
    with pytest.raises(UnreadableFileError, match="no table of results"):
        read_rows(path)
    with pytest.raises(MissingFileError):
        read_rows(tmp_path / "absent.csv")


def test_an_interrupted_run_finds_its_rows_again_but_not_its_errors(tmp_path: Path, a_row: RowMaker):
    first = Store(tmp_path / "out", SETTINGS)
    first.add([a_row("A"), a_row("B", status="error", message="memory")])
    again = Store(tmp_path / "out", SETTINGS)
    assert [r.patient for r in again.rows] == ["A"]
    assert again.holds("visits", "A", "density-1", "p2sam3d", ["gtv"])
    assert not again.holds("visits", "A", "density-1", "p2sam3d", ["gtv", "lung"])
    assert not again.holds("visits", "B", "density-1", "p2sam3d", ["gtv"])
    assert not again.holds("visits", "A", "density-1", "rigid", ["gtv"])


def test_results_of_other_settings_are_not_mixed(tmp_path: Path, a_row: RowMaker):
    Store(tmp_path / "out", SETTINGS).add([a_row("A")])
    with pytest.raises(ParameterError, match="seed"):
        Store(tmp_path / "out", SETTINGS | {"seed": 2})
    assert [r.patient for r in read_rows(tmp_path / "out" / "results.csv")] == ["A"]


def test_methods_without_a_model_can_be_joined_by_one_with_a_model(tmp_path: Path, a_row: RowMaker):
    Store(tmp_path / "out", SETTINGS | {"model": ""}).add([a_row("A", method="rigid")])
    store = Store(tmp_path / "out", SETTINGS)
    assert store.settings["model"] == "tiny"
    assert len(store.rows) == 1
    assert Store(tmp_path / "out", SETTINGS | {"model": ""}).settings["model"] == "tiny"
    with pytest.raises(ParameterError, match="model"):
        Store(tmp_path / "out", SETTINGS | {"model": "vit_b"})


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError):
        Store(tmp_path / "out", SETTINGS)
    assert (tmp_path / "out").read_text() == "mine"


def test_merging_keeps_every_patient_and_prefers_what_was_computed(tmp_path: Path, a_row: RowMaker):
    Store(tmp_path / "one", SETTINGS).add([a_row("A"), a_row("B", status="error", structure="*", visit="growth-2")])
    Store(tmp_path / "two", SETTINGS | {"model": ""}).add([a_row("B", visit="growth-2"), a_row("A", dice=0.1)])
    rows, settings = merge([tmp_path / "one", tmp_path / "two"])
    assert {(r.patient, r.status, r.dice) for r in rows} == {("A", "ok", 0.8), ("B", "ok", 0.8)}
    assert settings["model"] == "tiny"


def test_merging_refuses_other_settings_wherever_they_stand(tmp_path: Path, a_row: RowMaker):
    for name, model in (("one", ""), ("two", "tiny"), ("three", "vit_b")):
        Store(tmp_path / name, SETTINGS | {"model": model}).add([a_row(name)])
    with pytest.raises(ParameterError, match=r"three was computed with other settings than .*two"):
        merge([tmp_path / "one", tmp_path / "two", tmp_path / "three"])
    with pytest.raises(UnreadableFileError):
        merge([tmp_path])


def test_settings_are_readable_json(tmp_path: Path):
    Store(tmp_path / "out", SETTINGS | {"kinds": ("gas",)})
    assert json.loads((tmp_path / "out" / "settings.json").read_text()) == SETTINGS | {"kinds": ["gas"]}
