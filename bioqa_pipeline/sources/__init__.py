"""Where abstracts come from; `open_source` turns the settings into one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

from pydantic import SecretStr

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.messages import counted
from bioqa_pipeline.records.texts import PassageKind
from bioqa_pipeline.sources.base import Source, cache_dir


def open_source(
    config: SourceConfig,
    *,
    since: datetime | None = None,
    api_key: SecretStr | None = None,
    with_titles: bool = False,
) -> Source:
    """The source that the settings name, ready to be searched.

    Args:
        since: only records that came, new or revised, at or after this time.
        api_key: for PubMed; None takes NCBI_API_KEY where that is set.
        with_titles: records without an abstract are searched by their titles, too.

    Raises:
        InputError: the file of PMIDs, or a file of records, cannot be read.
        ConfigError: a setting does not suit the source.
        SourceError: the source cannot be used.
    """
    # Each brings its own client or engine with it; only the one that is asked for is imported.
    match config.kind:
        case "sample":
            from bioqa_pipeline.sources.sample import SampleSource

            return SampleSource(config, since=since, with_titles=with_titles)
        case "pmids":
            from bioqa_pipeline.sources.pmids import PmidsSource

            assert config.pmids_file is not None
            records = _records(config, None, api_key, with_titles=with_titles)
            return PmidsSource(config.pmids_file, records, config.filters())
        case "files":
            from bioqa_pipeline.sources.files.source import FilesSource

            others = partial(_records, config, None, api_key, with_titles=with_titles)
            return FilesSource(config, others if _has_others(config) else None)
        case "medline" | "pubmed":
            return _records(config, since, api_key, with_titles=with_titles)


def what_source_leaves_out(described: Mapping[str, str], config: SourceConfig, passage: PassageKind) -> Iterator[str]:
    """What a user should know of the records that cannot be asked, by what the source says of itself."""
    if left_out := described.get("left_out_by_filters"):
        yield f"{left_out} left out by filters: {described['filters']}"
    ways_out = ["`passage title+abstract` asks their titles"] if passage == "abstract" else []
    if config.kind == "files":
        ways_out = [] if _has_others(config) else [*ways_out, "with `email`, or NCBI_EMAIL, they come from PubMed"]
    if ways_out and (n := int(described.get("without_abstract", "0"))):
        yield f"{counted(n, 'record')} without an abstract: not searched; {'; '.join(ways_out)}"


def check_source(config: SourceConfig) -> None:
    """Says at once what `open_source` would say only after minutes of work or on a started run.

    Raises:
        InputError: the file of PMIDs cannot be read, or a file of records is not there or holds none.
        ConfigError: no e-mail address for PubMed, or no such folder.
    """
    if config.medline_dir is not None and not config.medline_dir.is_dir():
        raise ConfigError(f"`medline_dir {config.medline_dir}`: no such folder")
    if config.pmids_file is not None:
        from bioqa_pipeline.sources.pmids import read_list

        read_list(config.pmids_file)
    if config.files is not None:
        from bioqa_pipeline.sources.files.finding import find_files
        from bioqa_pipeline.sources.files.gathering import check_files

        check_files(find_files(config.files))
    if config.kind == "pubmed" or (config.kind == "pmids" and config.medline_dir is None):
        from bioqa_pipeline.sources.entrez.settings import resolve_email

        resolve_email(config.email)


def _has_others(config: SourceConfig) -> bool:
    """Whether what files lack may be asked for: of a folder, or of PubMed, by whoever gives an address."""
    return config.medline_dir is not None or bool((config.email or os.environ.get("NCBI_EMAIL", "")).strip())


def _records(config: SourceConfig, since: datetime | None, api_key: SecretStr | None, *, with_titles: bool) -> Source:
    """A folder of PubMed files where one is given, else PubMed itself."""
    if config.medline_dir is None:
        from bioqa_pipeline.sources.entrez.settings import settings_from_environment
        from bioqa_pipeline.sources.entrez.source import STORE_FOLDER, EntrezSource

        store, settings = AbstractStore(cache_dir() / STORE_FOLDER), settings_from_environment()
        return EntrezSource(store, config, settings=settings, api_key=api_key, since=since, with_titles=with_titles)
    from bioqa_pipeline.sources.medline.source import MedlineSource

    return MedlineSource(config.medline_dir, config, since=since, with_titles=with_titles)
