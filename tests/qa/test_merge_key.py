from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.abbreviations import Abbreviation
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.qa.merging import Candidate, merge_answers, merge_keys
from bioqa_pipeline.records.texts import Question
from support.work import ends

PIECES = (
    "the a A an of no not up to over at least about vitamin type stage gene receptor IL TNF BRCA AIDS SARS pH "
    "CD4 CD25 + - − – / ± > < ≥ ≤ = % ( ) [ ] . , ' 1,000 1.5 0.50 5 10 15 2020-03-15 March mg kg mM μg per percent "
    "α β alpha beta -blocker anti- non- diseases biopsies tumours haemophilia II IV IIIA one twenty million first fold "
    "hepatitis cent ² ⁻³ ₂ ½ ° × * ^ _ : miR Xa é ﬁ ß α-synuclein x s th"
).split()
characters = st.characters(codec="latin-1") | st.sampled_from("αβΔμςI\u0301\u0130ſ−–―≥≠½²⁻₂×ﬁᴀⅣ№℃ж中٣")
texts = st.lists(st.sampled_from([*PIECES, " ", " "]), max_size=8).map("".join) | st.lists(
    st.sampled_from(PIECES), max_size=6
).map(" ".join)


@given(texts | st.text(characters, max_size=12))
def test_the_key_of_a_key_is_the_key(text: str) -> None:
    key = answer_key(text)
    assert answer_key(key) == key


@given(texts)
def test_blanks_around_and_between_words_are_nothing(text: str) -> None:
    assert answer_key(f"  {text.replace(' ', '   ')} ") == answer_key(text)


ordinary = st.sampled_from("lung cancers antibodies anti inflammatory the an tumours Leukaemia".split())


@given(st.lists(ordinary, min_size=1))
def test_a_text_of_words_alone_is_read_like_any_other(words: list[str]) -> None:
    """What takes the short way has the key of what does not; a trailing point changes nothing."""
    assert answer_key(" ".join(words)) == answer_key(" ".join(words) + ".")


shorts = st.sampled_from(["AD", "MS", "EGFR", "IL-6"])
longs = st.sampled_from(["atopic dermatitis", "Alzheimer's disease", "multiple sclerosis", "receptor", "interleukin-6"])
definitions = st.builds(Abbreviation, shorts, longs)
answers = shorts | longs | st.sampled_from(["AD patients", "the EGFR gene", "receptor (EGFR)", "5 mg", "IL6"])


def candidate(pmid: int, answer: str, defined: Sequence[Abbreviation]) -> Candidate:
    return Candidate(pmid, answer, 0.0, 0.5, abbreviations=tuple({d.short: d for d in defined}.values()))


candidates = st.lists(st.builds(candidate, st.just(0), answers, st.lists(definitions, max_size=2)), max_size=8)


@given(candidates, st.randoms(use_true_random=False))
def test_an_answer_has_its_key_whatever_the_order(found: list[Candidate], shuffler: random.Random) -> None:
    keys = merge_keys(found)
    order = list(range(len(found)))
    shuffler.shuffle(order)
    assert merge_keys([found[i] for i in order]) == [keys[i] for i in order]


@given(candidates)
def test_groups_are_those_of_comparing_every_pair(found: list[Candidate]) -> None:
    """Two answers are in one group exactly where their keys are equal: no chain joins what differs."""
    numbered = [Candidate(i, c.answer, 0.0, 0.5, abbreviations=c.abbreviations) for i, c in enumerate(found)]
    merged = merge_answers(Question("q", "q"), numbered, limit=len(numbered) + 1)
    keys = merge_keys(numbered)
    together = {pair for m in merged for pair in combinations(sorted(m.support_pmids), 2)}
    assert together == {(i, j) for i, j in combinations(range(len(keys)), 2) if keys[i] == keys[j]}


@given(answers, st.lists(definitions, max_size=4), st.lists(definitions, max_size=4))
def test_what_an_abstract_defines_counts_before_what_others_do(
    answer: str, mine: Sequence[Abbreviation], others: Sequence[Abbreviation]
) -> None:
    asked = candidate(1, answer, mine)
    if any(d.short == answer for d in mine):
        among = [candidate(i, d.short, (d,)) for i, d in enumerate(others, start=2)]
        assert merge_keys([asked, *among])[:1] == merge_keys([asked])


def calls(n: int) -> int:
    """Function calls, C and Python, that merging n answers takes, each of its own abbreviations."""
    shuffled = random.Random(n)
    letters = "abcdefghijklmnoprst"
    found = []
    for i in range(n):
        words = ["".join(shuffled.choices(letters, k=7)) for _ in range(6)]
        short = "".join(w[0] for w in words[:3]).upper() + str(i)
        defined = (Abbreviation(short, " ".join(words[:3])), Abbreviation(short[::-1], " ".join(words[3:])))
        found.append(Candidate(i, short if i % 2 else " ".join(words), 0.0, 0.5, abbreviations=defined))
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    answer_key.cache_clear()
    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        merge_answers(Question("q", "q"), found)
    finally:
        sys.setprofile(before)
    return count


def test_the_work_grows_with_the_number_of_answers_and_not_with_its_square() -> None:
    assert calls(240) < 2.5 * calls(120)


REPEATED = ["5-", "+", "(", "1,000", "a ", "CD4+", "A", "gene ", "between 5 and ", "α", "10(", "a.", "e\u0301"]


@pytest.mark.parametrize("piece", REPEATED)
def test_a_long_answer_ends(piece: str) -> None:
    with ends():
        answer_key.__wrapped__(piece * 6_000)


@pytest.mark.slow  # measures processor time
@pytest.mark.parametrize("piece", REPEATED)
def test_a_long_answer_takes_time_in_proportion(piece: str) -> None:
    """A rule that begins anew at each place would take sixty-four times as long for eight times the text."""

    def seconds(n: int) -> float:
        answer_key.cache_clear()
        started = time.process_time()
        answer_key(piece * n)
        return time.process_time() - started

    assert seconds(3_200) < 30 * min(seconds(400) for _ in range(3)) + 0.05
