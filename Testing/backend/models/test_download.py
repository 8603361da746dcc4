"""Fetching weights from a server on this machine that is sometimes rude."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from samprompt.contract.catalogue import CatalogueEntry
from samprompt.contract.errors import Cancelled, OutputError, WeightsError, WeightsMissingError
from samprompt.contract.places import models_folder
from samprompt.contract.progress import Progress
from samprompt.models import download as module
from samprompt.models.download import download

CONTENT = os.urandom(1_500_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "probe.pth"


def _partial(target: Path) -> Path:
    return target.with_name("probe.pth.partial")


def test_a_file_arrives_whole_with_progress_and_nothing_beside_it(site: Any, target: Path) -> None:
    site.content = CONTENT
    told: list[tuple[str, int, int]] = []
    entry = site.entry(sha256=SUM, size=len(CONTENT))
    assert download(entry, target, Progress(lambda *step: told.append(step))) == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["probe.pth"]
    fetched = [step for step in told if step[0] == "Downloading probe"]
    assert [done for _, done, _ in fetched] == sorted(done for _, done, _ in fetched)
    assert fetched[-1][1:] == (len(CONTENT), len(CONTENT))


def test_an_interrupted_download_is_continued_where_it_stopped(site: Any, target: Path) -> None:
    site.content, site.cut_after = CONTENT, 600_000
    entry = site.entry(sha256=SUM)
    with pytest.raises(WeightsMissingError, match="600,000 of 1,500,000") as caught:
        download(entry, target)
    assert site.address in caught.value.message
    assert str(target) in caught.value.hint
    assert not target.exists()
    site.cut_after = 0
    download(entry, target)
    assert target.read_bytes() == CONTENT
    assert site.requests == ["", "bytes=600000-"]


def test_a_server_without_ranges_is_asked_again_from_the_start(site: Any, target: Path) -> None:
    site.content, site.ranges = CONTENT, False
    target.parent.mkdir()
    _partial(target).write_bytes(CONTENT[:1000])
    download(site.entry(sha256=SUM), target)
    assert target.read_bytes() == CONTENT


def test_a_partial_file_that_is_already_whole_needs_no_second_download(site: Any, target: Path) -> None:
    site.content = CONTENT
    target.parent.mkdir()
    _partial(target).write_bytes(CONTENT)
    download(site.entry(sha256=SUM), target)  # the size is not known: the server says that nothing is left
    assert target.read_bytes() == CONTENT
    assert site.requests == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_a_partial_file_longer_than_the_whole_is_thrown_away(site: Any, target: Path, size: int) -> None:
    site.content = CONTENT
    target.parent.mkdir()
    _partial(target).write_bytes(CONTENT + b"more")
    download(site.entry(sha256=SUM, size=size), target)
    assert target.read_bytes() == CONTENT


def test_a_wrong_sum_leaves_nothing_behind(site: Any, target: Path) -> None:
    site.content = CONTENT
    with pytest.raises(WeightsError, match="removed") as caught:
        download(site.entry(sha256="0" * 64), target)
    assert not isinstance(caught.value, WeightsMissingError)
    assert list(target.parent.iterdir()) == []


def test_a_good_file_stays_when_a_later_download_of_it_fails(site: Any, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    site.content = CONTENT
    with pytest.raises(WeightsError):
        download(site.entry(sha256="0" * 64), target)
    assert target.read_bytes() == b"old"


def test_the_login_page_of_a_network_is_not_taken_for_weights(site: Any, target: Path) -> None:
    site.content, site.kind = b"<html>please log in</html>", "text/html; charset=utf-8"
    with pytest.raises(WeightsError, match="web page"):
        download(site.entry(), target)
    assert not target.exists()


def test_without_a_network_the_message_says_the_address_and_the_place(target: Path) -> None:
    entry = CatalogueEntry("m", "vit_b", "probe.pth", url="http://127.0.0.1:9/probe.pth")  # nobody listens there
    with pytest.raises(WeightsMissingError) as caught:
        download(entry, target)
    assert entry.url in caught.value.message
    assert entry.url in caught.value.hint
    assert str(target) in caught.value.hint


def test_an_address_that_is_gone_is_said_with_the_servers_answer(site: Any, target: Path) -> None:
    site.status = 404
    with pytest.raises(WeightsMissingError, match="404"):
        download(site.entry(), target)


def test_cancelling_keeps_what_came_and_the_next_time_continues(site: Any, target: Path) -> None:
    site.content = CONTENT
    progress = Progress(lambda stage, done, total: progress.cancel() if done > 500_000 else None)
    with pytest.raises(Cancelled):
        download(site.entry(sha256=SUM), target, progress)
    assert not target.exists()
    assert 500_000 < _partial(target).stat().st_size < len(CONTENT)
    download(site.entry(sha256=SUM), target)
    assert target.read_bytes() == CONTENT
    assert site.requests[1].startswith("bytes=")


def test_a_disk_that_is_too_small_is_noticed_before_the_first_byte(
    site: Any, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = CONTENT
    usage = shutil.disk_usage(target.parent.parent)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OutputError, match="full"):
        download(site.entry(sha256=SUM), target)
    assert list(target.parent.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_behind(
    site: Any, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = CONTENT

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_copy", full)
    with pytest.raises(OutputError, match="full"):
        download(site.entry(sha256=SUM), target)
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(site: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        download(site.entry(), tmp_path / "file" / "probe.pth")


def test_what_must_be_fetched_by_hand_says_how_and_where(target: Path) -> None:
    entry = CatalogueEntry("m", "vit_b", "probe.pth", manual=True, instructions="Ask the authors.")
    with pytest.raises(WeightsMissingError) as caught:
        download(entry, target)
    assert "Ask the authors." in caught.value.hint
    assert str(target) in caught.value.hint


def test_an_address_that_is_not_of_the_web_is_never_opened(tmp_path: Path, target: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    with pytest.raises(WeightsMissingError):
        download(CatalogueEntry("m", "vit_b", "probe.pth", url=secret.as_uri()), target)
    assert not target.exists()


def test_the_models_folder_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMPROMPT_MODELS", str(tmp_path))
    assert models_folder() == tmp_path
    monkeypatch.delenv("SAMPROMPT_MODELS")
    assert models_folder().parts[-2:] == ("samprompttools", "models")
