"""Small and full-size SAM models with random weights, and a web server that misbehaves on request."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from narrow_networks import narrow_sam
from samprompt.contract.catalogue import CatalogueEntry
from segment_anything.modeling import Sam

sys.path.insert(0, str(Path(__file__).parent))  # prompts_for_tests.py


@pytest.fixture(scope="session")
def small_sam() -> Sam:
    """A SAM of 256 pixels with two thin blocks."""
    return narrow_sam(1, side=256, width=48, channels=64, window=5).eval()


@dataclass
class Site:
    """What the server on 127.0.0.1 answers, and the requests it got (path, Range header)."""

    address: str = ""
    content: bytes = b""
    ranges: bool = True
    kind: str = "application/octet-stream"
    cut_after: int = 0  # bytes of the body after which the connection is dropped, 0 for never
    status: int = 0  # answer with this error instead
    requests: list[str] = field(default_factory=list)

    def entry(self, **values: object) -> CatalogueEntry:
        """A catalogue entry for the file of this site."""
        return CatalogueEntry(
            **{"name": "probe", "architecture": "vit_b", "file": "probe.pth", "url": self.address, **values}
        )  # type: ignore[arg-type]


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server in a thread of its own, with ranges, that can also be rude."""
    state = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.requests.append(wanted)
            if state.status:
                self.send_error(state.status)
                return
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if begin and begin >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = state.content[begin:]
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Type", state.kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cut_after] if state.cut_after else body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}/probe.pth"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def truncated() -> Callable[[Path, float], Path]:
    """Cut a file to a share of its length."""

    def cut(path: Path, share: float) -> Path:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return cut
