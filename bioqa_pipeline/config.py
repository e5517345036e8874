"""Every setting, checked on construction; unknown keys are refused.

`doc_stride` is defined here and nowhere else: the step, in tokens, between the starts of two neighbouring windows of a
passage, as in google-research/bert `run_squad.py`. The `stride` of fast tokenizers is the overlap, another number.
"""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from bioqa_pipeline.records import content_digest
from bioqa_pipeline.storage.uri import ObjectUri, place

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Engine = Literal["auto", "torch", "openvino"]
Casing = Literal["cased", "uncased"]
SourceKind = Literal["sample", "pubmed", "medline", "pmids"]
Place = Annotated[
    Path | ObjectUri, PlainValidator(place), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
Runner = Literal["local", "ray"]

SPECIAL_TOKENS = 3  # [CLS] question [SEP] window [SEP]
# The name of the checkpoint that comes with the project.
EMBEDDED = "embedded"

_RAY_ADDRESS = re.compile(r"(ray://)?(\[[0-9A-Fa-f:]+\]|[\w.-]+):\d+")


class Settings(BaseModel):
    """Base of all settings: immutable, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self, **values: Any) -> Self:
        """The same settings with these in place of its own, checked like any others."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | values)


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
    whole_words: bool = Field(
        True, description="draw answers out to whole words; run_squad can cut them between two pieces of a word"
    )
    n_best: int = Field(5, ge=1, le=100, description="answers kept for a (question, abstract) pair")


class ScoringConfig(Settings):
    """All that changes a score, apart from the checkpoint and the precision it runs in."""

    windows: WindowConfig = WindowConfig()
    spans: SpanConfig = SpanConfig()

    def key(self, *, checkpoint_digest: str, precision: str, schema_version: int) -> str:
        """The scoring key: equal keys mean that a pair need not be scored again."""
        settings = json.dumps(self.model_dump(), sort_keys=True)
        return content_digest("scoring", settings, checkpoint_digest, precision, str(schema_version))


class SourceConfig(Settings):
    """Where abstracts come from and how many of them a question is asked of."""

    kind: SourceKind = "sample"
    max_abstracts: int = Field(20, ge=1, le=100_000, description="abstracts retrieved for a question")
    medline_dir: Path | None = Field(None, description="folder of PubMed XML files, for source medline")
    pmids_file: Path | None = Field(None, description="file of PMIDs, one a line, for source pmids")
    mindate: date | None = Field(None, description="earliest date of a record")
    maxdate: date | None = Field(None, description="latest date of a record")
    datetype: Literal["pdat", "edat", "mdat"] = Field("pdat", description="publication, entry or modification date")
    sort: Literal["relevance", "pub_date"] = Field("relevance", description="order in which PubMed ranks")
    since_last_run: bool = Field(False, description="only records entered since the last finished run")
    email: str | None = Field(None, description="sent to NCBI with every request, as it asks")

    @model_validator(mode="after")
    def _complete(self) -> SourceConfig:
        if self.kind == "medline" and self.medline_dir is None:
            raise ValueError("source medline needs --medline-dir, the folder that holds the PubMed XML files")
        if self.kind == "pmids" and self.pmids_file is None:
            raise ValueError("source pmids needs --pmids, a file with one PMID a line")
        if self.sort != "relevance" and self.kind != "pubmed":
            raise ValueError(f"--sort {self.sort} is done by PubMed itself; source {self.kind} has its own order")
        if self.mindate and self.maxdate and self.mindate > self.maxdate:
            raise ValueError(f"--mindate {self.mindate} is later than --maxdate {self.maxdate}")
        return self


class ModelConfig(Settings):
    """Which checkpoint, and where it runs."""

    name: str = Field(
        EMBEDDED, description="a folder, a hub name with an optional @revision, or the one that comes with the project"
    )
    casing: Casing | None = Field(None, description="overrides what the checkpoint says of capitals")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Precision = Field("auto", description="auto takes bf16 where the device computes in it, else fp32")
    engine: Engine = Field("auto", description="auto takes openvino for long jobs on a CPU, where it is installed")


class RunConfig(Settings):
    """One run of the main job, resolved: it is stored in the manifest and in every Parquet file."""

    questions: Path
    out: Place = Field(description="folder of the data set, or s3://bucket/prefix")
    model: ModelConfig = ModelConfig()
    source: SourceConfig = SourceConfig()
    scoring: ScoringConfig = ScoringConfig()
    threshold: float | None = Field(
        None, description="answerable iff score_diff is at most this; None takes the checkpoint's own"
    )
    max_answers: int = Field(10, ge=1, description="merged answers kept for a question in summary/")
    shard_pairs: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="(question, abstract) pairs scored and committed together; auto goes by device and work"
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto", description="processes that score; auto is one for each visible GPU, or one on a CPU"
    )
    wait_for_lock: bool = Field(True, description="wait while another run writes the data set, instead of failing")
    runner: Runner = Field("local", description="where shards are scored: on this machine, or on a Ray cluster")
    ray_address: str | None = Field(
        None, description="of a running Ray cluster: auto, host:6379 or ray://host:10001; None starts one here"
    )

    public_url: str | None = Field(
        None, description="address at which people reach the folder of the data set; Prefect's links lead there"
    )

    @model_validator(mode="after")
    def _workers_have_devices(self) -> RunConfig:
        if (self.workers not in {"auto", 1} or self.runner == "ray") and ":" in self.model.device:
            raise ValueError(f"--device {self.model.device} is one GPU; several workers need --device cuda or cpu")
        return self

    @model_validator(mode="after")
    def _ray_is_meant(self) -> RunConfig:
        if self.ray_address is None:
            return self
        if self.runner != "ray":
            raise ValueError(
                f"--ray-address {self.ray_address} needs --runner ray; --runner {self.runner} does not use it"
            )
        if self.ray_address != "auto" and not _RAY_ADDRESS.fullmatch(self.ray_address):
            raise ValueError(f"--ray-address {self.ray_address}: give auto, host:6379 or ray://host:10001")
        return self
