"""An abstract into the abbreviations that it defines; an answer with them into its full form. Pure.

The algorithm is that of Schwartz and Hearst (A simple algorithm for identifying abbreviation definitions in biomedical
text, Pacific Symposium on Biocomputing 2003): "long form (SHORT)", or "SHORT (long form)", within a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bioqa_pipeline.text import GREEK

# A short form has two to ten characters and at most two words.
SHORT_CHARS = range(2, 11)
_MOST_SHORT_WORDS = 2
# The long form has at most min(|A| + 5, |A| * 2) words, |A| the characters of the short one; so it stands this near.
_MOST_LONG_CHARS = 400
_MOST_BRACKET_CHARS = 250
_BRACKETS = re.compile(rf"(?<=\s)[(\[]([^()\[\]]{{2,{_MOST_BRACKET_CHARS}}})[)\]]")
_SENTENCE_END = re.compile(r"(?<!\b[A-Za-z])[.?!]\s+(?=[A-Z])")
_ENUMERATION = re.compile(r"[,;]\s")
_WORDS = re.compile(r"[^\s-]+")
_DISEASES = re.compile(
    r"(?:disease|disorder|syndrome|dystrophy|atrophy|deficiency|cancer|failure|infection|virus|osis|itis|oma|aemia|emia"
    r"|pathy|plasia|trophy|ism|injury|diabetes|epilepsy|palsy)s?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Abbreviation:
    """What a text itself defines: "EGFR" for "epidermal growth factor receptor"."""

    short: str
    long: str


def defined_abbreviations(text: str) -> tuple[Abbreviation, ...]:
    """The abbreviations that a text defines, in its order; of a short form that it defines twice, the first."""
    found: dict[str, str] = {}
    for match in _BRACKETS.finditer(text):
        sentence = _SENTENCE_END.split(text[max(0, match.start() - _MOST_LONG_CHARS) : match.start()])[-1].strip()
        for short, candidate in _forms(sentence, match[1].strip()):
            long = best_long_form(_spelled(short, candidate), candidate) if _is_short_form(short) else None
            if long is not None and _is_long_form(long, short):
                found.setdefault(short, long)
                break
    return tuple(Abbreviation(short, long) for short, long in found.items())


def _forms(before: str, inside: str) -> Iterator[tuple[str, str]]:
    """(short form, where its long form is looked for) of a bracket and the sentence before it."""
    first = _ENUMERATION.split(inside, maxsplit=1)[0]
    yield first, before
    word = before.rpartition(" ")[2]
    if any(c.isupper() for c in word):
        yield word, first


def _spelled(short: str, candidate: str) -> str:
    """TNF-α beside "tumor necrosis factor-alpha": a Greek letter stands for the first letter of its name."""
    return "".join(GREEK[c][0] if c in GREEK and c not in candidate else c for c in short)


def _is_short_form(short: str) -> bool:
    return (
        len(short) in SHORT_CHARS
        and len(short.split()) <= _MOST_SHORT_WORDS
        and short[0].isalnum()
        and any(c.isalpha() for c in short)
    )


def _is_long_form(long: str, short: str) -> bool:
    size = sum(c.isalnum() for c in short)
    return (
        len(long) > len(short)
        and len(_WORDS.findall(long)) <= min(size + 5, size * 2)
        and short not in long.split()
        and not long.endswith(short)
    )


def best_long_form(short: str, candidate: str) -> str | None:
    """The shortest end of a text whose characters spell the short form from right to left; None where there is none.

    The first character of the short form has to begin a word.
    """
    at = len(candidate)
    for i in range(len(short) - 1, -1, -1):
        wanted = short[i].lower()
        if not wanted.isalnum():
            continue
        at -= 1
        while at >= 0 and (candidate[at].lower() != wanted or (i == 0 and at > 0 and candidate[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return None
    start = candidate.rfind(" ", 0, max(at, 0)) + 1
    return candidate[start:]


def expanded(text: str, abbreviations: Iterable[Abbreviation]) -> str:
    """The text with long forms in the place of short ones; "long (SHORT)" and "SHORT (long)" are the long form.

    "The BRCA1 gene" is BRCA1 also where that is defined; the gene of a disease is not the disease.
    """
    forms = [_singular(a) for a in abbreviations]
    for short, long in sorted(
        (f for f in forms if f[0] in text or " gene" in text), key=lambda form: (-len(form[0]), form)
    ):
        text = _without_definition(text, short, long).replace(f"{short} ({long})", long)
        text = _in_place_of(short, long, text)
        if _names_a_gene(short, long):
            text = re.sub(rf"({re.escape(long)}) genes?\b", r"\1", text, flags=re.IGNORECASE)
    return text


def _names_a_gene(short: str, long: str) -> bool:
    return len(short) > 2 and not short.islower() and not _DISEASES.search(long)


def _singular(abbreviation: Abbreviation) -> tuple[str, str]:
    """SSRIs stands for inhibitors, and SSRI for an inhibitor."""
    short, long = abbreviation.short, abbreviation.long
    is_plural = len(short) > 2 and short[-1] == "s" and short[-2].isupper() and long.endswith("s")
    return (short[:-1], long[:-1]) if is_plural else (short, long)


def _without_definition(text: str, short: str, long: str) -> str:
    """Without a short form in brackets behind its long one, of which the text may hold the end alone."""
    for at in _places(text, short):
        before, behind = text[:at], text[at + len(short) :]
        opened = before.rstrip("([")
        if opened == before or not before.endswith(("(", "[")):
            continue
        stem = opened.rstrip()
        rest = behind.removeprefix("s")[1:] if behind.removeprefix("s")[:1] in (")", "]") else behind
        if stem.lower().endswith(long.lower()):
            return stem + rest
        if stem and long.lower().endswith(" " + stem.lower()):
            return long + rest
    return text


def _in_place_of(short: str, long: str, text: str) -> str:
    pieces: list[str] = []
    end = 0
    for at in _places(text, short):
        pieces += [text[end:at], long]
        end = at + len(short)
    return "".join([*pieces, text[end:]])


def _places(text: str, short: str) -> Iterator[int]:
    """Where a short form stands as a word, perhaps with a plural s."""
    at = text.find(short)
    while at >= 0:
        behind = text[at + len(short) : at + len(short) + 2]
        is_end = not behind[:1].isalnum() or (behind[:1] == "s" and not behind[1:].isalnum())
        if is_end and not text[at - 1 : at].isalnum():
            yield at
        at = text.find(short, at + len(short))
