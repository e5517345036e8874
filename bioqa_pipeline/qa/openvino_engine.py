"""The OpenVINO engine behind the scorer's seam: the same network, compiled for the processor with prepacked weights.

On processors it is the fastest of the engines that keep fp32's answers (tests/benchmarks/NOTES.md), but compiling takes
seconds, so that `inference.resolve_engine` takes it for longer jobs only.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.qa.checkpoint import Checkpoint, load_model
from bioqa_pipeline.qa.inference import TOKEN_BUDGETS, Found, Scorer, ScorerInfo
from bioqa_pipeline.qa.lanes import Lanes
from bioqa_pipeline.qa.threads import thread_count
from bioqa_pipeline.records.scores import Batch, FloatArray, Places

# OpenVINO reports its use to its makers over the network, unasked, where this package is found: at import and at each
# conversion.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402

_ELEMENT_TYPES = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}


class UntraceableError(Exception):
    """This kind of network cannot be converted."""


class OpenVinoScorer(Scorer):
    """Runs on the CPU on as many lanes as `thread_count` says, one thread each.

    Args:
        precision: "fp32" or "bf16"; weights come out of the checkpoint in fp32 and are rounded by the compiler.

    Raises:
        ConfigError: the processor does not compute in `precision`.
        UntraceableError: OpenVINO does not convert this kind of network.
    """

    def __init__(self, checkpoint: Checkpoint, *, precision: str) -> None:
        core = openvino.Core()
        # Without the instructions it still takes bf16 as a setting: some processors emulate it, others compute in fp32.
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigError(
                "`precision bf16`: OpenVINO does not compute in it on this processor; use `precision fp32` or "
                "`engine torch`"
            )
        n_lanes = thread_count()
        self._takes_segments = checkpoint.config.takes_segments
        self._network = core.compile_model(
            _converted(checkpoint),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _ELEMENT_TYPES[precision],
                "INFERENCE_NUM_THREADS": n_lanes,
                "NUM_STREAMS": n_lanes,
                # Several processes of one lane each would be put on the same core.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._own = threading.local()
        self._lanes = Lanes(n_lanes, lambda: None)
        self.info = ScorerInfo(
            device="cpu",
            precision=precision,
            engine="openvino",
            token_budget=TOKEN_BUDGETS["cpu"],
            pad_id=checkpoint.config.padding,
            max_length=checkpoint.config.longest_window,
            lanes=n_lanes,
        )

    def begin(self, batch: Batch, columns: Places, config: SpanConfig) -> Callable[[], Found]:
        return self._lanes.begin(lambda: self.logits(batch))

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        # A request belongs to the thread that asks.
        if not hasattr(self._own, "request"):
            self._own.request = self._network.create_infer_request()
        segments = [batch.token_type_ids] if self._takes_segments else []
        found = self._own.request.infer([batch.input_ids, batch.attention_mask, *segments])
        start, end = (np.asarray(found[i], dtype=np.float32) for i in range(2))
        return start, end


class _Logits(torch.nn.Module):
    """The network as a function of tensors, which is what can be traced."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        # Tracing asks for it, and transformers warns of a loss that nobody set.
        network.loss_function = None
        self.network = network

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.network(input_ids=input_ids, attention_mask=attention_mask, **segments)
        return output.start_logits, output.end_logits


def _converted(checkpoint: Checkpoint) -> openvino.Model:
    """The network for batches of any shape."""
    if checkpoint.config.mask == "local":
        raise UntraceableError("which tokens are near would be fixed at the length of the example")
    # Without padding the network would leave its attention mask out of the trace.
    example = {
        "input_ids": torch.ones((2, 16), dtype=torch.int64),
        "attention_mask": torch.tensor([[1] * 16, [1] * 8 + [0] * 8]),
    }
    if checkpoint.config.takes_segments:
        example["token_type_ids"] = torch.ones((2, 16), dtype=torch.int64)
    with warnings.catch_warnings(), torch.inference_mode():
        # Tracing warns of every branch of transformers' code, and transformers of its own names.
        warnings.simplefilter("ignore")
        network = _Logits(load_model(checkpoint)).eval()
        try:
            return openvino.convert_model(network, example_input=example)
        except Exception as exc:  # tracing runs the code of transformers, which may raise anything
            raise UntraceableError((str(exc).splitlines() or [type(exc).__name__])[0][:200]) from exc
