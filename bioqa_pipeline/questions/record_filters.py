"""Which records may be asked, by type, MeSH heading, journal and language: into PubMed's field tags and into what a
record says of itself. Pure.

A record passes that has one of the names of each kind. Capitals, accents and punctuation make no difference. PubMed
takes a heading and a type with all that stand below them; a record does not say what stands below, so that of records
the headings themselves are compared, and of types those of trials are known to be trials.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bioqa_pipeline.questions.languages import NAMES, language_codes, language_name

if TYPE_CHECKING:
    from bioqa_pipeline.records.texts import Abstract

KINDS = ("publication_type", "mesh", "journal", "language")
MOST_NAME_CHARS = 300
_WORDS = {
    "publication_type": "publication type",
    "mesh": "MeSH heading",
    "journal": "journal",
    "language": "language",
}
_TAGS = {"publication_type": "pt", "mesh": "mh", "journal": "ta"}
_SYNTAX = re.compile(r'["“”*]')
_TAGGED = re.compile(r"\[([^\[\]:]*)(?::[^\[\]]*)?\]$")
_NLM_ID = re.compile(r"\d{6,9}[A-Za-z]?")
_WORD = re.compile(r"[^\W_]+")
_BEHIND_TITLE = re.compile(r"\s*\([^()]*\)\s*$")
_TRIALS = (
    *("Adaptive Clinical Trial", "Clinical Trial, Phase I", "Clinical Trial, Phase II", "Clinical Trial, Phase III"),
    *("Clinical Trial, Phase IV", "Controlled Clinical Trial", "Equivalence Trial", "Pragmatic Clinical Trial"),
    "Randomized Controlled Trial",
)
_KNOWN_TYPES_TEXT = """
Address | Autobiography | Bibliography | Biography | Case Reports | Classical Article | Clinical Conference
| Clinical Study | Clinical Trial | Clinical Trial Protocol | Clinical Trial, Veterinary | Collected Work | Comment
| Comparative Study | Congress | Consensus Development Conference | Consensus Development Conference, NIH
| Corrected and Republished Article | Dataset | Dictionary | Directory | Duplicate Publication | Editorial
| English Abstract | Evaluation Study | Expression of Concern | Festschrift | Government Publication | Guideline
| Historical Article | Interactive Tutorial | Interview | Introductory Journal Article | Journal Article | Lecture
| Legal Case | Legislation | Letter | Meta-Analysis | Multicenter Study | Network Meta-Analysis | News
| Newspaper Article | Observational Study | Observational Study, Veterinary | Overall | Patient Education Handout
| Periodical Index | Personal Narrative | Portrait | Practice Guideline | Preprint | Published Erratum
| Randomized Controlled Trial, Veterinary | Research Support, American Recovery and Reinvestment Act
| Research Support, N.I.H., Extramural | Research Support, N.I.H., Intramural | Research Support, Non-U.S. Gov't
| Research Support, U.S. Gov't, Non-P.H.S. | Research Support, U.S. Gov't, P.H.S. | Retracted Publication
| Retraction of Publication | Retraction Notice | Review | Scientific Integrity Review | Scoping Review
| Systematic Review | Technical Report | Twin Study | Validation Study | Video-Audio Media | Webcast
"""
KNOWN_TYPES = (*(name.strip() for name in _KNOWN_TYPES_TEXT.split("|")), *_TRIALS)


def _is_tag(text: str) -> bool:
    # Where a name is asked about: a command that only shows its help needs none of this.
    from bioqa_pipeline.questions.query_lint import FIELD_TAGS

    return text.strip().lower() in FIELD_TAGS


def folded(name: str) -> str:
    """The form in which names are compared."""
    plain = unicodedata.normalize("NFKD", name.replace("&", " and ")).casefold()
    return " ".join(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))[:MOST_NAME_CHARS]


_BELOW = {
    folded("Clinical Trial"): tuple(map(folded, _TRIALS)),
    folded("Controlled Clinical Trial"): (folded("Randomized Controlled Trial"),),
}
_BY_FOLDED = {folded(name): name for name in KNOWN_TYPES}


@dataclass(frozen=True, slots=True)
class RecordFilters:
    """The names of each kind, as they were written; none takes every record.

    Raises:
        ValueError: a name that none can be, in words.
    """

    publication_type: tuple[str, ...] = ()
    mesh: tuple[str, ...] = ()
    journal: tuple[str, ...] = ()
    language: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, name in self._named():
            if not folded(name):
                raise ValueError(f"`{kind} {name}` is the name of no {_WORDS[kind]}: give one, or leave it out")
            tagged = _TAGGED.search(name)
            if (
                _SYNTAX.search(name)
                or (tagged and _is_tag(tagged[1]))
                or not name.isprintable()
                or len(name) > MOST_NAME_CHARS
            ):
                raise ValueError(
                    f"`{kind} {name[:80]}`: give the whole name of a {_WORDS[kind]} alone, without quotation marks, "
                    "field tag or *"
                )
            if kind == "language" and not language_codes(name):
                near = get_close_matches(name.casefold(), NAMES, 1)
                meant = f"; is {near[0].capitalize()} meant?" if near else ""
                raise ValueError(f"`language {name}` is none: give a code as eng or a name as English{meant}")

    def __bool__(self) -> bool:
        return any(True for _ in self._named())

    def _named(self) -> Iterable[tuple[str, str]]:
        return ((kind, name) for kind in KINDS for name in getattr(self, kind))

    def terms(self) -> list[str]:
        """PubMed's expression for each kind that is asked for."""
        terms = []
        for kind in KINDS:
            names = dict.fromkeys(_term(kind, name) for name in getattr(self, kind))
            if names:
                terms.append(next(iter(names)) if len(names) == 1 else f"({' OR '.join(names)})")
        return terms

    def wanted(self) -> dict[str, frozenset[str]]:
        """Kind -> the values of which a record must have one, as `record_values` gives them."""
        wanted: dict[str, set[str]] = {}
        for kind, name in self._named():
            wanted.setdefault(kind, set()).update(_wanted(kind, name))
        return {kind: frozenset(values) for kind, values in wanted.items()}

    def left_out(self, record: Abstract) -> str | None:
        """Why a record does not pass; None where it does."""
        values = record_values(
            publication_types=record.publication_types,
            mesh_terms=record.mesh_terms,
            languages=record.languages,
            journal=record.journal,
            journal_names=record.journal_names,
        )
        for kind, wanted in self.wanted().items():
            if wanted.isdisjoint(values[kind]):
                return f"left out by the filter: its {_WORDS[kind]} is not {' or '.join(getattr(self, kind))}"
        return None

    def notes(self, *, by_pubmed: bool) -> list[str]:
        """What the user should know of them.

        Args:
            by_pubmed: they are sent to PubMed, and not compared with records here.
        """
        notes = []
        for name in self.publication_type:
            if folded(name) not in _BY_FOLDED:
                near = [_BY_FOLDED[n] for n in get_close_matches(folded(name), _BY_FOLDED, 3)]
                meant = f"; near it are {', '.join(near)}" if near else ""
                notes.append(f"publication type {name} is none that this program knows of{meant}")
        if self.mesh and not by_pubmed:
            notes.append(
                "MeSH headings are compared with those of the records themselves: what stands below a heading in the "
                "tree is not found by it, as it is in PubMed; give each heading"
            )
        if qualified := [name for name in self.mesh if "/" in name and not by_pubmed]:
            notes.append(f"records keep MeSH headings without qualifiers: {', '.join(qualified)} is read without")
        return notes

    def described(self) -> str:
        """All of them in words: "publication type Review or Meta-Analysis; language English"."""
        named = {_WORDS[kind]: " or ".join(getattr(self, kind)) for kind in KINDS if getattr(self, kind)}
        return "; ".join(f"{kind} {names}" for kind, names in named.items())


ALL_RECORDS = RecordFilters()


def record_values(
    *,
    publication_types: Iterable[str],
    mesh_terms: Iterable[str],
    languages: Iterable[str],
    journal: str,
    journal_names: Iterable[str],
) -> Mapping[str, frozenset[str]]:
    """Kind -> what a record says of itself, folded."""
    titles = (journal, _BEHIND_TITLE.sub("", journal))
    return {
        "publication_type": frozenset(map(folded, publication_types)),
        "mesh": frozenset(map(folded, mesh_terms)),
        "journal": frozenset(filter(None, (_journal(name) for name in (*titles, *journal_names)))),
        "language": frozenset(name.casefold() for name in languages),
    }


def _journal(name: str) -> str:
    return folded(name).removeprefix("the ")


def _wanted(kind: str, name: str) -> Iterable[str]:
    match kind:
        case "language":
            return language_codes(name)
        case "journal":
            return (_journal(name),)
        case "mesh":
            return (folded(name.partition("/")[0]),)
        case _:
            return (folded(name), *_BELOW.get(folded(name), ()))


def _term(kind: str, name: str) -> str:
    if kind == "language":
        return " OR ".join(f"{language_name(code)}[la]" for code in language_codes(name)[:1])
    tag = "jid" if kind == "journal" and _NLM_ID.fullmatch(name) else _TAGS[kind]
    quoted = " ".join(name.translate({ord("["): " ", ord("]"): " "}).split())
    return f'"{quoted}"[{tag}]'
