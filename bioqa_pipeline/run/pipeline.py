"""The stages of the main job, one function each: retrieve, ensure, plan, score a shard, summarise.

Each takes values and paths and leaves its result in the data set or its staging folder, so that any orchestrator, or
none, can run them. Knows nothing about Prefect, terminals or arguments.
"""

from __future__ import annotations

import io
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import AnswerRow, ChunkRow, make_pair_id, make_shard_id
from bioqa_pipeline.dataset.writer import write_staged
from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.qa.merging import Candidate, merge_answers
from bioqa_pipeline.qa.scoring import PairScore, PairScorer
from bioqa_pipeline.qa.windows import char_range
from bioqa_pipeline.records import (
    Abstract,
    FetchStatus,
    MergedAnswer,
    Missing,
    Pair,
    Passage,
    Question,
    Retrieval,
    RetrievalOutcome,
    SpanAnswer,
)
from bioqa_pipeline.sources.base import Source
from bioqa_pipeline.storage.local import Storage, storage_at
from bioqa_pipeline.storage.uri import ObjectUri
from bioqa_pipeline.text import sentences

logger = logging.getLogger(__name__)

Progress = Callable[[float], None]

SUMMARY_PAIRS = 10_000
SHARD_PAIRS_CPU, SHARD_PAIRS_GPU = 256, 4096
SHARD_PAIRS_MIN, SHARD_PAIRS_MAX = 32, 8192
FILES_OF_A_RUN = 4000
# The last shards of a run leave workers idle for part of one.
SHARDS_OF_A_WORKER = 8
# One search waits for PubMed's answer most of its time; so many fill the rate that PubMed allows.
SEARCHES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What every row of a run says of its origin; no row says that it was scored before `started_at`."""

    run_id: str
    started_at: datetime
    scoring_key: str
    model: str
    model_revision: str
    config_json: str


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Pairs that are scored and committed together: row group `row_group` of the plan file."""

    shard_id: str
    row_group: int
    n_pairs: int


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run asks and what of it is new.

    Attributes:
        name: of a Parquet file in the data set's place, one row a pair: question_index, question_id, question, pmid,
            rank, content_hash, is_retracted, pair_id; the new pairs first, one row group a shard, then those that are
            already in the data set.
        missing: the PMIDs that were asked for and have no pair, with the reason.
    """

    name: str
    shards: tuple[ShardPlan, ...]
    n_pairs: int
    n_reused: int
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class FailedPair:
    """A pair that could not be scored; the next run tries it again."""

    question_id: str
    pmid: int
    reason: str


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What scoring one shard came to."""

    shard_id: str
    n_pairs: int
    n_windows: int
    seconds: float
    failed: tuple[FailedPair, ...]


def retrieve(
    questions: Sequence[Question], source: Source, limit: int, *, progress: Progress | None = None
) -> list[Retrieval]:
    """Searches for every question, some at once; one that fails is reported in its `Retrieval`, the others go on."""
    retrievals = []
    with ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="search") as pool:
        searches = [pool.submit(copy_context().run, source.search, question, limit) for question in questions]
        try:
            for question, search in zip(questions, searches, strict=True):
                retrieval = search.result()
                _log_retrieval(question, retrieval)
                retrievals.append(retrieval)
                if progress:
                    progress(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return retrievals


def _log_retrieval(question: Question, retrieval: Retrieval) -> None:
    if retrieval.outcome is not RetrievalOutcome.OK:
        logger.warning("%s (%s): %s", question.text, question.id, retrieval.error or "nothing found")
    for attempt in retrieval.attempts:
        logger.info("%s: %d records: %s", question.id, attempt.count, attempt.translation or attempt.term)


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
) -> RunPlan:
    """Pairs every question with its abstracts and leaves out what the data set holds under the same scoring key.

    A PMID without an abstract, or that could not be had, gets a status in place of pairs.

    Args:
        done: pair ids into (n_pairs,) Boolean, `DatasetWriter.done`.
        shard_pairs: number of new pairs into the pairs of a shard.
        storage: where the plan goes, so that all that score find it.
        name: of the plan there.

    Raises:
        DatasetError: the plan cannot be written (disk full).
    """
    asked = _asked_pairs(questions, retrievals)
    records = store.index(asked["pmid"].unique().to_list())
    statuses = {m.pmid: m for m in missing}
    for pmid in records.filter(~pl.col("has_abstract"))["pmid"]:
        statuses.setdefault(pmid, Missing(pmid, FetchStatus.NO_ABSTRACT, "the record has no abstract"))
    for pmid in asked.join(records, on="pmid", how="anti")["pmid"].unique():
        statuses.setdefault(pmid, Missing(pmid, FetchStatus.NOT_FOUND, "the source has no such record"))

    usable = records.filter(pl.col("has_abstract")).select("pmid", "content_hash", "is_retracted")
    pairs = asked.join(usable, on="pmid", how="inner").sort("question_index", "rank")
    pairs = pairs.with_columns(
        pl.Series(
            "pair_id",
            [
                make_pair_id(question_id, text, pmid, content_hash, scoring_key)
                for question_id, text, pmid, content_hash in pairs.select(
                    "question_id", "question", "pmid", "content_hash"
                ).iter_rows()
            ],
            dtype=pl.String,
        )
    )
    is_done = done(pairs["pair_id"])
    new, reused = pairs.filter(~is_done), pairs.filter(is_done)
    data, shards = _encode_plan(new, reused, shard_pairs(len(new)))
    storage.write(name, data)
    return RunPlan(name=name, shards=shards, n_pairs=len(pairs), n_reused=len(reused), missing=tuple(statuses.values()))


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
    pmids = _scan(storage, plan.name).select("pmid", "is_retracted").unique("pmid").collect()
    unscored = {f.pmid for f in failed}
    statuses = Counter(m.status for m in plan.missing)
    for pmid, is_retracted in pmids.iter_rows():
        scored = FetchStatus.SCORED_RETRACTED if is_retracted else FetchStatus.SCORED
        statuses[FetchStatus.SCORE_ERROR if pmid in unscored else scored] += 1
    return dict(statuses)


def _asked_pairs(questions: Sequence[Question], retrievals: Sequence[Retrieval]) -> pl.DataFrame:
    by_id = {q.id: (i, q) for i, q in enumerate(questions)}
    rows = [
        (by_id[r.question_id][0], r.question_id, by_id[r.question_id][1].text, hit.pmid, hit.rank)
        for r in retrievals
        for hit in r.hits
    ]
    schema = {
        "question_index": pl.Int32,
        "question_id": pl.String,
        "question": pl.String,
        "pmid": pl.Int64,
        "rank": pl.Int32,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").unique(["question_index", "pmid"], keep="first")


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


def _scan(storage: Storage, name: str) -> pl.LazyFrame:
    if storage.scan_options:
        # A plan has a row group a shard: from afar one request for all beats one for each column of each group.
        return pl.scan_parquet(io.BytesIO(storage.read(name)))
    return pl.scan_parquet(storage.uri(name), glob=False)


def planned_pairs(storage: Storage, name: str, shard: ShardPlan, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of one shard of a plan, read without the others."""
    with storage.open(name) as file:
        table = pq.ParquetFile(file).read_row_group(shard.row_group, columns=columns)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)


def score_shard(
    plan: str,
    shard: ShardPlan,
    store: AbstractStore,
    scorer: PairScorer,
    identity: RunIdentity,
    root: Path | ObjectUri,
    *,
    progress: Progress | None = None,
) -> ShardReport:
    """Scores one shard of the plan of this name below `root` and stages its rows there; the caller commits them.

    A pair with logits that are not finite, or whose record changed since the plan, is left out and named in the report.

    Args:
        progress: called batch by batch with what was done, in pairs.

    Raises:
        ShardError: not one pair of the shard could be scored, or its rows could not be written.
    """
    started = time.perf_counter()
    try:
        storage = storage_at(root)
        pairs, failed = _load_pairs(planned_pairs(storage, plan, shard), store)
        scored, unscorable = _score_pairs(pairs, scorer, progress)
        failed += unscorable
        if not scored:
            raise ShardError(
                f"none of {shard.n_pairs} pairs could be scored: {failed[0].reason}", shard_id=shard.shard_id
            )
        now = max(datetime.now(UTC), identity.started_at)
        answers = [_answer_row(pair, score, scorer, identity, now) for pair, score in scored]
        chunks = [row for pair, score in scored for row in _chunk_rows(pair, score, scorer, identity)]
        write_staged(storage, identity.run_id, shard.shard_id, answers, chunks, {"config": identity.config_json})
    except ShardError:
        raise
    except Exception as exc:
        raise ShardError(f"{type(exc).__name__}: {exc}", shard_id=shard.shard_id) from exc
    seconds = time.perf_counter() - started
    n_windows = len(chunks)
    logger.info(
        "shard %s: %d pairs, %d windows, %.1f windows/s, %d failed",
        shard.shard_id[:12],
        len(scored),
        n_windows,
        n_windows / seconds,
        len(failed),
    )
    return ShardReport(
        shard_id=shard.shard_id, n_pairs=len(scored), n_windows=n_windows, seconds=seconds, failed=tuple(failed)
    )


def _load_pairs(table: pl.DataFrame, store: AbstractStore) -> tuple[list[Pair], list[FailedPair]]:
    abstracts = {a.pmid: a for a in store.get(table["pmid"].unique(maintain_order=True).to_list())}
    pairs, failed = [], []
    for row in table.iter_rows(named=True):
        abstract = abstracts.get(row["pmid"])
        if abstract is None or abstract.content_hash != row["content_hash"]:
            reason = "the record changed in the abstract store since the run was planned"
            failed.append(FailedPair(row["question_id"], row["pmid"], reason))
            continue
        question = Question(id=row["question_id"], text=row["question"])
        pairs.append(Pair(question=question, abstract=abstract, rank=row["rank"], pair_id=row["pair_id"]))
    return pairs, failed


def _score_pairs(
    pairs: Sequence[Pair], scorer: PairScorer, progress: Progress | None
) -> tuple[list[tuple[Pair, PairScore]], list[FailedPair]]:
    """Together; where a logit is not finite, one by one, so that the poisoned pair alone is lost."""
    asked = [(p.question.text, Passage(id=str(p.abstract.pmid), text=p.abstract.text)) for p in pairs]
    try:
        return list(zip(pairs, scorer.score(asked, progress=progress), strict=True)), []
    except FloatingPointError:
        logger.warning("a logit is not finite: scoring the %d pairs of the shard one by one", len(pairs))
    scored, failed = [], []
    for pair, question in zip(pairs, asked, strict=True):
        try:
            scored.append((pair, scorer.score([question], progress=progress)[0]))
        except FloatingPointError as exc:
            failed.append(FailedPair(pair.question.id, pair.abstract.pmid, str(exc)))
    return scored, failed


def _answer_row(
    pair: Pair, score: PairScore, scorer: PairScorer, identity: RunIdentity, scored_at: datetime
) -> AnswerRow:
    abstract, answer = pair.abstract, score.answer
    best = answer.best
    accepted = best if answer.is_answerable else None
    evidence = _evidence(abstract, best)
    return AnswerRow(
        pair_id=pair.pair_id,
        question_id=pair.question.id,
        question=pair.question.text,
        pmid=abstract.pmid,
        pmid_version=abstract.version,
        title=abstract.title,
        journal=abstract.journal,
        pub_date=abstract.pub_date,
        pub_year=int(abstract.pub_date[:4]) if abstract.pub_date else None,
        doi=abstract.doi,
        is_retracted=abstract.is_retracted,
        rank=pair.rank,
        answer=accepted.text if accepted else None,
        answer_start=accepted.start if accepted else None,
        answer_end=accepted.end if accepted else None,
        evidence=abstract.text[evidence[0] : evidence[1]] if evidence else None,
        evidence_start=evidence[0] if evidence else None,
        evidence_end=evidence[1] if evidence else None,
        n_windows=answer.n_windows,
        span_score=best.score if best else None,
        null_score=answer.null_score,
        score_diff=answer.score_diff if best else None,
        span_log_prob=best.log_prob if best else None,
        null_log_prob=answer.null_log_prob,
        margin=answer.margin if best else None,
        answerability=answer.answerability,
        threshold=scorer.threshold,
        is_answerable=answer.is_answerable,
        n_best=answer.n_best,
        content_hash=abstract.content_hash,
        scoring_key=identity.scoring_key,
        model=identity.model,
        model_revision=identity.model_revision,
        run_id=identity.run_id,
        scored_at=scored_at,
    )


def _evidence(abstract: Abstract, span: SpanAnswer | None) -> tuple[int, int] | None:
    """The sentences that the span touches, as one range; nearly always one."""
    if span is None:
        return None
    touched = [(a, b) for a, b in sentences(abstract.text) if a < span.end and span.start < b]
    if not touched:
        return span.start, span.end
    return min(touched[0][0], span.start), max(touched[-1][1], span.end)


def _chunk_rows(pair: Pair, score: PairScore, scorer: PairScorer, identity: RunIdentity) -> Iterator[ChunkRow]:
    text, tokens = pair.abstract.text, score.passage_tokens
    for window, said in zip(score.windows, score.scores, strict=True):
        empty = window.token_start == window.token_end
        start, end = (0, 0) if empty else char_range(text, tokens, window.token_start, window.token_end - 1)
        best = said.best
        whole = scorer.config.spans.whole_words
        best_range = (
            char_range(text, tokens, best.token_start, best.token_end, whole_words=whole) if best else (None, None)
        )
        yield ChunkRow(
            pair_id=pair.pair_id,
            question_id=pair.question.id,
            pmid=pair.abstract.pmid,
            window_index=window.index,
            n_windows=window.n_windows,
            char_start=start,
            char_end=end,
            n_tokens=len(window),
            null_score=said.null_score,
            null_log_prob=said.null_log_prob,
            best_start=best_range[0],
            best_end=best_range[1],
            span_score=best.score if best else None,
            span_log_prob=best.log_prob if best else None,
            span_logsumexp=said.span_logsumexp if best else None,
            margin=said.margin if best else None,
            run_id=identity.run_id,
            scoring_key=identity.scoring_key,
        )


def summarise(
    questions: Sequence[Question], plan: str, dataset: Dataset, *, threshold: float, max_answers: int
) -> list[MergedAnswer]:
    """Merges this run's view of the data set, reused pairs included, into ranked answers, question by question.

    Whether a pair is answerable is decided anew with `threshold`: a reused row may have been written with another.
    """
    asked = _scan(dataset.storage, plan).select("question_index", "pair_id")
    sizes = dict(asked.group_by("question_index").len().collect().iter_rows())
    merged: list[MergedAnswer] = []
    best_pairs: list[str | None] = []
    for some in _question_batches(len(questions), sizes):
        wanted = asked.filter(pl.col("question_index").is_in(some)).collect().lazy()
        found = _best_answers(dataset).join(wanted, on="pair_id", how="inner").collect(engine="streaming")
        by_question = found.partition_by("question_index", as_dict=True)
        for index in some:
            rows = by_question.get((index,), found.clear())
            answers = merge_answers(questions[index], _candidates(rows, threshold), limit=max_answers)
            pairs = dict(
                rows.filter(pl.col("pmid").is_in([a.best_pmid for a in answers])).select("pmid", "pair_id").rows()
            )
            merged += answers
            best_pairs += [None if a.best_pmid is None else pairs[a.best_pmid] for a in answers]
    evidence = _evidence_of(dataset, [pair for pair in best_pairs if pair is not None])
    return [
        answer if pair is None else replace(answer, evidence=evidence[pair])
        for answer, pair in zip(merged, best_pairs, strict=True)
    ]


def _best_answers(dataset: Dataset) -> pl.LazyFrame:
    columns = ["pair_id", "pmid", "margin", "answerability", "score_diff", "is_retracted"]
    return dataset.answers().select(*columns, answer=pl.col("n_best").list.first().struct.field("text"))


def _evidence_of(dataset: Dataset, pair_ids: Sequence[str]) -> dict[str, str | None]:
    """Read for the few best pairs only: it is most of what an answer weighs."""
    rows = dataset.answers().select("pair_id", "evidence").filter(pl.col("pair_id").is_in(pair_ids))
    return dict(rows.collect(engine="streaming").rows())


def _question_batches(n_questions: int, sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """Question indices in order, as many together as have some 10,000 pairs: few scans, little memory."""
    some: list[int] = []
    for index in range(n_questions):
        some.append(index)
        if sum(sizes.get(i, 0) for i in some) >= SUMMARY_PAIRS:
            yield some
            some = []
    if some:
        yield some


def _candidates(rows: pl.DataFrame, threshold: float) -> Iterator[Candidate]:
    columns = ("pmid", "answer", "margin", "answerability", "score_diff", "is_retracted")
    for pmid, answer, margin, answerability, score_diff, is_retracted in rows.select(columns).iter_rows():
        yield Candidate(
            pmid=pmid,
            answer=answer if score_diff is not None and score_diff <= threshold else None,
            margin=float("-inf") if margin is None else margin,
            answerability=answerability,
            is_retracted=is_retracted,
        )
