"""The weights of a training: those it starts from, the states it can go on from, the checkpoint it ends in."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import MODEL_FOR_QUESTION_ANSWERING_MAPPING, PreTrainedModel

from bioqa_pipeline.errors import CheckpointError, InputError, TrainingError
from bioqa_pipeline.inputs import read_json
from bioqa_pipeline.qa.checkpoint import Checkpoint, transformers_config
from bioqa_pipeline.qa.weight_files import read_weights
from bioqa_pipeline.training.output import CHECKPOINTS, LOG_FILE, SETTINGS_FILE, mark_out
from bioqa_pipeline.training.recipe import TrainingConfig

StateDict = dict[str, torch.Tensor]

# May change between a killed training and its continuation; anything else would make it another training.
CHANGEABLE = frozenset({"max_steps", "decay_steps", "save_steps", "logging_steps", "average_checkpoints"})

LAYER = re.compile(r"\.layer\.(\d+)\.")


def load_for_training(base: Checkpoint, config: TrainingConfig, *, device: str) -> PreTrainedModel:
    """The base model with a QA head, which is new and drawn from the global seed where the base has none.

    Raises:
        CheckpointError: weights other than those of the head are missing.
    """
    weights = read_weights(base.weights, base.config)
    missing = sorted(
        k for k in base.config.weight_shapes().keys() - weights.state.keys() if not k.startswith("qa_outputs.")
    )
    if missing:
        raise CheckpointError(f"{base.weights}: incomplete weights: {', '.join(missing[:5])}")
    changes: dict[str, Any] = {}
    if config.dropout is not None:
        changes = {"attention_probs_dropout_prob": config.dropout, "hidden_dropout_prob": config.dropout}
    if device == "cpu" and changes.get("attention_probs_dropout_prob", base.config.attention_probs_dropout_prob) > 0:
        # On CPUs scaled-dot-product attention with dropout takes a path slower than the plain one.
        changes["attn_implementation"] = "eager"
    settings = transformers_config(base.config, **changes)
    architecture: Any = MODEL_FOR_QUESTION_ANSWERING_MAPPING[type(settings)]
    # Without a folder, of which transformers would read more than was checked: an adapter can name another model.
    model = architecture.from_pretrained(None, config=settings, state_dict=weights.state, dtype=torch.float32)
    freeze(model, config.frozen_layers)
    return model.train()  # type: ignore[no-any-return]


def freeze(model: PreTrainedModel, n_layers: int) -> None:
    """Keeps the embeddings and the lowest layers from being trained; 0 trains everything.

    Raises:
        TrainingError: the model has fewer layers.
    """
    if n_layers > model.config.num_hidden_layers:
        raise TrainingError(f"frozen_layers {n_layers}: the model has {model.config.num_hidden_layers} layers")
    for name, parameter in model.named_parameters():
        found = LAYER.search(name)
        if n_layers and not name.startswith("qa_outputs.") and (found is None or int(found[1]) < n_layers):
            parameter.requires_grad = False


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole state; one that was being written when the training was killed does not count."""
    states = [
        (int(p.name.removeprefix("checkpoint-")), p)
        for p in folder.glob("checkpoint-*")
        if p.name.removeprefix("checkpoint-").isdecimal() and _is_whole(p)
    ]
    return max(states)[1] if states else None


def _is_whole(state: Path) -> bool:
    """The Trainer writes trainer_state.json last."""
    try:
        json.loads((state / "trainer_state.json").read_text("utf-8"))
        return all((state / name).exists() for name in ("model.safetensors", "optimizer.pt", "scheduler.pt"))
    except (OSError, ValueError, RecursionError):
        return False


def keep_settings(config: TrainingConfig, out: Path) -> None:
    """Writes the settings of a fresh training, or checks that the one in `out` had the same."""
    path = out / SETTINGS_FILE
    settings = config.model_dump(mode="json")
    if (out / CHECKPOINTS).is_dir() and path.exists():
        found = read_json(path)
        if not isinstance(found, dict):
            raise InputError("does not hold the settings of a training; delete it", path)
        different = sorted(k for k in settings if found.get(k) != settings[k] and k not in CHANGEABLE)
        if different:
            raise TrainingError(
                f"{out} holds an unfinished training with other settings ({', '.join(different)}); give another `out`, "
                f"or remove {out / CHECKPOINTS} to begin anew"
            )
    mark_out(out)
    out.mkdir(parents=True, exist_ok=True)
    if int(os.environ.get("RANK", "0")) == 0:
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def keep_base(base: Checkpoint, out: Path) -> None:
    """Adds to the settings of a finished training what the base model was: its revision, and each file's SHA-256."""
    path = out / SETTINGS_FILE
    settings = read_json(path) | {"base": {"revision": base.revision, "sha256": dict(base.files)}}
    path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def goes_on(config: TrainingConfig, out: Path) -> bool:
    """Whether `out` holds an unfinished training with these settings."""
    try:
        found = json.loads((out / SETTINGS_FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return (out / CHECKPOINTS).is_dir() and _are_kept(found, config, but=CHANGEABLE)


def is_finished(folder: Path, config: TrainingConfig) -> bool:
    """Whether a training with these settings has ended in `folder`."""
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return (folder / LOG_FILE).exists() and _are_kept(settings, config)


def _are_kept(found: object, config: TrainingConfig, *, but: frozenset[str] = frozenset()) -> bool:
    settings = config.model_dump(mode="json")
    return isinstance(found, dict) and all(found.get(k) == v or k in but for k, v in settings.items())


def averaged_state(state: StateDict, checkpoints: Path, count: int) -> StateDict:
    """Mean of the last `count` saved states; the Trainer saves the final one too."""
    folders = sorted(checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))[-count:]
    saved = [load_file(p / "model.safetensors") for p in folders]
    return {k: torch.stack([s[k].float() for s in saved]).mean(dim=0) if saved else v for k, v in state.items()}


def write_checkpoint(state: StateDict, config: Mapping[str, Any], base: Checkpoint, out: Path) -> None:
    """A checkpoint folder: configuration, weights in fp16, the base model's vocabulary with its casing said."""
    out.mkdir(parents=True, exist_ok=True)
    settings = {k: v for k, v in config.items() if not k.startswith("_")}
    architecture = {"electra": "Electra", "mpnet": "MPNet"}.get(str(settings.get("model_type")), "Bert")
    settings |= {"architectures": [f"{architecture}ForQuestionAnswering"], "dtype": "float16"}
    (out / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
    save_file(
        {k: v.half().contiguous() for k, v in state.items()}, out / "model.safetensors", metadata={"format": "pt"}
    )
    # It makes a file that its owner alone may read; this one is read as the umask says, like those beside it.
    (out / "model.safetensors").chmod((out / "config.json").stat().st_mode & 0o777)
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
