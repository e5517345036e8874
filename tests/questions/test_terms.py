from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.questions.terms import question_words


def texts(question: str) -> list[str]:
    return [word.text for word in question_words(question)]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What causes scurvy?", ["causes", "scurvy"]),
        ("WHAT CAUSES SCURVY?", ["causes", "scurvy"]),
        ("Is vitamin D low in type 2 diabetes?", ["vitamin d", "low", "type 2", "diabetes"]),
        ("Which vaccine prevents hepatitis A?", ["vaccine", "prevents", "hepatitis a"]),
        ("Can I take a B cell?", ["take", "b cell"]),
        ("5 fluorouracil, 2 doses", ["5 fluorouracil", "2 doses"]),
        ("Parkinson’s or Alzheimer's", ["parkinson", "alzheimer"]),
        ("H₂O₂ and TNF‐α (ﬁrst)", ["h2o2", "tnf-α", "first"]),
        ("non-small-cell lung cancer—p.V600E", ["non-small-cell", "lung", "cancer", "p.v600e"]),
        ("cancer cancer Cancer", ["cancer"]),
        ("Who is it?", []),
        ("", []),
        ("What causes ALL in children?", ["causes", "all", "children"]),
        ("Which gene is mutated in WAS?", ["gene", "mutated", "was"]),
        ("By way of what does NO relax?", ["way", "no", "relax"]),
        ("Can ME be treated in the US, as the WHO says of CAN?", ["me", "treated", "us", "who", "says", "can"]),
        ("WHAT CAUSES ALL IN CHILDREN?", ["causes", "children"]),
        # Spelled out beside it, a name like a word without content says nothing more.
        (
            "Which drug treats acute lymphoblastic leukaemia (ALL), and who has ALL?",
            ["drug", "treats", "acute", "lymphoblastic", "leukaemia"],
        ),
        ("What does NO (nitric oxide) dilate?", ["nitric", "oxide", "dilate"]),
        ("What does the WHO (no party) say of ALL?", ["who", "party", "all"]),
        ("Does epidermal growth factor (EGF) heal?", ["epidermal", "growth", "factor", "egf", "heal"]),
        ("Which drug does NOT help AND which OR not?", ["drug", "help"]),
        ("What treats C. difficile in adults?", ["treats", "c difficile", "adults"]),
        ("E. coli's or S. Typhimurium?", ["e coli", "s typhimurium"]),
        ("Is it S.aureus?", ["s aureus"]),
        ("He has hepatitis B. What treats it?", ["hepatitis b", "treats"]),
        ("Vitamin C. deficiency signs", ["vitamin c", "deficiency", "signs"]),
        ("WHAT TREATS C. DIFFICILE?", ["treats", "c difficile"]),
    ],
)
def test_words_of_a_question(question: str, expected: list[str]) -> None:
    assert texts(question) == expected


@pytest.mark.parametrize(
    ("question", "core"),
    [
        ("Does Axl or p53 matter in BRCA1 and mTOR biology?", ["axl", "p53", "brca1", "mtor"]),
        ("Does α-synuclein matter?", ["α-synuclein"]),
        ("Aspirin in Sweden", ["sweden"]),
        ("DOES P53 MATTER?", []),
        ("The Role Of Vitamins In Cancer Care", []),
        ("The Role Of mTOR In Cancer Care", ["mtor"]),
        ("is type 2 worse than type 1?", []),
        ("What causes ALL in children?", ["all"]),
        ("E. coli in water", ["e coli"]),
    ],
)
def test_names_are_told_from_other_words(question: str, core: list[str]) -> None:
    assert [word.text for word in question_words(question) if word.core] == core


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("IL-6", ("il-6", "il6")),
        ("IL6", ("il6", "il-6")),
        ("TNF-α", ("tnf-α", "tnfα", "tnf-alpha", "tnfalpha")),
        ("TNFalpha", ("tnfalpha", "tnf-alpha", "tnf-α", "tnfα")),
        ("TGF-β1", ("tgf-β1", "tgfβ1", "tgf-beta1", "tgfbeta1")),
        ("TIF1beta", ("tif1beta", "tif1-beta", "tif1-β", "tif1β")),
        ("α-synuclein", ("α-synuclein", "alpha-synuclein")),
        ("beta-endorphin", ("beta-endorphin", "β-endorphin")),
        ("p53", ("p53",)),
        ("CYP2D6", ("cyp2d6",)),
        ("alphabet", ("alphabet",)),
        ("well-known", ("well-known",)),
    ],
)
def test_names_in_all_their_spellings(name: str, spellings: tuple[str, ...]) -> None:
    (word,) = question_words(f"x-ray of {name}")[1:]
    assert set(word.spellings) == set(spellings)
    assert word.spellings[0] == spellings[0]


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("prevention", "prevent"),
        ("preventing", "prevent"),
        ("infections", "infect"),
        ("tumours", "tumour"),
        ("cells", "cell"),
        ("bats", None),
        ("rats", None),
        ("obesity", "obesit"),
        ("scurvy", "scurv"),
        ("heart", "heart"),
        ("lung", None),
        ("naïve", None),
    ],
)
def test_stems_are_prefixes_of_inflected_forms(word: str, stem: str | None) -> None:
    (parsed,) = question_words(word)
    assert parsed.stem == stem
    assert stem is None or word.startswith(stem)


def test_words_side_by_side_share_a_run() -> None:
    words = question_words("Does congestive heart failure, in smokers, shorten life?")
    assert [(word.text, word.run) for word in words] == [
        ("congestive", 0),
        ("heart", 0),
        ("failure", 0),
        ("smokers", 1),
        ("shorten", 2),
        ("life", 2),
    ]


def test_words_about_the_asking_are_soft() -> None:
    words = question_words("What role does the number of type 2 cells play in treatment of gout after 6 weeks?")
    assert [word.text for word in words if word.soft] == ["role", "number", "play", "treatment", "6 weeks"]
    assert not any(word.soft for word in question_words("What of AGE and LEAD?"))


@given(st.text())
def test_no_term_holds_syntax_or_capitals(text: str) -> None:
    for word in question_words(text):
        for term in word.spellings:
            assert term == term.strip()
            assert all(c.isalnum() or c in " -.'" for c in term)
            assert all(part and part[0].isalnum() and part not in ("AND", "OR", "NOT") for part in term.split(" "))
        assert word.stem is None or (len(word.stem) >= 4 and word.text.startswith(word.stem))


@given(st.text())
def test_words_are_distinct_and_their_runs_in_order(text: str) -> None:
    words = question_words(text)
    assert len({word.text for word in words}) == len(words)
    assert [word.run for word in words] == sorted(word.run for word in words)
