"""The torch engine: transformers' own network, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.qa.checkpoint import Checkpoint, load_model
from bioqa_pipeline.qa.inference import TOKEN_BUDGETS, Scorer, ScorerInfo
from bioqa_pipeline.qa.spans import Decoded
from bioqa_pipeline.records.scores import Batch, FloatArray, Window


class TorchScorer(Scorer):
    """transformers' own network with scaled-dot-product attention.

    A reduced precision is that of the linear layers and of attention; sums along the layers, their normalisation and
    the span head stay in fp32, where rounding would cost most and time is not spent. On a GPU logits are decoded
    there, and the next batch is on its way before the last one is fetched.

    Args:
        device: resolved, see `resolve_device`.
        precision: resolved, see `resolve_precision`.
        decode_on_device: None does so on anything but a CPU.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str, precision: str, decode_on_device: bool | None = None
    ) -> None:
        self._device = torch.device(device)
        self._decode_on_device = self._device.type != "cpu" if decode_on_device is None else decode_on_device
        model: Any = load_model(checkpoint)
        self._dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        if self._dtype:
            _reduce_linear_layers(model, self._dtype, self._device.type)
        self._model = model.to(self._device)
        self.info = ScorerInfo(
            device=device,
            precision=precision,
            engine="torch",
            token_budget=TOKEN_BUDGETS[self._device.type],
            pad_id=checkpoint.config.padding,
        )

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        with torch.inference_mode():
            both = torch.stack(self._forward(batch)).float().cpu().numpy()
        return both[0], both[1]

    def begin(self, batch: Batch, windows: Sequence[Window], config: SpanConfig) -> Callable[[], Decoded]:
        if not self._decode_on_device:
            return super().begin(batch, windows, config)
        from bioqa_pipeline.qa.spans_torch import begin_decoding

        with torch.inference_mode():
            return begin_decoding(*self._forward(batch), windows, config)

    def _forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            output: Any = self._model(
                input_ids=self._tensor(batch.input_ids),
                token_type_ids=self._tensor(batch.token_type_ids),
                attention_mask=self._tensor(batch.attention_mask),
            )
        return output.start_logits, output.end_logits

    def _tensor(self, values: np.ndarray[Any, Any]) -> torch.Tensor:
        tensor = torch.from_numpy(values)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)


def _reduce_linear_layers(model: Any, dtype: torch.dtype, device_type: str) -> None:
    """To be run under autocast, from which the span head is left out."""
    head = model.qa_outputs
    in_fp32 = head.forward

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device_type, enabled=False):
            logits: torch.Tensor = in_fp32(hidden.float())
        return logits

    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not head:
            layer.to(dtype)
    head.forward = forward
