"""What scoring makes of a question and a passage: tokens, windows, batches, spans, answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from bioqa_pipeline.records.texts import Abstract, Question

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

# Of answers with at least this probability four in five are right, by the model's calibration.
STRONG = 0.8


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Vocabulary ids of the tokens that frame a window; `n_middle` of `sep` stand between question and passage."""

    cls: int
    sep: int
    pad: int
    n_middle: int = 1


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text tokenised once, without special tokens.

    Attributes:
        ids: (n_tokens,) int32.
        starts, ends: (n_tokens,) int32, the code points [start, end) of each token in the text.
    """

    ids: IntArray
    starts: IntArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Window:
    """`[CLS] question [SEP] passage tokens [token_start, token_end) [SEP]` of one (question, passage) pair.

    Attributes:
        index, n_windows: its place among the pair's windows.
        token_start, token_end: range of the passage's tokens.
        context_start, context_end: the tokens of that range for which this window has the most context; the ranges
            of a pair's windows are disjoint and cover the passage.
        input_ids: (length,) int32.
        passage_offset: position of the passage's first token in `input_ids`; positions before it are segment 0.
    """

    index: int
    n_windows: int
    token_start: int
    token_end: int
    context_start: int
    context_end: int
    passage_offset: int
    input_ids: IntArray

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows padded to the longest of them.

    Attributes:
        input_ids, token_type_ids, attention_mask: (n_windows, length) int64; 1 in the mask is a real token.
        order: (n_windows,) position of each row in the list that was batched.
    """

    input_ids: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Span:
    """A span of passage tokens, both ends included, as one window scored it.

    `score` = start logit + end logit; `log_prob` = the same two as log-probabilities over the window's real tokens.
    """

    window_index: int
    token_start: int
    token_end: int
    score: float
    log_prob: float


@dataclass(frozen=True, slots=True)
class WindowScore:
    """What one window says; see `spans` for the formulas.

    `best` is None where the window holds no valid span; `margin` is then minus infinity.
    """

    null_score: float
    null_log_prob: float
    span_logsumexp: float
    margin: float
    best: Span | None
    n_best: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class SpanAnswer:
    """A span as text: `text == passage.text[start:end]`."""

    text: str
    start: int
    end: int
    score: float
    log_prob: float
    window_index: int


@dataclass(frozen=True, slots=True)
class PassageAnswer:
    """The windows of one (question, passage) pair made one answer.

    `score_diff = null_score - best.score` (higher = less answerable); +inf where there is no valid span.
    `answer` is the best span, also where the null score wins; `is_answerable` says which won. `answerability` is None
    where the checkpoint has no calibration.
    """

    best: SpanAnswer | None
    n_best: tuple[SpanAnswer, ...]
    null_score: float
    null_log_prob: float
    score_diff: float
    margin: float
    answerability: float | None
    is_answerable: bool
    n_windows: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One cell of the (question, abstract) matrix, with its retrieval rank in this run."""

    question: Question
    abstract: Abstract
    rank: int
    pair_id: str


class AnswerOutcome(StrEnum):
    """What became of a question: its answer, or why it has none."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"  # abstracts were asked, and none says it
    EVIDENCE_ONLY = "evidence_only"  # asks for yes or no, which a quotation cannot give; its evidence is shown
    NOTHING_FOUND = "nothing_found"
    NO_ABSTRACT = "no_abstract"  # records were found, none with an abstract that could be asked
    SEARCH_FAILED = "search_failed"  # nobody knows


@dataclass(frozen=True, slots=True)
class MergedAnswer:
    """One answer to a question over many abstracts; `rank` counts from 1 within the question.

    Attributes:
        support_pmids: abstracts that give this answer, best first.
        work_pmids: for each of `support_pmids` the first of them that is a version of the same work: preprint, article
            and republication are one support.
        variants: the wordings that were merged, best first.
        retracted_pmids: those of the support that were retracted.
        answerability: None where the checkpoint has no calibration, and where no abstract was asked.
        user_columns: of the question, see `Question`.
        answer: None in the one row of a question without an answer, whose `outcome` says why; the evidence is then
            empty too, but for `EVIDENCE_ONLY`.
    """

    question_id: str
    question: str
    rank: int
    answer: str | None
    answerability: float | None
    margin: float
    support_pmids: tuple[int, ...] = ()
    work_pmids: tuple[int, ...] = ()
    retracted_pmids: tuple[int, ...] = ()
    variants: tuple[str, ...] = ()
    best_pmid: int | None = None
    evidence: str | None = None
    n_abstracts: int = field(default=0)
    outcome: AnswerOutcome = AnswerOutcome.ANSWERED
    user_columns: str | None = None

    @property
    def is_uncalibrated(self) -> bool:
        """Whether abstracts were asked by a checkpoint that gives no probability."""
        return self.answerability is None and self.n_abstracts > 0

    @property
    def n_support(self) -> int:
        """Works, not records, that give this answer."""
        return len(set(self.work_pmids or self.support_pmids))

    @property
    def support(self) -> str:
        """The support in words: "2 of 9", or "2 of 9 (3 records)" where records are versions of one work."""
        records = f" ({len(self.support_pmids):,} records)" if self.n_support < len(self.support_pmids) else ""
        return f"{self.n_support:,} of {self.n_abstracts:,}{records}"
