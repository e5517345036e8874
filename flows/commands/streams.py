"""Standard output and error into ones that a command can write anything to, whoever reads them or has stopped to."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


class _Forgiving:
    """A stream that goes on into nothing where its reader has gone, as `head` does, so that the work is done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._into_nothing()
            return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._into_nothing()

    def _into_nothing(self) -> None:
        # What the stream still holds is written again at exit.
        with suppress(OSError, io.UnsupportedOperation):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)
        with suppress(BrokenPipeError):
            self._stream.flush()


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """For as long as this lasts, a closed pipe ends no work, and what the terminal's encoding lacks becomes "?"."""
    before = sys.stdout, sys.stderr
    errors = [stream.errors if isinstance(stream, io.TextIOWrapper) else None for stream in before]
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.stdout, sys.stderr = (cast("TextIO", _Forgiving(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
        for stream, named in zip(before, errors, strict=True):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=named)
