"""Tables of characters, whole and led astray, beside the tokenizers package that walks them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.charsmap import check_charsmap
from support.charsmaps import CHANGES, TABLE

HERE = Path("tokenizer.json")


def test_a_whole_table_does_what_it_says() -> None:
    check_charsmap(TABLE, HERE)
    normalizer = normalizers.Precompiled(TABLE)
    assert normalizer.normalize_str("ﬁbrosis ½ №5 \u0007é x") == "fibrosis 1/2 No5 e x"


@given(position=st.integers(0, len(TABLE) - 1), byte=st.integers(0, 255), cut=st.integers(0, 40))
def test_a_table_that_passes_never_leads_astray(position: int, byte: int, cut: int) -> None:
    """The package panics where a table leads out of itself, which no `except Exception` catches."""
    table = bytearray(TABLE)
    table[position] = byte
    del table[len(table) - cut :]
    try:
        check_charsmap(bytes(table), HERE)
    except CheckpointError:
        return
    normalizer = normalizers.Precompiled(bytes(table))
    for key in [*CHANGES, *map(chr, range(1, 0x300)), "ﬂ", "e\u0302", "№№", "🧬"]:
        normalizer.normalize_str(key)


UNITS = int.from_bytes(TABLE[:4], "little")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"", "is no table"),
        (TABLE[:100], "is no table"),
        ((1 << 31).to_bytes(4, "little") + TABLE[4:], "is no table"),
        (TABLE[:4] + (0xFFFFFC00).to_bytes(4, "little") + TABLE[8:], "leads out of itself"),
        (TABLE[: 4 + UNITS], "leads into nowhere"),
        (TABLE[: 4 + UNITS] + b"\xff" * 40, "holds no text"),
        (TABLE[: 4 + UNITS] + "é".encode() * 20, "leads into nowhere"),
    ],
)
def test_tables_that_lead_astray_are_refused(table: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check_charsmap(table, HERE)
