"""How much of a device's matrix products scoring makes use of, packed and padded, in the forward pass and as a whole.

    python tests/benchmarks/bench_device.py [--device cuda] [--precision auto] [--size base] [--windows 1000000]
        [--rounds 3]

BERT-base has random weights (BioBERT's shape); the windows have random ids and the lengths of real abstracts. In turn,
`rounds` times each: the peak, torch's matrix products at the network's shapes and as many rows as a batch has tokens;
the padded loop of `run_qa` on a part of the windows; and for windows padded to their own length with fixed rows, and
for packed ones, network and decoding over prepared batches, and `score_windows` over shards, from windows to scores.
The last line is JSON: medians.
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
from bioqa_pipeline.qa.engines import load_scorer  # noqa: E402
from bioqa_pipeline.qa.inference import Scorer  # noqa: E402
from bioqa_pipeline.qa.network_config import NetworkConfig  # noqa: E402
from bioqa_pipeline.qa.spans import window_columns  # noqa: E402
from bioqa_pipeline.qa.torch_engine import TorchScorer  # noqa: E402
from bioqa_pipeline.records.scores import Batch, Places, Window  # noqa: E402
from support.windows import batches_of, columns_of_windows, score_windows  # noqa: E402

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


def padded_loop(scorer: TorchScorer, batches: Sequence[Batch], device: str) -> float:
    """Seconds of the network alone."""
    started = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            scorer._forward(batch)
    finished(device)
    return time.perf_counter() - started


def prepared(scorer: Scorer, windows: Sequence[Window]) -> list[tuple[Batch, Places]]:
    columns = window_columns(columns_of_windows(windows))
    return [(batch, columns[batch.order]) for batch in batches_of(windows, scorer)]


def forward(scorer: Scorer, batches: Sequence[tuple[Batch, Places]], device: str) -> float:
    """Seconds of network and decoding, queued as the whole path queues them."""
    started = time.perf_counter()
    for batch, columns in batches:
        found = scorer.begin(batch, columns, SpanConfig())
    found()
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
        padding = TorchScorer(checkpoint, device=device, precision=precision, as_on_gpu=True)
        ours = load_scorer(checkpoint, device=device, precision=args.precision)
    # On a CPU nothing is packed.
    ways: dict[str, Scorer] = {"fixed_rows": padding, "packed" if device.startswith("cuda") else "chosen": ours}
    pad_id, budget, per_round = padding.info.pad_id, padding.info.token_budget, args.windows // args.rounds
    few = synthetic(real, min(FORWARD_WINDOWS, per_round), seed=0)
    n_loop = min(PADDED_WINDOWS, len(few))
    wide = padded_batches(few[:n_loop], pad_id)
    padded_loop(padding, wide[:1], device)
    measures: dict[str, Callable[[int], float]] = {
        "matrix_peak_tflops": lambda _: matrix_peak(checkpoint.config, device, precision, budget) / 1e12,
        "padded_loop": lambda _: n_loop / padded_loop(padding, wide, device),
    }
    for name, scorer in ways.items():
        batches = prepared(scorer, few)
        # Every shape once: kernels are chosen, layers compiled and recorded.
        forward(scorer, batches, device)
        measures[name] = lambda _, s=scorer, b=batches: len(few) / forward(s, b, device)  # type: ignore[misc]
        measures[f"{name}_whole_path"] = lambda n, s=scorer: (  # type: ignore[misc]
            per_round / whole_path(s, synthetic(real, per_round, seed=n + 1))
        )
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(args.rounds):
        for name, measure in measures.items():
            found[name].append(measure(number))
            print(f"round {number + 1}: {name}: {found[name][-1]:,.1f}", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    flop = statistics.mean(flop_per_token(checkpoint.config, len(w)) * len(w) for w in few)
    peak = medians.pop("matrix_peak_tflops")
    result = {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "precision": precision,
        "size": args.size,
        "windows": per_round * args.rounds,
        "mean_tokens": round(statistics.mean(map(len, few)), 1),
        "batch_tokens": budget,
        "engine": ours.info.engine,
        "matrix_peak_tflops": round(peak, 3),
        "windows_per_second": {name: round(rate, 1) for name, rate in medians.items()},
        "shares_of_peak": {name: round(medians[name] * flop / peak / 1e12, 3) for name in ways},
        "peak_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20) if device.startswith("cuda") else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
