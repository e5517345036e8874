"""Differing bits between a window scored alone and the same window in random company, for each engine and precision.

    python tests/benchmarks/bench_bits.py [--comparisons 10000] [--tokens 384] [--kinds "torch fp32,openvino fp32"]

Windows of random tokens, 16 to `--tokens` long; each round scores some of them in random order on one, two or three
lanes, on a GPU on one of three scorers. A comparison is one window: all that is decoded from its logits, among it sums
over every token. Kinds that this machine does not compute in are left out. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402

from bioqa_pipeline.config import SpanConfig  # noqa: E402
from bioqa_pipeline.errors import ConfigError  # noqa: E402
from bioqa_pipeline.qa.checkpoint import open_checkpoint  # noqa: E402
from bioqa_pipeline.qa.engines import load_scorer  # noqa: E402
from bioqa_pipeline.qa.inference import Scorer  # noqa: E402
from bioqa_pipeline.records.scores import Window  # noqa: E402
from support.windows import score_windows  # noqa: E402

QUESTION_TOKENS = 10
SEP = 102
KINDS = ("torch fp32", "torch bf16", "openvino fp32", "openvino bf16", "GPU fp32", "GPU bf16", "GPU fp16")
LANES = (1, 2, 3)
MOST_TOGETHER = 120


def random_windows(count: int, longest: int) -> list[Window]:
    rng = np.random.default_rng(0)
    windows = []
    for length in rng.integers(16, longest + 1, size=count).tolist():
        passage = length - QUESTION_TOKENS - 3
        ids = rng.integers(1000, 20000, length, dtype=np.int32)
        # All windows of a tokenizer end in the same token.
        ids[-1] = SEP
        windows.append(
            Window(
                index=0,
                n_windows=1,
                token_start=0,
                token_end=passage,
                context_start=0,
                context_end=passage,
                passage_offset=QUESTION_TOKENS + 2,
                input_ids=ids,
            )
        )
    return windows


def scorers_of(kind: str) -> list[Scorer]:
    """One for each number of lanes."""
    engine, precision = kind.split()
    checkpoint = open_checkpoint("embedded")
    found = []
    for n_lanes in LANES:
        os.environ["OMP_NUM_THREADS"] = str(n_lanes)
        where = ("cuda", "torch") if engine == "GPU" else ("cpu", engine)
        found.append(load_scorer(checkpoint, device=where[0], precision=precision, engine=where[1]))  # type: ignore[arg-type]
    return found


def differing(scorers: list[Scorer], windows: list[Window], comparisons: int) -> int:
    """Of so many comparisons, those in which any bit differs."""
    alone = [score_windows([w], scorers[0], SpanConfig())[0] for w in windows]
    rng = np.random.default_rng(1)
    differ = done = 0
    while done < comparisons:
        chosen = rng.integers(0, len(windows), size=rng.integers(1, MOST_TOGETHER)).tolist()[: comparisons - done]
        found = score_windows([windows[i] for i in chosen], scorers[int(rng.integers(len(scorers)))], SpanConfig())
        differ += sum(a != alone[i] for a, i in zip(found, chosen, strict=True))
        done += len(chosen)
    return differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=10_000, help="for each kind")
    parser.add_argument("--tokens", type=int, default=384, help="of the longest window")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    args = parser.parse_args()
    windows = random_windows(min(200, args.comparisons), args.tokens)
    result: dict[str, int | None] = {}
    for kind in args.kinds.split(","):
        try:
            scorers = scorers_of(kind)
        except ConfigError as exc:
            print(f"{kind}: left out: {exc}", file=sys.stderr)
            result[kind] = None
            continue
        result[kind] = differing(scorers, windows, args.comparisons)
        print(f"{kind}: {result[kind]} of {args.comparisons:,} comparisons differ", flush=True)
    print(json.dumps({"comparisons": args.comparisons, "tokens": args.tokens, "differing": result}))


if __name__ == "__main__":
    main()
