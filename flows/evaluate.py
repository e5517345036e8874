"""Evaluation as a Prefect flow: `python -m flows.evaluate`, or a deployment of `flows/evaluate.py:evaluate`."""

from __future__ import annotations

if __name__ == "__main__":
    # Before Prefect is imported: --help has to be quick, and the flow must not live in __main__.
    import sys

    from flows.commands.evaluate import main

    sys.exit(main())

from collections.abc import Callable
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from bioqa_pipeline.config import ModelConfig, SourceConfig
from bioqa_pipeline.evaluation.beside import beside_path
from bioqa_pipeline.evaluation.bioasq_evaluate import BioasqEvaluation
from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.evaluation.job import evaluate_checkpoint
from flows.declared import check_deployed
from flows.run_logs import log_errors_in_one_line


@flow(name="bioqa-evaluate", flow_run_name="{dataset.name}", persist_result=False)
def evaluate(
    dataset: Path,
    model: ModelConfig,
    *,
    threshold: float | None = None,
    over: str | None = None,
    source: SourceConfig | None = None,
    beside: str | None = None,
    out: Path | None = None,
    on_questions: Callable[[int], None] | None = None,
) -> Evaluation | BioasqEvaluation:
    """Scores a checkpoint on a SQuAD or BioASQ file and writes table, predictions and plots into `out`.

    Raises:
        BioqaError: data set or checkpoint cannot be used.
    """
    log_errors_in_one_line()
    check_deployed(model, dataset=dataset, out=out, beside=beside_path(beside) if beside else None)
    if source is not None:
        check_deployed(source)
    job = task(name="evaluate", cache_policy=NO_CACHE, persist_result=False)(evaluate_checkpoint)
    return job(
        dataset,
        model,
        threshold=threshold,
        over=over,
        source=source,
        beside=beside,
        out=out,
        on_questions=on_questions,
    )
