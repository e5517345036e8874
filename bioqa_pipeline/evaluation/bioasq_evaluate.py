"""Answers to BioASQ's questions beside their gold into the official measures and what lies behind them. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bioqa_pipeline.evaluation.bioasq import QUOTED, BioasqQuestion, QuestionType
from bioqa_pipeline.evaluation.bioasq_answers import BioasqAnswer
from bioqa_pipeline.evaluation.bioasq_metrics import (
    MOST_IDEAL_WORDS,
    FactoidScore,
    ListScore,
    factoid_score,
    list_score,
)
from bioqa_pipeline.evaluation.findings import Findings, find
from bioqa_pipeline.evaluation.judged import JudgedQuestion
from bioqa_pipeline.qa.calibration import ReliabilityBin, auroc, chance_of, expected_calibration_error, reliability

# The challenge's figures, each the mean of a field of the scores of its type.
_FACTOID_MEASURES = {"strict_accuracy": "strict", "lenient_accuracy": "lenient", "mrr": "reciprocal_rank"}
_LIST_MEASURES = {"list_precision": "precision", "list_recall": "recall", "list_f1": "f1"}


@dataclass(frozen=True, slots=True)
class BioasqEvaluation:
    """A finished evaluation on BioASQ's questions.

    Attributes:
        over: what was asked, in words.
        missing: texts that could not be had, by reason.
        scores: of the factoid and list questions that have gold.
        reliability: of the first answer's answerability against whether it is right, factoids only.
    """

    dataset: str
    model: str
    threshold: float
    over: str
    metrics: Mapping[str, float]
    questions: tuple[BioasqQuestion, ...]
    answers: Mapping[str, BioasqAnswer]
    scores: Mapping[str, FactoidScore | ListScore]
    missing: Mapping[str, int]
    reliability: tuple[ReliabilityBin, ...]
    judged: tuple[JudgedQuestion, ...]
    certainty: str

    @property
    def at_zero(self) -> None:
        """There is no column at threshold 0: the measures hardly depend on it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the table does not count."""
        counts = Counter(q.type for q in self.questions)
        not_quoted = [f"{counts[t]:,} {t}" for t in QuestionType if t not in QUOTED and counts[t]]
        unlabelled = sum(q.type in QUOTED and q.gold is None for q in self.questions)
        notes = [f"asked of {self.over}"]
        if not_quoted:
            notes.append(f"{' and '.join(not_quoted)} questions are not answered: their answers cannot be quoted")
        if unlabelled:
            notes.append(f"{unlabelled:,} questions have no gold in the file: they are answered and not scored")
        return (*notes, *(f"{reason}: {n:,}" for reason, n in self.missing.items()))

    def findings(self) -> Findings:
        """What the questions say together, beside the official measures."""
        own = [self.scores[q.id] for q in self.judged]
        names = _FACTOID_MEASURES | _LIST_MEASURES
        values = {measure: [getattr(score, name, None) for score in own] for measure, name in names.items()}
        return find(self.judged, values, grouped="question type", certainty=self.certainty)

    def submission(self) -> bytes:
        """A file in the form that the challenge takes; what is not answered stands in it without an answer."""
        entries = []
        for question in self.questions:
            found = self.answers.get(question.id)
            entry: dict[str, object] = {"id": question.id, "type": str(question.type), "body": question.text}
            # The sentence that holds the answer is as near to an answer in prose as quoting comes.
            entry["ideal_answer"] = " ".join(((found and found.evidence) or "").split()[:MOST_IDEAL_WORDS])
            if question.type in QUOTED:
                entry["exact_answer"] = [[answer] for answer in found.answers] if found else []
            entries.append(entry)
        return (json.dumps({"questions": entries}, indent=1, ensure_ascii=False) + "\n").encode()


def judge_bioasq(
    questions: Sequence[BioasqQuestion],
    answers: Mapping[str, BioasqAnswer],
    *,
    dataset: str,
    model: str,
    threshold: float,
    over: str,
    missing: Mapping[str, int],
    seconds: float,
) -> BioasqEvaluation:
    """Compares answers with the gold of the questions that have one."""
    scores: dict[str, FactoidScore | ListScore] = {}
    for question in questions:
        if question.gold is not None:
            score = factoid_score if question.type is QuestionType.FACTOID else list_score
            scores[question.id] = score(question.gold, answers[question.id].answers)
    judged = tuple(_judged(questions, answers, scores))
    rated = [(q.certainty, bool(q.best_exact)) for q in judged if q.group == "factoid" and q.certainty is not None]
    is_calibrated = any(a.answerability is not None for a in answers.values())
    bins = reliability([c for c, _ in rated], [right for _, right in rated]) if is_calibrated else ()
    labels = [right for _, right in rated]
    separation = {} if all(labels) or not any(labels) else {"auroc_right": auroc([c for c, _ in rated], labels)}
    trust = {"ece_right": expected_calibration_error(bins)} if bins else {}
    n_windows = sum(a.n_windows for a in answers.values())
    speed = {"windows": n_windows, "questions_per_second": len(answers) / seconds} if seconds else {}
    return BioasqEvaluation(
        dataset=dataset,
        model=model,
        threshold=threshold,
        over=over,
        metrics=dict(_measures(questions, scores)) | separation | trust | speed,
        questions=tuple(questions),
        answers=answers,
        scores=scores,
        missing=missing,
        reliability=bins,
        judged=judged,
        certainty="answerability" if is_calibrated else "margin",
    )


def _measures(
    questions: Sequence[BioasqQuestion], scores: Mapping[str, FactoidScore | ListScore]
) -> Iterator[tuple[str, float]]:
    """The challenge's figures, 0 to 1, and how many questions they come from."""
    kinds = ("factoid", FactoidScore, _FACTOID_MEASURES), ("list", ListScore, _LIST_MEASURES)
    for kind, of_kind, measures in kinds:
        if own := [score for score in scores.values() if isinstance(score, of_kind)]:
            yield from ((measure, sum(getattr(s, name) for s in own) / len(own)) for measure, name in measures.items())
            yield f"{kind}_total", len(own)
    yield "answered_total", sum(q.type in QUOTED for q in questions)
    yield "not_answered_total", sum(q.type not in QUOTED for q in questions)


def _judged(
    questions: Sequence[BioasqQuestion],
    answers: Mapping[str, BioasqAnswer],
    scores: Mapping[str, FactoidScore | ListScore],
) -> Iterator[JudgedQuestion]:
    for question in questions:
        if question.gold is None:
            continue
        found, score = answers[question.id], scores[question.id]
        is_factoid = isinstance(score, FactoidScore)
        exact = score.strict if isinstance(score, FactoidScore) else float(score.f1 == 1.0)
        said = "; ".join(found.answers[:1] if is_factoid else found.answers) or None
        yield JudgedQuestion(
            id=question.id,
            question=question.text,
            group=str(question.type),
            answer=said,
            best=said,
            gold=tuple(" / ".join(names) for names in question.gold),
            exact=exact,
            f1=score.reciprocal_rank if isinstance(score, FactoidScore) else score.f1,
            best_exact=exact,
            certainty=found.margin if found.answerability is None else found.answerability,
            probability=None if found.margin is None else chance_of(found.answerability, found.margin),
            evidence=found.evidence,
        )
