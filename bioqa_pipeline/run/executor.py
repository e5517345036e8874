"""How the stages of a run are executed: in this process, or wherever a subclass of `Executor` puts them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from bioqa_pipeline.config import ModelConfig
from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.run.preflight import resolve_model
from bioqa_pipeline.run.progress import Progress
from bioqa_pipeline.run.records import ShardPlan, ShardReport
from bioqa_pipeline.run.score import ScoringJob

T = TypeVar("T")
# The stage that makes the run a part of the data set.
FINISH = "finish"


class Executor:
    """How stages are executed: here, one after the other, where a subclass does not say otherwise.

    Attributes:
        n_workers: how many shards are scored at once, as far as that is known.
    """

    n_workers = 1

    def resolve(self, model: ModelConfig) -> ModelConfig:
        """Device and precision as they are where shards are scored; raises ConfigError."""
        return resolve_model(model)

    def stage(self, name: str, function: Callable[[], T]) -> T:
        """Calls a function of the flow's own process."""
        return function()

    def score(
        self, job: ScoringJob, shards: Sequence[ShardPlan], progress: Progress
    ) -> Generator[ShardReport | ShardError]:
        """Scores all shards, in any order, until it is closed; one that fails gives its error in place of a report."""
        for shard in shards:
            try:
                yield job.score(shard, progress)
            except ShardError as exc:
                yield exc
