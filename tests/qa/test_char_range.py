from __future__ import annotations

import numpy as np
import pytest

from bioqa_pipeline.records.scores import TokenizedText
from support.windows import char_range


def tokens(*offsets: tuple[int, int]) -> TokenizedText:
    array = np.array(offsets, dtype=np.int32)
    return TokenizedText(ids=np.arange(len(offsets), dtype=np.int32), starts=array[:, 0], ends=array[:, 1])


@pytest.mark.parametrize(
    ("text", "offsets", "pieces", "words"),
    [
        ("cholesterol falls", (5, 11), "sterol", "cholesterol"),
        ("cholesterol falls", (0, 5), "chole", "cholesterol"),
        ("IL-6 rises", (3, 4), "6", "6"),
        ("10,000 mice", (3, 6), "000", "000"),
        ("β2-microglobulin", (0, 1), "β", "β2"),
        ("x\u0304y z", (0, 1), "x\u0304", "x\u0304y"),
        ("中文字", (1, 2), "文", "文"),
        ("EGFR中", (0, 2), "EG", "EGFR"),
        ("a b", (0, 3), "a b", "a b"),
    ],
)
def test_whole_words(text: str, offsets: tuple[int, int], pieces: str, words: str) -> None:
    for expected, whole in ((pieces, False), (words, True)):
        start, end = char_range(text, tokens(offsets), 0, 0, whole_words=whole)
        assert text[start:end] == expected
