"""A checkpoint folder or hub name into a checked extractive QA model: its files, settings, tokenizer and weights.

Safety and exactness come before convenience: a checkpoint may be anybody's, so every file is checked for what it
claims before anything is built from it (`model_files`, `network_config`, `weight_files`, `tokenizer_files`); no pickle
but torch's weights-only one and no remote code is ever run; a checkpoint without a QA head, with weights that do not
fit, or whose tokenizer would turn every capital into [UNK] is an error, never a random initialisation. Knows nothing
about devices and scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from bioqa_pipeline.config import Casing, WindowConfig
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.model_files import checked, file_digest, is_there, read_json_object
from bioqa_pipeline.qa.model_names import model_folder
from bioqa_pipeline.qa.network_config import CONFIG_FILE, NetworkConfig
from bioqa_pipeline.qa.network_kinds import check_padding, check_windows, network_config
from bioqa_pipeline.qa.tokenizer import TextTokenizer, make_tokenizer
from bioqa_pipeline.qa.tokenizer_files import TOKENIZER_FILES, TokenizerFiles, read_tokenizer_files
from bioqa_pipeline.qa.weight_files import WEIGHT_FILES, check_weights, find_weights, read_weights
from bioqa_pipeline.setting_values import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

SETTINGS_FILE = "bioqa.json"
# Windows that one token may stand in: a step of one token would make thousands of windows of every abstract.
MAX_OVERLAP = 32


class CheckpointSettings(Settings):
    """`bioqa.json` next to the weights: what was fitted on held-out data. All defaults for a checkpoint without one.

    Attributes:
        calibration: None where nobody fitted one; there are no probabilities then.
        note: for whoever opens the file.
    """

    schema_version: Literal[1] = 1
    score_diff_threshold: float = Field(0.0, ge=-1e6, le=1e6, allow_inf_nan=False)
    calibration: Calibration | None = None
    note: str | None = Field(None, max_length=1000)
    windows: WindowConfig = WindowConfig()

    @model_validator(mode="after")
    def _windows_move_on(self) -> Self:
        if self.windows.doc_stride * MAX_OVERLAP < self.windows.max_seq_length:
            raise ValueError(
                f"doc_stride {self.windows.doc_stride} puts each token into more than {MAX_OVERLAP} windows of "
                f"max_seq_length {self.windows.max_seq_length}; the usual step is a third of a window"
            )
        return self


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of a model folder but its weights."""

    network: NetworkConfig
    tokenizer: TokenizerFiles
    settings: CheckpointSettings


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose files were found, read and checked; the weights are not in memory yet.

    Attributes:
        name: as the user gave it, without the revision.
        revision: the hub's commit; for a folder the first 12 digits of `digest`.
        files: SHA-256 of every file that changes a score or its reading, by name.
        digest: over all of them.
    """

    name: str
    revision: str
    folder: Path
    weights: Path
    files: Mapping[str, str]
    digest: str
    configuration: Configuration

    @property
    def config(self) -> NetworkConfig:
        """The network."""
        return self.configuration.network

    @property
    def settings(self) -> CheckpointSettings:
        """What was fitted on held-out data."""
        return self.configuration.settings

    @property
    def casing(self) -> Casing:
        """What the tokenizer does with capitals."""
        return self.configuration.tokenizer.casing

    def tokenizer(self) -> TextTokenizer:
        """A new tokenizer; cheap enough to be made once a worker."""
        return make_tokenizer(self.configuration.tokenizer)

    def check_windows(self, windows: WindowConfig) -> None:
        """Raises CheckpointError where a window is longer than the network reaches."""
        check_windows(windows, self.config, self.folder / CONFIG_FILE)

    @property
    def description(self) -> str:
        """One line for people: architecture, size, casing."""
        c = self.config
        return (
            f"{self.name}@{self.revision[:12]} ({c.model_type}, {c.num_hidden_layers} layers, {c.hidden_size} hidden, "
            f"{self.casing})"
        )


def open_checkpoint(spec: str, *, casing: Casing | None = None) -> Checkpoint:
    """Finds and checks a checkpoint without loading its weights.

    Args:
        spec: a folder, a hub name with an optional `@revision` and `#sha256:` of its weights, or "embedded", the
            checkpoint of the project's own.
        casing: overrides what the checkpoint's tokenizer files say.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit the others; says which and what to do.
    """
    folder, name, commit = model_folder(spec, [CONFIG_FILE, *TOKENIZER_FILES, SETTINGS_FILE], WEIGHT_FILES)
    configuration = read_configuration(folder, casing)
    weights = find_weights(folder)
    check_weights(weights, configuration.network)
    paths = [folder / CONFIG_FILE, weights, *(folder / n for n in (*configuration.tokenizer.kind.files, SETTINGS_FILE))]
    files = {path.name: file_digest(path) for path in paths if is_there(path)}
    digest = _digest(files, casing)
    return Checkpoint(
        name=name,
        revision=commit or digest[:12],
        folder=folder,
        weights=weights,
        files=files,
        digest=digest,
        configuration=configuration,
    )


def read_configuration(folder: Path, casing: Casing | None = None) -> Configuration:
    """All of a model folder but its weights, checked; needs neither torch nor transformers.

    Raises:
        CheckpointError: see `open_checkpoint`.
    """
    network = network_config(read_json_object(folder / CONFIG_FILE), folder / CONFIG_FILE)
    path = folder / SETTINGS_FILE
    settings = CheckpointSettings()
    if is_there(path):
        settings = checked(partial(CheckpointSettings.model_validate, strict=True), read_json_object(path), path)
        check_windows(settings.windows, network, folder / CONFIG_FILE)
    tokenizer = read_tokenizer_files(folder, casing, rows=network.vocab_size, kind=network.tokenizer)
    check_padding(network, tokenizer, folder / CONFIG_FILE)
    return Configuration(network, tokenizer, settings)


def load_model(checkpoint: Checkpoint) -> PreTrainedModel:
    """The network in fp32 on the CPU, in evaluation mode, every weight taken from the checkpoint.

    Raises:
        CheckpointError: a weight is missing, left over, of another shape or not finite.
    """
    import torch
    from transformers import AutoModelForQuestionAnswering

    weights = read_weights(checkpoint.weights, checkpoint.config)
    missing = sorted(checkpoint.config.weight_shapes().keys() - weights.state.keys())
    if missing:
        head = [k for k in missing if k.startswith(f"{checkpoint.config.head}.")]
        what = "no question-answering head" if head else "incomplete weights"
        missing = head or missing
        raise CheckpointError(
            f"{checkpoint.weights}: {what}: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''} not found; "
            "give a checkpoint that was fine-tuned for extractive question answering"
        )
    if weights.unknown:
        raise CheckpointError(
            f"{checkpoint.weights}: weights that a {checkpoint.config.model_type} model does not have: "
            f"{', '.join(name[:80] for name in weights.unknown[:5])}"
        )
    with torch.random.fork_rng(devices=[]):
        model: Any = AutoModelForQuestionAnswering.from_config(  # type: ignore[no-untyped-call]
            transformers_config(checkpoint.config), trust_remote_code=False, dtype=torch.float32
        )
    model.load_state_dict(weights.state)
    network: PreTrainedModel = model.eval()
    return network


def transformers_config(network: NetworkConfig, **changes: Any) -> PreTrainedConfig:
    """transformers' own configuration of this network, which names nothing that its file may name besides.

    Args:
        changes: what is to be other than the file says.
    """
    from transformers import AutoConfig

    arguments = {"attn_implementation": network.attention, "num_labels": 2, **network.arguments(), **changes}
    return AutoConfig.for_model(**arguments)


def _digest(files: Mapping[str, str], casing: Casing | None) -> str:
    digest = hashlib.sha256(f"casing={casing}".encode())
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + bytes.fromhex(content))
    return digest.hexdigest()
