"""Paragraphs into SQuAD files, for tests that read them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioqa_pipeline.evaluation.squad import SquadParagraph


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
