"""A data set into what is wrong with it: every file, digest, column, key and count; nothing is changed.

Works on damaged data sets of any kind: what cannot be read is a finding, never an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bioqa_pipeline.dataset.contents import Contents, View
from bioqa_pipeline.dataset.log import ENTRY, Log, LogReader, read_entry
from bioqa_pipeline.dataset.manifest import FileRecord
from bioqa_pipeline.dataset.marker import HARMLESS, MARKER
from bioqa_pipeline.dataset.old import first_foreign, looks_old, old_files, refusal
from bioqa_pipeline.dataset.opening import FOLDERS
from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CHUNKS,
    LOG,
    QUARANTINE,
    REPLACED,
    STAGING,
    is_manifest,
    page_path,
    summary_path,
)
from bioqa_pipeline.dataset.staging import is_staged
from bioqa_pipeline.dataset.verify_tables import TableFaults, manifest_faults, table_faults
from bioqa_pipeline.errors import DatasetError, NoDatasetError, OtherVersionError
from bioqa_pipeline.messages import counted, words_of
from bioqa_pipeline.storage.base import Storage
from bioqa_pipeline.storage.filelock import LOCK as LOCK_FILE

RESCORED = "with `quarantine` it is set aside, and the next run scores its pairs again"
NOT_PLAIN = "a symbolic link, or no plain file"
SET_ASIDE = "no run needs it; with `quarantine` it is set aside"
MADE_AGAIN = "with `quarantine` it is set aside, and the next run makes it again"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: by its name from the root.
        what: is wrong with it.
        mend: what a re-run mends, or what does.
        aside: the files that have to go with it.
    """

    file: str
    what: str
    mend: str
    aside: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What a data set came to.

    Attributes:
        n_files: that were read whole.
        notes: what lies there and harms nothing.
    """

    n_files: int = 0
    n_bytes: int = 0
    n_answers: int = 0
    n_chunks: int = 0
    n_runs: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    view: View | None = None


def verify(storage: Storage) -> Report:
    """Reads everything in a data set.

    Raises:
        DatasetError: there is none, or one of another version, which nothing is wrong with.
    """
    if not storage.exists():
        raise NoDatasetError(storage.location)
    report = Report()
    entries = storage.list("")
    if what := storage.lock_fault():
        mend = "move it away: until then no run writes here, and nothing is set aside"
        report.findings.append(Finding(LOCK_FILE, what, mend))
    if MARKER not in entries and not _log_id(storage, entries):
        if (foreign := first_foreign(entries)) or not looks_old(entries):
            raise refusal(storage, foreign, for_run=False) if foreign else NoDatasetError(storage.location)
        _verify_old(storage, report)
        return report
    _verify_marked(storage, report, entries)
    return report


def data_set_id(storage: Storage) -> str | None:
    """The id of a data set, by its marker or, where that is damaged, by its log."""
    return _identified(storage, storage.list(""))[0]


def set_aside_with(path: str) -> tuple[str, ...]:
    """What has no sense without a file: windows without their answers, a summary without its manifest."""
    folder, _, name = path.partition("/")
    if folder in {ANSWERS.name, CHUNKS.name}:
        return f"{ANSWERS.name}/{name}", f"{CHUNKS.name}/{name}"
    if is_manifest(path):
        run_id = name.removesuffix(".json")
        return path, summary_path(run_id), page_path(run_id)
    return (path,)


def _identified(storage: Storage, entries: list[str]) -> tuple[str | None, str]:
    """The id, and what is wrong with the marker."""
    try:
        marker = Contents(storage).marker()
    except OtherVersionError:
        raise
    except DatasetError as exc:
        return _log_id(storage, entries), str(exc)
    return (marker.id, "") if marker else (_log_id(storage, entries), f"{MARKER} is gone")


def _log_id(storage: Storage, entries: list[str]) -> str | None:
    if LOG not in entries:
        return None
    names = [name for name in sorted(storage.files(LOG)) if ENTRY.fullmatch(name)]
    found = (read_entry(storage, name) for name in names)
    return next((entry.data_set for entry in found if entry), None)


def _verify_old(storage: Storage, report: Report) -> None:
    report.notes.append("written before data sets had a marker: the next run gives it one, and a log")
    try:
        old = old_files(storage)
    except DatasetError as exc:
        report.findings.append(Finding(".", str(exc), "until then no run writes here"))
        return
    report.n_files = len(old.committed)
    report.n_bytes = sum(record.bytes for record in old.committed)
    report.notes += [f"{record.path}: a killed run left it; the next one deletes it" for record, _ in old.unfinished]
    records = {record.path: [record] for record in old.committed}
    _verify_tables(storage, report, records, is_old=True)


def _verify_marked(storage: Storage, report: Report, entries: list[str]) -> None:
    data_set, what = _identified(storage, entries)
    if what:
        report.findings.append(Finding(MARKER, what, "with `quarantine` it is made again, where there is a log"))
    if data_set is None:
        return
    folders = []
    for folder in (LOG, *FOLDERS, STAGING):
        try:
            storage.files(folder)
        except DatasetError as exc:
            report.findings.append(Finding(folder, str(exc), "put the folder itself in its place"))
        else:
            folders.append(folder)
    if LOG not in folders:
        return
    log = LogReader(storage).read(data_set, tolerant=True)
    _verify_log(report, log)
    contents = Contents(storage)
    view = contents.view(data_set, *(folder for folder in folders if folder in FOLDERS), tolerant=True)
    report.view = view
    _verify_files(storage, report, contents, view, data_set)
    aside = {record.path for entry in log.entries.values() for record in entry.gone} - view.present.keys()
    if aside and QUARANTINE in entries:
        report.notes.append(
            f"{QUARANTINE}: {counted(len(aside), 'file')} set aside; what a run asks of them it scores anew"
        )
    strangers = _strangers(storage, entries, STAGING in folders)
    report.notes += [f"{name}: not of this data set; left as it is" for name in strangers]


def _strangers(storage: Storage, entries: list[str], has_staging: bool) -> Iterator[str]:
    known = {MARKER, LOG, STAGING, QUARANTINE, *FOLDERS, *HARMLESS}
    yield from (name for name in entries if name not in known)
    if has_staging:
        yield from (name for name in storage.files(STAGING) if not is_staged(name))


def _verify_log(report: Report, log: Log) -> None:
    for name in log.damaged:
        mend = "with `quarantine` it is set aside; files that no manifest names as well are scored again"
        report.findings.append(Finding(name, "this entry of the log is damaged", mend, (name,)))
    for name in log.foreign:
        report.findings.append(Finding(name, "no entry of this data set's log", SET_ASIDE, (name,)))


def _verify_files(storage: Storage, report: Report, contents: Contents, view: View, data_set: str) -> None:
    whole: dict[str, list[FileRecord]] = {}
    for path, records in sorted(view.records.items()):
        if path in view.missing:
            mend = MADE_AGAIN if path in REPLACED else RESCORED
            report.findings.append(Finding(path, "is gone", mend, set_aside_with(path)))
            continue
        what = _fault(contents, view, path, records)
        if what and path in REPLACED:  # perhaps at this moment: once more
            again = contents.view(data_set, path.partition("/")[0], tolerant=True)
            what = _fault(contents, again, path, again.records[path]) if path in again.records else what
        if what:
            mend = RESCORED if path.partition("/")[0] in {ANSWERS.name, CHUNKS.name} else SET_ASIDE
            mend = MADE_AGAIN if path in REPLACED else mend
            report.findings.append(Finding(path, what, mend, set_aside_with(path)))
        else:
            whole[path] = records
            report.n_files += 1
            report.n_bytes += view.present[path].size
    pending = view.present.keys() & view.log.named() - view.records.keys()
    odd = {path for path in pending if view.present[path].size < 0}
    report.notes += [f"{path}: a killed run left it; the next one deletes it" for path in sorted(pending - odd)]
    for path in sorted({*view.foreign, *odd}):
        is_plain = view.present[path].size >= 0
        what = "not of this data set; its readers pass it over, others may not" if is_plain else NOT_PLAIN
        report.findings.append(Finding(path, what, SET_ASIDE, (path,)))
    _verify_tables(storage, report, whole)
    for path, what, is_own in manifest_faults(storage, whole, view.log):
        mend = SET_ASIDE if is_own else "with `quarantine` the log names it again, or says that it is gone"
        report.findings.append(Finding(path, what, mend, set_aside_with(path) if is_own else ()))


def _fault(contents: Contents, view: View, path: str, records: list[FileRecord]) -> str | None:
    size = view.present[path].size
    if size < 0:
        return NOT_PLAIN
    if not view.fits(path):
        return f"{size:,} bytes in place of {records[0].bytes:,}"
    try:
        digest = contents.digest(path)
    except (DatasetError, OSError) as exc:
        return f"cannot be read: {words_of(exc)}"
    if all(record.sha256 != digest for record in records):
        return "its bytes are not those that were written"
    return None


def _verify_tables(
    storage: Storage, report: Report, records: dict[str, list[FileRecord]], *, is_old: bool = False
) -> None:
    found: TableFaults = table_faults(storage, records)
    report.n_answers, report.n_chunks = found.n_answers, found.n_chunks
    report.n_runs = sum(map(is_manifest, records))
    if is_old:
        report.findings += [Finding(path, what, _by_hand(path)) for path, what in found.faults]
    else:
        report.findings += [Finding(path, what, RESCORED, set_aside_with(path)) for path, what in found.faults]


def _by_hand(path: str) -> str:
    """What mends a file of a data set that has no log yet to say what was set aside."""
    return f"move {' and '.join(set_aside_with(path))} away, and the next run writes anew what is missing"
