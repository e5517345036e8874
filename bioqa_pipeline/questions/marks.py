"""A line of a text file into what is asked: without its list mark and comment. Pure.

Lists are pasted with their numbers and bullets, which would be words of the query and of what the model reads.
"""

from __future__ import annotations

import re

_INTERROGATIVES = (
    "who whom whose what which when where why how is are was were am do does did has have had can could will would "
    "shall should may might must in for among name list"
).replace(" ", "|")
# "5 WHO criteria" holds no mark.
_ASKED = r"(?-i:(?:[Ww](?:ho|hom|hose|hat|hich|hen|here|hy)|[Hh]ow)\b)"
_END = "[.):．）：、]{1,2}"
_BULLETS = "•‣▪●◦○■□☐☑☒⁃∙➢►▶✓✔→⇒➔❖»\uf0b7\uf0a7\uf0d8"
_LIST_MARK = re.compile(
    "|".join(
        (
            # Q1: Who, Q1 Who, Question #1. Who, No. 1: Who
            rf"(?:(?:question|q)\.?\s?|no(?:\.\s?|\s))#?\d{{1,4}}(?:\s?{_END}\s*|\s+(?={_ASKED}|(?-i:[A-Z][a-z])))",
            rf"(?:question|q)\s?{_END}\s+",
            rf"\d{{1,3}}(?:\.\d{{1,3}})*\s?{_END}(?:\s+|(?=[A-Z][a-z]))",  # 1. Who, 1)Who, 1.2. Who, 1.) Who
            rf"\d{{1,3}}(?:\.\d{{1,2}})*(?:\s?[-–—/º°]\s?|\s+)(?={_ASKED})",  # 1 Who, 1.2 Who, 1- Who, 1/ Who
            r"\d{1,3}\s[-–—]\s(?=[A-Z])",  # 1 - Who
            r"[(\[]\d{1,3}[)\]][.:]?\s+",  # (1) Who, [1] Who
            r"\(?(?:[a-z]|[ivx]{1,5})\)[.:]?\s+",  # a) Who, (ii) Who
            rf"(?:[a-z]|[ivx]{{1,5}})\.\s+(?=(?:{_INTERROGATIVES})\b)",  # a. Who, but not C. difficile
            rf"#\d{{1,3}}(?:{_END}\s*|\s+(?-i:(?=[A-Z][a-z])))",  # #1 Who, but not #1 cause of
            r"[\u2460-\u24ff\u2776-\u2793]\s*",  # ① Who
            rf"(?:[-*+–—>·]{{1,3}}|[{_BULLETS}])\s+",
            rf"o\s+(?={_ASKED})",  # a bullet of Word's
            r"\[[ x]?\]\s+",  # - [ ] Who
            rf"[{_BULLETS}]",
            r"[-*](?-i:(?=[A-Z][a-z]))",  # -Who
        )
    ),
    re.IGNORECASE,
)
# A mark with nothing behind it: "1)", "a.", "-", "Question 4:", "[ ]", a line of dashes.
_LONE_MARK = re.compile(
    rf"(?:question|q|no)\.?\s?#?\d{{1,4}}\s?(?:{_END})?|(?:question|q)\s?{_END}"
    rf"|[(\[]?(?:\d{{1,3}}(?:\.\d{{1,3}}){{0,9}}|[a-z]|[ivx]{{1,5}})\s?[.):\]．）：、]{{0,2}}"
    rf"|[-*+–—>·=_~.{_BULLETS}]+|[\u2460-\u24ff\u2776-\u2793]|\[[ x]?\]",
    re.IGNORECASE,
)
_MOST_MARKS = 3
# "#1 cause of death …?" asks; "#What …?" is how a question is switched off.
_NUMBERED_QUESTION = re.compile(r"#\d.*\?\W*")
_COMMENT_BEHIND = re.compile(r"(?<=\?)\s+#(?!\d).*$")


def is_comment(text: str) -> bool:
    """Whether a line is one: it starts with `#` and is no question about the first of something."""
    return text.startswith("#") and not _NUMBERED_QUESTION.fullmatch(text)


def is_lone_mark(text: str) -> bool:
    """Whether a line is nothing but the number, letter or bullet of a list, or a rule."""
    return _LONE_MARK.fullmatch(text) is not None


def without_comment(text: str) -> tuple[str, str]:
    """A question, and the comment that stands behind it ("" where there is none)."""
    found = _COMMENT_BEHIND.search(text)
    return (text[: found.start()], found.group().strip()) if found else (text, "")


def without_list_mark(text: str) -> tuple[str, str]:
    """A question, and the number or bullet that stood before it ("" where there is none).

    Args:
        text: normalised.
    """
    asked = text
    for _ in range(_MOST_MARKS):
        mark = _LIST_MARK.match(asked)
        if mark is None or not any(character.isalpha() for character in asked[mark.end() :]):
            break
        asked = asked[mark.end() :].lstrip()
    return asked, text[: len(text) - len(asked)].strip()
