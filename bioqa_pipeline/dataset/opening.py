"""A writer's first steps, under its lock: the marker, the run's name, what killed runs left, and the log in few files.

Deleted is only what the log or its name proves to be ours: files of commits that were not come to, and staged work.
"""

from __future__ import annotations

import logging
import uuid

from bioqa_pipeline.dataset.contents import Contents, View
from bioqa_pipeline.dataset.log import Log, LogEntry
from bioqa_pipeline.dataset.marker import NEW_MARKER, Marker, write_marker
from bioqa_pipeline.dataset.old import first_foreign, looks_old, old_files, refusal
from bioqa_pipeline.dataset.schemas import ANSWERS, LOG, RUNS, TABLES, manifest_path
from bioqa_pipeline.dataset.staging import clear, stage
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.filelock import Held

logger = logging.getLogger(__name__)

# Readers open every entry; more entries than these are folded into one.
MOST_ENTRIES = 16
FOLDERS = (*(table.name for table in TABLES), RUNS)


def opened(storage: Storage, contents: Contents, run_id: str, lock: Held) -> Marker:
    """Makes or checks the data set and brings it in order; gives its marker.

    Raises:
        DatasetError: it is none, is not whole, or the run id was used before.
    """
    # What a killed run linked or deleted may be undone by a loss of power until its folder is synced.
    storage.settle([*FOLDERS, LOG])
    marker = contents.marker() or _made(storage, run_id)
    view = contents.whole(marker.id, *FOLDERS)
    if manifest_path(run_id) in view.present:
        raise DatasetError(f"{storage.location}: run id {run_id} is taken; each run needs its own")
    # What a run goes by; windows and summaries it only adds to.
    contents.check_bytes(view, [path for path in view.records if path.startswith((f"{RUNS}/", f"{ANSWERS.name}/"))])
    lock.check()
    _sweep(storage, view, run_id)
    _sweep_staging(storage, contents)
    if NEW_MARKER in storage.list(""):
        storage.delete(NEW_MARKER)
    return marker


def publish_entry(storage: Storage, entry: LogEntry, staging: str | None = None) -> str:
    """Adds an entry to the log, durably; gives its name. One that is there already is the same.

    Args:
        staging: the folder of `_staging` that it comes through, which is cleared some time later; None is the run's.
    """
    name, data = entry.encode()
    storage.publish(stage(storage, staging or entry.run_id, data), name)
    return name


def fold(storage: Storage, log: Log, names: list[str], view: View, run_id: str) -> None:
    """Puts one entry in the place of these."""
    if names:
        published = publish_entry(storage, log.folded(names, view.present, run_id))
        storage.delete_files([name for name in names if name != published])


def _made(storage: Storage, run_id: str) -> Marker:
    """The marker of a new data set, or of one of an early version, whose files become its log first."""
    entries = storage.list("")
    if foreign := first_foreign(entries):
        raise refusal(storage, foreign, for_run=True)
    if not looks_old(entries):
        return write_marker(storage)
    old = old_files(storage)
    data_set = next((entry.data_set for entry in old.entries.values()), uuid.uuid4().hex)
    for record, mark in old.unfinished:
        entry = LogEntry(data_set=data_set, run_id=run_id, mark=mark, files=(record,))
        publish_entry(storage, entry)
    if old.committed:
        publish_entry(storage, LogEntry(data_set=data_set, run_id=run_id, files=old.committed))
        logger.info("%s: %d files of an early version are now in its log", storage.location, len(old.committed))
    return write_marker(storage, data_set)


def _sweep(storage: Storage, view: View, run_id: str) -> None:
    log = view.log
    intents = [name for name, entry in log.entries.items() if entry.mark]
    dead = [name for name in intents if log.entries[name].mark not in view.present]
    named = {record.path for name in dead for record in log.entries[name].files}
    leftovers = sorted(path for path in named if path in view.present and path not in view.records)
    # For good before what names them: else a loss of power could bring back a file that nobody knows.
    storage.delete_files(leftovers)
    storage.delete_files(dead)
    if leftovers:
        logger.info("%s: deleted %d files of commits that did not end", storage.location, len(leftovers))
    ended = [name for name in intents if name not in dead]
    merged = {record.path for name in ended for record in log.entries[name].gone} & view.present.keys()
    # What was merged into other files, by one who was killed before it had deleted them.
    storage.delete_files(sorted(merged - view.records.keys()))
    settled = [name for name, entry in log.entries.items() if not entry.mark]
    if len(settled) + bool(ended) > MOST_ENTRIES:
        rest = Log({name: log.entries[name] for name in (*ended, *settled)})
        fold(storage, rest, [*ended, *settled], view, run_id)
    else:
        fold(storage, log, ended, view, run_id)


def _sweep_staging(storage: Storage, contents: Contents) -> None:
    n_deleted, foreign = clear(storage)
    contents.warn(foreign)
    if n_deleted:
        logger.info("%s: deleted %d staged files of runs that did not end", storage.location, n_deleted)
