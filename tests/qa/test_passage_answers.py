"""n-best of a passage by hand: words kept whole, spans that touch, texts that are tokenised once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bioqa_pipeline.config import ScoringConfig, SpanConfig
from bioqa_pipeline.qa import scoring
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.inference import Scorer, ScorerInfo
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.records.scores import Batch, FloatArray, PassageAnswer, TokenizedText
from bioqa_pipeline.records.texts import Passage
from support.builders import span, window_score
from support.windows import Span, answer_passage
from support.word_pieces import text_tokenizer, toy_pieces

TOKENIZER = text_tokenizer(toy_pieces(), lowercase=False)


def answered(text: str, *spans: Span, whole_words: bool = True) -> PassageAnswer:
    [tokens] = TOKENIZER([text])
    config = SpanConfig(whole_words=whole_words)
    score = window_score(*spans)
    return answer_passage([score], Passage("p", text), tokens, config, threshold=0.0, calibration=Calibration())


def pieces(text: str) -> list[str]:
    [tokens] = TOKENIZER([text])
    return [text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)]


@pytest.mark.parametrize(
    ("whole_words", "texts"), [(True, ["BRCA1", "proteins"]), (False, ["BRCA", "s"])], ids=["whole", "pieces"]
)
def test_an_answer_of_pieces_is_drawn_out_to_its_words(whole_words: bool, texts: list[str]) -> None:
    text = "the BRCA1 proteins"
    assert pieces(text) == ["the", "BRCA", "1", "protein", "s"]
    first, second = (span(token_start=i, token_end=i, score=s) for i, s in ((1, 3.0), (4, 2.0)))
    got = answered(text, first, second, whole_words=whole_words)
    assert [a.text for a in got.n_best] == texts
    assert all(text[a.start : a.end] == a.text for a in got.n_best)
    assert got.best == got.n_best[0]


def test_two_pieces_of_one_word_are_one_answer_where_words_are_whole() -> None:
    text = "BRCA1"
    spans = [span(token_start=i, token_end=i, score=s) for i, s in ((0, 3.0), (1, 2.0))]
    assert [a.text for a in answered(text, *spans).n_best] == ["BRCA1"]
    assert [a.text for a in answered(text, *spans, whole_words=False).n_best] == ["BRCA", "1"]


def test_spans_that_touch_do_not_overlap() -> None:
    text = "BRCA-mutation"
    assert pieces(text) == ["BRCA", "-", "mutation"]
    spans = [span(token_start=i, token_end=j, score=s) for i, j, s in ((0, 0, 4.0), (1, 1, 3.0), (1, 2, 2.0))]
    assert [(a.text, a.start, a.end) for a in answered(text, *spans).n_best] == [("BRCA", 0, 4), ("-", 4, 5)]
    spans[1] = span(token_start=1, token_end=2, score=3.5)
    assert [a.text for a in answered(text, *spans).n_best] == ["BRCA", "-mutation"]


class ZeroScorer(Scorer):
    """Every logit is 0."""

    info = ScorerInfo("cpu", "fp32", "none", token_budget=2048, pad_id=0, max_length=512)

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        zeros = np.zeros(batch.input_ids.shape, dtype=np.float32)
        return zeros, zeros


class CountingTokenizer(TextTokenizer):
    """The toy tokenizer, and what it was asked for."""

    def __init__(self) -> None:
        self.special = TOKENIZER.special
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[TokenizedText]:
        self.asked += texts
        return TOKENIZER(texts)


def test_texts_are_tokenised_once_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CACHED_TEXTS", 3)
    tokenizer = CountingTokenizer()
    scorer = PairScorer(ZeroScorer(), tokenizer, ScoringConfig(), threshold=0.0, calibration=Calibration())

    def new_texts(*words: str) -> list[str]:
        tokenizer.asked.clear()
        assert len(scorer.score([("the gene", Passage(word, word)) for word in words])) == len(words)
        return sorted(tokenizer.asked)

    assert new_texts("a", "b") == ["a", "b", "the gene"]
    assert new_texts("a", "b") == []
    assert new_texts("c") == ["c"]  # the one of a and b that was used longest ago goes
    assert len(new_texts("a", "b")) == 1
    # More at once than are kept are all answered, and do not stay.
    many = [f"m{i}" for i in range(9)]
    assert new_texts(*many) == many
    assert len(new_texts(*many)) >= len(many) - 3
