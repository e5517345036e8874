"""The records that come with the project, as a source: a folder of PubMed XML like any other."""

from __future__ import annotations

import hashlib
from datetime import datetime

from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.paths import SAMPLE
from bioqa_pipeline.sources.base import cache_dir
from bioqa_pipeline.sources.medline.source import UNRESTRICTED, MedlineSource


class SampleSource(MedlineSource):
    """Store and index lie in the user's cache, under the digest of the records, and are made on the first use.

    Args:
        config, since, with_titles: as of `MedlineSource`.

    Raises:
        SourceError: the sample is not there, or the cache cannot be written.
    """

    name = "sample"

    def __init__(
        self,
        config: SourceConfig = UNRESTRICTED,
        *,
        since: datetime | None = None,
        with_titles: bool = False,
    ) -> None:
        files = sorted(SAMPLE.glob("*.xml"))
        if not files:
            raise SourceError(
                f"{SAMPLE}: the sample records are not there: install the project again, or name another source"
            )
        digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
        home = cache_dir() / "sample" / digest.hexdigest()[:32]
        super().__init__(SAMPLE, config, home=home, since=since, with_titles=with_titles, workers=1)
