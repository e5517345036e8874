"""Which engine runs the network, and the checkpoint loaded into it."""

from __future__ import annotations

import importlib.util
import logging
from functools import partial

from bioqa_pipeline.config import Engine, Precision
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.qa.checkpoint import Checkpoint
from bioqa_pipeline.qa.devices import resolve_device, resolve_precision
from bioqa_pipeline.qa.inference import Scorer

logger = logging.getLogger(__name__)

# Pairs from which the seconds that OpenVINO takes to compile are won back.
OPENVINO_PAYS = 1000
INSTALL = "python -m pip install openvino"


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
            raise ConfigError(f"`engine openvino` runs on the CPU, not on {device}; use `engine torch` or `device cpu`")
        if not installed:
            raise ConfigError(f"`engine openvino`: the package is not installed; run {INSTALL}")
    return engine


def faster_engine(engine: Engine, device: str, *, n_pairs: int) -> str | None:
    """What to tell whose job of `n_pairs` would pay OpenVINO, which is not installed; None for all others.

    Args:
        engine: as asked for; who names one is not told of another.
        device: resolved, see `resolve_device`.
    """
    if device != "cpu" or engine != "auto" or n_pairs < OPENVINO_PAYS or importlib.util.find_spec("openvino"):
        return None
    # tests/benchmarks/NOTES.md: 1.04 and 1.05 times on two processors without bf16, 1.3 and 1.4 on one with it.
    return f"OpenVINO would score these 1.0 to 1.4 times as fast, by the processor: {INSTALL}"


def load_scorer(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    n_pairs: int = 0,
    token_budget: int | None = None,
) -> Scorer:
    """The checkpoint on its device, ready to score.

    Args:
        n_pairs: size of the job, by which engine "auto" is decided.
        token_budget: tokens of a batch of torch's, where the device's own are too many.

    Raises:
        ConfigError: device, precision or engine cannot be had here.
    """
    where = resolve_device(device)
    how = resolve_precision(precision, where)
    torch_scorer = partial(_torch_scorer, checkpoint, device=where, precision=how, token_budget=token_budget)
    if resolve_engine(engine, where, n_pairs=n_pairs) == "torch":
        return torch_scorer()
    # An extra; and it starts slowly.
    from bioqa_pipeline.qa.openvino_engine import OpenVinoScorer, UntraceableError

    try:
        return OpenVinoScorer(checkpoint, precision=how)
    except UntraceableError as exc:
        logger.warning("OpenVINO cannot run a %s model (%s): torch does", checkpoint.config.model_type, exc)
        return torch_scorer()
    except ConfigError:
        if engine == "openvino":
            raise
        return torch_scorer()


def _torch_scorer(checkpoint: Checkpoint, *, device: str, precision: str, token_budget: int | None) -> Scorer:
    # Not before they are needed: torch and transformers take seconds.
    if device.startswith("cuda"):
        from bioqa_pipeline.qa.packed_engine import PackedScorer, can_pack

        if can_pack(checkpoint.config, device, precision):
            return PackedScorer(checkpoint, device=device, precision=precision, token_budget=token_budget)
    from bioqa_pipeline.qa.torch_engine import TorchScorer

    return TorchScorer(checkpoint, device=device, precision=precision, token_budget=token_budget)
