"""Stands for a ScoringJob in tests of worker processes, which import it by name."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from bioqa_pipeline.errors import ShardError
from bioqa_pipeline.run.records import ShardPlan, ShardReport


class FakeJob:
    """Stands for a ScoringJob: the shard id says what becomes of its worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def score(self, shard: ShardPlan) -> ShardReport:
        logging.getLogger("bioqa_pipeline.fake").info("scoring %s", shard.shard_id)
        word = shard.shard_id.split("-")[0]
        mark = self.folder / shard.shard_id
        if word == "dies" or (word == "once" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "fails":
            raise ShardError("no", shard_id=shard.shard_id)
        (self.folder / f"pid-{os.getpid()}-{os.environ['CUDA_VISIBLE_DEVICES']}").touch()
        time.sleep(0.05)
        return ShardReport(shard.shard_id, shard.n_pairs, 1, 0.1, ())


def shards(*names: str) -> list[ShardPlan]:
    return [ShardPlan(shard_id=name, row_group=i, n_pairs=2) for i, name in enumerate(names)]
