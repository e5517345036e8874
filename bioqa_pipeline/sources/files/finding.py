"""Files, folders and patterns, as users name them, into the files to read, in order, each once."""

from __future__ import annotations

import glob
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.files import kind_of
from bioqa_pipeline.inputs import missing_file

MAX_FILES = 10_000
# What counts in a folder; a file that is named itself is read whatever its name.
SUFFIXES = (
    *(".nbib", ".medline", ".ris", ".enw", ".bib", ".bibtex", ".csv", ".tsv", ".txt"),
    *(".xml", ".xml.gz"),
)
# What may hold records, too: looked into, so that it is said why it is not read.
_PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz", ".xls", ".xlsx", ".ods")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to read.

    Attributes:
        is_named: by the user, so that it has to hold records; not only lies in a folder that was.
    """

    path: Path
    is_named: bool


def find_files(named: Sequence[Path]) -> tuple[FoundFile, ...]:
    """The files.

    Raises:
        InputError: there is none, something is named that is none, or there are too many.
    """
    found: dict[Path, FoundFile] = {}
    for path in named:
        files = list(_files(path))
        if not files:
            raise InputError(f"no file of records is there; such are {', '.join(SUFFIXES)}", path)
        for file in files:
            found.setdefault(file.path.absolute(), file)
        if len(found) > MAX_FILES:
            raise InputError(f"leads to more than {MAX_FILES:,} files: name fewer", path)
    return tuple(found.values())


def _files(path: Path) -> Iterator[FoundFile]:
    try:
        if path.is_dir():
            yield from _in_folder(path)
        elif path.exists() or not glob.has_magic(str(path)):
            _check(path)
            yield FoundFile(path, is_named=True)
        else:
            yield from _matching(path)
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot be read: {getattr(exc, 'strerror', None) or exc}", path) from exc


def _check(path: Path) -> None:
    if not path.exists():
        raise InputError(missing_file(path), path)
    if not stat.S_ISREG(mode := path.stat().st_mode):
        raise InputError(f"cannot be read: it is {kind_of(mode)}, not a regular file", path)


def _in_folder(folder: Path) -> Iterator[FoundFile]:
    """The files of records at any depth, but hidden ones and links that lead out of the folder."""
    home = folder.resolve()
    for path in sorted(folder.rglob("*")):
        counts = _is_visible(path.relative_to(folder)) and path.name.lower().endswith((*SUFFIXES, *_PACKED))
        if counts and _is_inside(path, home):
            yield FoundFile(path, is_named=False)


def _matching(pattern: Path) -> Iterator[FoundFile]:
    """What a pattern as a shell's finds, but links that lead elsewhere than the folder that it begins with."""
    fixed = pattern
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    home, wanted = fixed.resolve(), pattern.relative_to(fixed)
    # The module glob follows links to folders: with two that lead back it never ends.
    for path in sorted(fixed.glob(str(wanted))):
        if (_is_visible(path.relative_to(fixed)) or not _is_visible(wanted)) and _is_inside(path, home):
            yield FoundFile(path, is_named=True)


def _is_visible(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts)


def _is_inside(path: Path, home: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(home)
