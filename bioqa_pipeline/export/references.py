"""Abstracts with their answers into libraries of references: RIS by rispy, BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import rispy

from bioqa_pipeline.pubmed.links import pubmed_url
from bioqa_pipeline.text import normalize_text

# The last of the authors where a data set names the first ones only.
ET_AL = "et al."
# "Makar AB", "King ML Jr"; but no group's name. Read by Python and by the script of a run's page.
NAME = r"^(.+?) ((?:[A-ZÀ-Þ][a-z]?){1,4})(?: (Jr|Sr|2nd|3rd|4th|II|III|IV))?$"
GROUP = (
    r"\b([Gg]roup|[Ss]tudy|[Tt]rial|[Tt]eam|[Nn]etwork|[Cc]onsortium|[Cc]ollabor\w+|[Ii]nvestigators|[Cc]ommittee|[Ss]ociety"
    r"|[Aa]ssociation|of|for|and|the|The)\b"
)
_NAME, _GROUP = re.compile(NAME), re.compile(GROUP)
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}", "%": r"\%", "$": r"\$",
    "&": r"\&", "#": r"\#", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
}  # fmt: skip
_SPECIAL = re.compile(r"[\\{}%$&#_^~]")
# LaTeX makes one sign of two: -- `` '' << >> ?` !` ,,
_LIGATURE = re.compile(r"([-`'<>,?!])(?=[-`'<>,])")
_PLAIN_DOI = re.compile(r"[^\s{}\\]+")


class _Writer(rispy.RisWriter):  # type: ignore[misc]  # carries no types
    """Without a number before each record, which RIS does not know."""

    def set_header(self, count: int) -> str:
        return ""


def as_ris(abstracts: pl.DataFrame) -> str:
    """A record for each abstract; its answers and their sentences are notes (N1)."""
    records = [_ris(row) for row in abstracts.iter_rows(named=True)]
    return rispy.dumps(records, implementation=_Writer) if records else ""


def as_bibtex(abstracts: pl.DataFrame) -> str:
    """An entry for each abstract, called pmidNUMBER; its answers and their sentences are `note` and `annote`."""
    return "\n".join(map(_bibtex, abstracts.iter_rows(named=True)))


def _ris(row: Mapping[str, Any]) -> dict[str, Any]:
    pmid, url = str(row["pmid"]), pubmed_url(row["pmid"])
    fields = {
        "type_of_reference": "JOUR",
        "title": _line(row["title"]),
        "authors": [", ".join(filter(None, _name(name))) for name in row.get("authors") or ()],
        "secondary_title": _line(row["journal"]),
        "year": str(row["pub_year"] or ""),
        "date": (row["pub_date"] or "").replace("-", "/"),
        "doi": _line(row["doi"]),
        "accession_number": pmid,
        "name_of_database": "PubMed" if url else "",
        "database_provider": "NLM" if url else "",
        "urls": [url] if url else [],
        "notes": [_number(row["pmid"]), *_notes(row)],
    }
    return {name: value for name, value in fields.items() if value}


def _bibtex(row: Mapping[str, Any]) -> str:
    pmid, doi = str(row["pmid"]), row["doi"] or ""
    fields = {
        "title": _braced(row["title"]),
        "author": " and ".join(map(_bibtex_name, row.get("authors") or ())),
        "journal": _latex(row["journal"]),
        "year": str(row["pub_year"] or ""),
        "date": row["pub_date"] or "",
        # Neither of them is set as text.
        "doi": doi if _PLAIN_DOI.fullmatch(doi) else "",
        "url": pubmed_url(row["pmid"]) or "",
        "pmid": pmid,
        "note": _number(row["pmid"]),
        "annote": " ".join(map(_latex, _notes(row))),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@article{{pmid{pmid},", *lines, "}", ""])


def _number(pmid: int) -> str:
    return f"PMID: {pmid}" if pubmed_url(pmid) else f"PMID: {pmid}, not in PubMed"


def _name(author: str) -> tuple[str, str, str]:
    """(surname, initials, suffix) of a name as PubMed cites it; of a group the first alone."""
    parts = None if _GROUP.search(author) else _NAME.match(_line(author))
    return (parts[1], parts[2], parts[3] or "") if parts else (_line(author), "", "")


def _bibtex_name(author: str) -> str:
    """Without its comma a surname would pass for a given name; in braces the words of a group stay together."""
    surname, initials, suffix = map(_latex, _name(author))
    if author == ET_AL:
        return "others"
    return ", ".join(filter(None, (surname, suffix, initials))) if initials else f"{{{surname}}}"


def _notes(row: Mapping[str, Any]) -> Iterator[str]:
    if how := row.get("retraction") or "retracted" * row["is_retracted"]:
        yield f"{how.capitalize()}."
    answers: Sequence[Mapping[str, Any]] = row["answers"]
    for given in answers:
        probability = given["probability"]
        weighed = "" if probability is None else f" (probability {probability:.2f})"
        yield _line(f"{given['question']} – {given['answer']}{weighed}: “{given['evidence'] or ''}”")


def _line(text: str | None) -> str:
    """In one line, as both formats have a field."""
    return normalize_text(text or "")


def _latex(text: str | None) -> str:
    return _LIGATURE.sub(r"\1{}", _SPECIAL.sub(lambda sign: _LATEX[sign.group()], _line(text)))


def _braced(text: str | None) -> str:
    """In braces of its own, so that its capitals stay."""
    return f"{{{latex}}}" if (latex := _latex(text)) else ""
