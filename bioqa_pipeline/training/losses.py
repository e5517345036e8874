"""A batch into start and end logits, and these into its loss: cross-entropy, and the divergence from a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.qa.torch_engine import network_mask
from bioqa_pipeline.training.batches import Inputs

REDUCED = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Teaching:
    """What a teacher says of the windows of a training.

    Attributes:
        logits: (2, n_places) fp16, of starts and of ends, where `WindowsOnDevice` has the tokens.
        weight: its share in the loss.
        temperature: divides both models' logits.
    """

    logits: torch.Tensor
    weight: float
    temperature: float


def span_logits(
    model: Any, inputs: Inputs, *, network: NetworkConfig, config: Any, precision: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Start and end logits of a batch, (n_windows, length), by autocast in a reduced precision.

    Args:
        config: what transformers built the model from, which may be wrapped.
    """
    mask = network_mask(inputs["attention_mask"], network, config)
    segments = {"token_type_ids": inputs["token_type_ids"]} if network.takes_segments else {}
    with torch.autocast(inputs["input_ids"].device.type, REDUCED.get(precision), enabled=precision in REDUCED):
        output = model(input_ids=inputs["input_ids"], attention_mask=mask, **segments)
    return output.start_logits, output.end_logits


def batch_loss(logits: tuple[torch.Tensor, torch.Tensor], inputs: Inputs, teaching: Teaching | None) -> torch.Tensor:
    """Mean span loss of a batch, mixed with the divergence from the teacher where there is one."""
    mask = inputs["attention_mask"]
    loss = span_loss(*logits, mask, inputs["start_positions"], inputs["end_positions"])
    if teaching is None:
        return loss
    taught = teaching.logits[:, inputs["places"]]
    divergence: Any = sum(
        distillation_loss(own, theirs, mask, temperature=teaching.temperature)
        for own, theirs in zip(logits, taught, strict=True)
    )
    mixed: torch.Tensor = (1 - teaching.weight) * loss + teaching.weight * divergence / 2
    return mixed


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
