"""Peak memory of the whole job over 2,000 and 20,000 synthetic abstracts, the network replaced by a double.

    python tests/benchmarks/bench_memory.py

Each size runs in a process of its own. The last line is JSON; `ratio` is the larger peak over the smaller.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np

SIZES = (2_000, 20_000)
QUESTIONS = 4
KIB_PER_MB = 1024


def main() -> None:
    """Measures every size and prints a table and a JSON line."""
    peaks = {}
    for size in SIZES:
        output = subprocess.run([sys.executable, __file__, str(size)], check=True, capture_output=True, text=True)
        peaks[size] = json.loads(output.stdout.splitlines()[-1])
        print(f"{size:>7,} abstracts: peak {peaks[size]['peak_mb']:.0f} MB, {peaks[size]['pairs']:,} pairs")
    ratio = peaks[SIZES[1]]["peak_mb"] / peaks[SIZES[0]]["peak_mb"]
    print(json.dumps({"peak_mb": {str(k): v["peak_mb"] for k, v in peaks.items()}, "ratio": round(ratio, 3)}))


def measure(size: int) -> None:
    """Runs the job over `size` abstracts and prints its peak memory."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from bioqa_pipeline.abstracts.store import AbstractStore
    from bioqa_pipeline.config import ModelConfig, RunConfig, SourceConfig
    from bioqa_pipeline.qa.calibration import Calibration
    from bioqa_pipeline.qa.checkpoint import open_checkpoint
    from bioqa_pipeline.qa.inference import ScorerInfo
    from bioqa_pipeline.qa.scoring import PairScorer
    from bioqa_pipeline.records.scores import Batch, FloatArray
    from bioqa_pipeline.records.texts import Abstract, Hit, Missing, Question, Retrieval
    from bioqa_pipeline.run import job
    from support.checkpoints import WORDS, make_checkpoint

    class FlatScorer:
        """Logits that depend on the position only."""

        info = ScorerInfo(device="cpu", precision="fp32", engine="double", token_budget=2048, pad_id=0, max_length=512)

        def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
            row = np.linspace(0, 1, batch.input_ids.shape[1], dtype=np.float32)
            both = np.broadcast_to(row, batch.input_ids.shape)
            return both, both[:, ::-1]

    class EveryAbstract:
        name = "synthetic"

        def __init__(self, store: AbstractStore) -> None:
            self.store = store

        def search(self, question: Question, limit: int) -> Retrieval:
            return Retrieval(question.id, tuple(Hit(pmid=i, rank=i) for i in range(1, size + 1)))

        def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
            return []

        def describe(self) -> dict[str, str]:
            return {}

    def abstracts() -> Iterator[Abstract]:
        rng = np.random.default_rng(0)
        for pmid in range(1, size + 1):
            yield Abstract(pmid=pmid, title="Title", text=" ".join(rng.choice(WORDS, size=180)))

    def scorer(model: ModelConfig, scoring: object, threshold: float) -> PairScorer:
        tokenizer = open_checkpoint(model.name).tokenizer()
        return PairScorer(FlatScorer(), tokenizer, config.scoring, threshold=threshold, calibration=Calibration())

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "q.txt").write_text("".join(f"Which gene causes disease {i}?\n" for i in range(QUESTIONS)))
        model = make_checkpoint(folder / "model")
        config = RunConfig(
            questions=folder / "q.txt",
            out=folder / "out",
            model=ModelConfig(name=str(model), device="cpu"),
            source=SourceConfig(max_abstracts=size),
        )
        store = AbstractStore(folder / "store")
        store.add(abstracts(), origin="synthetic")
        with (
            mock.patch.object(job, "load_pair_scorer", scorer),
            mock.patch.object(job, "open_source", return_value=EveryAbstract(store)),
        ):
            result = job.run_job(config)
    assert result.manifest.n_scored == size * QUESTIONS, result
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MB
    print(json.dumps({"peak_mb": round(peak, 1), "pairs": result.manifest.n_scored}))


if __name__ == "__main__":
    measure(int(sys.argv[1])) if len(sys.argv) > 1 else main()
