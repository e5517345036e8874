"""`config.json` into the few numbers that a network is built from, checked before anything is built.

Nothing else of the file reaches transformers: no code, no attention kernel, no quantisation that somebody's file names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.model_files import checked, shortened

CONFIG_FILE = "config.json"
ARCHITECTURES = ("bert", "electra", "mpnet")
# The largest encoder of these kinds that people use has 335 million (BERT and ELECTRA large).
MAX_PARAMETERS = 2_000_000_000

Activation = Literal["gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "relu", "silu", "swish"]
Shape = tuple[int, ...]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class NetworkConfig(BaseModel):
    """What is taken from a `config.json`; the names are those of transformers, and so are the defaults.

    The five sizes have no default: of a file that lacks one nobody knows what network it means.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)

    model_type: Literal["bert", "electra", "mpnet"]
    vocab_size: int = Field(ge=4, le=1 << 20)
    hidden_size: int = Field(ge=1, le=16_384)
    num_hidden_layers: int = Field(ge=1, le=128)
    num_attention_heads: int = Field(ge=1, le=256)
    intermediate_size: int = Field(ge=1, le=65_536)
    max_position_embeddings: int = Field(512, ge=1, le=65_536)
    type_vocab_size: int = Field(2, ge=2, le=256)
    embedding_size: int = Field(128, ge=1, le=16_384)
    relative_attention_num_buckets: int = Field(32, ge=2, le=1024)
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    layer_norm_eps: float = Field(1e-12, gt=0, le=1e-2, allow_inf_nan=False)
    initializer_range: float = Field(0.02, ge=0, le=10, allow_inf_nan=False)
    pad_token_id: int | None = Field(0, ge=0)
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    add_cross_attention: Literal[False] = False
    # How the weights are kept, which their file says better; one that is not a kind of float is told from the start.
    dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = None
    torch_dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} does not divide hidden_size {self.hidden_size}"
            )
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id {self.pad_token_id} lies outside vocab_size {self.vocab_size}")
        if self.n_parameters > MAX_PARAMETERS:
            raise ValueError(f"a network of {self.n_parameters:,} weights; at most {MAX_PARAMETERS:,} are loaded")
        return self

    @property
    def n_parameters(self) -> int:
        """Numbers in all weights."""
        return sum(map(math.prod, self.weight_shapes().values()))

    @property
    def padding(self) -> int:
        """The id that fills a batch."""
        return self.pad_token_id or 0

    @property
    def longest_window(self) -> int:
        """Tokens that the position embeddings reach."""
        # MPNet counts positions from behind its padding id.
        return self.max_position_embeddings - (self.padding + 1 if self.model_type == "mpnet" else 0)

    def arguments(self) -> dict[str, Any]:
        """What transformers builds this network from."""
        unused = {"dtype", "torch_dtype", "position_embedding_type"}
        if self.model_type != "electra":
            unused |= {"embedding_size"}
        unused |= (
            {"type_vocab_size", "is_decoder", "add_cross_attention"}
            if self.model_type == "mpnet"
            else {"relative_attention_num_buckets"}
        )
        return self.model_dump(exclude=unused)

    def weight_shapes(self) -> dict[str, Shape]:
        """Name and shape of every weight of the network, its question-answering head included."""
        hidden = self.hidden_size
        shapes = {f"{self.model_type}.{name}": shape for name, shape in self._encoder_shapes()}
        return shapes | {"qa_outputs.weight": (2, hidden), "qa_outputs.bias": (2,)}

    def _encoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        hidden, is_mpnet = self.hidden_size, self.model_type == "mpnet"
        width = self.embedding_size if self.model_type == "electra" else hidden
        yield "embeddings.word_embeddings.weight", (self.vocab_size, width)
        yield "embeddings.position_embeddings.weight", (self.max_position_embeddings, width)
        if is_mpnet:
            yield (
                "encoder.relative_attention_bias.weight",
                (
                    self.relative_attention_num_buckets,
                    self.num_attention_heads,
                ),
            )
        else:
            yield "embeddings.token_type_embeddings.weight", (self.type_vocab_size, width)
        yield from _norm("embeddings.LayerNorm", width)
        if width != hidden:
            yield from _linear("embeddings_project", hidden, width)
        attention = (
            [f"attention.attn.{name}" for name in "qkvo"]
            if is_mpnet
            else [
                *(f"attention.self.{name}" for name in ("query", "key", "value")),
                "attention.output.dense",
            ]
        )
        for index in range(self.num_hidden_layers):
            layer = f"encoder.layer.{index}"
            for name in attention:
                yield from _linear(f"{layer}.{name}", hidden, hidden)
            yield from _norm(f"{layer}.attention.{'' if is_mpnet else 'output.'}LayerNorm", hidden)
            yield from _linear(f"{layer}.intermediate.dense", self.intermediate_size, hidden)
            yield from _linear(f"{layer}.output.dense", hidden, self.intermediate_size)
            yield from _norm(f"{layer}.output.LayerNorm", hidden)


def _linear(name: str, n_out: int, n_in: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (n_out, n_in)
    yield f"{name}.bias", (n_out,)


def _norm(name: str, size: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)


def network_config(values: Mapping[str, Any], path: Path) -> NetworkConfig:
    """The network that the content of a `config.json` means.

    Args:
        path: what an error names.

    Raises:
        CheckpointError: another kind of model, or a value that no network of ours can have.
    """
    kind = values.get("model_type")
    if kind not in ARCHITECTURES:
        raise CheckpointError(
            f"{path}: model_type {shortened(kind)} is not a BERT-type encoder ({', '.join(ARCHITECTURES)}): windows "
            "here are [CLS] question [SEP] passage [SEP] with segment ids; give a checkpoint of that kind"
        )
    if kind == "mpnet" and values.get("pad_token_id") != 0:
        raise CheckpointError(
            f"{path}: an MPNet model with its own vocabulary, whose windows are <s> question </s></s> passage </s>; "
            "fine-tune it by a recipe that gives it a BERT vocabulary"
        )
    for name, what in (("quantization_config", "quantised"), ("pruned_heads", "pruned")):
        if values.get(name):
            raise CheckpointError(f"{path}: {name} is set; {what} models are not loaded, give the one it was made from")
    plain = {k: v.removeprefix("torch.") for k in ("dtype", "torch_dtype") if isinstance(v := values.get(k), str)}
    return checked(NetworkConfig.model_validate, {**values, **plain}, path)


def check_windows(windows: WindowConfig, network: NetworkConfig, path: Path) -> None:
    """Raises CheckpointError where a window is longer than the position embeddings of the model in `path` reach."""
    if windows.max_seq_length > network.longest_window:
        raise CheckpointError(
            f"{path}: max_position_embeddings {network.max_position_embeddings} are too few for windows of "
            f"max_seq_length {windows.max_seq_length}; say shorter ones under `windows` in the checkpoint's bioqa.json"
        )
