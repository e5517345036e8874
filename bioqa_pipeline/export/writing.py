"""Bytes into a file that the user names: whole or not at all, and over nothing that is there unless that is wanted."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from bioqa_pipeline.dataset.marker import MARKER
from bioqa_pipeline.errors import ConfigError, DatasetError
from bioqa_pipeline.files import kind_of
from bioqa_pipeline.inputs import is_address
from bioqa_pipeline.storage.local import LocalStorage


def check_target(path: Path, *, overwrite: bool) -> None:
    """Says before any work is done that a file cannot be written there.

    Raises:
        ConfigError: something is there that is not to be replaced, or it lies in a data set.
    """
    if is_address(path):
        raise ConfigError(f"`out {path}`: is an address; name a file here, and copy it there afterwards")
    try:
        for folder in path.absolute().resolve().parents:
            if (folder / MARKER).exists():
                raise ConfigError(
                    f"`out {path}`: {folder} is a data set, which holds its own files alone; name another place"
                )
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError, RuntimeError) as exc:  # the last of a loop of links
        raise ConfigError(f"`out {path}`: {getattr(exc, 'strerror', None) or exc}") from exc
    if not stat.S_ISREG(mode):
        raise ConfigError(f"`out {path}`: there is {kind_of(mode)}; name a file")
    if not overwrite:
        raise ConfigError(f"`out {path}`: there is a file already; name another one, or add `overwrite`")


def write_target(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Writes the file, synced.

    Raises:
        ConfigError: something has come there meanwhile.
        DatasetError: it cannot be written; what was there is unharmed.
    """
    check_target(path, overwrite=overwrite)
    # A name as long as a name may be has no room for more.
    staged = f".bioqa-{secrets.token_hex(8)}"
    LocalStorage(path.parent).write(staged, data)
    try:
        if overwrite:
            os.replace(path.parent / staged, path)  # noqa: PTH105  # as the link below
        else:
            # A rename would replace what has come there meanwhile.
            os.link(path.parent / staged, path)
    except FileExistsError:
        raise ConfigError(f"`out {path}`: a file has come there meanwhile; name another one") from None
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    finally:
        with suppress(OSError):
            (path.parent / staged).unlink()
