"""BioASQ questions with their texts and a scorer into ranked answers, as the main job merges those of many abstracts.

A list has the answers that pass the threshold. A factoid has five places, and nothing is lost by filling them: behind
the answers that pass come those that do not, in the order in which they would be merged if all passed. No question of
these types that has a text is left without an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bioqa_pipeline.evaluation.bioasq import QUOTED, BioasqQuestion, QuestionType
from bioqa_pipeline.evaluation.bioasq_metrics import MOST_FACTOID_ANSWERS, MOST_LIST_ANSWERS, MOST_LIST_CHARS
from bioqa_pipeline.evaluation.bioasq_texts import AskedText
from bioqa_pipeline.evaluation.judged import evidence
from bioqa_pipeline.qa.merging import VOTING_SPANS, Candidate, merge_answers
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.records.scores import MergedAnswer, PassageAnswer
from bioqa_pipeline.records.texts import Passage, Question

PAIRS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class BioasqAnswer:
    """What is answered to one question.

    Attributes:
        answers: ranked; empty where there was no text to ask.
        n_sure: how many of them pass the threshold.
        margin, answerability: of the first answer's best text; None without one, the second without a calibration too.
        evidence, pmid: the sentence that the first answer stands in, and where; None without one, or no PubMed record.
    """

    id: str
    answers: tuple[str, ...]
    n_sure: int
    margin: float | None
    answerability: float | None
    evidence: str | None
    pmid: int | None
    n_texts: int
    n_windows: int


def answer_bioasq(
    questions: Sequence[BioasqQuestion],
    texts: Mapping[str, Sequence[AskedText]],
    scorer: PairScorer,
    *,
    on_questions: Callable[[int], None] | None = None,
) -> dict[str, BioasqAnswer]:
    """Answers the factoid and list questions; the others are left out.

    Args:
        on_questions: called with the number of questions of each part when it is done.
    """
    answered = {}
    for part in _parts([q for q in questions if q.type in QUOTED], texts):
        pairs = [(q.text, Passage(str(t.pmid), t.text)) for q in part for t in texts.get(q.id, ())]
        scores = iter(scorer.score(pairs) if pairs else ())
        for question in part:
            own = [(text, next(scores)) for text in texts.get(question.id, ())]
            answered[question.id] = _answered(question, own)
        if on_questions:
            on_questions(len(part))
    return answered


def _parts(questions: Sequence[BioasqQuestion], texts: Mapping[str, Sequence[AskedText]]) -> list[list[BioasqQuestion]]:
    """Some questions together, by their number of texts."""
    parts: list[list[BioasqQuestion]] = [[]]
    n_pairs = 0
    for question in questions:
        if n_pairs >= PAIRS_AT_ONCE:
            parts.append([])
            n_pairs = 0
        parts[-1].append(question)
        n_pairs += len(texts.get(question.id, ()))
    return parts


def _answered(question: BioasqQuestion, own: Sequence[tuple[AskedText, PassageAnswer]]) -> BioasqAnswer:
    most = MOST_FACTOID_ANSWERS if question.type is QuestionType.FACTOID else MOST_LIST_ANSWERS
    sure = _merged(question, own, most)
    others = _merged(question, own, most, all_pass=True)
    if question.type is QuestionType.LIST:
        others = [] if sure else others[:1]
        sure, others = _short(sure), _short(others)
    said = {variant.casefold() for answer in sure for variant in answer.variants}
    answers = [*sure, *(a for a in others if not said & {v.casefold() for v in a.variants})][:most]
    first = answers[0] if answers else None
    sentence, pmid = _evidence(first, own) if first else (None, None)
    return BioasqAnswer(
        id=question.id,
        answers=tuple(a.answer for a in answers if a.answer),
        n_sure=len(sure),
        margin=first.margin if first else None,
        answerability=first.answerability if first else None,
        evidence=sentence,
        pmid=pmid,
        n_texts=len(own),
        n_windows=sum(answer.n_windows for _, answer in own),
    )


def _merged(
    question: BioasqQuestion, own: Sequence[tuple[AskedText, PassageAnswer]], limit: int, *, all_pass: bool = False
) -> list[MergedAnswer]:
    candidates = [
        Candidate(
            pmid=text.pmid,
            answer=answer.best.text if answer.best and (all_pass or answer.is_answerable) else None,
            margin=answer.margin,
            answerability=answer.answerability,
            is_retracted=text.is_retracted,
            abbreviations=text.abbreviations,
            work=text.work,
            spans=tuple((span.text, span.score) for span in answer.n_best[:VOTING_SPANS]),
        )
        for text, answer in own
    ]
    merged = merge_answers(Question(question.id, question.text), candidates, limit=limit)
    return [answer for answer in merged if answer.answer]


def _short(answers: Sequence[MergedAnswer]) -> list[MergedAnswer]:
    """Those that the challenge takes in a list."""
    return [answer for answer in answers if len(answer.answer or "") <= MOST_LIST_CHARS]


def _evidence(answer: MergedAnswer, own: Sequence[tuple[AskedText, PassageAnswer]]) -> tuple[str | None, int | None]:
    """The sentence of the answer in its best text, and that text's PMID."""
    for text, said in own:
        if text.pmid == answer.best_pmid and said.best and said.best.text == answer.answer:
            return evidence(text.text, said.best.start, said.best.end), text.pmid if text.pmid > 0 else None
    return None, None
