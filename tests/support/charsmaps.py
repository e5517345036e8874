"""SentencePiece's tables of characters, small ones."""

from __future__ import annotations

CHANGES = {"ﬁ": "fi", "½": "1/2", "№": "No", "\u0007": "", "é": "e", "e\u0301": "e"}


def table_of(changes: dict[str, str]) -> bytes:
    """The double array of these changes as darts-clone lays it out: each node has a block of 256 places of its own."""
    tree: dict[bytes, set[int]] = {b"": set()}
    for key in changes:
        raw = key.encode()
        for i, byte in enumerate(raw):
            tree.setdefault(raw[:i], set()).add(byte)
            tree.setdefault(raw[: i + 1], set())
    texts, starts = b"", {}
    for key, text in changes.items():
        starts[key.encode()] = len(texts)
        texts += text.encode() + b"\0"
    units, places = [0] * (256 * (len(tree) + 1)), {b"": 0}
    # Parents come before their children.
    for number, (node, children) in enumerate(tree.items(), start=1):
        place = places[node]
        # The offset, in its long form, leaves the last eight bits of the place as they are.
        units[place] = (((256 * number) ^ place) >> 8 << 10) | 512 | (node[-1] if node else 0)
        base = 256 * number | place & 255
        places |= {node + bytes([byte]): base ^ byte for byte in children}
        if node in starts:
            units[place] |= 256
            units[base] = 0x80000000 | starts[node]
    data = b"".join(unit.to_bytes(4, "little") for unit in units)
    return len(data).to_bytes(4, "little") + data + texts


TABLE = table_of(CHANGES)
