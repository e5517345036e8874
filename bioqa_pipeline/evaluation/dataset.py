"""A file of labelled questions, of SQuAD's or BioASQ's layout, into its questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bioqa_pipeline.evaluation.bioasq import QUOTED, BioasqQuestion, bioasq_questions, is_bioasq
from bioqa_pipeline.evaluation.squad import SquadParagraph, squad_paragraphs
from bioqa_pipeline.inputs import read_json


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """What the file holds; one of the two is empty."""

    paragraphs: tuple[SquadParagraph, ...] = ()
    questions: tuple[BioasqQuestion, ...] = ()

    @property
    def n_asked(self) -> int:
        """Questions that are asked."""
        return sum(len(p.questions) for p in self.paragraphs) + sum(q.type in QUOTED for q in self.questions)

    @property
    def has_gold(self) -> bool:
        """Whether the file says of any question what the answer is."""
        labelled = any(q.is_labelled for p in self.paragraphs for q in p.questions)
        return labelled or any(q.gold is not None for q in self.questions)


def read_evaluation_set(path: Path) -> EvaluationSet:
    """Reads the file, whichever of the two it is; questions in it may lack labels.

    Raises:
        InputError: it cannot be read, or is neither.
    """
    content = read_json(path)
    if is_bioasq(content):
        return EvaluationSet(questions=tuple(bioasq_questions(content, path)))
    return EvaluationSet(paragraphs=tuple(squad_paragraphs(content, path, may_lack_labels=True)))
