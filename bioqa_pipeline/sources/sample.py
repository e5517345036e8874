"""The sample records that come with the project, as a folder of PubMed files."""

from __future__ import annotations

from pathlib import Path

from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.sources.medline import MedlineSource

SAMPLE_DIR = Path(__file__).resolve().parents[2] / "data" / "sample"


class SampleSource(MedlineSource):
    """The records in `data/sample`.

    Raises:
        SourceError: this is not a clone of the project, which alone holds them.
    """

    name = "sample"

    def __init__(self) -> None:
        if not SAMPLE_DIR.is_dir():
            raise SourceError(
                f"{SAMPLE_DIR} is missing: the sample comes with a clone of the project", kind="no_sample"
            )
        super().__init__(SAMPLE_DIR, workers=1)
