from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bioqa_pipeline.text as text_module
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


# Sentences are separated by "|" where white space stands in the text.
SENTENCES = """
One sentence.
No stop at all
Scurvy is old.|Vitamin C cures it.
Is it so?|Yes!|It is.
Why?!|Nobody knows.
The mean was 3.5 mg.|It fell to 2.1 mg.
P < .05 was significant.|We stopped.
Drugs, e.g. aspirin, help.|So do others.
Drugs (e.g. Aspirin) help.|So do others.
Some, i. e. Two, died.|One (e. g. This) lived.
See Fig. 2 for details.|It shows more.
Smith et al. 2004 found it.|Others did not.
Reported by Wu et al. (J. Med. Syst. 37:19, 43-51) in 2013.|It is old.
As in Antioxid. Redox Signal. 27, 913-930.
S. aureus is common.|E. coli is too.
We isolated S. aureus and E. Coli strains.|They grew.
Aedes (Ae. (Finlaya) spp.) bite.|Ae. aegypti too.
Lactobacillus spp. Were found.
Lactobacillus spp.|The rest died.
It needs vitamin C.|Without it, scurvy follows.
The patient has hepatitis B.|Treatment was begun.
Group I.|The dose was low.|Group II.|It was high.
They were held at 4 C.|However, none died.|It was 37 °C.|Cells grew.
It was described by J. Smith in 1900.|It was forgotten.
Release of NO.|Levels rose.|CA.|Levels fell.
Values (i.e. Means. And medians) were used.|They agree.
He said "stop."|Then he left.
It was 5 vs. 7 days.|The difference was small.
METHODS: We tested 10 mice.|RESULTS: All lived.
It costs 5 U.S. dollars.|That is little.
The U.S. Navy paid.|It is in the U.S.|The rest is not.
Children, adults, etc. were seen.|All were well.
They saw adults, etc.|Mice were well.
The group (n = 5.)|Another one.
No. 5 was best.|The answer was no.|No. 6 was worst.
It ended.|(This is a remark.)|It went on.
Ended here.|“Quoted,” he said.
Dose was 5 mg i.v. once daily.|No harm was seen.
They had 12,000 p.p.m. DEHP in the diet.|It was i.c.v.|The rest was oral.
After 10 min.|Thereafter, all fell.|It took 5 ms.|The rest too.
First.|2 mice died.
It blocked transport.|mRNA levels fell.|p53 rose.
Rats ate di(2-ethylhexyl phthalate (DEHP).|Groups of five were fed.
It was 43.0% (OR, 1.75; P < .0001].|It rose (a lot.
Is it safe? and for whom?|(Yes.)|[No.]
It was published.|©2017 AACR.
it ended. then lower case went on.
See it. https://example.org/A1 has more.
"""


@pytest.mark.parametrize("line", SENTENCES.strip().splitlines())
def test_hand_written_sentences(line: str) -> None:
    text = line.replace("|", " ")
    assert [text[a:b] for a, b in sentences(text)] == line.split("|")


prose = st.lists(
    st.sampled_from(
        "The a. B. e.g. (see Fig. 2) 3.5 mg. Why? No! et al. ” ( ) [ ] “Yes.” β-cells. 中。 p53. \n \u00a0".split(" ")
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


def test_brackets_far_apart_enclose_nothing() -> None:
    text = "A list (" + "a one. " * 100 + "It ends). Really."
    assert len(sentences(text)) == 3
    assert len(sentences("(" + "It is. " * 20 + ") So.")) == 1


@pytest.mark.parametrize("unit", ["e.g. ", "A. ", "(", "(a. ", "a.", "? ", "”", "é. B. (", "1, 2. "])
def test_sentences_cover_hostile_text(unit: str) -> None:
    text = unit * (60_000 // len(unit))
    assert "".join(text[a:b] for a, b in sentences(text)).replace(" ", "") == text.replace(" ", "")


def test_normal_form_of_hostile_text_ends_in_time() -> None:
    marks = "\u0300\u0316" * 250_000
    assert normalize_text("a" + marks + "b c") == normalize_text("a" + marks[:30] + "b c")


def test_marks_of_real_scripts_stay() -> None:
    zalgo = "a" + "\u0301\u0316" * 15
    assert normalize_text(zalgo) == unicodedata.normalize("NFC", zalgo)
    assert normalize_text("—" * 100 + "…") == "—" * 100 + "…"


def test_shortcuts_hold_for_every_code_point() -> None:
    """What is printable is neither invisible nor a control; what can be reordered is among the candidates."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if character.isprintable():
            assert not text_module._INVISIBLE.match(character) and not text_module._CONTROLS.match(character)
        if unicodedata.combining(character):
            assert text_module._MARKS.fullmatch(character * 40)
