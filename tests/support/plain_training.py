"""A fine-tuning as run_squad.py has it: each batch laid out on the host, the loss read back at every step.

The twin of the loop of `bioqa_pipeline.training`; a window is cut to its own tokens before the loss, which padding has
no part in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import kl_div, log_softmax
from transformers import get_linear_schedule_with_warmup

from bioqa_pipeline.qa.batching import pad_batch
from bioqa_pipeline.training.data import LabelledWindow
from bioqa_pipeline.training.recipe import TrainingConfig


def plain_training(
    model: Any,
    windows: Sequence[LabelledWindow],
    batches: Sequence[Sequence[int]],
    config: TrainingConfig,
    teacher: Any = None,
) -> list[float]:
    """Trains the model over these batches of windows; the loss of each step."""
    no_decay = ("bias", "LayerNorm.weight")
    named = [*model.named_parameters()]
    groups = [
        {"params": [p for n, p in named if not any(k in n for k in no_decay)], "weight_decay": config.weight_decay},
        {"params": [p for n, p in named if any(k in n for k in no_decay)], "weight_decay": 0.0},
    ]
    size = config.gradient_accumulation_steps
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, eps=config.adam_epsilon)
    schedule = get_linear_schedule_with_warmup(optimizer, config.warmup_steps, -(-len(batches) // size))
    losses = []
    for start in range(0, len(batches), size):
        accumulated = batches[start : start + size]
        losses.append(0.0)
        for batch in accumulated:
            loss = _loss(model, [windows[i] for i in batch], config, teacher) / len(accumulated)
            loss.backward()
            losses[-1] += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return losses


def _loss(model: Any, windows: Sequence[LabelledWindow], config: TrainingConfig, teacher: Any) -> torch.Tensor:
    batch = pad_batch([w.window for w in windows], range(len(windows)), pad_id=0)
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = {name: torch.from_numpy(getattr(batch, name)) for name in names}
    output = model(**inputs)
    loss: Any = 0
    for row, window in enumerate(windows):
        n_tokens = len(window.window)
        for name, target in (("start_logits", window.start), ("end_logits", window.end)):
            own = output[name][row, :n_tokens]
            cross_entropy = -log_softmax(own, 0)[target]
            if not config.distillation:
                loss += cross_entropy
                continue
            weight, temperature = config.distillation.weight, config.distillation.temperature
            with torch.no_grad():
                taught = log_softmax(teacher(**inputs)[name][row, :n_tokens] / temperature, 0)
            divergence = kl_div(log_softmax(own / temperature, 0), taught, log_target=True, reduction="sum")
            loss += (1 - weight) * cross_entropy + weight * divergence * temperature**2
    mean: torch.Tensor = loss / (2 * len(windows))
    return mean
