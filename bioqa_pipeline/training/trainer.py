"""An encoder and labelled windows into a fine-tuned extractive QA checkpoint.

The loop is transformers' Trainer, with three changes: it follows a fixed plan of batches (so that a killed training
goes on where it was, and several processes share one plan), padding has no part in the loss (as it has none in a
score), and a loss that is not finite ends the training.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from bioqa_pipeline.errors import CheckpointError, TrainingError
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.devices import resolve_device, resolve_precision
from bioqa_pipeline.training.base_models import prepare_base
from bioqa_pipeline.training.batches import BatchPlan, WindowDataset, collate
from bioqa_pipeline.training.data import LabelledWindow, TrainingSet, build_training_set, plan_batches
from bioqa_pipeline.training.losses import MODEL_INPUTS, Inputs, Teacher, distillation_loss, span_loss
from bioqa_pipeline.training.output import BASE, CHECKPOINTS, LOG_FILE, check_out
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.weights import (
    averaged_state,
    keep_settings,
    last_checkpoint,
    load_for_training,
    write_checkpoint,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedPoint:
    """One logged point of a training; `epoch` counts passes over the data."""

    step: int
    n_steps: int
    epoch: float
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training.

    Attributes:
        folder: the checkpoint, ready for `open_checkpoint`.
        history: every logged point, those before a resume included.
        counts: what was trained on and what was skipped.
        resumed_from: step of the checkpoint that it went on from; 0 for a fresh start.
    """

    folder: Path
    steps: int
    history: tuple[LoggedPoint, ...]
    counts: Mapping[str, int]
    resumed_from: int


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
    where = resolve_device(device)
    base = open_checkpoint(prepare_base(config, out / BASE))
    if not base.config.is_trained_here:
        raise CheckpointError(
            f"{base.name}: {base.config.model_type} models answer here but are not trained; give one of "
            "bert, electra, mpnet, or train it elsewhere and fit its threshold by `python -m flows.calibrate`"
        )
    base.check_windows(config.windows)
    training_set = build_training_set(config, base.tokenizer())
    batches = plan_batches(training_set, config)
    logger.info("training set: %s; %d batches", training_set.counts, len(batches))
    set_seed(config.seed)
    try:
        keep_settings(config, out)
        resume_from = last_checkpoint(out / CHECKPOINTS)
        trainer = PlannedTrainer(
            model=load_for_training(base, config, device=where),
            args=_arguments(config, out, where),
            train_dataset=WindowDataset(training_set.windows),
            batches=batches,
            epochs=config.epochs,
            pad_id=base.tokenizer().special.pad,
            teacher=Teacher(config.distillation, base, device=where) if config.distillation else None,
            on_progress=on_progress,
        )
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        trainer.accelerator.wait_for_everyone()
        if trainer.is_world_process_zero():
            _write_result(trainer, base, config, training_set, out)
    except (OSError, SafetensorError) as exc:
        raise TrainingError(
            f"{out} could not be written ({exc}); free some space and give the same command again: the training goes "
            "on from its last whole checkpoint"
        ) from exc
    return TrainingResult(
        folder=out,
        steps=trainer.state.global_step,
        history=trainer.history(),
        counts=training_set.counts,
        resumed_from=int(resume_from.name.rpartition("-")[2]) if resume_from else 0,
    )


class PlannedTrainer(Trainer):
    """Trainer that follows a plan of batches; one of its "epochs" is the whole training.

    Args:
        batches: of the whole training, in order, for all processes.
        epochs: passes over the data that the plan holds; only for what is logged.
        teacher: whose distributions are part of the loss.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: TrainingArguments,
        train_dataset: WindowDataset,
        batches: Sequence[list[int]],
        epochs: int,
        pad_id: int,
        teacher: Teacher | None = None,
        on_progress: Callable[[LoggedPoint], None] | None = None,
    ) -> None:
        self._teacher = teacher
        self._batches = batches
        self._epochs = epochs
        self._windows = train_dataset
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            data_collator=lambda windows: collate(windows, pad_id=pad_id),
        )
        # The loss below is the mean of its batch, so the Trainer shall divide by the accumulated batches.
        self.model_accepts_loss_kwargs = False
        # It prints every logged point once more, with epochs that are no passes over the data.
        self.remove_callback(PrinterCallback)
        if on_progress:
            self.add_callback(_Report(lambda entry: on_progress(self._point(entry))))

    def get_train_dataloader(self) -> DataLoader[tuple[int, LabelledWindow]]:
        """This process's share of the plan."""
        plan = BatchPlan(self._batches, rank=self.args.process_index, world_size=self.args.world_size)
        return DataLoader(
            self._windows,
            batch_sampler=plan,
            collate_fn=self.data_collator,
            pin_memory=self.args.device.type == "cuda",
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Inputs,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Mean span loss of the batch, mixed with the divergence from the teacher where there is one.

        Raises:
            TrainingError: it is not finite.
        """
        output = model(**{k: inputs[k] for k in MODEL_INPUTS})
        mask = inputs["attention_mask"]
        loss = span_loss(
            output.start_logits, output.end_logits, mask, inputs["start_positions"], inputs["end_positions"]
        )
        if self._teacher:
            taught = self._teacher.logits(inputs["window_indices"].tolist(), inputs)
            divergence = sum(
                distillation_loss(own, theirs, mask, temperature=self._teacher.temperature)
                for own, theirs in zip((output.start_logits, output.end_logits), taught, strict=True)
            )
            loss = (1 - self._teacher.weight) * loss + self._teacher.weight * divergence / 2
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()} at step {self.state.global_step + 1}; lower the learning rate, "
                "lengthen the warm-up or train with `precision fp32`"
            )
        return (loss, output) if return_outputs else loss

    def history(self) -> tuple[LoggedPoint, ...]:
        """Every logged point so far."""
        return tuple(self._point(entry) for entry in self.state.log_history if "loss" in entry)

    def _point(self, entry: Mapping[str, Any]) -> LoggedPoint:
        step = int(entry.get("step", self.state.global_step))
        n_batches = step * self.args.gradient_accumulation_steps * self.args.world_size
        return LoggedPoint(
            step=step,
            n_steps=self.state.max_steps,
            epoch=self._epochs * n_batches / len(self._batches),
            loss=float(entry["loss"]),
            learning_rate=float(entry["learning_rate"]),
        )


class _Report(TrainerCallback):
    def __init__(self, report: Callable[[Mapping[str, Any]], None]) -> None:
        self._report = report

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Passes the newest entry on, in the first process only."""
        if state.is_world_process_zero and "loss" in kwargs.get("logs", {}):
            self._report(kwargs["logs"])


def _arguments(config: TrainingConfig, out: Path, device: str) -> TrainingArguments:
    precision = resolve_precision(config.precision, device)
    return TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        use_cpu=device == "cpu",
        ddp_backend="gloo" if device == "cpu" and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        num_train_epochs=1,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=config.train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear" if config.decay_steps is None else "warmup_stable_decay",
        lr_scheduler_kwargs=(
            {} if config.decay_steps is None else {"num_decay_steps": config.decay_steps, "decay_type": "linear"}
        ),
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        adam_epsilon=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm,
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        save_steps=config.save_steps,
        save_total_limit=max(2, config.average_checkpoints),
        seed=config.seed,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )


def _write_result(
    trainer: PlannedTrainer, base: Checkpoint, config: TrainingConfig, training_set: TrainingSet, out: Path
) -> None:
    """The final checkpoint in fp16, then the resumable states are removed."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    state = {k: v.detach().cpu().float() for k, v in model.state_dict().items()}
    if config.average_checkpoints > 1:
        state = averaged_state(state, out / CHECKPOINTS, config.average_checkpoints)
    write_checkpoint(state, model.config.to_dict(), base, out)
    log = {"counts": training_set.counts, "steps": trainer.state.global_step, "history": trainer.state.log_history}
    (out / LOG_FILE).write_text(json.dumps(log, indent=1) + "\n", "utf-8")
    for folder in (CHECKPOINTS, BASE):
        shutil.rmtree(out / folder, ignore_errors=True)
