"""Every setting, checked on construction; unknown keys are refused.

`doc_stride` is defined here and nowhere else: the step, in tokens, between the starts of two neighbouring windows of a
passage, as in google-research/bert `run_squad.py`. The `stride` of fast tokenizers is the overlap, another number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, field_validator, model_validator

from bioqa_pipeline.questions.record_filters import KINDS, RecordFilters
from bioqa_pipeline.receivers import Receivers
from bioqa_pipeline.setting_values import (
    Address,
    FirstDay,
    LastDay,
    Names,
    PathOrName,
    Settings,
    Threshold,
    UserPath,
    UserPaths,
)
from bioqa_pipeline.storage.uri import ObjectUri, place

Precision = Literal["auto", "fp32", "bf16", "fp16"]
# For people, with the name that they would set.
NUMBERS = {"fp32": "32-bit numbers (fp32)", "bf16": "16-bit numbers (bf16)", "fp16": "16-bit numbers (fp16)"}
Engine = Literal["auto", "torch", "openvino"]
Casing = Literal["cased", "uncased"]
SourceKind = Literal["sample", "pubmed", "medline", "pmids", "files"]
Place = Annotated[
    Path | ObjectUri, PlainValidator(place), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
Runner = Literal["local", "ray"]

SPECIAL_TOKENS = 3  # [CLS] question [SEP] window [SEP]
# The name of the checkpoint that comes with the project.
EMBEDDED = "embedded"
AUTO_PRECISION = (
    "numbers that are computed with: fp32 has 32 bits, bf16 and fp16 have 16, which is faster and a little coarser; "
    "auto is the fastest sound one of the device: bf16 where it computes in that, else fp16 on an NVIDIA GPU and fp32 "
    "on any other"
)

_RAY_ADDRESS = re.compile(r"(ray://)?(\[[0-9A-Fa-f:]+\]|[\w.-]+):\d+")


class WindowConfig(Settings):
    """How a (question, passage) pair is cut into windows; defaults are those the model was trained with."""

    max_seq_length: int = Field(
        384,
        ge=8,
        description="tokens (words and parts of words) that the model reads at once: the question and a piece of the "
        "text, a window",
    )
    doc_stride: int = Field(
        128, ge=1, description="tokens from the start of a piece to the start of the next, which overlap"
    )
    max_query_length: int = Field(64, ge=1, description="tokens at which a question is cut")

    @model_validator(mode="after")
    def _windows_overlap(self) -> WindowConfig:
        capacity = self.max_seq_length - self.max_query_length - SPECIAL_TOKENS
        if capacity < self.doc_stride:
            raise ValueError(
                f"`doc_stride {self.doc_stride}` leaves gaps: a window holds only {capacity} passage tokens behind a "
                f"question of `max_query_length {self.max_query_length}` "
                f"(`max_seq_length {self.max_seq_length}` - {self.max_query_length} - {SPECIAL_TOKENS})"
            )
        return self


class SpanConfig(Settings):
    """Which spans count and how many are kept."""

    max_answer_length: int = Field(30, ge=1, description="tokens of the longest answer")
    whole_words: bool = Field(
        True, description="draw answers out to whole words; run_squad can cut them between two pieces of a word"
    )
    n_best: int = Field(5, ge=1, le=100, description="candidate answers kept for each question and abstract")


class ScoringConfig(Settings):
    """All that changes a score, apart from the checkpoint and the precision it runs in."""

    windows: WindowConfig = Field(default_factory=WindowConfig)
    spans: SpanConfig = Field(default_factory=SpanConfig)
    passage: Literal["abstract", "title+abstract"] = Field(
        "abstract",
        description="what of a record is asked: its abstract, or the title as first sentence and the abstract, so that "
        "a listed record without an abstract is asked, too",
    )

    def key(self, *, checkpoint_digest: str, precision: str, schema_version: int) -> str:
        """The scoring key: equal keys mean that a pair need not be scored again."""
        # It brings numpy, which no command needs for its help.
        from bioqa_pipeline.records.texts import content_digest

        # A setting that came later says nothing while it has its first default, or all would be scored anew.
        settings = json.dumps(
            self.model_dump(exclude={"passage"} if self.passage == "abstract" else None), sort_keys=True
        )
        return content_digest("scoring", settings, checkpoint_digest, precision, str(schema_version))


# What a setting is for, where no source is named; the first that is given.
_KIND_OF: dict[str, SourceKind] = {"pmids_file": "pmids", "files": "files", "medline_dir": "medline", "email": "pubmed"}

# The sources that make use of a setting.
_USED_BY: dict[str, tuple[SourceKind, ...]] = {
    "pmids_file": ("pmids",),
    "files": ("files",),
    "medline_dir": ("medline", "pmids", "files"),
}


class SourceConfig(Settings):
    """Where abstracts come from and how many of them a question is asked of."""

    kind: SourceKind = Field(
        "sample",
        description="sample: the 60 records that come with the project; pubmed: live E-utilities; medline: a folder of "
        "PubMed baseline and update files; files: records that you exported from PubMed, EndNote or Zotero; pmids: a "
        "given list; without it, what given files, a list, a folder or an e-mail address is for",
    )
    max_abstracts: int = Field(
        20,
        ge=1,
        le=100_000,
        description="abstracts retrieved for a question; files of records and a list of PMIDs are asked whole",
    )
    medline_dir: UserPath | None = Field(
        None,
        description="folder of PubMed's *.xml and *.xml.gz, zipped or not, for source medline; for files and pmids "
        "instead of PubMed",
    )
    pmids_file: UserPath | None = Field(
        None, description="file of PMIDs, PMCIDs or DOIs, or of records whose PMIDs are meant, for source pmids"
    )
    files: UserPaths | None = Field(
        None,
        min_length=1,
        description="files, folders or patterns, for source files: .nbib, RIS, CSV, EndNote, BibTeX, PubMed XML, lists "
        "of PMIDs, PMCIDs or DOIs; what they lack comes from PubMed where an e-mail address is given",
    )
    mindate: FirstDay | None = Field(None, description="earliest date of a record: 2020, 2020-05 or 2020-05-01")
    maxdate: LastDay | None = Field(
        None, description="latest date of a record, to the end of a year or month that is given without a day"
    )
    datetype: Literal["pdat", "edat", "mdat"] = Field(
        "pdat", description="the date that is meant: of publication, entry or modification"
    )
    publication_type: Names = Field(
        (), description="only records of this type, such as Review; may be given several times, as the next three"
    )
    mesh: Names = Field((), description="only records with this MeSH heading")
    journal: Names = Field((), description="only records of this journal: title, abbreviation, NLM ID or ISSN")
    language: Names = Field((), description="only records in this language: eng or English")
    sort: Literal["relevance", "pub_date"] = Field("relevance", description="order in which PubMed ranks")
    since_last_run: bool = Field(
        False, description="only records entered since the last finished run of the data set, with two days' overlap"
    )
    email: Address | None = Field(
        None, description="your address, sent to NCBI with every request, as it asks (default: $NCBI_EMAIL)"
    )

    @model_validator(mode="before")
    @classmethod
    def _kind_of_what_is_given(cls, values: Any) -> Any:
        """Who names a list, a folder or an address and no source does not mean the sample."""
        if not isinstance(values, Mapping) or values.get("kind") is not None:
            return values
        given = (kind for name, kind in _KIND_OF.items() if values.get(name) is not None)
        return {**values, "kind": next(given, "sample")}

    @model_validator(mode="after")
    def _complete(self) -> SourceConfig:
        for name, kinds in _USED_BY.items():
            if (given := getattr(self, name)) is not None and self.kind not in kinds:
                shown = given[0] if isinstance(given, tuple) else given
                raise ValueError(f"`{name} {shown}` is not used by source {self.kind}: leave one of them out")
        if self.kind == "medline" and self.medline_dir is None:
            raise ValueError("source medline needs `medline_dir`, the folder that holds the PubMed XML files")
        if self.kind == "pmids" and self.pmids_file is None:
            raise ValueError("source pmids needs `pmids_file`, a file of PMIDs")
        if self.kind == "files" and self.files is None:
            raise ValueError("source files needs `files`, such as an export of PubMed or EndNote")
        if self.sort != "relevance" and self.kind != "pubmed":
            raise ValueError(f"`sort {self.sort}` is done by PubMed itself; source {self.kind} has its own order")
        if self.mindate and self.maxdate and self.mindate > self.maxdate:
            raise ValueError(f"`mindate {self.mindate}` is later than `maxdate {self.maxdate}`")
        self.filters()
        return self

    def filters(self) -> RecordFilters:
        """What records must be like; raises ValueError."""
        return RecordFilters(**{kind: getattr(self, kind) for kind in KINDS})


class ModelConfig(Settings):
    """Which checkpoint, and where it runs."""

    name: PathOrName = Field(
        EMBEDDED,
        description="folder of a checkpoint, or hub name with an optional @revision, such as "
        "ktrapeznikov/biobert_v1.1_pubmed_squad_v2; embedded is the model that comes with the project",
    )
    casing: Casing | None = Field(None, description="what to do with capitals (default: as the checkpoint says)")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Precision = Field("auto", description=AUTO_PRECISION)
    engine: Engine = Field(
        "auto",
        description="runs the model; auto takes openvino for long jobs on a CPU, where it is installed, else torch",
    )


class RunConfig(Settings):
    """One run of the main job, resolved: it is stored in the manifest and in every Parquet file."""

    questions: UserPath = Field(description="file of questions: text, TSV, CSV or JSONL; - is standard input")
    long_questions: Literal["ask", "refuse"] = Field(
        "ask",
        description="questions too long for the model, which reads 64 tokens, some 45 words: ask their beginning, "
        "and say so, or refuse them",
    )
    out: Place = Field(
        description="the data set: a folder, or s3://bucket/prefix with AWS_ACCESS_KEY_ID and the like in the "
        "environment, which needs pip install 'bioqa[s3]'"
    )
    model: ModelConfig = Field(default_factory=ModelConfig)
    source: SourceConfig = Field(default_factory=SourceConfig)
    scoring: ScoringConfig = Field(default_factory=ScoringConfig)
    threshold: Threshold | None = Field(
        None,
        description="an abstract answers a question when its no-answer score (score_diff) is at most this: higher "
        "answers more, inf always (default: the checkpoint's own, else 0.0)",
    )
    max_answers: int = Field(10, ge=1, description="answers kept for a question after those of one meaning are merged")
    shard_pairs: Literal["auto"] | Annotated[int, Field(ge=1, lt=2**31)] = Field(
        "auto",
        description="pairs of question and abstract that are scored and saved together, a shard; auto: 256 on a CPU, "
        "4,096 on a GPU, more in runs of over a million pairs, fewer where workers would be idle",
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto",
        description="processes that score: a number, or auto: one on a CPU or a single GPU, two for each of several "
        "GPUs, which take turns; on a Ray cluster one for each GPU, or, without GPUs, one for each node",
    )
    wait_for_lock: bool = Field(True, description="wait for another run that writes the data set to end")
    runner: Runner = Field("local", description="where abstracts are read: on this machine, or on a Ray cluster")
    ray_address: str | None = Field(
        None,
        description="of a running Ray cluster: auto (the one that this machine belongs to), HOST:6379 or "
        "ray://HOST:10001 (default: one is started on this machine)",
    )
    public_url: str | None = Field(
        None, description="address at which people reach the folder of the data set, for links to it"
    )
    notify: Receivers = Field(
        (),
        max_length=8,
        description="whom to tell of new, changed and gone answers, where there are some: webhook:https://HOST/PATH, "
        "or block:TYPE/NAME, a notification block of Prefect",
    )

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, url: str | None) -> str | None:
        # It is written into the data set, so it is not repeated where it may hold a password or a signature.
        if url is not None and (any(mark in url for mark in "@?#\\") or not url.isprintable()):
            raise ValueError("give https://HOST/PATH, without a user, a password or a query")
        return url

    @model_validator(mode="after")
    def _workers_have_devices(self) -> RunConfig:
        if (self.workers not in {"auto", 1} or self.runner == "ray") and ":" in self.model.device:
            raise ValueError(
                f"`device {self.model.device}` is one GPU; several workers need `device cuda` or `device cpu`"
            )
        return self

    @model_validator(mode="after")
    def _ray_is_meant(self) -> RunConfig:
        if self.ray_address is None:
            return self
        if self.runner != "ray":
            raise ValueError(
                f"`ray_address {self.ray_address}` needs `runner ray`; `runner {self.runner}` does not use it"
            )
        if self.ray_address != "auto" and not _RAY_ADDRESS.fullmatch(self.ray_address):
            raise ValueError(f"`ray_address {self.ray_address}`: give auto, host:6379 or ray://host:10001")
        return self
