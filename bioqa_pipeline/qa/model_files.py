"""Files of a model folder into bytes and JSON objects, before anybody believes what stands in them.

A model folder may be somebody else's: a file is read only where it is a regular one (a pipe would wait for ever, a
device never end), up to a size, and JSON only with names that stand there once and numbers that are numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.files import NotRegularError, open_file
from bioqa_pipeline.messages import first_few

MEBIBYTE = 1 << 20
# The largest in use: a configuration of 20 KB, a multilingual tokenizer.json of 4 MB.
JSON_BYTES = MEBIBYTE
TOKENIZER_BYTES = 16 * MEBIBYTE
# Problems of one file that are told; a broken one may have thousands.
TOLD_PROBLEMS = 3
TOLD_CHARS = 60

_T = TypeVar("_T")


class FileValues(BaseModel):
    """What is taken of somebody's file: of the types that it ought to have, and nothing else that stands there."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)


def is_there(path: Path) -> bool:
    """Also a link that leads nowhere: a model is broken with it, not complete without it."""
    return os.path.lexists(path)


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """The file for reading.

    Raises:
        CheckpointError: it is missing, cannot be read, then or later, or is a folder, a pipe or a device, also behind a
            link.
    """
    try:
        with open_file(path) as file:
            yield file
    except FileNotFoundError as exc:
        raise CheckpointError(f"{path} is missing: {path.parent} is not a model folder") from exc
    except NotRegularError as exc:
        raise CheckpointError(f"{path}: {exc.strerror}; put the model's own file there") from exc
    except (OSError, ValueError) as exc:
        raise CheckpointError(f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc


def read_bytes(path: Path, *, at_most: int) -> bytes:
    """The whole content of a regular file of bounded size.

    Raises:
        CheckpointError: see `open_regular`; or it is larger.
    """
    with open_regular(path) as handle:
        content = handle.read(at_most + 1)
    if len(content) > at_most:
        raise CheckpointError(f"{path} has more than {at_most:,} bytes: no model has such a file; fetch it again")
    return content


def file_digest(path: Path) -> str:
    """The SHA-256 of a regular file's content; see `open_regular`."""
    with open_regular(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_text(path: Path, *, at_most: int) -> str:
    """A UTF-8 text; see `read_bytes`."""
    try:
        return read_bytes(path, at_most=at_most).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise CheckpointError(f"{path} is not UTF-8: {exc}") from exc


def read_json_object(path: Path, *, at_most: int = JSON_BYTES) -> dict[str, Any]:
    """A file of a model folder that holds one JSON object."""
    return parse_json_object(read_bytes(path, at_most=at_most), path)


def parse_json_object(content: bytes, path: Path) -> dict[str, Any]:
    """One JSON object in UTF-8.

    Args:
        path: what an error names.

    Raises:
        CheckpointError: it is not JSON by RFC 8259 (NaN and Infinity are not), is nested too deeply, names a key twice
            or is no object.
    """
    try:
        found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise CheckpointError(f"{path} is not UTF-8: {exc}") from exc
    except ValueError as exc:
        raise CheckpointError(f"{path} is not valid JSON: {exc}") from exc
    except RecursionError as exc:
        raise CheckpointError(f"{path} is nested too deeply for a file of a model") from exc
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{shortened(twice)} stands there twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def shortened(value: object) -> str:
    """A value of a file on one line, as Python writes it."""
    # The repr of a nested value can be as large as the file.
    told = repr(value[:TOLD_CHARS]) if isinstance(value, str) else ascii(value) if _is_plain(value) else "…"
    return told if len(told) <= TOLD_CHARS else told[:TOLD_CHARS] + "…"


def _is_plain(value: object) -> bool:
    # An integer of thousands of digits cannot be written, by Python's own limit.
    return value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and value.bit_length() < 256)


def checked(validate: Callable[[Any], _T], values: object, path: Path) -> _T:
    """What a pydantic model makes of a file's values.

    Raises:
        CheckpointError: names the file and the first problems, with the values.
    """
    try:
        return validate(values)
    except ValidationError as exc:
        problems = [_problem(str(e["type"]), e["loc"], e["msg"], e["input"]) for e in exc.errors(include_url=False)]
    raise CheckpointError(f"{path}: {first_few(problems, TOLD_PROBLEMS, '; ')}")


def _problem(kind: str, place: tuple[int | str, ...], message: str, value: object) -> str:
    name = ".".join(str(part)[:TOLD_CHARS] for part in place)
    if kind == "extra_forbidden":
        return f"unknown key {shortened(name)}"
    if kind == "missing":
        return f"{name} is missing"
    message = message.removeprefix("Value error, ")
    return f"{name} {shortened(value)}: {message[:1].lower()}{message[1:]}" if name else message
