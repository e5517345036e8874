"""The windows of a training into its batches, in order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bioqa_pipeline.training.data import TrainingSet, seed_of
from bioqa_pipeline.training.recipe import TrainingConfig

# Windows are padded to its multiples, for which GPUs have their fast kernels.
LENGTH_MULTIPLE = 32
# Batches of a token budget are made from this many windows sorted by length: large enough to save padding, small
# enough to keep batches random.
SORTED_TOGETHER = 8192


def plan_batches(training_set: TrainingSet, config: TrainingConfig) -> list[list[int]]:
    """The batches of the whole training in order, each a list of window indices.

    Batches of `train_batch_size` are cut from one permutation an epoch, so that two processes together see in a step
    what one process with twice the size sees. Under `batch_tokens` windows of like length come together, and the
    batches of an epoch are shuffled.
    """
    batches = []
    for epoch, indices in enumerate(training_set.epochs):
        rng = random.Random(seed_of(config.seed, epoch))
        order = list(indices)
        rng.shuffle(order)
        if config.batch_tokens is None:
            size = config.train_batch_size
            batches += [order[i : i + size] for i in range(0, len(order), size)]
        else:
            lengths = [len(w.window) for w in training_set.windows]
            of_epoch = [
                batch
                for start in range(0, len(order), SORTED_TOGETHER)
                for batch in budgeted(
                    sorted(order[start : start + SORTED_TOGETHER], key=lengths.__getitem__),
                    lengths,
                    config.batch_tokens,
                )
            ]
            rng.shuffle(of_epoch)
            batches += of_epoch
    return batches


def budgeted(order: Sequence[int], lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Batches of so many tokens at most, padding included.

    Args:
        order: windows from the shortest to the longest.
        lengths: of all windows.
    """
    batch: list[int] = []
    for index in order:
        # The newest window is the longest and says what padding costs.
        if batch and (len(batch) + 1) * -(-lengths[index] // LENGTH_MULTIPLE) * LENGTH_MULTIPLE > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
