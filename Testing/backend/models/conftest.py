"""Small and full-size SAM models with random weights, and a web server that misbehaves on request."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import torch
from samprompt.contract.catalogue import CatalogueEntry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

sys.path.insert(0, str(Path(__file__).parent))  # prompts_for_tests.py


def shake(model: torch.nn.Module, seed: int = 0) -> None:
    """Add noise to every weight: fresh networks have zeros in places (position embeddings) that must not hide."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture(scope="session")
def small_sam() -> Sam:
    """A SAM of 256 pixels with two thin blocks: every part of the real one, in milliseconds."""
    torch.manual_seed(1)
    model = Sam(
        ImageEncoderViT(
            img_size=256, depth=2, embed_dim=48, num_heads=2, out_chans=64, qkv_bias=True, use_rel_pos=True,
            window_size=5, global_attn_indexes=(1,), norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        ),
        PromptEncoder(64, (16, 16), (256, 256), 16),
        MaskDecoder(
            transformer_dim=64, transformer=TwoWayTransformer(depth=2, embedding_dim=64, mlp_dim=64, num_heads=4)
        ),
    )  # fmt: skip
    shake(model)
    return model.eval()


@pytest.fixture
def models_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder that the environment variable names."""
    folder = tmp_path / "models folder"
    monkeypatch.setenv("SAMPROMPT_MODELS", str(folder))
    return folder


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
