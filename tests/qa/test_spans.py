"""Span decoding against plain loops over every span, and the answers that windows make together."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.errors import NonFiniteLogitError
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.spans import window_columns
from bioqa_pipeline.qa.spans_torch import begin_decoding
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.records.scores import FloatArray, PassageAnswer, Window, WindowScores
from bioqa_pipeline.records.texts import Passage
from support.builders import (
    SMALL_WINDOWS,
    SPECIAL,
    logits_for,
    numbered_passage,
    pair_windows,
    span,
    window_lists,
    window_score,
    word_tokens,
)
from support.windows import WindowScore, answer_passage, columns_of_windows, decode, make_windows, window_scores

configs = st.builds(SpanConfig, max_answer_length=st.integers(1, 12), n_best=st.integers(1, 8))
seeds = st.integers(0, 2**32 - 1)


Decoder = Callable[[FloatArray, FloatArray, list[Window], SpanConfig], WindowScores]


def in_torch(start: FloatArray, end: FloatArray, windows: list[Window], config: SpanConfig) -> WindowScores:
    return begin_decoding(
        torch.from_numpy(start), torch.from_numpy(end), window_columns(columns_of_windows(windows)), config
    )()


DECODERS = [pytest.param(decode, id="numpy"), pytest.param(in_torch, id="torch")]


def score(
    windows: list[Window], logits: tuple[FloatArray, FloatArray], config: SpanConfig, decoder: Decoder = decode
) -> list[WindowScore]:
    return window_scores(decoder(*logits, windows, config), windows)


def valid_spans(window: Window, start: FloatArray, end: FloatArray, longest: int) -> list[tuple[float, int, int]]:
    """(score, first token, last token) of every span that counts, best first, then the earlier, then the shorter."""
    shift = window.passage_offset - window.token_start
    spans = [
        (float(start[i + shift] + end[j + shift]), i, j)
        for i in range(window.context_start, window.context_end)
        for j in range(i, min(i + longest, window.token_end))
    ]
    return sorted(spans, key=lambda s: (-s[0], s[1], s[2]))


def log_sum_exp(values: list[float]) -> float:
    top = max(values, default=-math.inf)
    return top + math.log(math.fsum(math.exp(v - top) for v in values)) if values else -math.inf


def close(value: float, scale: float = 1.0) -> object:
    """Some roundings of float32 apart; a difference has those of what it was made of, `scale` times as large."""
    return pytest.approx(value, rel=1e-6, abs=2e-6 * scale)


@pytest.mark.parametrize("decoder", DECODERS)
@given(
    windows=window_lists(),
    config=configs,
    seed=seeds,
    padding=st.integers(0, 3),
    # What is highest can be no span: then all spans vanish beside it.
    scale=st.sampled_from((1, 1, 1000)),
)
def test_decoding_looks_at_every_span(
    decoder: Decoder, windows: list[Window], config: SpanConfig, seed: int, padding: int, scale: int
) -> None:
    start_logits, end_logits = logits_for(windows, seed=seed, padding=padding)
    logits = start_logits * np.float32(scale), end_logits * np.float32(scale)
    for window, start, end, got in zip(windows, *logits, score(windows, logits, config, decoder), strict=True):
        spans = valid_spans(window, start, end, config.max_answer_length)
        null = float(start[0] + end[0])
        normaliser = log_sum_exp(start[: len(window)].tolist()) + log_sum_exp(end[: len(window)].tolist())
        assert got.null_score == null
        assert got.null_log_prob == close(null - normaliser, scale)
        assert got.span_logsumexp == close(log_sum_exp([s for s, _, _ in spans]))
        assert got.margin == close(got.span_logsumexp - null, scale)
        kept: list[tuple[float, int, int]] = []
        for candidate in spans:
            if all(candidate[1] > j or candidate[2] < i for _, i, j in kept):
                kept.append(candidate)
        assert [(s.score, s.token_start, s.token_end) for s in got.n_best] == kept[: config.n_best]
        assert [s.log_prob for s in got.n_best] == [close(s.score - normaliser, scale) for s in got.n_best]
        assert {s.window_index for s in got.n_best} <= {window.index}
        assert got.best == (got.n_best[0] if got.n_best else None)


@pytest.mark.parametrize("decoder", DECODERS)
@given(windows=window_lists(), seed=seeds, shuffle=seeds)
def test_a_window_scores_the_same_in_any_company(
    decoder: Decoder, windows: list[Window], seed: int, shuffle: int
) -> None:
    config = SpanConfig(max_answer_length=6)
    start, end = logits_for(windows, seed=seed, padding=2)
    together = score(windows, (start, end), config, decoder)
    order = np.random.default_rng(shuffle).permutation(len(windows))
    shuffled = score([windows[i] for i in order], (start[order], end[order]), config, decoder)
    for row, window in enumerate(windows):
        exact = (start[row : row + 1, : len(window)], end[row : row + 1, : len(window)])
        alone = score([window], exact, config, decoder)[0]
        for other in (together[row], shuffled[order.tolist().index(row)]):
            if decoder is decode:
                assert other == alone
                continue
            assert (other.null_score, other.null_log_prob) == (alone.null_score, close(alone.null_log_prob))
            assert (other.margin, other.span_logsumexp) == (close(alone.margin), close(alone.span_logsumexp))
            spans = [(s.token_start, s.token_end, s.score) for s in other.n_best]
            assert spans == [(s.token_start, s.token_end, s.score) for s in alone.n_best]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("position", [0, 2, 4, 6, -1])
@pytest.mark.parametrize("which", ["start", "end"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_logit_that_is_not_finite_is_an_error(decoder: Decoder, bad: float, position: int, which: str) -> None:
    windows = [*pair_windows(9), *pair_windows(2)]
    start, end = logits_for(windows, seed=0)
    score(windows, (start, end), SpanConfig(), decoder)
    (start if which == "start" else end)[0, position] = bad
    with pytest.raises(NonFiniteLogitError, match="not finite"):
        score(windows, (start, end), SpanConfig(), decoder)


@pytest.mark.parametrize("decoder", DECODERS)
def test_large_logits_do_not_overflow(decoder: Decoder) -> None:
    (window,) = pair_windows(3)
    logits = np.full((1, len(window)), 1024, dtype=np.float32)
    for sign in (1, -1):
        got = score([window], (sign * logits, sign * logits), SpanConfig(), decoder)[0]
        assert got.margin == pytest.approx(math.log(6), abs=1e-3)
        assert got.null_log_prob == pytest.approx(-2 * math.log(len(window)), abs=1e-3)


def answer(
    scores: list[WindowScore], n_words: int = 40, threshold: float = 0.0, config: SpanConfig | None = None
) -> PassageAnswer:
    passage = numbered_passage(n_words)
    return answer_passage(
        scores,
        passage,
        word_tokens(passage.text),
        config or SpanConfig(),
        threshold=threshold,
        calibration=Calibration(),
    )


@given(n_tokens=st.integers(0, 60), config=configs, seed=seeds, threshold=st.floats(-5, 5))
def test_the_windows_of_a_passage_make_one_answer(
    n_tokens: int, config: SpanConfig, seed: int, threshold: float
) -> None:
    windows = pair_windows(n_tokens)
    start, end = logits_for(windows, seed=seed)
    got = answer(score(windows, (start, end), config), n_tokens, threshold, config)
    spans = [
        (value, window.index, i, j)
        for window, s, e in zip(windows, start, end, strict=True)
        for value, i, j in valid_spans(window, s, e, config.max_answer_length)
    ]
    assert got.n_windows == len(windows)
    assert got.null_score == min(start[:, 0] + end[:, 0])
    if not spans:
        assert (got.best, got.n_best, got.score_diff, got.margin) == (None, (), math.inf, -math.inf)
        assert not got.is_answerable and got.answerability == 0.0
        return
    value, index, i, j = max(spans, key=lambda s: s[0])
    assert got.best is not None
    assert (got.best.score, got.best.window_index) == (value, index)
    assert got.best.text == " ".join(f"w{k}" for k in range(i, j + 1))
    assert got.score_diff == got.null_score - value
    assert got.is_answerable == (got.score_diff <= threshold)
    passage = numbered_passage(n_tokens)
    places = [(a.start, a.end) for a in got.n_best]
    assert [a.text for a in got.n_best] == [passage.text[a:b] for a, b in places]
    assert [a.score for a in got.n_best] == sorted((a.score for a in got.n_best), reverse=True)
    assert len(places) <= config.n_best
    assert not any(a[0] < b[1] and b[0] < a[1] for k, a in enumerate(places) for b in places[:k])


def test_null_is_the_lowest_margin_the_highest_span_the_best_over_windows() -> None:
    scores = [
        window_score(span(score=2.0, token_end=1), null_score=3.0, null_log_prob=-0.5, margin=-1.0),
        window_score(
            span(score=4.0, token_start=9, token_end=9, window_index=1), null_score=7.0, null_log_prob=-0.1, margin=-3.0
        ),
    ]
    got = answer(scores)
    assert (got.null_score, got.null_log_prob, got.margin, got.n_windows) == (3.0, -0.5, -1.0, 2)
    assert [a.text for a in got.n_best] == ["w9", "w0 w1"]
    assert got.score_diff == -1.0 and got.is_answerable


@pytest.mark.parametrize(("threshold", "answerable"), [(0.99, False), (1.0, True), (1.01, True)])
def test_a_score_diff_at_the_threshold_is_answerable(threshold: float, answerable: bool) -> None:
    got = answer([window_score(span(score=1.0), null_score=2.0)], threshold=threshold)
    assert got.is_answerable == answerable
    assert got.best is not None


def test_n_best_leaves_out_overlaps_and_repeated_wordings() -> None:
    passage = Passage("p", "aspirin or Aspirin with  Warfarin")
    spans = [
        span(token_start=0, token_end=0, score=5.0),
        span(token_start=2, token_end=2, score=4.0),
        span(token_start=3, token_end=4, score=3.0),
        span(token_start=4, token_end=4, score=2.0),
        span(token_start=1, token_end=1, score=1.0),
    ]
    got = answer_passage(
        [window_score(*spans)],
        passage,
        word_tokens(passage.text),
        SpanConfig(),
        threshold=0.0,
        calibration=Calibration(),
    )
    assert [(a.text, a.start, a.end) for a in got.n_best] == [
        ("aspirin", 0, 7),
        ("with  Warfarin", 19, 33),
        ("or", 8, 10),
    ]


@given(
    seed=seeds, words=st.lists(st.sampled_from(("naïve", "患者", "x\u0304y", "🧬", "α-β", "gene\u00a0A")), max_size=40)
)
def test_answers_are_cut_from_the_text(tokenizer: TextTokenizer, seed: int, words: list[str]) -> None:
    passage = Passage("p", " ".join(words))
    question, tokens = tokenizer(["Which gene?", passage.text])
    windows = make_windows(question, tokens, SPECIAL, SMALL_WINDOWS)
    for whole_words in (False, True):
        config = SpanConfig(whole_words=whole_words)
        scores = score(windows, logits_for(windows, seed=seed), config)
        got = answer_passage(scores, passage, tokens, config, threshold=0.0, calibration=Calibration())
        assert (got.best is None) == (len(tokens) == 0)
        for a in got.n_best:
            assert a.text == passage.text[a.start : a.end] != ""


@pytest.mark.parametrize(
    ("margin", "n_windows", "probability"),
    [(-math.inf, 1, 0.0), (0.0, 1, 0.5), (2.0, 1, 1 / (1 + math.exp(-2))), (-1e6, 3, 0.0), (1e6, 3, 1.0)],
)
def test_calibration_is_a_logistic_map_without_overflow(margin: float, n_windows: int, probability: float) -> None:
    assert Calibration().probability(margin, n_windows) == pytest.approx(probability)


def test_calibration_counts_windows_by_their_logarithm() -> None:
    calibration = Calibration(slope=2.0, log_windows=-1.0, intercept=0.5)
    expected = 1 / (1 + math.exp(-(2.0 * 1.5 - math.log(4) + 0.5)))
    assert calibration.probability(1.5, 4) == pytest.approx(expected)
