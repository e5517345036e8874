"""The contents of several files into one record for each PMID, and what had to be left out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.inputs import MAX_BYTES
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.files.finding import FoundFile
from bioqa_pipeline.sources.files.reading import FileContent, check_beginning, read_records
from bioqa_pipeline.sources.files.values import FoundRecord

logger = logging.getLogger(__name__)

# Of all files together; they are held in memory.
READ_AT_ONCE_BYTES = 1 << 16
MAX_TOTAL_BYTES = 4 * MAX_BYTES
NAMED = 5

Convert = Callable[[Sequence[str]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What files come to.

    Attributes:
        records: by PMID, in the order of the files.
        without_pmid: those that no PMID could be found for.
        n_converted: those whose PMID was found by their DOI or PMCID.
        repeated: for each PMID that stands in several places, in words which of them counts.
        not_read: files of a folder that hold no records, with the reason.
    """

    contents: tuple[FileContent, ...]
    records: dict[int, FoundRecord]
    without_pmid: tuple[FoundRecord, ...] = ()
    n_converted: int = 0
    repeated: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()

    @property
    def n_bad(self) -> int:
        return sum(len(content.bad) for content in self.contents)

    def abstracts(self) -> Iterator[Abstract]:
        """The records that say more than their identifier."""
        return (record.abstract for record in self.records.values() if not record.is_bare)

    def without_abstract(self) -> list[int]:
        """PMIDs of which the files hold no abstract."""
        return [pmid for pmid, record in self.records.items() if not record.abstract.text]

    def log(self) -> None:
        """Says what is left out and which of several records count."""
        for content in self.contents:
            content.log()
        _log_first(self.not_read, "files are not read")
        _log_first(self.repeated, "PMIDs stand in several places")
        _log_first(self.nameless(), "records have no PMID and are left out")

    def nameless(self) -> list[str]:
        """The records that no PMID could be found for, in words."""
        return [
            f"{record.place}: no PMID{_identified(record)}: {record.abstract.title[:80]}"
            for record in self.without_pmid
        ]


def read_files(files: Iterable[FoundFile]) -> tuple[list[FileContent], list[str]]:
    """What each file holds, and the files of folders that hold nothing, with the reason.

    Raises:
        InputError: a file that was named cannot be read or holds no record, none holds any, or all are too large.
    """
    contents: list[FileContent] = []
    not_read: list[str] = []
    left = MAX_TOTAL_BYTES
    for file in files:
        try:
            content = read_records(file.path)
        except InputError as exc:
            if file.is_named:
                raise
            not_read.append(f"not read: {exc}")
            continue
        left -= file.path.stat().st_size
        if left < 0:
            raise InputError(
                f"with it the files have more than {MAX_TOTAL_BYTES:,} bytes in all: name fewer, or save the records "
                "as PubMed XML and take source medline",
                file.path,
            )
        contents.append(content)
    if not contents:
        raise InputError(not_read[0].removeprefix("not read: "), Path("no records"))
    return contents, not_read


def check_files(files: Sequence[FoundFile]) -> None:
    """Says at once what `read_files` would: of few bytes all, of more only what each file is that was named.

    Raises:
        InputError: see `read_files`.
    """
    if sum(file.path.stat().st_size for file in files if file.path.exists()) <= READ_AT_ONCE_BYTES:
        read_files(files)
        return
    for file in files:
        if file.is_named:
            check_beginning(file.path)


def gather(contents: Sequence[FileContent], not_read: Sequence[str] = (), convert: Convert | None = None) -> Gathered:
    """One record for each PMID: with an abstract before without, the newer by its revision, the longer, the later.

    A record without a PMID takes that of another one with its DOI or PMCID, else what `convert` finds.
    """
    every = [record for content in contents for record in content.records]
    known = {name: one.abstract.pmid for one in every if one.abstract.pmid for name in _names(one)}
    wanted = [one.identifier for one in every if not one.abstract.pmid]
    missing = list(dict.fromkeys(name for name in wanted if name and name not in known))
    known |= convert(missing) if convert and missing else {}
    records: dict[int, FoundRecord] = {}
    without: list[FoundRecord] = []
    repeated: dict[int, str] = {}
    n_converted = 0
    for one in every:
        pmid = one.abstract.pmid or next(filter(None, map(known.get, _names(one))), 0)
        if not pmid:
            without.append(one)
            continue
        n_converted += not one.abstract.pmid
        one = replace(one, abstract=replace(one.abstract, pmid=pmid))
        before = records.get(pmid)
        if before is None or _rank(one) >= _rank(before):
            records[pmid] = one
        if before is not None and not (before.is_bare or one.is_bare):
            repeated[pmid] = _said(pmid, before, one)
    return Gathered(tuple(contents), records, tuple(without), n_converted, tuple(repeated.values()), tuple(not_read))


def _names(record: FoundRecord) -> tuple[str, ...]:
    return tuple(filter(None, (record.abstract.doi, record.pmcid)))


def _rank(record: FoundRecord) -> tuple[bool, str, int]:
    abstract = record.abstract
    return bool(abstract.text), abstract.date_revised, len(abstract.text) or len(abstract.title)


def _said(pmid: int, before: FoundRecord, now: FoundRecord) -> str:
    taken, other = (now, before) if _rank(now) >= _rank(before) else (before, now)
    if _rank(now) == _rank(before):
        why = "the later one"
    elif bool(now.abstract.text) != bool(before.abstract.text):
        why = "the one with an abstract"
    else:
        is_revised = taken.abstract.date_revised != other.abstract.date_revised
        why = "the newer one" if is_revised else "the longer one"
    return f"PMID {pmid} stands at {other.place} and at {taken.place}, {why}, which counts"


def _identified(record: FoundRecord) -> str:
    return f" ({record.identifier})" if record.identifier else " and no DOI"


def _log_first(lines: Sequence[str], what: str) -> None:
    for line in lines[:NAMED]:
        logger.warning("%s", line)
    if len(lines) > NAMED:
        logger.warning("%d %s in all", len(lines), what)
