"""The plain writing of an answer into its words, numbers and marks. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bioqa_pipeline.qa.merge_capitals import is_name, without_shouting
from bioqa_pipeline.qa.merge_text import MINUS
from bioqa_pipeline.qa.merge_words import LETTERED, roman, unit
from bioqa_pipeline.text import GREEK

_GREEK_NAMES = "|".join(sorted({n for n in GREEK.values() if len(n) > 3}, key=len, reverse=True))
# TNFalpha, IL1beta; deltaF508; antiTNF.
_GLUED_NAME = re.compile(
    rf"(?<=[A-Z]{{2}})(?=(?:{_GREEK_NAMES})(?![a-z]))|(?<=[A-Z]\d)(?=(?:{_GREEK_NAMES})(?![a-z]))"
    rf"|(?<=(?<![A-Za-z])[A-Z])(?=(?:alpha|beta|gamma|delta|kappa)(?![a-z]))|(?<=alpha)(?=v?beta\d)|(?<=alphav)(?=beta\d)"
    rf"|(?<=[A-Z])(?=(?:{_GREEK_NAMES})[A-Z])|(?<![A-Za-z])(?:{_GREEK_NAMES}|anti|non)(?=[A-Z](?![a-z]))"
)
_TOKEN = re.compile(rf"(?P<number>[+{MINUS}]?\d+(?:[.,:]\d+)*)|(?P<word>[^\W\d_]+)|(?P<mark>[^\w\s]|_)")
_MARKS = frozenset("%<>≤≥≠±~‰$€£/*^_×°")
_SAID = {"×": "x", "°": "degree"}
_GREEK_LETTERS = re.compile("(?<![\u0370-\u03ff])([α-ωΑ-Ωϑϕϰϵ]{1,2})(?![\u0370-\u03ff])")
_DRUG = re.compile(r"[a-z]{4,20}(?:[cilnst]in|one|ide|ate|ole|ine|opa|vir|pril|tan|ol|rim|pam)(?!\w)", re.IGNORECASE)
WORD, NUMBER, UNIT, MARK = "word", "number", "unit", "mark"


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number or a mark; `before` is what stands between it and the one before: "", " " or "-"."""

    text: str
    kind: str
    before: str

    def said(self, text: str) -> Token:
        """The token in other words."""
        return Token(text, self.kind, self.before)

    @property
    def is_word(self) -> bool:
        return self.kind == WORD

    @property
    def is_number(self) -> bool:
        return self.kind == NUMBER


START = Token("", "start", " ")
END = Token("", "end", " ")


def read_tokens(text: str) -> list[Token]:
    """The tokens of a text in plain writing: Greek letters by their names, Roman numerals as numbers."""
    return _numerals(_greek(_shouted(list(_tokens(text)))))


def _tokens(text: str) -> Iterator[Token]:
    """Words, numbers and the marks that mean something."""
    for _ in ("before", "behind"):  # IkappaB: parted from both neighbours
        text = _GLUED_NAME.sub(lambda match: match.group() + "-", text)
    text = text.replace("&", " and ")
    before = START
    end = 0
    for match in _TOKEN.finditer(text):
        raw, kind = match.group(), match.lastgroup or ""
        if kind == MARK and not _means(raw, before, text[match.end() : match.end() + 30].lstrip()):
            continue
        between = text[end : match.start()] if end else " "
        end = match.end()
        said = _SAID.get(raw, raw)
        before = Token(said, WORD if said.isalpha() else kind, "-" if between == "-" else " " if between else "")
        yield before


def _means(mark: str, before: Token, ahead: str) -> bool:
    match mark:
        case "*":
            return before is not START and ahead[:1].isdecimal()
        case "^" | "_":
            return before.is_number and ahead.lstrip("+" + MINUS)[:1].isdecimal()
        case "/":
            return before is not START and ahead != "" and not _joins(before, ahead)
        case _:
            return mark in _MARKS or (unicodedata.category(mark) in ("Sc", "Sm", "So") and mark not in "=+|")


def _joins(before: Token, ahead: str) -> bool:
    """A stroke between names or drugs, as in BCR/ABL, CD34+/CD38- and levodopa/carbidopa, says what a hyphen says."""
    if _DRUG.fullmatch(before.text) and _DRUG.match(ahead):
        return True
    is_signed = before.text in ("positive", "negative")
    is_name_ahead = ahead[:2].isalpha() and ahead[:2].isupper() and unit(ahead.split(" ")[0]) is None
    return (is_name_ahead and (is_signed or is_name(before.text))) or (is_signed and ahead[:2].strip().isupper())


def neighbours(tokens: Sequence[Token]) -> Iterator[tuple[Token, Token, Token]]:
    """(the one before, the token, the one behind)."""
    padded = [START, *tokens, END]
    return zip(padded[:-2], tokens, padded[2:], strict=True)


def _shouted(tokens: list[Token]) -> list[Token]:
    """A text all in capitals in small letters; what may be a name stays."""
    words = iter(without_shouting([t.text for t in tokens if t.is_word]))
    return [t.said(next(words)) if t.is_word else t for t in tokens]


def _greek(tokens: Iterable[Token]) -> list[Token]:
    """Greek letters by their names, but not those of Greek words."""
    spelled: list[Token] = []
    for token in tokens:
        if not token.is_word or token.text.isascii():
            spelled.append(token)
            continue
        before = token.before
        for i, part in enumerate(_GREEK_LETTERS.split(token.text)):
            for said in [GREEK.get(c.lower(), c) for c in part] if i % 2 else [part] * bool(part):
                spelled.append(Token(said, WORD, before))
                before = ""
    return spelled


def _numerals(tokens: Sequence[Token]) -> list[Token]:
    """Roman numerals behind a word; "1st", "1960s"; "HIV type 1" as HIV 1."""
    read: list[Token] = []
    for token in tokens:
        last = read[-1] if read else START
        if last.is_number and token.before == "" and token.text in ("st", "nd", "rd", "th", "s"):
            read[-1] = last.said(last.text + token.text)
            continue
        if token.is_word and last.is_word and last.text[1:].islower() and len(last.text) > 3:
            numeral = roman(token.text, is_lettered=last.text.lower() in LETTERED)
            if numeral is not None:
                number, _, letter = numeral.partition(" ")
                read.append(Token(number, NUMBER, token.before))
                read += [Token(letter, WORD, "")] if letter else []
                continue
        if token.is_number and last.text == "type" and len(read) > 1 and is_name(read[-2].text):
            read.pop()
        read.append(token)
    return read
