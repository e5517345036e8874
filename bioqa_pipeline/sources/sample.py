"""The records that come with the project, as a source: a folder of PubMed XML like any other."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from bioqa_pipeline.errors import SourceError, SourceErrorKind
from bioqa_pipeline.paths import SAMPLE
from bioqa_pipeline.questions.record_filters import ALL_RECORDS, RecordFilters
from bioqa_pipeline.sources.base import cache_dir
from bioqa_pipeline.sources.medline.source import MedlineSource


class SampleSource(MedlineSource):
    """Store and index lie in the user's cache, under the digest of the records, and are made on the first use.

    Args:
        mindate, maxdate, datetype, since, filters, with_titles: as of `MedlineSource`.

    Raises:
        SourceError: the sample is not there (kind "no_sample"), or the cache cannot be written.
    """

    name = "sample"

    def __init__(
        self,
        folder: Path = SAMPLE,
        *,
        mindate: date | None = None,
        maxdate: date | None = None,
        datetype: Literal["pdat", "edat", "mdat"] = "pdat",
        since: datetime | None = None,
        filters: RecordFilters = ALL_RECORDS,
        with_titles: bool = False,
    ) -> None:
        files = sorted(folder.glob("*.xml"))
        if not files:
            raise SourceError(
                f"{folder}: the sample records are not there: install the project again, or name another source",
                kind=SourceErrorKind.NO_SAMPLE,
            )
        digest = hashlib.sha256()
        for file in files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        super().__init__(
            folder,
            home=cache_dir() / "sample" / digest.hexdigest()[:32],
            mindate=mindate,
            maxdate=maxdate,
            datetype=datetype,
            since=since,
            filters=filters,
            with_titles=with_titles,
            workers=1,
        )
