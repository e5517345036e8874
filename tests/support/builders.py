"""Valid objects for tests; what a test is about it names, the rest has a default."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.records.scores import FloatArray, SpecialIds, TokenizedText, Window
from bioqa_pipeline.records.texts import Passage
from support.windows import Span, WindowScore, make_windows

SPECIAL = SpecialIds(cls=101, sep=102, pad=0)
# Many windows from few tokens.
SMALL_WINDOWS = WindowConfig(max_seq_length=16, doc_stride=4, max_query_length=5)


def word_tokens(text: str) -> TokenizedText:
    """One token a word; the id of a token is 1000 and the length of its word."""
    starts, ends, position = [], [], 0
    for word in text.split():
        starts.append(text.index(word, position))
        position = starts[-1] + len(word)
        ends.append(position)
    lengths = np.array(ends, dtype=np.int32) - np.array(starts, dtype=np.int32)
    return TokenizedText(
        ids=1000 + lengths, starts=np.array(starts, dtype=np.int32), ends=np.array(ends, dtype=np.int32)
    )


def numbered_passage(n_words: int) -> Passage:
    """ "w0 w1 w2 …": every span of words has a wording of its own."""
    return Passage("p", " ".join(f"w{i}" for i in range(n_words)))


def pair_windows(n_tokens: int, *, question_tokens: int = 3, config: WindowConfig = SMALL_WINDOWS) -> list[Window]:
    """The windows of a question and a passage of so many words."""
    question = word_tokens(" ".join("q" * question_tokens))
    passage = word_tokens(numbered_passage(n_tokens).text)
    return make_windows(question, passage, SPECIAL, config)


def span(**changes: float) -> Span:
    """The first passage token of the first window, with score 1."""
    values = {"window_index": 0, "token_start": 0, "token_end": 0, "score": 1.0, "log_prob": -1.0} | changes
    return Span(**values)  # type: ignore[arg-type]


def window_score(*spans: Span, **changes: float) -> WindowScore:
    """A window that says these spans, best first, and null score 0."""
    values = {"null_score": 0.0, "null_log_prob": -2.0, "span_logsumexp": 1.0, "margin": 1.0} | changes
    return WindowScore(best=spans[0] if spans else None, n_best=spans, **values)


@st.composite
def window_lists(draw: st.DrawFn, *, max_tokens: int = 40) -> list[Window]:
    """The windows of a few pairs, among them passages without a token."""
    sizes = draw(st.lists(st.tuples(st.integers(0, max_tokens), st.integers(0, 7)), min_size=1, max_size=4))
    return [
        window
        for n_tokens, question_tokens in sizes
        for window in pair_windows(n_tokens, question_tokens=question_tokens)
    ]


def logits_for(windows: list[Window], *, seed: int, padding: int = 0) -> tuple[FloatArray, FloatArray]:
    """Start and end logits with many ties, (n_windows, longest + padding); NaN where there is no token."""
    rng = np.random.default_rng(seed)
    length = max(len(w) for w in windows) + padding
    start, end = (rng.integers(-12, 12, size=(2, len(windows), length)) / 4).astype(np.float32)
    for row, window in enumerate(windows):
        start[row, len(window) :] = end[row, len(window) :] = np.nan
    return start, end
