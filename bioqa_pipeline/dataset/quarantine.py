"""Sets aside what is not whole in a data set, so that readers and runs go on with the rest; deletes nothing.

    _quarantine/TIME/...   the files that were set aside, by the names that they had

What the log has lost and a manifest still names, with the same bytes, goes back into the log.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from pydantic import ValidationError

from bioqa_pipeline.dataset.contents import View
from bioqa_pipeline.dataset.log import LogEntry
from bioqa_pipeline.dataset.manifest import FileRecord, RunManifest
from bioqa_pipeline.dataset.marker import MARKER, write_marker
from bioqa_pipeline.dataset.old import first_foreign, looks_old
from bioqa_pipeline.dataset.opening import publish_entry
from bioqa_pipeline.dataset.schemas import LOG, QUARANTINE, STAGING, is_manifest
from bioqa_pipeline.dataset.verify import Report, data_set_id, verify
from bioqa_pipeline.errors import NoDatasetError
from bioqa_pipeline.storage.base import Storage


def quarantine(storage: Storage) -> tuple[Report, list[str]]:
    """Looks at a data set, sets aside what is wrong with it; what was found, and where the files are now.

    Raises:
        DatasetLockedError: a run writes it.
        DatasetError: there is no data set, or only one without a marker.
    """
    if not storage.exists() or (data_set := data_set_id(storage)) is None:
        raise NoDatasetError(
            storage.location, f"no data set with a marker; nothing was set aside{_without_id(storage)}"
        )
    run_id = f"quarantine-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    with storage.lock(run_id, wait=False) as lock:
        report = verify(storage)
        if report.view is None:
            return report, []
        moved: list[str] = []
        if any(finding.file == MARKER for finding in report.findings):
            moved += _move(storage, MARKER, run_id)
            write_marker(storage, data_set)
        again, lost = _named_by_manifests(storage, report.view)
        kept = {record.path for record in again}
        paths = dict.fromkeys(path for finding in report.findings for path in finding.aside if path not in kept)
        for path in paths:
            lock.check()
            moved += _move(storage, path, run_id)
        gone = [*lost, *(record for path in paths for record in report.view.records.get(path, ()))]
        if again or gone:
            entry = LogEntry(data_set=data_set, run_id=run_id, files=tuple(again), gone=tuple(gone))
            publish_entry(storage, entry)
        storage.delete(f"{STAGING}/{run_id}", below=True)
    return report, moved


def _without_id(storage: Storage) -> str:
    """What is left to do where nothing says which data set this is."""
    entries = storage.list("")
    names = [name for name in (MARKER, LOG) if name in entries]
    if not names and looks_old(entries) and not first_foreign(entries):
        return (
            ". It was written before data sets had one: move away by hand what flows.verify names, and the next run "
            "marks the rest"
        )
    if not names:
        return ""
    return f". Move {' and '.join(names)} away: the next run takes up every file that proves itself, and names the rest"


def _move(storage: Storage, path: str, run_id: str) -> list[str]:
    target = f"{QUARANTINE}/{run_id}/{path}"
    return [target] if storage.move(path, target) else []


def _named_by_manifests(storage: Storage, view: View) -> tuple[list[FileRecord], list[FileRecord]]:
    """What manifests name and the log does not: files that are there as they were written, and those that are not.

    A manifest that the log does not name itself is believed where all that it names is there.
    """
    entries = view.log.entries.values()
    logged = {(record.path, record.sha256) for entry in entries for record in (*entry.files, *entry.gone)}
    again: list[FileRecord] = []
    lost: list[FileRecord] = []
    for path in sorted(view.present):
        if not is_manifest(path) or view.present[path].size < 0:
            continue
        data = storage.read(path)
        try:
            manifest = RunManifest.model_validate_json(data)
        except ValidationError:
            continue
        unknown = [record for record in manifest.files if (record.path, record.sha256) not in logged]
        whole = [record for record in unknown if _is_whole(storage, view, record)]
        again += whole
        if path in view.foreign and len(whole) == len(unknown):
            again.append(FileRecord.of(path, data))
        elif path not in view.foreign:
            lost += [record for record in unknown if record not in whole]
    return again, lost


def _is_whole(storage: Storage, view: View, record: FileRecord) -> bool:
    there = view.present.get(record.path)
    if there is None or there.size != record.bytes or record.sha256 is None:
        return False
    return FileRecord.of(record.path, storage.read(record.path), record.rows) == record
