"""BibTeX, as Zotero, Mendeley and JabRef write it; entries by bibtexparser, LaTeX in texts resolved."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from typing import Any

from bibtexparser.entrypoint import parse_string
from bibtexparser.library import Library
from bibtexparser.middlewares import LatexDecodingMiddleware
from bibtexparser.middlewares.names import InvalidNameError, parse_single_name_into_parts, split_multiple_persons_names
from bibtexparser.model import Block, Entry, ParsingFailedBlock
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db

from bioqa_pipeline.sources.files.fields import Citation, author_name, cited, record_of
from bioqa_pipeline.sources.files.values import BadPart, Part

BEGIN = re.compile(r"\s*@\s*(?!comment|preamble)[A-Za-z]+\s*[{(]", re.IGNORECASE)
_KEY = re.compile(
    r"^([ \t]*@[ \t]*(?!comment|preamble|string)[A-Z]+[ \t]*[{(])[^\s,={}()\"]*[ \t]*,", re.IGNORECASE | re.MULTILINE
)
_SUFFIX = re.compile(r"(?:[JS]r|[IV]{2,3}|\d(?:nd|rd|th))\.?", re.IGNORECASE)
# A tie is LaTeX's.
_BLANK = re.compile(r"[\s~]+")
# In LaTeX it begins a comment, in BibTeX it does not.
_PERCENT = re.compile(r"(?<!\\)%")
# What may be more than text: signs of its own, and those that it makes one of.
_LATEX = re.compile(r"[\\{}$~%&#^_\"]|--|``|''|[?!]`|<<|>>|,,")
_MOST_REASON_CHARS = 200
_SIGNS = {
    "textless": "<", "textgreater": ">", "textquotedbl": '"', "textasciicircum": "^", "textasciitilde": "~",
    "textbraceleft": "{", "textbraceright": "}", "textsuperscript": "^", "textsubscript": "_",
}  # fmt: skip
# What they log is in the failed block anyway, or one line for each macro that is not used as it should be.
for _library in ("bibtexparser", "pylatexenc"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)


def bibtex_records(text: str) -> Iterator[Part]:
    """The entries of a file, in its order."""
    numbers = count()
    # Entries of one key would not all be read, and nobody asks for a key.
    text = _KEY.sub(lambda key: f"{key[1]}k{next(numbers)},", _PERCENT.sub(r"\\%", text))
    library = parse_string(text, append_middleware=[_Decoding(decoder=_decoder())])
    for block in library.blocks:
        line = (block.start_line or 0) + 1
        if isinstance(block, Entry):
            yield _record(block, line)
        elif isinstance(block, ParsingFailedBlock):
            reason = getattr(block.error, "abort_reason", "") or str(block.error) or "its braces do not pair"
            yield BadPart(line, f"it cannot be read: {' '.join(reason.split())[:_MOST_REASON_CHARS]}")


class _Decoding(LatexDecodingMiddleware):
    """Names are told apart by braces, which decoded texts have no more."""

    def transform_entry(self, entry: Entry, library: Library) -> Block:
        for field in entry.fields:
            if field.key.casefold() == "author":
                field.value = tuple(map(self._author, split_multiple_persons_names(field.value)))
        return super().transform_entry(entry, library)

    def _author(self, name: str) -> str:
        try:
            parts = parse_single_name_into_parts(name)
        except InvalidNameError:
            return author_name(self._decoded(name))
        if _BLANK.sub("", "".join((*parts.first, *parts.von, *parts.last))) == _BLANK.sub("", name):
            # No comma outside of braces: the name of a group, or of a person as it stands.
            return decoded if "," in (decoded := self._decoded(name)) else author_name(decoded)
        last, given, suffix = (self._decoded(" ".join(p)) for p in (parts.von + parts.last, parts.first, parts.jr))
        if suffix and not _SUFFIX.fullmatch(suffix):  # as others write it: "King, Martin Luther, Jr."
            given, suffix = suffix, given
        return cited(last, given, suffix)

    def _decoded(self, text: str) -> str:
        return self._transform_python_value_string(text)[0]


class _Decoder(LatexNodes2Text):  # type: ignore[misc]  # carries no types
    """Text in which nothing is LaTeX's, as most is, stays as it is: to read one takes a millisecond."""

    def latex_to_text(self, latex: str, **options: Any) -> str:
        return str(super().latex_to_text(latex, **options)) if _LATEX.search(latex) else latex


@lru_cache(maxsize=1)
def _decoder() -> LatexNodes2Text:
    """Its own leaves out, without a word, what it does not know: "p {\\textless} 0.05" would be "p 0.05"."""
    macros = get_default_latex_context_db()
    macros.add_context_category(
        "signs", macros=[MacroTextSpec(name, simplify_repl=sign) for name, sign in _SIGNS.items()], prepend=True
    )
    macros.set_unknown_macro_spec(MacroTextSpec("", simplify_repl=lambda node, **_: f"\\{node.macroname} "))
    return _Decoder(latex_context=macros, math_mode="text")


def _record(entry: Entry, line: int) -> Part:
    values = {field.key.casefold(): field.value for field in entry.fields}
    authors = values.pop("author", ())
    fields = {name: str(value) for name, value in values.items()}
    return record_of(
        Citation(
            title=_words(fields, "title"),
            abstract=_words(fields, "abstract"),
            journal=_words(fields, "journal", "journaltitle", "booktitle"),
            year=_words(fields, "year", "date"),
            date=_words(fields, "date") or " ".join((_words(fields, "month"), _words(fields, "day"))).strip(),
            doi=_words(fields, "doi"),
            pmid=_words(fields, "pmid"),
            pmcid=_words(fields, "pmcid", "pmc"),
            accession=_words(fields, "eprint"),
            database=_words(fields, "eprinttype"),
            language=_words(fields, "langid", "language"),
            authors=authors,
            types=("Journal Article" if entry.entry_type.casefold() == "article" else "",),
            notes=tuple(_words(fields, name) for name in ("note", "annote", "annotation", "url", "keywords")),
        ),
        line,
    )


def _words(fields: Mapping[str, str], *names: str) -> str:
    """The first field that there is."""
    return next((fields[name] for name in names if fields.get(name)), "")
