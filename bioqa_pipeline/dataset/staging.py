"""Rows into files in `_staging`, by any process; which of what lies there a writer may delete: names as made here.

_staging/RUN_ID/plan.parquet                          the run's plan
_staging/RUN_ID/HEX                                   a file about to be published
_staging/RUN_ID/SHARD_ID/HEX                          the same, of a shard's commit
_staging/RUN_ID/SHARD_ID/HEX.answers.parquet          a scored shard; .chunks.parquet, its windows
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS, PARQUET, STAGING, AnswerRow, ChunkRow
from bioqa_pipeline.dataset.tables import encode, to_table
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.places import storage_at

SAFE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
PLAN = "plan.parquet"

_STAGED = re.compile(
    rf"{STAGING}/{SAFE_NAME}/(?:{re.escape(PLAN)}|(?:{SAFE_NAME}/)?[0-9a-f]{{32}}(?:\.(?:answers|chunks)\.parquet)?)"
    r"(?:\.[0-9a-f]+)?(?:\.part)?"
)


def write_staged(
    root: Path | str | Storage,
    run_id: str,
    shard_id: str,
    answers: pa.Table | Sequence[AnswerRow],
    chunks: pa.Table | Sequence[ChunkRow],
    metadata: Mapping[str, str],
) -> None:
    """Puts the rows of one shard where `DatasetWriter.commit_shard` finds them; for worker processes.

    May run twice for one shard, also at the same time.

    Args:
        root: the data set.
        answers: at least one; pairs of the shard that could not be scored are left out and planned again next time.
        chunks: the windows of these pairs.
        metadata: for the Parquet files; "config" is the whole resolved configuration as JSON.

    Raises:
        DatasetError: a row does not fit its table, or the rows cannot be written (disk full).
    """
    check_name(run_id, "run id")
    check_name(shard_id, "shard id")
    answers = answers if isinstance(answers, pa.Table) else to_table(answers, ANSWERS)
    chunks = chunks if isinstance(chunks, pa.Table) else to_table(chunks, CHUNKS)
    pair_ids = set(answers["pair_id"].to_pylist())
    if not pair_ids or len(pair_ids) < len(answers):
        raise DatasetError(f"shard {shard_id}: {len(answers)} answers of {len(pair_ids)} different pairs")
    if set(chunks["pair_id"].unique().to_pylist()) != pair_ids:
        raise DatasetError(f"shard {shard_id}: answers and chunks are not of the same pairs")
    stage_tables(storage_at(root), run_id, shard_id, answers, chunks, metadata)


def stage_tables(
    storage: Storage, run_id: str, shard_id: str, answers: pa.Table, chunks: pa.Table, metadata: Mapping[str, str]
) -> str:
    """Two files with a name of their own; answers last, so that a pair of files is whole once its answers are there."""
    attempt = f"{STAGING}/{run_id}/{shard_id}/{uuid.uuid4().hex}"
    storage.write(f"{attempt}.chunks{PARQUET}", encode(chunks, CHUNKS, metadata))
    try:
        storage.write(f"{attempt}.answers{PARQUET}", encode(answers, ANSWERS, metadata))
    except DatasetError:
        storage.delete(f"{attempt}.chunks{PARQUET}")
        raise
    return attempt


def stage(storage: Storage, folder: str, data: bytes) -> str:
    """A file about to be published, below a folder of `_staging`; gives its name."""
    name = f"{STAGING}/{folder}/{uuid.uuid4().hex}"
    storage.write(name, data)
    return name


def is_staged(name: str) -> bool:
    """Whether a file is work in progress of ours, by its name."""
    return _STAGED.fullmatch(name) is not None


def clear(storage: Storage, folder: str = STAGING) -> tuple[int, list[str]]:
    """Deletes what is ours below a folder of `_staging`: how many files that were, and the names of what stays."""
    files = storage.files(folder)
    foreign = [name for name, stored in files.items() if not is_staged(name) or stored.size < 0]
    if not foreign and folder != STAGING:
        storage.delete(folder, below=True)
        return len(files), []
    kept = tuple(foreign)
    for name in storage.list(folder):
        path = f"{folder}/{name}"
        if not any(other == path or other.startswith(f"{path}/") for other in kept):
            storage.delete(path, below=True)
        else:
            for ours in files.keys() - set(kept):
                if ours.startswith(f"{path}/"):
                    storage.delete(ours)
    return len(files) - len(foreign), foreign


def check_name(name: str, what: str) -> None:
    if not re.fullmatch(SAFE_NAME, name):
        raise DatasetError(f"{what} {name!r}: letters, digits, '.', '_' and '-' only, not starting with a sign")
