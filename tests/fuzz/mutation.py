"""Valid documents into broken ones: pieces cut out, doubled, repeated, exchanged, and signs of their syntax put in."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

# What a document may become at most, so that an example stays quick where the work is linear.
MOST_BYTES = 200_000
_CHANGES = ("cut", "repeat", "insert", "replace", "move", "end")


@st.composite
def broken(draw: st.DrawFn, documents: Sequence[bytes], signs: Sequence[bytes]) -> bytes:
    """One of the documents after some changes, sometimes after none.

    Args:
        signs: what the syntax of the documents is made of, put in at random places.
    """
    data = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(0, 6))):
        start, end = sorted((_place(draw, data), _place(draw, data)))
        # Most faults are small.
        end = min(end, start + draw(st.sampled_from((1, 8, 64, len(data)))))
        piece = data[start:end]
        match draw(st.sampled_from(_CHANGES)):
            case "cut":
                data = data[:start] + data[end:]
            case "repeat":
                times = min(draw(st.sampled_from((2, 3, 100, 5000))), max(1, MOST_BYTES // max(1, len(piece))))
                data = data[:start] + piece * times + data[end:]
            case "insert":
                data = data[:start] + draw(st.sampled_from(signs)) + data[start:]
            case "replace":
                data = data[:start] + draw(st.sampled_from(signs) | st.binary(max_size=8)) + data[end:]
            case "move":
                place = _place(draw, data)
                data = data[:place] + piece + data[place:]
            case "end":
                data = data[:start]
    return data[:MOST_BYTES]


def _place(draw: st.DrawFn, data: bytes) -> int:
    return draw(st.integers(0, 10_000)) * len(data) // 10_000
