"""The report and the summary: whole, escaped, self-contained, valid JSON."""

from __future__ import annotations

import hashlib
import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from samprompt.contract.errors import OutputError, UnreadableFileError
from samprompt.io.chart import ChartPoint, volume_chart
from samprompt.io.figures import View, picture
from samprompt.io.report import PicturePair, render_report, write_report
from samprompt.io.summary import (
    CheckSlice,
    InputFile,
    Provenance,
    StructureRecord,
    Summary,
    TrustRecord,
    VisitRecord,
    sha256_of,
    summary_dict,
    trust_level,
    write_summary,
)
from samprompt.space.grid import Grid
from samprompt.space.volume import Volume
from samprompt.space.windows import Window

EVIL = '<script>alert("x")</script>&'


class Tags(HTMLParser):
    """Collects tags and checks that every one is closed."""

    VOID = frozenset({"meta", "input", "br", "link", "img", "image", "path", "line", "polyline", "circle", "polygon"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def trust(score: float, flagged: bool, reasons: tuple[str, ...] = ()) -> TrustRecord:
    return TrustRecord(score, trust_level(score, flagged), flagged, reasons, (CheckSlice(12, (1.0, 2.0, -33.5)),))


@pytest.fixture
def summary() -> Summary:
    red = (0.9, 0.1, 0.1)
    baseline = VisitRecord("ct0", "ct0.nii.gz", "", (StructureRecord("GTV", red, 20.0),))
    first = StructureRecord("GTV", red, 15.0, -25.0, 2.0, trust(0.9, False), "model", 1.4)
    second = StructureRecord(
        "GTV", red, 0.0, -100.0, math.nan, trust(0.2, True, ("nothing was found",)), "model", math.nan, notes=("look",)
    )
    visits = (
        VisitRecord("ct1", "ct1.nii.gz", "ct1.seg.nrrd", (first,), 0.8, {"alignment": 3.0, "total": 4.0}),
        VisitRecord("ct2", "ct2.nii.gz", "ct2.seg.nrrd", (second,), 0.7, {"total": 4.0}, ("thick slices",)),
    )
    provenance = Provenance(
        "1.2.3", "p2sam3d", "tiny", "0123456789abcdef", "cpu", "Linux", "3.11", "2025-01-02T03:04:05+00:00",
        {"align": {"margin": 40.0}}, (InputFile("Baseline", "ct0.nii.gz", "ab" * 32),),
    )  # fmt: skip
    return Summary(baseline, visits, provenance, 2, {"total": 9.0})


@pytest.fixture
def pair() -> PicturePair:
    grid = Grid.from_spacing((3, 20, 20), (1.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, bool)
    mask[1, 5:12, 5:12] = True
    shown = picture(
        View.of(Volume(np.zeros(grid.shape, np.float32), grid), 2),
        1, [("prior", mask[1]), ("result", mask[1])], (9.5, 9.5), 70.0, Window(-1, 1),
    )  # fmt: skip
    return PicturePair("Check first", shown, None)


def test_the_page_says_what_a_reader_needs_and_closes_every_tag(summary, pair):
    page = render_report(summary, {("ct2", "GTV"): [pair]})
    text = " ".join(" ".join(parsed(page).text).split())
    for words in (
        "Research use only",
        "Look at these first",
        "Nothing was found.",
        "slice k 12",
        "−33.5",
        "▲ low 0.20",
        "● high 0.90",
        "−25",
        "thick slices",
        "0123456789abcdef",
        "ab" * 32,
        "patient's left is on the right",
        "clinical decision",
    ):
        assert words in text, words


def test_only_flagged_results_are_listed_first_and_the_least_trusted_leads(summary):
    worse = replace(summary.visits[1].structures[0], name="Heart", trust=trust(0.1, True))
    visit = replace(summary.visits[1], structures=(*summary.visits[1].structures, worse))
    page = render_report(replace(summary, visits=(summary.visits[0], visit)), {})
    listed = page[page.index("Look at these first") : page.index("Every structure on every visit")]
    assert re.findall(r">(Heart|GTV)</a>", listed) == ["Heart", "GTV"]


def test_without_a_flag_the_page_does_not_call_it_cleared(summary):
    page = render_report(replace(summary, visits=summary.visits[:1], planned_visits=1), {})
    assert "not a clearance" in page


def test_an_unfinished_run_says_so(summary):
    assert "Incomplete" in render_report(replace(summary, planned_visits=3), {})
    assert "Incomplete" not in render_report(summary, {})


def test_names_cannot_inject_html(summary, pair):
    evil_trust = trust(0.1, True, (EVIL,))
    evil = replace(summary.visits[1].structures[0], name=EVIL, notes=(EVIL,), route=EVIL, trust=evil_trust)
    visit = replace(summary.visits[1], name=EVIL, image=EVIL, structures=(evil,), notes=(EVIL,))
    baseline = replace(summary.baseline, name=EVIL, structures=(replace(summary.baseline.structures[0], name=EVIL),))
    provenance = replace(
        summary.provenance, model_name=EVIL, inputs=(InputFile("Baseline", EVIL, "0"),), parameters={"a": EVIL}
    )
    page = render_report(
        replace(summary, baseline=baseline, visits=(visit,), provenance=provenance, notes=(EVIL,), planned_visits=1),
        {(EVIL, EVIL): [pair]},
    )
    assert "script" not in {tag for tag, _ in parsed(page).seen}
    assert "<script" not in page


def test_the_page_loads_nothing_from_outside(summary, pair):
    page = render_report(summary, {("ct1", "GTV"): [pair]})
    addresses = [
        value for _, attributes in parsed(page).seen for name, value in attributes.items() if name in ("href", "src")
    ]
    assert any(address.startswith("data:image/png;base64,") for address in addresses)
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "http" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_the_summary_is_strict_json_and_complete(summary, tmp_path):
    write_summary(tmp_path / "summary.json", summary)

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert data["schema_version"] == 1
    assert data["complete"] is True
    structure = data["visits"][1]["structures"][0]
    assert structure["shift_mm"] is None
    assert structure["trust"]["check_slices"] == [{"k": 12, "ras_mm": [1.0, 2.0, -33.5], "z_mm": -33.5}]
    assert data["provenance"]["parameters"]["align"]["margin"] == 40.0
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_numpy_values_become_plain_ones(summary):
    odd = replace(summary, seconds={"a": np.float32(1.5), "b": np.float64(np.inf), "c": np.int64(3)})
    assert summary_dict(odd)["seconds"] == {"a": 1.5, "b": None, "c": 3}


def test_a_page_that_cannot_be_written_leaves_the_old_one(summary, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_report(tmp_path / "file" / "report.html", summary, {})
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_level_is_low_exactly_where_it_is_flagged():
    assert trust_level(0.95, True) == "low"
    assert trust_level(0.1, False) == "medium"
    assert trust_level(0.8, False) == "high"


def test_a_files_digest_is_sha256_and_a_folders_depends_on_names_and_content(tmp_path):
    (tmp_path / "a").mkdir()
    one = tmp_path / "a" / "1.dcm"
    one.write_bytes(b"x" * 3_000_000)
    assert sha256_of(one) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    before = sha256_of(tmp_path / "a")
    one.rename(tmp_path / "a" / "2.dcm")
    renamed = sha256_of(tmp_path / "a")
    (tmp_path / "a" / "2.dcm").write_bytes(b"y")
    assert len({before, renamed, sha256_of(tmp_path / "a")}) == 3


def test_a_file_that_vanished_is_an_input_error(tmp_path):
    with pytest.raises(UnreadableFileError):
        sha256_of(tmp_path / "gone.nii.gz")


def test_the_chart_is_xml_with_true_heights_and_a_triangle_for_low_trust():
    points = [
        ChartPoint("a", 40.0, "baseline"),
        ChartPoint("b & <c>", 20.0, "high"),
        ChartPoint("c", 0.0, "low"),
        ChartPoint("d", 10.0, "medium", truncated=True),
    ]
    root = ET.fromstring(volume_chart(points))
    heights = [float(e.get("cy")) for e in root if e.tag == "circle"]
    steps = [e for e in root if (e.get("class") or "").startswith("line")]
    line = [float(steps[0].get("y1")), *[float(e.get("y2")) for e in steps]]
    assert len([e for e in root if e.tag == "polygon"]) == 1
    assert heights == [line[0], line[1], line[3]]
    zero = line[2]
    assert (zero - line[1]) * 2 == pytest.approx(zero - line[0], abs=0.2)
    assert sum("hollow" in (e.get("class") or "") for e in root) == 1
    assert [e.get("class") for e in steps] == ["line", "line", "line vague"]


@pytest.mark.parametrize("volumes", [[0.0], [1e-4, 2e-4], [5000.0] * 30])
def test_the_chart_stands_odd_volumes(volumes):
    root = ET.fromstring(volume_chart([ChartPoint(f"visit number {n}", v, "high") for n, v in enumerate(volumes)]))
    assert sum(e.tag == "circle" for e in root) == len(volumes)
    for element in root:
        if element.tag == "circle":
            assert 0 < float(element.get("cy")) < 190
            assert 0 < float(element.get("cx")) < 340
