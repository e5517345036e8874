"""SentencePiece's table of characters and what they become, checked before the tokenizers package walks through it.

It is a double array: a trie whose nodes are found by adding bytes to places of an array, as someone's file says them.
The package does not look where it steps; a table that leads out of the array would end the process's work.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioqa_pipeline.errors import CheckpointError

UnitArray = npt.NDArray[np.uint32]
# The table of NFKC has 240 KB.
TABLE_BYTES = 4 << 20
VALUE = np.uint32(0x7FFFFFFF)
LABEL = np.uint32(0x800000FF)


def check_charsmap(table: bytes, path: Path) -> None:
    """Raises CheckpointError where any text could lead out of the table or into the middle of a character.

    Args:
        path: what an error names.
    """
    size = int.from_bytes(table[:4], "little")
    if len(table) > TABLE_BYTES or size % 4 or not 1024 <= size <= len(table) - 4:
        raise CheckpointError(f"{path}: its precompiled_charsmap is no table of characters; fetch the file again")
    units = np.frombuffer(table, dtype="<u4", count=size // 4, offset=4)
    replacements = np.frombuffer(table, dtype=np.uint8, offset=4 + size)
    try:
        replacements.tobytes().decode("utf-8")
    except UnicodeDecodeError as exc:
        raise CheckpointError(f"{path}: its precompiled_charsmap holds no text: {exc.reason}") from exc
    for value in _values(units, path):
        inside = value < len(replacements)
        if not (inside and replacements[value] & 0xC0 != 0x80):
            raise CheckpointError(f"{path}: its precompiled_charsmap leads into nowhere; fetch the file again")


def _values(units: UnitArray, path: Path) -> npt.NDArray[np.int64]:
    """Where the replacement of each key begins; every step that any key can take stays in the array."""
    seen = np.zeros(len(units), dtype=np.bool_)
    places = np.array([_offset(units[:1])[0]], dtype=np.int64)
    found = [np.zeros(0, dtype=np.int64)]
    while len(places):
        # Whatever byte comes next.
        if (places | 255).max() >= len(units):
            raise CheckpointError(f"{path}: its precompiled_charsmap leads out of itself; fetch the file again")
        seen[places] = True
        steps = places[:, None] ^ np.arange(1, 256)
        nodes = steps[(units[steps] & LABEL) == np.arange(1, 256)]
        places = np.unique(nodes ^ _offset(units[nodes]))
        ends = (nodes ^ _offset(units[nodes]))[(units[nodes] >> 8) & 1 == 1]
        if len(ends) and ends.max() >= len(units):
            raise CheckpointError(f"{path}: its precompiled_charsmap leads out of itself; fetch the file again")
        found.append((units[ends] & VALUE).astype(np.int64))
        inside = places < len(units)
        places = np.concatenate([places[inside][~seen[places[inside]]], places[~inside]])
    return np.unique(np.concatenate(found))


def _offset(units: UnitArray) -> npt.NDArray[np.int64]:
    units = units.astype(np.int64)
    return (units >> 10) << ((units & 512) >> 6)
