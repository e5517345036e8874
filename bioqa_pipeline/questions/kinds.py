"""A question into whether a span of text can answer it. Pure.

An extractive model quotes: it can name a gene, not say "yes". A question that asks for yes or no gets spans that read
like an answer and are none.
"""

from __future__ import annotations

import re

_AUXILIARIES = (
    "is are was were am do does did has have had can could will would shall should may might must "
    "isn't aren't wasn't weren't don't doesn't didn't hasn't haven't hadn't can't cannot couldn't won't wouldn't "
    "shouldn't mustn't"
).split()
_YES_NO = re.compile(rf"(?:{'|'.join(map(re.escape, _AUXILIARIES))})\b", re.IGNORECASE)
# "In adults with asthma, does …": what is said before the comma is not what is asked.
_SETTING = re.compile(
    r"(?:in|among|for|after|before|during|at|with|without|of|on|under|given|when|if|compared|regarding)\b",
    re.IGNORECASE,
)
# "Is it A or B?" is answered by a span: of 17 factoid questions of BioASQ that begin with such a word, 16 hold an "or".
_CHOICE = re.compile(r"\bor (?!not\b|no\b|without\b)", re.IGNORECASE)


def asks_yes_or_no(text: str) -> bool:
    """Whether a question is one for "yes" or "no", by the word that it begins with; English only."""
    asked = text.strip().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lstrip("¿\"'“”‘«( ")
    setting, comma, rest = asked.rpartition(", ")
    if comma and _SETTING.match(setting) and _YES_NO.match(rest):
        asked = rest
    return bool(_YES_NO.match(asked)) and not _CHOICE.search(asked)
