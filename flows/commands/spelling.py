"""How the commands of this project are spelled in help and messages: as the one that was given is.

Texts are written with `python -m flows.run`, which is there wherever the packages are; who came through `bioqa` reads
`bioqa run`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_COMMAND = re.compile(r"\bpython -m flows\.([a-z]+)")
_as_bioqa: ContextVar[bool] = ContextVar("as_bioqa", default=False)


@contextmanager
def spelled_as_bioqa() -> Iterator[None]:
    """For as long as this lasts, commands are spelled `bioqa NAME`."""
    token = _as_bioqa.set(True)
    try:
        yield
    finally:
        _as_bioqa.reset(token)


def spelled(text: str) -> str:
    """The text with its commands spelled as the one that was given."""
    return _COMMAND.sub(r"bioqa \1", text) if _as_bioqa.get() else text
