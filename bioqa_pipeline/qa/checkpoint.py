"""A checkpoint folder or hub name into a checked extractive QA model: its files, settings, tokenizer and weights.

Safety and exactness come before convenience: weights are read from safetensors, or from a `.bin` through torch's
weights-only loading; no other pickle and no remote code is ever run; a checkpoint without a QA head, with weights that
do not fit, or whose tokenizer would turn every capital into [UNK] is an error, never a random initialisation. Knows
nothing about windows, devices or scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from bioqa_pipeline.config import EMBEDDED, Casing, Settings, WindowConfig
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.paths import EMBEDDED_MODEL
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.tokenizer import TOKENIZER_FILES, TextTokenizer, read_json_object, read_tokenizer, special_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SETTINGS_FILE = "bioqa.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# A vocabulary may be padded to a multiple of 128 rows for speed; more rows than that belong to another vocabulary.
VOCABULARY_PADDING = 128
# Weights of the pre-training heads, which question answering does not use.
IGNORED_WEIGHTS = (
    "bert.pooler.",
    "electra.pooler.",
    "cls.",
    "discriminator_predictions.",
    "generator_",
)
IGNORED_BUFFERS = (".position_ids", ".token_type_ids")


class CheckpointSettings(Settings):
    """`bioqa.json` next to the weights: what was fitted on held-out data. All defaults for a checkpoint without one."""

    schema_version: Literal[1] = 1
    score_diff_threshold: float = 0.0
    calibration: Calibration = Calibration()
    windows: WindowConfig = WindowConfig()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose files were found, read and checked; the weights are not in memory yet.

    Attributes:
        name: as the user gave it, without the revision.
        revision: the hub's commit; for a folder the first 12 digits of `digest`.
        digest: SHA-256 over every file that changes a score or its reading.
        casing: what the tokenizer does with capitals.
    """

    name: str
    revision: str
    folder: Path
    weights: Path
    digest: str
    casing: Casing
    config: Mapping[str, Any]
    settings: CheckpointSettings

    def tokenizer(self) -> TextTokenizer:
        """A new tokenizer; cheap enough to be made once a worker."""
        backend, _ = read_tokenizer(self.folder, self.casing)
        return TextTokenizer(backend, special_ids(backend, self.folder))

    @property
    def description(self) -> str:
        """One line for people: architecture, size, casing."""
        c = self.config
        return (
            f"{self.name}@{self.revision[:12]} ({c.get('model_type')}, {c.get('num_hidden_layers')} layers, "
            f"{c.get('hidden_size')} hidden, {self.casing})"
        )


def open_checkpoint(spec: str, *, casing: Casing | None = None) -> Checkpoint:
    """Finds and checks a checkpoint without loading its weights.

    Args:
        spec: a folder, a hub name with an optional `@revision`, or "embedded", the checkpoint of the project's own.
        casing: overrides what the checkpoint's tokenizer files say.

    Raises:
        CheckpointError: a file is missing or does not fit the others; says which and what to do.
    """
    folder, name, commit = _resolve(spec)
    config = read_json_object(folder / "config.json")
    _check_architecture(config, folder)
    weights = _find_weights(folder)
    backend, found_casing = read_tokenizer(folder, casing)
    special_ids(backend, folder)
    size = backend.get_vocab_size(with_added_tokens=True)
    rows = int(config.get("vocab_size", 0))
    if not size <= rows < size + VOCABULARY_PADDING:
        raise CheckpointError(
            f"{folder}: the vocabulary has {size} entries but config.json says vocab_size {rows}: "
            "tokenizer and weights belong to different models"
        )
    digest = _digest(
        [folder / "config.json", weights, *(folder / f for f in (*TOKENIZER_FILES, SETTINGS_FILE))], casing
    )
    return Checkpoint(
        name=name,
        revision=commit or digest[:12],
        folder=folder,
        weights=weights,
        digest=digest,
        casing=found_casing,
        config=config,
        settings=_read_settings(folder),
    )


def load_model(checkpoint: Checkpoint) -> PreTrainedModel:
    """The network in fp32 on the CPU, in evaluation mode, every weight taken from the checkpoint.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape.
    """
    import torch
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    settings = {k: v for k, v in checkpoint.config.items() if k not in {"auto_map", "torch_dtype", "dtype"}}
    config = AutoConfig.for_model(**settings)
    with torch.random.fork_rng(devices=[]):
        model: Any = AutoModelForQuestionAnswering.from_config(  # type: ignore[no-untyped-call]
            config, trust_remote_code=False, attn_implementation=attention_kernel(settings), dtype=torch.float32
        )
    state = {_modern_name(k): v.float() for k, v in _read_weights(checkpoint.weights).items()}
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    if missing:
        head = [k for k in missing if k.startswith("qa_outputs.")]
        what = "no question-answering head" if head else "incomplete weights"
        missing = head or missing
        raise CheckpointError(
            f"{checkpoint.weights}: {what}: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''} not found; "
            "give a checkpoint that was fine-tuned for extractive question answering"
        )
    wrong = [k for k, v in wanted.items() if state[k].shape != v.shape]
    if wrong:
        k = wrong[0]
        raise CheckpointError(
            f"{checkpoint.weights}: {k} has shape {tuple(state[k].shape)}, but config.json asks for "
            f"{tuple(wanted[k].shape)}"
        )
    extra = [k for k in state.keys() - wanted.keys() if not _is_ignored(k)]
    if extra:
        raise CheckpointError(
            f"{checkpoint.weights}: weights that a {checkpoint.config['model_type']} model does not have: "
            f"{', '.join(sorted(extra)[:5])}"
        )
    model.load_state_dict({k: state[k] for k in wanted})
    network: PreTrainedModel = model.eval()
    return network


def attention_kernel(config: Mapping[str, Any]) -> str:
    """transformers' name of the fused attention, or of the plain one for an architecture that has no other."""
    return "eager" if config.get("model_type") == "mpnet" else "sdpa"


def _resolve(spec: str) -> tuple[Path, str, str | None]:
    """Folder, name and hub commit (None for a folder)."""
    if spec == EMBEDDED:
        return EMBEDDED_MODEL, spec, None
    path = Path(spec).expanduser()
    if path.is_dir():
        return path, spec, None
    if path.is_file():
        raise CheckpointError(f"{spec} is a file; give the folder that holds config.json and the weights")
    name, _, revision = spec.partition("@")
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(f"no such folder: {spec}")
    folder = _download(name, revision or None)
    return folder, name, folder.name


def _download(name: str, revision: str | None) -> Path:
    """The hub's snapshot folder, which is named after the commit. Only the files that are read are fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def snapshot(patterns: list[str]) -> Path:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))

    try:
        folder = snapshot(["config.json", *TOKENIZER_FILES, SETTINGS_FILE, WEIGHT_FILES[0]])
        if not (folder / WEIGHT_FILES[0]).exists():
            folder = snapshot([WEIGHT_FILES[1]])
    except HFValidationError as exc:
        raise CheckpointError(f"no such folder, and not a hub name either: {name}") from exc
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as exc:
        raise CheckpointError(
            f"cannot get {name}{'@' + revision if revision else ''} from the model hub ({type(exc).__name__}: "
            f"{str(exc).splitlines()[0]}); check name, revision and network, or give a local folder"
        ) from exc
    return folder


def _check_architecture(config: Mapping[str, Any], folder: Path) -> None:
    kind = config.get("model_type")
    if kind not in {"bert", "electra", "mpnet"}:
        raise CheckpointError(
            f"{folder / 'config.json'}: model_type {kind!r} is not a BERT-type encoder "
            "(bert, electra): windows here are [CLS] question [SEP] passage [SEP] with segment ids"
        )
    if kind == "mpnet" and config.get("pad_token_id") != 0:
        raise CheckpointError(
            f"{folder / 'config.json'}: an MPNet model with its own vocabulary, whose windows are <s> question "
            "</s></s> passage </s>; fine-tune it by a recipe that gives it a BERT vocabulary"
        )


def _find_weights(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder} holds neither {WEIGHT_FILES[0]} nor {WEIGHT_FILES[1]}")


def _read_settings(folder: Path) -> CheckpointSettings:
    path = folder / SETTINGS_FILE
    if not path.exists():
        return CheckpointSettings()
    try:
        return CheckpointSettings.model_validate(read_json_object(path))
    except ValidationError as exc:
        raise CheckpointError(f"{path}: {exc}") from exc


def _read_weights(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as exc:
            raise CheckpointError(f"{path} is not a whole safetensors file: {exc}") from exc
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as exc:
        raise CheckpointError(
            f"{path} cannot be read as plain weights (weights-only loading): {str(exc).splitlines()[0]}"
        ) from exc
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path} does not hold a flat dictionary of tensors")
    return state


def _modern_name(name: str) -> str:
    """Checkpoints converted from TensorFlow name the parameters of a layer norm gamma and beta."""
    if name.endswith("LayerNorm.gamma"):
        return name.removesuffix("gamma") + "weight"
    if name.endswith("LayerNorm.beta"):
        return name.removesuffix("beta") + "bias"
    return name


def _is_ignored(name: str) -> bool:
    return name.startswith(IGNORED_WEIGHTS) or name.endswith(IGNORED_BUFFERS)


def _digest(files: list[Path], casing: Casing | None) -> str:
    digest = hashlib.sha256(f"casing={casing}".encode())
    for path in files:
        if path.exists():
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256")
            digest.update(content.digest())
    return digest.hexdigest()
