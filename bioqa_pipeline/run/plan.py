"""Ranked PMIDs into the plan of a run: its (question, abstract) pairs, which of them are new, and their shards.

A plan is a Parquet file in the data set's staging, so that whoever scores finds it; one row group a shard.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.schemas import make_pair_id, make_shard_id
from bioqa_pipeline.records.texts import FetchStatus, Missing, PassageKind, Question, Retrieval
from bioqa_pipeline.run.records import FailedPair, RunPlan, ShardPlan
from bioqa_pipeline.storage.base import Storage

SHARD_PAIRS_CPU, SHARD_PAIRS_GPU = 256, 4096
SHARD_PAIRS_MIN, SHARD_PAIRS_MAX = 32, 8192
FILES_OF_A_RUN = 4000
# The last shards of a run leave workers idle for part of one.
SHARDS_OF_A_WORKER = 8


def plan_run(
    questions: Sequence[Question],
    retrievals: Sequence[Retrieval],
    missing: Iterable[Missing],
    store: AbstractStore,
    done: Callable[[pl.Series], pl.Series],
    *,
    scoring_key: str,
    shard_pairs: Callable[[int], int],
    storage: Storage,
    name: str,
    passage: PassageKind = "abstract",
) -> RunPlan:
    """Pairs every question with its abstracts and leaves out what the data set holds under the same scoring key.

    A PMID without an abstract, or that could not be had, gets a status in place of pairs.

    Args:
        done: pair ids into (n_pairs,) Boolean, `DatasetWriter.done`.
        shard_pairs: number of new pairs into the pairs of a shard.
        storage: where the plan goes, so that all that score find it.
        name: of the plan there.
        passage: what is asked of a record.

    Raises:
        DatasetError: the plan cannot be written (disk full).
    """
    asked = _asked_pairs(questions, retrievals)
    records = store.index(asked["pmid"].unique().to_list())
    if passage != "abstract":
        records = _with_titles(records, store)
    statuses = {m.pmid: m for m in missing}
    for pmid in records.filter(~pl.col("has_abstract"))["pmid"]:
        statuses.setdefault(pmid, Missing(pmid, FetchStatus.NO_ABSTRACT, "the record has no abstract"))
    for pmid in asked.join(records, on="pmid", how="anti")["pmid"].unique():
        statuses.setdefault(pmid, Missing(pmid, FetchStatus.NOT_FOUND, "the source has no such record"))

    left_out = [pmid for pmid, m in statuses.items() if m.status is FetchStatus.FILTERED]
    usable = records.filter("has_abstract", ~pl.col("pmid").is_in(left_out)).select(
        "pmid", "content_hash", "is_retracted"
    )
    pairs = asked.join(usable, on="pmid", how="inner").sort("question_index", "rank")
    identity = pairs.select("question_id", "question", "pmid", "content_hash").iter_rows()
    pair_ids = [make_pair_id(q_id, text, pmid, digest, scoring_key) for q_id, text, pmid, digest in identity]
    pairs = pairs.with_columns(pl.Series("pair_id", pair_ids, dtype=pl.String))
    is_done = done(pairs["pair_id"])
    new, reused = pairs.filter(~is_done), pairs.filter(is_done)
    data, shards = _encode_plan(new, reused, shard_pairs(len(new)))
    storage.write(name, data)
    return RunPlan(
        name=name,
        shards=shards,
        n_pairs=len(pairs),
        n_reused=len(reused),
        missing=tuple(statuses.values()),
        n_records=asked["pmid"].n_unique(),
    )


def _with_titles(records: pl.DataFrame, store: AbstractStore) -> pl.DataFrame:
    """The index of a store with the records that have at least a title as those that can be asked."""
    bare = records.filter(~pl.col("has_abstract"))["pmid"].to_list()
    titled = [record.pmid for record in store.get(bare) if record.title]
    return records.with_columns(pl.col("has_abstract") | pl.col("pmid").is_in(titled))


def automatic_shard_pairs(n_new: int, *, on_gpu: bool, n_workers: int) -> int:
    """Pairs of a shard: committing it should cost next to nothing, a kill little, and no worker should be idle.

    About 20 s of a CPU or a few of a GPU; in long runs more, so that readers find some thousands of files and not a
    million.
    """
    enough = SHARD_PAIRS_GPU if on_gpu else SHARD_PAIRS_CPU
    pairs = min(max(enough, n_new // FILES_OF_A_RUN), max(enough, SHARD_PAIRS_MAX))
    if n_workers > 1:
        pairs = min(pairs, max(SHARD_PAIRS_MIN, n_new // (SHARDS_OF_A_WORKER * n_workers)))
    return pairs


def count_statuses(plan: RunPlan, storage: Storage, failed: Iterable[FailedPair]) -> dict[FetchStatus, int]:
    """How many of the distinct PMIDs asked for ended how; each ends in exactly one status."""
    pmids = scan_plan(storage, plan.name).select("pmid", "is_retracted").unique("pmid").collect()
    unscored = {f.pmid for f in failed}
    statuses = Counter(m.status for m in plan.missing)
    for pmid, is_retracted in pmids.iter_rows():
        scored = FetchStatus.SCORED_RETRACTED if is_retracted else FetchStatus.SCORED
        statuses[FetchStatus.SCORE_ERROR if pmid in unscored else scored] += 1
    return dict(statuses)


def _asked_pairs(questions: Sequence[Question], retrievals: Sequence[Retrieval]) -> pl.DataFrame:
    by_id = {q.id: (i, q) for i, q in enumerate(questions)}
    rows = [
        (by_id[r.question_id][0], *_identity(by_id[r.question_id][1]), hit.pmid, hit.rank)
        for r in retrievals
        for hit in r.hits
    ]
    schema = {
        "question_index": pl.Int32,
        "question_id": pl.String,
        "question": pl.String,
        "user_columns": pl.String,
        "pmid": pl.Int64,
        "rank": pl.Int32,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").unique(["question_index", "pmid"], keep="first")


def _identity(question: Question) -> tuple[str, str, str | None]:
    return question.id, question.text, question.user_columns


def _encode_plan(new: pl.DataFrame, reused: pl.DataFrame, shard_pairs: int) -> tuple[memoryview, tuple[ShardPlan, ...]]:
    schema = new.to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    shards: list[ShardPlan] = []
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema) as writer:
        for start in range(0, len(new), shard_pairs):
            part = new.slice(start, shard_pairs)
            shard_id = make_shard_id(part["pair_id"].to_list())
            shards.append(ShardPlan(shard_id=shard_id, row_group=len(shards), n_pairs=len(part)))
            writer.write_table(_arrow(part, schema), row_group_size=len(part))
        if len(reused):
            writer.write_table(_arrow(reused, schema))
    return memoryview(sink.getvalue()), tuple(shards)


def scan_plan(storage: Storage, name: str) -> pl.LazyFrame:
    if storage.scan_options:
        # A plan has a row group a shard: from afar one request for all beats one for each column of each group.
        return pl.scan_parquet(io.BytesIO(storage.read(name)))
    return pl.scan_parquet(storage.uri(name), glob=False)


def planned_pairs(storage: Storage, name: str, shard: ShardPlan, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of one shard of a plan, read without the others."""
    with storage.open(name) as file:
        table = pq.ParquetFile(file).read_row_group(shard.row_group, columns=columns)
    return pl.DataFrame(table)


def _arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)


def lost_pairs(plan: RunPlan, storage: Storage, shard: ShardPlan, reason: str) -> list[FailedPair]:
    """The pairs of a shard that failed as a whole."""
    pairs = planned_pairs(storage, plan.name, shard, ["question_id", "pmid"])
    return [FailedPair(question_id, pmid, reason) for question_id, pmid in pairs.iter_rows()]
