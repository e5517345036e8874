"""`config.json` into the network of its family, checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.model_files import checked, shortened
from bioqa_pipeline.qa.network_config import Activation, Mask, NetworkConfig, Shape, Share, linear, norm
from bioqa_pipeline.qa.network_modern import ModernBertConfig
from bioqa_pipeline.qa.tokenizer_files import TokenizerFiles
from bioqa_pipeline.qa.tokenizer_kinds import ALBERT, DEBERTA, ROBERTA, TokenizerKind


class ElectraConfig(NetworkConfig):
    """BERT whose embeddings may be narrower than its layers."""

    embedding_size: int = Field(128, ge=1, le=16_384)

    def _embeddings(self, width: int = 0) -> Iterator[tuple[str, Shape]]:
        yield from super()._embeddings(self.embedding_size)
        if self.embedding_size != self.hidden_size:
            yield from linear("embeddings_project", self.hidden_size, self.embedding_size)


class MpnetConfig(NetworkConfig):
    """BERT without segments, which also sees how far apart tokens stand, if roughly."""

    attention: ClassVar[str] = "eager"
    skips_padding: ClassVar[bool] = True
    unused: ClassVar[frozenset[str]] = frozenset({"type_vocab_size"})
    attention_maps: ClassVar[tuple[str, ...]] = ("attn.q", "attn.k", "attn.v", "attn.o")
    attention_norm: ClassVar[str] = "LayerNorm"

    relative_attention_num_buckets: int = Field(32, ge=2, le=1024)

    def _embeddings(self, width: int = 0) -> Iterator[tuple[str, Shape]]:
        yield from super()._embeddings(width)
        shape = (self.relative_attention_num_buckets, self.num_attention_heads)
        yield "encoder.relative_attention_bias.weight", shape


class RobertaConfig(NetworkConfig):
    """BERT without segments, over bytes; positions are counted from behind the padding id."""

    tokenizer: ClassVar[TokenizerKind] = ROBERTA
    counts_padding: ClassVar[bool] = True
    skips_padding: ClassVar[bool] = True
    has_segments: ClassVar[bool] = False
    ignored_weights: ClassVar[tuple[str, ...]] = ("roberta.pooler.", "lm_head.")

    model_type: Literal["roberta"]
    # The one segment of its embeddings is added to every token.
    type_vocab_size: int = Field(2, ge=1, le=256)
    pad_token_id: int = Field(1, ge=0)


class DistilBertConfig(NetworkConfig):
    """BERT without segments, with half its layers; its sizes have names of their own."""

    has_segments: ClassVar[bool] = False
    ignored_weights: ClassVar[tuple[str, ...]] = ("vocab_transform.", "vocab_layer_norm.", "vocab_projector.")
    unused: ClassVar[frozenset[str]] = frozenset({"type_vocab_size", "layer_norm_eps"})

    model_type: Literal["distilbert"]
    hidden_size: int = Field(ge=1, le=16_384, alias="dim")
    num_hidden_layers: int = Field(ge=1, le=128, alias="n_layers")
    num_attention_heads: int = Field(ge=1, le=256, alias="n_heads")
    intermediate_size: int = Field(ge=1, le=65_536, alias="hidden_dim")
    hidden_act: Activation = Field("gelu", alias="activation")
    hidden_dropout_prob: Share = Field(0.1, alias="dropout")
    attention_probs_dropout_prob: Share = Field(0.1, alias="attention_dropout")

    def _encoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        yield from self._embeddings()
        for index in range(self.num_hidden_layers):
            layer = f"transformer.layer.{index}"
            for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
                yield from linear(f"{layer}.attention.{name}", hidden, hidden)
            yield from norm(f"{layer}.sa_layer_norm", hidden)
            yield from linear(f"{layer}.ffn.lin1", inner, hidden)
            yield from linear(f"{layer}.ffn.lin2", hidden, inner)
            yield from norm(f"{layer}.output_layer_norm", hidden)


class DebertaConfig(NetworkConfig):
    """DeBERTa of the second and third version: attention between what tokens are and how far apart they stand."""

    tokenizer: ClassVar[TokenizerKind] = DEBERTA
    attention: ClassVar[str] = "eager"
    mask: ClassVar[Mask] = "tokens"
    ignored_weights: ClassVar[tuple[str, ...]] = ("deberta.pooler.", "lm_predictions.", "mask_predictions.", "lm_head.")

    model_type: Literal["deberta-v2"]
    type_vocab_size: int = Field(0, ge=0, le=256)
    layer_norm_eps: float = Field(1e-7, gt=0, le=1e-2, allow_inf_nan=False)
    embedding_size: int | None = Field(None, ge=1, le=16_384)
    relative_attention: bool = False
    max_relative_positions: int = Field(-1, ge=-1, le=65_536)
    position_buckets: int = Field(-1, ge=-1, le=65_536)
    pos_att_type: list[Literal["c2p", "p2c"]] | None = None
    share_att_key: bool = False
    norm_rel_ebd: Literal["none", "layer_norm"] = "none"
    position_biased_input: bool = True
    # Those of the second version with a convolution are too large to answer here.
    conv_kernel_size: Literal[0] = Field(0, exclude=True)

    @field_validator("pos_att_type", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.lower().split("|")] if isinstance(value, str) else value

    @property
    def encoder(self) -> str:
        return "deberta"

    def arguments(self) -> dict[str, Any]:
        values = super().arguments()
        return values if self.embedding_size else {k: v for k, v in values.items() if k != "embedding_size"}

    def _encoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        hidden = self.hidden_size
        width = self.embedding_size or hidden
        yield "embeddings.word_embeddings.weight", (self.vocab_size, width)
        if self.position_biased_input:
            yield "embeddings.position_embeddings.weight", (self.max_position_embeddings, width)
        if self.type_vocab_size:
            yield "embeddings.token_type_embeddings.weight", (self.type_vocab_size, width)
        if width != hidden:
            yield "embeddings.embed_proj.weight", (hidden, width)
        yield from norm("embeddings.LayerNorm", hidden)
        for index in range(self.num_hidden_layers):
            layer = f"encoder.layer.{index}"
            for name in (*("query_proj", "key_proj", "value_proj"), *self._position_projections()):
                yield from linear(f"{layer}.attention.self.{name}", hidden, hidden)
            yield from linear(f"{layer}.attention.output.dense", hidden, hidden)
            yield from norm(f"{layer}.attention.output.LayerNorm", hidden)
            yield from linear(f"{layer}.intermediate.dense", self.intermediate_size, hidden)
            yield from linear(f"{layer}.output.dense", hidden, self.intermediate_size)
            yield from norm(f"{layer}.output.LayerNorm", hidden)
        if self.relative_attention:
            reach = self.max_relative_positions if self.max_relative_positions > 0 else self.max_position_embeddings
            rows = 2 * (self.position_buckets if self.position_buckets > 0 else reach)
            yield "encoder.rel_embeddings.weight", (rows, hidden)
        if self.norm_rel_ebd == "layer_norm":
            yield from norm("encoder.LayerNorm", hidden)

    def _position_projections(self) -> Iterator[str]:
        if self.relative_attention and not self.share_att_key:
            names = {"c2p": "pos_key_proj", "p2c": "pos_query_proj"}
            yield from (names[kind] for kind in dict.fromkeys(self.pos_att_type or ()))


class AlbertConfig(NetworkConfig):
    """BERT whose layers share their weights."""

    tokenizer: ClassVar[TokenizerKind] = ALBERT
    ignored_weights: ClassVar[tuple[str, ...]] = ("albert.pooler.", "predictions.", "sop_classifier.")

    model_type: Literal["albert"]
    embedding_size: int = Field(128, ge=1, le=16_384)
    num_hidden_groups: int = Field(1, ge=1, le=128)
    inner_group_num: int = Field(1, ge=1, le=16)
    hidden_act: Activation = "gelu_new"

    @model_validator(mode="after")
    def _groups_divide_the_layers(self) -> Self:
        if self.num_hidden_layers % self.num_hidden_groups:
            raise ValueError(
                f"num_hidden_groups {self.num_hidden_groups} do not divide num_hidden_layers {self.num_hidden_layers}"
            )
        return self

    def _encoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        hidden, width = self.hidden_size, self.embedding_size
        yield from self._embeddings(width)
        yield from linear("encoder.embedding_hidden_mapping_in", hidden, width)
        for group in range(self.num_hidden_groups):
            for index in range(self.inner_group_num):
                layer = f"encoder.albert_layer_groups.{group}.albert_layers.{index}"
                yield from norm(f"{layer}.full_layer_layer_norm", hidden)
                for name in ("query", "key", "value", "dense"):
                    yield from linear(f"{layer}.attention.{name}", hidden, hidden)
                yield from norm(f"{layer}.attention.LayerNorm", hidden)
                yield from linear(f"{layer}.ffn", self.intermediate_size, hidden)
                yield from linear(f"{layer}.ffn_output", hidden, self.intermediate_size)


FAMILIES: Mapping[str, type[NetworkConfig]] = {
    "bert": NetworkConfig,
    "electra": ElectraConfig,
    "mpnet": MpnetConfig,
    "roberta": RobertaConfig,
    "distilbert": DistilBertConfig,
    "deberta-v2": DebertaConfig,
    "albert": AlbertConfig,
    "modernbert": ModernBertConfig,
}


def network_config(values: Mapping[str, Any], path: Path) -> NetworkConfig:
    """The network that the content of a `config.json` means.

    Args:
        path: what an error names.

    Raises:
        CheckpointError: another kind of model, or a value that no network of ours can have.
    """
    kind = values.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise CheckpointError(
            f"{path}: model_type {shortened(kind)} is not a BERT-type encoder that loads here ({', '.join(FAMILIES)}); "
            "give a checkpoint of one of these kinds"
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
    return checked(family.model_validate, {**values, **plain}, path)


def check_padding(network: NetworkConfig, files: TokenizerFiles, path: Path) -> None:
    """Raises CheckpointError where a network that counts positions by its padding has another than its vocabulary."""
    if network.counts_padding and network.padding != files.special.pad:
        raise CheckpointError(
            f"{path}: pad_token_id {network.padding}, but {files.kind.pad} has id {files.special.pad} in "
            f"{files.source}: tokenizer and weights belong to different models"
        )


def check_windows(windows: WindowConfig, network: NetworkConfig, path: Path) -> None:
    """Raises CheckpointError where windows are longer than the positions of the model in `path`, or leave gaps."""
    if windows.max_seq_length > network.longest_window:
        raise CheckpointError(
            f"{path}: max_position_embeddings {network.max_position_embeddings} are too few for windows of "
            f"max_seq_length {windows.max_seq_length}; say shorter ones under `windows` in the checkpoint's bioqa.json"
        )
    capacity = windows.max_seq_length - windows.max_query_length - network.tokenizer.n_frame
    if capacity < windows.doc_stride:
        raise CheckpointError(
            f"{path}: doc_stride {windows.doc_stride} leaves gaps: a window of {network.tokenizer.owner} holds only "
            f"{capacity} passage tokens behind a question of {windows.max_query_length}; say a shorter step under "
            "`windows` in the checkpoint's bioqa.json"
        )
