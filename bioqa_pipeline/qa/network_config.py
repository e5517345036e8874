"""What a network is built from: the few numbers that are taken from a `config.json`, and the shapes of its weights.

Nothing else of the file reaches transformers: no code, no attention kernel, no quantisation that somebody's file names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bioqa_pipeline.qa.model_files import FileValues
from bioqa_pipeline.qa.tokenizer_kinds import WORD_PIECE, TokenizerKind

CONFIG_FILE = "config.json"
# The largest encoder of these kinds that people use has 335 million (BERT and ELECTRA large).
MAX_PARAMETERS = 2_000_000_000

Activation = Literal["gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "relu", "silu", "swish"]
Mask = Literal["pairs", "tokens", "local"]
Shape = tuple[int, ...]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class NetworkConfig(FileValues):
    """What is taken from a `config.json`; the names are those of transformers, and so are the defaults.

    The five sizes have no default: of a file that lacks one nobody knows what network it means. This is BERT; a
    subclass is another family.

    Attributes:
        attention: transformers' name of the attention: the fused one, or the plain one for a kind that has no other.
        tokenizer: how its texts become tokens and its windows are framed.
        mask: what the network takes for the mask of a batch, so that none is left out for a batch without padding: one
            that its attention uses as it is; the tokens themselves; or one for each of its two kinds of layers.
        head: what the layer is called that makes logits.
        counts_padding: whether positions are counted over the tokens that are not its padding.
        skips_padding: whether positions are counted from behind the id of its padding.
        has_segments: whether it can be told which tokens are the passage's.
        dropout_is_set: whether its dropout is one of the numbers that are taken.
        ignored_weights: beginnings of the names of weights that question answering does not use.
        unused: values that transformers is not told of.
        attention_maps, attention_norm: names of a layer's weights.
    """

    tokenizer: ClassVar[TokenizerKind] = WORD_PIECE
    attention: ClassVar[str] = "sdpa"
    mask: ClassVar[Mask] = "pairs"
    head: ClassVar[str] = "qa_outputs"
    counts_padding: ClassVar[bool] = False
    skips_padding: ClassVar[bool] = False
    has_segments: ClassVar[bool] = True
    dropout_is_set: ClassVar[bool] = True
    ignored_weights: ClassVar[tuple[str, ...]] = ()
    unused: ClassVar[frozenset[str]] = frozenset()
    attention_maps: ClassVar[tuple[str, ...]] = ("self.query", "self.key", "self.value", "output.dense")
    attention_norm: ClassVar[str] = "output.LayerNorm"

    model_type: str
    vocab_size: int = Field(ge=4, le=1 << 20)
    hidden_size: int = Field(ge=1, le=16_384)
    num_hidden_layers: int = Field(ge=1, le=128)
    num_attention_heads: int = Field(ge=1, le=256)
    intermediate_size: int = Field(ge=1, le=65_536)
    max_position_embeddings: int = Field(512, ge=1, le=65_536)
    type_vocab_size: int = Field(2, ge=2, le=256)
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    layer_norm_eps: float = Field(1e-12, gt=0, le=1e-2, allow_inf_nan=False)
    initializer_range: float = Field(0.02, ge=0, le=10, allow_inf_nan=False)
    pad_token_id: int | None = Field(0, ge=0)
    position_embedding_type: Literal["absolute"] = Field("absolute", exclude=True)
    is_decoder: Literal[False] = Field(False, exclude=True)
    add_cross_attention: Literal[False] = Field(False, exclude=True)
    # How the weights are kept, which their file says better; one that is not a kind of float is told from the start.
    dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = Field(None, exclude=True)
    torch_dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = Field(None, exclude=True)

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
        return self.max_position_embeddings - (self.padding + 1 if self.skips_padding else 0)

    @property
    def takes_segments(self) -> bool:
        """Whether it is told which tokens are the passage's."""
        return self.has_segments and self.type_vocab_size > 0

    @property
    def packs(self) -> bool:
        """Whether windows may stand one behind the other: attention needs to know no more than where each begins."""
        return self.mask == "pairs" and self.attention == "sdpa"

    @property
    def encoder(self) -> str:
        """What the names of the encoder's weights begin with."""
        return self.model_type

    def arguments(self) -> dict[str, Any]:
        """What transformers builds this network from."""
        return self.model_dump(by_alias=True, exclude={*self.unused})

    def weight_shapes(self) -> dict[str, Shape]:
        """Name and shape of every weight of the network, its question-answering head included."""
        hidden = self.hidden_size
        shapes = {f"{self.encoder}.{name}": shape for name, shape in self._encoder_shapes()}
        return shapes | {"qa_outputs.weight": (2, hidden), "qa_outputs.bias": (2,)}

    def _encoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        hidden = self.hidden_size
        yield from self._embeddings()
        for index in range(self.num_hidden_layers):
            layer = f"encoder.layer.{index}"
            for name in self.attention_maps:
                yield from linear(f"{layer}.attention.{name}", hidden, hidden)
            yield from norm(f"{layer}.attention.{self.attention_norm}", hidden)
            yield from linear(f"{layer}.intermediate.dense", self.intermediate_size, hidden)
            yield from linear(f"{layer}.output.dense", hidden, self.intermediate_size)
            yield from norm(f"{layer}.output.LayerNorm", hidden)

    def _embeddings(self, width: int = 0) -> Iterator[tuple[str, Shape]]:
        width = width or self.hidden_size
        yield "embeddings.word_embeddings.weight", (self.vocab_size, width)
        yield "embeddings.position_embeddings.weight", (self.max_position_embeddings, width)
        if self.type_vocab_size and "type_vocab_size" not in self.unused:
            yield "embeddings.token_type_embeddings.weight", (self.type_vocab_size, width)
        yield from norm("embeddings.LayerNorm", width)


def linear(name: str, n_out: int, n_in: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (n_out, n_in)
    yield f"{name}.bias", (n_out,)


def norm(name: str, size: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)
