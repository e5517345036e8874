"""What everything around the network costs: a scoring stage whose network is replaced by stored logits.

    python tests/benchmarks/bench_host.py [--questions 20] [--abstracts 500] [--rounds 3] [--shape cpu]
    python tests/benchmarks/bench_host.py --against ../other-checkout     # the same stage of another commit, in turn

20 questions are asked of the same 500 real abstracts: records from the store, tokens, windows, batches, decoding,
pairs, rows, staged Parquet files. Each round is a process of its own, which times all shards of a plan together in
seconds of the processor, which others on the machine lengthen less than the clock's.
`--shape gpu` takes the shards and batches of a GPU, decoded here. Stages are timed in a further round, without what is
called from within them. Peak memory is that of the process, imports and tokenizer included. The last line is JSON:
medians over the rounds.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KIB_PER_MB = 1024
# Tokens of a batch and pairs of a shard.
SHAPES = {"cpu": (2048, 256), "gpu": (32768, 4096)}
# Where each stage is, here or in commit da5435d; what is not there is left out.
STAGES = {
    "records": ("run.score:_load_pairs", "pipeline:_load_pairs"),
    "tokenise": ("qa.tokenizer:TextTokenizer.__call__", "windows:TextTokenizer.__call__"),
    "windows": ("qa.scoring:make_windows", "scoring:make_windows"),
    "batches": ("qa.batching:pad_windows", "qa.batching:make_batches", "batching:pad_batch"),
    "decode": ("qa.inference:decode", "inference:decode", "inference:window_scores"),
    "pairs, n-best": ("qa.scoring:answer_pairs", "scoring:answer_passage"),
    "characters": ("qa.scoring:char_bounds", "spans:char_range", "pipeline:char_range"),
    "sentences": ("run.rows:_evidence", "pipeline:sentences"),
    "rows": ("run.score:answer_table", "run.score:chunk_table", "pipeline:_answer_row", "pipeline:ChunkRow"),
    "Arrow": ("run.rows:columns_to_table", "run.rows:arrow_column", "commit:to_table"),
    "Parquet, files": ("dataset.staging:stage_tables", "commit:_stage_tables"),
}
OTHER = "all else"


def questions(count: int) -> list[str]:
    """Of different lengths, with words that nearly every abstract has."""
    topics = ("cancer", "type 2 diabetes mellitus", "pain", "infection with a drug-resistant strain", "sepsis")
    asked = ("What was the effect of treatment in patients with {}?", "Which genes, cells or levels changed in {}?")
    return [f"{asked[i % 2].format(topics[i % len(topics)])} ({i})" for i in range(count)]


def abstracts(count: int) -> list[dict[str, Any]]:
    """Real ones with a text."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from bioqa_pipeline.pubmed.xml import parse_records
    from bioqa_pipeline.records.texts import Abstract
    from support.outside import OutsideMaterial

    found: list[dict[str, Any]] = []
    for path in OutsideMaterial(missing=sys.exit).files("pubmed/records/*.xml.gz"):
        with gzip.open(path) as file:
            for record in parse_records(file, name=path.name):
                if isinstance(record, Abstract) and record.text and len(found) < count:
                    found.append({name: getattr(record, name) for name in ("title", "text", "journal", "pub_date")})
    return found


def named(*names: str) -> Any:
    """The first of `module:name` that is there."""
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(f"bioqa_pipeline.{module}"), attribute)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"none of {names} is in {importlib.import_module('bioqa_pipeline').__file__}")


def stored_scorer(max_tokens: int, seed: int = 0) -> Any:
    """A scorer whose logits are slices of random ones."""
    import numpy as np

    base = named("qa.inference:Scorer", "inference:Scorer")
    info = named("qa.inference:ScorerInfo", "inference:ScorerInfo")
    rng = np.random.default_rng(seed)
    stored = rng.normal(scale=3, size=(2, max_tokens // 16 + 4096, 512)).astype(np.float32)

    class StoredScorer(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            values = {"device": "cpu", "precision": "fp32", "engine": "stored", "pad_id": 0, "max_length": 512}
            names = info.__dataclass_fields__
            self.info = info(token_budget=max_tokens, **{k: v for k, v in values.items() if k in names})
            self.calls = 0

        def logits(self, batch: Any) -> Any:
            self.calls += 61
            rows, length = batch.input_ids.shape
            first = self.calls % 4096
            return tuple(np.ascontiguousarray(side[first : first + rows, :length]) for side in stored)

    return StoredScorer()


class Clock:
    """Own seconds of the stages, without those that were called from within."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._inner = [0.0]

    def wrap(self, stage: str, place: str) -> None:
        module_name, _, path = place.partition(":")
        try:
            owner: Any = importlib.import_module(f"bioqa_pipeline.{module_name}")
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            function: Callable[..., Any] = getattr(owner, name)
        except (ImportError, AttributeError):
            return

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            self._inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - started
                self.seconds[stage] += took - self._inner.pop()
                self._inner[-1] += took

        setattr(owner, name, timed)


def measure(folder: Path, shape: str, n_questions: int, by_stage: bool) -> dict[str, Any]:
    """One scoring stage in this process, with the checkout that is on the path."""
    token_budget, shard_pairs = SHAPES[shape]
    config = named("config:ScoringConfig")()
    kinds = {name: named(f"records.texts:{name}", f"records:{name}") for name in ("Abstract", "Question")}
    hit, retrieval = (named(f"records.texts:{name}", f"records:{name}") for name in ("Hit", "Retrieval"))
    values = json.loads((folder / "abstracts.json").read_text("utf-8"))
    store = named("abstracts.store:AbstractStore", "store:AbstractStore")(folder / "store")
    store.add((kinds["Abstract"](pmid=i + 1, **a) for i, a in enumerate(values)), origin="benchmark")
    asked = [kinds["Question"](id=f"q{i}", text=text) for i, text in enumerate(questions(n_questions))]
    hits = tuple(hit(pmid=i + 1, rank=i + 1) for i in range(len(values)))
    storage = named("storage.places:storage_at", "storage:storage_at")(folder / "answers")
    storage.create()
    plan = named("run.plan:plan_run", "pipeline:plan_run")(
        asked,
        [retrieval(q.id, hits) for q in asked],
        [],
        store,
        lambda ids: ids.is_in([]),
        scoring_key="key",
        shard_pairs=lambda n_new: shard_pairs,
        storage=storage,
        name="_staging/run/plan.parquet",
    )
    scorer = named("qa.scoring:PairScorer", "scoring:PairScorer")(
        stored_scorer(token_budget),
        named("qa.checkpoint:open_checkpoint", "model:open_checkpoint")("embedded").tokenizer(),
        config,
        threshold=0.0,
        calibration=named("qa.calibration:Calibration", "spans:Calibration")(),
    )
    kind = named("run.records:RunIdentity", "pipeline:RunIdentity")
    said = ("run", datetime.now(UTC), "key", "model", "revision", "{}", 0.0, 10, False)
    identity = kind(*said[: len(fields(kind))])
    clock = Clock()
    for stage, places in STAGES.items() if by_stage else ():
        for place in places:
            clock.wrap(stage, place)
    score_shard = named("run.score:score_shard", "pipeline:score_shard")
    started, begun = time.process_time(), time.perf_counter()
    reports = [score_shard(plan.name, shard, store, scorer, identity, folder / "answers") for shard in plan.shards]
    seconds = time.process_time() - started
    wall = time.perf_counter() - begun
    n_windows = sum(report.n_windows for report in reports)
    stages = {**clock.seconds, OTHER: seconds - sum(clock.seconds.values())} if by_stage else {}
    return {
        "pairs": sum(report.n_pairs for report in reports),
        "windows": n_windows,
        "seconds": seconds,
        "windows_per_second": n_windows / seconds,
        "windows_per_wall_second": n_windows / wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MB,
        "stages": stages,
    }


def in_process(checkout: Path, scratch: Path, args: argparse.Namespace, *, by_stage: bool = False) -> dict[str, Any]:
    """`measure` in a new process that imports `checkout`."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        (folder / "abstracts.json").symlink_to(scratch / "abstracts.json")
        command = [sys.executable, __file__, "--measure", str(folder), "--shape", args.shape]
        command += ["--questions", str(args.questions), *(["--by-stage"] if by_stage else [])]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "XDG_CACHE_HOME": name, "BIOQA_CACHE": name}
        output = subprocess.run(command, check=True, env=environment, cwd=checkout, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
    return measured


def show(checkouts: Sequence[Path], rounds: list[list[dict[str, Any]]], staged: list[dict[str, Any]]) -> None:
    sides = [
        {
            "checkout": str(checkout),
            **{
                name: statistics.median(m[name] for m in own)
                for name in ("windows_per_second", "windows_per_wall_second", "peak_mb", "seconds")
            },
            "pairs": own[0]["pairs"],
            "windows": own[0]["windows"],
            "stages_seconds": {name: round(seconds, 3) for name, seconds in stages["stages"].items()},
        }
        for checkout, own, stages in zip(checkouts, rounds, staged, strict=True)
    ]
    for name in [*STAGES, OTHER]:
        rates = (s["windows"] / took if (took := s["stages_seconds"][name]) else float("inf") for s in sides)
        print(f"{name:<16}" + "".join(f"{rate:>16,.0f} windows/s" for rate in rates))
    print(f"{'whole stage':<16}" + "".join(f"{s['windows_per_second']:>16,.0f} windows/s" for s in sides))
    print(f"{'peak':<16}" + "".join(f"{s['peak_mb']:>16,.0f} MB       " for s in sides))
    line: dict[str, Any] = {"sides": sides}
    if len(sides) == 2:
        ratios = [
            ours["windows_per_second"] / theirs["windows_per_second"] for ours, theirs in zip(*rounds, strict=True)
        ]
        line |= {"ratio": round(statistics.median(ratios), 2), "ratios": [round(ratio, 2) for ratio in ratios]}
    print(json.dumps(line))


def main() -> None:
    """Measures and prints a table and a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--abstracts", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, default="cpu")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--by-stage", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.shape, args.questions, args.by_stage)))
        return
    checkouts = [ROOT, args.against.resolve()] if args.against else [ROOT]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "abstracts.json").write_text(json.dumps(abstracts(args.abstracts)), "utf-8")
        rounds: list[list[dict[str, Any]]] = [[] for _ in checkouts]
        for number in range(args.rounds):
            for own, checkout in zip(rounds, checkouts, strict=True):
                own.append(in_process(checkout, scratch, args))
                print(
                    f"round {number + 1}, {checkout}: {own[-1]['windows_per_second']:,.0f} windows/s", file=sys.stderr
                )
        show(checkouts, rounds, [in_process(c, scratch, args, by_stage=True) for c in checkouts])


if __name__ == "__main__":
    main()
