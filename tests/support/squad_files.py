"""Paragraphs into SQuAD files, for tests that read them back."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from support.checkpoints import WORDS


def write_squad(paragraphs: Sequence[SquadParagraph], path: Path) -> None:
    """Writes SQuAD v2.0 JSON; neighbouring paragraphs of one title become one article."""
    articles: list[dict[str, Any]] = []
    for paragraph in paragraphs:
        if not articles or articles[-1]["title"] != paragraph.title:
            articles.append({"title": paragraph.title, "paragraphs": []})
        questions = [
            {
                "id": q.id,
                "question": q.text,
                "is_impossible": q.is_impossible,
                "answers": [{"text": a.text, "answer_start": a.start} for a in q.answers],
            }
            for q in paragraph.questions
        ]
        articles[-1]["paragraphs"].append({"context": paragraph.context, "qas": questions})
    path.write_text(json.dumps({"version": "v2.0", "data": articles}, ensure_ascii=False), "utf-8")


def about_genes(path: Path, n_questions: int, *, held_out: bool = False) -> Path:
    """The answer is the word after "gene", and there is none without it; every fifth may be of an article H."""
    rng = random.Random(0)
    paragraphs = []
    for number in range(n_questions):
        words = rng.sample([w for w in WORDS if w != "gene"], 8)
        context = " ".join([*words[:4], "gene", *words[4:]] if number % 3 else words)
        answers = (GoldAnswer(words[4], context.index("gene") + 5),) if number % 3 else ()
        title = "H" if held_out and number % 5 == 4 else "T"
        paragraphs.append(SquadParagraph(title, context, (SquadQuestion(str(number), "which gene", answers),)))
    write_squad(paragraphs, path)
    return path


def labelled(path: Path, n_questions: int, share_answerable: float, *, seed: int) -> Path:
    """Two questions a passage, of which this share can be answered."""
    rng = random.Random(seed)
    answerable = [i < n_questions * share_answerable for i in range(n_questions)]
    rng.shuffle(answerable)
    paragraphs = []
    for number in range(0, n_questions, 2):
        words = rng.sample(WORDS, 6)
        context = " ".join(words)
        answer = GoldAnswer(words[0], 0)
        questions = [
            SquadQuestion(f"{number + i}", f"what {rng.choice(WORDS)}", (answer,) if answerable[number + i] else ())
            for i in range(2)
        ]
        paragraphs.append(SquadParagraph("T", context, tuple(questions)))
    write_squad(paragraphs, path)
    return path
