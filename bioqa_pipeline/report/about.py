"""The manifest of a run into what those who run it look at: how it was computed, from what, how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from bioqa_pipeline.config import NUMBERS
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.html.page import duration
from bioqa_pipeline.records.texts import FetchStatus
from bioqa_pipeline.report.data import RunReport
from bioqa_pipeline.report.words import SKIPPED, statuses

# What a source says of files in its cache, which are nobody's to read.
_OF_THE_CACHE = ("import_report", "replaced_generations")


def n_abstracts(manifest: RunManifest) -> int:
    """Those that were read."""
    return sum(manifest.statuses.get(s, 0) for s in (FetchStatus.SCORED, FetchStatus.SCORED_RETRACTED))


def skipped_records(manifest: RunManifest) -> list[tuple[str, int, list[tuple[str, list[int]]]]]:
    """Kinds of records without answers: name, how many, and by reason the PMIDs that the manifest names."""
    kinds = []
    for status, words in SKIPPED.items():
        if not (n := manifest.statuses.get(status)):
            continue
        named = sorted((s.reason, s.pmid) for s in manifest.skipped if s.status is status)
        reasons = [(reason, [pmid for _, pmid in group]) for reason, group in groupby(named, key=lambda x: x[0])]
        kinds.append((words, n, reasons))
    return kinds


def about_run(report: RunReport) -> list[tuple[str, str]]:
    manifest = report.manifest
    config: dict[str, Any] = manifest.config
    model = config.get("model")
    model = model if isinstance(model, dict) else {}
    source = ", ".join(
        f"{k.replace('_', ' ')} {v}" for k, v in manifest.source.items() if v and k not in {"kind", *_OF_THE_CACHE}
    )
    seconds = manifest.timings_seconds.get("score", 0.0)
    rate = f", {manifest.n_windows / seconds:,.1f} a second" if seconds and manifest.n_windows else ""
    took = (manifest.finished_at - manifest.started_at).total_seconds()
    return [
        ("Questions", str(config.get("questions", ""))),
        ("Source", manifest.source.get("kind", "") + (f" ({source})" if source else "")),
        ("Model", f"{manifest.model.get('name', '')}, revision {manifest.model.get('revision', '')}"),
        ("Computed on", _computed_on(model)),
        ("Abstracts", statuses(manifest.statuses)),
        (
            "Question–abstract pairs",
            f"{manifest.n_pairs:,}: {manifest.n_scored:,} new, {manifest.n_reused:,} reused, "
            f"{manifest.n_failed:,} failed",
        ),
        ("Pieces of text read", f"{manifest.n_windows:,}{rate}"),
        (
            "Threshold",
            f"{config.get('threshold')}: an abstract answers unless “not in here” outscores its best words by more",
        ),
        ("Run", manifest.run_id),
        ("Started", f"{manifest.started_at:%d %B %Y, %H:%M:%S} UTC"),
        ("Finished", f"{manifest.finished_at:%d %B %Y, %H:%M:%S} UTC, after {duration(took)}"),
        ("Stages", ", ".join(f"{name} {duration(s)}" for name, s in manifest.timings_seconds.items())),
        ("Scoring key", manifest.scoring_key),
        ("Versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]


def _computed_on(model: Mapping[str, Any]) -> str:
    said = [str(model[k]) for k in ("device", "precision") if model.get(k)]
    said[1:] = [NUMBERS.get(precision, precision) for precision in said[1:]]
    return ", ".join([*said, f"engine {model['engine']}"] if model.get("engine") else said)
