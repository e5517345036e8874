"""Scoring as it was before it was done in arrays: one object a window, a span and a row, one test of a character at a
time. Slow, and the same to the last bit; sums of exponentials are float64's.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.dataset.schemas import AnswerRow, ChunkRow
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.records.scores import FloatArray, PassageAnswer, SpanAnswer, TokenizedText, Window
from bioqa_pipeline.records.texts import Abstract, Passage
from bioqa_pipeline.run.records import RunIdentity
from bioqa_pipeline.text import sentences
from support.windows import Span, WindowScore

BoolArray = npt.NDArray[np.bool_]


def decode(
    start_logits: FloatArray, end_logits: FloatArray, windows: Sequence[Window], config: SpanConfig
) -> list[WindowScore]:
    length = start_logits.shape[1]
    positions = np.arange(length)
    columns = _window_columns(windows)
    real = positions < columns[:, 0, None]
    log_normaliser = _logsumexp(start_logits, real) + _logsumexp(end_logits, real)
    null_score = start_logits[:, 0] + end_logits[:, 0]

    band = _span_band(start_logits, end_logits, columns, config.max_answer_length)
    flat = band.reshape(len(windows), -1)
    span_logsumexp = _logsumexp(flat, np.isfinite(flat))
    starts, ends, scores = _top_spans(band, config.n_best)
    log_probs = scores - log_normaliser[:, None]
    numbers = (null_score, null_score - log_normaliser, span_logsumexp, span_logsumexp - null_score)
    found = []
    for row, window in enumerate(windows):
        shift = window.token_start - window.passage_offset
        spans = tuple(
            Span(window.index, int(a) + shift, int(b) + shift, float(s), float(p))
            for a, b, s, p in zip(starts[row], ends[row], scores[row], log_probs[row], strict=True)
            if s > -np.inf
        )
        found.append(WindowScore(*(float(n[row]) for n in numbers), spans[0] if spans else None, spans))
    return found


def _window_columns(windows: Sequence[Window]) -> npt.NDArray[np.int64]:
    """(n_windows, 4) columns of `input_ids`: a window's length, the first and the end of its max-context range, the end
    of its passage."""
    # The passage token t of a window stands at t - token_start + passage_offset.
    return np.array(
        [
            (len(w), w.context_start + shift, w.context_end + shift, w.token_end + shift)
            for w in windows
            for shift in (w.passage_offset - w.token_start,)
        ],
        dtype=np.int64,
    ).reshape(-1, 4)


def _span_band(start: FloatArray, end: FloatArray, columns: npt.NDArray[np.int64], width: int) -> FloatArray:
    """(n_windows, length, width) float32: `[b, i, d]` = span_score(i, i + d), minus infinity where it is not valid."""
    rows, length = start.shape
    positions = np.arange(length)
    _, first, last, passage_end = columns.T
    starts = np.where((positions >= first[:, None]) & (positions < last[:, None]), start, -np.inf)
    ends = np.full((rows, length + width - 1), -np.inf, dtype=np.float32)
    ends[:, :length] = np.where(positions < passage_end[:, None], end, -np.inf)
    band: FloatArray = starts[:, :, None].astype(np.float32) + np.lib.stride_tricks.sliding_window_view(
        ends, width, axis=1
    )
    return band


def _top_spans(band: FloatArray, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """The `count` best spans of each window, best first. Overwrites `band`."""
    rows, length, width = band.shape
    starts = np.zeros((rows, count), dtype=np.int64)
    ends = np.zeros((rows, count), dtype=np.int64)
    scores = np.full((rows, count), -np.inf, dtype=np.float32)
    row = np.arange(rows)
    span_start = np.arange(length)[None, :, None]
    span_end = span_start + np.arange(width)[None, None, :]
    flat = band.reshape(rows, -1)
    for k in range(count):
        best = flat.argmax(axis=1)
        scores[:, k] = flat[row, best]
        if not np.isfinite(scores[:, k]).any():
            break
        starts[:, k], offset = np.divmod(best, width)
        ends[:, k] = starts[:, k] + offset
        taken = (span_start <= ends[:, k, None, None]) & (span_end >= starts[:, k, None, None])
        band[taken] = -np.inf
    return starts, ends, scores


def _logsumexp(values: FloatArray, mask: BoolArray) -> npt.NDArray[np.float64]:
    """(n,) over axis 1 where `mask` holds; minus infinity for a row without any."""
    masked = np.where(mask, values.astype(np.float64), -np.inf)
    top = masked.max(axis=1)
    safe = np.where(np.isfinite(top), top, 0.0)
    total = np.exp(masked - safe[:, None]).sum(axis=1)
    with np.errstate(divide="ignore"):
        result: npt.NDArray[np.float64] = np.log(total) + safe
    return result


def answer_passage(
    scores: Sequence[WindowScore],
    passage: Passage,
    tokens: TokenizedText,
    config: SpanConfig,
    *,
    threshold: float,
    calibration: Calibration | None,
) -> PassageAnswer:
    """Makes the windows of one pair one answer. `scores` holds every window of the pair, at least one."""
    n_best = _passage_n_best(scores, passage, tokens, config)
    best = n_best[0] if n_best else None
    null_score = min(s.null_score for s in scores)
    margin = max(s.margin for s in scores)
    score_diff = null_score - best.score if best else math.inf
    return PassageAnswer(
        best=best,
        n_best=n_best,
        null_score=null_score,
        null_log_prob=min(s.null_log_prob for s in scores),
        score_diff=score_diff,
        margin=margin,
        answerability=calibration.probability(margin, len(scores)) if calibration else None,
        is_answerable=best is not None and score_diff <= threshold,
        n_windows=len(scores),
    )


def _passage_n_best(
    scores: Sequence[WindowScore], passage: Passage, tokens: TokenizedText, config: SpanConfig
) -> tuple[SpanAnswer, ...]:
    """Best first; a span that overlaps a better one or has its wording (case folded) is left out, and white space."""
    answers: list[SpanAnswer] = []
    wordings: set[str] = set()
    for span in sorted((s for score in scores for s in score.n_best), key=lambda s: -s.score):
        start, end = char_range(passage.text, tokens, span.token_start, span.token_end, whole_words=config.whole_words)
        text = passage.text[start:end]
        if not text.strip() or text.casefold() in wordings or any(start < a.end and a.start < end for a in answers):
            continue
        wordings.add(text.casefold())
        answers.append(
            SpanAnswer(
                text=text,
                start=start,
                end=end,
                score=span.score,
                log_prob=span.log_prob,
                window_index=span.window_index,
            )
        )
        if len(answers) == config.n_best:
            break
    return tuple(answers)


def char_range(
    text: str, passage: TokenizedText, token_start: int, token_end: int, *, whole_words: bool = False
) -> tuple[int, int]:
    """Code points [start, end) of the passage tokens `token_start` to `token_end`, both included.

    Uncased tokenizers drop combining marks, and their offsets with them: the range is drawn out over the marks that
    follow, so that an answer never ends inside a character. Tokens of bytes may be white space, which no range begins
    or ends with where there is anything else.

    Args:
        whole_words: draws the range out over the pieces of a word that stand outside it.
    """
    start = int(passage.starts[token_start])
    end = int(passage.ends[token_end])
    while end < len(text) and _is_mark(text[end]):
        end += 1
    if whole_words:
        while 0 < start < len(text) and _is_inside_word(text, start):
            start -= 1
        while 0 < end < len(text) and _is_inside_word(text, end):
            end += 1
    if inside := text[start:end].strip():
        start += text[start:end].index(inside)
        end = start + len(inside)
    return start, max(start, end)


def _is_inside_word(text: str, position: int) -> bool:
    """Whether BERT's tokenizer can split here only between the pieces of a word."""
    return all(
        (char.isalnum() or _is_mark(char)) and not _stands_alone(char) for char in text[position - 1 : position + 1]
    )


def _is_mark(char: str) -> bool:
    """Accents, vowel signs, variation selectors: what belongs to the character before it."""
    return unicodedata.category(char).startswith("M")


def _stands_alone(char: str) -> bool:
    """Ideographs, each of which BERT's tokenizer makes a word of its own."""
    code = ord(char)
    return (
        0x3400 <= code <= 0x4DBF or 0x4E00 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F
    )


@dataclass(frozen=True)
class TwinPair:
    """A cell of the (question, abstract) matrix, scored."""

    pair_id: str
    question_id: str
    question: str
    user_columns: str | None
    rank: int
    abstract: Abstract
    tokens: TokenizedText
    windows: Sequence[Window]
    scores: Sequence[WindowScore]
    answer: PassageAnswer


def answer_row(pair: TwinPair, scorer: PairScorer, identity: RunIdentity, scored_at: datetime) -> AnswerRow:
    abstract, answer = pair.abstract, pair.answer
    best = answer.best
    accepted = best if answer.is_answerable else None
    kind = scorer.config.passage
    text = abstract.passage_text(kind)
    evidence = _evidence(text, best)
    return AnswerRow(
        pair_id=pair.pair_id,
        question_id=pair.question_id,
        question=pair.question,
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
        user_columns=pair.user_columns,
        authors=_authors(abstract.authors),
        retraction=abstract.retraction,
    )


def _authors(names: tuple[str, ...]) -> tuple[str, ...]:
    """Some records have thousands, and a record is in as many rows as questions found it."""
    return names if len(names) <= 10 else (*names[:10], "et al.")


def _evidence(text: str, span: SpanAnswer | None) -> tuple[int, int] | None:
    """The sentences that the span touches, as one range; nearly always one."""
    if span is None:
        return None
    touched = [(a, b) for a, b in sentences(text) if a < span.end and span.start < b]
    if not touched:
        return span.start, span.end
    return min(touched[0][0], span.start), max(touched[-1][1], span.end)


def chunk_rows(pair: TwinPair, scorer: PairScorer, identity: RunIdentity) -> Iterator[ChunkRow]:
    text, tokens = pair.abstract.passage_text(scorer.config.passage), pair.tokens
    for window, said in zip(pair.windows, pair.scores, strict=True):
        empty = window.token_start == window.token_end
        start, end = (0, 0) if empty else char_range(text, tokens, window.token_start, window.token_end - 1)
        best = said.best
        whole = scorer.config.spans.whole_words
        best_range = (
            char_range(text, tokens, best.token_start, best.token_end, whole_words=whole) if best else (None, None)
        )
        yield ChunkRow(
            pair_id=pair.pair_id,
            question_id=pair.question_id,
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
