"""A bucket in memory in the place of `obstore` below `s3_client`: every request can be lost, repeated or be the last.

It keeps conditions atomic and lists what was written, as S3 does, and has a clock of its own. What it holds lies in a
folder, too, for readers that speak to stores by themselves.
"""

from __future__ import annotations

import builtins
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

from bioqa_pipeline.storage import filelock, s3_client, s3_lease
from bioqa_pipeline.storage.s3 import ObjectStorage
from bioqa_pipeline.storage.uri import ObjectUri
from faults.strikes import Killed, Strike
from support.clock import SimulatedClock

T = TypeVar("T")

CONDITIONAL = frozenset({"create", "update"})
REQUESTS = CONDITIONAL | {"put", "get", "list", "delete"}
PAGE = 3
# In place of a status: no answer at all.
LOST = 408


@dataclass(frozen=True, slots=True)
class Stored:
    data: bytes
    e_tag: str
    modified: datetime
    attributes: dict[str, str]


@dataclass(slots=True)
class Answer:
    """What `obstore.get` gives back."""

    meta: dict[str, Any]
    attributes: dict[str, str]
    data: bytes

    def bytes(self) -> bytes:
        return self.data


@dataclass(slots=True)
class Bucket:
    """The functions of `obstore` that the client uses, and `S3Store` as its `store`."""

    folder: Path
    rng: random.Random
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    objects: dict[str, Stored] = field(default_factory=dict)
    dead: bool = False
    struck: str = ""
    n_written: int = 0
    _strike: Strike | None = None
    _left: int = 0
    _ahead: timedelta = timedelta()

    def __post_init__(self) -> None:
        self._ahead = timedelta(seconds=self.rng.uniform(0, 1e6))

    def arm(self, strike: Strike | None) -> None:
        self._strike, self.struck, self._left = strike, "", strike.at if strike else 0

    def store(self, bucket: str, *, prefix: str, retry_config: Mapping[str, Any], **_: Any) -> _Store:
        return _Store(prefix, retries=retry_config["max_retries"] > 0)

    # What follows stands for the functions of `obstore` of these names.

    def put(
        self, store: _Store, name: str, data: Any, *, mode: Any = "overwrite", attributes: Any = None, **_: Any
    ) -> dict[str, str]:
        key, content = store.key(name), bytes(data)

        def do() -> dict[str, str]:
            known = self.objects.get(key)
            if mode == "create" and known is not None:
                raise AlreadyExistsError("status code: 412")
            if isinstance(mode, dict) and (known is None or known.e_tag != mode["e_tag"]):
                raise PreconditionError("status code: 412")
            self.n_written += 1
            stored = Stored(content, f'"{self.n_written}"', self._now(), dict(attributes or {}))
            self.objects[key] = stored
            path = self.folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return {"e_tag": stored.e_tag}

        return self._request(store, {"create": "create", "overwrite": "put"}.get(str(mode), "update"), name, do)

    def get(self, store: _Store, name: str, *, options: Any = None) -> Answer:
        def do() -> Answer:
            stored = self._stored(store, name)
            return Answer(
                {"e_tag": stored.e_tag, "last_modified": stored.modified, "size": len(stored.data)},
                stored.attributes,
                stored.data,
            )

        return self._request(store, "get", name, do)

    def head(self, store: _Store, name: str) -> dict[str, Any]:
        return self.get(store, name).meta

    def get_range(self, store: _Store, name: str, *, start: int, end: int) -> bytes:
        return self.get(store, name).data[start:end]

    def list(self, store: _Store, prefix: str | None = None, *, chunk_size: int = PAGE) -> Iterator[Any]:
        found = [self._entry(store, name) for name in self._below(store, prefix)]
        for start in range(0, len(found), PAGE):
            yield self._request(store, "list", prefix or "", lambda start=start: found[start : start + PAGE])

    def list_with_delimiter(self, store: _Store, prefix: str | None = None) -> dict[str, Any]:
        def do() -> dict[str, Any]:
            inside = f"{prefix}/" if prefix else ""
            rests = [(name, name.removeprefix(inside)) for name in self._below(store, prefix)]
            folders = {inside + rest.split("/")[0] for _, rest in rests if "/" in rest}
            return {
                "common_prefixes": sorted(folders),
                "objects": [self._entry(store, name) for name, rest in rests if "/" not in rest],
            }

        return self._request(store, "list", prefix or "", do)

    def delete(self, store: _Store, names: Sequence[str]) -> None:
        def do(some: Iterable[str]) -> None:
            for name in some:
                if self.objects.pop(store.key(name), None) is not None:
                    (self.folder / store.key(name)).unlink()

        self._request(store, "delete", names[0], lambda: do(names), lambda: do(names[: len(names) // 2]))

    # How they do it.

    def _request(
        self, store: _Store, kind: str, name: str, do: Callable[[], T], part: Callable[[], object] | None = None
    ) -> T:
        if self.dead:
            raise Killed
        self.clock.now += self.rng.uniform(0, 0.2)
        strike = self._strike
        if strike is None or kind not in strike.calls:
            return do()
        self._left -= 1
        if self._left >= 0 or (self.struck and not strike.lasting):
            return do()
        self.struck = self.struck or f"{strike.moment} {kind} {name}"
        if strike.moment == "after":
            # A refusal is an answer, too, which is lost.
            with suppress(AlreadyExistsError, PreconditionError, FileNotFoundError):
                do()
        elif strike.moment == "half" and part is not None:
            part()
        if strike.error is None:
            self.dead = True
            raise Killed
        if store.retries and not strike.lasting:
            self.clock.now += 1
            return do()
        self.clock.now += 120 if store.retries else self.rng.choice((0.1, 25.0))
        said = "operation timed out" if strike.error == LOST else f"status code: {strike.error} <Code>Slow</Code>"
        raise GenericError(said)

    def _now(self) -> datetime:
        now = datetime(2026, 1, 1, tzinfo=UTC) + self._ahead + timedelta(seconds=self.clock.now)
        return now.replace(microsecond=0)

    def _stored(self, store: _Store, name: str) -> Stored:
        try:
            return self.objects[store.key(name)]
        except KeyError:
            raise FileNotFoundError(f"{name}: status code: 404 <Code>NoSuchKey</Code>") from None

    def _entry(self, store: _Store, name: str) -> dict[str, Any]:
        stored = self.objects[store.key(name)]
        return {
            "path": name,
            "size": len(stored.data),
            "e_tag": stored.e_tag,
            "last_modified": stored.modified,
            "version": None,
        }

    def _below(self, store: _Store, prefix: str | None) -> builtins.list[str]:
        inside = store.key(f"{prefix}/" if prefix else "")
        start = len(store.key(""))
        return sorted(key[start:] for key in self.objects if key.startswith(inside))


@dataclass(frozen=True, slots=True)
class _Store:
    prefix: str
    retries: bool

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}"


class MirroredStorage(ObjectStorage):
    """The storage of a bucket that others read in its folder."""

    def __init__(self, bucket: Bucket, uri: ObjectUri) -> None:
        super().__init__(uri)
        self._folder = bucket.folder / uri.prefix
        self.scan_options = {}

    def uri(self, name: str) -> str:
        return str(self._folder / name)


@contextmanager
def simulated_bucket(folder: Path, rng: random.Random) -> Iterator[Bucket]:
    """The bucket in the place of the real client, and its clock in that of the modules that wait."""
    bucket = Bucket(folder, rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_client, "obstore", bucket)
        patch.setattr(s3_client, "S3Store", bucket.store)
        for module in (s3_client, s3_lease, filelock):
            patch.setattr(module, "time", bucket.clock)
        yield bucket
