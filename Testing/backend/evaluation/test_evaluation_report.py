"""From rows to tables: the best prior, paired differences, silent shortfalls, and what programs read."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console
from samprompt.evaluation.compared import best_prior, compare_with_prior, strata
from samprompt.evaluation.report import summary, tables
from samprompt.evaluation.rows import Row
from samprompt.evaluation.table import Table, csv_text, markdown, rich_table

RowMaker = Callable[..., Row]


@pytest.fixture
def rows(a_row: RowMaker) -> list[Row]:
    """Two patients and three visits each; ours is better where contrast is good and far below once, without a flag."""
    found = []
    for patient, visit, cnr, rigid, deformable, ours in (
        ("A", "growth-1", 3.0, 0.70, 0.80, 0.90),
        ("A", "density-2", 2.0, 0.80, 0.70, 0.74),
        ("A", "elastic-3", 0.2, 0.60, 0.80, 0.79),
        ("B", "growth-1", 3.0, 0.60, 0.90, 0.84),
        ("B", "density-2", 0.1, 0.60, 0.90, 0.91),
        ("B", "splitting-3", 1.0, 0.60, 0.80, 0.60),
    ):
        silent = (patient, visit) == ("B", "splitting-3")
        for method, dice in (("rigid", rigid), ("deformable", deformable), ("p2sam3d", ours)):
            low = method == "p2sam3d" and dice < 0.8 and not silent
            found.append(
                a_row(patient, visit, method=method, cnr=cnr, dice=dice, trust=0.3 if low else 0.9, flagged=low)
            )
    return found


def all_of(rows: list[Row]):
    return strata(rows)[0]


def test_the_best_free_prior_has_the_best_mean_where_all_were_computed(rows: list[Row], a_row: RowMaker):
    assert best_prior(rows) == "deformable"
    # one splendid case that only one prior computed decides nothing, nor do those where the truth is gone
    more = [*rows, *(a_row(str(n), method="rigid", dice=1.0) for n in range(20))]
    assert best_prior(more) == "deformable"
    assert best_prior([r for r in rows if r.method == "p2sam3d"]) is None


def test_differences_are_paired_by_structure_and_visit(rows: list[Row]):
    found = compare_with_prior(rows, "p2sam3d", "deformable", all_of(rows))
    expected = [0.10, 0.04, -0.01, -0.06, 0.01, -0.20]
    assert found.difference.value == pytest.approx(sum(expected) / 6)
    assert (found.difference.count, found.difference.patients) == (6, 2)
    assert found.within == pytest.approx(4 / 6)
    assert [(s.patient, s.visit, s.flagged) for s in found.shortfalls] == [
        ("B", "growth-1", False), ("B", "splitting-3", False),
    ]  # fmt: skip
    assert found.silent == 2


def test_contrast_splits_the_pairs_at_one_half(rows: list[Row], a_row: RowMaker):
    rows = [*rows, a_row("C", cnr=0.5, method="deformable"), a_row("C", cnr=0.5), a_row("C", "gas-9", cnr=math.inf)]
    by_name = {s.name: s for s in strata(rows)}
    good = compare_with_prior(rows, "p2sam3d", "deformable", by_name["CNR >= 0.5"])
    poor = compare_with_prior(rows, "p2sam3d", "deformable", by_name["CNR < 0.5"])
    assert (good.difference.count, poor.difference.count) == (5, 2)
    assert poor.difference.value == pytest.approx(0.0)
    assert "CNR unknown" not in by_name
    unknown = strata([*rows, a_row("D", cnr=math.nan)])
    assert "CNR unknown" in [s.name for s in unknown]


def test_structures_that_are_gone_are_counted_and_not_averaged(a_row: RowMaker):
    gone = {"dice": math.nan, "surface_dice_3mm": math.nan, "state": "true negative"}
    found = {"dice": 0.0, "surface_dice_3mm": 0.0, "state": "invented"}
    rows = [
        a_row("A", method="rigid", **found), a_row("A", **gone),
        a_row("B", method="rigid", **gone), a_row("B", **found),
        a_row("C", method="rigid", dice=0.8), a_row("C", dice=0.9),
        a_row("D", method="rigid", dice=0.8), a_row("D", status="error", dice=math.nan),
    ]  # fmt: skip
    comparison = compare_with_prior(rows, "p2sam3d", "rigid", all_of(rows))
    assert (comparison.absent_right, comparison.absent_wrong) == (1, 1)
    assert (comparison.difference.count, comparison.difference.value) == (1, pytest.approx(0.1))
    counts = next(t for t in tables(rows) if t.title == "Counts")
    assert counts.head == ("structure-visits", "rigid", "p2sam3d")
    assert {row[0]: row[1:] for row in counts.rows} == {
        "computed": ("4", "3"),
        "true negatives (both empty, in no mean)": ("1", "1"),
        "missed (result empty, Dice 0)": ("0", "0"),
        "invented (truth empty, Dice 0)": ("1", "1"),
        "distances failed": ("1", "1"),
        "errors": ("0", "1"),
    }


def test_tumours_and_organs_are_told_apart_where_there_are_both(a_row: RowMaker):
    names = [s.name for s in strata([a_row(structure="gtv"), a_row(structure="organs_3")])]
    assert names == ["all", "CNR >= 0.5", "tumours", "organs", "gtv", "organs_3"]
    assert [s.name for s in strata([a_row()])] == ["all", "CNR >= 0.5"]


def test_the_tables_say_what_the_rows_say(rows: list[Row]):
    found = {t.title: t for t in tables(rows)}
    dice = found["Dice"]
    assert dice.head == ("structure-visits", "n", "patients", "rigid", "deformable", "p2sam3d")
    assert dice.rows[0][:3] == ("all", "6", "2")
    assert dice.rows[0][4].startswith("0.817 [")
    against = found["Against the best free prior: deformable"]
    ours = next(row for row in against.rows if row[0] == "p2sam3d, all")
    assert ours[2].startswith("-2.0 [")
    assert ours[3:5] == ("33.3 %", "2 of 2")
    worst = found["More than 5 Dice points below the best free prior"]
    assert [row[0] for row in worst.rows] == ["p2sam3d: B growth-1 gtv", "p2sam3d: B splitting-3 gtv"]
    trust = next(row for row in found["Trust"].rows if row[0] == "p2sam3d")
    assert trust[1:3] == ("6", "1")  # only Dice 0.60 is a failure, and it was not flagged
    assert "Errors" not in found


def test_a_single_patient_has_no_brackets(rows: list[Row]):
    one = [r for r in rows if r.patient == "A"]
    dice = next(t for t in tables(one) if t.title == "Dice")
    assert dice.rows[0][-1] == "0.810"


def test_the_summary_is_plain_json_with_the_same_figures(rows: list[Row], a_row: RowMaker):
    rows = [*rows, a_row("C", cnr=math.inf, dice=math.nan, state="true negative", trust=math.nan)]
    found = json.loads(json.dumps(summary(rows, {"seed": 1}), allow_nan=False))
    assert found["best_prior"] == "deformable"
    assert found["patients"] == ["A", "B", "C"]
    assert found["measures"]["all"]["deformable"]["Dice"]["value"] == pytest.approx(4.9 / 6)
    ours = next(c for c in found["against_best_prior"] if (c["method"], c["stratum"]) == ("p2sam3d", "all"))
    assert ours["silent"] == 2
    assert found["trust"]["p2sam3d"]["failures"] == 1
    assert found["trust"]["p2sam3d"]["risk_coverage"][-1] == [1.0, pytest.approx(1 / 6)]


def test_no_rows_give_empty_tables_and_not_an_error():
    assert [t.rows for t in tables([]) if t.title == "Dice"] == [(("all", "0", "0"),)]
    assert summary([], {})["best_prior"] is None


def test_the_oracle_protocol_shows_only_what_it_measures(a_row: RowMaker):
    nothing = {"surface_dice_3mm": math.nan, "trust": math.nan, "slices": 12}
    rows = [
        replace(a_row(method=m, dice=d, **nothing), protocol="oracle2d") for m, d in (("copied", 0.9), ("p2sam", 0.5))
    ]
    found = {t.title: t for t in tables(rows)}
    assert found["Mean 2D Dice over labelled slices"].rows[0][3:] == ("0.900", "0.500")
    assert [row[0] for row in found["All measures, mean over structure-visits"].rows] == ["Dice"]
    assert found["Against the best free prior: copied"].rows[0][3:5] == ("100.0 %", "-")
    assert "Trust" not in found


def test_errors_are_listed_with_their_cause(a_row: RowMaker):
    rows = [a_row(), a_row("B", status="error", message="memory: none left", dice=math.nan)]
    errors = next(t for t in tables(rows) if t.title == "Errors")
    assert errors.rows == (("B density-1 gtv p2sam3d", "memory: none left"),)


TABLE = Table("Tricky | names", ("structure", "p2sam"), (("left|right", "0.5"), ("[bold]", '"x", y')), ("A note.",))


def test_markdown_keeps_cells_apart():
    lines = markdown([TABLE]).splitlines()
    assert lines[2:6] == [
        "| structure | p2sam |", "| --- | ---: |", "| left\\|right | 0.5 |", '| [bold] | "x", y |',
    ]  # fmt: skip
    assert lines[-1] == "A note."


def test_csv_and_terminal_show_the_cells_as_they_are():
    assert list(csv.reader(io.StringIO(csv_text(TABLE)))) == [list(TABLE.head), *map(list, TABLE.rows)]
    console = Console(width=80, file=io.StringIO())
    console.print(rich_table(TABLE))
    shown = console.file.getvalue()
    assert "[bold]" in shown
    assert "left|right" in shown
