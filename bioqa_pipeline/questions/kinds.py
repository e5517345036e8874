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
_AUXILIARY = rf"(?:{'|'.join(map(re.escape, _AUXILIARIES))})"
# "May-Thurner syndrome" begins with none, nor does "CAN is": a word in capitals names, unless all are.
_YES_NO = re.compile(rf"(?:{_AUXILIARY}|whether)\b(?!-)", re.IGNORECASE)
# "In adults with asthma, does …": what is said before the comma is not what is asked.
_SETTING = re.compile(
    r"(?:in|among|for|after|before|during|at|with|without|of|on|under|given|when|if|compared|regarding|according"
    r"|despite|considering|tell me|true or false)\b",
    re.IGNORECASE,
)
_OPENING = re.compile(r"(?:(?:and|so|then|but|also|well|now|please)\b,?\s+)+", re.IGNORECASE)
_TAG_QUESTION = re.compile(
    rf",\s(?:{_AUXILIARY}(?: not)?\s(?:it|they|he|she|we|there|this|that)|right|correct)\W*$", re.I
)
# "Can you tell me whether zinc helps?"
_ASKING_IF = re.compile(
    r"(?:(?:can|could|would|will|do|does)\s(?:you|anyone|anybody|someone|we)\s(?:please\s)?"
    r"(?:tell\s(?:me|us)|say|know|explain)|(?:please\s)?(?:tell\sme|say|let\sme\sknow)"
    r"|i(?:\swould|'d)?\s(?:like\sto\sknow|want\sto\sknow|wonder))\s(?:if|whether)\b",
    re.IGNORECASE,
)
# "Is it A or B?" is answered by a span: of 17 factoid questions of BioASQ that begin with such a word, 16 hold an "or".
_CHOICE = re.compile(r"\bor (?!not\b|no\b|without\b|false\b)", re.IGNORECASE)
# So is "…, and if so which?", "Can you name the gene?", "Do we know which one?" and what ends in "what?".
_NAMING = re.compile(
    r"(?:[;?]|\band|\bif (?:so|yes))[\s,]+(?:if (?:so|yes)[\s,]+)?(?:(?:in|by|of|to|for|from|with|at|on)\s)?"
    r"(?:which|what|whom?|whose|how|where|when|why)\b"
    r"|^(?:can|could|will|would|do|does|did|has|is|are)\s.*?\b(?:know|known|tell|say|clear|understood|established|found|shown|list"
    r"|explain|describe|identify|name|give)\b(?:\s(?:me|us|you))?\s(?:exactly\s)?(?:which|what|whom?|whose|how|where|when|why)\b"
    r"|^(?:can|could|will|would)\s(?:you|anyone|someone|we)\s(?:please\s)?(?:name|list|give|describe|explain|identify|tell)\b"
    r"|\b(?:what|whom?|where)\W*$",
    re.IGNORECASE,
)


def asks_yes_or_no(text: str) -> bool:
    """Whether a question is one for "yes" or "no", by the word that it begins with; English only."""
    asked = text.strip().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lstrip("¿\"'“”‘«( ")
    asked = asked[match.end() :] if (match := _OPENING.match(asked)) else asked
    for mark in (", ", ": "):
        setting, _, rest = asked.rpartition(mark)
        if setting and _SETTING.match(setting) and _YES_NO.match(rest):
            asked = rest
    if _ASKING_IF.match(asked):
        return not _CHOICE.search(asked)
    first = asked.partition(" ")[0]
    is_name = first.isupper() and not asked.isupper()
    begins = (
        (_YES_NO.match(asked) and not is_name) or _TAG_QUESTION.search(asked) or asked.lower().startswith("true or f")
    )
    return bool(begins) and not _CHOICE.search(asked) and not _NAMING.search(asked)
