"""Pairs scored in arrays against the same pairs scored one object at a time: the same tables to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.config import ScoringConfig, SpanConfig, WindowConfig
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS
from bioqa_pipeline.dataset.tables import to_table
from bioqa_pipeline.qa.batching import padded_lengths
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.inference import Scorer, ScorerInfo
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.records.scores import Batch, FloatArray, SpecialIds, TokenizedText, Window
from bioqa_pipeline.records.texts import Abstract, Correction, Passage
from bioqa_pipeline.run.records import RunIdentity
from bioqa_pipeline.run.rows import AskedPairs, answer_table, chunk_table
from bioqa_pipeline.run.score import score_pairs
from support import twins
from support.twins import TwinPair, answer_passage, answer_row, chunk_rows
from support.windows import WindowScore, decode, make_windows, pad_batch, window_scores
from support.word_pieces import text_tokenizer, toy_pieces

FRAGMENTS = (
    *("The gene BRCA1 causes cancer.", "naïve x\u0304 p\u0301\u0323", "患者 日本語text", "👩\u200d🔬 ❤\ufe0f", "हिन्दी"),
    *("Aspirin", "aspirin", "e.g. S. aureus", "IL-2 (p<0.05).", "A B. C D? E!", "ß ẞ İ", "  ", "\u2003", ". . ."),
)
texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=3)), max_size=12).map(" ".join)
configs = st.builds(
    ScoringConfig,
    windows=st.builds(
        WindowConfig,
        max_seq_length=st.integers(20, 60),
        doc_stride=st.integers(1, 11),
        max_query_length=st.integers(1, 6),
    ),
    spans=st.builds(
        SpanConfig, max_answer_length=st.integers(1, 9), n_best=st.integers(1, 6), whole_words=st.booleans()
    ),
    passage=st.sampled_from(("abstract", "title+abstract")),
)
IDENTITY = RunIdentity(
    "run", datetime(2026, 1, 1, tzinfo=UTC), "key", "model", "revision", "{}", 0.0, 10, is_calibrated=True
)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class CharacterTokenizer(TextTokenizer):
    """One token a character, white space too, as tokens of bytes can be."""

    def __init__(self) -> None:
        self.special = SpecialIds(cls=1, sep=2, pad=0, n_middle=2)

    def __call__(self, some: Sequence[str]) -> list[TokenizedText]:
        places = [np.arange(len(text) + 1, dtype=np.int32) for text in some]
        ids = [np.array([ord(char) % 997 for char in text], dtype=np.int32) for text in some]
        return [TokenizedText(own, place[:-1], place[1:]) for own, place in zip(ids, places, strict=True)]


class TiedScorer(Scorer):
    """Logits that follow from a row's tokens, many of them equal; a row of padding alone would be no number."""

    info = ScorerInfo("cpu", "fp32", "none", token_budget=150, pad_id=0, max_length=512)

    def __init__(self, seed: int) -> None:
        self._values = (np.random.default_rng(seed).integers(-12, 12, size=(2, 1000)) / 4).astype(np.float32)

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        ids = np.where(batch.attention_mask, batch.input_ids, 0)
        mixed = (ids * 7 + np.cumsum(ids, axis=1) * 3 + np.arange(ids.shape[1])) % 1000
        start, end = self._values[0][mixed], self._values[1][mixed]
        padding = batch.attention_mask == 0
        start[padding] = end[padding] = np.nan
        return start, end


def scored_alone(window: Window, scorer: TiedScorer, config: SpanConfig) -> WindowScore:
    length = int(padded_lengths(np.array(len(window)), max_length=512))
    logits = scorer.logits(pad_batch([window], [0], pad_id=0, length=length))
    (slow,), (found,) = (
        twins.decode(*logits, [window], config),
        window_scores(decode(*logits, [window], config), [window]),
    )
    # Spans to the bit; sums of exponentials are rounded to float32.
    assert [replace(s, log_prob=0.0) for s in found.n_best] == [replace(s, log_prob=0.0) for s in slow.n_best]
    rounded, exact = (
        [*(s.log_prob for s in w.n_best), w.null_log_prob, w.span_logsumexp, w.margin] for w in (found, slow)
    )
    assert (found.null_score, rounded) == (slow.null_score, pytest.approx(exact, rel=1e-6, abs=2e-6))
    return found


@pytest.mark.parametrize("kind", ["pieces", "characters"])
@given(
    asked=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=7, unique=True),
    bodies=st.lists(texts, min_size=4, max_size=4),
    config=configs,
    seed=st.integers(0, 999),
    threshold=st.sampled_from((-2.0, 0.0, 3.0)),
    calibration=st.sampled_from((None, Calibration(slope=0.7, log_windows=0.2))),
)
def test_tables_are_those_of_one_object_a_row(
    kind: str,
    asked: list[tuple[int, int]],
    bodies: list[str],
    config: ScoringConfig,
    seed: int,
    threshold: float,
    calibration: Calibration | None,
) -> None:
    tokenizer = CharacterTokenizer() if kind == "characters" else text_tokenizer(toy_pieces(), lowercase=True)
    questions = ["Which gene?", "which gene causes cancer", "患者"]
    abstracts = tuple(
        Abstract(
            pmid=10 + i,
            title=f"Title {i}",
            text=text,
            pub_date=("", "2020", "1998-12")[i % 3],
            authors=tuple(f"A{k}" for k in range(4 * i)),
            corrections=(Correction("ErratumIn", 5, ""),) if i == 1 else (),
            print_date="2020" if i else "",
        )
        for i, text in enumerate(bodies)
    )
    scorer = TiedScorer(seed)
    pairs = PairScorer(scorer, tokenizer, config, threshold=threshold, calibration=calibration)
    slowly = []
    for number, (q, i) in enumerate(asked):
        passage = Passage("p", abstracts[i].passage_text(config.passage))
        question, tokens = tokenizer([questions[q], passage.text])
        windows = make_windows(question, tokens, tokenizer.special, config.windows)
        scores = [scored_alone(w, scorer, config.spans) for w in windows]
        answer = answer_passage(scores, passage, tokens, config.spans, threshold=threshold, calibration=calibration)
        asked_as = (f"pair-{number}", f"q{q}", questions[q], None if q else "{}", 9 - number)
        slowly.append(TwinPair(*asked_as, abstracts[i], tokens, windows, scores, answer))
    columns = ("pair_id", "question_id", "question", "user_columns", "rank")
    rows = pl.DataFrame({name: [getattr(t, name) for t in slowly] for name in columns}).with_columns(
        pl.col("user_columns").cast(pl.String),
        pmid=pl.Series([t.abstract.pmid for t in slowly]),
        content_hash=pl.Series([t.abstract.content_hash for t in slowly]),
    )
    found, scored, failed = score_pairs(AskedPairs(rows, abstracts, np.array([i for _, i in asked])), pairs, None)
    assert not failed and list(scored) == [t.answer for t in slowly]
    expected = to_table([answer_row(t, pairs, IDENTITY, NOW) for t in slowly], ANSWERS)
    assert answer_table(found, scored, pairs, IDENTITY, NOW).to_pylist() == expected.to_pylist()
    windows_expected = to_table([row for t in slowly for row in chunk_rows(t, pairs, IDENTITY)], CHUNKS)
    assert chunk_table(found, scored, config.spans, IDENTITY).to_pylist() == windows_expected.to_pylist()
