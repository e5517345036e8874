"""Evaluation on a SQuAD file against the padded loop of `run_squad` with the same model, in turn.

    python tests/benchmarks/bench_evaluation.py [--dataset FILE] [--questions 1200] [--rounds 3]

Ours is `evaluate_checkpoint`, from the file to the table, loading included. The loop is transformers in fp32, batches
of 64 in the order of the file, every window padded to 384 tokens, and is spared tokenising and decoding. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from bench_scoring import padded_batches, padded_loop  # noqa: E402

from bioqa_pipeline.config import ModelConfig  # noqa: E402
from bioqa_pipeline.evaluation.job import evaluate_checkpoint  # noqa: E402
from bioqa_pipeline.evaluation.squad import read_squad  # noqa: E402
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint  # noqa: E402
from bioqa_pipeline.qa.engines import load_scorer  # noqa: E402
from bioqa_pipeline.qa.threads import thread_count  # noqa: E402
from bioqa_pipeline.qa.torch_engine import TorchScorer  # noqa: E402
from bioqa_pipeline.records.scores import Window  # noqa: E402
from support.outside import OutsideMaterial  # noqa: E402
from support.windows import make_windows  # noqa: E402


def write_part(dataset: Path, count: int, path: Path) -> int:
    """Random paragraphs of the file with at least `count` questions; the number of their questions."""
    content = json.loads(dataset.read_text("utf-8"))
    paragraphs = [(a["title"], p) for a in content["data"] for p in a["paragraphs"]]
    random.Random(0).shuffle(paragraphs)
    data: list[dict[str, object]] = []
    found = 0
    for title, paragraph in paragraphs:
        if found >= count:
            break
        data.append({"title": title, "paragraphs": [paragraph]})
        found += len(paragraph["qas"])
    path.write_text(json.dumps({"version": "v2.0", "data": data}), "utf-8")
    return found


def windows_of(dataset: Path, checkpoint: Checkpoint) -> list[Window]:
    """All windows of the file, in its order."""
    tokenizer = checkpoint.tokenizer()
    windows: list[Window] = []
    for paragraph in read_squad(dataset):
        passage, *questions = tokenizer([paragraph.context, *(q.text for q in paragraph.questions)])
        for question in questions:
            windows += make_windows(question, passage, tokenizer.special, checkpoint.settings.windows)
    return windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="default: half of the development set, of the test data")
    parser.add_argument("--questions", type=int, default=1200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    dataset = args.dataset or OutsideMaterial(missing=sys.exit).file("squad2/dev-half-official.json")
    torch.set_num_threads(thread_count())
    checkpoint = open_checkpoint("embedded")
    reference = TorchScorer(checkpoint, device="cpu", precision="fp32")
    ours, loop = [], []
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.json"
        questions = write_part(dataset, args.questions, part)
        windows = windows_of(part, checkpoint)
        wide = padded_batches(windows, reference.info.pad_id)
        padded_loop(reference, wide[:1])
        for number in range(args.rounds):
            started = time.perf_counter()
            evaluate_checkpoint(part, ModelConfig(device="cpu"))
            ours.append(time.perf_counter() - started)
            loop.append(padded_loop(reference, wide))
            print(f"round {number + 1}: ours {ours[-1]:.1f} s, padded loop {loop[-1]:.1f} s", file=sys.stderr)
    engine = load_scorer(checkpoint, device="cpu", n_pairs=questions).info
    result = {
        "questions": questions,
        "windows": len(windows),
        "mean_tokens": round(float(np.mean([len(w) for w in windows])), 1),
        "threads": thread_count(),
        "engine": f"{engine.engine} {engine.precision}",
        "seconds": round(statistics.median(ours), 1),
        "padded_loop_seconds": round(statistics.median(loop), 1),
        "times_the_padded_loop": round(statistics.median(b / a for a, b in zip(ours, loop, strict=True)), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
