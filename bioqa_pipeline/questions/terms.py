"""English text into the terms that a search can use: words without question words, names of genes and drugs intact.

Everything that could be search syntax is gone after tokenising: a term consists of letters, digits and inner `-`, `.`
and `'` only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from bioqa_pipeline.abbreviations import defined_abbreviations
from bioqa_pipeline.text import GREEK

_STOP_WORDS_TEXT = """
a about above across after again against all almost along also although always am among an and another any are aren't
around as at be became because been before behind being below between beyond both but by can can't cannot could couldn't
despite did didn't do does doesn't doing don't done due during e.g each either else enough especially etc ever except
for from further had has hasabstract hasn't have haven't having he her here hers him his how however i i.e if in into is
isn't it its itself just kg km let like made mainly make may me mg might ml mm more most mostly much must my near nearly
neither no nor not now of off often on once one only onto or other our out over overall own per perhaps please quite
rather really regarding same seem seen several shall she should shouldn't since so some somebody someone something still
such than that the their theirs them themselves then there thereby therefore these they this those though through thus
to too toward towards under until up upon us various versus very via vs was wasn't we well were weren't what whatever
when whenever where whereas whereby wherein whether which whichever while who whoever whom whose why will with within
without won't would wouldn't yet you your
"""
_QUESTION_WORDS_TEXT = """
ask asked call called describe described define explain give given happen happened happens kind kinds know known
list many mention name named names say sort sorts state tell term think
"""
_STOP_WORDS = frozenset(f"{_STOP_WORDS_TEXT} {_QUESTION_WORDS_TEXT}".split())
# Content words that say what is asked about the subject, not what the subject is: abstracts often have others.
_SOFT_WORDS_TEXT = """
ability able achieve achieved actually affect affected affects age aged agent agents aim allow allows amount appear
appears approach approximately associated association average avoid based become becomes begin benefit best better case
cases causal cause caused causes causing certain chance change changed changes changing choice common commonly compare
compared comparison concluded conclusion condition conditions consequence consequences considered contribute contributes
current currently decrease decreased decreases degree depend depends detect detected determine develop developed
developing development differ difference differences different drive effect effective effectively effectiveness effects
evidence example examples exist experience explains extent fact factor factors far feature features figure find finding
findings first form found fraction frequency frequent frequently function functions get gets good greater group groups
happening help helped helpful helps high higher highest identified identify impact implicated improve improved
improvement improves include included includes including increase increased increases increasing indicate influence
instead investigate involve involved involves issue keep kept large larger largest last later lead leading leads least
less level levels likelihood likely link linked long longer look lot low lower lowered lowers lowest main majority
matter mean means measure measured measurement mechanism mechanisms mediate method methods months need needed needs new
normal number numbers occur occurs older outcome outcomes part participants particular patient patients people percent
percentage person play played plays point possible predict prefer presence present prevent preventing previously
probability problem process produce produced produces proportion proposed prove proved proven provide provides quickly
range rate rates reason reasons receive received recommended reduce reduced reduces reducing related relation
relationship report reported reports require required research researchers respond response responsible result results
role roles safe safely scientists serve serves show showed shown shows significant significantly similar size small
smaller specific start step strong strongest studied studies study subject subjects suffer suggest suggested suggests
suitable suited take taken takes taking target targets test tested time times treat treated treating treatment
treatments trigger triggers true try turn type types typical typically understood use used useful uses using usual
usually value values way ways week weeks work worked working works worse worst year years yield
"""
_SOFT_WORDS = frozenset(_SOFT_WORDS_TEXT.split())

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-")
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")
# Written in capitals, these stress what is said or join terms; other words that are names then (ALL, NO, WHO) stay.
_NEVER_NAMES = frozenset(("and", "or", "not"))
# What takes a letter behind it: "vitamin C. difficult to absorb" holds no genus.
_LETTERED = frozenset(
    "vitamin vitamins hepatitis influenza factor type group class protein stage grade phase category complex".split()
)
# A genus by its initial: "C. difficile", "S. Typhimurium".
_SPECIES = r"[A-Za-z][a-z]{2,}(?:-[a-z]+)*|[A-Z]{3,}"
_GENUS = rf"(?<![^\W_])(?<!\.)(?P<genus>[A-Z])\.\s?(?P<species>{_SPECIES})(?:'s)?(?![^\W_]|-)"
_TOKEN = re.compile(rf"{_GENUS}|[^\W_]+(?:[-.'][^\W_]+)*")
_LETTERS = {name: letter for letter, name in reversed(GREEK.items())}
_GREEK_LETTER = re.compile("[" + "".join(GREEK) + "]")
_GREEK_NAME = re.compile(rf"\b(?:{'|'.join(name for name in _LETTERS if len(name) > 3)})(?=\d*\b)")
_MARK = "|".join((*GREEK, *(name for name in _LETTERS if len(name) > 3), r"\d+"))
# "il-6", "tnf-α", "tgfbeta1": a name, perhaps a hyphen, a number or Greek letter, perhaps a number.
_MARKED_NAME = re.compile(rf"([a-z]{{2,}}\d*?)-?({_MARK})(\d*)")
# Its number can be cut in three ways at each digit, and no name is longer.
_MOST_NAME_CHARS = 60
_SUFFIXES = (
    "ations", "ation", "ements", "ement", "ments", "ment", "ities", "ity", "ively", "ives", "ive", "ions", "ion",
    "ings", "ing", "ally", "als", "al", "ies", "ied", "ers", "er", "ors", "or", "ed", "es", "ic", "ly", "s", "y", "e",
)  # fmt: skip
_MIN_STEM_CHARS = 5
_MIN_PLURAL_STEM_CHARS = 4  # also the least that PubMed truncates


@dataclass(frozen=True, slots=True)
class Word:
    """One term of a question.

    Attributes:
        text: lower case; several tokens with a space between where a short one belongs to its neighbour
            ("vitamin d", "type 2").
        core: it names something (a digit, a Greek letter or a capital inside, a proper noun, a species).
        soft: it says what is asked about the subject ("role", "increase") and may be left out.
        run: words of equal run stand side by side in the question.
    """

    text: str
    core: bool
    soft: bool
    run: int

    @property
    def spellings(self) -> tuple[str, ...]:
        """The word and, for a name, its other spellings: tnf-α, tnfα, tnf-alpha, tnfalpha; il-6, il6."""
        return tuple(dict.fromkeys((self.text, *_other_spellings(self.text, named=self.core))))

    @property
    def is_stop_word(self) -> bool:
        """Whether it is a name that reads like a word without content, as ALL and NO do in lower case."""
        return self.text in _STOP_WORDS

    @property
    def stem(self) -> str | None:
        """A prefix that its inflected forms share ("prevent" of "prevention"); None where cutting is not safe."""
        return None if self.core else _stem(self.text)


def question_words(text: str) -> tuple[Word, ...]:
    """The terms of a question in its order, each once; none where it has stop words only."""
    tokens = _tokens(text)
    cased = not all(token.text.upper() == token.text for token in tokens)
    titled = sum(token.text[0].isupper() for token in tokens[1:]) * 2 > len(tokens)
    words: dict[str, Word] = {}
    spelled = frozenset(a.short for a in defined_abbreviations(text))
    for run, members in enumerate(_runs(tokens, spelled, cased=cased)):
        for group in _glued(members):
            term = " ".join(token.lowered for token in group)
            named = cased and any(_is_name(token, proper_nouns=not titled) for token in group)
            numbered = group[-1].is_short and not group[0].is_short  # "type 2" says more than "type"
            soft = not numbered and all(token.is_short or token.lowered in _SOFT_WORDS for token in group)
            soft = soft and not (cased and any(token.is_in_capitals for token in group))
            words.setdefault(term, Word(term, named, soft, run))
    return tuple(words.values())


@dataclass(frozen=True, slots=True)
class _Token:
    """A token as written; `adjacent` where only white space stands between it and its predecessor."""

    text: str
    adjacent: bool
    position: int

    @property
    def lowered(self) -> str:
        """Lower case without the marks that some capitals turn into there."""
        return "".join(c for c in self.text.lower() if c.isalnum() or c in "-.' ")

    @property
    def is_in_capitals(self) -> bool:
        """Two capitals or more and nothing else: an abbreviation, where the other words have small letters."""
        return len(self.text) > 1 and self.text.isalpha() and self.text.isupper() and self.lowered not in _NEVER_NAMES

    @property
    def is_species(self) -> bool:
        """A genus by its initial, with its species."""
        return " " in self.text

    @property
    def is_short(self) -> bool:
        """Says something only beside its neighbour: the "D" of "vitamin D", the "2" of "type 2"."""
        return len(self.text) == 1 or (self.text.isdigit() and len(self.text) <= 3)


def _tokens(text: str) -> list[_Token]:
    plain = unicodedata.normalize("NFKC", text.translate(_DASHES | _APOSTROPHES))
    tokens: list[_Token] = []
    end = 0
    while match := _TOKEN.search(plain, end):
        between = plain[end : match.start()]
        written, end = match.group(), match.end()
        if match["genus"] and _is_genus(tokens, match["species"]):
            written = f"{match['genus']} {match['species']}"
        elif match["genus"]:
            written, end = match["genus"], match.end("genus")
        tokens.append(_Token(written.removesuffix("'s"), between.isspace(), len(tokens)))
    return tokens


def _is_genus(before: list[_Token], species: str) -> bool:
    """Not the end of a sentence, "hepatitis B. Which", and not a name with its initial, "vitamin C. difficult"."""
    is_lettered = bool(before) and before[-1].text.lower() in _LETTERED
    return not is_lettered and species.lower() not in _STOP_WORDS


def _runs(tokens: list[_Token], spelled: frozenset[str], *, cased: bool) -> list[list[_Token]]:
    """Content tokens in runs of neighbours; words in capitals are content, and so is a capital "A" or "I" behind a
    content word ("hepatitis A"). A name that reads like a word without content, as ALL, is none where the question
    spells it out: nearly every abstract has such a word.

    Args:
        spelled: the abbreviations that stand there in full too.
    """
    runs: list[list[_Token]] = [[]]
    for token in tokens:
        if not token.adjacent:
            runs.append([])
        is_letter = cased and token.is_short and token.text.isupper() and bool(runs[-1])
        is_name = cased and token.is_in_capitals and token.text not in spelled
        if token.lowered in _STOP_WORDS and not is_letter and not is_name:
            runs.append([])
        else:
            runs[-1].append(token)
    return [run for run in runs if run]


def _glued(run: list[_Token]) -> list[list[_Token]]:
    """Short tokens joined to the one before, at the start of a run to the one behind."""
    groups: list[list[_Token]] = []
    for token in run:
        if groups and (token.is_short or all(other.is_short for other in groups[-1])):
            groups[-1].append(token)
        else:
            groups.append([token])
    return groups


def _is_name(token: _Token, *, proper_nouns: bool) -> bool:
    """Digits beside letters, Greek letters, capitals inside, and capitals at the start except in the first word."""
    text = token.text
    if token.is_short:
        return False
    if token.is_species:
        return True
    if any(c.isdigit() for c in text) and any(c.isalpha() for c in text):
        return True
    if _GREEK_LETTER.search(text) or any(c.isupper() for c in text[1:]):
        return True
    return proper_nouns and token.position > 0 and text[0].isupper()


def _other_spellings(text: str, *, named: bool) -> list[str]:
    marked = _MARKED_NAME.fullmatch(text) if named and len(text) <= _MOST_NAME_CHARS else None
    if marked is None:
        by_name = _GREEK_LETTER.sub(lambda match: GREEK[match.group()], text)
        by_letter = _GREEK_NAME.sub(lambda match: _LETTERS[match.group()], text)
        return [by_name, by_letter]
    name, mark, number = marked.groups()
    marks = (mark, GREEK.get(mark) or _LETTERS.get(mark) or mark)
    return [f"{name}{hyphen}{other}{number}" for other in marks for hyphen in ("-", "")]


def _stem(word: str) -> str | None:
    if not word.isascii() or not word.isalpha():
        return None
    for suffix in _SUFFIXES:
        stem = word.removesuffix(suffix)
        if stem != word and len(stem) >= (_MIN_PLURAL_STEM_CHARS if suffix == "s" else _MIN_STEM_CHARS):
            return stem
    return word if len(word) >= _MIN_STEM_CHARS else None
