"""The folder of a training: what it holds, and whether it is this program's to write to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bioqa_pipeline.errors import TrainingError
from bioqa_pipeline.qa.tokenizer_files import TOKENIZER_FILES
from bioqa_pipeline.storage.marker import foreign, mark, says

KIND = "checkpoint"
SETTINGS_FILE = "training.json"
LOG_FILE = "training_log.json"
CHECKPOINTS = "checkpoints"
BASE = "base"
MADE_FIRST = "made_first"
CARD, CURVE = "README.md", "learning_curve.html"
_WRITTEN = (
    SETTINGS_FILE,
    LOG_FILE,
    CHECKPOINTS,
    BASE,
    MADE_FIRST,
    CARD,
    CURVE,
    "config.json",
    "model.safetensors",
    *TOKENIZER_FILES,
)
# Settings that every version kept of a training.
_SETTINGS = ("base_model", "data", "epochs", "learning_rate", "windows")


def check_out(out: Path) -> None:
    """Makes sure that a training may write to a folder; to be called before anything is read or computed.

    Raises:
        TrainingError: it holds something else, or a link that would be written through.
    """
    try:
        reason = foreign(out, KIND, lambda out: says(out / SETTINGS_FILE, *_SETTINGS)) or _link(out)
    except OSError as exc:
        raise TrainingError(f"{out} cannot be read: {exc.strerror}") from exc
    if reason:
        raise TrainingError(reason)


def check_unfinished(out: Path) -> None:
    """Makes sure that no finished training is written over.

    Raises:
        TrainingError: the folder holds one.
    """
    if (out / LOG_FILE).exists() and not (out / CHECKPOINTS).exists():
        raise TrainingError(
            f"{out} holds a finished training; give `overwrite` to train anew, or another folder"
            + ("" if (out / "bioqa.json").exists() else "; python -m flows.calibrate fits its threshold")
        )


def remove_training(out: Path) -> None:
    """Takes away what a training left, its settings last; what other recipes made for it stays."""
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    shutil.rmtree(out / BASE, ignore_errors=True)
    for name in (LOG_FILE, "bioqa.json", CURVE, "model.safetensors", SETTINGS_FILE):
        (out / name).unlink(missing_ok=True)


def mark_out(out: Path) -> None:
    """Says that the folder is a training's; in the first process of a torchrun only."""
    if int(os.environ.get("RANK", "0")) == 0:
        mark(out, KIND)


def _link(out: Path) -> str | None:
    for path in (*(out / name for name in _WRITTEN), *out.glob(f"{CHECKPOINTS}/*"), *out.glob(f"{MADE_FIRST}/*")):
        if path.is_symlink():
            return f"{path}: a symbolic link, which the training could write through; delete it, or give another folder"
    return None
