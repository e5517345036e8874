from __future__ import annotations

import pytest

from bioqa_pipeline.pubmed.prologue import Prologue, PrologueError, Refusal, read_prologue

SUBSET = b'[<!ENTITY x "y">]>'


@pytest.mark.parametrize(
    "before",
    [
        b"<!DOCTYPE a ",
        b"<!doctype a ",
        b'<!DOCTYPE a SYSTEM "a><r>" ',
        b"<!DOCTYPE a SYSTEM 'a><r>' ",
        b'<!DOCTYPE a PUBLIC ">" "]>" ',
        b"<!DOCTYPE a SYSTEM '\"' ",
        b'<?xml version="1.0"?><!-- <r> --><?p <r> ?><!DOCTYPE a ',
        b"\xef\xbb\xbf<!DOCTYPE a\n",
    ],
)
def test_declarations_are_found_behind_whatever_looks_like_an_end(before: bytes) -> None:
    with pytest.raises(PrologueError) as caught:
        read_prologue(before + SUBSET + b"<r/>")
    assert caught.value.refusal is Refusal.DECLARATIONS


@pytest.mark.parametrize(
    "head",
    [
        b'<!DOCTYPE a SYSTEM "open ' + SUBSET + b"<r/>",
        b"<!DOCTYPE a><!DOCTYPE a " + SUBSET + b"<r/>",
        b"<!DOCTYPE a",
        b"<!ENTITY x 'y'><r/>",
        b"<!-- open <r/>",
        b"<r",
        b"<?open <r/>",
    ],
)
def test_what_has_no_root_yet_never_gets_one_from_within(head: bytes) -> None:
    assert read_prologue(head) is None


@pytest.mark.parametrize(
    ("head", "refusal"),
    [
        (b"", Refusal.NOT_XML),
        (b"{}", Refusal.NOT_XML),
        ("<r/>".encode("utf-16"), Refusal.NOT_XML),
        ("<r/>".encode("utf-16-le"), Refusal.NOT_XML),
        ("<r/>".encode("utf-32-be"), Refusal.NOT_XML),
        ("<r/>".encode("cp037"), Refusal.NOT_XML),
        (b'<?xml version="1.0" encoding="utf-7"?><r/>', Refusal.ENCODING),
        (b"<?xml version='1.0' encoding = 'UTF-16'?><r/>", Refusal.ENCODING),
        (b"<!-- x --><HTML>", Refusal.WEB_PAGE),
        (b"<!DOCTYPE html><r/>", Refusal.WEB_PAGE),
    ],
)
def test_what_is_refused_says_why(head: bytes, refusal: Refusal) -> None:
    with pytest.raises(PrologueError) as caught:
        read_prologue(head)
    assert caught.value.refusal is refusal


def test_the_doctype_is_withheld_and_lines_keep_their_numbers() -> None:
    head = b'<?xml version="1.0"?>\n<!DOCTYPE r PUBLIC "a"\n "b.dtd">\n<r x="1">'
    assert read_prologue(head) == Prologue("r", b'<?xml version="1.0"?>\n\n\n<r x="1">')
