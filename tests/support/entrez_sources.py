"""Sources over the local server, impatient enough for tests."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from bioqa_pipeline.sources.entrez.source import EntrezSource
from support.eutils_server import EutilsServer, LoggedRequest
from support.store_processes import held_pmids

EMAIL = "someone@example.org"


def make_source(
    server: EutilsServer,
    folder: Path,
    *,
    api_key: str | None = None,
    since: datetime | None = None,
    config: dict[str, object] | None = None,
    **changes: object,
) -> EntrezSource:
    """A source with its store in `folder`; `changes` are settings."""
    settings = {
        "base_url": server.base_url,
        "lock_dir": folder,
        "requests_per_second": 100,
        "backoff_seconds": 0.001,
        "max_backoff_seconds": 0.01,
        "timeout_seconds": 5,
        "max_tries": 8,
    }
    return EntrezSource(
        AbstractStore(folder / "store"),
        SourceConfig.model_validate({"kind": "pubmed", "email": EMAIL} | (config or {})),
        settings=EntrezSettings.model_validate(settings | changes),
        api_key=SecretStr(api_key) if api_key else None,
        since=since,
    )


def contents(store: AbstractStore) -> dict[int, Abstract]:
    """Every record of a store."""
    return {abstract.pmid: abstract for abstract in store.get(held_pmids(store))}


def asked(requests: list[LoggedRequest]) -> list[int]:
    """PMIDs of EFetch requests, in order, each as often as it was asked for."""
    return [pmid for request in requests for pmid in request.ids]
