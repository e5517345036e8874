"""What is known of a run while it goes on, into its manifest."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from bioqa_pipeline import __version__
from bioqa_pipeline.config import ModelConfig, RunConfig
from bioqa_pipeline.dataset.manifest import MOST_NAMED, RetrievalRecord, RunCost, RunManifest, RunStatus, shortened
from bioqa_pipeline.qa.threads import thread_count
from bioqa_pipeline.records.texts import Retrieval, RetrievalOutcome
from bioqa_pipeline.run.executor import Executor
from bioqa_pipeline.run.preflight import Preflight
from bioqa_pipeline.run.records import RunIdentity, ShardReport

REPORTED_PACKAGES = ("torch", "openvino", "transformers", "tokenizers", "polars", "pyarrow", "biopython", "prefect")


def run_status(retrievals: Sequence[Retrieval], failures: Sequence[str]) -> RunStatus:
    """How a run that came to its end went; one whose every search failed asked nothing."""
    failed = [r for r in retrievals if r.outcome is RetrievalOutcome.FAILED and not r.hits]
    if failed and len(failed) == len(retrievals):
        return "failed"
    return "partial" if failures else "completed"


def unfinished_manifest(
    run: RunIdentity,
    config: RunConfig,
    ready: Preflight,
    *,
    finished_at: datetime,
    retrievals: Sequence[Retrieval],
    failures: Sequence[str],
    timings_seconds: Mapping[str, float],
    source: Mapping[str, str],
    reports: Sequence[ShardReport],
    cost: RunCost | None,
) -> RunManifest:
    """The manifest of a run that breaks off here: status "failed", and of pairs what was scored.

    Args:
        config: resolved.
        source: what the source says of itself.
        reports: of the shards that were committed.
    """
    checkpoint = ready.checkpoint
    calibration = checkpoint.settings.calibration
    return RunManifest(
        run_id=run.run_id,
        started_at=run.started_at,
        finished_at=finished_at,
        status="failed",
        n_questions=len(ready.questions.questions),
        n_pairs=0,
        n_windows=sum(r.n_windows for r in reports),
        n_scored=sum(r.n_pairs for r in reports),
        cost=cost,
        n_reused=0,
        searches=dict(Counter(r.outcome for r in retrievals)),
        retrievals=RetrievalRecord.first_of(retrievals),
        notes=tuple(map(shortened, ready.notes)),
        n_failures=len(failures),
        failures=tuple(map(shortened, failures[:MOST_NAMED])),
        config=json.loads(config.model_dump_json()),
        versions={
            **{"bioqa": __version__, "python": platform.python_version()},
            **{name: known for name in REPORTED_PACKAGES if (known := installed_version(name))},
        },
        timings_seconds=dict(timings_seconds),
        scoring_key=run.scoring_key,
        source=dict(source),
        model={
            "name": checkpoint.name,
            "revision": checkpoint.revision,
            "digest": checkpoint.digest,
            "files": json.dumps(dict(checkpoint.files)),
            "casing": checkpoint.casing,
            "calibration": calibration.model_dump_json() if calibration else "",
        },
    )


def run_cost(
    reports: Sequence[ShardReport], model: ModelConfig, timings_seconds: Mapping[str, float], executor: Executor
) -> RunCost | None:
    """What the scoring stage cost, on this resolved model; None where nothing was scored."""
    n_pairs = sum(r.n_pairs for r in reports)
    if not n_pairs:
        return None
    seconds = timings_seconds["score"]
    # Workers of one machine share its threads.
    units = executor.n_devices if model.device.startswith("cuda") else max(executor.n_workers, thread_count())
    return RunCost(
        n_tokens=sum(r.n_tokens for r in reports),
        seconds=seconds,
        device_seconds=round(seconds * units, 3),
        device_seconds_per_1000_pairs=round(1000 * seconds * units / n_pairs, 3),
        processors=tuple(sorted({r.processor for r in reports})),
        engines=tuple(sorted({r.engine for r in reports})),
        device=model.device,
        precision=model.precision,
    )


def installed_version(package: str) -> str | None:
    """None where it is not installed: what scores on other machines needs no orchestrator."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
