"""Fine-tuning as a Prefect flow: `python -m flows.train`, or a deployment of `flows/train.py:train`."""

from __future__ import annotations

if __name__ == "__main__":
    # Before Prefect is imported: --help has to be quick, and the flow must not live in __main__.
    import sys

    from flows.commands.train import main

    sys.exit(main())

from collections.abc import Callable
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from bioqa_pipeline.training.job import FineTuned, fine_tune
from bioqa_pipeline.training.loop import LoggedPoint
from bioqa_pipeline.training.recipe import TrainingConfig
from flows.declared import check_deployed
from flows.run_logs import log_errors_in_one_line


@flow(name="bioqa-train", flow_run_name="{out.name}", persist_result=False)
def train(
    config: TrainingConfig,
    out: Path,
    *,
    calibrate_on: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: Callable[[LoggedPoint], None] | None = None,
) -> FineTuned:
    """Fine-tunes by a recipe and fits threshold and calibration; goes on where a killed run of it stopped.

    Raises:
        BioqaError: the training cannot start or go on; its last state stays.
    """
    log_errors_in_one_line()
    check_deployed(config, out=out, calibrate_on=calibrate_on)
    job = task(name="fine-tune", cache_policy=NO_CACHE, persist_result=False)(fine_tune)
    return job(config, out, calibrate_on=calibrate_on, device=device, overwrite=overwrite, on_progress=on_progress)
