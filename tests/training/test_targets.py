"""Where a window's target is, by hand: the window decides, not the passage."""

from __future__ import annotations

import pytest

from bioqa_pipeline.training.data import label_window
from support.builders import pair_windows


@pytest.mark.parametrize(
    ("span", "first", "second"),
    [
        ((0, 0), (5, 5), None),
        ((8, 9), (13, 14), (9, 10)),  # up to the last token of the first window
        ((9, 10), None, (10, 11)),  # one token past its end
        ((9, 13), None, (10, 14)),  # from before its end to the last of the second
        ((9, 14), None, None),
        ((4, 4), (9, 9), (5, 5)),  # the first token of the second window
        ((3, 4), (8, 9), None),  # one token before its start
        ((14, 14), None, None),
    ],
)
def test_an_answer_counts_where_the_window_holds_all_of_it(
    span: tuple[int, int], first: tuple[int, int] | None, second: tuple[int, int] | None
) -> None:
    one, two, *_ = pair_windows(20)
    assert [(w.token_start, w.token_end, w.passage_offset) for w in (one, two)] == [(0, 10, 5), (4, 14, 5)]
    for window, target in ((one, first), (two, second)):
        labelled = label_window(window, span)
        assert (labelled.start, labelled.end) == (target or (0, 0))
        assert labelled.window is window


def test_no_answer_is_the_null() -> None:
    [window] = pair_windows(5)
    labelled = label_window(window, None)
    assert (labelled.start, labelled.end) == (0, 0)
