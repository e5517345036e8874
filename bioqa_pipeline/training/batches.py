"""Labelled windows and the plan of their batches onto the device, where each batch is gathered.

Between two steps nothing is laid out by Python and nothing is sent to the device, so that a card does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt
import torch

from bioqa_pipeline.qa.batching import padded_lengths
from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.training.data import LabelledWindow
from bioqa_pipeline.training.plan import LENGTH_MULTIPLE

Inputs = dict[str, torch.Tensor]


class WindowsOnDevice:
    """All windows of a training as one row of tokens on its device, with what a batch needs to be gathered there.

    Args:
        network: whose padding and longest window are meant.

    Attributes:
        n_places: tokens of all windows, and behind them one place for all padding.
    """

    def __init__(self, windows: Sequence[LabelledWindow], network: NetworkConfig, *, device: str) -> None:
        self.device = torch.device(device)
        self._lengths = np.asarray([len(w.window) for w in windows])
        self._longest = network.longest_window
        tokens = np.concatenate([*(w.window.input_ids for w in windows), [network.padding]])
        self._tokens = torch.from_numpy(tokens.astype(np.int32)).to(self.device)
        self.n_places = len(self._tokens)
        self._begins = self._put(np.cumsum(self._lengths) - self._lengths)
        self._ends = self._put(np.cumsum(self._lengths))
        self._passages = self._put([w.window.passage_offset for w in windows])
        self._targets = self._put([(w.start, w.end) for w in windows])

    def _put(self, values: npt.ArrayLike) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.int64)).to(self.device)

    def padded_length(self, indices: Sequence[int]) -> int:
        """Of a batch of these windows."""
        longest = self._lengths[indices].max(keepdims=True)
        return int(padded_lengths(longest, max_length=self._longest, multiple=LENGTH_MULTIPLE)[0])

    def gather(self, indices: torch.Tensor, length: int) -> Inputs:
        """These windows padded to one length, (n_windows, length), their targets and the places of their tokens."""
        positions = torch.arange(length, device=self.device)
        places = self._begins[indices][:, None] + positions
        real = places < self._ends[indices][:, None]
        places = places.where(real, self.n_places - 1)
        start_positions, end_positions = self._targets[indices].unbind(dim=1)
        return {
            "input_ids": self._tokens[places].long(),
            "attention_mask": real.long(),
            "token_type_ids": (real & (positions >= self._passages[indices][:, None])).long(),
            "start_positions": start_positions,
            "end_positions": end_positions,
            "places": places,
        }


class Plan:
    """Batches of windows in order; one is gathered when it is asked for.

    Args:
        batches: the indices of their windows.
    """

    def __init__(self, windows: WindowsOnDevice, batches: Sequence[Sequence[int]]) -> None:
        self._windows = windows
        self._indices = torch.tensor([*chain.from_iterable(batches)], device=windows.device)
        self._ends = [*accumulate(map(len, batches))]
        self._sizes = [len(batch) for batch in batches]
        self._padded = [windows.padded_length(batch) for batch in batches]

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: int) -> Inputs:
        end = self._ends[number]
        return self._windows.gather(self._indices[end - self._sizes[number] : end], self._padded[number])

    def __iter__(self) -> Iterator[Inputs]:
        return map(self.__getitem__, range(len(self)))


def share_of(batches: Sequence[list[int]], *, rank: int, count: int) -> Sequence[list[int]]:
    """What one of `count` processes takes: every `count`-th batch, as many as every other process has."""
    missing = -len(batches) % count
    return [*batches, *batches[:missing]][rank::count]
