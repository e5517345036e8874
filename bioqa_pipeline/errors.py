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
        return type(self).__new__, (type(self), *self.args), self.__dict__


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
    """What is done about it, apart from trying again."""

    OTHER = "other"
    UNREADABLE = "unreadable"  # records come apart from each other, until the one that spoils the others is alone
    TOO_LARGE = "too_large"  # fewer are asked for at once
    NO_IDS = "no_ids"  # there are no such records
    TOO_MANY = "too_many"  # all others that send wait, too


class SourceError(BioqaError):
    """A source of abstracts failed for good.

    Attributes:
        kind: what is done about it.
    """

    def __init__(self, message: str, *, kind: SourceErrorKind = SourceErrorKind.OTHER) -> None:
        self.kind = kind
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
