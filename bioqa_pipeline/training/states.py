"""Saved states of a training onto disk and back: each a checkpoint that loads, with what its optimizer knows."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bioqa_pipeline.errors import CheckpointError, TrainingError
from bioqa_pipeline.qa.checkpoint import Checkpoint
from bioqa_pipeline.qa.model_files import file_digest
from bioqa_pipeline.training.loop import Loop
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.weights import StateDict, write_checkpoint

logger = logging.getLogger(__name__)

MOMENTS_FILE, PROGRESS_FILE = "optimizer.safetensors", "progress.json"
PARTS = ("model.safetensors", MOMENTS_FILE, PROGRESS_FILE)
# The SHA-256 of each part: what a disk has changed would train on to other weights, and nobody would see it.
DIGESTS_FILE = "sha256.json"


def write_state(model: torch.nn.Module, loop: Loop, base: Checkpoint, folder: Path, *, keep: int) -> None:
    """The state in a folder of its own below `folder`, there whole or not at all; of the older ones `keep` - 1 stay.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    scratch, place = folder / ".unfinished", folder / f"checkpoint-{loop.step}"
    for old in (scratch, place):
        shutil.rmtree(old, ignore_errors=True)
    moments, values = loop.state()
    write_checkpoint(model, plain_state(model), base, scratch, dtype=torch.float32)
    save_file(moments, scratch / MOMENTS_FILE)
    (scratch / PROGRESS_FILE).write_text(json.dumps(values) + "\n", "utf-8")
    (scratch / DIGESTS_FILE).write_text(json.dumps(_digests(scratch)) + "\n", "utf-8")
    for path in scratch.iterdir():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
    scratch.rename(place)
    for step in _steps(folder)[:-keep]:
        shutil.rmtree(folder / f"checkpoint-{step}")


def take_up_state(place: Path, model: torch.nn.Module, loop: Loop) -> None:
    """The weights and the loop as they were there."""
    model.load_state_dict(load_file(place / "model.safetensors"))
    loop.go_on(load_file(place / MOMENTS_FILE), json.loads((place / PROGRESS_FILE).read_text("utf-8")))


def check_left(place: Path, config: TrainingConfig) -> None:
    """Makes sure that there is something left to do, over which the learning rate can fall.

    Raises:
        TrainingError: all steps or hours that there are now have been made in a training that was to have more.
    """
    values = json.loads((place / PROGRESS_FILE).read_text("utf-8"))
    # One that was killed behind its last step has but its result to write; states of earlier versions do not say.
    if values.get("is_over", True):
        return
    for name, made in (("max_steps", values["step"]), ("max_hours", values["seconds"] / 3600)):
        most = getattr(config, name)
        if most is not None and made >= most:
            raise TrainingError(
                f"`{name} {most}`: {place} has {made:,.4g} behind it, and the training would end before its learning "
                f"rate has fallen; give more, or another `out` to begin anew"
            )


def last_state(folder: Path) -> Path | None:
    """The newest whole state; one of an earlier version has other files and does not count."""
    found = next(_whole(folder), None)
    if found is None and any(folder.glob("checkpoint-*")):
        logger.warning("%s: states that are not whole or of an earlier version; the training begins anew", folder)
    return found


def _whole(folder: Path) -> Iterator[Path]:
    """The states whose parts are as they were written, the newest first; told of are those that are not."""
    for step in reversed(_steps(folder)):
        place = folder / f"checkpoint-{step}"
        try:
            whole = json.loads((place / DIGESTS_FILE).read_text("utf-8")) == _digests(place)
        except (CheckpointError, OSError, ValueError, RecursionError):
            whole = False
        if whole:
            yield place
        else:
            logger.warning("%s is damaged and does not count; the state before it is taken up", place)


def _digests(place: Path) -> dict[str, str]:
    return {name: file_digest(place / name) for name in PARTS}


def _steps(folder: Path) -> list[int]:
    """Of all states that have their parts, in their order."""
    places = [p for p in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-[1-9][0-9]*", p.name)]
    complete = [p for p in places if all((p / name).is_file() for name in (*PARTS, DIGESTS_FILE))]
    return sorted(int(p.name.removeprefix("checkpoint-")) for p in complete)


def plain_state(model: torch.nn.Module) -> StateDict:
    """The weights on the CPU in fp32."""
    return {k: v.detach().cpu().float() for k, v in model.state_dict().items()}


def averaged_state(folder: Path, count: int) -> StateDict:
    """Mean of the weights of the last `count` states."""
    newest = [*islice(_whole(folder), count)]
    saved = [load_file(place / "model.safetensors") for place in reversed(newest)]
    return {k: torch.stack([s[k].float() for s in saved]).mean(dim=0) for k in saved[0]}
