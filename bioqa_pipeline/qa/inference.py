"""Batches into start and end logits on one device, and windows into scores. Knows nothing about texts or files.

Logits leave this module as float32 arrays, whatever the network runs in.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bioqa_pipeline.config import Engine, Precision, SpanConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.qa.batching import make_batches
from bioqa_pipeline.qa.checkpoint import Checkpoint, load_model
from bioqa_pipeline.qa.spans import Decoded, decode, window_scores
from bioqa_pipeline.records import Batch, FloatArray, Window, WindowScore

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

# Tokens of a batch, padding included: enough to fill the device, few enough to keep padding and memory low.
TOKEN_BUDGETS = {"cpu": 2048, "cuda": 32768, "mps": 8192}
# Pairs from which the seconds that OpenVINO takes to compile are won back.
OPENVINO_PAYS = 1000


@dataclass(frozen=True, slots=True)
class ScorerInfo:
    """What runs where; `precision` is resolved, never "auto"."""

    device: str
    precision: str
    engine: str
    token_budget: int
    pad_id: int


class Scorer(Protocol):
    """The seam behind which engines differ; an engine is a subclass."""

    info: ScorerInfo

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Start and end logits, both (n_windows, length) float32; padded columns hold anything."""
        ...

    def begin(self, batch: Batch, windows: Sequence[Window], config: SpanConfig) -> Callable[[], Decoded]:
        """Starts a batch of these windows, in row order; what is returned waits for its spans and null scores.

        Raises:
            FloatingPointError: a logit of a real token is not finite; here or by what is returned.
        """
        decoded = decode(*self.logits(batch), windows, config)
        return lambda: decoded


def resolve_device(device: str) -> str:
    """ "auto" into "cuda" or "cpu"; a device that is not there is an error.

    Raises:
        ConfigError: no such device on this machine.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as exc:
        raise ConfigError(f"--device {device}: not a device name (auto, cpu, cuda, cuda:1, mps)") from exc
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise ConfigError(f"--device {device}: this machine has no such device; use --device cpu")
    return device


def resolve_precision(precision: Precision, device: str) -> str:
    """ "auto" into the fastest precision that is sound on the device: bf16 where its matrix units have it, else fp32.

    Raises:
        ConfigError: fp16 on a CPU, which has no kernels for it.
    """
    import torch

    on_cpu = device == "cpu"
    if precision == "fp16" and on_cpu:
        raise ConfigError("--precision fp16 needs a GPU; use bf16 or fp32 on a CPU")
    if precision != "auto":
        return precision
    if on_cpu:
        abilities = torch.cpu.get_capabilities()
        return "bf16" if abilities.get("avx512_bf16") or abilities.get("amx_bf16") or abilities.get("bf16") else "fp32"
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "fp32"


def resolve_engine(engine: Engine, device: str, *, n_pairs: int) -> Engine:
    """ "auto" into the engine that ends a job of `n_pairs` first: on a CPU OpenVINO, where it is installed and the job
    is long enough for its compilation to pay, else torch.

    Args:
        device: resolved, see `resolve_device`.

    Raises:
        ConfigError: OpenVINO is asked for on a GPU, or is not installed.
    """
    installed = importlib.util.find_spec("openvino") is not None
    if engine == "auto":
        return "openvino" if device == "cpu" and installed and n_pairs >= OPENVINO_PAYS else "torch"
    if engine == "openvino":
        if device != "cpu":
            raise ConfigError(f"--engine openvino runs on the CPU, not on {device}; use --engine torch or --device cpu")
        if not installed:
            raise ConfigError("--engine openvino: the package is not installed; run pip install 'bioqa[openvino]'")
    return engine


def load_scorer(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    n_pairs: int = 0,
) -> Scorer:
    """The checkpoint on its device, ready to score.

    Args:
        n_pairs: size of the job, by which engine "auto" is decided.

    Raises:
        ConfigError: device, precision or engine cannot be had here.
    """
    where = resolve_device(device)
    how = resolve_precision(precision, where)
    if resolve_engine(engine, where, n_pairs=n_pairs) == "torch":
        return TorchScorer(checkpoint, device=where, precision=how)
    # An extra; and it starts slowly.
    from bioqa_pipeline.qa.openvino_engine import OpenVinoScorer

    try:
        return OpenVinoScorer(checkpoint, precision=how)
    except ConfigError:
        if engine == "openvino":
            raise
        return TorchScorer(checkpoint, device=where, precision=how)


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
        import torch

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
            pad_id=int(checkpoint.config.get("pad_token_id") or 0),
        )

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        import torch

        with torch.inference_mode():
            both = torch.stack(self._forward(batch)).float().cpu().numpy()
        return both[0], both[1]

    def begin(self, batch: Batch, windows: Sequence[Window], config: SpanConfig) -> Callable[[], Decoded]:
        if not self._decode_on_device:
            return super().begin(batch, windows, config)
        import torch

        from bioqa_pipeline.qa.spans_torch import begin_decoding

        with torch.inference_mode():
            return begin_decoding(*self._forward(batch), windows, config)

    def _forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            output: Any = self._model(
                input_ids=self._tensor(batch.input_ids),
                token_type_ids=self._tensor(batch.token_type_ids),
                attention_mask=self._tensor(batch.attention_mask),
            )
        return output.start_logits, output.end_logits

    def _tensor(self, values: np.ndarray[Any, Any]) -> torch.Tensor:
        import torch

        tensor = torch.from_numpy(values)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)


def _reduce_linear_layers(model: Any, dtype: torch.dtype, device_type: str) -> None:
    """To be run under autocast, from which the span head is left out."""
    import torch

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


def score_windows(
    windows: Sequence[Window],
    scorer: Scorer,
    config: SpanConfig,
    *,
    on_batch: Callable[[int], None] | None = None,
) -> list[WindowScore]:
    """Scores windows in length-sorted batches; results in the order of `windows`.

    A batch is begun before the one ahead of it is finished, so that a GPU need not wait.

    Args:
        on_batch: called with the number of windows of each batch when it is done.

    Raises:
        FloatingPointError: the model gave a logit that is not finite.
    """
    results: list[WindowScore | None] = [None] * len(windows)

    def take(begun: tuple[Batch, list[Window], Callable[[], Decoded]]) -> None:
        batch, rows, finish = begun
        for i, score in zip(batch.order, window_scores(finish(), rows), strict=True):
            results[i] = score
        if on_batch:
            on_batch(len(rows))

    ahead = None
    for batch in make_batches(windows, token_budget=scorer.info.token_budget, pad_id=scorer.info.pad_id):
        rows = [windows[i] for i in batch.order]
        begun = batch, rows, scorer.begin(batch, rows, config)
        if ahead:
            take(ahead)
        ahead = begun
    if ahead:
        take(ahead)
    return [score for score in results if score is not None]
