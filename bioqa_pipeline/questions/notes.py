"""What was made of the lines of a file of questions, beside asking them, into sentences for its user. Pure."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bioqa_pipeline.questions.rows import SHOWN_CHARS, Row

NAMED = 3
_AROUND = " ?!.…:;,'"
# Quotation marks go, dashes are one; signs and points within a question may be its meaning.
_PLAIN = str.maketrans({**dict.fromkeys('"“”„«»', ""), **dict.fromkeys("‘’ʼ`´", "'"), **dict.fromkeys("‐‑‒–—−", "-")})
_BETWEEN = re.compile(r"\s+([?!.,;:])")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A comment (a whole line, or what stands behind a question), or a list mark without a question."""

    line: int
    text: str
    is_mark: bool = False


def notes_of(rows: Sequence[Row], left_out: Sequence[LeftOut]) -> Iterator[str]:
    """One sentence each for comments, list marks, own columns, what repetitions say in them, and near repetitions."""
    for is_mark, kind in ((False, "comments"), (True, "list marks without a question")):
        if lines := [(part.line, part.text) for part in left_out if part.is_mark is is_mark]:
            yield f"left out as {kind}: {named_lines(lines)}"
    if marked := [(row.line, row.mark) for row in rows if row.mark]:
        yield f"list marks taken off before questions: {named_lines(marked)}"
    own = dict.fromkeys(name for row in rows if row.own for name in json.loads(row.own))
    if own:
        yield f"columns of your own, kept with the answers: {', '.join(own)}"
    kept: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        kept[row.key].append(row)
    if others := [(r.line, r.text) for group in kept.values() for r in group[1:] if r.own not in (None, group[0].own)]:
        yield f"repeated with other values in your own columns, of which the first are kept: {named_lines(others)}"
    alike: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for group in kept.values():
        alike[_words(group[0].text), group[0].key[1]].append(group[0])
    if again := [(row.line, row.text) for group in alike.values() for row in group[1:]]:
        yield (
            f"asked more than once, apart from punctuation and capitals: {named_lines(again)}; each is a question of "
            "its own, write them alike to have them answered once"
        )


def _words(question: str) -> str:
    """A question without what does not make it another one, at its end and around its words."""
    plain = question.translate(_PLAIN).casefold()
    plain = _BETWEEN.sub(r"\1", plain)
    return " ".join(plain.strip(_AROUND).split())


def named_lines(lines: Sequence[tuple[int, str]]) -> str:
    """How many, and the first of them with their texts."""
    shown = [f'line {line} "{text[:SHOWN_CHARS]}{"…" * (len(text) > SHOWN_CHARS)}"' for line, text in lines[:NAMED]]
    more = f" and {len(lines) - NAMED:,} more" if len(lines) > NAMED else ""
    return f"{len(lines):,} ({', '.join(shown)}{more})"
