"""What the exact parts compute, written down as their definitions say it."""

from __future__ import annotations

from bioqa_pipeline.records import FloatArray, Window


def valid_spans(window: Window, start: FloatArray, end: FloatArray, longest: int) -> list[tuple[float, int, int]]:
    """(score, first token, last token) of every span that counts, best first, then the earlier, then the shorter."""
    shift = window.passage_offset - window.token_start
    spans = [
        (float(start[i + shift] + end[j + shift]), i, j)
        for i in range(window.context_start, window.context_end)
        for j in range(i, min(i + longest, window.token_end))
    ]
    return sorted(spans, key=lambda s: (-s[0], s[1], s[2]))
