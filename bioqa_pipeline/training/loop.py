"""The loop of a training: batches of a plan into the steps of an optimizer.

It follows a fixed plan, so that a killed training goes on where it was and several processes share one plan. Nothing is
read back from the device between two logged points: the loss adds up there, and is looked at when it is logged or a
state is saved. Whatever is drawn in a step (dropout) follows from the seed and the number of the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from bioqa_pipeline.errors import TrainingError
from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.training.batches import Plan
from bioqa_pipeline.training.data import seed_of
from bioqa_pipeline.training.losses import Teaching, batch_loss, span_logits
from bioqa_pipeline.training.processes import Processes
from bioqa_pipeline.training.recipe import TrainingConfig

# What AdamW keeps of each weight.
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class LoggedPoint:
    """One logged point of a training; `epoch` counts passes over the data."""

    step: int
    n_steps: int
    epoch: float
    loss: float
    learning_rate: float


class Loop:
    """A training between two of its steps.

    Args:
        plan: this process's batches of the whole training.
        precision: resolved, see `resolve_precision`.
        clock: seconds.

    Attributes:
        step: how many steps were made.
        history: every logged point, those before a resume included.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        network: NetworkConfig,
        plan: Plan,
        config: TrainingConfig,
        *,
        precision: str,
        processes: Processes,
        teaching: Teaching | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._wrapped = processes.wrapped(model)
        self._network, self._plan, self._config, self._teaching = network, plan, config, teaching
        self._precision, self._processes, self._clock = precision, processes, clock
        self._trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._optimizer = make_optimizer(self._trained, config)
        self._scaler = torch.amp.GradScaler(model.device.type, enabled=precision == "fp16")
        self._n_steps = config.max_steps or -(-len(plan) // config.gradient_accumulation_steps)
        # Of the steps since the last logged point.
        self._loss = torch.zeros((), device=model.device)
        self._logged = self.step = 0
        self._seconds = self._rate = 0.0
        self.history: list[LoggedPoint] = []

    def run(self, save: Callable[[], None], on_progress: Callable[[LoggedPoint], None] | None = None) -> None:
        """Makes all steps that are left; `save` is called when a state is due, and at the end.

        Raises:
            TrainingError: the loss or the weights are not finite; what was saved before stays.
        """
        started = self._clock() - self._seconds
        ended = self._is_over
        while not ended:
            self._make_step()
            if self._config.max_hours:
                self._seconds = self._processes.agreed(self._clock() - started)
            ended = self._is_over
            if ended or self.step % self._config.logging_steps == 0:
                self._log(on_progress)
            if ended or self.step % self._config.save_steps == 0:
                self._check(torch.nn.utils.get_total_norm([p.detach() for p in self._trained.values()]), "weights")
                self._loss = self._check(self._processes.mean(self._loss), "loss")
                save()

    def _make_step(self) -> None:
        torch.manual_seed(self._seed())
        self._rate = self.learning_rate
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate
        size = self._config.gradient_accumulation_steps
        # More steps than the plan has go through it again.
        start = self.step * size % (-(-len(self._plan) // size) * size)
        numbers = range(start, min(start + size, len(self._plan)))
        for number in numbers:
            with self._without_exchange() if number < numbers[-1] else nullcontext():
                loss = self._batch_loss(number) / len(numbers)
                self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self._loss += loss.detach()
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._trained.values(), self._config.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def _batch_loss(self, number: int) -> torch.Tensor:
        inputs = self._plan[number]
        logits = span_logits(
            self._wrapped, inputs, network=self._network, config=self._model.config, precision=self._precision
        )
        return batch_loss(logits, inputs, self._teaching)

    def _without_exchange(self) -> AbstractContextManager[None]:
        wrapped = self._wrapped
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()

    def _seed(self) -> int:
        return seed_of(self._config.seed, self.step, self._processes.rank)

    @property
    def _is_over(self) -> bool:
        return self.step >= self._n_steps or (self.step > 0 and self._time_left <= 0)

    @property
    def _time_left(self) -> float:
        """Share of `max_hours`."""
        return 1 - self._seconds / (3600 * self._config.max_hours) if self._config.max_hours else 1.0

    @property
    def learning_rate(self) -> float:
        """Of the next step: it rises over the warm-up, and falls with the steps or the time that is left."""
        config, n_steps = self._config, self._n_steps
        decay = config.decay_steps or max(1, n_steps - config.warmup_steps)
        rise = self.step / config.warmup_steps if config.warmup_steps else 1.0
        fall = (n_steps - self.step) / decay
        # The same share of the time as of the steps.
        fall_by_clock = self._time_left * n_steps / config.decay_steps if config.decay_steps else self._time_left
        return config.learning_rate * max(0.0, min(1.0, rise, fall, fall_by_clock))

    def _log(self, on_progress: Callable[[LoggedPoint], None] | None) -> None:
        mean = self._check(self._processes.mean(self._loss), "loss") / (self.step - self._logged)
        size, n_batches = self._config.gradient_accumulation_steps, len(self._plan)
        plans, steps = divmod(self.step, -(-n_batches // size))
        epoch = self._config.epochs * (plans + min(steps * size, n_batches) / n_batches)
        point = LoggedPoint(self.step, self._n_steps, epoch, float(mean), self._rate)
        self.history.append(point)
        self._loss = torch.zeros_like(self._loss)
        self._logged = self.step
        if on_progress and self._processes.is_first:
            on_progress(point)

    def _check(self, value: torch.Tensor, what: str) -> torch.Tensor:
        """The value, waited for.

        Raises:
            TrainingError: it is not finite.
        """
        found = float(value)
        if not math.isfinite(found):
            first = self._logged + 1
            where = f"at step {self.step}" if first >= self.step else f"between steps {first} and {self.step}"
            raise TrainingError(
                f"the {what} became {found} {where}; lower the learning rate, lengthen the warm-up or train with "
                "`precision fp32`"
            )
        return value

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What the training needs to go on from here besides its weights: tensors by name, and plain values."""
        moments = {
            f"{kind}.{name}": self._optimizer.state[p][kind]
            for name, p in self._trained.items()
            if p in self._optimizer.state
            for kind in MOMENTS
        }
        values = {"step": self.step, "logged": self._logged, "seconds": self._seconds, "loss": float(self._loss)}
        values["is_over"] = self._is_over
        history = [asdict(point) for point in self.history]
        return moments, {**values, "scaler": self._scaler.state_dict(), "history": history}

    def go_on(self, moments: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
        """Takes up what `state` gave."""
        for name, p in self._trained.items():
            if f"step.{name}" in moments:
                self._optimizer.state[p] = {kind: moments[f"{kind}.{name}"].to(p.device) for kind in MOMENTS}
        self.step, self._logged, self._seconds = values["step"], values["logged"], values["seconds"]
        self._loss += values["loss"]
        self._scaler.load_state_dict(values["scaler"])
        self.history = [LoggedPoint(**point) for point in values["history"]]


def make_optimizer(trained: dict[str, torch.nn.Parameter], config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW in one kernel; biases and norms do not decay."""
    decays = {name: p.ndim > 1 and "bias" not in name for name, p in trained.items()}
    groups = [
        {"params": [p for name, p in trained.items() if decays[name] is which], "weight_decay": weight_decay}
        for which, weight_decay in ((True, config.weight_decay), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, eps=config.adam_epsilon, fused=True)
