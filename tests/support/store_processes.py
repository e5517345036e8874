"""A whole record, what a store holds, and processes that write into one; apart from the tests, to start quickly."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.records.texts import Abstract, Correction, OtherAbstract, Section

FULL = Abstract(
    pmid=7,
    version=2,
    title="Title",
    text="AIM: To see.",
    sections=(Section("AIM", "OBJECTIVE", 5, 12), Section("", None, 0, 3)),
    journal="Journal",
    pub_date="2001-02",
    pub_date_raw="2001 Feb",
    doi="10.5555/x",
    languages=("eng", "fre"),
    vernacular_title="Titre «é»",
    authors=("A B", "Group"),
    mesh_terms=("Humans",),
    publication_types=("Journal Article",),
    corrections=(Correction("RetractionIn", None, "J 2002"), Correction("ErratumIn", 9, "J 2003")),
    other_abstracts=(OtherAbstract("plain", "fre", "Voir."),),
    copyright="© 2001",
    is_retracted=True,
    is_book=False,
    status="MEDLINE",
    date_revised="2020-01-01",
)


def held_pmids(store: AbstractStore) -> list[int]:
    return sorted(row["pmid"] for changes in store.changes(0, []) for row in changes.current)


def add_for_ever(path: Path, seed: int) -> None:
    """Commits three records at a time, until it is killed."""
    store = AbstractStore(path)
    for i in range(10_000):
        store.add([replace(FULL, pmid=seed * 1_000_000 + i * 3 + k) for k in range(3)], origin=str(seed))
        # Who waits for the lock looks five times a second.
        time.sleep(0.3 * (i % 5 == 4))
