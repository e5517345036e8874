"""SQuAD paragraphs and a scorer into what the model says of each question, as the main job asks an abstract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bioqa_pipeline.evaluation.judged import evidence
from bioqa_pipeline.evaluation.squad import SquadParagraph, questions_with_passages
from bioqa_pipeline.qa.calibration import chance_of
from bioqa_pipeline.qa.scoring import PairScorer

PAIRS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """What the model says of one question.

    Attributes:
        best_span: None where the paragraph holds no span at all.
        evidence: the sentence that it stands in.
    """

    id: str
    has_answer: bool
    best_span: str | None
    score_diff: float
    margin: float
    answerability: float | None
    n_windows: int
    evidence: str | None = None

    @property
    def certainty(self) -> float:
        """What silence is decided by."""
        return self.margin if self.answerability is None else self.answerability

    @property
    def probability(self) -> float:
        """That it has an answer, if roughly."""
        return chance_of(self.answerability, self.margin)


def score_paragraphs(
    paragraphs: Sequence[SquadParagraph], scorer: PairScorer, *, on_questions: Callable[[int], None] | None = None
) -> tuple[ScoredQuestion, ...]:
    """Scores every question against its paragraph, as the main job scores a question against an abstract.

    Args:
        on_questions: called with the number of questions of each part when it is done.
    """
    pairs = list(questions_with_passages(paragraphs))
    scored = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = pairs[start : start + PAIRS_AT_ONCE]
        results = scorer.score([(question.text, passage) for question, passage in part])
        for (question, passage), answer in zip(part, results, strict=True):
            scored.append(
                ScoredQuestion(
                    id=question.id,
                    has_answer=bool(question.answers),
                    best_span=answer.best.text if answer.best else None,
                    score_diff=answer.score_diff,
                    margin=answer.margin,
                    answerability=answer.answerability,
                    n_windows=answer.n_windows,
                    evidence=evidence(passage.text, answer.best.start, answer.best.end) if answer.best else None,
                )
            )
        if on_questions:
            on_questions(len(part))
    return tuple(scored)
