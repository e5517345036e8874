"""SQuAD paragraphs and answers to their questions into judged questions. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bioqa_pipeline.evaluation.judged import JudgedQuestion, evidence
from bioqa_pipeline.evaluation.metrics import GoldQuestion, score_questions
from bioqa_pipeline.evaluation.scored import ScoredQuestion
from bioqa_pipeline.evaluation.squad import SquadParagraph


def gold_questions(paragraphs: Sequence[SquadParagraph]) -> tuple[GoldQuestion, ...]:
    """The gold side of the metrics, in file order, without the questions that are not labelled."""
    return tuple(
        GoldQuestion(q.id, tuple(a.text for a in q.answers)) for p in paragraphs for q in p.questions if q.is_labelled
    )


def judge_squad(
    paragraphs: Sequence[SquadParagraph],
    answers: Mapping[str, str],
    no_answer: Mapping[str, float],
    threshold: float,
    scored: Mapping[str, ScoredQuestion],
) -> tuple[JudgedQuestion, ...]:
    """The labelled questions, one by one.

    Args:
        answers: id to the best answer, "" for none.
        no_answer: id to the no-answer score, on which the threshold is; empty where there is none.
        scored: by id; what is not in it is somebody's prediction, whose evidence is looked for in the paragraph.
    """
    gold = gold_questions(paragraphs)
    given = {i: "" if no_answer.get(i, -math.inf) > threshold else a for i, a in answers.items()}
    at_threshold, at_best = score_questions(gold, given), score_questions(gold, answers)
    judged = []
    for paragraph in paragraphs:
        for question in paragraph.questions:
            if not question.is_labelled:
                continue
            own, said = scored.get(question.id), answers[question.id]
            place = paragraph.context.find(said) if said and own is None else -1
            judged.append(
                JudgedQuestion(
                    id=question.id,
                    question=question.text,
                    group=paragraph.title,
                    answer=given[question.id] or None,
                    best=said or None,
                    gold=tuple(dict.fromkeys(a.text for a in question.answers)),
                    exact=at_threshold[question.id].exact,
                    f1=at_threshold[question.id].f1,
                    best_exact=at_best[question.id].exact if question.answers else 0,
                    certainty=own.certainty if own else -no_answer[question.id] if no_answer else None,
                    probability=own.probability if own else None,
                    evidence=(
                        own.evidence
                        if own
                        else evidence(paragraph.context, place, place + len(said))
                        if place >= 0
                        else None
                    ),
                )
            )
    return tuple(judged)
