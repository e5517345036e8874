"""Answerable questions into unanswerable ones, by rule, in the manner of the annotators of SQuAD 2.0.

Four styles: the sentence that answers is taken out of the paragraph; the question is asked of another paragraph of
the article; a name, number or word of the question is exchanged for another of its kind; a word becomes its opposite.
The labels are right mostly, not always: an exchange can leave a question answerable.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bioqa_pipeline.evaluation.squad import SquadParagraph, SquadQuestion
from bioqa_pipeline.training.phrases import (
    NEGATABLE,
    OPPOSITES,
    STOP_WORDS,
    WORD,
    content_words,
    ending_of,
    phrases_in,
    sentence_bounds,
    words_of,
)
from bioqa_pipeline.training.recipe import NegativesConfig


@dataclass(frozen=True, slots=True)
class Negative:
    """A question that `context` does not answer.

    Attributes:
        source_id: the question it was made from.
        style: the rule that made it.
        near: code point of `context` where the answer to the source question stands or stood; None where it never did.
    """

    source_id: str
    style: str
    question: str
    context: str
    near: int | None


@dataclass(frozen=True, slots=True)
class _Article:
    """What an article offers for exchange."""

    paragraphs: tuple[SquadParagraph, ...]
    words: tuple[frozenset[str], ...]
    rarity: dict[str, float]
    phrases_of: tuple[tuple[tuple[str, str], ...], ...]
    phrases: dict[str, list[str]]
    by_ending: dict[str, list[str]]


def make_negatives(paragraphs: Sequence[SquadParagraph], config: NegativesConfig, *, seed: int) -> list[Negative]:
    """Draws questions for every style and writes what can be written; a style that does not apply is left out.

    Args:
        paragraphs: paragraphs of one file; those of one title form an article.
        config: shares of the answerable questions that each style draws.
        seed: equal seeds give equal negatives.
    """
    rng = random.Random(seed)
    by_title: dict[str, list[SquadParagraph]] = defaultdict(list)
    for paragraph in paragraphs:
        by_title[paragraph.title].append(paragraph)
    makers = (
        ("removed_sentence", config.removed_sentence, _without_answer),
        ("other_paragraph", config.other_paragraph, _other_paragraph),
        ("swapped", config.swapped, _swapped),
        ("reversed", config.reversed, _reversed),
    )
    negatives = []
    for members in by_title.values():
        article = _read_article(members)
        for index, paragraph in enumerate(members):
            for question in paragraph.questions:
                if question.is_impossible:
                    continue
                for style, share, maker in makers:
                    if rng.random() < share:
                        made = maker(question, index, article, rng)
                        if made is not None:
                            near = None if style == "other_paragraph" else min(question.answers[0].start, len(made[1]))
                            negatives.append(Negative(question.id, style, *made, near))
    return negatives


def _read_article(paragraphs: Sequence[SquadParagraph]) -> _Article:
    words = tuple(frozenset(words_of(p.context)) for p in paragraphs)
    frequency = Counter(w for ws in words for w in ws)
    rarity = {w: math.log(1 + len(words) / n) for w, n in frequency.items()}
    phrases: dict[str, list[str]] = defaultdict(list)
    by_ending: dict[str, list[str]] = defaultdict(list)
    found = tuple(tuple(phrases_in(p.context)) for p in paragraphs)
    for kind, phrase in (entry for entries in found for entry in entries):
        phrases[kind].append(phrase)
    for word in sorted(frequency):
        if len(word) > 3 and word not in STOP_WORDS and word.isalpha():
            by_ending[ending_of(word)].append(word)
    return _Article(tuple(paragraphs), words, rarity, found, dict(phrases), dict(by_ending))


def _mentions(text: str, answers: Sequence[str]) -> bool:
    low = text.lower()
    return any(a.lower() in low for a in answers)


def _without_answer(
    question: SquadQuestion, index: int, article: _Article, rng: random.Random
) -> tuple[str, str] | None:
    """The paragraph without the sentence that holds the answer; None where the answer stands elsewhere too."""
    context = article.paragraphs[index].context
    answer = question.answers[0]
    rest = "".join(
        context[a:b] for a, b in sentence_bounds(context) if not (a < answer.end and answer.start < b)
    ).strip()
    if len(rest) < 80 or _mentions(rest, [a.text for a in question.answers]):
        return None
    return question.text, rest


def _other_paragraph(
    question: SquadQuestion, index: int, article: _Article, rng: random.Random
) -> tuple[str, str] | None:
    """The paragraph of the article, among those without the answer, that shares the rarest words with the question."""
    asked = content_words(question.text)
    answers = [a.text for a in question.answers]
    scored = sorted(
        (
            (sum(article.rarity[w] for w in sorted(asked & words)), i)
            for i, words in enumerate(article.words)
            if i != index and not _mentions(article.paragraphs[i].context, answers)
        ),
        reverse=True,
    )
    candidates = [i for score, i in scored[:3] if score > 0]
    if not candidates:
        return None
    return question.text, article.paragraphs[rng.choice(candidates)].context


def _swapped(question: SquadQuestion, index: int, article: _Article, rng: random.Random) -> tuple[str, str] | None:
    """The question with one name, number or content word exchanged; the paragraph as it was."""
    context = article.paragraphs[index].context
    choices = [(k, p) for k, p in phrases_in(question.text) if p.lower() in context.lower()]
    rng.shuffle(choices)
    if rng.random() < 0.25 or not choices:
        choices = [("word", w) for w in _content_words(question.text, article.words[index])] + choices
    answers = {a.text.lower() for a in question.answers}
    here = article.phrases_of[index]
    for kind, phrase in choices:
        if kind == "word":
            pool = article.by_ending.get(ending_of(phrase), [])
            if rng.random() < 0.5:
                pool = [w for w in pool if w in article.words[index]] or pool
        else:
            pool = [p for k, p in here if k == kind] if rng.random() < 0.5 else []
            pool = [p for p in pool if _differs(p, phrase)] or article.phrases.get(kind, [])
        pool = [p for p in pool if _differs(p, phrase) and p.lower() not in answers and p not in question.text]
        if kind in {"year", "number"} and len(set(pool)) < 2:
            pool = [_other_number(phrase, kind, rng)]
        if pool:
            match = re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", question.text)
            if match:
                return question.text[: match.start()] + rng.choice(pool) + question.text[match.end() :], context
    return None


def _content_words(question: str, paragraph_words: frozenset[str]) -> list[str]:
    words = [w for w in WORD.findall(question) if w.islower() and len(w) > 3 and w not in STOP_WORDS]
    shared = [w for w in words if w in paragraph_words]
    return shared[:1] if shared else words[:1]


def _differs(candidate: str, phrase: str) -> bool:
    return not set(words_of(candidate)) & set(words_of(phrase))


def _other_number(phrase: str, kind: str, rng: random.Random) -> str:
    if kind == "year":
        return str(int(phrase) + rng.choice((-20, -10, -5, -3, -2, -1, 1, 2, 3, 5, 10)))
    return "".join(str(rng.randint(1, 9)) if c.isdigit() else c for c in phrase)


def _reversed(question: SquadQuestion, index: int, article: _Article, rng: random.Random) -> tuple[str, str] | None:
    """The question with a word made its opposite, or negated."""
    context = article.paragraphs[index].context
    words = [m for m in WORD.finditer(question.text) if m.group() in OPPOSITES]
    if words:
        match = rng.choice(words)
        opposite = rng.choice(OPPOSITES[match.group()])
        return question.text[: match.start()] + opposite + question.text[match.end() :], context
    auxiliary = NEGATABLE.search(question.text)
    if auxiliary is None or rng.random() < 0.7:
        return None
    return _negate(question.text, auxiliary, rng), context


def _negate(text: str, auxiliary: re.Match[str], rng: random.Random) -> str:
    """ "What did he say?" becomes "What didn't he say?", "What did he not say?" is left to the annotators."""
    verb = auxiliary.group()
    short = {"can": "can't", "will": "won't"}.get(verb, f"{verb}n't")
    negated = short if rng.random() < 0.5 else f"{verb} never" if rng.random() < 0.5 else f"{verb} not"
    return text[: auxiliary.start()] + negated + text[auxiliary.end() :]
