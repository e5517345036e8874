"""Where abstracts come from; `open_source` turns the settings into one of them."""

from __future__ import annotations

from datetime import datetime

from pydantic import SecretStr

from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.sources.base import Source, cache_dir


def open_source(config: SourceConfig, *, since: datetime | None = None, api_key: SecretStr | None = None) -> Source:
    """The source that the settings name, ready to be searched.

    Args:
        since: only records that came, new or revised, at or after this time.
        api_key: for PubMed; None takes NCBI_API_KEY where that is set.

    Raises:
        InputError: the file of PMIDs cannot be read.
        ConfigError: a setting does not suit the source.
        SourceError: the source cannot be used.
    """
    # Each brings its own client or engine with it; only the one that is asked for is imported.
    match config.kind:
        case "sample":
            from bioqa_pipeline.sources.sample import SampleSource

            return SampleSource()
        case "pmids":
            from bioqa_pipeline.sources.pmids import PmidsSource

            assert config.pmids_file is not None
            records = _medline(config, None) if config.medline_dir else _pubmed(config, None, api_key)
            return PmidsSource(config.pmids_file, records)
        case "medline":
            return _medline(config, since)
        case "pubmed":
            return _pubmed(config, since, api_key)


def _medline(config: SourceConfig, since: datetime | None) -> Source:
    from bioqa_pipeline.sources.medline import MedlineSource

    assert config.medline_dir is not None
    return MedlineSource(
        config.medline_dir, mindate=config.mindate, maxdate=config.maxdate, datetype=config.datetype, since=since
    )


def _pubmed(config: SourceConfig, since: datetime | None, api_key: SecretStr | None) -> Source:
    from bioqa_pipeline.sources.entrez import EntrezSource
    from bioqa_pipeline.store import AbstractStore

    home = cache_dir() / "pubmed"
    return EntrezSource(
        AbstractStore(home), config, api_key=api_key, since=since, counts_file=home / "word-counts.json"
    )
