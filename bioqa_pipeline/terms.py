"""English text into the terms that a search can use: words without question words, names of genes and drugs intact.

Everything that could be search syntax is gone after tokenising: a term consists of letters, digits and inner `-`, `.`
and `'` only. Knows nothing of PubMed's query language and of no index.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_STOP_WORDS_TEXT = """
a about again all almost also although always am among an and another any are as at be became because been before
being between both but by can cannot could did do does doing done due during each either else enough especially
etc ever for from further had has have having he her here hers him his how however i if in into is it its itself
just let like made mainly make may me might more most mostly much must my nearly neither no nor not now of off
often on once one only onto or other our out over overall own per perhaps please quite rather really regarding
same seem seen several shall she should since so some somebody someone something still such than that the their
theirs them themselves then there thereby therefore these they this those though through thus to too under until
up upon us various very via was we well were what whatever when whenever where whereas whereby wherein whether
which whichever while who whoever whom whose why will with within without would yet you your
aren't can't couldn't didn't doesn't don't hasn't haven't isn't it's shouldn't that's there's wasn't weren't
what's won't wouldn't
hasabstract
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
_QUESTION_WORDS_TEXT = """
ask asked call called describe described define explain give given happen happened happens kind kinds know known
list many mention name named names say sort sorts state tell term think
"""
_QUESTION_WORDS = frozenset(_QUESTION_WORDS_TEXT.split())
# Content words that say what is asked about the subject, not what the subject is: abstracts often have others.
_SOFT_WORDS_TEXT = """
ability able achieve achieved actually affect affected affects after against age aged agent agents aim allow allows
amount appear appears approach approximately around associated association average avoid based become becomes begin
benefit best better case cases causal cause caused causes causing certain change changed changes changing choice
chance common commonly compared comparison compare concluded conclusion condition conditions consequence
consequences considered contribute contributes could current currently decrease decreased decreases degree depend
depends detect detected determine develop developed developing development did differ difference differences
different do drive effect effective effectively effectiveness effects evidence example examples exist experience
explain explains extent fact factor factors far feature features figure find finding findings first form found
fraction frequency frequent frequently function functions get gets good greater group groups happening help helped
helpful helps high higher highest identified identify impact implicated improve improved improves improvement
include included includes including increase increased increases increasing indicate influence instead involve
involved involves investigate issue keep kept large larger largest last later lead leading leads least less level
levels likelihood likely linked link long longer look lot low lower lowered lowers lowest main majority many matter
mean means measure measured measurement mechanism mechanisms mediate method methods months most need needed needs
new normal number numbers occur occurs often older outcome outcomes overall part participants particular patient
patients people percent percentage person play played plays point possible predict prefer presence present prevent
preventing previously probability problem process produce produced produces proportion proposed prove proved proven
provide provides quickly range rate rates reason reasons receive received recommended reduce reduced reduces
reducing related relation relationship report reported reports require required research researchers respond
response responsible result results role roles safe safely scientists serve serves show showed shown shows
significant significantly similar size small smaller specific start step strong strongest studied studies study
subject subjects suffer suggest suggested suggests suitable suited take taken takes taking target targets test
tested time times treat treated treating treatment treatments trigger triggers true try turn type types typical
typically understood use used useful uses using usual usually value values way ways week weeks work worked working
works worse worst year years yield
"""
_SOFT_WORDS = frozenset(_SOFT_WORDS_TEXT.split())

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-")
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u2032\u00b4`"), "'")
_WORD = re.compile(r"[^\W_]+(?:[-.'][^\W_]+)*")
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ο": "omicron", "π": "pi", "ρ": "rho",
    "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi",
    "ω": "omega",
}  # fmt: skip
_GREEK_LETTER = re.compile("[" + "".join(_GREEK) + "]")
_LETTERS = {name: letter for letter, name in _GREEK.items() if letter not in "ςϕ"}
_GREEK_NAME = re.compile(r"\b(?:alpha|beta|gamma|delta|epsilon|kappa|lambda|omega|sigma|theta|zeta)\b")
_SUFFIXES = (
    "ations", "ation", "ements", "ement", "ments", "ment", "ities", "ity", "ively", "ives", "ive", "ions", "ion",
    "ings", "ing", "ally", "als", "al", "ies", "ied", "ers", "er", "ors", "or", "ed", "es", "ic", "ly", "s", "y", "e",
)  # fmt: skip
_MIN_STEM_CHARS = 5
_MIN_PLURAL_STEM_CHARS = 4  # also PubMed's least number of characters before a truncation


@dataclass(frozen=True, slots=True)
class Word:
    """One term of a question.

    Attributes:
        text: lower case; several tokens with a space between where a short one belongs to its neighbour
            ("vitamin d", "type 2").
        core: it names something (a digit, a Greek letter or a capital inside, a proper noun).
        soft: it says what is asked about the subject ("role", "increase") and may be left out.
        run: words of equal run stand side by side in the question.
    """

    text: str
    core: bool
    soft: bool
    run: int

    @property
    def variants(self) -> tuple[str, ...]:
        """The word, and its Greek letters in the other spelling: "tnf-α", "tnf-alpha"."""
        return (self.text, *_other_spellings(self.text))

    @property
    def stem(self) -> str | None:
        """A prefix that its inflected forms share ("prevent" of "prevention"); None where cutting is not safe."""
        return None if self.core else _stem(self.text)


def question_words(text: str) -> tuple[Word, ...]:
    """The terms of a question in its order, each once; all of its words where it has stop words only."""
    tokens = _tokens(text)
    return _words(tokens, _STOP_WORDS | _QUESTION_WORDS) or _words(tokens, frozenset())


def content_terms(text: str) -> tuple[str, ...]:
    """The terms of a text for a ranked full-text search, lower case, each once, in order.

    Stop words and question words are gone, Greek letters stand in both spellings, other words as written: an index
    that folds inflections does so itself.
    """
    return tuple(dict.fromkeys(variant for word in question_words(text) for variant in word.variants))


@dataclass(frozen=True, slots=True)
class _Token:
    """A token as written; `adjacent` where only white space stands between it and its predecessor."""

    text: str
    adjacent: bool
    position: int

    @property
    def lowered(self) -> str:
        return self.text.lower()

    @property
    def is_short(self) -> bool:
        """Says something only beside its neighbour: the "D" of "vitamin D", the "2" of "type 2"."""
        return len(self.text) == 1 or (self.text.isdigit() and len(self.text) <= 3)


def _tokens(text: str) -> list[_Token]:
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES | _APOSTROPHES)
    tokens: list[_Token] = []
    end = 0
    for match in _WORD.finditer(plain):
        between = plain[end : match.start()]
        tokens.append(_Token(match.group().removesuffix("'s"), between.isspace(), len(tokens)))
        end = match.end()
    return tokens


def _words(tokens: list[_Token], stop_words: frozenset[str]) -> tuple[Word, ...]:
    cased = not all(token.text.upper() == token.text for token in tokens)
    titled = sum(token.text[0].isupper() for token in tokens[1:]) * 2 > len(tokens)
    words: dict[str, Word] = {}
    for run, members in enumerate(_runs(tokens, stop_words, cased=cased)):
        for group in _glued(members):
            text = " ".join(token.lowered for token in group)
            named = cased and any(_is_name(token, proper_nouns=not titled) for token in group)
            numbered = group[-1].is_short and not group[0].is_short  # "type 2" says more than "type"
            soft = not numbered and all(token.lowered in _SOFT_WORDS or token.is_short for token in group)
            words.setdefault(text, Word(text, named, soft, run))
    return tuple(words.values())


def _runs(tokens: list[_Token], stop_words: frozenset[str], *, cased: bool) -> list[list[_Token]]:
    """Content tokens in runs of neighbours; a capital "A" or "I" behind a content word is content ("hepatitis A")."""
    runs: list[list[_Token]] = [[]]
    for token in tokens:
        if not token.adjacent:
            runs.append([])
        is_letter = cased and token.is_short and token.text.isupper() and bool(runs[-1])
        if token.lowered in stop_words and not is_letter:
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
    if any(c.isdigit() for c in text) and any(c.isalpha() for c in text):
        return True
    if _GREEK_LETTER.search(text) or any(c.isupper() for c in text[1:]):
        return True
    return proper_nouns and token.position > 0 and text[0].isupper()


def _other_spellings(text: str) -> list[str]:
    """Greek letters by name and names by letter, where the text has any."""
    named = _GREEK_LETTER.sub(lambda match: _GREEK[match.group()], text)
    lettered = _GREEK_NAME.sub(lambda match: _LETTERS[match.group()], text)
    return [spelling for spelling in (named, lettered) if spelling != text]


def _stem(word: str) -> str | None:
    if not word.isascii() or not word.isalpha():
        return None
    for suffix in _SUFFIXES:
        stem = word.removesuffix(suffix)
        if stem != word and len(stem) >= (_MIN_PLURAL_STEM_CHARS if suffix == "s" else _MIN_STEM_CHARS):
            return stem
    return word if len(word) >= _MIN_STEM_CHARS else None
