"""A place, as `out` names it, into a folder or an object store's prefix: a `Path` or an `ObjectUri`. Opens nothing."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any, Self

from bioqa_pipeline.setting_values import expanded

SUPPORTED = "a folder or s3://bucket/prefix"

# One slash is enough: pathlib makes one of two.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# What every store, SDK and Parquet reader takes as it stands, without escapes or patterns.
_SEGMENT = re.compile(r"[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*")


class ObjectUri(str):
    """`s3://bucket/prefix`: a string that answers what a run asks of a folder's path. Made by `place`."""

    __slots__ = ()

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """What all keys begin with, without "/" at its ends."""
        return self.removeprefix("s3://").partition("/")[2]

    @property
    def name(self) -> str:
        """The last part."""
        return self.rpartition("/")[2]

    def absolute(self) -> Self:
        """Itself: a URI says the same from everywhere."""
        return self


def place(value: Any) -> Path | ObjectUri:
    """A folder, or an object store's prefix where `value` is a URI, also one that went through `Path`.

    Raises:
        ValueError: a URI of another kind, or one that says more than bucket and prefix.
    """
    if not isinstance(value, str | Path | ObjectUri):
        raise ValueError(f"it is {value!r}; a data set lies in {SUPPORTED}")
    text = str(value)
    if not text.isprintable() and any(unicodedata.category(sign) == "Cc" for sign in text):
        raise ValueError(f"{text!r}: a line break or another control character; a data set lies in {SUPPORTED}")
    if not text.strip():
        raise ValueError(f"it is empty; a data set lies in {SUPPORTED}")
    scheme = _SCHEME.match(text)
    if isinstance(value, ObjectUri) or scheme is None:
        return value if isinstance(value, ObjectUri) else expanded(Path(value))
    if any(mark in text for mark in "@?#%&"):
        # Not repeated: what stands before an @ may be a password, what stands in a query a signature.
        raise ValueError(
            "a URI with @, or with a query as signed ones have it, is not taken: credentials belong into "
            "AWS_ACCESS_KEY_ID and the like"
        )
    if scheme[1].lower() != "s3":
        raise ValueError(f"{text}: {scheme[1]} is not supported; a data set lies in {SUPPORTED}")
    bucket, _, prefix = text[scheme.end() :].partition("/")
    prefix = prefix.rstrip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{text}: {bucket!r} cannot be the name of a bucket; a data set lies in {SUPPORTED}")
    if not prefix:
        raise ValueError(f"{text}: a data set needs a prefix of its own: s3://{bucket}/NAME")
    for segment in prefix.split("/"):
        if not _SEGMENT.fullmatch(segment):
            raise ValueError(
                f"{text}: {segment!r} in the prefix; letters, digits and . _ = + - only, not starting with a dot"
            )
    return ObjectUri(f"s3://{bucket}/{prefix}")
