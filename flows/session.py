"""What a command line gives to the flow that it calls, and gets back.

A module of its own, because Prefect sends a served flow to its process by value, and a context variable cannot be sent.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from bioqa_pipeline.job import Reporter, RunResult


@dataclass(slots=True)
class Session:
    """One call of the flow; a deployment has none."""

    reporter: Reporter
    result: RunResult | None = None


current: ContextVar[Session | None] = ContextVar("session", default=None)
