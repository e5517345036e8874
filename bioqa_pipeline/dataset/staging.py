"""What lies in `_staging`, and which of it a writer may delete: names as this program makes them, nothing else.

_staging/RUN_ID/plan.parquet                          the run's plan
_staging/RUN_ID/HEX                                   a file about to be published
_staging/RUN_ID/SHARD_ID/HEX                          the same, of a shard's commit
_staging/RUN_ID/SHARD_ID/HEX.answers.parquet          a scored shard; .chunks.parquet, its windows
"""

from __future__ import annotations

import re

from bioqa_pipeline.dataset.schemas import STAGING
from bioqa_pipeline.storage.local import Storage

SAFE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
PLAN = "plan.parquet"

_STAGED = re.compile(
    rf"{STAGING}/{SAFE_NAME}/(?:{re.escape(PLAN)}|(?:{SAFE_NAME}/)?[0-9a-f]{{32}}(?:\.(?:answers|chunks)\.parquet)?)"
    r"(?:\.[0-9a-f]+)?(?:\.part)?"
)


def is_staged(name: str) -> bool:
    """Whether a file is work in progress of ours, by its name."""
    return _STAGED.fullmatch(name) is not None


def clear(storage: Storage, folder: str = STAGING) -> tuple[int, list[str]]:
    """Deletes what is ours below a folder of `_staging`: how many files that were, and the names of what stays."""
    files = storage.files(folder)
    foreign = [name for name, stored in files.items() if not is_staged(name) or stored.size < 0]
    if not foreign and folder != STAGING:
        storage.delete(folder)
        return len(files), []
    kept = tuple(foreign)
    for name in storage.list(folder):
        path = f"{folder}/{name}"
        if not any(other == path or other.startswith(f"{path}/") for other in kept):
            storage.delete(path)
        else:
            for ours in files.keys() - set(kept):
                if ours.startswith(f"{path}/"):
                    storage.delete(ours)
    return len(files) - len(foreign), foreign
