"""The error tree, and how a message names a setting.

In backticks, by its name in `bioqa_pipeline.config`, with its value or the one to use instead: "`device cuda:3`: this
machine has no such device; use `device cpu`", "source medline needs `medline_dir`". A command line puts its options in
their place.

BioqaError
├── ConfigError            a setting cannot be used
├── InputError             a file that the user gave cannot be read; names file and line
├── CheckpointError        a model folder or hub name cannot be loaded as an extractive QA model
├── NonFiniteLogitError    a model gave a logit that is not a number; no score can be had of it
├── SourceError            a source of abstracts failed for good
│   └── RetryableSourceError   the same, but the next try may succeed
├── StoreError             the store of abstracts cannot be read or written
├── DatasetError           the data set on disk cannot be read or written
│   ├── NoDatasetError         there is none where one is named
│   └── DatasetLockedError     another writer holds it
├── ShardError             one shard could not be scored; the others go on
└── TrainingError          a fine-tuning cannot go on
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path


class BioqaError(Exception):
    """Base of every error that this package raises on purpose; passes whole from one process to another."""

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are made anew from their message alone, which those with further arguments refuse.
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[BioqaError], args: tuple[object, ...], state: dict[str, object]) -> BioqaError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigError(BioqaError):
    """A setting cannot be used."""


class InputError(BioqaError):
    """A file that the user gave cannot be read.

    Attributes:
        path: the file.
        line: its line, counted from 1, where one is known.
    """

    def __init__(self, message: str, path: Path | str, line: int | None = None) -> None:
        self.path = Path(path)
        self.line = line
        # A path has one slash where an address has two.
        name = re.sub(r"^([a-z][a-z0-9+.]+):/(?!/)", r"\1://", f"{path}", flags=re.IGNORECASE)
        place = f"{name}:{line}" if line is not None else name
        super().__init__(f"{place}: {message}")


class CheckpointError(BioqaError):
    """A model folder or hub name cannot be loaded as an extractive QA model."""


class NonFiniteLogitError(BioqaError):
    """A model gave a logit that is infinite or not a number."""


class SourceErrorKind(StrEnum):
    """What failed, as a short stable word for reports; any HTTP status but 200 is one, too ("http_503")."""

    SOURCE = "source"  # nothing more is known

    BAD_QUERY = "bad_query"
    NO_SAMPLE = "no_sample"
    NO_CACHE = "no_cache"
    INDEX_DAMAGED = "index_damaged"
    INDEX_UNUSABLE = "index_unusable"

    # Files of PubMed XML.
    NO_SUCH_FOLDER = "no_such_folder"
    NO_FILES = "no_files"
    TWO_FILES = "two_files"
    GAP = "gap"
    UNREADABLE = "unreadable"
    BAD_MD5 = "bad_md5"
    CHANGED = "changed"
    WORKER_DIED = "worker_died"
    BAD_XML = "bad_xml"

    # The way to E-utilities and back.
    RATE_LIMIT_FILE = "rate_limit_file"
    CONNECTION = "connection"
    CERTIFICATE = "certificate"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    BODY_TOO_LARGE = "body_too_large"
    BAD_HEADERS = "bad_headers"
    REDIRECT = "redirect"
    HTTP_413 = "http_413"
    HTTP_414 = "http_414"
    HTTP_429 = "http_429"

    # What E-utilities answered.
    BAD_API_KEY = "bad_api_key"
    RATE_LIMITED = "rate_limited"
    BACKEND_FAILED = "backend_failed"
    QUERY_ERROR = "query_error"
    NO_IDS = "no_ids"
    EMPTY_BODY = "empty_body"
    HTML = "html"
    NOT_XML = "not_xml"
    WRONG_ROOT = "wrong_root"
    UNSAFE_XML = "unsafe_xml"
    SHORT_ANSWER = "short_answer"
    UNREADABLE_RECORDS = "unreadable_records"

    @classmethod
    def _missing_(cls, value: object) -> SourceErrorKind | None:
        """The kind of an HTTP status that has no name above."""
        if not isinstance(value, str) or re.fullmatch(r"http_[0-9]{3}", value) is None:
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = value.upper(), value
        return member


class SourceError(BioqaError):
    """A source of abstracts failed for good.

    Attributes:
        kind: for reports and for what is done about it.
        pmid: the record concerned, where there is one.
    """

    def __init__(
        self, message: str, *, kind: SourceErrorKind = SourceErrorKind.SOURCE, pmid: int | None = None
    ) -> None:
        self.kind = kind
        self.pmid = pmid
        super().__init__(message)


class RetryableSourceError(SourceError):
    """A source failed in a way that the next try may not."""


class StoreError(BioqaError):
    """The store of abstracts cannot be read or written."""


class DatasetError(BioqaError):
    """The data set on disk cannot be read or written."""


class NoDatasetError(DatasetError):
    """There is no data set where one is named."""

    def __init__(
        self, location: str, why: str = "there is no data set here; a run that writes to this place makes one"
    ) -> None:
        super().__init__(f"{location}: {why}")


class OtherVersionError(DatasetError):
    """Another version of this program wrote it: nothing is wrong with it, and nothing of it may be put right."""


class DatasetLockedError(DatasetError):
    """Another writer holds the data set."""


class ShardError(BioqaError):
    """One shard could not be scored; the others go on.

    Attributes:
        shard_id: the shard's content-addressed name.
    """

    def __init__(self, message: str, *, shard_id: str) -> None:
        self.shard_id = shard_id
        super().__init__(f"shard {shard_id}: {message}")


class TrainingError(BioqaError):
    """A fine-tuning cannot go on."""
