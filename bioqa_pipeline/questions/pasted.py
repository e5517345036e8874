"""A text that stands where a question belongs into whether it is a query. Pure."""

from __future__ import annotations

import re

from bioqa_pipeline.questions.foreign import read_foreign
from bioqa_pipeline.questions.query_lint import FIELD_TAGS, HISTORY, MODIFIER, TAG, history_numbers

# Tags that are English words: "the [title] of" is no query.
_WORDS = frozenset(
    "all affiliation author book editor filter is issue journal language other owner page publisher subset text title "
    "volume word".split()
)
# As word processors write quotation marks.
_STRAIGHT = str.maketrans("“”„‘’", '"""\'\'')
_TAGGED = re.compile(rf"(?<=[\w\"*)])(?P<space>\s?){TAG.pattern}")
_OPERATOR = re.compile(r"(?<=[\w\")*\]])\s+(?:AND|OR|NOT)\s+(?=[\w\"(#])")
# What a sentence has and a query has not.
_SENTENCE = frozenset(
    "a an the is are was were am be been do does did can could should will would has have had what which who whose "
    "whom how why when where that describe explain list name give tell".split()
)


def is_query(text: str) -> bool:
    """Whether a text is a PubMed query, or one of another database, and no question: it has field tags, history
    numbers, or operators between terms, and does not read like a sentence."""
    text = text.translate(_STRAIGHT)
    if text.rstrip().endswith("?"):
        return False
    tags = ((found["space"], " ".join(found[2].lower().split())) for found in _TAGGED.finditer(text))
    if any(MODIFIER.sub("", tag) in FIELD_TAGS and not (space and tag in _WORDS) for space, tag in tags):
        return True
    if any(word.lower() in _SENTENCE for word in re.findall(r"[^\W\d_]+", text)):
        return bool(HISTORY.search(text) and _OPERATOR.search(text))
    if text.upper() == text:  # in capitals all, AND says nothing
        return bool(HISTORY.search(text) and _OPERATOR.search(text)) or read_foreign(text) is not None
    return bool(_OPERATOR.search(text) or history_numbers(text)) or read_foreign(text) is not None
