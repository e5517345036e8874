"""What a device loses while the processor prepares and writes: a scoring stage in threads and in worker processes.

    python tests/benchmarks/bench_overlap.py [--device cuda] [--precision auto] [--model embedded] [--questions 40]
        [--abstracts 1400] [--shard-pairs 4096] [--ways "threads 1,threads 2,threads 3,processes 2,processes 3"]

The same questions of the same real abstracts, from records to staged Parquet files, one way after the other. The rate
is that of the shards that ended after as many as there are threads or processes: it leaves out the start, and is too
high where there are few shards for many processes. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench_host import abstracts, questions  # noqa: E402

from bioqa_pipeline.abstracts.store import AbstractStore  # noqa: E402
from bioqa_pipeline.config import ModelConfig, ScoringConfig  # noqa: E402
from bioqa_pipeline.records.texts import Abstract, Hit, Question, Retrieval  # noqa: E402
from bioqa_pipeline.run.executor import in_flight  # noqa: E402
from bioqa_pipeline.run.plan import plan_run  # noqa: E402
from bioqa_pipeline.run.records import RunIdentity, ShardPlan, ShardReport  # noqa: E402
from bioqa_pipeline.run.score import ScoringJob  # noqa: E402
from bioqa_pipeline.run.workers import Pooled  # noqa: E402
from bioqa_pipeline.storage.places import storage_at  # noqa: E402

PLAN = "_staging/run/plan.parquet"


def scored(way: str, count: int, job: ScoringJob, shards: Sequence[ShardPlan]) -> Iterator[ShardReport]:
    if way == "processes":
        for outcome in Pooled(count).score(job, shards, lambda _: None):
            if not isinstance(outcome, ShardReport):
                raise outcome
            yield outcome
    else:
        with ThreadPoolExecutor(count) as threads:
            for future in in_flight(shards, lambda shard: threads.submit(job.score, shard), count):
                yield future.result()


def measure(way: str, count: int, args: argparse.Namespace, store: AbstractStore, folder: Path) -> dict[str, float]:
    hits = tuple(Hit(pmid=pmid, rank=pmid) for pmid in range(1, args.abstracts + 1))
    asked = [Question(id=f"q{i}", text=text) for i, text in enumerate(questions(args.questions))]
    storage = storage_at(folder)
    storage.create()
    plan = plan_run(
        asked,
        [Retrieval(q.id, hits) for q in asked],
        [],
        store,
        lambda ids: ids.is_in([]),
        scoring_key="key",
        shard_pairs=lambda n_new: args.shard_pairs,
        storage=storage,
        name=PLAN,
    )
    job = ScoringJob(
        model=ModelConfig(name=args.model, device=args.device, precision=args.precision, engine="torch"),
        scoring=ScoringConfig(),
        plan=plan.name,
        store_path=store.path,
        root=folder,
        identity=RunIdentity("run", datetime.now(UTC), "key", "model", "revision", "{}", 0.0, 10, False),
    )
    started = time.perf_counter()
    ended = [(time.perf_counter() - started, report.n_windows) for report in scored(way, count, job, list(plan.shards))]
    if len(ended) <= count:
        sys.exit(f"{len(ended)} shards are too few for {count} {way}")
    later = sum(n for _, n in ended[count:])
    return {
        "windows": sum(n for _, n in ended),
        "seconds": ended[-1][0],
        "first_shard_seconds": ended[0][0],
        "windows_per_second": later / (ended[-1][0] - ended[count - 1][0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--abstracts", type=int, default=1400)
    parser.add_argument("--shard-pairs", type=int, default=4096)
    parser.add_argument("--ways", default="threads 1,threads 2,threads 3,processes 2,processes 3")
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        store = AbstractStore(Path(name) / "store")
        values = abstracts(args.abstracts)
        args.abstracts = len(values)
        store.add((Abstract(pmid=i + 1, **a) for i, a in enumerate(values)), origin="benchmark")
        for number, way in enumerate(args.ways.split(",")):
            kind, count = way.split()
            found[way] = measure(kind, int(count), args, store, Path(name) / str(number))
            print(f"{way}: {found[way]['windows_per_second']:,.1f} windows/s", file=sys.stderr, flush=True)
    print(json.dumps({way: {k: round(v, 2) for k, v in values.items()} for way, values in found.items()}))


if __name__ == "__main__":
    main()
