"""The torch engine: transformers' own network, on a CPU, and in fp32 or where windows cannot be packed on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.qa.checkpoint import Checkpoint, load_model
from bioqa_pipeline.qa.inference import TOKEN_BUDGETS, Found, Scorer, ScorerInfo
from bioqa_pipeline.qa.lanes import Lanes
from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.qa.threads import thread_count
from bioqa_pipeline.records.scores import Batch, FloatArray, Places


class TorchScorer(Scorer):
    """transformers' own network with scaled-dot-product attention.

    A reduced precision is that of the linear layers and of attention; sums along the layers, their normalisation and
    the span head stay in fp32, where rounding would cost most and time is not spent. On a CPU each batch is computed
    by one thread, on as many lanes as `thread_count` says. On a GPU kernels are chosen by the shape of a batch, which
    is therefore the same in every job; logits are decoded there, and the next batch is on its way before the last one
    is fetched.

    Args:
        device: resolved, see `resolve_device`.
        precision: resolved, see `resolve_precision`.
        token_budget: tokens of a batch, where the device's own are too many.
        as_on_gpu: fixed rows and decoding on the device; None does so on anything but a CPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        precision: str,
        token_budget: int | None = None,
        as_on_gpu: bool | None = None,
    ) -> None:
        self._device = torch.device(device)
        self._as_on_gpu = self._device.type != "cpu" if as_on_gpu is None else as_on_gpu
        self._lanes = _lanes() if self._device.type == "cpu" else None
        self._network = checkpoint.config
        self._model, self._dtype = network_of(checkpoint, self._device, precision)
        most = TOKEN_BUDGETS[self._device.type]
        self.info = ScorerInfo(
            device=device,
            precision=precision,
            engine="torch",
            token_budget=min(token_budget or most, most),
            pad_id=checkpoint.config.padding,
            max_length=checkpoint.config.longest_window,
            fixed_rows=self._as_on_gpu,
            lanes=thread_count() if self._lanes else 1,
        )

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        return self._lanes.begin(lambda: self._fetched(batch))() if self._lanes else self._fetched(batch)

    def begin(self, batch: Batch, columns: Places, config: SpanConfig) -> Callable[[], Found]:
        if self._as_on_gpu:
            from bioqa_pipeline.qa.spans_torch import begin_decoding

            filled = np.append(columns, np.repeat(columns[-1:], len(batch.input_ids) - len(columns), axis=0), axis=0)
            with torch.inference_mode():
                return begin_decoding(*self._forward(batch), filled, config)
        return self._lanes.begin(lambda: self._fetched(batch)) if self._lanes else super().begin(batch, columns, config)

    def _fetched(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        with torch.inference_mode():
            both = torch.stack(self._forward(batch)).float().cpu().numpy()
        return both[0], both[1]

    def _forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            segments = {"token_type_ids": self._tensor(batch.token_type_ids)} if self._network.takes_segments else {}
            mask = network_mask(self._tensor(batch.attention_mask), self._network, self._model.config)
            output: Any = self._model(input_ids=self._tensor(batch.input_ids), attention_mask=mask, **segments)
        return output.start_logits, output.end_logits

    def _tensor(self, values: np.ndarray[Any, Any]) -> torch.Tensor:
        tensor = torch.from_numpy(values)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)


def network_of(
    checkpoint: Checkpoint, device: torch.device, precision: str, *, attention: str | None = None
) -> tuple[Any, torch.dtype | None]:
    """The network on its device, and what it is to be run under autocast in; None is fp32, without.

    Args:
        attention: transformers' name of another than the network's own.
    """
    model: Any = load_model(checkpoint)
    if attention:
        model.set_attn_implementation(attention)
    dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if dtype:
        _reduce_linear_layers(model, checkpoint.config.head, dtype, device.type)
    return model.to(device), dtype


def network_mask(tokens: torch.Tensor, network: NetworkConfig, config: Any) -> torch.Tensor | dict[str, torch.Tensor]:
    """A batch's mask in the form in which transformers takes it as it is: another it looks through, waiting for the
    device, and leaves out for a batch without padding, which then goes through another kernel.

    Args:
        tokens: (n_windows, length), 0 where there is padding.
        config: what transformers built the network from.
    """
    if network.mask == "tokens":
        return tokens
    real = tokens[:, None, None, :].bool()
    if network.mask == "local":
        places = torch.arange(real.shape[-1], device=real.device)
        near = (places[:, None] - places).abs() <= config.sliding_window
        # A row of padding that may look at nothing would be no number in some kernels.
        return {"full_attention": real, "sliding_attention": real & (near | ~real.transpose(-1, -2))}
    if config._attn_implementation == "sdpa":
        return real
    return torch.zeros(real.shape, device=real.device).masked_fill_(~real, torch.finfo(torch.float32).min)


def _lanes() -> Lanes:
    """Lanes in which torch computes with one thread; elsewhere it keeps those that it has."""

    def start() -> None:
        # A thread that has not asked yet takes the process's number at its first operation, whatever it set before.
        torch.get_num_threads()
        torch.set_num_threads(1)

    before = torch.get_num_threads()
    lanes = Lanes(thread_count(), start)
    # What a lane sets is also what new threads elsewhere would take.
    torch.set_num_threads(before)
    return lanes


def _reduce_linear_layers(model: Any, head_name: str, dtype: torch.dtype, device_type: str) -> None:
    """To be run under autocast, from which the span head is left out."""
    head = getattr(model, head_name)
    in_fp32 = head.forward

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device_type, enabled=False):
            logits: torch.Tensor = in_fp32(hidden.float())
        return logits

    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not head:
            layer.to(dtype)
    head.forward = forward
