"""What a run changed into a message: as fields for programs, as text for people. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import PAGE, RUNS
from bioqa_pipeline.dataset.tables import replace_surrogates
from bioqa_pipeline.messages import counted, shown
from bioqa_pipeline.pubmed.links import pubmed_url
from bioqa_pipeline.report.delta import MOST_SHOWN, Change, Delta, read_delta

SCHEMA = "bioqa.news/1"
# Of evidence and other sentences in a message, and of changes that its text tells.
SENTENCE_CHARS = 400
MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class News:
    """What a run changed.

    Attributes:
        data_set: its name, not where it lies.
        page: the address of the run's page, where people can reach it.
    """

    data_set: str
    run_id: str
    started_at: str
    page: str | None
    delta: Delta

    def __bool__(self) -> bool:
        return bool(self.delta.changes)

    def fields(self) -> dict[str, Any]:
        """The message as JSON has it: at most `MOST_SHOWN` changes, sentences cut."""
        delta = self.delta
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "text": _escaped(self.text()),
            "data_set": self.data_set,
            "run_id": self.run_id,
            "started_at": self.started_at,
            "page": self.page,
            "n_new": delta.n_new,
            "n_changed": delta.n_changed,
            "n_gone": delta.n_gone,
            "changes": [_change_fields(change) for change in delta.changes],
        }
        return {name: replace_surrogates(value) for name, value in fields.items()}

    def subject(self) -> str:
        """One line."""
        delta = self.delta
        counts = ((delta.n_new, "new"), (delta.n_changed, "changed"), (delta.n_gone, "gone"))
        said = ", ".join(counted(n, f"{word} answer") for n, word in counts if n)
        return _line(f"{said} in data set {self.data_set}")

    def text(self) -> str:
        """All of it for people, without markup."""
        changes = self.delta.changes
        lines = [self.subject()]
        for change in changes[:MOST_TOLD]:
            lines += ["", *change_lines(change)]
        n_all = self.delta.n_new + self.delta.n_changed + self.delta.n_gone
        if n_all > MOST_TOLD:
            lines += ["", f"and {counted(n_all - MOST_TOLD, 'more change')}"]
        if self.page:
            lines += ["", self.page]
        return "\n".join(lines)


def read_news(config: RunConfig, manifest: RunManifest) -> News:
    """What of a run's news holds still: what a later one has changed since is that one's to tell."""
    current = Dataset(config.out).current().collect()
    return News(
        data_set=config.out.name,
        run_id=manifest.run_id,
        started_at=manifest.started_at.isoformat(),
        page=page_url(config, manifest.run_id),
        delta=read_delta(current, manifest.run_id),
    )


def page_url(config: RunConfig, run_id: str) -> str | None:
    """Where people reach the page of a run; None where nobody said so."""
    return f"{config.public_url.rstrip('/')}/{RUNS}/{run_id}{PAGE}" if config.public_url else None


def change_lines(change: Change) -> list[str]:
    """One change for people: what and why, the sentence that says so, where it stands."""
    answer = f"{_line(change.answer)}  " if change.answer else ""
    lines = [f"{change.what}: {answer}({_line(change.question)})", f"  why: {why(change)}"]
    if change.answer and change.evidence:
        lines.append(f"  evidence: {_line(change.evidence)}")
    if change.best_pmid is not None:
        lines.append(f"  {pubmed_url(change.best_pmid) or f'PMID {change.best_pmid}, not in PubMed'}")
    return lines


def why(change: Change) -> str:
    """Why, with the records whose doing it is."""
    named = ", ".join(map(str, change.pmids[:10])) + (", …" if len(change.pmids) > 10 else "")
    return f"{change.why}: {named}" if named else change.why


def _change_fields(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "question_id": change.question_id,
        "question": _cut(change.question),
        "answer": _cut(change.answer),
        "what": change.what,
        "why": change.why,
        "why_pmids": list(change.pmids[:MOST_SHOWN]),
        "probability": change.answerability,
        "evidence": _cut(change.evidence),
        "pmid": change.best_pmid,
        "url": pubmed_url(change.best_pmid),
    }


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= SENTENCE_CHARS else text[: SENTENCE_CHARS - 1] + "…"


def _line(text: str) -> str:
    return " ".join(shown(_cut(text) or "").split())


def _escaped(text: str) -> str:
    """As Slack and its likes want it: what a record says calls nobody and links nothing."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
