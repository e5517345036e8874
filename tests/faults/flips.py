"""Bits of committed files that are not what they were: noticed, or without an effect; never read as other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import BioqaError
from faults.ledger import Finding
from faults.on_disk import DiskHistory

FLIPS = 20
# What readers of Parquet say by themselves.
NOTICED = (BioqaError, pl.exceptions.PolarsError, pa.ArrowException)


def bit_flipped(history: DiskHistory) -> None:
    """One bit of one file of a data set, many times; now and then a run goes on with it."""
    rng = history.rng
    root = history.system.disk.base / "set"
    history.grow()
    history.work().run(history.n_pairs)
    before = _all_that_is_read(history.dataset)
    for _ in range(FLIPS):
        files = [p for p in sorted(root.rglob("*")) if p.is_file() and p not in history.ledger.foreign]
        path = rng.choice([p for p in files if p.stat().st_size])
        data = path.read_bytes()
        flipped = _flip(history, path, data)
        history.inject(f"a bit of {path.relative_to(root)}")
        try:
            after = _all_that_is_read(history.dataset)
        except NOTICED as exc:
            history.note(f"noticed: {type(exc).__name__}")
        else:
            other = [name for name in before if before[name] != after[name]]
            if other:
                history.findings.append(Finding("unexplained", f"{path.relative_to(root)}: {other} read as other data"))
        if rng.random() < 0.1:
            _goes_on(history)
            _restore(history, path, flipped, data)
            history.check()
            history.recover()
            before = _all_that_is_read(history.dataset)
        else:
            _restore(history, path, flipped, data)
        if history.findings:
            return
    history.check()
    history.recover()


def _flip(history: DiskHistory, path: Path, data: bytes) -> bytes:
    flipped = bytearray(data)
    flipped[history.rng.randrange(len(data))] ^= 1 << history.rng.randrange(8)
    with history.system.aside():
        path.write_bytes(flipped)
    return bytes(flipped)


def _restore(history: DiskHistory, path: Path, flipped: bytes, data: bytes) -> None:
    """From a copy; unless a run has deleted it, or put another in its place as it does with the current answers."""
    with history.system.aside():
        if path.exists() and path.read_bytes() == flipped:
            path.write_bytes(data)


def _goes_on(history: DiskHistory) -> None:
    """A run over a data set with a flipped bit: it says what is wrong, or does what it should."""
    history.grow()
    history.system.struck = "a bit flipped"
    try:
        history.work().run(history.n_pairs)
        history.note("a run went on")
    except NOTICED as exc:
        history.note(f"a run stopped: {exc}")
    finally:
        history.system.arm(None)


def _all_that_is_read(dataset: Dataset) -> dict[str, Any]:
    frames = {"answers": dataset.answers(), "chunks": dataset.chunks(), "summary": dataset.summary()}
    rows: dict[str, Any] = {
        name: sorted(map(repr, frame.collect().iter_rows(named=True))) for name, frame in frames.items()
    }
    return rows | {"runs": dataset.runs()}
