from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.text import normalize_text, sentences


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("a\u00a0b\u2009c\n\t d", "a b c d"),
        ("cafe\u0301", "café"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("TNF\u00ad-α", "TNF-α"),
        ("a\x00b\x1fc", "a b c"),
        ("\u202eabc\u202c", "abc"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("  ", ""),
    ],
)
def test_normal_form(raw: str, normal: str) -> None:
    assert normalize_text(raw) == normal


@given(st.text())
def test_normal_form_is_stable(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip() and "  " not in once


@pytest.mark.parametrize(
    "parts",
    [
        ("One sentence.",),
        ("No stop at all",),
        ("Scurvy is old.", "Vitamin C cures it."),
        ("Is it so?", "Yes!", "It is."),
        ("The mean was 3.5 mg.", "It fell to 2.1 mg."),
        ("P < .05 was significant.", "We stopped."),
        ("Drugs, e.g. aspirin, help.", "So do others."),
        ("Drugs (e.g. Aspirin) help.", "So do others."),
        ("See Fig. 2 for details.", "It shows more."),
        ("Smith et al. 2004 found it.", "Others did not."),
        ("S. aureus is common.", "E. coli is too."),
        ("We isolated S. aureus and E. Coli strains.", "They grew."),
        ("It needs vitamin C.", "Without it, scurvy follows."),
        ("The patient has hepatitis B.", "Treatment was begun."),
        ("It was described by J. Smith in 1900.", "It was forgotten."),
        ("Values (i.e. Means. And medians) were used.", "They agree."),
        ('He said "stop."', "Then he left."),
        ("It was 5 vs. 7 days.", "The difference was small."),
        ("METHODS: We tested 10 mice.", "RESULTS: All lived."),
        ("It costs 5 U.S. dollars.", "That is little."),
        ("Children, adults, etc. were seen.", "All were well."),
        ("Lactobacillus spp. Were found.",),
        ("The group (n = 5.)", "Another one."),
        ("No. 5 was best.", "No. 6 was worst."),
        ("It ended.", "(This is a remark.)", "It went on."),
        ("Ended here.", "“Quoted,” he said."),
        ("Dose was 5 mg i.v. once daily.", "No harm was seen."),
        ("First.", "2 mice died."),
        ("it ended. then lower case went on.",),
    ],
)
def test_hand_written_sentences(parts: tuple[str, ...]) -> None:
    text = " ".join(parts)
    assert tuple(text[a:b] for a, b in sentences(text)) == parts


prose = st.lists(
    st.sampled_from(
        "The a. B. e.g. (see Fig. 2) 3.5 mg. Why? No! et al. ” ( ) [ ] “Yes.” β-cells. 中。 \n \u00a0".split(" ")
    ),
    max_size=30,
).map(" ".join)


@given(prose | st.text())
def test_sentences_cover_all_but_white_space(text: str) -> None:
    found = sentences(text)
    position = 0
    for start, end in found:
        assert start < end
        assert text[position:start].isspace() or position == start
        assert not text[start].isspace() and not text[end - 1].isspace()
        position = end
    assert not text[position:].strip()
