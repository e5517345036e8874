"""A file of weights into tensors, its claims checked before anything of their size is allocated.

Of a safetensors file the header comes first; a `.bin` goes through torch's weights-only loading and no other pickle.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.messages import words_of
from bioqa_pipeline.qa.model_files import MEBIBYTE, is_there, open_regular, parse_json_object, shortened
from bioqa_pipeline.qa.network_config import NetworkConfig, Shape

if TYPE_CHECKING:
    import torch

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# A large encoder has 400 tensors, told in 50 KB.
HEADER_BYTES = 8 * MEBIBYTE
FLOAT_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
# Weights in the widest float, twice over for the heads of the pre-training, the largest of them a second vocabulary.
BYTES_PER_PARAMETER = 16
SPARE_BYTES = 64 * MEBIBYTE
# Weights have two.
MOST_DIMENSIONS = 8
# Weights of the pre-training heads, which question answering does not use.
IGNORED_WEIGHTS = (
    "bert.pooler.",
    "electra.pooler.",
    "mpnet.pooler.",
    "pooler.",
    "cls.",
    "discriminator_predictions.",
    "generator_",
)
IGNORED_BUFFERS = (".position_ids", ".token_type_ids")


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that a network has, in fp32 by transformers' names, and the names of those that it does not have."""

    state: dict[str, torch.Tensor]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the header of a safetensors file says of one tensor."""

    dtype: str
    shape: Shape


def find_weights(folder: Path) -> Path:
    """The file of weights; safetensors where there are two."""
    for name in WEIGHT_FILES:
        if is_there(folder / name):
            return folder / name
    raise CheckpointError(
        f"{folder} holds neither {WEIGHT_FILES[0]} nor {WEIGHT_FILES[1]}; weights in several files have to be one: "
        "load them by the class that config.json names, and save_pretrained(FOLDER, max_shard_size='100GB')"
    )


def check_weights(path: Path, network: NetworkConfig) -> None:
    """What can be said of a file of weights without reading them.

    A missing head is no fault here: a training begins without one.

    Raises:
        CheckpointError: not a regular file, too large for this network, or a header that is damaged or says other
            shapes or kinds of numbers than the configuration.
    """
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
    most = BYTES_PER_PARAMETER * network.n_parameters + SPARE_BYTES
    if size > most:
        raise CheckpointError(
            f"{path} has {size:,} bytes; the network that config.json describes cannot fill more than {most:,}"
        )
    if path.suffix == ".safetensors":
        header = read_header(path)
        names = _own_names(path, {name: info.shape for name, info in header.items()}, network)
        for name in names:
            if header[name].dtype not in FLOAT_BYTES:
                raise CheckpointError(
                    f"{path}: {name} holds {header[name].dtype}; weights are {', '.join(FLOAT_BYTES)} here, neither "
                    "quantised nor complex: give the checkpoint as it was trained"
                )


def read_header(path: Path) -> dict[str, TensorInfo]:
    """The header of a safetensors file, by tensor.

    Raises:
        CheckpointError: it is damaged, or the tensors that it tells of are not just what follows it.
    """
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > size - 8:
            raise CheckpointError(f"{path} is not a whole safetensors file: it ends inside its header; fetch it again")
        if length > HEADER_BYTES:
            raise CheckpointError(f"{path} is not a safetensors file of a model: a header of {length:,} bytes")
        content = handle.read(length)
    try:
        return parse_header(content, data_bytes=size - 8 - length, path=path)
    except CheckpointError as exc:
        raise CheckpointError(f"{path} is not a whole safetensors file: {words_of(exc)}; fetch it again") from exc


def parse_header(content: bytes, *, data_bytes: int, path: Path) -> dict[str, TensorInfo]:
    """The JSON of a header, by tensor, all that is claimed of them checked.

    Args:
        data_bytes: what follows the header in the file.
    """
    values = parse_json_object(content, path)
    values.pop("__metadata__", None)
    found, ranges = {}, []
    for name, entry in values.items():
        info, span = _tensor_info(name, entry)
        found[name] = info
        ranges.append(span)
    position = 0
    for start, end in sorted(ranges):
        if start != position:
            raise CheckpointError("its tensors overlap or leave gaps")
        position = end
    if position != data_bytes:
        raise CheckpointError(f"its tensors have {position:,} bytes, the file {data_bytes:,}")
    return found


def _tensor_info(name: str, entry: object) -> tuple[TensorInfo, tuple[int, int]]:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [start, end]} if (
            # The product of more and larger ones takes hours.
            len(shape) <= MOST_DIMENSIONS and all(type(n) is int and 0 <= n < 1 << 63 for n in (*shape, start, end))
        ):
            n_bytes = math.prod(shape) * FLOAT_BYTES.get(dtype, 0)
            if end < start or (n_bytes != end - start and dtype in FLOAT_BYTES):
                raise CheckpointError(f"{shortened(name)} has {end - start:,} bytes in the place of its numbers")
            return TensorInfo(dtype[:16], tuple(shape)), (start, end)
    raise CheckpointError(f"{shortened(name)} has no type, shape and place")


def read_weights(path: Path, network: NetworkConfig) -> Weights:
    """The weights of this network, as many as the file has.

    Raises:
        CheckpointError: damaged; another network's; not all finite numbers; or more than weights.
    """
    import torch

    check_weights(path, network)
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_bin(path)
    for name, tensor in tensors.items():
        # Of such a one nobody can say the shape, or read the numbers.
        if tensor.is_nested or tensor.is_meta or tensor.layout != torch.strided:
            raise CheckpointError(f"{path}: {shortened(name)} is no plain table of numbers")
    names = _own_names(path, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, network)
    state = {}
    for name, own in names.items():
        if tensors[name].dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            raise CheckpointError(f"{path}: {name} holds {tensors[name].dtype}; weights are plain floats here")
        state[own] = tensors[name].float()
        if not torch.isfinite(state[own]).all():
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinite numbers: the training that wrote it went wrong; take an earlier "
                "state of it, or fetch it again"
            )
    return Weights(
        state, tuple(sorted(name for name in tensors.keys() - names.keys() if not _is_ignored(name, network)))
    )


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Any] = load_file(path)
    except (SafetensorError, OSError, RuntimeError, KeyError) as exc:
        raise CheckpointError(f"{path} is not a whole safetensors file: {_first_line(exc)}; fetch it again") from exc
    return tensors


def _read_bin(path: Path) -> dict[str, Any]:
    import torch

    _check_zip(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # an unpickler that is given anything raises anything
        # Not in torch's words, which advise to load it the unsafe way.
        raise CheckpointError(
            f"{path} cannot be read as plain weights ({type(exc).__name__} in weights-only loading): it is damaged, or "
            "holds code or other objects, which are never run; give the model's model.safetensors, or fetch it again"
        ) from exc
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()
    ):
        raise CheckpointError(f"{path} does not hold a flat dictionary of tensors")
    return dict(state)


def _check_zip(path: Path) -> None:
    """A `.bin` is a zip of plain entries, or older than that; packed ones can be a thousand times what they seem."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as exc:
        raise CheckpointError(f"{path} is not a whole file of weights: {_first_line(exc)}; fetch it again") from exc
    is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if is_packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(
            f"{path} is not as torch writes it: its entries are compressed or overlap; fetch it again"
        )


def _own_names(path: Path, shapes: Mapping[str, Shape], network: NetworkConfig) -> dict[str, str]:
    """For each weight of the file that the network has, transformers' name of it; their shapes are the network's."""
    wanted = network.weight_shapes()
    names = {name: own for name in shapes if (own := _own_name(name, wanted, network.encoder)) is not None}
    if len(set(names.values())) < len(names):
        raise CheckpointError(f"{path} holds a weight under two names")
    for name, own in names.items():
        if shapes[name] != wanted[own]:
            raise CheckpointError(f"{path}: {name} has shape {shapes[name]}, but config.json asks for {wanted[own]}")
    return names


def _own_name(name: str, wanted: Mapping[str, Shape], prefix: str) -> str | None:
    """transformers' name of a weight of the network; None for any other.

    Checkpoints converted from TensorFlow name the parameters of a layer norm gamma and beta; a bare encoder's weights
    lack the prefix.
    """
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return next((own for own in (name, f"{prefix}.{name}") if own in wanted), None)


def _is_ignored(name: str, network: NetworkConfig) -> bool:
    return name.startswith(IGNORED_WEIGHTS + network.ignored_weights) or name.endswith(IGNORED_BUFFERS)


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [""])[0][:200]
