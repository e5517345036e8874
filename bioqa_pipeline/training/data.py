"""SQuAD files into the labelled windows of each epoch.

Windows are those of the main job. As in run_squad, an answer that does not lie wholly in a window makes that window's
target the null at `[CLS]`.
"""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import TrainingError
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion, read_squad
from bioqa_pipeline.messages import counted
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.qa.windows import make_windows
from bioqa_pipeline.records.scores import TokenizedText, Window
from bioqa_pipeline.training.negatives import make_negatives
from bioqa_pipeline.training.phrases import content_words, sentence_bounds
from bioqa_pipeline.training.recipe import DataConfig, TrainingConfig

logger = logging.getLogger(__name__)

TEXTS_AT_ONCE = 2048
IDS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One question to train on; `answer` None is a question that `context` does not answer."""

    id: str
    question: str
    context: str
    answer: GoldAnswer | None


@dataclass(frozen=True, slots=True)
class LabelledWindow:
    """A window and its target: positions in `input_ids`, both included; 0, 0 is the null."""

    window: Window
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """All windows of a training.

    Attributes:
        windows: of all epochs; what does not change from epoch to epoch stands there once.
        epochs: for each epoch the indices of its windows.
        counts: examples by kind and skips by reason.
    """

    windows: tuple[LabelledWindow, ...]
    epochs: tuple[tuple[int, ...], ...]
    counts: dict[str, int]


def build_training_set(config: TrainingConfig, tokenizer: TextTokenizer) -> TrainingSet:
    """Reads the files of a recipe, writes each epoch's rule-made negatives, cuts and labels windows.

    Raises:
        InputError: a file cannot be read or is malformed.
        TrainingError: nothing to train on is left.
    """
    counts: Counter[str] = Counter()
    n_epochs = math.ceil(config.epochs)
    per_epoch: list[list[Example]] = [[] for _ in range(min(n_epochs, config.drawn_epochs or n_epochs))]
    for number, data in enumerate(config.data):
        paragraphs = _usable(read_squad(data.path), data, counts)
        for epoch, examples in enumerate(per_epoch):
            examples += _epoch_examples(paragraphs, data, seed=seed_of(config.seed, number, epoch))
    per_epoch = list(islice(cycle(per_epoch), n_epochs))
    per_epoch[-1] = _part(per_epoch[-1], 1 + config.epochs - n_epochs, seed=seed_of(config.seed, "part"))
    unique = list(dict.fromkeys(e for examples in per_epoch for e in examples))
    labelled = label_examples(unique, tokenizer, config.windows, counts)
    windows: list[LabelledWindow] = []
    place: dict[Example, range] = {}
    for example, own in zip(unique, labelled, strict=True):
        place[example] = range(len(windows), len(windows) + len(own))
        windows += own
    if not windows:
        why = ", ".join(f"{n:,} {reason}" for reason, n in counts.items()) or "no question was drawn"
        raise TrainingError(f"nothing to train on in {', '.join(str(d.path) for d in config.data)}: {why}")
    epochs = tuple(tuple(i for e in examples for i in place[e]) for examples in per_epoch)
    counts["answerable"] = sum(e.answer is not None for examples in per_epoch for e in examples)
    counts["unanswerable"] = sum(e.answer is None for examples in per_epoch for e in examples)
    counts["windows"] = sum(len(indices) for indices in epochs)
    counts["tokens"] = sum(len(windows[i].window) for indices in epochs for i in indices)
    return TrainingSet(windows=tuple(windows), epochs=epochs, counts=dict(counts))


def _part(examples: list[Example], share: float, *, seed: int) -> list[Example]:
    """A random share of an epoch, in its order."""
    count = max(1, round(share * len(examples)))
    chosen = sorted(random.Random(seed).sample(range(len(examples)), min(count, len(examples))))
    return [examples[i] for i in chosen]


def label_examples(
    examples: Sequence[Example], tokenizer: TextTokenizer, config: WindowConfig, counts: Counter[str]
) -> list[list[LabelledWindow]]:
    """The windows of each example; none, counted, for an answer that covers no token."""
    texts = list(dict.fromkeys(text for e in examples for text in (e.question, e.context)))
    tokens: dict[str, TokenizedText] = {}
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[start : start + TEXTS_AT_ONCE]
        tokens.update(zip(part, tokenizer(part), strict=True))
    numbers = {text: number for number, text in enumerate(tokens)}
    asked_read = [(numbers[e.question], numbers[e.context]) for e in examples]
    asked, read = np.array(asked_read, dtype=np.int64).reshape(-1, 2).T
    all_tokens = list(tokens.values())
    windows = make_windows(all_tokens, all_tokens, asked, read, tokenizer.special, config)
    labelled: list[list[LabelledWindow]] = []
    first = 0
    for example in examples:
        span = None
        own = range(first, first + int(windows.n_windows[first]))
        first = own.stop
        if example.answer is not None:
            span = answer_tokens(tokens[example.context], example.answer.start, example.answer.end)
            if span is None:
                counts["skipped: answer without a token"] += 1
                labelled.append([])
                continue
        labelled.append([label_window(windows[i], span) for i in own])
        counts["windows without their answer"] += sum(w.start == 0 for w in labelled[-1]) if span else 0
    return labelled


def answer_tokens(passage: TokenizedText, start: int, end: int) -> tuple[int, int] | None:
    """First and last token (included) that overlap the code points [start, end); None where no token does."""
    first = int(np.searchsorted(passage.ends, start, side="right"))
    last = int(np.searchsorted(passage.starts, end, side="left")) - 1
    return (first, last) if first <= last else None


def label_window(window: Window, span: tuple[int, int] | None) -> LabelledWindow:
    """Targets of one window; the null where the whole span does not lie in it."""
    if span is None or span[0] < window.token_start or span[1] >= window.token_end:
        return LabelledWindow(window, 0, 0)
    shift = window.passage_offset - window.token_start
    return LabelledWindow(window, span[0] + shift, span[1] + shift)


def merge_paragraphs(paragraphs: Sequence[SquadParagraph], min_chars: int) -> list[SquadParagraph]:
    """Joins neighbouring paragraphs of one title with a space until each has `min_chars`; offsets move along."""
    merged: list[SquadParagraph] = []
    for paragraph in paragraphs:
        last = merged[-1] if merged else None
        if last is None or last.title != paragraph.title or len(last.context) >= min_chars:
            merged.append(paragraph)
            continue
        shift = len(last.context) + 1
        moved = tuple(
            replace(q, answers=tuple(replace(a, start=a.start + shift) for a in q.answers)) for q in paragraph.questions
        )
        context = f"{last.context} {paragraph.context}"
        merged[-1] = replace(last, context=context, questions=last.questions + moved)
    return merged


def _usable(paragraphs: Sequence[SquadParagraph], data: DataConfig, counts: Counter[str]) -> list[SquadParagraph]:
    """Paragraphs that are trained on, without the questions whose answer is not where the file says."""
    unknown = sorted(set(data.held_out) - {p.title for p in paragraphs})
    if unknown:
        raise TrainingError(f"{data.path}: held_out names articles that are not there: {', '.join(unknown)}")
    wrong: list[str] = []
    usable = []
    for paragraph in paragraphs:
        if paragraph.title in data.held_out:
            counts["held out"] += len(paragraph.questions)
            continue
        kept = []
        for question in paragraph.questions:
            if all(a.text and paragraph.context[a.start : a.end] == a.text for a in question.answers):
                kept.append(question)
            else:
                wrong.append(question.id)
        usable.append(replace(paragraph, questions=tuple(kept)))
    if wrong:
        counts["skipped: answer not at its offset"] += len(wrong)
        logger.warning(
            "%s: %s left out, whose answer does not stand at its answer_start: %s%s",
            data.path,
            counted(len(wrong), "question"),
            ", ".join(wrong[:IDS_SHOWN]),
            " …" if len(wrong) > IDS_SHOWN else "",
        )
    return merge_paragraphs(usable, data.merge_chars) if data.merge_chars else usable


def _epoch_examples(paragraphs: Sequence[SquadParagraph], data: DataConfig, *, seed: int) -> list[Example]:
    """What one file gives to one epoch."""
    rng = random.Random(seed)
    drawn = [
        replace(p, questions=tuple(q for q in p.questions if data.share >= 1 or rng.random() < data.share))
        for p in paragraphs
    ]
    placed: list[tuple[Example, int | None]] = [
        (_example(q, p.context), None)
        for p in drawn
        for q in p.questions
        for _ in range(data.unanswerable_draws if q.is_impossible else 1)
    ]
    placed += [
        (Example(f"{n.source_id}/{n.style}", n.question, n.context, None), n.near)
        for n in make_negatives(drawn, data.negatives, seed=seed)
    ]
    return [
        crop(example, near, data.crop_chars, rng) if rng.random() < data.crop_share else example
        for example, near in placed
    ]


def _example(question: SquadQuestion, context: str) -> Example:
    return Example(question.id, question.text, context, question.answers[0] if question.answers else None)


def crop(example: Example, near: int | None, max_chars: int, rng: random.Random) -> Example:
    """The example with its context cut to the sentences of the answer and random neighbours, `max_chars` at most.

    Args:
        near: where an unanswerable example is cut instead; None takes the sentence most like the question.
    """
    bounds = sentence_bounds(example.context)
    if example.answer:
        inside = [i for i, (a, b) in enumerate(bounds) if a < example.answer.end and example.answer.start < b]
        first, last = inside[0], inside[-1]
    elif near is not None:
        first = last = next(i for i, (_, end) in enumerate(bounds) if near < end or i == len(bounds) - 1)
    else:
        asked = content_words(example.question)
        overlap = [len(asked & content_words(example.context[a:b])) for a, b in bounds]
        first = last = overlap.index(max(overlap))
    while True:
        wider = [(f, la) for f, la in ((first - 1, last), (first, last + 1)) if f >= 0 and la < len(bounds)]
        wider = [(f, la) for f, la in wider if bounds[la][1] - bounds[f][0] <= max_chars]
        if not wider:
            break
        first, last = rng.choice(wider)
    start, end = bounds[first][0], bounds[last][1]
    answer = replace(example.answer, start=example.answer.start - start) if example.answer else None
    kept = answer.end if answer else 0
    context = example.context[start:end]
    return replace(example, context=context[:kept] + context[kept:].rstrip(), answer=answer)


def seed_of(*parts: object) -> int:
    """A seed for what these say."""
    return random.Random(" ".join(map(str, parts))).getrandbits(32)
