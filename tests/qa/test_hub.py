"""Loading by hub name, against a local server that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bioqa_pipeline.paths import EMBEDDED_MODEL
from bioqa_pipeline.qa.pins import pin_of
from support.checkpoints import make_checkpoint

REPOSITORIES = ("lab/biobert", "lab/known", "lab/other", "lab/moved")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN = """
import json, sys
from pathlib import Path
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa import pins
from bioqa_pipeline.qa.checkpoint import open_checkpoint
pins.TABLE = Path(sys.argv[1])
for name in sys.argv[2:]:
    try:
        checkpoint = open_checkpoint(name)
        print(json.dumps([checkpoint.name, checkpoint.revision, checkpoint.casing, dict(checkpoint.files)]))
    except CheckpointError as exc:
        print(json.dumps(str(exc)))
"""


class Hub(ThreadingHTTPServer):
    """Repositories of the lab, all with the same files, whose only revision is `COMMIT`, also named main and v1."""

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
        repository = next((r for r in REPOSITORIES if f"/{r}" in path), "lab/none")
        info, resolve = f"/api/models/{repository}", f"/{repository}/resolve/"
        if path in {info, *(f"{info}/revision/{r}" for r in ("main", "v1", COMMIT))}:
            names = sorted(p.name for p in self.server.folder.iterdir())
            listing = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
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


def opened(names: list[str], port: int, home: Path, table: dict[str, object] | None = None) -> list[Any]:
    """Of each name what was opened (name, revision, casing, digests), or the error."""
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    (home.parent / "table.json").write_text(json.dumps(table or {}), "utf-8")
    result = subprocess.run(
        [sys.executable, "-c", OPEN, str(home.parent / "table.json"), *names],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in result.stdout.splitlines()]


def digests(folder: Path, *names: str) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def test_a_bin_only_checkpoint_comes_from_the_hub_and_then_from_the_cache(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "repo", cased=True, weights="bin", tokenizer_config={"do_lower_case": False})
    (folder / "training_args.bin").write_bytes(b"a pickle that nobody needs")
    read = digests(folder, "config.json", "pytorch_model.bin", "vocab.txt", "tokenizer_config.json")
    weights = read["pytorch_model.bin"]
    names = [
        "lab/biobert",
        "lab/biobert@v1",
        f"lab/biobert#sha256:{weights}",
        f"lab/biobert@v1#sha256:{weights.upper()}",
    ]
    with hub(folder) as server:
        *first, wrong = opened([*names, f"lab/biobert#sha256:{'0' * 64}"], server.server_port, tmp_path / "home")
        asked = list(server.requests)
    assert first == [["lab/biobert", COMMIT, "cased", read]] * 4
    assert re.fullmatch(
        rf".*/pytorch_model\.bin has SHA-256 {weights}, but 0+ is pinned; lab/biobert@{COMMIT} without .*", wrong
    )
    assert not any("training_args" in request for request in asked)
    assert opened(names, server.server_port, tmp_path / "home") == first


def test_an_encoder_of_the_table_is_taken_at_its_revision_and_compared(tmp_path: Path) -> None:
    """safetensors on the hub leave the .bin where it is, too."""
    folder = make_checkpoint(tmp_path / "repo")
    (folder / "pytorch_model.bin").write_bytes(b"never fetched")
    own = digests(folder, "config.json", "model.safetensors", "vocab.txt")
    table = {
        name: {"revision": revision, "package": f"package:{name}", "sha256": sha256}
        for name, revision, sha256 in (
            ("lab/known", COMMIT, own),
            ("lab/other", COMMIT, own | {"vocab.txt": "0" * 64}),
            ("lab/moved", "f" * 40, own | {"vocab.txt": "0" * 64}),
        )
    }
    names = ["lab/known", "lab/other", "lab/moved", "lab/moved@main", "lab/other@v1", "lab/biobert@v9", "lab/nothing"]
    with hub(folder) as server:
        known, other, moved, named, also, unknown, nothing = opened(names, server.server_port, tmp_path / "home", table)
    assert known == ["lab/known", COMMIT, "uncased", own]
    assert not [request for request in server.requests if "known" in request and "main" in request]
    assert not any("pytorch_model.bin" in request for request in server.requests)
    # Whichever way the revision is named.
    assert other == also and re.fullmatch(
        rf".*/vocab\.txt has SHA-256 {own['vocab.txt']}, but 0+ is pinned; .* another revision, such as lab/other@main",
        other,
    )
    assert moved.startswith(f"cannot get lab/moved@{'f' * 40} from the model hub") and named[1] == COMMIT
    assert unknown.startswith("cannot get lab/biobert@v9 from the model hub")
    assert nothing.startswith("cannot get lab/nothing from the model hub")


def test_the_table_names_the_encoders_that_recipes_start_from() -> None:
    recipes = [tomllib.loads(path.read_text("utf-8")) for path in EMBEDDED_MODEL.glob("recipe*.toml")]
    names = {recipe[key] for recipe in recipes for key in ("base_model", "vocabulary") if key in recipe}
    assert len(names) == 2
    for pin in map(pin_of, names):
        assert pin and re.fullmatch("[0-9a-f]{40}", pin.revision)
        assert pin.sha256.keys() >= {"config.json", "model.safetensors", "vocab.txt"}
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pin.sha256.values())
