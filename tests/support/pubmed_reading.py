"""PubMed XML for tests: documents written by hand, and a second reading of their text with the standard library alone.

The second reading works on the markup as a string, so that it shares neither parser nor algorithm with the package.
"""

from __future__ import annotations

import gzip
import html
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path

DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2026//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_260101.dtd">'
)
MATH = 'xmlns:mml="http://www.w3.org/1998/Math/MathML"'
_INVISIBLE = "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\ufeff"


def document(*records: str, doctype: str = DOCTYPE) -> bytes:
    """An article set of records."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{doctype}\n<PubmedArticleSet>\n'.encode() + (
        "\n".join(records) + "\n</PubmedArticleSet>\n"
    ).encode("utf-8", "surrogatepass")


def article(
    pmid: str | int = 1,
    *,
    title: str = "A title.",
    abstract: str = "",
    article: str = "",
    citation: str = "",
    data: str = "",
    journal: str = "<Title>A journal</Title>",
    version: str = '"1"',
) -> str:
    """A PubmedArticle; the arguments but `pmid` are XML, put in where their names say."""
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version={version}>{pmid}</PMID>'
        f"<Article><Journal>{journal}</Journal><ArticleTitle>{title}</ArticleTitle>{abstract and _abstract(abstract)}"
        f"{article}</Article>{citation}</MedlineCitation><PubmedData>{data}</PubmedData></PubmedArticle>"
    )


def _abstract(content: str) -> str:
    if "<AbstractText" not in content:
        content = f"<AbstractText>{content}</AbstractText>"
    return f"<Abstract>{content}</Abstract>"


def elements(path: Path | bytes) -> Iterator[ET.Element]:
    """The records of a whole file."""
    data = path.read_bytes() if isinstance(path, Path) else path
    yield from ET.fromstring(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def text_of_markup(markup: str) -> str:
    """What inline markup without formulas should read as; every "<" that starts no tag is one."""
    text = re.sub(r"(<su[bp]>)\s*\n\s*(?=<)", r"\1", markup)
    text = re.sub(r"(?<=>)\s*\n\s*(</su[bp]>)", r"\1", text)
    text = _lines_apart(text)
    text = re.sub(r"(?<=[.:;?!])<b>(?=[A-Z][a-z]{4})", " ", text)
    text = re.sub(r"</?[ib]>", "", text)
    for sign, meant in (("&lt;", "≤"), ("<", "≤"), ("&gt;", "≥"), (">", "≥"), ("+", "±")):
        text = text.replace(f"<u>{sign}</u>", meant)
    text = re.sub(r"</?u>", "", text)
    text = re.sub(r"(?<=\d)<sup>\s*(?=[+\-−–]?\d)", "^", text)
    text = re.sub(r"(?<=\d)<sub>\s*(?=[+\-−–]?\d)", "_", text)
    text = re.sub(r"(?<=\d)</su[bp]>(?=\d)", " ", text)
    text = re.sub(r"</?su[bp]>", "", text)
    return normal(html.unescape(re.sub(r"&amp;(\w+;)", r"&\1", text)))


FLAT = r"<([biu])>([^<]*)</[biu]>"


def _lines_apart(markup: str) -> str:
    """A space between two emphasised elements side by side, without others in them, that are two lines or words."""
    return re.sub(f"{FLAT}(?={FLAT})", lambda found: found[0] + " " * _are_apart(found[2], found[4]), markup)


def _are_apart(left: str, right: str) -> bool:
    left, right = html.unescape(left), html.unescape(right)
    if len(left) == 1 or len(right) == 1 or not (left and right):
        return False
    if unicodedata.category(left[-1]) == unicodedata.category(right[1]) == "Nd":
        return False
    is_word = left[-2].isalnum() and left[-1].isalnum() and right[0].isalpha() and right[1].isalpha()
    return is_word or right[0].isupper() or left[-1] in set(".:;?!,)")


def normal(text: str) -> str:
    """The normal form, character by character."""
    kept = "".join(character for character in text if character not in _INVISIBLE)
    spaced = "".join(" " if character.isspace() or _is_control(character) else character for character in kept)
    return unicodedata.normalize("NFC", re.sub(" +", " ", spaced).strip(" "))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def markup_of(element: ET.Element) -> str:
    """The inner markup of an element as it could stand in a file."""
    inner = html.escape(element.text or "", quote=False)
    return inner + "".join(ET.tostring(child, encoding="unicode") for child in element)


def has_formula(element: ET.Element) -> bool:
    return any("MathML" in child.tag for child in element.iter())


def flat_text(parts: Iterable[ET.Element]) -> str:
    """An abstract as it should read."""
    flat = []
    for part in parts:
        text = text_of_markup(markup_of(part))
        label = normal(part.get("Label", "")).rstrip(": ")
        if text:
            flat.append(
                f"{label}: {text}" if label and not re.fullmatch("unassigned|unlabel+ed", label, re.I) else text
            )
    return " ".join(flat)
