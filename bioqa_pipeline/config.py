"""Every setting, checked on construction; unknown keys are refused.

`doc_stride` is defined here and nowhere else: the step, in tokens, between the starts of two neighbouring windows of a
passage, as in google-research/bert `run_squad.py`. The `stride` of fast tokenizers is the overlap, another number.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bioqa_pipeline.records import content_digest

Precision = Literal["auto", "fp32", "bf16", "fp16"]

SPECIAL_TOKENS = 3  # [CLS] question [SEP] window [SEP]


class Settings(BaseModel):
    """Base of all settings: immutable, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowConfig(Settings):
    """How a (question, passage) pair is cut into windows; defaults are those the model was trained with."""

    max_seq_length: int = Field(384, ge=8, description="tokens of a window, special tokens included")
    doc_stride: int = Field(128, ge=1, description="tokens between the starts of two neighbouring windows")
    max_query_length: int = Field(64, ge=1, description="tokens at which a question is cut")

    @model_validator(mode="after")
    def _windows_overlap(self) -> WindowConfig:
        capacity = self.max_seq_length - self.max_query_length - SPECIAL_TOKENS
        if capacity < self.doc_stride:
            raise ValueError(
                f"doc_stride {self.doc_stride} leaves gaps: a window holds only {capacity} passage tokens behind a "
                f"question of max_query_length {self.max_query_length} "
                f"(max_seq_length {self.max_seq_length} - {self.max_query_length} - {SPECIAL_TOKENS})"
            )
        return self


class SpanConfig(Settings):
    """Which spans count and how many are kept."""

    max_answer_length: int = Field(30, ge=1, description="tokens of the longest answer")
    n_best: int = Field(5, ge=1, le=100, description="answers kept for a (question, abstract) pair")


class ScoringConfig(Settings):
    """All that changes a score, apart from the checkpoint and the precision it runs in."""

    windows: WindowConfig = WindowConfig()
    spans: SpanConfig = SpanConfig()

    def key(self, *, checkpoint_digest: str, precision: str, schema_version: int) -> str:
        """The scoring key: equal keys mean that a pair need not be scored again."""
        settings = json.dumps(self.model_dump(), sort_keys=True)
        return content_digest("scoring", settings, checkpoint_digest, precision, str(schema_version))
