"""The root of a data set, as `out` names it, into the storage that holds it."""

from __future__ import annotations

from pathlib import Path

from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.local import LocalStorage
from bioqa_pipeline.storage.uri import place


def storage_at(root: Path | str | Storage) -> Storage:
    """The storage of a data set's root; a storage is its own.

    Raises:
        DatasetError: the root is a URI of a kind that is not supported, or what it needs is not installed.
    """
    if not isinstance(root, Path | str):
        return root
    try:
        where = place(root)
    except ValueError as exc:
        raise DatasetError(str(exc)) from exc
    if isinstance(where, Path):
        return LocalStorage(where)
    try:
        from bioqa_pipeline.storage.s3 import ObjectStorage
    except ImportError as exc:
        raise DatasetError(f"{where}: object stores need one more package: pip install 'bioqa[s3]' ({exc})") from exc
    return ObjectStorage(where)
