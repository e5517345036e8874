"""`config.json` into the network of its family, checked before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.model_files import checked, shortened
from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.qa.tokenizer_files import TokenizerFiles
from bioqa_pipeline.qa.tokenizer_kinds import ROBERTA, TokenizerKind


class RobertaConfig(NetworkConfig):
    """BERT without segments, over bytes; positions are counted from behind the padding id."""

    tokenizer: ClassVar[TokenizerKind] = ROBERTA
    takes_segments: ClassVar[bool] = False
    counts_padding: ClassVar[bool] = True
    is_trained_here: ClassVar[bool] = False
    ignored_weights: ClassVar[tuple[str, ...]] = ("roberta.pooler.", "lm_head.")

    model_type: Literal["roberta"]
    # The one segment of its embeddings is added to every token.
    type_vocab_size: int = Field(2, ge=1, le=256)
    pad_token_id: int = Field(1, ge=0)

    @property
    def longest_window(self) -> int:
        return self.max_position_embeddings - self.padding - 1


FAMILIES: Mapping[str, type[NetworkConfig]] = {
    "bert": NetworkConfig,
    "electra": NetworkConfig,
    "mpnet": NetworkConfig,
    "roberta": RobertaConfig,
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
