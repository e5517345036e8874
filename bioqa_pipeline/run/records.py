"""What the stages of a run hand to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import FetchStatus, Missing
from bioqa_pipeline.report.delta import Delta

# Pairs that a message names in full.
NAMED_PAIRS = 8


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What every row of a run says of its origin, and what decides its answers.

    Attributes:
        started_at: no row says that it was scored before.
        is_calibrated: whether its checkpoint gives probabilities.
    """

    run_id: str
    started_at: datetime
    scoring_key: str
    model: str
    model_revision: str
    config_json: str
    threshold: float
    max_answers: int
    is_calibrated: bool


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Pairs that are scored and committed together: row group `row_group` of the plan file."""

    shard_id: str
    row_group: int
    n_pairs: int


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run asks and what of it is new.

    Attributes:
        name: of a Parquet file in the data set's place, one row a pair: question_index, question_id, question,
            user_columns, pmid, rank, content_hash, is_retracted, pair_id; the new pairs first, one row group a shard,
            then those that are already in the data set.
        missing: the PMIDs that were asked for and have no pair, with the reason.
        n_records: the PMIDs that were asked for.
    """

    name: str
    shards: tuple[ShardPlan, ...]
    n_pairs: int
    n_reused: int
    missing: tuple[Missing, ...]
    n_records: int = 0

    def in_words(self) -> Iterator[str]:
        """What is asked, line by line."""
        if n := sum(m.status is FetchStatus.FILTERED for m in self.missing):
            yield f"{n:,} of {self.n_records:,} records left out by filters"
        new = self.n_pairs - self.n_reused
        yield f"{self.n_pairs:,} (question, abstract) pairs: {self.n_reused:,} in the data set already, {new:,} new"


@dataclass(frozen=True, slots=True)
class FailedPair:
    """A pair that could not be scored; the next run tries it again."""

    question_id: str
    pmid: int
    reason: str


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What scoring one shard came to.

    Attributes:
        n_tokens: of its windows, padding not included.
        processor, engine: what scored it.
    """

    shard_id: str
    n_pairs: int
    n_windows: int
    seconds: float
    failed: tuple[FailedPair, ...]
    n_tokens: int = 0
    processor: str = ""
    engine: str = ""


def named_pairs(pairs: Sequence[FailedPair]) -> str:
    """The first few in full, the number of the others."""
    names = [f"{pair.question_id}, PMID {pair.pmid}" for pair in pairs[:NAMED_PAIRS]]
    more = f" and {len(pairs) - NAMED_PAIRS:,} more pairs" if len(pairs) > NAMED_PAIRS else ""
    return "; ".join(names) + more


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        answers: in the order of the question file.
        has_page: whether its page could be made.
        delta: what it changed; None where it was the first to ask, or that is not known.
    """

    manifest: RunManifest
    answers: tuple[MergedAnswer, ...]
    failures: tuple[str, ...]
    has_page: bool = True
    delta: Delta | None = None
