"""A file system that refuses to let names appear in one folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def fail_links_into(monkeypatch: pytest.MonkeyPatch, folder: str, error: OSError) -> None:
    """Hard links into folders of this name fail, until the patch is undone; others are made."""
    link = os.link

    def failing(source: str, target: str, *, dst_dir_fd: int, **others: Any) -> None:
        if Path(f"/proc/self/fd/{dst_dir_fd}").readlink().name == folder:
            raise error
        link(source, target, dst_dir_fd=dst_dir_fd, **others)

    monkeypatch.setattr(os, "link", failing)
