"""ModernBERT: rotary positions, attention to near tokens in most layers and to all in every third."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bioqa_pipeline.qa.model_files import FileValues
from bioqa_pipeline.qa.network_config import Activation, Mask, NetworkConfig, Shape
from bioqa_pipeline.qa.tokenizer_kinds import MODERN, TokenizerKind

Layer = Literal["full_attention", "sliding_attention"]


class Rotation(FileValues):
    """Of the positions of one kind of layers; only the plain one is built."""

    rope_theta: float = Field(gt=1, le=1e9, allow_inf_nan=False)
    rope_type: Literal["default"] = "default"


class ModernBertConfig(NetworkConfig):
    """What is taken of a ModernBERT's `config.json`; older files name layers and rotations in other keys."""

    tokenizer: ClassVar[TokenizerKind] = MODERN
    mask: ClassVar[Mask] = "local"
    head: ClassVar[str] = "classifier"
    has_segments: ClassVar[bool] = False
    dropout_is_set: ClassVar[bool] = False
    ignored_weights: ClassVar[tuple[str, ...]] = ("decoder.",)
    unused: ClassVar[frozenset[str]] = frozenset(
        {"type_vocab_size", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"}
    )

    model_type: Literal["modernbert"]
    max_position_embeddings: int = Field(8192, ge=1, le=65_536)
    hidden_act: Activation = Field("gelu", alias="hidden_activation")
    layer_norm_eps: float = Field(1e-5, gt=0, le=1e-2, allow_inf_nan=False, alias="norm_eps")
    pad_token_id: int | None = Field(50_283, ge=0)
    local_attention: int = Field(128, ge=2, le=65_536)
    global_attn_every_n_layers: int = Field(3, ge=1, le=128, exclude=True)
    layer_types: list[Layer] | None = None
    global_rope_theta: float = Field(160_000.0, gt=1, le=1e9, allow_inf_nan=False, exclude=True)
    local_rope_theta: float | None = Field(10_000.0, gt=1, le=1e9, allow_inf_nan=False, exclude=True)
    rope_parameters: dict[Layer, Rotation] | None = None
    rope_scaling: None = Field(None, exclude=True)
    classifier_activation: Activation = "gelu"
    norm_bias: Literal[False] = Field(False, exclude=True)
    attention_bias: Literal[False] = Field(False, exclude=True)
    mlp_bias: Literal[False] = Field(False, exclude=True)
    classifier_bias: Literal[False] = Field(False, exclude=True)

    @model_validator(mode="after")
    def _layers_are_as_many(self) -> Self:
        if self.layer_types is not None and len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(f"{len(self.layer_types)} layer_types, but num_hidden_layers {self.num_hidden_layers}")
        return self

    @property
    def encoder(self) -> str:
        return "model"

    def arguments(self) -> dict[str, Any]:
        local = self.local_rope_theta or self.global_rope_theta
        thetas: dict[Layer, float] = {"full_attention": self.global_rope_theta, "sliding_attention": local}
        thetas |= {layer: rotation.rope_theta for layer, rotation in (self.rope_parameters or {}).items()}
        every = self.global_attn_every_n_layers
        layers = self.layer_types or [
            "sliding_attention" if index % every else "full_attention" for index in range(self.num_hidden_layers)
        ]
        rotations = {layer: {"rope_type": "default", "rope_theta": theta} for layer, theta in thetas.items()}
        return super().arguments() | {"layer_types": layers, "rope_parameters": rotations}

    def weight_shapes(self) -> dict[str, Shape]:
        hidden = self.hidden_size
        own = {"head.dense.weight": (hidden, hidden), "head.norm.weight": (hidden,)}
        head = {"classifier.weight": (2, hidden), "classifier.bias": (2,)}
        return {f"model.{name}": shape for name, shape in self._encoder_shapes()} | own | head

    def _encoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        yield "embeddings.tok_embeddings.weight", (self.vocab_size, hidden)
        yield "embeddings.norm.weight", (hidden,)
        for index in range(self.num_hidden_layers):
            layer = f"layers.{index}"
            if index:
                yield f"{layer}.attn_norm.weight", (hidden,)
            yield f"{layer}.attn.Wqkv.weight", (3 * hidden, hidden)
            yield f"{layer}.attn.Wo.weight", (hidden, hidden)
            yield f"{layer}.mlp_norm.weight", (hidden,)
            yield f"{layer}.mlp.Wi.weight", (2 * inner, hidden)
            yield f"{layer}.mlp.Wo.weight", (hidden, inner)
        yield "final_norm.weight", (hidden,)
