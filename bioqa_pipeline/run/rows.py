"""Scored (question, abstract) pairs into the tables `answers` and `chunks`, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS
from bioqa_pipeline.dataset.tables import arrow_column, columns_to_table
from bioqa_pipeline.qa.scoring import PairScorer, PairScores
from bioqa_pipeline.records.scores import Places
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.run.records import RunIdentity
from bioqa_pipeline.text import sentences

MOST_AUTHORS = 10
# Of so many texts the sentences are kept, beside their tokens.
KNOWN_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class AskedPairs:
    """Cells of the (question, abstract) matrix, with their retrieval ranks in this run.

    Attributes:
        rows: pair_id, question_id, question, user_columns, pmid, rank, content_hash; as in a plan.
        abstracts: each once.
        read: (n_pairs,) which of them each pair reads.
    """

    rows: pl.DataFrame
    abstracts: tuple[Abstract, ...]
    read: Places

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Sequence[int]) -> AskedPairs:
        """Some of the pairs."""
        return AskedPairs(self.rows[list(places)], self.abstracts, self.read[np.array(places, dtype=np.int64)])


# Columns of `answers` that are fields of the record, and those that follow from it.
_FIELDS = ("title", "journal", "pub_date", "doi", "is_retracted", "publication_types", "mesh_terms", "languages")
_DATES, _NOTICES = ("pub_year", "print_date", "electronic_date"), ("expressions_of_concern", "errata")
_MADE = ("pmid_version", *_DATES, *_NOTICES, "authors", "retraction")
_fields_of = attrgetter(*_FIELDS)
_OF_RUN = ("scoring_key", "model", "model_revision", "run_id")
_OF_PLAN = ("pair_id", "question_id", "question", "user_columns", "pmid", "rank", "content_hash")


def _of_abstract(abstract: Abstract) -> tuple[Any, ...]:
    """What is the same for every question that an abstract is asked, in the order of `_FIELDS` and `_MADE`."""
    return (
        *_fields_of(abstract),
        abstract.version,
        int(abstract.pub_date[:4]) if abstract.pub_date else None,
        abstract.print_date or None,
        abstract.electronic_date or None,
        abstract.expressions_of_concern,
        abstract.errata,
        _authors(abstract.authors),
        abstract.retraction,
    )


def answer_table(
    pairs: AskedPairs,
    scored: PairScores,
    scorer: PairScorer,
    identity: RunIdentity,
    scored_at: datetime | Sequence[datetime],
) -> pa.Table:
    """The rows of `answers`.

    Args:
        scored_at: of all pairs, or of each.
    """
    answers, best = scored.answers, scored.answers.n_best
    has_best, first = np.diff(best.first) > 0, best.first[:-1]
    of_abstracts = zip(*map(_of_abstract, pairs.abstracts), strict=True)
    passages = [a.passage_text(scorer.config.passage) for a in pairs.abstracts]
    start, end = (_first_of(values, best.first) for values in (best.start, best.end))
    evidence = _evidence(passages, pairs.read, start, end)
    places = zip(pairs.read.tolist(), *(side.tolist() for side in evidence), has_best.tolist(), strict=True)
    accepted = zip(first.tolist(), answers.is_answerable.tolist(), strict=True)
    read = pa.array(pairs.read)
    columns: dict[str, Any] = {
        **{name: pairs.rows[name].to_arrow() for name in _OF_PLAN},
        **{
            name: arrow_column(values, name, ANSWERS).take(read)
            for name, values in zip((*_FIELDS, *_MADE), of_abstracts, strict=True)
        },
        "answer": [best.texts[i] if kept else None for i, kept in accepted],
        "answer_start": _where(answers.is_answerable, start),
        "answer_end": _where(answers.is_answerable, end),
        "evidence": [passages[i][a:b] if there else None for i, a, b, there in places],
        "evidence_start": _where(has_best, evidence[0]),
        "evidence_end": _where(has_best, evidence[1]),
        "n_windows": answers.n_windows,
        "span_score": _where(has_best, _first_of(best.score, best.first)),
        "null_score": answers.null_score,
        "score_diff": answers.score_diff,
        "span_log_prob": _where(has_best, _first_of(best.log_prob, best.first)),
        "null_log_prob": answers.null_log_prob,
        "margin": _where(has_best, answers.margin),
        "answerability": answers.answerability or [None] * len(pairs),
        "is_answerable": answers.is_answerable,
        "n_best": _n_best(scored),
        "scored_at": [scored_at] * len(pairs) if isinstance(scored_at, datetime) else scored_at,
    }
    columns |= {name: [getattr(identity, name)] * len(pairs) for name in _OF_RUN}
    columns |= {"threshold": [scorer.threshold] * len(pairs), "passage": [scorer.config.passage] * len(pairs)}
    return columns_to_table(columns, ANSWERS)


def chunk_table(pairs: AskedPairs, scored: PairScores, spans: SpanConfig, identity: RunIdentity) -> pa.Table:
    """The rows of `chunks`: every window of these pairs."""
    windows, said, ranges = scored.windows, scored.scores, scored.ranges
    text = scored.read[windows.pair]
    best, has_best = said.scores[:, 0], said.scores[:, 0] > -np.inf
    char_start, char_end, best_start, best_end = np.zeros((4, len(windows)), dtype=np.int64)
    some = np.flatnonzero(windows.token_start < windows.token_end)
    whole = text[some], windows.token_start[some], windows.token_end[some] - 1
    char_start[some], char_end[some] = ranges.of(*whole, whole_words=False)
    some = np.flatnonzero(has_best)
    within = text[some], said.starts[some, 0], said.ends[some, 0]
    best_start[some], best_end[some] = ranges.of(*within, whole_words=spans.whole_words)
    of_pair = pa.array(windows.pair)
    columns: dict[str, Any] = {
        **{name: pairs.rows[name].to_arrow().take(of_pair) for name in ("pair_id", "question_id", "pmid")},
        "window_index": windows.index,
        "n_windows": windows.n_windows,
        "char_start": char_start,
        "char_end": char_end,
        "n_tokens": windows.lengths,
        "null_score": said.null_score,
        "null_log_prob": said.null_log_prob,
        "best_start": _where(has_best, best_start),
        "best_end": _where(has_best, best_end),
        "span_score": _where(has_best, best),
        "span_log_prob": _where(has_best, said.log_probs[:, 0]),
        "span_logsumexp": _where(has_best, said.span_logsumexp),
        "margin": _where(has_best, said.margin),
        "run_id": [identity.run_id] * len(windows),
        "scoring_key": [identity.scoring_key] * len(windows),
    }
    return columns_to_table(columns, CHUNKS)


def _where(there: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values, masked where there is none."""
    return np.ma.masked_array(values, mask=~there)


def _first_of(values: npt.NDArray[Any], first: Places) -> npt.NDArray[Any]:
    """For each pair the first of its values; anything for a pair without one."""
    return np.append(values, 0)[np.minimum(first[:-1], len(values))]


def _n_best(scored: PairScores) -> pa.Array:
    spans, kind = scored.answers.n_best, ANSWERS.schema.field("n_best").type
    values = {"text": spans.texts, "start": spans.start, "end": spans.end, "score": spans.score}
    values["log_prob"] = spans.log_prob
    fields = list(kind.value_type)
    structs = pa.StructArray.from_arrays([arrow_column(values[f.name], f, ANSWERS) for f in fields], fields=fields)
    return pa.ListArray.from_arrays(pa.array(spans.first, pa.int32()), structs, type=kind)


def _authors(names: tuple[str, ...]) -> tuple[str, ...]:
    """Some records have thousands, and a record is in as many rows as questions found it."""
    return names if len(names) <= MOST_AUTHORS else (*names[:MOST_AUTHORS], "et al.")


def _evidence(passages: Sequence[str], read: Places, start: Places, end: Places) -> tuple[Places, Places]:
    """The sentences that each span touches, as one range; nearly always one."""
    # All passages behind each other.
    lengths = np.array([len(text) + 1 for text in passages], dtype=np.int64)
    base = np.cumsum(lengths) - lengths
    bounds = [_sentence_bounds(text) + first for text, first in zip(passages, base, strict=True)]
    starts, ends = np.concatenate([np.zeros((2, 0), dtype=np.int64), *bounds], axis=1)
    first = np.searchsorted(ends, base[read] + start, side="right")
    last = np.searchsorted(starts, base[read] + end, side="left") - 1
    touches = first <= last
    touched_start = np.append(starts, 0)[np.where(touches, first, 0)] - base[read]
    touched_end = np.append(ends, 0)[np.where(touches, last, 0)] - base[read]
    return (
        np.where(touches, np.minimum(touched_start, start), start),
        np.where(touches, np.maximum(touched_end, end), end),
    )


@lru_cache(maxsize=KNOWN_TEXTS)
def _sentence_bounds(text: str) -> Places:
    return np.array(sentences(text), dtype=np.int64).reshape(-1, 2).T
