"""Tiny BERT checkpoints with random weights, in the folder layout of the hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForQuestionAnswering

WORDS = (
    "the a of in is what which gene protein mutation causes cancer breast ovarian disease drug treats fever malaria "
    "pain who where when many how deficiency vitamin c scurvy insulin pancreas heart liver cell"
).split()


def vocabulary(*, cased: bool) -> list[str]:
    """Special tokens, single characters with their continuations, and words; capitalised twins where cased."""
    letters = [chr(c) for c in range(33, 127) if cased or not chr(c).isupper()]
    capitalised = [w.capitalize() for w in WORDS] + [w.upper() for w in WORDS if len(w) > 1] if cased else []
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{c}" for c in letters),
        *WORDS,
        *capitalised,
    ]
    return list(dict.fromkeys(pieces))


def make_checkpoint(
    folder: Path,
    *,
    cased: bool = False,
    seed: int = 0,
    half: bool = False,
    weights: str = "safetensors",
    tokenizer_config: dict[str, object] | None = None,
    settings: dict[str, object] | None = None,
    layers: int = 2,
    width: int = 32,
) -> Path:
    """Writes a checkpoint that loads; the logits of its random head spread over a few units.

    Args:
        weights: "safetensors" or "bin".
        tokenizer_config: None leaves the file out.
        settings: content of bioqa.json; None leaves the file out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = vocabulary(cased=cased)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(2, width // 32),
        intermediate_size=2 * width,
        max_position_embeddings=512,
    )
    config.architectures = ["BertForQuestionAnswering"]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertForQuestionAnswering(config)
        torch.nn.init.normal_(model.qa_outputs.weight, std=1.0)
    (folder / "config.json").write_text(config.to_json_string(), "utf-8")
    state = {k: (v.half() if half else v).contiguous() for k, v in model.state_dict().items()}
    if weights == "safetensors":
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        torch.save(state, folder / "pytorch_model.bin")
    for name, content in (("tokenizer_config.json", tokenizer_config), ("bioqa.json", settings)):
        if content is not None:
            (folder / name).write_text(json.dumps(content), "utf-8")
    return folder
