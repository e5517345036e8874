"""How long `current/` takes, and how much memory: a first run, a quiet night, one changed question among many.

    PYTHONPATH=tests nice -n 5 .venv/bin/python tests/benchmarks/bench_current.py [--questions 100000]

Each question has one abstract, and one answer; the changed one gets a second. Each measurement is a fresh process that
holds the questions and the run's answers as a run does; its memory is what the update adds to that. The last line is
JSON: processor seconds and MB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from bioqa_pipeline.abstracts.store import AbstractStore  # noqa: E402
from bioqa_pipeline.dataset.reader import Dataset  # noqa: E402
from bioqa_pipeline.dataset.schemas import AnswerRow, make_shard_id  # noqa: E402
from bioqa_pipeline.dataset.staging import write_staged  # noqa: E402
from bioqa_pipeline.records.texts import Question, Retrieval  # noqa: E402
from bioqa_pipeline.run.current import update_current  # noqa: E402
from bioqa_pipeline.run.records import RunIdentity  # noqa: E402
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest, merged_answer  # noqa: E402

SHARD = 4096
STARTED = datetime(2026, 11, 23, tzinfo=UTC)


def row(number: int, pmid: int, run_id: str) -> AnswerRow:
    asked = {"question_id": f"q{number}", "question": f"Which gene is number {number}?"}
    return answer_row(pmid, n_windows=1, run_id=run_id, rank=1, **asked)


def add_run(root: Path, run_id: str, rows: Sequence[AnswerRow], n_questions: int, pairs: Sequence[AnswerRow]) -> None:
    """A run that scored these rows, asked these pairs and brings `current` up to date; prints what that took."""
    dataset = Dataset(root)
    questions = [Question(f"q{i}", f"Which gene is number {i}?") for i in range(n_questions)]
    retrievals = [Retrieval(question.id, ()) for question in questions]
    answers = [
        merged_answer(
            1,
            **{
                "question_id": question.id,
                "question": question.text,
                "n_abstracts": 2 if run_id == "3" and not i else 1,
            },
            **dict.fromkeys(("support_pmids", "work_pmids"), (i + 1,)),
        )
        for i, question in enumerate(questions)
    ]
    index = {question.id: i for i, question in enumerate(questions)}
    day = STARTED + timedelta(days=int(run_id))
    with dataset.writer(run_id) as writer:
        for start in range(0, len(rows), SHARD):
            part = rows[start : start + SHARD]
            shard = make_shard_id([row.pair_id for row in part])
            write_staged(root, run_id, shard, part, chunk_rows(part), METADATA)
            writer.commit_shard(shard)
        plan, store = f"_staging/{run_id}/plan.parquet", AbstractStore(root.parent / "store")
        (root / plan).parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(
            {"question_index": [index[row.question_id] for row in pairs], "pair_id": [row.pair_id for row in pairs]}
        ).write_parquet(root / plan)
        identity = RunIdentity(run_id, day, "key", "model", "rev", '{"max_answers": 10}', 0.0, 10, is_calibrated=True)
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        current = update_current(identity, dataset, questions, retrievals, plan, store, answers)
        seconds = time.process_time() - began
        added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        writer.finish(manifest(run_id, started_at=day, finished_at=day), [current.file] if current.file else [])
    assert (run_id == "2") == (current.file is None)
    print(json.dumps({"seconds": round(seconds, 1), "added_mb": round(added), "rows": current.rows.height}), flush=True)


def step(root: Path, name: str, n_questions: int) -> None:
    first = [row(i, i + 1, "1") for i in range(n_questions)]
    changed = [row(0, n_questions + 1, "3")] if name == "3" else []
    print({"1": "first", "2": "quiet", "3": "changed"}[name], end=" ", flush=True)
    add_run(root, name, {"1": first, "2": [], "3": changed}[name], n_questions, [*first, *changed])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100_000)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for name in "123":
            process = context.Process(target=step, args=(Path(folder) / "set", name, args.questions))
            process.start()
            process.join()
            assert process.exitcode == 0


if __name__ == "__main__":
    main()
