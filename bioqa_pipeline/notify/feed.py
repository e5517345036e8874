"""What a run changed, and the feed of the data set as it was, into the feed as it is: Atom (RFC 4287), newest first.

Entries keep their bytes and ids as long as they are in it. What a killed run did not come to say, the next one says.
"""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from bioqa_pipeline import __version__
from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.replacing import Replacement
from bioqa_pipeline.dataset.schemas import FEED, INDEX, PAGE
from bioqa_pipeline.notify.news import change_lines, page_url
from bioqa_pipeline.pubmed.links import pubmed_url
from bioqa_pipeline.report.delta import Change, read_delta

# Twice what is told of one run, so that none of the newest run is missing.
MOST_ENTRIES = 200

# No text within holds such a tag, for all of them are escaped.
_ENTRY = re.compile(r"<entry>\n<id>([^<]+)</id>.*?</entry>\n", re.DOTALL)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def make_feed(
    dataset: Dataset,
    config: RunConfig,
    manifest: RunManifest,
    current: pl.DataFrame,
    before: tuple[pl.DataFrame, str | None],
) -> Replacement | None:
    """The feed with what this run changed; None where that is nothing, so that the file stays as it is.

    Args:
        current: the answers as this run leaves them.
        before: as they were, and the run that left them so.
    """
    data_set, raw = dataset.feed()
    kept = {match[1]: match[0] for match in _ENTRY.finditer(raw.decode())}
    entries: dict[str, str] = {}
    old, last_run = before
    if last_run is not None and (missed := read_delta(old, last_run).changes):
        entries = _entries(data_set, config, last_run, dataset.run(last_run).started_at, missed)
    now = _entries(data_set, config, manifest.run_id, manifest.started_at, read_delta(current, manifest.run_id).changes)
    entries = {**now, **entries}
    if entries.keys() <= kept.keys():
        return None
    text = _head(data_set, config, manifest.started_at) + "".join(list({**entries, **kept}.values())[:MOST_ENTRIES])
    return Replacement(FEED, f"{text}</feed>\n".encode())


def _head(data_set: str, config: RunConfig, updated: datetime) -> str:
    base = f"{config.public_url.rstrip('/')}/" if config.public_url else ""
    itself = f'<link rel="self" type="application/atom+xml" href="{_escaped(base + FEED)}"/>\n' if base else ""
    index = _escaped(base + INDEX if base else INDEX.rpartition("/")[2])
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
        f"<id>{uuid.UUID(data_set).urn}</id>\n<title>{_escaped(config.out.name)}: new and changed answers</title>\n"
        f"<updated>{updated.isoformat()}</updated>\n<author><name>bioqa</name></author>\n"
        f'<generator version="{__version__}">bioqa</generator>\n{itself}'
        f'<link rel="alternate" type="text/html" href="{index}"/>\n'
    )


def _entries(data_set: str, config: RunConfig, run_id: str, at: datetime, changes: Sequence[Change]) -> dict[str, str]:
    """By id: that of a change in a run stays the same, whoever writes it down."""
    page = _escaped(page_url(config, run_id) or f"{run_id}{PAGE}")
    entries = {}
    for change in changes:
        name = "\n".join((run_id, change.question_id, change.kind, change.answer or ""))
        entry_id = uuid.uuid5(uuid.UUID(data_set), name.encode("utf-8", "replace").decode()).urn
        lines = change_lines(change)
        record = pubmed_url(change.best_pmid)
        shown = [_escaped(line.strip()) for line in lines]
        if record:
            shown[-1] = f'<a href="{record}">{record}</a>'
        content = _escaped("<br/>".join(shown))
        related = f'<link rel="related" href="{record}"/>\n' if record else ""
        entries[entry_id] = (
            f"<entry>\n<id>{entry_id}</id>\n<title>{_escaped(lines[0])}</title>\n<updated>{at.isoformat()}</updated>\n"
            f'<link rel="alternate" type="text/html" href="{page}"/>\n{related}'
            f'<category term="{change.kind}"/>\n<content type="html">{content}</content>\n</entry>\n'
        )
    return entries


def _escaped(text: str) -> str:
    return html.escape(_NOT_XML.sub("\ufffd", text))
