"""An encoder and labelled windows into a fine-tuned extractive QA checkpoint."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from bioqa_pipeline.errors import TrainingError
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.devices import resolve_device, resolve_precision
from bioqa_pipeline.training.base_models import prepare_base
from bioqa_pipeline.training.batches import Plan, WindowsOnDevice, share_of
from bioqa_pipeline.training.data import TrainingSet, build_training_set
from bioqa_pipeline.training.loop import LoggedPoint, Loop
from bioqa_pipeline.training.output import BASE, CHECKPOINTS, LOG_FILE, check_out
from bioqa_pipeline.training.plan import plan_batches
from bioqa_pipeline.training.processes import Processes, join_processes
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.states import (
    averaged_state,
    check_left,
    last_state,
    plain_state,
    take_up_state,
    write_state,
)
from bioqa_pipeline.training.teacher import ask_teacher
from bioqa_pipeline.training.weights import keep_settings, load_for_training, origins, write_checkpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training.

    Attributes:
        base, teacher: what it started from, and what it learnt from besides the labels.
        folder: the checkpoint, ready for `open_checkpoint`.
        history: every logged point, those before a resume included.
        counts: what was trained on and what was skipped.
        resumed_from: step of the checkpoint that it went on from; 0 for a fresh start.
    """

    folder: Path
    base: Checkpoint
    teacher: Checkpoint | None
    steps: int
    history: tuple[LoggedPoint, ...]
    counts: Mapping[str, int]
    resumed_from: int

    @property
    def epochs(self) -> float:
        """Passes over the data that were made, whatever the settings say first."""
        return self.history[-1].epoch if self.history else 0.0


def train(
    config: TrainingConfig,
    out: Path,
    *,
    device: str = "auto",
    on_progress: Callable[[LoggedPoint], None] | None = None,
) -> TrainingResult:
    """Fine-tunes, or goes on with the training that was begun in `out`.

    Under torchrun every process calls this with the same arguments; the first one writes.

    Args:
        out: gets the checkpoint; resumable states lie in its folder `checkpoints` until the training is finished.
        device: auto, cpu, cuda; several GPUs need torchrun.

    Raises:
        CheckpointError: the base model cannot be used.
        InputError: a training file cannot be read.
        TrainingError: `out` holds something else, or a training with other settings; a loss that is not finite, a full
            disk, nothing to train on.
    """
    check_out(out)
    processes, where = join_processes(resolve_device(device))
    base = open_checkpoint(prepare_base(config, out / BASE))
    base.check_windows(config.windows)
    teacher = open_checkpoint(config.distillation.teacher) if config.distillation else None
    training_set = build_training_set(config, base.tokenizer())
    batches = plan_batches(training_set, config)
    logger.info("training set: %s; %d batches", training_set.counts, len(batches))
    try:
        keep_settings(config, out, origins(config, base, teacher))
        processes.wait()
        if resumed := last_state(out / CHECKPOINTS):
            check_left(resumed, config)
        torch.manual_seed(config.seed)
        model = load_for_training(base, config, device=where)
        model.to(torch.device(where))  # type: ignore[arg-type]
        loop = _loop(model, base, teacher, training_set, batches, config, processes)
        if resumed:
            take_up_state(resumed, model, loop)
        resumed_from = loop.step
        keep = max(2, config.average_checkpoints)
        loop.run(
            lambda: write_state(model, loop, base, out / CHECKPOINTS, keep=keep) if processes.is_first else None,
            on_progress,
        )
        if processes.is_first:
            _write_result(model, loop, base, config, training_set, out)
        processes.wait()
    except (OSError, SafetensorError) as exc:
        raise TrainingError(
            f"{out} could not be written ({exc}); free some space and give the same command again: the training goes "
            "on from its last whole checkpoint"
        ) from exc
    return TrainingResult(
        folder=out,
        base=base,
        teacher=teacher,
        steps=loop.step,
        history=tuple(loop.history),
        counts=training_set.counts,
        resumed_from=resumed_from,
    )


def _loop(
    model: PreTrainedModel,
    base: Checkpoint,
    teacher: Checkpoint | None,
    training_set: TrainingSet,
    batches: Sequence[list[int]],
    config: TrainingConfig,
    processes: Processes,
) -> Loop:
    """The loop over this process's share of the batches, with what a teacher says of their windows."""
    device = str(model.device)
    own = share_of(batches, rank=processes.rank, count=processes.count)
    windows = WindowsOnDevice(training_set.windows, base.config, device=device)
    teaching = None
    if config.distillation and teacher:
        asked = own[: config.max_steps * config.gradient_accumulation_steps] if config.max_steps else own
        wanted = sorted({index for batch in asked for index in batch})
        teaching = ask_teacher(config.distillation, teacher, base, training_set.windows, windows, wanted)
    return Loop(
        model,
        base.config,
        Plan(windows, own),
        config,
        precision=resolve_precision(config.precision, device),
        processes=processes,
        teaching=teaching,
    )


def _write_result(
    model: PreTrainedModel,
    loop: Loop,
    base: Checkpoint,
    config: TrainingConfig,
    training_set: TrainingSet,
    out: Path,
) -> None:
    """The final checkpoint in fp16, then the saved states are removed."""
    n_averaged = config.average_checkpoints
    state = averaged_state(out / CHECKPOINTS, n_averaged) if n_averaged > 1 else plain_state(model)
    write_checkpoint(model, state, base, out)
    log = {"counts": training_set.counts, "steps": loop.step, "history": [asdict(point) for point in loop.history]}
    (out / LOG_FILE).write_text(json.dumps(log, indent=1) + "\n", "utf-8")
    for folder in (CHECKPOINTS, BASE):
        shutil.rmtree(out / folder, ignore_errors=True)
