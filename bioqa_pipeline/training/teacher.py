"""A fine-tuned model's answers to the windows of a training, all asked once, before the first step."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import torch

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import Checkpoint, load_model
from bioqa_pipeline.qa.devices import resolve_precision
from bioqa_pipeline.training.batches import Plan, WindowsOnDevice
from bioqa_pipeline.training.data import LabelledWindow
from bioqa_pipeline.training.losses import Teaching, span_logits
from bioqa_pipeline.training.mpnet_attention import fuse_attention
from bioqa_pipeline.training.plan import budgeted
from bioqa_pipeline.training.recipe import DistillationConfig

logger = logging.getLogger(__name__)

# Tokens of a batch: without gradients a card holds many.
BUDGETS = {"cpu": 2048, "cuda": 131_072}
LARGEST = torch.finfo(torch.float16).max


def ask_teacher(
    settings: DistillationConfig,
    checkpoint: Checkpoint,
    student: Checkpoint,
    windows: Sequence[LabelledWindow],
    placed: WindowsOnDevice,
    wanted: Sequence[int],
) -> Teaching:
    """What the teacher says of the `wanted` windows, kept on their device.

    Args:
        checkpoint: the teacher.

    Raises:
        CheckpointError: the teacher has another vocabulary.
    """
    if checkpoint.tokenizer().vocabulary != student.tokenizer().vocabulary:
        raise CheckpointError(f"{settings.teacher}: a teacher needs the student's vocabulary")
    device = placed.device
    precision = "fp32" if device.type == "cpu" else resolve_precision("auto", str(device))
    model = fuse_attention(load_model(checkpoint)).requires_grad_(False).to(device)  # type: ignore[arg-type]
    lengths = [len(w.window) for w in windows]
    batches = budgeted(sorted(wanted, key=lengths.__getitem__), lengths, BUDGETS.get(device.type, BUDGETS["cpu"]))
    known = torch.zeros((2, placed.n_places), dtype=torch.float16, device=device)
    started = time.monotonic()
    with torch.no_grad():
        for inputs in Plan(placed, [*batches]):
            both = span_logits(model, inputs, network=checkpoint.config, config=model.config, precision=precision)
            known[:, inputs["places"]] = torch.stack(both).float().clamp(-LARGEST, LARGEST).half()
    logger.info("the teacher was asked of %d windows in %.0f s", len(wanted), time.monotonic() - started)
    return Teaching(known, settings.weight, settings.temperature)
