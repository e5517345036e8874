"""How much of a device's matrix products scoring makes use of, in the forward pass and through the whole scoring path.

    python tests/benchmarks/bench_device.py [--device cuda] [--precision auto] [--size base] [--windows 1000000]
        [--rounds 3]

BERT-base has random weights (BioBERT's shape); the windows have random ids and the lengths of real abstracts. In turn,
`rounds` times each: the peak, torch's matrix products at the network's shapes and as many rows as a batch has tokens;
the forward pass alone over prepared batches; `score_windows` over shards, from windows to scores. The padded loop of
`run_qa` is measured on a part of the windows. The last line is JSON: medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from bench_scoring import bert_base, flop_per_token, padded_batches, pairs_of  # noqa: E402

from bioqa_pipeline.config import SpanConfig  # noqa: E402
from bioqa_pipeline.qa.checkpoint import open_checkpoint  # noqa: E402
from bioqa_pipeline.qa.devices import resolve_device, resolve_precision  # noqa: E402
from bioqa_pipeline.qa.inference import Scorer  # noqa: E402
from bioqa_pipeline.qa.network_config import NetworkConfig  # noqa: E402
from bioqa_pipeline.qa.torch_engine import TorchScorer  # noqa: E402
from bioqa_pipeline.records.scores import Batch, Window  # noqa: E402
from support.windows import batches_of, score_windows  # noqa: E402

SHARD_WINDOWS = 4096
FORWARD_WINDOWS = 20_000
PADDED_WINDOWS = 2_000
REAL_WINDOWS = 2_000


def synthetic(real: Sequence[Window], count: int, seed: int) -> list[Window]:
    """Windows of random ids, as long as windows of real pairs."""
    rng = np.random.default_rng(seed)
    windows = []
    for number in rng.integers(len(real), size=count).tolist():
        like = real[number]
        ids = rng.integers(1000, 20000, len(like), dtype=np.int32)
        length = like.token_end - like.token_start
        windows.append(
            Window(
                index=0,
                n_windows=1,
                token_start=0,
                token_end=length,
                context_start=0,
                context_end=length,
                passage_offset=like.passage_offset,
                input_ids=ids,
            )
        )
    return windows


def finished(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def matrix_peak(config: NetworkConfig, device: str, precision: str, rows: int) -> float:
    """FLOP/s of torch's matrix product at the shapes of a layer, weighted by their work."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    hidden, inner = config.hidden_size, config.intermediate_size
    times = 200 if device.startswith("cuda") else 5
    work, seconds = 0.0, 0.0
    for inputs, outputs, weight in ((hidden, hidden, 4), (hidden, inner, 1), (inner, hidden, 1)):
        a = torch.randn(rows, inputs, dtype=dtype, device=device)
        b = torch.randn(inputs, outputs, dtype=dtype, device=device)
        torch.matmul(a, b)
        finished(device)
        started = time.perf_counter()
        for _ in range(times):
            torch.matmul(a, b)
        finished(device)
        work += weight * 2.0 * rows * inputs * outputs
        seconds += weight * (time.perf_counter() - started) / times
    return work / seconds


def forward(scorer: TorchScorer, batches: Sequence[Batch], device: str) -> float:
    """Seconds of the network alone, queued as the whole path queues it."""
    started = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            scorer._forward(batch)
    finished(device)
    return time.perf_counter() - started


def whole_path(scorer: Scorer, windows: Sequence[Window]) -> float:
    started = time.perf_counter()
    for first in range(0, len(windows), SHARD_WINDOWS):
        score_windows(windows[first : first + SHARD_WINDOWS], scorer, SpanConfig())
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--size", choices=("embedded", "base"), default="base")
    parser.add_argument("--windows", type=int, default=1_000_000, help="through the whole path, over all rounds")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    device = resolve_device(args.device)
    precision = resolve_precision(args.precision, device)
    embedded = open_checkpoint("embedded")
    real: list[Window] = pairs_of(embedded, min(REAL_WINDOWS, args.windows))[1]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = bert_base(Path(folder), embedded) if args.size == "base" else embedded
        scorer = TorchScorer(checkpoint, device=device, precision=precision)
    pad_id, budget, per_round = scorer.info.pad_id, scorer.info.token_budget, args.windows // args.rounds
    few = synthetic(real, min(FORWARD_WINDOWS, per_round), seed=0)
    batches = list(batches_of(few, scorer))
    wide = padded_batches(few[: min(PADDED_WINDOWS, len(few))], pad_id)
    forward(scorer, [*batches[:3], wide[0]], device)
    mean = statistics.mean(map(len, few))
    found: dict[str, list[float]] = {"matrix_peak_tflops": [], "padded_loop": [], "forward": [], "whole_path": []}
    measures: dict[str, Callable[[int], float]] = {
        "matrix_peak_tflops": lambda _: matrix_peak(checkpoint.config, device, precision, budget) / 1e12,
        "padded_loop": lambda _: min(PADDED_WINDOWS, len(few)) / forward(scorer, wide, device),
        "forward": lambda _: len(few) / forward(scorer, batches, device),
        "whole_path": lambda n: per_round / whole_path(scorer, synthetic(real, per_round, seed=n + 1)),
    }
    for number in range(args.rounds):
        for name, measure in measures.items():
            found[name].append(measure(number))
            print(f"round {number + 1}: {name}: {found[name][-1]:,.1f}", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    flop = statistics.mean(flop_per_token(checkpoint.config, len(w)) * len(w) for w in few)
    peak = medians["matrix_peak_tflops"] * 1e12
    result = {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "precision": precision,
        "size": args.size,
        "windows": per_round * args.rounds,
        "mean_tokens": round(mean, 1),
        "batch_tokens": budget,
        **{f"{name}_windows_per_second": round(medians[name], 1) for name in ("padded_loop", "forward", "whole_path")},
        "matrix_peak_tflops": round(medians["matrix_peak_tflops"], 3),
        "forward_share_of_peak": round(medians["forward"] * flop / peak, 3),
        "whole_path_share_of_forward": round(medians["whole_path"] / medians["forward"], 3),
        "peak_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20) if device.startswith("cuda") else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
