"""Names of base models into folders that a training can start from.

A recipe names a folder, a hub name, a folder inside an installed package, or the pieces of one zip that several
packages carry; and an MPNet model, a strong teacher, can be given the vocabulary of the BERT that it shall teach.
"""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.qa.model_files import MEBIBYTE, read_bytes, read_json_object, shortened
from bioqa_pipeline.qa.network_kinds import network_config
from bioqa_pipeline.qa.pins import check_pinned, pin_of
from bioqa_pipeline.qa.tokenizer_files import TOKENIZER_FILES, read_vocabulary
from bioqa_pipeline.qa.weight_files import read_weights
from bioqa_pipeline.training.output import mark_out
from bioqa_pipeline.training.recipe import TrainingConfig

CONFIG, WEIGHTS, VOCABULARY = "config.json", "model.safetensors", "vocab.txt"
ARCHIVE_BYTES = 16 << 30
# What MPNet calls the tokens that stand around a BERT window.
MPNET_NAMES = {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[MASK]": "<mask>"}


def prepare_base(config: TrainingConfig, scratch: Path) -> str:
    """A folder or hub name that the training of `config` starts from.

    Args:
        scratch: gets what has to be unpacked or changed; found whole there, it is taken as it is.

    Raises:
        CheckpointError: there is no such package or archive, or the vocabularies do not fit.
    """
    spec = config.base_model
    if spec.startswith("archive:") or config.vocabulary:
        if not (scratch / CONFIG).exists():
            _make(spec, config.vocabulary, scratch)
        return str(scratch)
    return resolve_base(spec)


def resolve_base(spec: str) -> str:
    """A folder inside an installed package for `package:NAME/FOLDER`; everything else as it is.

    Raises:
        CheckpointError: there is no such package, or its files are not those that the project's table has.
    """
    if not spec.startswith("package:"):
        return spec
    name, _, folder = spec.removeprefix("package:").partition("/")
    if not name.isidentifier() or ".." in Path(folder).parts or Path(folder).is_absolute():
        raise CheckpointError(f"{shortened(spec)}: give package:NAME/FOLDER, a folder inside an installed package")
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise CheckpointError(f"{spec}: no Python package {name} is installed; the extra `train` brings it")
    place = Path(found.submodule_search_locations[0]) / folder
    if pin := pin_of(spec):
        check_pinned(place, pin.sha256, way_out=f"install the package anew, or give {place} to take it as it is")
    return str(place)


def _make(spec: str, vocabulary: str | None, scratch: Path) -> None:
    mark_out(scratch.parent)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    # The processes of a torchrun each make it; the first one's stays.
    with tempfile.TemporaryDirectory(dir=scratch.parent, prefix=scratch.name) as name:
        made = Path(name) / "base"
        if spec.startswith("archive:"):
            unpack_archive(spec, made)
        if vocabulary:
            source = made if made.exists() else Path(resolve_base(spec))
            give_bert_vocabulary(source, Path(resolve_base(vocabulary)), Path(name) / "bert")
            made = Path(name) / "bert"
        try:
            made.rename(scratch)
        except OSError:
            if not (scratch / CONFIG).exists():
                raise


def unpack_archive(spec: str, folder: Path) -> None:
    """The model files of a zip whose pieces lie, in the order of their names, in installed packages.

    Args:
        spec: archive:PATTERN, a glob below Python's package folders.

    Raises:
        CheckpointError: no pieces, a missing one, no model among the files, or another than the project's table has.
    """
    pattern = spec.removeprefix("archive:")
    if not pattern or ".." in Path(pattern).parts or Path(pattern).is_absolute():
        raise CheckpointError(f"{shortened(spec)}: give archive:PATTERN, a pattern below Python's package folders")
    pieces = next((found for place in sys.path if place and (found := sorted(Path(place).glob(pattern)))), [])
    if not pieces:
        raise CheckpointError(f"{spec}: no such files among the installed packages; the extra `teacher` brings them")
    try:
        content = b"".join(read_bytes(piece, at_most=ARCHIVE_BYTES) for piece in pieces)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = {Path(n).name: n for n in reversed(archive.namelist()) if n.count("/") <= 1}
            folder.mkdir(parents=True)
            for name in (CONFIG, WEIGHTS, *TOKENIZER_FILES):
                if name in names:
                    _unpack(archive, names[name], folder / name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
        raise CheckpointError(f"{spec}: {len(pieces)} pieces do not make a whole zip: {exc}") from exc
    if not (folder / CONFIG).exists() or not (folder / WEIGHTS).exists():
        raise CheckpointError(f"{spec}: the zip holds no {CONFIG} with {WEIGHTS}")
    if pin := pin_of(spec):
        check_pinned(folder, pin.sha256, way_out="install the packages anew, or unpack the zip and give its folder")


def _unpack(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """In pieces, and no further than a model can be: a few bytes of a zip can say that they are terabytes."""
    left = ARCHIVE_BYTES
    with archive.open(name) as packed, path.open("wb") as unpacked:
        while piece := packed.read(MEBIBYTE):
            left -= len(piece)
            if left < 0:
                raise CheckpointError(f"{name} of the archive has more than {ARCHIVE_BYTES:,} bytes: no base model")
            unpacked.write(piece)


def give_bert_vocabulary(source: Path, bert: Path, folder: Path) -> None:
    """An MPNet encoder with its embeddings in the order of a BERT vocabulary, so that both read the same windows.

    MPNet's vocabulary is that of BERT, uncased, with four more tokens in front (Song et al. 2020); its window
    `<s> question </s> passage </s>` becomes `[CLS] question [SEP] passage [SEP]`.

    Raises:
        CheckpointError: not an MPNet model, or a token of the BERT vocabulary that it does not have.
    """
    config = read_json_object(source / CONFIG)
    if config.get("model_type") != "mpnet":
        raise CheckpointError(f"{source}: only an MPNet model can be given another vocabulary")
    own = read_vocabulary(source / VOCABULARY)
    wanted = open_checkpoint(str(bert)).tokenizer().vocabulary
    tokens = sorted(wanted, key=wanted.__getitem__)
    absent = [t for t in tokens if MPNET_NAMES.get(t, t) not in own]
    if absent:
        raise CheckpointError(f"{source}: its vocabulary lacks {len(absent)} tokens of {bert}: {', '.join(absent[:5])}")
    order = torch.tensor([own[MPNET_NAMES.get(t, t)] for t in tokens])
    # As it will be with its new vocabulary, but for the number of rows.
    network = network_config(config | {"pad_token_id": 0}, source / CONFIG)
    weights = read_weights(source / WEIGHTS, network).state
    name = "mpnet.embeddings.word_embeddings.weight"
    if name not in weights or max(order.tolist()) >= len(weights[name]):
        raise CheckpointError(f"{source / WEIGHTS} has no embeddings for the whole of {source / VOCABULARY}")
    weights[name] = weights[name][order].contiguous()
    folder.mkdir(parents=True)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    for file in TOKENIZER_FILES:
        if (bert / file).exists():
            shutil.copyfile(bert / file, folder / file)
    special = {"pad_token_id": wanted["[PAD]"], "bos_token_id": wanted["[CLS]"], "eos_token_id": wanted["[SEP]"]}
    (folder / CONFIG).write_text(json.dumps(config | special | {"vocab_size": len(tokens)}, indent=2) + "\n", "utf-8")
