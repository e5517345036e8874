"""Windows, spans and scores against the SQuAD v2 code of transformers 4, by which BioBERT was fine-tuned and measured.

`parity/make_reference.py` wrote what that code says of 500 pairs of three and more windows.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bioqa_pipeline.config import SpanConfig, WindowConfig
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.records.scores import TokenizedText, Window
from bioqa_pipeline.records.texts import Passage
from parity.material import MAX_ANSWER_LENGTH, N_BEST, N_PAIRS, Material, materials, pieces, window_logits
from support.paths import TESTS
from support.windows import WindowScore, answer_passage, char_range, decode, make_batches, make_windows, window_scores
from support.word_pieces import text_tokenizer

SPANS = SpanConfig(max_answer_length=MAX_ANSWER_LENGTH, whole_words=False)


@dataclass(frozen=True)
class Ours:
    """One pair as the pipeline sees it."""

    material: Material
    tokens: TokenizedText
    windows: list[Window]
    scores: list[WindowScore]


def score(windows: list[Window], material: Material) -> list[WindowScore]:
    """As the pipeline does it: in batches of mixed lengths, put back into order."""
    scores: dict[int, WindowScore] = {}
    for batch in make_batches(windows, token_budget=1500, pad_id=0, max_length=512):
        rows = [windows[i] for i in batch.order]
        length = batch.input_ids.shape[1]
        logits = [window_logits(material, w.index, len(w)) for w in rows]
        start, end = (np.stack([pair[which][:length] for pair in logits]) for which in (0, 1))
        scores |= zip(batch.order.tolist(), window_scores(decode(start, end, rows, SPANS), rows), strict=True)
    return [scores[i] for i in range(len(windows))]


def best_of_all_spans(windows: list[Window], material: Material) -> list[tuple[float, int, int]]:
    """(score, first token, last token), best first, also of spans that overlap, which the reference keeps."""
    spans = []
    for window in windows:
        start, end = window_logits(material, window.index, len(window))
        shift = window.passage_offset - window.token_start
        first = np.arange(window.context_start, window.context_end)[:, None]
        last = first + np.arange(MAX_ANSWER_LENGTH)
        is_span = last < window.token_end
        last = np.minimum(last, window.token_end - 1)
        scores = np.where(is_span, start[first + shift] + end[last + shift], -np.inf)
        best = np.argsort(-scores, axis=None, kind="stable")[: 2 * N_BEST]
        for row, column in zip(*np.unravel_index(best, scores.shape), strict=True):
            if is_span[row, column]:
                spans.append((float(scores[row, column]), int(first[row, 0]), int(last[row, column])))
    return sorted(spans, key=lambda s: -s[0])


@pytest.fixture(scope="module")
def ours() -> list[Ours]:
    made = []
    tokenizers = {cased: text_tokenizer(pieces(cased=cased), lowercase=not cased) for cased in (True, False)}
    for material in materials():
        tokenizer = tokenizers[material.cased]
        question, tokens = tokenizer([material.question, material.passage])
        windows = make_windows(question, tokens, tokenizer.special, WindowConfig())
        made.append(Ours(material, tokens, windows, score(windows, material)))
    return made


@pytest.fixture(scope="module")
def reference() -> list[dict[str, Any]]:
    content = json.loads(gzip.decompress((TESTS / "parity" / "reference.json.gz").read_bytes()))
    pairs: list[dict[str, Any]] = content["pairs"]
    assert len(pairs) == N_PAIRS
    return pairs


def test_windows_and_max_context(ours: list[Ours], reference: list[dict[str, Any]]) -> None:
    for mine, theirs in zip(ours, reference, strict=True):
        assert len(mine.windows) >= 3
        found = [
            {
                "n_tokens": w.token_end - w.token_start,
                "context": [w.context_start - w.token_start, w.context_end - w.token_start],
                "ids": hashlib.sha256(w.input_ids.astype("<i4").tobytes()).hexdigest()[:12],
            }
            for w in mine.windows
        ]
        assert found == theirs["windows"]


def reference_text(pair: Ours, first: int, last: int, vocabulary: list[str]) -> str:
    """The text that the reference gives a span.

    It aligns the pieces with the words between spaces; where that fails, for a span that starts inside a word of the
    vocabulary or holds an unknown one, it takes these words whole.
    """
    text = pair.material.passage
    start, end = char_range(text, pair.tokens, first, last)
    span = [vocabulary[i] for i in pair.tokens.ids[first : last + 1]]
    if span[0].startswith("##") or "[UNK]" in span:
        start = text.rfind(" ", 0, start) + 1
        end = text.find(" ", end) if " " in text[end:] else len(text)
    return text[start:end]


def test_n_best(ours: list[Ours], reference: list[dict[str, Any]]) -> None:
    vocabularies = {cased: pieces(cased=cased) for cased in (True, False)}
    for mine, theirs in zip(ours, reference, strict=True):
        found: dict[str, float] = {}
        for span_score, first, last in best_of_all_spans(mine.windows, mine.material):
            found.setdefault(reference_text(mine, first, last, vocabularies[mine.material.cased]), span_score)
            if len(found) == N_BEST:
                break
        assert list(found.items()) == list(zip(theirs["texts"], theirs["scores"], strict=True))


def test_best_answer_null_score_and_decision(ours: list[Ours], reference: list[dict[str, Any]]) -> None:
    vocabularies = {cased: pieces(cased=cased) for cased in (True, False)}
    decisions = set()
    for mine, theirs in zip(ours, reference, strict=True):
        passage = Passage("p", mine.material.passage)

        def answer(threshold: float, mine: Ours = mine, passage: Passage = passage) -> Any:
            return answer_passage(
                mine.scores, passage, mine.tokens, SPANS, threshold=threshold, calibration=Calibration()
            )

        got = answer(0.0)
        best = max((w.best for w in mine.scores if w.best), key=lambda s: s.score)
        vocabulary = vocabularies[mine.material.cased]
        assert reference_text(mine, best.token_start, best.token_end, vocabulary) == theirs["texts"][0]
        assert (got.best.start, got.best.end) == char_range(passage.text, mine.tokens, best.token_start, best.token_end)
        assert got.best.text == passage.text[got.best.start : got.best.end]
        assert got.best.score == theirs["scores"][0]
        assert got.null_score == theirs["null_score"]
        assert got.score_diff == pytest.approx(theirs["score_diff"], abs=1e-5)
        assert got.is_answerable == (theirs["prediction"] != "")
        if "at_threshold" in theirs:
            assert theirs["at_threshold"] and answer(got.score_diff).is_answerable
        decisions.add(got.is_answerable)
    assert decisions == {True, False}
