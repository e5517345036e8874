"""The bytes of a text file into its text: UTF-8, UTF-16 and UTF-32 with a byte-order mark or seen by their zeros, else
Windows' Latin-1."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT_BYTES = 1 << 12
_BROKEN = re.compile("[\udc80-\udcff]")
_WHOLE = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")


def decoded(raw: bytes) -> tuple[str, str]:
    """(text without a byte-order mark, its lines ended by line feeds; name of the encoding).

    A file in which some bytes are not UTF-8 is UTF-8 all the same where more of its characters are than are not; the
    broken bytes become U+FFFD.
    """
    text, name = _decoded(raw)
    return text.replace("\r\n", "\n").replace("\r", "\n"), name


def _decoded(raw: bytes) -> tuple[str, str]:
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(name, "replace"), name
    head = raw[:_LOOKED_AT_BYTES]
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) // 2:
            return raw.decode(name, "replace"), name
    try:
        return raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
    if len(_WHOLE.findall(text)) >= len(_BROKEN.findall(text)):
        return _BROKEN.sub("\ufffd", text), "utf-8"
    return raw.decode("cp1252", "replace"), "cp1252"
