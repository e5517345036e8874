"""A file that the user names into its content: a regular file of bounded size, or an error that says what it is."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from bioqa_pipeline.errors import InputError

MAX_BYTES = 256 * 2**20
# SQuAD v2.0 has 42 MB; in memory JSON takes some ten times as much.
MAX_JSON_BYTES = 1024 * 2**20


def read_input(path: Path, *, most_bytes: int = MAX_BYTES) -> bytes:
    """The whole content.

    Raises:
        InputError: it is not there, cannot be read, is a folder, a pipe or a device, which may never end, or is too
            long.
    """
    try:
        # A pipe that nobody writes to would be waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError("is no regular file but a pipe or a device: save its content as a file", path)
            content = file.read(most_bytes + 1)
    except FileNotFoundError:
        raise InputError("cannot be read: there is no such file", path) from None
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot be read: {getattr(exc, 'strerror', None) or exc}", path) from exc
    if len(content) > most_bytes:
        raise InputError(f"has more than {most_bytes:,} bytes: split it", path)
    return content


def read_text(path: Path, *, most_bytes: int = MAX_BYTES) -> str:
    """The same as text in UTF-8, without a byte-order mark.

    Raises:
        InputError: see `read_input`, or it is in another encoding.
    """
    try:
        return read_input(path, most_bytes=most_bytes).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        raise InputError(f"is not UTF-8: {exc}", path) from exc


def read_json(path: Path) -> Any:
    """The same as the value that its JSON says.

    Raises:
        InputError: see `read_text`, or it is no JSON, or nested too deeply.
    """
    text = read_text(path, most_bytes=MAX_JSON_BYTES)
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise InputError(f"is not JSON: {exc.msg}", path, exc.lineno) from exc
    except RecursionError:
        raise InputError("is not JSON that can be read: it is nested too deeply", path) from None
    except ValueError as exc:  # a number of more digits than Python turns into one
        raise InputError(f"is not JSON that can be read: {exc}", path) from exc
