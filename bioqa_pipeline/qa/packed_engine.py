"""The torch engine of GPUs: windows packed one behind the other, so that all batches have one shape.

transformers' own network computes one row of `token_budget` tokens; attention alone is told where a window begins and
ends (Dao 2023, FlashAttention-2, as `torch.nn.attention.varlen` has it). Nothing is padded, and the kernels, which a
GPU chooses by shape, are the same for all windows in every job.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface
from transformers.modeling_layers import GradientCheckpointingLayer

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.qa.batching import pack_windows
from bioqa_pipeline.qa.checkpoint import Checkpoint
from bioqa_pipeline.qa.inference import TOKEN_BUDGETS, Found, Scorer, ScorerInfo
from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.qa.spans_torch import decode_on_device, to_host
from bioqa_pipeline.qa.torch_engine import network_of
from bioqa_pipeline.records.scores import Batch, FloatArray, Places, Windows

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:
    OPTIONS: frozenset[str] = frozenset()
else:
    # torch 2.10 has no scale among them.
    OPTIONS = frozenset(inspect.signature(varlen_attn).parameters)

logger = logging.getLogger(__name__)

ATTENTION = "bioqa_packed"
# A sum that is split over the keys would hang on the longest window of a batch.
WHOLE: dict[str, Any] = {"num_splits": 1} if "num_splits" in OPTIONS else {}
# FlashAttention takes heads of a multiple of eight numbers, up to so many.
MOST_OF_A_HEAD = 256
# A batch has room for as many windows as there are of this length in it.
TOKENS_PER_WINDOW = 128
N_COLUMNS = 5

Spans = tuple[torch.Tensor, torch.Tensor]


class PackedScorer(Scorer):
    """A network in a reduced precision on a GPU: its layers compiled, all of it and the decoding one CUDA graph.

    On a CPU, for tests, as it is and in any precision.

    Args:
        device, precision: resolved, see `resolve_device`, `resolve_precision`.
        token_budget: tokens of a batch, where the device's own are too many.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str, precision: str, token_budget: int | None = None) -> None:
        self._device = torch.device(device)
        self._network = checkpoint.config
        self._model, self._dtype = network_of(checkpoint, self._device, precision, attention=ATTENTION)
        self._graphs: dict[SpanConfig, tuple[torch.cuda.CUDAGraph, Spans]] = {}
        self._length = checkpoint.config.longest_window
        most = TOKEN_BUDGETS[self._device.type]
        budget = max(min(token_budget or most, most), self._length)
        self._n_rows = -(-budget // TOKENS_PER_WINDOW)
        # Ids, segments and window numbers; the windows' bounds; what decoding knows of them.
        sizes = (3 * budget, self._n_rows + 1, self._n_rows * N_COLUMNS)
        self._parts = np.cumsum(sizes[:-1]).tolist()
        self._inputs = torch.zeros(sum(sizes), dtype=torch.int32, device=self._device)
        self.info = ScorerInfo(
            device=device,
            precision=precision,
            engine="torch" if self._device.type == "cpu" or self._compiled() else "torch, not compiled",
            token_budget=budget,
            pad_id=checkpoint.config.padding,
            max_length=self._length,
        )

    def batches(self, windows: Windows) -> Iterator[Batch]:
        return pack_windows(
            windows, token_budget=self.info.token_budget, most_windows=self._n_rows, pad_id=self.info.pad_id
        )

    def begin(self, batch: Batch, columns: Places, config: SpanConfig) -> Callable[[], Found]:
        with self._at_work():
            self._load(batch, columns)
            return to_host(*self._spans(config), columns)

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Those of a packed batch's windows, a row each."""
        with self._at_work():
            self._load(batch, np.zeros((len(batch.order), N_COLUMNS), dtype=np.int64))
            both = torch.stack(self._rows())[:, : len(batch.order)].float().cpu().numpy()
        return both[0], both[1]

    def _at_work(self) -> ExitStack:
        """What is computed within is not recorded for training, and on this device where there are several."""
        stack = ExitStack()
        stack.enter_context(torch.inference_mode())
        if self._device.type == "cuda":
            stack.enter_context(torch.cuda.device(self._device))
        return stack

    def _compiled(self) -> bool:
        """Whether the steps between matrix products were fused, a layer at a time; without a compiler they are not."""
        layers = [m for m in self._model.modules() if isinstance(m, GradientCheckpointingLayer)]
        try:
            for layer in layers:
                # What is tried out on the device while it compiles may come out otherwise each time.
                layer.compile(dynamic=False, options={"deterministic": True})
            with self._at_work():
                self._forward()
        except torch.OutOfMemoryError:
            raise
        except Exception as exc:  # whatever Triton, its C compiler and torch's own steps before them raise
            said = " ".join(f"{type(exc).__name__}: {exc}".split())[:300]
            logger.warning(
                "layers are not compiled, and scoring is about a fifth slower (torch.compile needs Triton and a C "
                "compiler): %s",
                said,
            )
            for layer in layers:
                layer._compiled_call_impl = None
            return False
        return True

    def _load(self, batch: Batch, columns: Places) -> None:
        values = torch.empty(self._inputs.shape, dtype=torch.int32, pin_memory=self._device.type == "cuda")
        tokens, bounds, known = np.split(values.numpy(), self._parts)
        tokens.reshape(3, -1)[:] = batch.input_ids[0], batch.token_type_ids[0], batch.attention_mask[0]
        counts = np.bincount(batch.attention_mask[0], minlength=self._n_rows + 1)
        bounds[0], bounds[1:] = 0, np.cumsum(counts[1:])
        known.reshape(-1, N_COLUMNS)[: len(columns)] = columns
        known.reshape(-1, N_COLUMNS)[len(columns) :] = columns[-1]
        self._inputs.copy_(values, non_blocking=True)

    def _spans(self, config: SpanConfig) -> Spans:
        if self._device.type == "cpu":
            return self._decoded(config)
        if config not in self._graphs:
            self._graphs[config] = self._recorded(config)
        graph, found = self._graphs[config]
        graph.replay()
        return found

    def _recorded(self, config: SpanConfig) -> tuple[torch.cuda.CUDAGraph, Spans]:
        # What kernels set up at their first call cannot be recorded, and wants a stream beside the default one.
        here, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            self._decoded(config)
        here.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may prepare or fetch meanwhile. Without a stream it takes the one of the process's first graph,
        # which may be another device's.
        with torch.cuda.graph(graph, stream=beside, capture_error_mode="thread_local"):
            found = self._decoded(config)
        return graph, found

    def _decoded(self, config: SpanConfig) -> Spans:
        columns = self._inputs[self._parts[1] :].view(-1, N_COLUMNS).long()
        return decode_on_device(*self._rows(), columns, config)

    def _rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Start and end logits, (n_rows, length): a window's own, then whatever comes behind it."""
        start, end = self._forward()
        firsts = self._inputs[self._parts[0] : self._parts[1] - 1]
        places = (firsts[:, None] + torch.arange(self._length, device=self._device)).clamp(max=len(start) - 1)
        return start[places], end[places]

    def _forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Start and end logits of all tokens; those of filler are anything."""
        ids, segments, numbers = self._inputs[: self._parts[0]].view(3, -1).long()
        bounds = self._inputs[self._parts[0] : self._parts[1]]
        positions = torch.arange(len(ids), device=self._device) - bounds[(numbers - 1).clamp(min=0)]
        # Those of filler lie anywhere.
        positions = positions.clamp(max=self._length - 1)
        if self._network.counts_padding:
            positions = positions + self._network.padding + 1
        known = {"token_type_ids": segments[None]} if self._network.takes_segments else {}
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None, cache_enabled=False):
            output: Any = self._model(
                input_ids=ids[None],
                position_ids=positions[None],
                cu_seq_lens_q=bounds,
                max_length_q=self._length,
                **known,
            )
        return output.start_logits[0].float(), output.end_logits[0].float()


def can_pack(network: NetworkConfig, device: str, precision: str) -> bool:
    """Whether packed windows of this network can be computed there.

    Not in fp32, not with attention that knows how far apart tokens are, and not where FlashAttention was left out of
    torch or does not take it: GPUs before Ampere, heads of other sizes.
    """
    if not device.startswith("cuda") or precision == "fp32" or "scale" not in OPTIONS:
        return False
    head = network.hidden_size // network.num_attention_heads
    is_taken = head % 8 == 0 and head <= MOST_OF_A_HEAD and torch.backends.cuda.is_flash_attention_available()
    return network.packs and is_taken and torch.cuda.get_device_capability(device) >= (8, 0)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each window to itself, by transformers' interface.

    Args:
        query, key, value: (1, n_heads, n_tokens, size).
        cu_seq_lens_q: (n_windows + 1,) int32, where each window begins and the last one ends.

    Returns:
        (1, n_tokens, n_heads, size)
    """
    if query.is_cuda:
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        found: Any = varlen_attn(
            q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scale=scaling, **WHOLE
        )
        return found[None], None
    found = torch.zeros_like(query)
    for first, end in pairwise(sorted(set(cu_seq_lens_q.tolist()))):
        q, k, v = (x[:, :, first:end] for x in (query, key, value))
        found[:, :, first:end] = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)
    return found.transpose(1, 2), None


AttentionInterface.register(ATTENTION, _attention)
