"""The checkout, or what built the wheel, into the commit that its code is from."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# A build writes it into the wheel (setup.py).
FILE = "commit.txt"


def commit() -> str | None:
    """Twelve digits of it, with "-dirty" where tracked files have changed since; None where nothing knows."""
    written = _PACKAGE / FILE
    return written.read_text(encoding="utf-8").strip() if written.is_file() else _of_checkout(_PACKAGE.parent)


def _of_checkout(folder: Path) -> str | None:
    git = folder / ".git"
    # Not a repository above it, which knows the commit of something else.
    if not git.exists():
        return None
    command = ["git", f"--git-dir={git}", f"--work-tree={folder}", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run([*command, "--exclude=*"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
