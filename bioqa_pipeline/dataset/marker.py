"""`_bioqa.json`, which says that a folder or prefix is a data set of this program, and which one.

Published before anything else of a new data set. What a folder may hold and still become one is `HARMLESS`; whatever
else lies there is somebody's, and the folder is refused.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import uuid
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from bioqa_pipeline import __version__
from bioqa_pipeline.dataset.schemas import SCHEMA_VERSION
from bioqa_pipeline.errors import DatasetError, OtherVersionError
from bioqa_pipeline.files import SMALL
from bioqa_pipeline.setting_values import Frozen
from bioqa_pipeline.storage.base import Storage

# The underscore has readers of Parquet folders pass it over.
MARKER = "_bioqa.json"
NEW_MARKER = f"{MARKER}.new"
FORMAT = 1

# What volumes and file servers show in every folder, our lock, and what a run that was killed as it began leaves.
HARMLESS = frozenset({"lost+found", ".snapshot", ".lock", ".probe", ".clock", NEW_MARKER})


class Marker(Frozen):
    """What the marker says.

    Attributes:
        format: of marker and log.
        schema_version: of all tables.
        id: of the data set; entries of its log bear it.
        program: version of what made it.
        sha256: of all else here.
    """

    kind: Literal["dataset"] = "dataset"
    format: int = Field(FORMAT, le=FORMAT)
    schema_version: int = SCHEMA_VERSION
    id: str = Field(pattern="[0-9a-f]{32}")
    created_at: AwareDatetime
    program: str
    sha256: str = ""

    def digest(self) -> str:
        """Of all but itself."""
        return hashlib.sha256(self.model_dump_json(exclude={"sha256"}).encode()).hexdigest()


def read_marker(storage: Storage) -> Marker:
    """The marker of a data set that has one.

    Raises:
        OtherVersionError: it is of a later version, or its tables are of another one.
        DatasetError: it is damaged.
    """
    place = storage.uri(MARKER)
    with storage.open(MARKER) as file:
        data = file.read(SMALL)
    marker = _decoded(data)
    if marker is None:
        # What a later version writes cannot be checked here; but if one bit makes it ours, that bit is the damage.
        version = later_format(data)
        if version and _decoded(data.replace(b'"format": %d' % version, b'"format": %d' % FORMAT, 1)) is None:
            raise OtherVersionError(f"{place}: format {version}, this program knows {FORMAT}; use a newer bioqa")
        raise DatasetError(f"{place}: not the marker of a bioqa data set, or damaged; {way_out(storage)}")
    if marker.schema_version != SCHEMA_VERSION:
        raise OtherVersionError(
            f"{storage.location}: schema version {marker.schema_version}, this program has {SCHEMA_VERSION}; "
            "use the version of bioqa that wrote it, or start a new data set"
        )
    return marker


def write_marker(storage: Storage, data_set: str | None = None) -> Marker:
    """Makes the place a data set; to be called under its lock.

    Args:
        data_set: its id, where it had one.
    """
    marker = Marker(id=data_set or uuid.uuid4().hex, created_at=datetime.now(UTC), program=f"bioqa {__version__}")
    marker = marker.changed(sha256=marker.digest())
    storage.write(NEW_MARKER, _encode(marker))
    if not storage.publish(NEW_MARKER, MARKER):
        raise DatasetError(f"{storage.uri(MARKER)}: another run made it at the same moment; run again")
    storage.delete(NEW_MARKER)
    return marker


def way_out(storage: Storage) -> str:
    """The last words of an error about a damaged data set."""
    return (
        f"what is whole says python -m flows.verify --data-set {shlex.quote(storage.location)}; "
        "python -m flows.verify --quarantine sets the rest aside, so that runs go on"
    )


def later_format(data: bytes) -> int | None:
    """The number of a later format that a marker or an entry of the log says; None where it says none."""
    try:
        version = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if isinstance(version, int) and version > FORMAT else None


def _decoded(data: bytes) -> Marker | None:
    """The marker that these bytes are, where each is as this version writes it."""
    try:
        marker = Marker.model_validate_json(data)
    except ValidationError:
        return None
    return marker if marker.sha256 == marker.digest() and data == _encode(marker) else None


def _encode(marker: Marker) -> bytes:
    return json.dumps(marker.model_dump(mode="json"), indent=1).encode()
