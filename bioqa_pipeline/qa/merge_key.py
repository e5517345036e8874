"""The text of an answer into its merge key: equal keys, one answer. Pure.

A key keeps all that can change the meaning (signs, comparators, numbers with their units, capitals that name, words
that qualify: "receptor", "inhibitor", "without") and folds what cannot (Greek letters and their names, hyphens and
blanks, thousands commas, case and plural outside names, articles, a hedge before a number, British and American).
The key of a key is the key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from bioqa_pipeline.qa.merge_capitals import CAPITALS_THAT_NAME, is_capital_name, is_name, name
from bioqa_pipeline.qa.merge_text import MINUS, NUMBER_WORDS, plain_writing
from bioqa_pipeline.qa.merge_tokens import END, MARK, START, UNIT, WORD, Token, neighbours, read_tokens
from bioqa_pipeline.qa.merge_words import (
    FUNCTION_WORDS,
    HYPHENED_PREFIXES,
    LETTERED,
    NAMED_A,
    NUMBERED,
    PREFIXES,
    american,
    common_word,
    unit,
)
from bioqa_pipeline.text import GREEK

# A key that is read again gives itself; the rules reach that in two rounds, nearly always in one.
_MOST_ROUNDS = 6
# An answer has 30 tokens, of which each can be a word of any length: the rules look at one again and again.
_MOST_CHARS, _MOST_WORD_CHARS = 500, 100
_HEDGES = frozenset("about around approximately approx roughly some nearly circa ~".split())
_GREEK_NAMES = frozenset(GREEK.values())
_GENES = frozenset({"gene", "genes"})
_COMPARATORS = frozenset("<>≤≥≠±")
# Words of letters alone, which is what most answers are: no rule but those of single words can apply.
_ORDINARY = re.compile(r"[A-Za-z][a-z]+(?:[ -][A-Za-z][a-z]+)*")
# But these begin with a numeral (type Ia) or with a letter that names (Abeta).
_LETTER_FIRST = re.compile("[ -][IVX][a-e](?![a-z])|(?<![A-Za-z])[A-Z](?:alpha|beta|gamma|delta|kappa)(?![a-z])")
_BETWEEN = re.compile("[ -]")
_UNUSUAL = NUMBER_WORDS | {"per", "percent", "cent", "pct", "hg", *_HEDGES}
_VOWEL_SOUND = re.compile(r"[aeio]|u(?!ni|s[eu]|t[ei]|r[aeio])")


@lru_cache(maxsize=1 << 14)
def answer_key(text: str) -> str:
    """The form in which answers are compared. A text without words, numbers or signs is its own key.

    One that is no answer of a text's words, by its length, has its words in small letters.
    """
    if len(text) > _MOST_CHARS or (len(text) > _MOST_WORD_CHARS and max(map(len, text.split())) > _MOST_WORD_CHARS):
        return " ".join(text.casefold().split())
    key = text
    for _ in range(_MOST_ROUNDS):
        before, key = key, _read(key)
        if key == before:
            break
    return key


def _read(text: str) -> str:
    if _ORDINARY.fullmatch(text):
        words = _BETWEEN.split(text.lower())
        is_plain = _UNUSUAL.isdisjoint(words) and "fold" not in text
        if is_plain and not _LETTER_FIRST.search(text) and not CAPITALS_THAT_NAME.search(text):
            hyphens = [" ", *(mark for mark in text if mark in " -")]
            read = [Token(w, WORD, mark) for w, mark in zip(words, hyphens, strict=True)]
            return " ".join(_compounds([*(t for t in read[:-1] if t.text not in ("the", "an")), read[-1]]))
    plain = plain_writing(text)
    tokens = _without_genes(read_tokens(plain))
    tokens = _names(_units(_without_articles(_without_hedges(tokens))))
    return " ".join(_compounds(tokens)).replace(MINUS, "-") or plain.casefold()


def _without_genes(tokens: Sequence[Token]) -> list[Token]:
    """ "The BRCA1 gene" is BRCA1; the insulin gene is not insulin, nor is the gene of a virus the virus."""
    kept: list[Token] = []
    for i, token in enumerate(tokens):
        if token.text.lower() in _GENES:
            if _is_symbol(tokens, i - 1):
                continue
            if all(t.text.lower() in ("the", "a") for t in kept) and _is_symbol(tokens, i + 1):
                continue
        kept.append(token)
    return kept


def _is_symbol(tokens: Sequence[Token], at: int) -> bool:
    """Whether a token is, or belongs to, a name in capitals or one with a number in it."""
    if not 0 <= at < len(tokens):
        return False
    token = tokens[at]
    if token.is_word and is_name(token.text):
        return len(token.text) > 2 and not token.text.endswith("V")
    ahead = tokens[at + 1] if at + 1 < len(tokens) else END
    behind = tokens[at - 1] if at else START
    if token.is_number:
        return behind.is_word and token.before != " " and behind.text.lower() not in NUMBERED
    return token.is_word and (
        (behind.is_number and token.before == "" and at > 1) or (ahead.is_number and ahead.before != " ")
    )


def _without_hedges(tokens: Sequence[Token]) -> list[Token]:
    """Without "about" and its like before a number."""
    kept: list[Token] = []
    for token in reversed(tokens):
        behind = kept[-1] if kept else END
        if token.text.lower() in _HEDGES and (behind.is_number or behind.text in _COMPARATORS):
            continue
        kept.append(token)
    return kept[::-1]


def _without_articles(tokens: Sequence[Token]) -> list[Token]:
    """Without "the", "an" and "a"; an A that names is told from the article."""
    kept: list[Token] = []
    for before, token, behind in neighbours(tokens):
        if token.text in ("the", "The", "an", "An") and behind is not END:
            continue
        if token.text in ("a", "A") and token.is_word:
            if _is_article(before, token, behind):
                continue
            token = token.said(NAMED_A)
        kept.append(token)
    return kept


def _is_article(before: Token, token: Token, behind: Token) -> bool:
    if behind is END or behind.before != " " or token.before != " ":
        return False
    if behind.text.lower() in ("few", "little"):
        return False  # a few are some, few are hardly any
    if behind.text in _GREEK_NAMES and token.text == "A":
        return False  # "A beta fibres"; "A beta blocker" is rarer at the start of an answer
    if token.text == "a":
        is_led = before.text.lower() in LETTERED | {"the", "an"} or len(before.text) == 1
        return (behind.is_word or behind.is_number) and not is_led
    # "A mutation" begins a sentence; "A antigen" and "A fibres" are names.
    word = behind.text
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return before is START and len(word) > 1 and word.islower() and not plural and not _VOWEL_SOUND.match(word)


def _units(tokens: Sequence[Token]) -> list[Token]:
    """Units behind a number by their symbols; "per" between units as a stroke; mm Hg as one."""
    read: list[Token] = []
    for before, token, behind in neighbours(tokens):
        last = read[-1] if read else START
        is_per = last.text == "/" and len(read) > 1
        of_unit = is_per and (read[-2].kind == UNIT or read[-2].text == "%")
        of_unit = of_unit or (is_per and len(token.text) > 1)
        if token.text.lower() == "hg" and last.text == "mm":
            read[-1] = last.said("mmhg")
        elif token.text.lower() == "per":
            read.append(Token("/", MARK, " "))
        elif token.is_word and (before.is_number or of_unit) and (symbol := unit(token.text)):
            is_short = len(token.text) == 1 and not of_unit
            may_be_unit = not is_short or (not behind.is_number and _is_quantity(read))
            read.append(Token(symbol, UNIT, token.before) if may_be_unit else token)
        else:
            read.append(token)
    return read


def _is_quantity(read: Sequence[Token]) -> bool:
    """Whether the number at the end measures, and is no part of a name (CYP2D, T1D, type 2 D)."""
    before = read[-2] if len(read) > 1 else START
    word = before.text.lower()
    return not before.is_word or word in FUNCTION_WORDS or (len(word) > 3 and word.isalpha() and word not in NUMBERED)


def _names(tokens: Sequence[Token]) -> list[Token]:
    """Words in small letters, names in capitals in theirs; one with a number or a letter is known in any case."""
    read: list[Token] = []
    numbered = False
    letter = ""
    for before, token, behind in reversed(list(neighbours(tokens))):
        if letter and is_name(token.text):  # PD-L1 is PDL1
            token = token.said(token.text + letter)
            read.pop()
        letter = ""
        if not token.is_word:
            numbered = token.is_number and token.text[0].isdecimal()
        elif token.text == NAMED_A:
            numbered = False
        elif is_name(token.text):
            token = token.said(token.text.lower() if numbered or _is_lettered(before, token) else name(token.text))
        elif is_capital_name(
            token.text,
            begins=before is START and behind is not END,
            is_numbered=_is_beside_number(before, token, behind),
        ):
            numbered = False
        else:
            letter = token.text if numbered and len(token.text) == 1 and token.text.isupper() else ""
            token = token.said(token.text.casefold())
            numbered = numbered and letter != ""
        read.append(token)
    return read[::-1]


def _is_beside_number(before: Token, token: Token, behind: Token) -> bool:
    """Of a date (15 May), or in a name with one (Il-6); a constant stands apart from its value (Kd 5 nM)."""
    is_apart = len(token.text) == 2 and behind.before == " "
    return before.is_number or (behind.is_number and not is_apart)


def _is_lettered(before: Token, token: Token) -> bool:
    """Whether a name has a letter before it: c-MYC is c-Myc. A longer one in S would be a plural in small letters."""
    is_plural = len(token.text) > 3 and token.text.endswith("S")
    return token.before == "-" and len(before.text) == 1 and before.before != "" and not is_plural


def _compounds(tokens: Sequence[Token]) -> list[str]:
    """The words, singular and American, behind a prefix as one with it."""
    words: list[str] = []
    glued = ""
    for _, token, behind in neighbours(tokens):
        text = glued + (american(token.text) if glued and token.text.islower() else token.text)
        glued = ""
        if not token.is_word or not text.islower():
            words.append(text)
        elif (token.text in PREFIXES or (behind.before == "-" and text in HYPHENED_PREFIXES)) and _is_stem(behind):
            glued = text
        elif behind.is_number and len(text) < 6 and text not in NUMBERED and text.rstrip("s") not in NUMBERED:
            words.append(american(text))  # sars cov 2 is no plural
        else:
            words.append(common_word(text))
    return words


def _is_stem(token: Token) -> bool:
    return token.is_word and len(token.text) > 2 and token.text.islower() and token.text not in FUNCTION_WORDS
