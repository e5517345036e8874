"""Logits of a batch into its loss: cross-entropy of both ends, and the divergence from a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import Checkpoint, load_model, open_checkpoint
from bioqa_pipeline.training.recipe import DistillationConfig

MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")

Inputs = dict[str, torch.Tensor]


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
