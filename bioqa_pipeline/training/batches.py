"""Labelled windows into the batches of a plan, as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from bioqa_pipeline.qa.batching import pad_windows
from bioqa_pipeline.records.scores import Windows
from bioqa_pipeline.training.data import LabelledWindow
from bioqa_pipeline.training.losses import Inputs


class WindowDataset(Dataset[tuple[int, LabelledWindow]]):
    """Labelled windows with their index."""

    def __init__(self, windows: Sequence[LabelledWindow]) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> tuple[int, LabelledWindow]:
        return index, self._windows[index]


class BatchPlan:
    """The batches of one process in order: every `world_size`-th of the plan, as many as every other process has."""

    def __init__(self, batches: Sequence[list[int]], *, rank: int, world_size: int) -> None:
        missing = -len(batches) % world_size
        self._own = [*batches, *batches[:missing]][rank::world_size]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def collate(indexed: Sequence[tuple[int, LabelledWindow]], *, pad_id: int) -> Inputs:
    """Windows into tensors of shape (n_windows, length), their targets and indices (n_windows,), all int64."""
    windows = [window for _, window in indexed]
    batch = pad_windows(Windows.of([w.window for w in windows]), np.arange(len(windows)), pad_id=pad_id)
    return {
        "input_ids": torch.from_numpy(batch.input_ids),
        "token_type_ids": torch.from_numpy(batch.token_type_ids),
        "attention_mask": torch.from_numpy(batch.attention_mask),
        "start_positions": torch.tensor([w.start for w in windows]),
        "end_positions": torch.tensor([w.end for w in windows]),
        "window_indices": torch.tensor([index for index, _ in indexed]),
    }
