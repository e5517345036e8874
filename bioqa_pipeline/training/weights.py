"""The weights of a training, those it starts from and the checkpoint it ends in, and the settings kept beside them."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import MODEL_FOR_QUESTION_ANSWERING_MAPPING, PreTrainedModel
from transformers.utils import logging as transformers_logging

from bioqa_pipeline.errors import CheckpointError, InputError, TrainingError
from bioqa_pipeline.inputs import read_json
from bioqa_pipeline.qa.checkpoint import Checkpoint, transformers_config
from bioqa_pipeline.qa.model_files import file_digest
from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.qa.tokenizer_kinds import WORD_PIECE
from bioqa_pipeline.qa.weight_files import read_weights
from bioqa_pipeline.training.mpnet_attention import fuse_attention
from bioqa_pipeline.training.output import CHECKPOINTS, LOG_FILE, SETTINGS_FILE, mark_out
from bioqa_pipeline.training.recipe import TrainingConfig

StateDict = dict[str, torch.Tensor]

logger = logging.getLogger(__name__)

# May change between a killed training and its continuation; anything else would make it another training.
CHANGEABLE = frozenset({"max_steps", "max_hours", "decay_steps", "save_steps", "logging_steps", "average_checkpoints"})
DATA_DIGESTS = "data_sha256"
# What `training.json` has besides the settings, in words.
ORIGINS = {
    "base": "another content of the base model",
    "teacher": "another content of the teacher",
    DATA_DIGESTS: "another content of the data",
}

LAYER = re.compile(r"\.layers?\.(\d+)\.")


def load_for_training(base: Checkpoint, config: TrainingConfig, *, device: str) -> PreTrainedModel:
    """The base model with a QA head, which is new and drawn from the global seed where the base has none.

    Raises:
        CheckpointError: weights other than those of the head are missing.
    """
    weights = read_weights(base.weights, base.config)
    absent = base.config.weight_shapes().keys() - weights.state.keys()
    missing = sorted(k for k in absent if k.startswith(f"{base.config.encoder}."))
    if missing:
        raise CheckpointError(f"{base.weights}: incomplete weights: {', '.join(missing[:5])}")
    network = base.config
    if config.dropout is not None:
        if not network.dropout_is_set:
            raise TrainingError(
                f"dropout {config.dropout}: {network.model_type} models are trained without; leave it out"
            )
        dropout = {"attention_probs_dropout_prob": config.dropout, "hidden_dropout_prob": config.dropout}
        network = network.model_copy(update=dropout)
    # On CPUs scaled-dot-product attention with dropout takes a path slower than the plain one.
    is_plain = device == "cpu" and network.dropout_is_set and network.attention_probs_dropout_prob > 0
    settings = transformers_config(network, **({"attn_implementation": "eager"} if is_plain else {}))
    architecture: Any = MODEL_FOR_QUESTION_ANSWERING_MAPPING[type(settings)]
    if absent:
        logger.info("%s has no question-answering head; the training begins with a new one", base.name)
    with _quiet_transformers():
        # Without a folder, of which transformers would read more than was checked: an adapter can name another model.
        model = architecture.from_pretrained(None, config=settings, state_dict=weights.state, dtype=torch.float32)
    freeze(model, base.config, config.frozen_layers)
    return fuse_attention(model.train())


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Its bar, and its table of the weights that are new, have been told of in a line."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def freeze(model: PreTrainedModel, network: NetworkConfig, n_layers: int) -> None:
    """Keeps the embeddings and the lowest layers from being trained; 0 trains everything.

    Raises:
        TrainingError: the model has fewer layers, or none of its own.
    """
    if n_layers == 0:
        return
    if n_layers > network.num_hidden_layers:
        raise TrainingError(f"frozen_layers {n_layers}: the model has {network.num_hidden_layers} layers")
    if network.model_type == "albert":
        raise TrainingError(f"frozen_layers {n_layers}: the layers of an ALBERT share their weights; leave it out")
    for name, parameter in model.named_parameters():
        found = LAYER.search(name)
        if name.startswith(f"{network.encoder}.") and (found is None or int(found[1]) < n_layers):
            parameter.requires_grad = False


def origins(config: TrainingConfig, base: Checkpoint, teacher: Checkpoint | None) -> dict[str, object]:
    """What a training starts from: the models' revisions, and the SHA-256 of their files and of those of the data."""
    models = {"base": base} | ({"teacher": teacher} if teacher else {})
    found = {name: {"revision": m.revision, "sha256": dict(m.files)} for name, m in models.items()}
    return found | {DATA_DIGESTS: _data_digests(config)}


def _data_digests(config: TrainingConfig) -> dict[str, str]:
    return {str(data.path): file_digest(data.path) for data in config.data}


def keep_settings(config: TrainingConfig, out: Path, started_from: dict[str, object]) -> None:
    """Writes the settings and origins of a fresh training, or checks that the one in `out` had the same."""
    path = out / SETTINGS_FILE
    settings = config.model_dump(mode="json") | started_from
    if (out / CHECKPOINTS).is_dir() and path.exists():
        found = read_json(path)
        if not isinstance(found, dict):
            raise InputError("does not hold the settings of a training; delete it", path)
        if different := _differences(found, settings):
            told = ", ".join(ORIGINS.get(k, k) for k in different)
            raise TrainingError(
                f"{out} holds an unfinished training with other settings ({told}); give another `out`, or remove "
                f"{out / CHECKPOINTS} to begin anew"
            )
    mark_out(out)
    out.mkdir(parents=True, exist_ok=True)
    if int(os.environ.get("RANK", "0")) == 0:
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def goes_on(config: TrainingConfig, out: Path) -> bool:
    """Whether `out` holds an unfinished training with these settings and data."""
    return (out / CHECKPOINTS).is_dir() and _is_kept(config, out)


def is_finished(folder: Path, config: TrainingConfig) -> bool:
    """Whether a training with these settings and data has ended in `folder`."""
    return (folder / LOG_FILE).exists() and _is_kept(config, folder, changeable=frozenset())


def _is_kept(config: TrainingConfig, folder: Path, changeable: frozenset[str] = CHANGEABLE) -> bool:
    try:
        found = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
        settings = config.model_dump(mode="json") | {DATA_DIGESTS: _data_digests(config)}
    except (CheckpointError, OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and not _differences(found, settings, changeable)


def _differences(
    found: Mapping[str, object], settings: Mapping[str, object], changeable: frozenset[str] = CHANGEABLE
) -> list[str]:
    """Names of what is not as it was; an earlier version kept no origins."""
    return sorted(
        k for k, v in settings.items() if k not in changeable and found.get(k) != v and (k in found or k not in ORIGINS)
    )


def write_checkpoint(
    model: Any, state: StateDict, base: Checkpoint, out: Path, *, dtype: torch.dtype = torch.float16
) -> None:
    """A checkpoint folder: configuration, weights, the base model's tokenizer with its casing said."""
    out.mkdir(parents=True, exist_ok=True)
    settings = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_")}
    settings |= {"architectures": [type(model).__name__], "dtype": str(dtype).removeprefix("torch.")}
    (out / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
    weights = {k: v.to(dtype).contiguous() for k, v in state.items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    # It makes a file that its owner alone may read; this one is read as the umask says, like those beside it.
    (out / "model.safetensors").chmod((out / "config.json").stat().st_mode & 0o777)
    if base.config.tokenizer is not WORD_PIECE:
        for name in base.config.tokenizer.files:
            if (base.folder / name).exists():
                shutil.copyfile(base.folder / name, out / name)
        return
    vocabulary = "tokenizer.json" if (base.folder / "tokenizer.json").exists() else "vocab.txt"
    shutil.copyfile(base.folder / vocabulary, out / vocabulary)
    tokenizer = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": base.casing == "uncased",
        "tokenize_chinese_chars": True,
        "strip_accents": None,
        "model_max_length": 384,
        **{f"{t}_token": f"[{t.upper()}]" for t in ("unk", "sep", "pad", "cls", "mask")},
    }
    (out / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n", "utf-8")
