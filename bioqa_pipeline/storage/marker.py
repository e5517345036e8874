"""A folder that something is to be written to, and whether it is this program's: by the marker `_bioqa.json` in it.

A folder that holds anything and bears no marker is somebody's, unless what is in it proves that an earlier version
wrote it. Data sets have a marker of their own, by the same name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bioqa_pipeline import __version__
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.files import SMALL, read_own
from bioqa_pipeline.inputs import is_address
from bioqa_pipeline.storage.local import LocalStorage

MARKER = "_bioqa.json"
FORMAT = 1
# What volumes and file servers show in every folder, and a marker that was being written.
_HARMLESS = frozenset({"lost+found", ".snapshot", f"{MARKER}.part"})


def foreign(folder: Path, kind: str, is_old: Callable[[Path], bool]) -> str | None:
    """Why nothing may be written to a folder; None where it is empty, absent, or this program's and of this kind.

    Args:
        kind: as in the marker, "evaluation".
        is_old: whether a folder without a marker was written by a version that made none.

    Raises:
        OSError: the folder cannot be read.
    """
    if is_address(folder):
        return f"{folder}: is an address; name a folder here, and copy it there afterwards"
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return f"{folder}: not a folder"
    except ValueError as exc:
        return f"{str(folder)!r}: {exc}"
    if MARKER in names:
        return _misfit(folder, kind)
    others = [name for name in names if name not in _HARMLESS]
    if not others or is_old(folder):
        return None
    return f"{folder}: holds {others[0]!r} and bears no {MARKER}, so it is not this program's; give another folder"


def mark(folder: Path, kind: str) -> None:
    """Makes the folder, where it is absent, and its marker; to be called where nothing is `foreign`, before all else.

    Raises:
        DatasetError: it cannot be written.
    """
    storage = LocalStorage(folder)
    if (folder / MARKER).exists():
        return
    said = {"kind": kind, "format": FORMAT, "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        storage.write(MARKER, json.dumps(said | {"program": f"bioqa {__version__}"}, indent=1).encode())
    except DatasetError:
        # Another process may have been quicker with the same.
        if not (folder / MARKER).exists():
            raise


def says(path: Path, *names: str) -> bool:
    """Whether a file holds a JSON object with these names, as earlier versions wrote it into folders of theirs."""
    try:
        found = json.loads(read_own(path, max_bytes=SMALL))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= {*names}


def _misfit(folder: Path, kind: str) -> str | None:
    try:
        said = json.loads(read_own(folder / MARKER, max_bytes=SMALL))
        found, version = str(said["kind"]), int(said["format"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        return f"{folder / MARKER}: not a marker of this program, or damaged ({exc}); give another folder"
    if found != kind:
        return f"{folder}: a folder of this program, but it holds another thing ({found}); give another folder"
    if version > FORMAT:
        return f"{folder / MARKER}: format {version}, this program knows {FORMAT}; use a newer bioqa"
    return None
