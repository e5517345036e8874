"""A run as artifacts and asset of its flow run: progress while it goes on, answers and a summary after it.

Artifacts are for people. The data set is whole without them, so a server that does not take one costs a warning.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.assets import Asset, AssetProperties

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.manifest import shortened
from bioqa_pipeline.dataset.schemas import page_path
from bioqa_pipeline.html.page import cut
from bioqa_pipeline.notify.news import page_url
from bioqa_pipeline.pubmed.links import pubmed_url
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.records.texts import content_digest
from bioqa_pipeline.report.unanswered import accounted, best_words, listed
from bioqa_pipeline.report.words import statuses, weighed
from bioqa_pipeline.run.records import RunResult
from bioqa_pipeline.storage.uri import ObjectUri
from flows.commands.console import changed_questions, changed_words, uncalibrated_note

logger = logging.getLogger(__name__)

TOP_ANSWERS = 10
UPDATE_SECONDS = 2.0
TABLE_ROWS = 1_000
# What all columns of the table together have room for at 1,440 pixels.
ANSWER_CHARS, QUESTION_CHARS = 30, 42
LISTED = 20
# What a source says of files in its cache, which are nobody's to read.
_OF_THE_CACHE = {"import_report", "replaced_generations"}
# What Prefect does not take in the key of an asset.
_KEY_SAFE = "/:@!$()*+,;=~-._"


class ProgressArtifact:
    """One progress bar for the stage that is under way, brought up to date in the background."""

    def __init__(self, config: RunConfig) -> None:
        key = artifact_key("progress", config)
        self._id = cast(UUID, create_progress_artifact(0.0, key=key, description="starting"))
        self._said: tuple[float, str] | None = None
        self._now = (0.0, "starting")
        self._end = threading.Event()
        # The context holds the settings, and with them the server's address.
        self._thread = threading.Thread(target=copy_context().run, args=(self._work,), name="progress", daemon=True)
        self._thread.start()

    def show(self, percent: float, text: str) -> None:
        """Takes effect within some seconds; costs nothing."""
        self._now = (min(100.0, percent), text)

    def show_broken_off(self) -> None:
        """Says at what the run broke off."""
        self._now = (self._now[0], f"broken off at: {self._now[1]}")

    def close(self) -> None:
        """Shows the last state and ends."""
        self._end.set()
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while not self._end.wait(UPDATE_SECONDS):
            self._update()
        self._update()

    def _update(self) -> None:
        now = self._now
        if now == self._said:
            return
        try:
            update_progress_artifact(self._id, now[0], description=now[1])
            self._said = now
        except Exception as exc:  # whatever the server's fault is, scoring goes on
            logger.warning("the progress could not be shown: %s", exc)


@contextmanager
def progress_artifact(config: RunConfig) -> Iterator[Callable[[float, str], None]]:
    """A function (percent, text) that shows both in Prefect; does nothing where the server takes no artifact."""
    try:
        artifact = ProgressArtifact(config)
    except Exception as exc:
        logger.warning("no progress in Prefect: %s", exc)
        yield lambda percent, text: None
        return
    try:
        yield artifact.show
        artifact.show(100.0, "the run has ended")
    except BaseException:
        artifact.show_broken_off()
        raise
    finally:
        artifact.close()


def artifact_key(kind: str, config: RunConfig) -> str:
    """One for each data set, or each would show the last answers of another: its name, and a sign of where it lies."""
    name = re.sub(r"[^a-z0-9]+", "-", config.out.name.lower()).strip("-")[:40] or "data-set"
    return f"bioqa-{kind}-{name}-{content_digest('artifact', _address(config, ''))[:6]}"


def data_set_asset(config: RunConfig) -> Asset:
    """The data set as Prefect's asset: one key for all runs that write to it."""
    key = quote(_address(config, ""), safe=_KEY_SAFE).replace("%", "_")
    properties = AssetProperties(
        name=config.out.name, description="Parquet: answers to questions, with their evidence and scores"
    )
    return Asset(key=key, properties=properties)


def page_address(config: RunConfig, run_id: str) -> str:
    """Where people find the page of a run: below `public_url`, where that is set."""
    return page_url(config, run_id) or _address(config, f"/{page_path(run_id)}")


def _address(config: RunConfig, name: str) -> str:
    out = config.out
    return f"{out}{name}" if isinstance(out, ObjectUri) else f"file://{out.absolute()}{name}"


def show_result(result: RunResult, config: RunConfig) -> None:
    """The run's table of answers, its summary and the link to its page."""
    run_id = result.manifest.run_id
    page = page_address(config, run_id)
    try:
        create_table_artifact(
            answer_table(result.answers),
            artifact_key("answers", config),
            _table_description(result.answers),
        )
        create_markdown_artifact(
            summary_markdown(result, str(config.out), page), artifact_key("summary", config), f"run {run_id}"
        )
        if _opens(page):
            create_link_artifact(
                page, link_text=run_id, key=artifact_key("page", config), description="the page of the run"
            )
    except Exception as exc:  # whatever the server's fault is, the run is whole
        logger.warning("the artifacts of the run could not be shown: %s", exc)


def _opens(page: str) -> bool:
    """Whether a browser follows a link to it from Prefect's page; to a file it does not, whatever is clicked."""
    return page.startswith(("http://", "https://"))


def _pmid(answer: MergedAnswer) -> str | None:
    """A link to PubMed where it has such a number."""
    pmid = answer.best_pmid
    if pmid is None:
        return None
    url = pubmed_url(pmid)
    return f"[{pmid}]({url})" if url else str(pmid)


def _weight(answer: MergedAnswer) -> str:
    """ "0.93 strong", or in the place of the second word that the record was retracted."""
    weight = weighed(answer.answerability)
    return f"{weight.split()[0]} retracted" if answer.best_pmid in answer.retracted_pmids else weight


def answer_table(answers: Sequence[MergedAnswer]) -> list[dict[str, Any]]:
    """One row a question, with its best answer first; at most `TABLE_ROWS`.

    Prefect's page shows the columns in this order, each as wide as its longest text, so that evidence has no room here.
    """
    return [
        {
            "best answer": cut(best_words(a), ANSWER_CHARS),
            "probability": _weight(a) if a.answer else None,
            "PMID": _pmid(a),
            "question": cut(a.question, QUESTION_CHARS),
            "support": a.support,
        }
        for a in answers
        if a.rank == 1
    ][:TABLE_ROWS]


def _table_description(answers: Sequence[MergedAnswer]) -> str:
    best = [a for a in answers if a.rank == 1]
    shown = f"; the first {TABLE_ROWS:,} are shown" if len(best) > TABLE_ROWS else ""
    return "".join((*accounted((a.outcome for a in best), len(best)), shown))


def summary_markdown(result: RunResult, out: str, page: str) -> str:
    """Counts, rates, what was skipped and what failed, for people; in lists, for Prefect's tables do not wrap."""
    manifest = result.manifest
    seconds = manifest.timings_seconds.get("score", 0.0)
    rate = f", {manifest.n_windows / seconds:,.1f} pieces of text a second" if seconds and manifest.n_windows else ""
    best, delta = [a for a in result.answers if a.rank == 1], result.delta
    lines = [
        "# " + "".join(accounted((a.outcome for a in best), manifest.n_questions)),
        "",
        f"Run `{manifest.run_id}`: **{manifest.status}**" + (f"; {changed_words(delta)}" if delta else ""),
        *_top_answers(best),
        *(_listed("Changed", changed_questions(delta), delta.n_questions) if delta else []),
        "",
        "## The run",
        "",
        f"- data set: `{out}`",
        f"- page: {_page_link(page, manifest.run_id)}",
        f"- scored: {manifest.n_scored:,} new pairs{rate}",
        f"- reused: {manifest.n_reused:,}, failed: {manifest.n_failed:,}",
        f"- abstracts: {statuses(manifest.statuses)}",
        f"- time: {', '.join(f'{name} {s:,.1f} s' for name, s in manifest.timings_seconds.items())}",
        f"- model: {_plain(manifest.model['name'])} @ {manifest.model['revision']}",
        f"- source: {_plain(_source(manifest.source))}",
    ]
    if any(a.is_uncalibrated for a in result.answers):
        lines += ["", _plain(uncalibrated_note(manifest.model["name"]))]
    for words, asked in listed(best):
        lines += _listed(words[0].upper() + words[1:], asked)
    lines += _listed("Failures, which the next run tries again", result.failures)
    return "\n".join(lines) + "\n"


def _top_answers(best: Sequence[MergedAnswer]) -> list[str]:
    """The surest answers, each with a link to the record that says it best."""
    answered = sorted((a for a in best if a.answer), key=lambda a: -(a.answerability or 0.0))
    if not answered:
        return []
    lines = [
        f"- **{_plain(shortened(best_words(a)))}** ({_weight(a)}, PMID {_pmid(a)}): {_plain(shortened(a.question))}  \n"
        f"  {_plain(shortened(a.evidence) or '')}"
        for a in answered[:TOP_ANSWERS]
    ]
    if len(answered) > TOP_ANSWERS:
        lines += ["", f"… and {len(answered) - TOP_ANSWERS:,} more, in the table of answers"]
    return ["", *lines]


def _page_link(page: str, run_id: str) -> str:
    return f"[{run_id}]({page})" if _opens(page) else f"`{page.removeprefix('file://')}`"


def _source(source: Mapping[str, str]) -> str:
    """What the source says of itself, less what it has no value for and its own files."""
    return ", ".join(f"{name} {value}" for name, value in source.items() if value and name not in _OF_THE_CACHE)


def _listed(title: str, items: Sequence[str], n_items: int | None = None) -> list[str]:
    if not items:
        return []
    named = [f"- {_plain(shortened(item))}" for item in items[:LISTED]]
    n_more = (n_items or len(items)) - len(named)
    more = [f"- … and {n_more:,} more"] if n_more > 0 else []
    return ["", f"## {title}", "", *named, *more]


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
