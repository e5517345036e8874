"""Calibration as a Prefect flow: `python -m flows.calibrate`, or a deployment of `flows/calibrate.py:calibrate`."""

from __future__ import annotations

if __name__ == "__main__":
    # Before Prefect is imported: --help has to be quick, and the flow must not live in __main__.
    import sys

    from flows.commands.calibrate import main

    sys.exit(main())

from collections.abc import Callable, Sequence
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from bioqa_pipeline.config import ModelConfig
from bioqa_pipeline.training.calibrate import Calibrated
from bioqa_pipeline.training.calibrate import calibrate as calibrate_checkpoint


@flow(name="bioqa-calibrate", flow_run_name="{model.name}", persist_result=False)
def calibrate(
    datasets: Sequence[Path],
    model: ModelConfig,
    *,
    weights: Sequence[float] | None = None,
    out: Path | None = None,
    on_questions: Callable[[int], None] | None = None,
) -> Calibrated:
    """Fits threshold and calibration of a checkpoint on labelled questions and stores them with it.

    Args:
        out: gets a copy of the checkpoint; None changes the model's own folder.

    Raises:
        BioqaError: data set or checkpoint cannot be used.
    """
    job = task(name="calibrate", cache_policy=NO_CACHE, persist_result=False)(calibrate_checkpoint)
    return job(datasets, model, weights=weights, out=out, on_questions=on_questions)
