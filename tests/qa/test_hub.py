"""Loading by hub name, against a local server that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.checkpoints import make_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN = """
import sys
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import open_checkpoint
try:
    checkpoint = open_checkpoint(sys.argv[1])
    print(checkpoint.name, checkpoint.revision, checkpoint.weights.name, checkpoint.casing)
except CheckpointError as exc:
    sys.exit(f"error: {exc}")
"""


class Hub(ThreadingHTTPServer):
    """One repository, `lab/biobert`, whose only revision is `COMMIT`, also named main and v1."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.folder = folder
        self.requests: list[str] = []


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        info, resolve = "/api/models/lab/biobert", "/lab/biobert/resolve/"
        if path in {info, *(f"{info}/revision/{r}" for r in ("main", "v1", COMMIT))}:
            names = sorted(p.name for p in self.server.folder.iterdir())
            listing = {"id": "lab/biobert", "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
            self.send(200, json.dumps(listing).encode(), "application/json", body=body)
            return
        if path == f"{info}/tree/{COMMIT}":
            files = [
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": "0" * 40}
                for p in sorted(self.server.folder.iterdir())
            ]
            self.send(200, json.dumps(files).encode(), "application/json", body=body)
            return
        if path.startswith(resolve):
            revision, _, name = path.removeprefix(resolve).partition("/")
            file = self.server.folder / name
            if revision in {"main", "v1", COMMIT} and file.is_file():
                self.send(200, file.read_bytes(), "application/octet-stream", body=body)
                return
            self.send(404, b"", "text/plain", body=body, error="EntryNotFound")
            return
        self.send(404, b"{}", "application/json", body=body, error="RevisionNotFound")

    def send(self, status: int, content: bytes, kind: str, *, body: bool, error: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    with Hub(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def open_by_name(name: str, port: int, home: Path) -> subprocess.CompletedProcess[str]:
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", OPEN, name], env={**os.environ, **settings}, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("revision", ["", "@v1"])
def test_a_bin_only_checkpoint_comes_from_the_hub_and_then_from_the_cache(tmp_path: Path, revision: str) -> None:
    folder = make_checkpoint(tmp_path / "repo", cased=True, weights="bin", tokenizer_config={"do_lower_case": False})
    (folder / "training_args.bin").write_bytes(b"a pickle that nobody needs")
    with hub(folder) as server:
        first = open_by_name(f"lab/biobert{revision}", server.server_port, tmp_path / "home")
        asked = list(server.requests)
    assert first.stdout == f"lab/biobert {COMMIT} pytorch_model.bin cased\n", first.stderr
    assert not any("training_args" in request for request in asked)
    offline = open_by_name(f"lab/biobert{revision}", server.server_port, tmp_path / "home")
    assert offline.stdout == first.stdout, offline.stderr


def test_safetensors_on_the_hub_leave_the_bin_where_it_is(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "repo")
    (folder / "pytorch_model.bin").write_bytes(b"never fetched")
    with hub(folder) as server:
        result = open_by_name("lab/biobert", server.server_port, tmp_path / "home")
    assert result.stdout == f"lab/biobert {COMMIT} model.safetensors uncased\n", result.stderr
    assert not any("pytorch_model.bin" in request for request in server.requests)


@pytest.mark.parametrize("name", ["lab/biobert@v9", "lab/nothing"])
def test_an_unknown_name_or_revision_is_a_clear_error(tmp_path: Path, name: str) -> None:
    with hub(make_checkpoint(tmp_path / "repo")) as server:
        result = open_by_name(name, server.server_port, tmp_path / "home")
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: cannot get {name} from the model hub"), result.stderr
