"""DOIs and PMCIDs into PMIDs, one search for each."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.sources.entrez.client import EntrezClient

logger = logging.getLogger(__name__)

# So many searches after each other without an answer, and the others are not tried.
MOST_UNANSWERED = 3


def pmids_of(identifiers: Iterable[str], client: EntrezClient) -> dict[str, int]:
    """The PMIDs of those that exactly one record has; the others are left out."""
    found: dict[str, int] = {}
    n_unanswered = 0
    for identifier in dict.fromkeys(identifiers):
        if n_unanswered == MOST_UNANSWERED:
            break
        try:
            answer = client.search(_term(identifier), 2, sort="relevance", dates={})
        except SourceError as exc:
            n_unanswered += 1
            logger.warning("%s: PubMed could not be asked for its PMID: %s", identifier, exc)
            continue
        n_unanswered = 0
        if len(answer.pmids) == 1:
            found[identifier] = answer.pmids[0]
    return found


def _term(identifier: str) -> str:
    if identifier.startswith("PMC"):
        return identifier
    quoted = identifier.replace('"', " ")
    return f'"{quoted}"[aid] OR "{quoted}"[lid]'
