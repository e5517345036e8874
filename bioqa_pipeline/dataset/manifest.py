"""What a run leaves in `runs/RUN_ID.json`: what it was asked, what it did, what it skipped and why.

Written last; a run without a manifest did not come to its end. Knows no paths.
"""

from __future__ import annotations

import builtins
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, FiniteFloat, JsonValue

from bioqa_pipeline.dataset.schemas import SCHEMA_VERSION
from bioqa_pipeline.records.texts import FetchStatus, Missing, QueryAttempt, Retrieval, RetrievalOutcome
from bioqa_pipeline.setting_values import Frozen

_Text = TypeVar("_Text", str, str | None)
RunStatus = Literal["completed", "partial", "failed"]


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("a time that is none in UTC") from exc


# From the first ones of the calendar no day can be taken.
_Time = Annotated[AwareDatetime, Field(ge=datetime(1000, 1, 1, tzinfo=UTC)), AfterValidator(_in_utc)]

# Failures and skipped records that a manifest names, and searches; its counts are of all.
MOST_NAMED = 1000
MOST_SEARCHES = 2000
# Of queries and what became of them, all searches together; and of any other sentence.
SEARCH_CHARS = 2_000_000
SENTENCE_CHARS = 2000


class FileRecord(Frozen):
    """A file of the data set.

    Attributes:
        path: relative to the data set.
        rows: 0 for what is no table.
        sha256: of its bytes; manifests of early versions have none.
    """

    path: str = Field(
        max_length=1000, pattern=r"^[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*(/[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*)*$"
    )
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str | None = None

    @classmethod
    def of(cls, path: str, data: builtins.bytes, rows: int = 0) -> FileRecord:
        return cls(path=path, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


class RetrievalRecord(Frozen):
    """How the search for one question ended; without its queries where those of others take all the room."""

    question_id: str
    outcome: RetrievalOutcome
    hits: int
    attempts: tuple[QueryAttempt, ...] = ()
    error: str | None = None

    @classmethod
    def of(cls, retrieval: Retrieval) -> RetrievalRecord:
        return cls(
            question_id=retrieval.question_id,
            outcome=retrieval.outcome,
            hits=len(retrieval.hits),
            attempts=retrieval.attempts,
            error=shortened(retrieval.error),
        )

    @classmethod
    def first_of(cls, retrievals: Sequence[Retrieval]) -> tuple[RetrievalRecord, ...]:
        """Those that a manifest names, in their order: failed searches before others where there are too many."""
        named = retrievals
        if len(retrievals) > MOST_SEARCHES:
            failed_first = sorted(
                range(len(retrievals)), key=lambda i: retrievals[i].outcome != RetrievalOutcome.FAILED
            )
            named = [retrievals[i] for i in sorted(failed_first[:MOST_SEARCHES])]
        records = []
        room = SEARCH_CHARS
        for retrieval in named:
            size = sum(len(a.term) + len(a.translation) + sum(map(len, a.warnings)) for a in retrieval.attempts)
            room -= size
            records.append(cls.of(retrieval if room >= 0 else replace(retrieval, attempts=())))
        return tuple(records)


class SkippedRecord(Frozen):
    """A PMID that was asked for and has no answers, with the reason in words."""

    pmid: int
    status: FetchStatus
    reason: str

    @classmethod
    def of(cls, missing: Missing) -> SkippedRecord:
        return cls(pmid=missing.pmid, status=missing.status, reason=shortened(missing.reason))


def shortened(text: _Text) -> _Text:
    """A sentence, or its beginning where it is absurdly long."""
    return text if text is None or len(text) <= SENTENCE_CHARS else text[: SENTENCE_CHARS - 1] + "…"


class RunCost(Frozen):
    """What scoring cost, and on what.

    Attributes:
        n_tokens: of the windows scored, padding not included.
        seconds: of the scoring stage.
        device_seconds: `seconds` times the GPUs, or on a CPU the threads of all workers: GPU- or core-seconds.
        processors, engines: of all workers, as their makers call them.
        precision: resolved.
    """

    n_tokens: int = Field(ge=0)
    seconds: FiniteFloat = Field(ge=0)
    device_seconds: FiniteFloat = Field(ge=0)
    device_seconds_per_1000_pairs: FiniteFloat = Field(ge=0)
    processors: tuple[str, ...]
    engines: tuple[str, ...]
    device: str
    precision: str


class RunManifest(Frozen):
    """One run.

    Attributes:
        status: "completed", also where single abstracts were skipped; "partial": some shards or questions failed, the
            next run takes them up; "failed": the run broke off.
        n_pairs: (question, abstract) pairs planned: n_scored + n_reused + n_failed.
        n_windows: windows scored.
        n_reused: pairs that the data set held already.
        statuses: how many of the distinct PMIDs asked for ended how; absent means 0.
        searches: how many searches ended how; absent means 0. Manifests of older versions name all their searches and
            have no such count: ask `search_outcomes`.
        retrievals: the searches that `RetrievalRecord.first_of` names.
        notes: what the user should know of how the questions were read, in words.
        skipped: the first MOST_NAMED of the PMIDs that were asked for and had no abstract to ask.
        failures: the first MOST_NAMED of n_failures sentences that name a search, a shard or a pair.
        files: filled in by `DatasetWriter.finish`.
        config: the whole resolved configuration.
        source: what the source says of itself; never a secret.
        model: name, revision, digest and whatever else describes the checkpoint.
        cost: of scoring; None where nothing was scored, and in manifests of older versions.
        error: what broke a failed run off, in words.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str
    started_at: _Time
    finished_at: _Time
    status: RunStatus
    n_questions: int = Field(ge=0)
    n_pairs: int = Field(ge=0)
    n_windows: int = Field(ge=0)
    n_scored: int = Field(ge=0)
    n_reused: int = Field(ge=0)
    n_failed: int = Field(0, ge=0)
    statuses: dict[FetchStatus, int] = Field(default_factory=dict)
    searches: dict[RetrievalOutcome, int] = Field(default_factory=dict)
    retrievals: tuple[RetrievalRecord, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[SkippedRecord, ...] = ()
    n_failures: int = Field(0, ge=0)
    failures: tuple[str, ...] = ()
    files: tuple[FileRecord, ...] = ()
    config: dict[str, JsonValue]
    versions: dict[str, str]
    timings_seconds: dict[str, FiniteFloat]
    scoring_key: str
    source: dict[str, str] = Field(default_factory=dict)
    model: dict[str, str]
    cost: RunCost | None = None
    error: str | None = None

    @property
    def search_outcomes(self) -> Mapping[RetrievalOutcome, int]:
        """How many searches ended how, all of them."""
        return Counter(self.searches or Counter(retrieval.outcome for retrieval in self.retrievals))
