"""The runs of a data set into the page that lists them, newest first, with links to their pages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import PAGE, RUNS
from bioqa_pipeline.html.page import asset, environment, html_page
from bioqa_pipeline.report.page import STATUS

# Older ones are in the manifests.
MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One line; `page` is None where it has none.

    Attributes:
        n_new: answers that were first given in this run and hold still.
        n_changed, n_retracted: answers that it was the last to change, all of them and those by a retraction.
    """

    run_id: str
    started_at: datetime
    n_questions: int
    n_scored: int
    n_new: int
    n_changed: int
    n_retracted: int
    status: tuple[str, str]
    page: str | None


def make_index(
    runs: Sequence[RunManifest],
    n_new: Mapping[str, int],
    n_changed: Mapping[str, tuple[int, int]],
    pages: Collection[str],
) -> str:
    """The page.

    Args:
        runs: oldest first.
        n_new: by run id, how many answers were first given in it.
        n_changed: by run id, how many it was the last to change, and how many of them by a retraction.
        pages: names of the runs' pages that are there.
    """
    listed = [
        ListedRun(
            run_id=run.run_id,
            started_at=run.started_at,
            n_questions=run.n_questions,
            n_scored=run.n_scored,
            n_new=n_new.get(run.run_id, 0),
            n_changed=n_changed.get(run.run_id, (0, 0))[0],
            n_retracted=n_changed.get(run.run_id, (0, 0))[1],
            status=STATUS[run.status],
            page=f"{run.run_id}{PAGE}" if f"{run.run_id}{PAGE}" in pages else None,
        )
        for run in reversed(runs[-MOST_RUNS:])
    ]
    is_sample = bool(runs) and runs[-1].source.get("kind") == "sample"
    page = environment().get_template("index.html.j2")
    body = page.render(runs=listed, n_left_out=len(runs) - len(listed), is_sample=is_sample)
    return html_page("Runs of this data set", body, style=asset("report.css"))


def pages_of(dataset: Dataset) -> set[str]:
    """The names of the pages in the data set."""
    return {name.removeprefix(f"{RUNS}/") for name in dataset.storage.files(RUNS) if name.endswith(PAGE)}
