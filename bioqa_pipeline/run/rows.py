"""A scored (question, abstract) pair into the rows of `answers` and `chunks`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bioqa_pipeline.dataset.schemas import AnswerRow, ChunkRow
from bioqa_pipeline.qa.scoring import PairScore, PairScorer
from bioqa_pipeline.qa.windows import char_range
from bioqa_pipeline.records.scores import Pair, SpanAnswer
from bioqa_pipeline.run.records import RunIdentity
from bioqa_pipeline.text import sentences

MOST_AUTHORS = 10


def answer_row(
    pair: Pair, score: PairScore, scorer: PairScorer, identity: RunIdentity, scored_at: datetime
) -> AnswerRow:
    abstract, answer = pair.abstract, score.answer
    best = answer.best
    accepted = best if answer.is_answerable else None
    kind = scorer.config.passage
    text = abstract.passage_text(kind)
    evidence = _evidence(text, best)
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
        evidence=text[evidence[0] : evidence[1]] if evidence else None,
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
        passage=kind,
        print_date=abstract.print_date or None,
        electronic_date=abstract.electronic_date or None,
        publication_types=abstract.publication_types,
        mesh_terms=abstract.mesh_terms,
        languages=abstract.languages,
        expressions_of_concern=abstract.expressions_of_concern,
        errata=abstract.errata,
        user_columns=pair.question.user_columns,
        authors=_authors(abstract.authors),
    )


def _authors(names: tuple[str, ...]) -> tuple[str, ...]:
    """Some records have thousands, and a record is in as many rows as questions found it."""
    return names if len(names) <= MOST_AUTHORS else (*names[:MOST_AUTHORS], "et al.")


def _evidence(text: str, span: SpanAnswer | None) -> tuple[int, int] | None:
    """The sentences that the span touches, as one range; nearly always one."""
    if span is None:
        return None
    touched = [(a, b) for a, b in sentences(text) if a < span.end and span.start < b]
    if not touched:
        return span.start, span.end
    return min(touched[0][0], span.start), max(touched[-1][1], span.end)


def chunk_rows(pair: Pair, score: PairScore, scorer: PairScorer, identity: RunIdentity) -> Iterator[ChunkRow]:
    text, tokens = pair.abstract.passage_text(scorer.config.passage), score.passage_tokens
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
