"""Walks the panels' Python code and .ui files against what the classes of a running Slicer 5.8.1 have."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "host"))

from standin.api_walk import panelFiles, walk  # noqa: E402

PANELS = ROOT / "SAMPromptTools"


def test_the_walker_sees_every_panel_file():
    code, forms = panelFiles(PANELS)
    modules = {path.stem for path in code if path.parent == PANELS}
    assert "SAMPropagation" in modules
    assert {path.parent.name for path in code} >= {"SAMPromptCommonLib", "SAMPropagationLib"}
    assert "SAMPropagation.ui" in {path.name for path in forms}
    everything = {path for path in PANELS.rglob("*.py") if "samprompt" not in path.relative_to(PANELS).parts}
    assert {path for path in everything if path.name.startswith("SAM") or path.parent.name.startswith("SAM")} <= set(
        code
    )


def test_the_panels_use_only_what_slicer_has():
    findings = [str(one) for one in walk(PANELS)]
    assert not findings, "\n" + "\n".join(findings)


def test_a_mistake_in_a_copy_of_the_real_panels_is_found(tmp_path):
    """The walk of the real tree would be worth nothing if it could not see into it: spoil it and look again."""
    code, forms = panelFiles(PANELS)
    for path in [*code, *forms]:
        target = tmp_path / path.relative_to(PANELS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    before = {str(one) for one in walk(tmp_path)}
    form = tmp_path / "Resources" / "UI" / "SAMPropagation.ui"
    form.write_text(form.read_text().replace('<property name="toolTip">', '<property name="tooltip">', 1))
    spoiled = tmp_path / "SAMPropagationLib" / "spoiled.py"
    spoiled.write_text(
        "import qt\n\n\nclass Section:\n    def __init__(self, ui):\n        self.ui = ui\n\n"
        "    def update(self, name):\n        self.ui.applyButton.caption = name\n        return qt.QLable()\n"
    )
    found = {str(one) for one in walk(tmp_path)} - before
    assert any(one.startswith("SAMPropagationLib/spoiled.py:9: QPushButton has no caption") for one in found), found
    assert any(one.startswith("SAMPropagationLib/spoiled.py:10: qt has no QLable") for one in found), found
    assert any("has no property tooltip" in one for one in found), found
