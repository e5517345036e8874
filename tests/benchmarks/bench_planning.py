"""How long a scheduled re-run takes to find its new pairs, and how much memory: 1,000 new among a million old ones.

    nice -n 5 .venv/bin/python tests/benchmarks/bench_planning.py [--pairs 1000000] [--shard 500] [--rounds 5]

Each measurement is a fresh process. `plan_run` is the planning of a run, from search results to the plan file; `writer`
its part that makes the pair ids and asks the data set; `python-set` does that part the plain way, with the column read
by pyarrow into a Python set. The last line is JSON: medians over the rounds of the seconds spent planning, on the
clock and of processor time (on a machine that does other work too, the second is the one to compare), and of the peak
RSS in MB of the whole process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import ANSWERS, AnswerRow, make_pair_id, make_shard_id
from bioqa_pipeline.dataset.tables import encode, to_table
from bioqa_pipeline.records.scores import SpanAnswer
from bioqa_pipeline.records.texts import Abstract, Hit, Question, Retrieval, content_digest
from bioqa_pipeline.run.plan import plan_run
from bioqa_pipeline.storage.local import LocalStorage

NEW_PAIRS = 1_000
ABSTRACTS_PER_QUESTION = 1_000
SCORING_KEY = content_digest("key")


def question(number: int) -> Question:
    return Question(id=f"q-{number:010d}", text=f"Which gene is mutated in disease number {number}?")


def abstract(pmid: int) -> Abstract:
    return Abstract(pmid=pmid, title=f"Title {pmid}", text=f"Text of the abstract {pmid}.")


def pair_ids(count: int) -> list[str]:
    """Ids of the first `count` pairs: each question is asked of the same abstracts."""
    abstracts = [(a.pmid, a.content_hash) for a in map(abstract, range(1, ABSTRACTS_PER_QUESTION + 1))]
    questions = [question(number) for number in range(-(-count // ABSTRACTS_PER_QUESTION))]
    ids = (make_pair_id(q.id, q.text, pmid, digest, SCORING_KEY) for q in questions for pmid, digest in abstracts)
    return list(itertools.islice(ids, count))


def build(root: Path, ids: list[str], shard: int) -> None:
    """A data set of these pairs; the files are those of real commits, the texts repeat."""
    (root / "answers").mkdir(parents=True)
    template = to_table([_row(rank) for rank in range(1, shard + 1)], ANSWERS)
    for start in range(0, len(ids), shard):
        part = ids[start : start + shard]
        table = template.slice(0, len(part)).set_column(0, ANSWERS.schema.field(0), pa.array(part))
        (root / "answers" / f"{make_shard_id(part)}.parquet").write_bytes(encode(table, ANSWERS, {"config": "{}"}))


def plan_with_writer(root: Path, pairs: int) -> int:
    with Dataset(root).writer(f"plan-{time.time_ns()}") as writer:
        return int((~writer.done(pair_ids(pairs))).sum())


def plan_with_set(root: Path, pairs: int) -> int:
    column = pads.dataset(root / "answers", format="parquet").to_table(columns=["pair_id"])["pair_id"]
    committed = set(column.to_pylist())
    return sum(i not in committed for i in pair_ids(pairs))


def plan_with_plan_run(root: Path, pairs: int) -> int:
    questions = [question(number) for number in range(pairs // ABSTRACTS_PER_QUESTION)]
    hits = tuple(Hit(pmid, pmid) for pmid in range(1, ABSTRACTS_PER_QUESTION + 1))
    retrievals = [Retrieval(q.id, hits) for q in questions]
    store = AbstractStore(root.with_name("store"))
    store.add(map(abstract, range(1, ABSTRACTS_PER_QUESTION + 1)), origin="benchmark")
    with Dataset(root).writer(f"plan-{time.time_ns()}") as writer:
        plan = plan_run(
            questions,
            retrievals,
            [],
            store,
            writer.done,
            scoring_key=SCORING_KEY,
            shard_pairs=lambda n_new: 500,
            storage=LocalStorage(root.parent),
            name="plan.parquet",
        )
    return plan.n_pairs - plan.n_reused


PLANNERS = {"plan_run": plan_with_plan_run, "writer": plan_with_writer, "python-set": plan_with_set}


def measure(planner: str, root: Path, pairs: int) -> dict[str, float]:
    """One fresh process."""
    command = [sys.executable, __file__, "--child", planner, "--root", str(root), "--pairs", str(pairs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def child(planner: str, root: Path, pairs: int) -> None:
    started, started_cpu = time.perf_counter(), time.process_time()
    found = PLANNERS[planner](root, pairs + NEW_PAIRS)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    if found != NEW_PAIRS:
        raise SystemExit(f"{planner} found {found} new pairs, not {NEW_PAIRS}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"plan_seconds": seconds, "cpu_seconds": cpu_seconds, "peak_rss_mb": peak}))


def _row(rank: int) -> AnswerRow:
    text = content_digest("title", str(rank))
    return AnswerRow(
        pair_id=text,
        question_id=question(0).id,
        question=question(0).text,
        pmid=10_000_000 + rank,
        pmid_version=1,
        title=f"{text} {text[::-1]}",
        journal="Journal of examples",
        pub_date="2020-01",
        pub_year=2020,
        doi=f"10.1000/{text[:8]}",
        is_retracted=False,
        rank=rank,
        answer=None,
        answer_start=None,
        answer_end=None,
        evidence=None,
        evidence_start=None,
        evidence_end=None,
        n_windows=1,
        span_score=rank / 7,
        null_score=rank / 3,
        score_diff=rank / 3 - rank / 7,
        span_log_prob=-rank / 7,
        null_log_prob=-rank / 3,
        margin=-rank / 5,
        answerability=1 / (1 + rank),
        threshold=0.0,
        is_answerable=False,
        n_best=tuple(SpanAnswer(text[k:], k, k + 9, rank / 7 - k, -rank / 7 - k, 0) for k in range(5)),
        content_hash=text,
        scoring_key=SCORING_KEY,
        model="model",
        model_revision="revision",
        run_id="run",
        scored_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", choices=sorted(PLANNERS), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.root, args.pairs)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "dataset"
        started = time.perf_counter()
        build(root, pair_ids(args.pairs), args.shard)
        print(
            f"data set of {args.pairs:,} pairs in {-(-args.pairs // args.shard):,} files: "
            f"{time.perf_counter() - started:.0f} s to build"
        )
        rounds = [{name: measure(name, root, args.pairs) for name in PLANNERS} for _ in range(args.rounds)]
    medians = {
        name: {key: round(statistics.median(r[name][key] for r in rounds), 3) for key in rounds[0][name]}
        for name in PLANNERS
    }
    for name, values in medians.items():
        print(f"{name:>12}: " + ", ".join(f"{key} {value:,.2f}" for key, value in values.items()))
    ratio = medians["python-set"]["cpu_seconds"] / medians["writer"]["cpu_seconds"]
    print(
        json.dumps(
            {
                "pairs": args.pairs,
                "new_pairs": NEW_PAIRS,
                "shard": args.shard,
                "rounds": args.rounds,
                "medians": medians,
                "set_to_writer_cpu_seconds": round(ratio, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
