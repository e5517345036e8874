"""A run's manifest into what its pairs are scored with again: the model on this machine, and the records."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import polars as pl

from bioqa_pipeline import __version__
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import Engine, ModelConfig, RunConfig
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.qa.checkpoint import Checkpoint
from bioqa_pipeline.qa.devices import processor_name, resolve_device, resolve_precision
from bioqa_pipeline.qa.engines import OPENVINO_PAYS, resolve_engine
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.run.differences import Cause
from bioqa_pipeline.run.manifest import installed_version
from bioqa_pipeline.sources.base import Source

T = TypeVar("T")
NOT_RECORDED = "not recorded"


class NothingScoredError(ConfigError):
    """A run that found all its pairs in the data set, so that there is nothing of it to compare."""


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """With what a run's pairs are scored again.

    Attributes:
        model: resolved, its engine too.
        processor: as its maker calls it.
        notes: what this machine cannot do as it was done, in words.
    """

    model: ModelConfig
    processor: str
    notes: tuple[str, ...] = ()


def model_of_run(run: RunManifest, config: RunConfig, place: str | None = None) -> AskedAgain:
    """The run's model with its device, precision and engine, or where this machine has not got them the nearest.

    Args:
        place: of the checkpoint, where it is not where it was.
    """
    notes: list[str] = []

    def here(resolve: Callable[[], T], otherwise: Callable[[], T]) -> T:
        try:
            return resolve()
        except ConfigError as exc:
            taken = otherwise()
            notes.append(f"not as it was: {exc}; {taken} is taken here")
            return taken

    old = config.model
    device = here(lambda: resolve_device(old.device), lambda: resolve_device("auto"))
    precision = here(lambda: resolve_precision(old.precision, device), lambda: resolve_precision("auto", device))
    was = _engine(run, config)
    engine: Engine = here(lambda: resolve_engine(was, device, n_pairs=0), lambda: "torch")
    name = place if place is not None else _with_revision(run, old.name)
    model = old.changed(name=name, device=device, precision=precision, engine=engine)
    return AskedAgain(model, processor_name(device), tuple(notes))


def _engine(run: RunManifest, config: RunConfig) -> Engine:
    """The engine that scored a run; that of manifests without costs follows from their settings."""
    if config.model.engine != "auto":
        return config.model.engine
    if run.cost is not None and run.cost.engines:
        return "openvino" if "openvino" in run.cost.engines else "torch"
    n_new = run.n_scored + run.n_failed
    had = config.model.device == "cpu" and "openvino" in run.versions and n_new >= OPENVINO_PAYS
    return "openvino" if had else "torch"


def _with_revision(run: RunManifest, name: str) -> str:
    """The hub's commit that was asked, not what its branch has become; folders have none."""
    revision, digest = run.model.get("revision", ""), run.model.get("digest", "")
    if not revision or digest.startswith(revision):
        return name
    return f"{re.split('[@#]', name)[0]}@{revision}"


def what_changed(
    run: RunManifest, config: RunConfig, checkpoint: Checkpoint, again: AskedAgain, key: str, engine: str
) -> tuple[Cause, ...]:
    """What is other than when the run was made, of all that can change a score; the likeliest first.

    Args:
        engine: as the scorer calls it.
    """
    now, cost = again.model, run.cost
    engines = ", ".join(cost.engines) if cost else _engine(run, config)
    found = [
        Cause("model", run.model.get("digest", NOT_RECORDED), checkpoint.digest),
        Cause("precision", config.model.precision, now.precision),
        Cause("engine", engines, engine),
        Cause("device", config.model.device, now.device),
        Cause("processor", ", ".join(cost.processors) if cost else NOT_RECORDED, again.processor),
        _version("engine_version", run, now.engine),
        Cause("bioqa_version", run.versions.get("bioqa", NOT_RECORDED), __version__),
        *(_version("package_version", run, name) for name in ("tokenizers", "transformers")),
    ]
    changed = [cause for cause in found if cause.then != cause.now]
    whys = {cause.why for cause in changed}
    if key != run.scoring_key and not whys & {"model", "precision"}:
        changed.insert(0, Cause("settings", f"scoring key {run.scoring_key}", key))
    return tuple(changed)


def _version(why: str, run: RunManifest, package: str) -> Cause:
    now = installed_version(package) or "not installed"
    then = run.versions.get(package, NOT_RECORDED)
    return Cause(why, f"{package} {then}", f"{package} {now}")


@dataclass(frozen=True, slots=True)
class Records:
    """Records by the content that a run asked.

    Attributes:
        current: PMIDs by content, of those that still say the same.
        earlier: those that say something else now, as they were.
        revised: what else a PMID says now, by its content hash.
        missing: why a PMID is not to be had.
    """

    store: AbstractStore
    current: Mapping[str, int]
    earlier: Mapping[str, Abstract]
    revised: Mapping[int, str] = field(default_factory=dict)
    missing: Mapping[int, str] = field(default_factory=dict)

    def get(self, content_hashes: Collection[str]) -> dict[str, Abstract]:
        """Those that are to be had, by their content."""
        pmids = list(dict.fromkeys(self.current[h] for h in content_hashes if h in self.current))
        found = {abstract.content_hash: abstract for abstract in self.store.get(pmids)}
        return found | {h: self.earlier[h] for h in content_hashes if h in self.earlier}

    def how_many(self, content_hashes: pl.Series) -> int:
        """Of so many pairs, by their content, the record is to be had."""
        return int(content_hashes.is_in([*self.current, *self.earlier]).sum())

    def why_gone(self, pmid: int, then: str) -> tuple[str, str]:
        """What there is in the place of a content that is not to be had, and why, by a name of `differences.WHY`."""
        if pmid not in self.revised:
            return self.missing.get(pmid, "the source has no such record"), "missing_record"
        found = self.store.get([pmid])
        is_marked = any(r.is_retracted and replace(r, is_retracted=False).content_hash == then for r in found)
        return self.revised[pmid], "retracted_since" if is_marked else "revised_record"

    def notes(self) -> Iterator[str]:
        """What to know of where they were found."""
        if self.earlier:
            pmids = sorted(abstract.pmid for abstract in self.earlier.values())
            first = ", ".join(map(str, pmids[:10])) + (" …" if len(pmids) > 10 else "")
            yield f"revised or deleted since, and kept in the abstract store as they were: PMID {first}"


def find_records(wanted: pl.DataFrame, source: Source) -> Records:
    """Where the contents that a run asked are; of the source is asked only what the store has not got.

    Args:
        wanted: pmid and content_hash.
    """
    pmids = dict(wanted.select("content_hash", "pmid").iter_rows())
    store = source.store

    def current(of: Mapping[str, int]) -> dict[str, int]:
        stored = dict(store.index(list(set(of.values()))).select("pmid", "content_hash").iter_rows())
        return {digest: pmid for digest, pmid in of.items() if stored.get(pmid) == digest}

    found = current(pmids)
    rest = {digest: pmid for digest, pmid in pmids.items() if digest not in found}
    earlier = store.earlier(rest.keys()) if rest else {}
    rest = {digest: pmid for digest, pmid in rest.items() if digest not in earlier}
    if not rest:
        return Records(store, found, earlier)
    asked = sorted(set(rest.values()))
    missing = {m.pmid: m.reason for m in source.ensure(asked)}
    found |= current(rest)
    revised = dict(store.index(asked).select("pmid", "content_hash").iter_rows())
    return Records(store, found, earlier, revised, missing)
