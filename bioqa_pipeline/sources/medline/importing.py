"""The files of a folder into a store: parsed in parallel, committed one by one in order, each once.

What was imported is kept by `state`, written after each file's commit: a kill between the two imports that file again,
which changes nothing.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

from bioqa_pipeline.abstracts.parts import write_part
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.abstracts.writer import StoreWriter
from bioqa_pipeline.errors import SourceError, StoreError
from bioqa_pipeline.pubmed import archives
from bioqa_pipeline.pubmed.xml import BadRecord, DeletedRecord
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.medline.files import Listing, MedlineFile, Stamp, check_numbers, expected_md5, file_md5
from bioqa_pipeline.sources.medline.state import STATE_FILE, ImportedFile, ImportState

logger = logging.getLogger(__name__)

# Reasons kept of one file; all are counted.
MAX_BAD_KEPT = 1_000
MAX_WORKERS = 16
# Below, the start of worker processes takes longer than the parsing.
_INLINE_BYTES = 8_000_000


def import_files(
    folder: Path,
    listing: Listing,
    store: AbstractStore,
    state: ImportState,
    *,
    workers: int | None = None,
    needs_journal_names: bool = False,
) -> ImportState:
    """Brings a store up to the files of a folder; does nothing where it is.

    Args:
        needs_journal_names: files that an earlier version imported without them are imported again.
        workers: parsing processes; None takes one for each core, or none for little.

    Raises:
        SourceError: a number is missing, an MD5 does not fit, a file is broken. The files before it are
            imported.
        StoreError: the store cannot be written.
    """
    check_numbers(folder, listing, state.numbers)
    if needs_journal_names and (bare := [name for name, file in state.files.items() if not file.has_journal_names]):
        logger.warning("%s: %d files are imported again, for all names of their journals", folder, len(bare))
        state = replace(state, files={name: file for name, file in state.files.items() if file.has_journal_names})
    state, changed = changed_files(listing, state)
    pending = _pending(listing, state, changed)
    if not pending:
        return _counted(state, store) if state.n_without_abstract is None else state
    logger.info("%s: importing %d of %d files", folder, len(pending), len(listing.files))
    with store.writer() as writer:
        n_workers = _n_workers(pending) if workers is None else workers
        with closing(_parsed(pending, writer, n_workers)) as results:
            for done, (file, staged, imported) in enumerate(results, start=1):
                count = writer.commit(staged)
                files = {**state.files, file.name: imported}
                state = replace(state, files=files, n_parts=len(store.parts()), n_without_abstract=None)
                state.save(store)
                _report(file, imported)
                logger.info("%s: %s; file %d of %d", file.name, count, done, len(pending))
        return _counted(state, store)


def _counted(state: ImportState, store: AbstractStore) -> ImportState:
    counted = replace(state, n_without_abstract=store.without_abstract())
    counted.save(store)
    return counted


def parse_file(file: MedlineFile, staged: Path) -> ImportedFile:
    """Checks and parses one file into a part of a store; runs in any process.

    Raises:
        SourceError: its MD5 does not fit, or it is broken; the message starts with its path.
    """
    try:
        md5, expected = file_md5(file.path), expected_md5(file.path)
        if expected is not None and md5 != expected:
            raise SourceError(
                f"{file.path}: its MD5 is {md5}, the .md5 file beside it says {expected}; download both again"
            )
        bad: list[BadRecord] = []
        deleted: dict[int, None] = {}
        n_rows = write_part(staged, _abstracts(file, bad, deleted), origin=file.name, deleted=deleted)
        if Stamp.of(file.path) != file.stamp:
            raise SourceError(f"{file.path}: it changed while it was read; run again")
    except OSError as exc:
        raise StoreError(f"{exc.filename or file.path}: {exc.strerror or exc}, while importing {file.path}") from exc
    return ImportedFile(
        stamp=file.stamp,
        md5=md5,
        number=file.number,
        n_records=n_rows - len(deleted),
        n_deleted=len(deleted),
        n_bad=len(bad),
        bad=tuple(bad[:MAX_BAD_KEPT]),
        has_journal_names=True,
    )


def _abstracts(file: MedlineFile, bad: list[BadRecord], deleted: dict[int, None]) -> Iterator[Abstract]:
    try:
        for record in archives.parse_file(file.path, name=str(file.path)):
            if isinstance(record, Abstract):
                yield record
            elif isinstance(record, DeletedRecord):
                deleted[record.pmid] = None
            else:
                bad.append(record)
    except SourceError as exc:
        # An update is not to be lost, so no file is passed over.
        way_out = "save it as UTF-8, or move it out of the folder" if file.number is None else "download it again"
        raise SourceError(f"{exc}; {way_out}: what was imported before it stays") from exc


def changed_files(listing: Listing, state: ImportState) -> tuple[ImportState, set[str]]:
    """Which imported files are no longer as they were; the state with new stamps for those that were only touched."""
    touched = [f for f in listing.files if f.name in state.files and state.files[f.name].stamp != f.stamp]
    with ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1)) as pool:
        digests = list(pool.map(_md5, touched))
    same = {f.name: f.stamp for f, md5 in zip(touched, digests, strict=True) if md5 == state.files[f.name].md5}
    files = {name: replace(old, stamp=same.get(name, old.stamp)) for name, old in state.files.items()}
    return replace(state, files=files), {f.name for f in touched} - same.keys()


def stale_files(listing: Listing, state: ImportState) -> set[str]:
    """Imported files without a number that are gone or no longer as they were."""
    _, changed = changed_files(listing, state)
    present = {file.name for file in listing.files}
    return {name for name, f in state.files.items() if f.number is None and (name in changed or name not in present)}


def _pending(listing: Listing, state: ImportState, changed: Collection[str]) -> list[MedlineFile]:
    """The files to import, in order.

    The order of numbered files matters, so all from the first new or changed one on are imported again.
    """
    due = {file.name for file in listing.files if file.name not in state.files or file.name in changed}
    first = min((f.number for f in listing.files if f.number is not None and f.name in due), default=math.inf)
    return [f for f in listing.files if f.name in due or (f.number is not None and f.number >= first)]


def _md5(file: MedlineFile) -> str:
    try:
        return file_md5(file.path)
    except OSError as exc:
        raise SourceError(f"{file.path}: cannot be read: {exc}") from exc


def _n_workers(files: Sequence[MedlineFile]) -> int:
    if sum(file.stamp.size for file in files) < _INLINE_BYTES:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(len(files), cores, MAX_WORKERS)


def _parsed(
    files: Sequence[MedlineFile], writer: StoreWriter, workers: int
) -> Generator[tuple[MedlineFile, Path, ImportedFile]]:
    """Each file with its part, in order, a few files ahead of the caller."""
    if workers < 2:
        for file in files:
            staged = writer.new_part()
            yield file, staged, parse_file(file, staged)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        waiting: deque[tuple[MedlineFile, Path, Future[ImportedFile]]] = deque()
        try:
            for file in files:
                staged = writer.new_part()
                waiting.append((file, staged, pool.submit(parse_file, file, staged)))
                if len(waiting) > workers + 1:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _result(file: MedlineFile, staged: Path, future: Future[ImportedFile]) -> tuple[MedlineFile, Path, ImportedFile]:
    try:
        return file, staged, future.result()
    except BrokenProcessPool as exc:
        raise SourceError(
            f"{file.path}: a parsing process died, perhaps for want of memory or because the program's main script has "
            "no `if __name__ == '__main__'`; what was imported before stays"
        ) from exc


def _start_worker() -> None:
    """A worker must not outlive an importer that is killed, and leaves the answer to Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _report(file: MedlineFile, imported: ImportedFile) -> None:
    for bad in imported.bad[:5]:
        logger.warning("%s: record %d (PMID %s) is left out: %s", file.name, bad.position, bad.pmid, bad.reason)
    if imported.n_bad > 5:
        logger.warning("%s: %d records in all are left out; see %s", file.name, imported.n_bad, STATE_FILE)
