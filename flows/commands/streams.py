"""Standard output and error into ones that a command can write anything to, whoever reads them or has stopped to."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from bioqa_pipeline.errors import BioqaError


class _Forgiving:
    """A stream that goes on into nothing where its reader has gone, as `head` does, so that the work is done.

    Args:
        stream: None where the caller has closed it.
        name: in what is said where it cannot be written; empty for the one that would say it, which is forgiven all.
    """

    def __init__(self, stream: TextIO | None, name: str) -> None:
        # Opened, too, so that no file of the work takes its number and gets what libraries print.
        self._stream = stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._forgiven():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._forgiven():
            self._stream.flush()

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self._into_nothing()
            if self._name and not isinstance(exc, BrokenPipeError):
                raise BioqaError(f"{self._name} cannot be written: {exc.strerror}") from exc

    def _into_nothing(self) -> None:
        # What the stream still holds is written again at exit.
        with suppress(OSError, io.UnsupportedOperation):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)
        with suppress(OSError):
            self._stream.flush()


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """For as long as this lasts, no closed pipe or stream ends the work, and what an encoding lacks becomes "?"."""
    before = sys.stdout, sys.stderr
    errors = [stream.errors if isinstance(stream, io.TextIOWrapper) else None for stream in before]
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    names = "standard output", ""
    sys.stdout, sys.stderr = (cast("TextIO", _Forgiving(*stream)) for stream in zip(before, names, strict=True))
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
        for stream, named in zip(before, errors, strict=True):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=named)
