"""Raw text into the one form in which it is hashed, stored, tokenised and quoted; and that form into sentences.

Pure; knows nothing about XML or tokens.
"""

from __future__ import annotations

import re
import unicodedata

# Small Greek letters and their names.
GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi "
        "chi psi omega".split(),
        strict=True,
    )
) | {"ς": "sigma", "ϵ": "epsilon", "ϕ": "phi", "ϑ": "theta", "ϰ": "kappa"}

# Invisible code points that carry no meaning in prose; joiners (U+200C, U+200D) are spelling in several scripts.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")

# Sorting combining marks takes time quadratic in their number: half a million on one letter would take minutes (asking
# whether they are sorted does not). Unicode itself (UAX #15, Stream-Safe Text Format) allows 30. No mark is a letter, a
# digit, a space or ASCII.
_MOST_MARKS = 30
_MARKS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")


def normalize_text(text: str) -> str:
    """NFC; every run of white space (no-break and thin spaces too) one space; invisible and control characters gone.

    Offsets anywhere in the project refer to text in this form. Idempotent.
    """
    if not text.isprintable():  # else nothing in it is invisible, and white space is the plain space
        text = " ".join(_INVISIBLE.sub("", _CONTROLS.sub(" ", text)).split())
    elif "  " in text or text[:1] == " " or text[-1:] == " ":
        text = " ".join(text.split())
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", _MARKS.sub(_first_marks, text))
    return text


def _first_marks(run: re.Match[str]) -> str:
    """A run of symbols without those of its combining marks that no character can carry."""
    kept = []
    n_marks = 0
    for character in run.group():
        n_marks = n_marks + 1 if unicodedata.combining(character) else 0
        if n_marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


# No sentence ends behind these.
_ABBREVIATIONS = frozenset(
    "e.g i.e vs v cf viz fig figs eq eqs ref refs nos vol tab approx ca dr prof mr mrs jr sr dept nov ssp cv ae "
    "an cx antioxid toxicol pharmacol biol med sci chem biochem biophys rev arch appl crit syst tech clin exp proc "
    "natl acad soc inorg".split()
)
# Behind these one does when the next word is one that sentences begin with.
_UNSURE = frozenset(
    "no al st sec ms inc ltd corp co univ spp sp subsp var str wt b.wt mol min max temp conc incl excl est suppl ed "
    "eds resp u.s u.k u.s.a ph.d m.d".split()
)
# Behind these one does when a capital follows.
_OFTEN_LAST = frozenset(("etc", "a.m", "p.m"))
_STARTERS = frozenset(
    "the this these those that there a we our it its he she they in on at of for from to by with within without after "
    "before during among although though because since when while where if as all both each most many some several no "
    "none only one two three however moreover furthermore therefore thus hence here then thereafter also finally "
    "overall additionally similarly conversely nevertheless further second third patients subjects mice rats results "
    "methods conclusion conclusions treatment method background objective objectives purpose aim aims "
    "design setting".split()
)
# What takes a single letter or Roman numeral behind it.
_LETTERED = frozenset(
    "vitamin vitamins hepatitis factor type group groups influenza protein class stage grade panel arm phase "
    "apolipoprotein immunoglobulin cyclosporin amphotericin botulinum toxin cyclin cathepsin coenzyme serotype clade "
    "subtype".split()
)
# A run of stops is tried from its start alone and never given back: a million dots would take hours.
_STOP = re.compile(r"""(?<![.?!])[.?!]++["'”’)\]]*+(?=\s)""")
_DOTTED = re.compile(r"(?:[a-z]\.)+[a-z]")
_OPENERS = "\"'“‘(["
_BRACKETS = re.compile(r"[()\[\]]")
_CITED_PAGES = re.compile(r"\d+(?:\(\d+\))?[,:] ?\w?\d+[-–]\d")
_MOST_WORD_CHARS = 40
_MOST_BRACKET_CHARS = 400


def sentences(text: str) -> list[tuple[int, int]]:
    """Sentences of an abstract as half-open ranges: disjoint, in order, all text but the white space between them.

    A stop ends a sentence when white space and then a capital, a digit, an opening mark or a word like "mRNA" follow,
    unless it belongs to an abbreviation ("e.g.", "Fig.", "et al."), an initial or a genus ("S. aureus"), or stands
    inside a pair of brackets.
    """
    stops = list(_STOP.finditer(text))
    enclosed = _enclosed(text) if stops else bytearray()
    ranges = []
    start = _skip_space(text, 0)
    for stop in stops:
        end = stop.end()
        following = _skip_space(text, end)
        if end <= start or following == len(text) or enclosed[end - 1]:
            continue
        if _begins_sentence(text, following) and _ends_sentence(text, start, stop.start(), following):
            ranges.append((start, end))
            start = following
    end = len(text.rstrip())
    if start < end:
        ranges.append((start, end))
    return ranges


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _enclosed(text: str) -> bytearray:
    """1 at each position inside a pair of brackets, not at the closing one; unpaired and far-off ones are slips."""
    enclosed = bytearray(len(text))
    opened = []
    for match in _BRACKETS.finditer(text):
        if match.group() in "([":
            opened.append(match.start())
        elif opened:
            start = opened.pop()
            if match.start() - start <= _MOST_BRACKET_CHARS:
                enclosed[start : match.start()] = b"\1" * (match.start() - start)
    return enclosed


def _word_at(text: str, position: int) -> str:
    return text[position : position + _MOST_WORD_CHARS].lstrip(_OPENERS).partition(" ")[0]


def _begins_sentence(text: str, following: int) -> bool:
    word = _word_at(text, following)
    first = word[:1]
    if first.isupper() or first.isdigit() or first == "©":
        return not _CITED_PAGES.match(text, following)
    if first.islower():
        return any(c.isupper() or c.isdigit() for c in word) and "://" not in word
    return first != "" and unicodedata.category(first) == "Lo"


def _ends_sentence(text: str, start: int, stop: int, following: int) -> bool:
    if text[stop] != ".":
        return True
    *before, last = text[max(start, stop - 2 * _MOST_WORD_CHARS) : stop].split() or [""]
    last = last.rpartition("(")[2].lstrip(_OPENERS)
    if len(last) > 1 and last.isupper() and "." not in last:
        return True  # nitric oxide and cardiovascular, not "No." and "cv."
    word = last.casefold()
    previous = before[-1].casefold().lstrip(_OPENERS) if before else ""
    if word in _ABBREVIATIONS or (previous, word) in (("e.", "g"), ("i.", "e")):
        return False
    follower = _word_at(text, following)
    if word in _OFTEN_LAST:
        return follower[:1].isupper()
    # A single capital is an initial ("J. Smith") or a genus ("S. aureus"), unless a word before it takes a letter.
    is_initial = len(last) == 1 and last.isupper() and previous not in _LETTERED
    if word in _UNSURE or is_initial or _DOTTED.fullmatch(word):
        return (
            text[following] not in _OPENERS and follower.rstrip(",.:").casefold() in _STARTERS and follower[0].isupper()
        )
    return True
