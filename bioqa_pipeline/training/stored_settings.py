"""Settings of a checkpoint onto disk: into its folder, or into a copy of it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from bioqa_pipeline.errors import CheckpointError, DatasetError
from bioqa_pipeline.qa.checkpoint import SETTINGS_FILE, Checkpoint, CheckpointSettings
from bioqa_pipeline.qa.network_config import CONFIG_FILE
from bioqa_pipeline.qa.tokenizer_files import TOKENIZER_FILES
from bioqa_pipeline.storage.local import LocalStorage


def write_settings(folder: Path, settings: CheckpointSettings) -> None:
    """Puts them into the checkpoint's `bioqa.json`, whole or not at all.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    content = json.dumps(settings.model_dump(exclude=None if settings.note else {"note"}), indent=2) + "\n"
    try:
        LocalStorage(folder).write(SETTINGS_FILE, content.encode())
    except DatasetError as exc:
        reason = getattr(exc.__cause__, "strerror", None) or exc
        raise CheckpointError(f"{folder / SETTINGS_FILE} cannot be written: {reason}; nothing was changed") from exc


def copy_with_settings(checkpoint: Checkpoint, out: Path, settings: CheckpointSettings) -> None:
    """A copy of the files that are read, with these settings; `out` is there whole or not at all.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            for name in (CONFIG_FILE, checkpoint.weights.name, *TOKENIZER_FILES):
                if (checkpoint.folder / name).exists():
                    shutil.copyfile(checkpoint.folder / name, made / name)
            write_settings(made, settings)
            made.rename(out)
    except OSError as exc:
        raise CheckpointError(f"{out} cannot be written: {exc.strerror}; nothing was changed") from exc
