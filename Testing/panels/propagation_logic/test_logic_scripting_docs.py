"""Every snippet of docs/scripting.md does what the page says, with the real worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer


@pytest.fixture
def files(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files that the page speaks of, in the current folder."""
    from SAMPropagationLib import selftest

    image, mask = selftest.phantom()
    baseline = selftest.addVolume("baseline", image)
    contours = selftest.addContours("contours", baseline, mask)
    assert slicer.util.saveNode(baseline, str(tmp_path / "baseline.nrrd"))
    assert slicer.util.saveNode(contours, str(tmp_path / "contours.seg.nrrd"))
    for n, name in enumerate(("visit1", "visit2")):
        node = selftest.addVolume(name, selftest.phantom(selftest.MOVED, seed=n + 2)[0])
        assert slicer.util.saveNode(node, str(tmp_path / f"{name}.nrrd"))
    slicer.mrmlScene.Clear(False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    from SAMPromptCommonLib.client import WorkerClient

    WorkerClient.shared().dispose()


def snippets(repository: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (repository / "docs" / "scripting.md").read_text(encoding="utf-8"), re.S)


def test_every_snippet_runs_in_order_and_does_what_the_page_says(
    host: Any, files: Path, repository: Path, capsys: pytest.CaptureFixture
) -> None:
    host.load_module("SAMPropagation")
    names: dict[str, Any] = {}
    said: list[str] = []
    for number, snippet in enumerate(snippets(repository), 1):
        exec(compile(snippet, f"snippet {number} of scripting.md", "exec"), names)
        said.append(capsys.readouterr().out)
        if number == 1:
            assert said[0].strip() == "done", names["run"].error
            assert len(names["logic"].results()) == 2
    text = "\n".join(said)
    assert "No follow-up is chosen." in said[2]
    assert re.search(r"visit1 .*Lesion \d+\.\d\d ml", said[3])
    assert names["mask"].shape == tuple(reversed(slicer.util.getNode("visit1").GetImageData().GetDimensions()))
    assert "p2sam3d" in said[4]
    assert re.search(r"tiny \w{8}", said[4])
    assert "done ['visit2']" in text
    assert "contours on visit2" in text
    assert [Path(path).name for path in names["files"]] == ["contours on visit1.seg.nrrd"]
    assert text.rstrip().endswith("cancelled")
    assert np.isfinite(names["worst"].trust)
