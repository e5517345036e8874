"""Raw text into the one form in which it is hashed, stored, tokenised and quoted; and that form into sentences.

Pure; knows nothing about XML or tokens.
"""

from __future__ import annotations

import re
import unicodedata

# Invisible code points that carry no meaning in prose; joiners (U+200C, U+200D) are spelling in several scripts.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")

# Sorting combining marks takes time quadratic in their number: half a million on one letter would take minutes. Unicode
# itself (UAX #15, Stream-Safe Text Format) allows 30. Every mark is neither a letter, a digit, a space nor ASCII.
_MOST_MARKS = 30
_MARKS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")


def normalize_text(text: str) -> str:
    """NFC; every run of white space (no-break and thin spaces too) one space; invisible and control characters gone.

    Offsets anywhere in the project refer to text in this form. Idempotent.
    """
    if not text.isprintable():  # else there is none of either
        text = _INVISIBLE.sub("", _CONTROLS.sub(" ", text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", _MARKS.sub(_first_marks, text))
    return " ".join(text.split())


def _first_marks(run: re.Match[str]) -> str:
    """A run of symbols without those of its combining marks that no character can carry."""
    kept = []
    n_marks = 0
    for character in run.group():
        n_marks = n_marks + 1 if unicodedata.combining(character) else 0
        if n_marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


_ABBREVIATIONS = frozenset(
    "e.g i.e vs cf viz fig figs eq eqs ref refs no nos vol sec tab ca approx resp al dr prof mr mrs ms st jr sr inc "
    "ltd corp co dept univ spp sp subsp var ssp cv nov str wt mol min max temp conc incl excl est etc suppl ed eds "
    "u.s u.k a.m p.m ph.d m.d b.i.d t.i.d q.i.d q.d i.v i.m i.p s.c p.o n.b s.d s.e s.e.m c.i n.s".split()
)
# Behind these a sentence may well end: only a capital that starts no name decides, which rules cannot see.
_ENDS_TOO = frozenset("etc al inc ltd corp co u.s u.k a.m p.m ph.d m.d".split())
_LETTERED = frozenset(
    "vitamin vitamins hepatitis factor type group groups influenza protein class stage grade panel arm phase "
    "apolipoprotein immunoglobulin cyclosporin amphotericin botulinum toxin cyclin cathepsin coenzyme serotype clade "
    "subtype".split()
)
_STOP = re.compile(r"""[.?!]+["'”’)\]]*(?=\s)""")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘]+$")
_OPENERS = "\"'“‘(["


def sentences(text: str) -> list[tuple[int, int]]:
    """Sentences of an abstract as half-open ranges: disjoint, in order, all text but the white space between them.

    A stop ends a sentence when white space and then a capital, a digit or an opening mark follow, unless it belongs to
    an abbreviation ("e.g.", "Fig.", "et al."), an initial or a genus ("S. aureus"), or stands inside brackets.
    """
    ranges = []
    start = _skip_space(text, 0)
    for match in _STOP.finditer(text):
        end = match.end()
        if end <= start:
            continue
        following = _skip_space(text, end)
        if following < len(text) and _ends_sentence(text, start, match.start(), following, match.group()):
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


def _ends_sentence(text: str, start: int, stop: int, following: int, mark: str) -> bool:
    first = text[following]
    if first in _OPENERS and following + 1 < len(text):
        first = text[following + 1]
    if not (first.isupper() or first.isdigit() or unicodedata.category(first) == "Lo"):
        return False
    sentence = text[start:stop]
    if sentence.count("(") > sentence.count(")") + mark.count(")"):
        return False
    if mark[0] != ".":
        return True
    last = _LAST_WORD.search(sentence)
    word = last.group().casefold() if last else ""
    if word in _ENDS_TOO:
        return first.isupper()
    if word in _ABBREVIATIONS:
        return False
    # A single capital is an initial ("J. Smith") or a genus ("S. aureus"), unless a word before it takes a letter.
    if len(word) == 1 and last is not None and last.group().isupper():
        before = sentence[: last.start()].split()
        return bool(before) and before[-1].casefold().strip("(") in _LETTERED
    return True
