"""A data set in an object store, `s3://bucket/prefix`: `local`'s protocol where nothing can be renamed or linked.

What `ObjectStorage` guarantees, on a store that keeps conditional requests atomic and lists what was written (S3 does
both): a name is either absent or a whole object; `publish` makes an object appear at most once, by a conditional
create (If-None-Match: *), and says truly whether it did, also where the answer to a try was lost: each publication
carries a mark of its own; the lock is `s3_lease`'s. `create` tries the conditional requests out and refuses a
store that ignores them.
What it does not: that a writer which lost its lease, and whose last request a network held back for longer than the
lease's margin, writes nothing more; then, too, a shard of the same pairs is committed once, for its name follows from
them, but a pair in two shards that were cut differently can be there twice. Stores that list late show readers a data
set as it was; a writer there can score a pair again. What a killed run staged stays, and costs, until the next run.

docs/object-stores.md says what a run costs in requests.
"""

from __future__ import annotations

import builtins
import io
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Stored
from bioqa_pipeline.storage.filelock import Held
from bioqa_pipeline.storage.s3_client import RETRY_SECONDS, Data, ObjectClient, persistent
from bioqa_pipeline.storage.s3_lease import LEASE_SECONDS, MARGIN, LeaseLock
from bioqa_pipeline.storage.uri import ObjectUri

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PROBE = ".probe"


class ObjectStorage:
    """A prefix in a bucket; see the module for what it guarantees.

    Args:
        lease_seconds: how long the lock of a writer that is not heard of lasts; half of it bounds one commit.
        retry_seconds: how long requests are repeated while the store fails or does not answer.

    Raises:
        DatasetError: the environment's AWS_ENDPOINT_URL cannot be used.
    """

    def __init__(
        self, uri: ObjectUri, *, lease_seconds: float = LEASE_SECONDS, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._lease_seconds = lease_seconds
        self._client = ObjectClient(uri, commit_seconds=lease_seconds * MARGIN, retry_seconds=retry_seconds)
        self._leases: set[LeaseLock] = set()
        self.location, self.scan_options = str(uri), self._client.scan_options

    def exists(self) -> bool:
        return not self._client.is_empty()

    def create(self) -> None:
        """There is nothing to make; tries out whether the store keeps to conditions.

        Raises:
            DatasetError: it does not, or it may not be written to.
        """
        name = f"{_PROBE}/{uuid.uuid4().hex}"
        try:
            self._client.write(name, b"0")
            found = self._client.find(name, head=True)
            kept = (
                found is not None
                and persistent(lambda: self._client.create(name, b"1", mark=""), self._client.retry_seconds) is None
                and persistent(lambda: self._client.update(name, b"2", '"0"'), self._client.retry_seconds) is None
                and self._client.read(name) == b"0"
            )
        finally:
            self._client.delete([name])
        if not kept:
            raise DatasetError(
                f"{self.location}: this store does not keep to conditional requests (If-None-Match, If-Match), without "
                "which two runs can overwrite each other; use another store, or a folder"
            )

    def list(self, folder: str) -> builtins.list[str]:
        return self._client.names(folder)

    def files(self, folder: str) -> dict[str, Stored]:
        return {name: Stored(size, e_tag) for name, size, e_tag in self._client.listed(folder)}

    def uri(self, name: str) -> str:
        return self._client.place(name)

    def read(self, name: str) -> bytes:
        return self._client.read(name)

    def open(self, name: str) -> IO[bytes]:
        return cast(IO[bytes], ObjectFile(self._client, name))

    def write(self, name: str, data: Data) -> None:
        self._client.write(name, data)

    def publish(self, staged: str, name: str) -> bool:
        data = self._client.read(staged)
        mark = uuid.uuid4().hex

        def attempt() -> bool | None:
            for lease in self._leases:
                lease.check()
            if self._client.create(name, data, mark=mark) is not None:
                return True
            found = self._client.find(name, head=True)
            # Gone again, or a conflict with a request that came to nothing: once more.
            return None if found is None else found.mark == mark

        published = persistent(attempt, self._client.retry_seconds, until_known=True)
        if published is None:
            raise DatasetError(f"{self.uri(name)}: the store says again and again that it is there and that it is not")
        return published

    def replace(self, staged: str, name: str) -> None:
        data = self._client.read(staged)
        there = self._client.find(name, head=True)
        if there is None:
            raise DatasetError(f"{self.uri(name)} is gone; was the data set changed by hand?")

        def attempt() -> bool | None:
            for lease in self._leases:
                lease.check()
            # On the condition that nobody has replaced it since: a writer that lost its lease replaces nothing.
            if self._client.update(name, data, there.e_tag) is not None:
                return True
            found = self._client.find(name)
            return found is not None and found.data == data

        if not persistent(attempt, self._client.retry_seconds):
            raise DatasetError(f"{self.uri(name)}: another writer replaced it; run again")

    def move(self, name: str, target: str) -> bool:
        if self._client.find(name, head=True) is None:
            return False
        if not self.publish(name, target):
            raise DatasetError(f"{self.uri(target)}: is there already; move it away")
        self.delete(name)
        return True

    def delete(self, name: str, *, below: bool = False) -> None:
        self._client.delete([*(self._client.below(name) if below else ()), name])

    def settle(self, folders: Collection[str]) -> None:
        """What a store has answered for is durable."""

    def delete_files(self, names: Collection[str]) -> None:
        self._client.delete(builtins.list(names))

    @contextmanager
    def lock(self, run_id: str, *, wait: bool) -> Iterator[Held]:
        """See `LeaseLock`; what is published meanwhile is so only while the lease lasts."""
        with LeaseLock(self._client, run_id, wait=wait, lease_seconds=self._lease_seconds) as lease:
            self._leases.add(lease)
            try:
                yield lease
            finally:
                self._leases.discard(lease)

    def lock_fault(self) -> str | None:
        """Whatever says no lease is one that ended."""
        return None


class ObjectFile(io.RawIOBase):
    """An object as a file: each read is a request for just these bytes."""

    def __init__(self, client: ObjectClient, name: str) -> None:
        self._client, self._object = client, name
        self._size = client.size(name)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._size, self._at + len(view))
        if end <= self._at:
            return 0
        view[: end - self._at] = self._client.read_range(self._object, self._at, end)
        n_bytes, self._at = end - self._at, end
        return n_bytes
