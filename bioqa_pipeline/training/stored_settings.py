"""Settings of a checkpoint onto disk: into its folder, or into a copy of it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import SETTINGS_FILE, Checkpoint, CheckpointSettings
from bioqa_pipeline.qa.network_config import CONFIG_FILE
from bioqa_pipeline.qa.tokenizer_files import TOKENIZER_FILES


def write_settings(folder: Path, settings: CheckpointSettings) -> None:
    """Puts them into the checkpoint's `bioqa.json`, whole or not at all.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    content = json.dumps(settings.model_dump(), indent=2) + "\n"
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=".bioqa-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)  # noqa: PTH101
                os.replace(file.name, folder / SETTINGS_FILE)  # noqa: PTH105
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise CheckpointError(
            f"{folder / SETTINGS_FILE} cannot be written: {exc.strerror}; nothing was changed"
        ) from exc


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
