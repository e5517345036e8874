"""A query in the syntax of Ovid, Embase, EBSCO, Scopus or Web of Science into PubMed's form of it. Pure.

PubMed takes such a query without a word and searches for something else: `exp` and `adj3` as words, `.ti,ab.` not at
all. The form that is proposed is for the user to read; nothing that is found here is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

# Ovid's and Embase's fields; those of title or abstract alone become title and abstract together.
_FIELDS = {
    **dict.fromkeys(("ti",), "ti"),
    **dict.fromkeys(("ab", "kf", "kw", "kp"), "tiab"),
    **dict.fromkeys(("tw", "mp", "af", "tx"), "tw"),
    **dict.fromkeys(("sh", "hw", "de"), "mh"),
    **dict.fromkeys(("au",), "au"),
    **dict.fromkeys(("jn", "jt", "ja", "so"), "ta"),
    **dict.fromkeys(("pt", "it"), "pt"),
    **dict.fromkeys(("la", "lg"), "la"),
    **dict.fromkeys(("yr", "py", "dp"), "dp"),
    **dict.fromkeys(("rn", "nm"), "nm"),
}
_FIELD = "|".join(sorted(_FIELDS))
_LIST = rf"(?P<fields>(?:{_FIELD})(?:,(?:{_FIELD})){{0,9}})"
# A term as such a search writes it: a word, a phrase in quotation marks, or a group of those.
_SIGN = r"[^\s()\[\]\"':./,;]"
_WORD = rf"(?<!{_SIGN}){_SIGN}{{1,60}}"
_PHRASE = r"\"[^\"]{1,200}\"|(?<!\w)'[^']{1,200}'"
_TERM = rf"(?P<term>{_PHRASE}|\([^()]{{1,2000}}\)|{_WORD})"
_END = r"(?=$|[\s),])"
_HYPHENED = r"(?<![\w-])[\w-]{1,60}"
_HEADING = r"[A-Z0-9][\w'-]{0,40}(?:,? (?:(?:and|of|in|the|for) )?[A-Z0-9][\w'-]{0,40}){0,7}"


@dataclass(frozen=True, slots=True)
class ForeignQuery:
    """A query that is not in PubMed's syntax.

    Attributes:
        fragments: what is not, as it was written, each with the name of its database.
        pubmed: the whole query in PubMed's form, as far as it has one.
    """

    fragments: tuple[tuple[str, str], ...]
    pubmed: str


def read_foreign(query: str) -> ForeignQuery | None:
    """The query in PubMed's form; None where it is PubMed's already."""
    found = [(match, rule.database) for rule in _RULES for match in rule.pattern.finditer(query)]
    if not found:
        return None
    fragments: list[tuple[str, str]] = []
    end = 0
    for match, database in sorted(found, key=lambda one: (one[0].start(), -one[0].end())):
        if match.end() > end:
            fragments.append((match.group().strip(), database))
            end = match.end()
    pubmed = query
    for rule in _RULES:
        pubmed = rule.pattern.sub(rule.write, pubmed)
    pubmed = re.sub(r"'([^'\"]{1,200})'(?!\w)", r'"\1"', pubmed)
    parts = re.split(r"(\"[^\"]*\")", pubmed)
    parts[::2] = [re.sub(r"\b(?:and|or|not)\b", lambda found: found[0].upper(), part) for part in parts[::2]]
    return ForeignQuery(tuple(dict.fromkeys(fragments)), " ".join("".join(parts).split()))


@dataclass(frozen=True, slots=True)
class _Rule:
    """What one construct looks like, and how PubMed writes it."""

    database: str
    pattern: re.Pattern[str]
    write: Callable[[re.Match[str]], str]


def _bare(term: str) -> str:
    """A term without its quotation marks, truncated as PubMed does it."""
    return re.sub(r"[$*]\d*$", "*", term.strip().strip("\"'"))


def _tagged(term: str, tag: str) -> str:
    bare = _bare(term)
    return f'"{bare}"[{tag}]' if " " in bare and "*" not in bare else f"{bare}[{tag}]"


def _fielded(found: re.Match[str]) -> str:
    """Each term of a group with the tag that is behind the group."""
    tags = {_FIELDS[field] for field in found["fields"].lower().split(",")}
    tag = tags.pop() if len(tags) == 1 else "tiab" if tags <= {"ti", "tiab"} else "tw"
    term = found["term"]
    if not term.startswith("("):
        return _tagged(term, tag)
    parts = re.split(r"(\s+(?:and|or|not)\s+)", term[1:-1], flags=re.IGNORECASE)
    parts[::2] = [part if "[" in part else _tagged(part, tag) for part in parts[::2]]
    return f"({''.join(parts)})"


def _heading(found: re.Match[str], *, explodes: bool) -> str:
    """A subject heading, with its subheadings, with or without the narrower ones below it."""
    name, groups = _bare(found["term"]), found.groupdict()
    tag = "majr" if groups.get("major") else "mh"
    tag += "" if explodes else ":noexp"
    subheadings = re.findall(r"[a-z]{2}", groups.get("subheadings") or "")
    terms = [f'"{name}/{subheading}"[{tag}]' for subheading in subheadings] or [f'"{name}"[{tag}]']
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


def _near(found: re.Match[str], *, least: int) -> str:
    """Two words at most so far apart, which PubMed counts by the words between."""
    words = f"{_bare(found['left'])} {_bare(found['right'])}".replace("*", "")
    distance = found["n"]
    return f'"{words}"[tiab:~{max(0, int(distance) - least)}]' if distance else f'"{words}"[tiab]'


def _limit(found: re.Match[str]) -> str:
    said = found["limit"].lower()
    if years := re.fullmatch(r"(\d{4})(?:-(\d{4}))?", said):
        return f"{years[1]}:{years[2] or years[1]}[dp]"
    known = {"humans": "humans[mh]", "animals": "animals[mh]", "abstracts": "hasabstract", "review": "review[pt]"}
    return known.get(said) or (f"{said}[la]" if said in {"english", "french", "german", "spanish"} else "medline[sb]")


def _pair(operator: str) -> str:
    return rf"(?P<left>{_PHRASE}|{_WORD})\s+{operator}\s+(?P<right>{_PHRASE}|{_WORD})"


_EXPLODED = r"[^/()\[\]\"]{1,100}"
_SUBHEADINGS = r"(?P<subheadings>[a-z]{2}(?:,\s?[a-z]{2}){0,15})?"
_RULES = (
    _Rule("Ovid", re.compile(rf"(?<![/\w])exp\s+(?P<major>\*)?(?P<term>{_EXPLODED})/{_SUBHEADINGS}{_END}", re.I),
          partial(_heading, explodes=True)),
    _Rule("Embase", re.compile(rf"(?P<term>{_PHRASE}|{_HYPHENED})/exp(?P<major>/mj)?{_END}"),
          partial(_heading, explodes=True)),
    _Rule("Embase", re.compile(rf"(?P<term>{_PHRASE}|{_HYPHENED})/(?:de|br)?(?P<major>/?mj)?(?<=[erj]){_END}"),
          partial(_heading, explodes=False)),
    _Rule("Ovid", re.compile(rf"(?<!\w)(?P<major>\*)?(?P<term>{_HEADING})/{_SUBHEADINGS}{_END}"),
          partial(_heading, explodes=False)),
    _Rule("Ovid", re.compile(rf"(?<!\w)(?P<major>\*)?(?P<term>[a-z-]{{3,40}})/{_END}"),
          partial(_heading, explodes=False)),
    _Rule("EBSCO", re.compile(r"\(?\bM[HJM] \"(?P<term>[^\"]{1,100})\+\"\)?"), partial(_heading, explodes=True)),
    _Rule("EBSCO", re.compile(r"\(?\bM[HJM] \"(?P<term>[^\"+]{1,100})\"\)?"), partial(_heading, explodes=False)),
    _Rule("Embase", re.compile(r"\[(?P<limit>[\w -]{1,40})\]/(?:lim|py)\b"), _limit),
    _Rule("Ovid", re.compile(_pair(r"adj(?P<n>\d{0,3})"), re.I), partial(_near, least=1)),
    _Rule("Embase", re.compile(_pair(r"(?:near|next)/(?P<n>\d{1,3})"), re.I), partial(_near, least=0)),
    _Rule("EBSCO", re.compile(_pair(r"[NW](?P<n>\d{1,3})")), partial(_near, least=0)),
    _Rule("Scopus", re.compile(_pair(r"(?:W|PRE)/(?P<n>\d{1,3})")), partial(_near, least=0)),
    _Rule("Ovid", re.compile(rf"{_TERM}\.{_LIST}(?:\.|(?<=,\w\w)){_END}", re.I), _fielded),
    _Rule("Embase", re.compile(rf"{_TERM}:{_LIST}{_END}", re.I), _fielded),
    _Rule("Web of Science", re.compile(rf"\bT(?P<fields>S|I)=(?P<term>\([^()]{{1,2000}}\)|{_PHRASE}|{_WORD})"),
          lambda found: _grouped(found, {"S": "tw", "I": "ti"}[found["fields"]])),
    _Rule("Scopus", re.compile(r"\bTITLE(?:-ABS)?(?:-KEY)?(?P<term>\([^()]{1,2000}\))"),
          lambda found: _grouped(found, "tiab")),
    _Rule("Ovid", re.compile(r"\b(?P<term>\w{2,60})\$\d*"), lambda found: f"{found['term']}*"),
)  # fmt: skip


def _grouped(found: re.Match[str], tag: str) -> str:
    parts = re.split(r"(\s+(?:and|or|not)\s+)", found["term"].strip("()"), flags=re.IGNORECASE)
    parts[::2] = [_tagged(part, tag) for part in parts[::2]]
    return f"({''.join(parts)})"
