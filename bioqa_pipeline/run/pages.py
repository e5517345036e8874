"""What a run makes for those who read it: current answers, list of runs, feed and page; it is whole without them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.replacing import Replacement
from bioqa_pipeline.dataset.writer import DatasetWriter
from bioqa_pipeline.errors import BioqaError
from bioqa_pipeline.messages import shown
from bioqa_pipeline.notify.feed import make_feed
from bioqa_pipeline.report.data import Limits
from bioqa_pipeline.report.delta import Delta
from bioqa_pipeline.report.page import render_run_page
from bioqa_pipeline.report.reading import read_report
from bioqa_pipeline.run.current import CurrentAnswers, list_runs

logger = logging.getLogger(__name__)


class RunPages:
    """Those of one run; what cannot be made is named in `failures`.

    Attributes:
        delta: what the page says that the run changed.
    """

    def __init__(self, dataset: Dataset, config: RunConfig, run_id: str, failures: list[str]) -> None:
        self.dataset, self.config, self.run_id, self.failures = dataset, config, run_id, failures
        self.current: CurrentAnswers | None = None
        self.delta: Delta | None = None
        self.has_page = False

    def finish(self, writer: DatasetWriter, manifest: RunManifest) -> RunManifest:
        """Ends the run, with its page and with the files that each run puts in the place of those before."""
        with self.whole_without("page"):
            current = self.current.rows if self.current else None
            report = read_report(self.dataset, manifest, Limits(), current)
            self.delta = report.delta
            writer.write_page(render_run_page(report))
            self.has_page = True
        return writer.finish(manifest, self._replaced(manifest))

    def _replaced(self, manifest: RunManifest) -> list[Replacement]:
        files = [self.current.file] if self.current and self.current.file else []
        with self.whole_without("list of runs"):
            files.append(list_runs(self.dataset, manifest, self.current))
        if self.current:
            with self.whole_without("feed"):
                feed = make_feed(self.dataset, self.config, manifest, self.current.rows, self.current.before)
                files += [feed] if feed else []
        return files

    @contextmanager
    def whole_without(self, what: str) -> Iterator[None]:
        """Takes down what cannot be made, whatever is wrong with it; the run ends as it would without."""
        try:
            yield
        except Exception as exc:
            known = isinstance(exc, BioqaError)
            logger.error("the %s of run %s could not be made: %s", what, self.run_id, exc, exc_info=not known)
            self.failures.append(
                shown(f"the run is whole, but its {what} could not be made: {type(exc).__name__}: {exc}")
            )
