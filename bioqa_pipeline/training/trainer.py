"""An encoder and labelled windows into a fine-tuned extractive QA checkpoint.

The loop is transformers' Trainer, with three changes: it follows a fixed plan of batches (so that a killed training
goes on where it was, and several processes share one plan), padding has no part in the loss (as it has none in a
score), and a loss that is not finite ends the training. Knows nothing about arguments, metrics or thresholds.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoModelForQuestionAnswering,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from bioqa_pipeline.errors import CheckpointError, TrainingError
from bioqa_pipeline.qa.batching import pad_batch
from bioqa_pipeline.qa.checkpoint import Checkpoint, attention_kernel, load_model, open_checkpoint
from bioqa_pipeline.qa.devices import resolve_device, resolve_precision
from bioqa_pipeline.training.base_models import prepare_base
from bioqa_pipeline.training.data import LabelledWindow, TrainingSet, build_training_set, plan_batches
from bioqa_pipeline.training.recipe import DistillationConfig, TrainingConfig

logger = logging.getLogger(__name__)

SETTINGS_FILE = "training.json"
CHECKPOINTS = "checkpoints"
BASE = "base"
LOG_FILE = "training_log.json"
# May change between a killed training and its continuation; anything else would make it another training.
CHANGEABLE = frozenset({"max_steps", "decay_steps", "save_steps", "logging_steps", "average_checkpoints"})

LAYER = re.compile(r"\.layer\.(\d+)\.")
MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Progress:
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
    history: tuple[Progress, ...]
    counts: Mapping[str, int]
    resumed_from: int


def train(
    config: TrainingConfig,
    out: Path,
    *,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Fine-tunes, or goes on with the training that was begun in `out`.

    Under torchrun every process calls this with the same arguments; the first one writes.

    Args:
        out: gets the checkpoint; resumable states lie in its folder `checkpoints` until the training is finished.
        device: auto, cpu, cuda; several GPUs need torchrun.

    Raises:
        CheckpointError: the base model cannot be used.
        InputError: a training file cannot be read.
        TrainingError: other settings than those of the training in `out`, a loss that is not finite, a full disk,
            nothing to train on.
    """
    where = resolve_device(device)
    base = open_checkpoint(prepare_base(config, out / BASE))
    training_set = build_training_set(config, base.tokenizer())
    batches = plan_batches(training_set, config)
    logger.info("training set: %s; %d batches", training_set.counts, len(batches))
    set_seed(config.seed)
    model = load_for_training(base, config, device=where)
    try:
        _write_settings(config, out)
        resume_from = last_checkpoint(out / CHECKPOINTS)
        arguments = _arguments(config, out, where)
        trainer = PlannedTrainer(
            model=model,
            args=arguments,
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


def load_for_training(base: Checkpoint, config: TrainingConfig, *, device: str) -> PreTrainedModel:
    """The base model with a QA head, which is new and drawn from the global seed where the base has none.

    Raises:
        CheckpointError: weights other than those of the head are missing.
    """
    changes: dict[str, Any] = {}
    if config.dropout is not None:
        changes = {"attention_probs_dropout_prob": config.dropout, "hidden_dropout_prob": config.dropout}
    dropout = changes.get("attention_probs_dropout_prob", base.config.get("attention_probs_dropout_prob", 0.1))
    # On CPUs scaled-dot-product attention with dropout takes a path slower than the plain one.
    attention = "eager" if device == "cpu" and dropout > 0 else attention_kernel(base.config)
    loaded: Any = AutoModelForQuestionAnswering.from_pretrained(
        base.folder,
        attn_implementation=attention,
        dtype=torch.float32,
        trust_remote_code=False,
        output_loading_info=True,
        **changes,
    )
    model, info = loaded
    missing = sorted(k for k in info["missing_keys"] if not k.startswith("qa_outputs."))
    if missing or info["mismatched_keys"]:
        raise CheckpointError(f"{base.folder}: incomplete weights: {', '.join((missing or ['wrong shapes'])[:5])}")
    freeze(model, config.frozen_layers)
    return model.train()  # type: ignore[no-any-return]


def freeze(model: PreTrainedModel, n_layers: int) -> None:
    """Keeps the embeddings and the lowest layers from being trained; 0 trains everything.

    Raises:
        TrainingError: the model has fewer layers.
    """
    if n_layers > model.config.num_hidden_layers:
        raise TrainingError(f"frozen_layers {n_layers}: the model has {model.config.num_hidden_layers} layers")
    for name, parameter in model.named_parameters():
        found = LAYER.search(name)
        if n_layers and not name.startswith("qa_outputs.") and (found is None or int(found[1]) < n_layers):
            parameter.requires_grad = False


class Teacher:
    """A fine-tuned model that says of each window how likely each token is a start or an end.

    A window that comes again is looked up: no epoch but the first pays for the larger model.

    Raises:
        CheckpointError: the teacher has another vocabulary.
    """

    def __init__(self, settings: DistillationConfig, student: Checkpoint, *, device: str) -> None:
        checkpoint = open_checkpoint(settings.teacher)
        if checkpoint.tokenizer().vocabulary != student.tokenizer().vocabulary:
            raise CheckpointError(f"{settings.teacher}: a teacher needs the student's vocabulary")
        network: torch.nn.Module = load_model(checkpoint)
        self._model = network.to(device)
        self._known: dict[int, torch.Tensor] = {}
        self.weight = settings.weight
        self.temperature = settings.temperature

    @torch.no_grad()
    def logits(self, windows: Sequence[int], inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Start and end logits, (n_windows, length), of the windows with these indices."""
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        missing = [row for row, index in enumerate(windows) if index not in self._known]
        if missing:
            rows = torch.tensor(missing, device=inputs["input_ids"].device)
            output = self._model(**{k: inputs[k][rows] for k in MODEL_INPUTS})
            both = torch.stack((output.start_logits, output.end_logits), dim=1).half().cpu()
            for row, found in zip(missing, both, strict=True):
                self._known[windows[row]] = found[:, : lengths[row]].clone()
        filled = torch.zeros((len(windows), 2, inputs["input_ids"].shape[1]))
        for row, index in enumerate(windows):
            filled[row, :, : lengths[row]] = self._known[index].float()
        start, end = filled.to(inputs["input_ids"].device).unbind(dim=1)
        return start, end


class WindowDataset(Dataset[tuple[int, LabelledWindow]]):
    """Labelled windows with their index."""

    def __init__(self, windows: Sequence[LabelledWindow]) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> tuple[int, LabelledWindow]:
        return index, self._windows[index]


class BatchPlan:
    """The batches of one process in order: every `world_size`-th of the plan, as many as every other process has."""

    def __init__(self, batches: Sequence[list[int]], *, rank: int, world_size: int) -> None:
        missing = -len(batches) % world_size
        self._own = [*batches, *batches[:missing]][rank::world_size]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def collate(indexed: Sequence[tuple[int, LabelledWindow]], *, pad_id: int) -> Inputs:
    """Windows into tensors of shape (n_windows, length), their targets and indices (n_windows,), all int64."""
    windows = [window for _, window in indexed]
    batch = pad_batch([w.window for w in windows], range(len(windows)), pad_id=pad_id)
    return {
        "input_ids": torch.from_numpy(batch.input_ids),
        "token_type_ids": torch.from_numpy(batch.token_type_ids),
        "attention_mask": torch.from_numpy(batch.attention_mask),
        "start_positions": torch.tensor([w.start for w in windows]),
        "end_positions": torch.tensor([w.end for w in windows]),
        "window_indices": torch.tensor([index for index, _ in indexed]),
    }


def span_loss(
    start_logits: torch.Tensor, end_logits: torch.Tensor, mask: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of both ends over the real tokens.

    Args:
        start_logits, end_logits: (n_windows, length).
        mask: (n_windows, length), 0 where there is padding.
        starts, ends: (n_windows,) positions.
    """
    padding = mask == 0
    loss: torch.Tensor = sum(
        torch.nn.functional.cross_entropy(logits.float().masked_fill(padding, -torch.inf), target)
        for logits, target in ((start_logits, starts), (end_logits, ends))
    )  # type: ignore[assignment]
    return loss / 2


def distillation_loss(
    logits: torch.Tensor, teacher_logits: torch.Tensor, mask: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """Mean divergence of the student's distribution over the real tokens from the teacher's, times temperature squared.

    Args:
        logits, teacher_logits: (n_windows, length), of starts or of ends.
        mask: (n_windows, length), 0 where there is padding.
    """
    # Finite, because the divergence multiplies a probability of 0 with this logarithm.
    padding = mask == 0
    student, teacher = (
        torch.log_softmax((x.float() / temperature).masked_fill(padding, -1e4), dim=1) for x in (logits, teacher_logits)
    )
    divergence = torch.nn.functional.kl_div(student, teacher, log_target=True, reduction="batchmean")
    return divergence * temperature**2


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
        on_progress: Callable[[Progress], None] | None = None,
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
        if on_progress:
            self.add_callback(_Report(self._point, on_progress))

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
                "lengthen the warm-up or train with --precision fp32"
            )
        return (loss, output) if return_outputs else loss

    def history(self) -> tuple[Progress, ...]:
        """Every logged point so far."""
        return tuple(self._point(entry) for entry in self.state.log_history if "loss" in entry)

    def _point(self, entry: Mapping[str, Any]) -> Progress:
        step = int(entry.get("step", self.state.global_step))
        return Progress(
            step=step,
            n_steps=self.state.max_steps,
            epoch=self._epochs
            * step
            * self.args.gradient_accumulation_steps
            * self.args.world_size
            / len(self._batches),
            loss=float(entry["loss"]),
            learning_rate=float(entry["learning_rate"]),
        )


class _Report(TrainerCallback):
    def __init__(self, point: Callable[[Mapping[str, Any]], Progress], on_progress: Callable[[Progress], None]) -> None:
        self._point = point
        self._on_progress = on_progress

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Passes the newest entry on, in the first process only."""
        if state.is_world_process_zero and "loss" in kwargs.get("logs", {}):
            self._on_progress(self._point(kwargs["logs"]))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole state; one that was being written when the training was killed does not count."""
    states = [
        (int(p.name.removeprefix("checkpoint-")), p)
        for p in folder.glob("checkpoint-*")
        if p.name.removeprefix("checkpoint-").isdigit() and _is_whole(p)
    ]
    return max(states)[1] if states else None


def _is_whole(state: Path) -> bool:
    """The Trainer writes trainer_state.json last."""
    try:
        json.loads((state / "trainer_state.json").read_text("utf-8"))
        return all((state / name).exists() for name in ("model.safetensors", "optimizer.pt", "scheduler.pt"))
    except (OSError, ValueError):
        return False


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


def _write_settings(config: TrainingConfig, out: Path) -> None:
    """Writes the settings of a fresh training, or checks that the one in `out` had the same."""
    path = out / SETTINGS_FILE
    settings = config.model_dump(mode="json")
    if (out / CHECKPOINTS).is_dir() and path.exists():
        found = json.loads(path.read_text("utf-8"))
        different = sorted(k for k in settings if found.get(k) != settings[k] and k not in CHANGEABLE)
        if different:
            raise TrainingError(
                f"{out} holds an unfinished training with other settings ({', '.join(different)}); give another --out, "
                f"or remove {out / CHECKPOINTS} to begin anew"
            )
    out.mkdir(parents=True, exist_ok=True)
    if int(os.environ.get("RANK", "0")) == 0:
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def is_finished(folder: Path, config: TrainingConfig) -> bool:
    """Whether a training with these settings has ended in `folder`."""
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return (folder / LOG_FILE).exists() and settings == config.model_dump(mode="json")


def _write_result(
    trainer: PlannedTrainer, base: Checkpoint, config: TrainingConfig, training_set: TrainingSet, out: Path
) -> None:
    """The final checkpoint in fp16, then the resumable states are removed."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    state = {k: v.detach().cpu().float() for k, v in model.state_dict().items()}
    if config.average_checkpoints > 1:
        state = _averaged(state, out / CHECKPOINTS, config.average_checkpoints)
    write_checkpoint(state, model.config.to_dict(), base, out)
    log = {"counts": training_set.counts, "steps": trainer.state.global_step, "history": trainer.state.log_history}
    (out / LOG_FILE).write_text(json.dumps(log, indent=1) + "\n", "utf-8")
    for folder in (CHECKPOINTS, BASE):
        shutil.rmtree(out / folder, ignore_errors=True)


def _averaged(state: Inputs, checkpoints: Path, count: int) -> Inputs:
    """Mean of the last `count` saved states; the Trainer saves the final one too."""
    folders = sorted(checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))[-count:]
    saved = [load_file(p / "model.safetensors") for p in folders]
    return {k: torch.stack([s[k].float() for s in saved]).mean(dim=0) if saved else v for k, v in state.items()}


def write_checkpoint(state: Inputs, config: Mapping[str, Any], base: Checkpoint, out: Path) -> None:
    """A checkpoint folder: configuration, weights in fp16, the base model's vocabulary with its casing said."""
    out.mkdir(parents=True, exist_ok=True)
    settings = {k: v for k, v in config.items() if not k.startswith("_")}
    architecture = {"electra": "Electra", "mpnet": "MPNet"}.get(str(settings.get("model_type")), "Bert")
    settings |= {"architectures": [f"{architecture}ForQuestionAnswering"], "dtype": "float16"}
    (out / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
    save_file(
        {k: v.half().contiguous() for k, v in state.items()}, out / "model.safetensors", metadata={"format": "pt"}
    )
    vocabulary = "tokenizer.json" if (base.folder / "tokenizer.json").exists() else "vocab.txt"
    shutil.copyfile(base.folder / vocabulary, out / vocabulary)
    tokenizer = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": base.casing == "uncased",
        "tokenize_chinese_chars": True,
        "strip_accents": None,
        "model_max_length": 384,
        **{f"{t}_token": f"[{t.upper()}]" for t in ("unk", "sep", "pad", "cls", "mask")},
    }
    (out / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n", "utf-8")
