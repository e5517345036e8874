"""Questions into what is said of those that the model reads the beginning of only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bioqa_pipeline.messages import first_few
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.questions.notes import NAMED
from bioqa_pipeline.records.texts import Question

_SHOWN_CHARS = 60


def long_question_notes(questions: Sequence[Question], tokenizer: TextTokenizer, max_query_length: int) -> list[str]:
    """A sentence for the questions that are cut at `max_query_length` tokens, the first of them named with what the
    model reads last; and one for each group that is the same question behind the cut. Empty where none is cut."""
    # A token is a byte at least: most questions need not be looked at.
    asked = [question for question in questions if len(question.text.encode()) >= max_query_length]
    cut: list[tuple[Question, int, str]] = []
    by_ids: dict[tuple[int, ...], list[Question]] = defaultdict(list)
    for question, tokens in zip(asked, tokenizer([question.text for question in asked]), strict=True):
        if len(tokens) < max_query_length:
            continue
        by_ids[tuple(tokens.ids[:max_query_length].tolist())].append(question)
        if len(tokens) > max_query_length:
            end = int(tokens.ends[max_query_length - 1])
            cut.append((question, len(tokens), question.text[max(0, end - _SHOWN_CHARS // 2) : end]))
    return list(_notes(cut, [group for group in by_ids.values() if len(group) > 1], max_query_length))


def _notes(cut: Sequence[tuple[Question, int, str]], equal: Sequence[Sequence[Question]], most: int) -> Iterator[str]:
    if cut:
        named = first_few([f'{_name(q)} has {n:,} and is read up to "… {end}"' for q, n, end in cut], NAMED, "; ")
        yield f"{len(cut):,} asked in part, for the model reads the first {most} tokens of a question: {named}"
    for group in equal[:NAMED]:
        yield (
            f"one question to the model, which reads their first {most} tokens, so that they get the same answers: "
            + first_few(list(map(_name, group)), NAMED)
        )
    if len(equal) > NAMED:
        yield f"and {len(equal) - NAMED:,} more groups of questions that are one to the model"


def _name(question: Question) -> str:
    place = f"line {question.line}" if question.line is not None else question.id
    return f'{place} ("{question.text[:_SHOWN_CHARS]}{"…" * (len(question.text) > _SHOWN_CHARS)}")'
