"""What strikes a call or a request, and when."""

from __future__ import annotations

from dataclasses import dataclass

MAKING = frozenset({"create", "mkdir", "link", "symlink"})
WRITING = MAKING | {"write", "truncate"}
ALL = WRITING | {"rename", "unlink", "rmdir", "sync"}


class Killed(BaseException):
    """The process is dead: nothing that it does afterwards has an effect."""


@dataclass(frozen=True, slots=True)
class Strike:
    """What happens at a call.

    Attributes:
        at: the how manyth of the calls named in `calls`, from 0.
        moment: "before", "half" (writes alone; others are done) or "after" it is done.
        error: the errno that it fails with; None ends the process.
        lasting: whether all calls named in `calls` fail from then on.
    """

    at: int
    moment: str
    error: int | None = None
    calls: frozenset[str] = ALL
    lasting: bool = False
