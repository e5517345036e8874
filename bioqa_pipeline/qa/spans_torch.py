"""`spans.decode` on the device that computed the logits: the same formulas in torch, no step of which waits for it.

Only what an answer needs comes back: a few numbers a window in place of two logits a token.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.errors import NonFiniteLogitError
from bioqa_pipeline.qa.spans import LARGEST_LOGIT, NOT_FINITE
from bioqa_pipeline.records.scores import Places, WindowScores


def begin_decoding(
    start_logits: torch.Tensor, end_logits: torch.Tensor, columns: Places, config: SpanConfig
) -> Callable[[], WindowScores]:
    """Decodes one batch as `spans.decode` does, disjoint spans only; what it returns waits for the result.

    Args:
        start_logits, end_logits: (n_windows, length) floats on any device; columns at and past a window's length are
            ignored.
        columns: `spans.window_columns` of the batch's windows, in row order.

    Raises:
        NonFiniteLogitError: a logit of a real token is not finite; raised by what is returned.
    """
    known = torch.from_numpy(columns)
    if start_logits.device.type == "cuda":
        known = known.pin_memory()
    known = known.to(start_logits.device, non_blocking=True)
    return to_host(*decode_on_device(start_logits.float(), end_logits.float(), known, config), columns)


def to_host(numbers: torch.Tensor, places: torch.Tensor, columns: Places) -> Callable[[], WindowScores]:
    """What `decode_on_device` found for the windows of `columns`, its first rows; what is returned waits for it.

    Raises:
        NonFiniteLogitError: see `begin_decoding`.
    """
    n = len(columns)
    count, shifts = places.shape[1] // 2, columns[:, 4, None]
    fetch_numbers, fetch_places = _fetched(numbers), _fetched(places)

    def finish() -> WindowScores:
        found = fetch_numbers().numpy()[:n]
        if not found[:, -1].all():
            raise NonFiniteLogitError(NOT_FINITE)
        null_score, log_normaliser, span_logsumexp = (np.ascontiguousarray(found[:, i]) for i in range(3))
        scores = np.ascontiguousarray(found[:, 3 : 3 + count])
        spans = fetch_places().numpy()[:n]
        return WindowScores(
            null_score=null_score,
            null_log_prob=null_score - log_normaliser,
            span_logsumexp=span_logsumexp,
            margin=span_logsumexp - null_score,
            starts=spans[:, :count] - shifts,
            ends=spans[:, count:] - shifts,
            scores=scores,
            log_probs=scores - log_normaliser[:, None],
        )

    return finish


def decode_on_device(
    start: torch.Tensor, end: torch.Tensor, columns: torch.Tensor, config: SpanConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Null score, log normaliser, span log-sum-exp, the best spans' scores and whether all is finite as
    (n_windows, 4 + k) float32; first and last columns of these spans as (n_windows, 2 k) int64."""
    length, width = start.shape[1], config.max_answer_length
    lengths, first, last, passage_end, _ = columns.unsqueeze(2).unbind(dim=1)
    positions = torch.arange(length, device=start.device)
    real = positions < lengths
    is_finite = (((start.abs() <= LARGEST_LOGIT) & (end.abs() <= LARGEST_LOGIT)) | ~real).all(dim=1)
    log_normaliser = sum(torch.logsumexp(x.masked_fill(~real, -torch.inf), dim=1) for x in (start, end))
    assert isinstance(log_normaliser, torch.Tensor)

    starts = start.masked_fill((positions < first) | (positions >= last), -torch.inf)
    ends = torch.nn.functional.pad(
        end.masked_fill(positions >= passage_end, -torch.inf), (0, width - 1), value=-torch.inf
    )
    band = starts.unsqueeze(2) + ends.unfold(1, width, 1)
    span_logsumexp = torch.logsumexp(band.flatten(1), dim=1)
    span_start = positions[None, :, None]
    span_end = span_start + torch.arange(width, device=start.device)
    scores, firsts, lasts = [], [], []
    for _ in range(config.n_best):
        flat = band.flatten(1)
        best = flat.argmax(dim=1, keepdim=True)
        scores.append(flat.gather(1, best))
        firsts.append(best // width)
        lasts.append(firsts[-1] + best % width)
        taken = (span_start <= lasts[-1].unsqueeze(2)) & (span_end >= firsts[-1].unsqueeze(2))
        band = band.masked_fill(taken, -torch.inf)
    null_score = start[:, :1] + end[:, :1]
    numbers = [null_score, log_normaliser[:, None], span_logsumexp[:, None], *scores, is_finite[:, None].float()]
    return torch.cat(numbers, dim=1), torch.cat([*firsts, *lasts], dim=1)


def _fetched(values: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Starts the copy to the host; what is returned waits for it alone, not for what the device was given since."""
    if values.device.type != "cuda":
        return values.cpu
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    # Without a stream it would be the current device's, which may be another one's.
    copied.record(torch.cuda.current_stream(values.device))

    def wait() -> torch.Tensor:
        copied.synchronize()
        return host

    return wait
