"""The job of `make run` asks nothing of the network: neither names nor connections but those of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bioqa_pipeline.dataset.reader import Dataset
from support.paths import ROOT

# An audit hook sees every connection and look-up of names that goes through Python's sockets, whoever asks for it.
GUARDED = """
import sys

def guard(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        place = arguments[1] if event in {"socket.connect", "socket.sendto"} else arguments[0]
        host = place[0] if isinstance(place, tuple) else place
        if host not in {"127.0.0.1", "::1", "localhost", None} and not isinstance(place, bytes):
            sys.stderr.write(f"REACHED OUT: {event} {place}\\n")
            raise PermissionError(f"no network here: {event} {place}")

sys.addaudithook(guard)
"""
JOB = """
from flows.commands.run import main

sys.exit(main(sys.argv[1:]))
"""
REACHING = """
import socket

socket.create_connection(("192.0.2.1", 80), timeout=1)
"""


def guarded(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    offline = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    env = {name: value for name, value in os.environ.items() if name not in offline}
    return subprocess.run(
        [sys.executable, "-c", GUARDED + program, *arguments],
        cwd=ROOT,
        env={**env, "BIOQA_CACHE": str(folder / "cache"), "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_the_sample_is_asked_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("What causes scurvy?\nWho discovered insulin?\n")
    out = tmp_path / "out"
    options = ["--source", "sample", "--max-abstracts", "1", "--no-prefect", "--quiet"]
    done = guarded(JOB, tmp_path, "--questions", str(tmp_path / "q.txt"), *options, "--out", str(out))
    assert "REACHED OUT" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    assert Dataset(out).runs()[0].n_scored == 2


def test_the_guard_would_have_noticed(tmp_path: Path) -> None:
    done = guarded(REACHING, tmp_path)
    assert done.returncode == 1 and "REACHED OUT" in done.stderr
