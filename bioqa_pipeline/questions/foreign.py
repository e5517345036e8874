"""A query in the syntax of Ovid, Embase, EBSCO, Cochrane, ProQuest, Scopus or Web of Science into PubMed's. Pure.

PubMed takes such a query without a word and searches for something else: `exp` and `adj3` as words, `.ti,ab.` not at
all. The form that is proposed is for the user to read; nothing that is found here is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice, product

# Ovid's and Embase's fields; those of title or abstract alone become title and abstract together.
_FIELDS = {
    **dict.fromkeys(("ti",), "ti"),
    **dict.fromkeys(("ab", "kf", "kw", "kp", "ky"), "tiab"),
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
# Possessive, and no deeper than three: an open bracket costs no more than what it holds.
_GROUP = r"\((?:[^()]++|\((?:[^()]++|\([^()]*+\))*+\))*+\)"
_ANY = rf"{_PHRASE}|{_GROUP}|{_WORD}"
_TERM = rf"(?P<term>{_ANY})"
_END = r"(?=$|[\s),])"
_HYPHENED = r"(?<![\w-])[\w-]{1,60}"
_HEADING = r"[A-Z0-9][\w'-]{0,40}(?:,? (?:(?:and|of|in|the|for) )?[A-Z0-9][\w'-]{0,40}){0,7}"


# Around a term they are Embase's quotation marks, as word processors write them.
_APOSTROPHES = str.maketrans("‘’", "''")


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
    query = query.translate(_APOSTROPHES)
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
    return re.sub(r"[$*?]\d*$", "*", term.strip().strip("\"'"))


def _tagged(term: str, tag: str) -> str:
    bare = _bare(term)
    return f'"{bare}"[{tag}]' if " " in bare and "*" not in bare else f"{bare}[{tag}]"


def _fielded(found: re.Match[str]) -> str:
    """Each term of a group with the tag that is behind the group."""
    tags = {_FIELDS[field] for field in found["fields"].lower().split(",")}
    tag = tags.pop() if len(tags) == 1 else "tiab" if tags <= {"ti", "tiab"} else "tw"
    return _each_tagged(re.sub(r"(?<=\w)\snext\s(?=\w)", " ", found["term"]), tag)


def _each_tagged(term: str, tag: str) -> str:
    if not term.startswith("("):
        return _tagged(term, tag)
    parts = _BETWEEN.split(term)
    parts[::2] = [part if "[" in part or not part.strip() else _beside(part, tag) for part in parts[::2]]
    return "".join(parts)


def _beside(part: str, tag: str) -> str:
    """What stands side by side without an operator; a phrase among it is a term of its own."""
    terms = re.findall(r"\"[^\"]+\"|[^\s\"]+", part) if '"' in part.strip().strip('"') else [part]
    return " AND ".join(_tagged(term, tag) for term in terms if term != "SAME")


def _heading(found: re.Match[str], *, explodes: bool) -> str:
    """A subject heading, with its subheadings, with or without the narrower ones below it."""
    name, groups = _bare(found["term"]), found.groupdict()
    tag = "majr" if groups.get("major") else "mh"
    tag += "" if explodes else ":noexp"
    subheadings = re.findall(r"[a-z]{2}", groups.get("subheadings") or "")
    terms = [f'"{name}/{subheading}"[{tag}]' for subheading in subheadings] or [f'"{name}"[{tag}]']
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


def _near(found: re.Match[str], *, step: re.Pattern[str], least: int) -> str:
    """Words at most so far apart, which PubMed counts by the words between; each word of a group by itself."""
    steps = step.findall(found["rest"])
    choices = [_choice(term) for term in (found["left"], *(term for _, term in steps))]
    distances = [max(0, int(distance) - least) for distance, _ in steps if distance]
    tag = f"tiab:~{sum(distances)}" if distances else "tiab"
    near = [f'"{" ".join(words)}"[{tag}]' for words in islice(product(*choices), _MOST_CHOICES)]
    return near[0] if len(near) == 1 else f"({' OR '.join(near)})"


def _choice(term: str) -> list[str]:
    parts = [part for part in _BETWEEN.split(term)[::2] if part.strip()]
    return [_bare(part).replace("*", "") for part in parts] or [term]


def _prefixed(found: re.Match[str]) -> str:
    """A term with its field before it."""
    return _each_tagged(found["term"], _PREFIXES.get(found["field"].lower(), "tiab"))


def _descriptor(found: re.Match[str]) -> str:
    """A subject heading as Cochrane's forms write it, in brackets or up to the next word in capitals."""
    name = (found["bracketed"] or found["named"]).strip().strip("'\"")
    return f'"{name}"[mh{"" if "explode" in (found["how"] or "").lower() else ":noexp"}]'


def _published(found: re.Match[str]) -> str:
    """Scopus' year of publication."""
    year, how = int(found["year"]), found["how"].upper()
    if how in (">", "AFT"):
        return f"{year + 1}:3000[dp]"
    return f"1800:{year - 1}[dp]" if how in ("<", "BEF") else f"{year}[dp]"


def _limit_to(found: re.Match[str]) -> str:
    """Scopus' limits; those that PubMed has no field for go."""
    value = found["value"].strip().strip('"')
    tag = {"LANGUAGE": "la", "PUBYEAR": "dp", "EXACTKEYWORD": "tw", "EXACTSRCTITLE": "ta"}.get(found["field"])
    kinds = {"re": "review[pt]", "ar": '"journal article"[pt]'} if found["field"] == "DOCTYPE" else {}
    limit = _tagged(value, tag) if tag else kinds.get(value)
    return "all[sb]" if limit is None else f"(all[sb] NOT {limit})" if found["how"] == "EXCLUDE" else limit


def _title_and_abstract(found: re.Match[str]) -> str:
    title, abstract = _each_tagged(found["title"], "ti"), _each_tagged(found["abstract"], "tiab")
    return f"{title} {found['operator']} {abstract}"


def _limit(found: re.Match[str]) -> str:
    """A limit of Embase: years, a language, a database, whom it is about; any other one is a type of publication."""
    said = found["limit"].lower()
    if years := re.fullmatch(r"(\d{4})(?:-(\d{4}))?", said):
        return f"{years[1]}:{years[2] or years[1]}[dp]"
    return _LIMITS.get(said) or f'"{said}"[pt]'


def _proximity(database: str, operator: str, least: int, flags: re.RegexFlag = re.NOFLAG) -> _Rule:
    """Terms that an operator joins, one or several times.

    Args:
        operator: with the distance as its one group.
        least: what the database says of words side by side.
    """
    plain = operator.replace(r"(\d", r"(?:\d")
    chain = re.compile(rf"(?P<left>{_ANY})(?P<rest>(?:\s+{plain}\s+(?:{_ANY})){{1,8}})", flags)
    step = re.compile(rf"\s+{operator}\s+({_ANY})", flags)
    return _Rule(database, chain, partial(_near, step=step, least=least))


# What a language or a database or a subject is, in Embase's limits.
_LIMITS = {
    **{name: f"{name}[la]" for name in ("english", "french", "german", "spanish", "italian", "chinese", "japanese")},
    **{name: f"{name}[mh]" for name in ("adult", "aged", "adolescent", "child", "infant", "female", "male")},
    **dict.fromkeys(("human", "humans"), "humans[mh]"),
    **dict.fromkeys(("animal", "animals"), "animals[mh]"),
    **dict.fromkeys(("embase", "medline", "pubmed-not-medline"), "medline[sb]"),
    **dict.fromkeys(("abstract", "abstracts"), "hasabstract"),
    **{"article": '"journal article"[pt]', "review": "review[pt]"},
}
_BETWEEN = re.compile(r"(\s*[()]+\s*|\s+(?:and|or|not)\s+)", re.IGNORECASE)
_MOST_CHOICES = 30
_PREFIXES = {
    **dict.fromkeys(("ti", "title"), "ti"),
    **dict.fromkeys(("su", "mesh", "mainsubject", "mh", "indexterms"), "mh"),
    **dict.fromkeys(("key", "authkey"), "ot"),
    **dict.fromkeys(("noft", "tw", "all"), "tw"),
    **{"mjmainsubject": "majr", "auth": "au", "srctitle": "ta", "journal": "ta", "language": "la", "pub_year": "dp"},
}
_WEB_FIELDS = {"TS": "tw", "TI": "ti", "AB": "tiab", "AK": "tiab", "ALL": "tw", "AU": "au", "SO": "ta", "LA": "la",
               "All": "tw", "all": "tw", "DT": "pt", "KP": "tiab", "SU": "tw", "WC": "tw", "DE": "mh"}  # fmt: skip
_EXPLODED = r"[^/()\[\]\"]{1,100}"
_SUBHEADINGS = r"(?P<subheadings>[a-z]{2}(?:,\s?[a-z]{2}){0,15})?(?:\s?\[[A-Z][^\[\]]{1,80}\])?"
_EMTREE = r"(?:/d[dm]_\w\w(?:,d[dm]_\w\w){0,9})?"
_QUALIFIED = r"(?:(?: and)? with qualifiers?(?:\(s\))?:? (?:\[[^\[\]]{1,80}\]|[A-Z]{2}(?:,\s?[A-Z]{2})*))?"
_RULES = (
    _Rule("Ovid", re.compile(rf"(?<![/\w])exp\s+(?P<major>\*)?\"?(?P<term>{_EXPLODED})\"?/{_SUBHEADINGS}{_END}", re.I),
          partial(_heading, explodes=True)),
    _Rule("Embase", re.compile(rf"(?P<term>{_PHRASE}|{_HYPHENED})/exp(?P<major>/mj)?{_EMTREE}{_END}"),
          partial(_heading, explodes=True)),
    _Rule("Embase", re.compile(rf"(?P<term>{_PHRASE}|{_HYPHENED})/(?:de|br)?(?P<major>/?mj)?(?<=[erj]){_END}"),
          partial(_heading, explodes=False)),
    _Rule("Ovid", re.compile(rf"(?<!\w)(?P<major>\*)?(?P<term>{_HEADING})/{_SUBHEADINGS}{_END}"),
          partial(_heading, explodes=False)),
    _Rule("Ovid", re.compile(rf"(?<!\w)(?P<major>\*)?(?P<term>[a-z-]{{3,40}})/{_END}"),
          partial(_heading, explodes=False)),
    _Rule("Embase", re.compile(rf"(?P<term>{_PHRASE}|{_HYPHENED})/syn{_END}"),
          lambda found: _tagged(found["term"], "tw")),
    _Rule("Ovid", re.compile(r"(?<!\w)(?P<term>[a-z][a-z -]{2,60})/(?P<subheadings>[a-z]{2}(?:, ?[a-z]{2}){0,9}) "
                             r"\[[A-Z][^\[\]]{1,80}\]", re.I), partial(_heading, explodes=False)),
    _Rule("EBSCO", re.compile(r"\(?\bM(?:H|J|(?P<major>M)) \"(?P<term>[^\"+]{1,100})\+(?:/[A-Z]{2})*\"\)?"),
          partial(_heading, explodes=True)),
    _Rule("EBSCO", re.compile(r"\(?\b(?:M(?:H|J|(?P<major>M))|DE|SU) \"(?P<term>[^\"+]{1,100})\"\)?"),
          partial(_heading, explodes=False)),
    _Rule("Cochrane", re.compile(r"\[mh (?P<not>\^)?(?P<term>\"[^\"]{1,100}\"|[^\[\]/\"^]{1,100})"
                                 r"(?P<with>/[A-Z]{2})?\]", re.I),
          lambda found: f'"{_bare(found["term"])}{found["with"] or ""}"[mh{":noexp" if found["not"] else ""}]'),
    _Rule("Cochrane", re.compile(r"(?i:\bMeSH descriptor:?)\s+(?:\[(?P<bracketed>[^\[\]]{1,100})\]"
                                 r"|(?P<named>[^\[\]()]{1,100}?))"
                                 r"(?P<how>(?i:,? explode all trees|,? explode [\d ]+|,? this term only))?"
                                 rf"(?i:{_QUALIFIED})(?=\s*$|\s*\)|\s+(?:AND|OR|NOT)\s|(?<=\])\s)"), _descriptor),
    _Rule("Cochrane", re.compile(r"(?:(?<=,kw)|(?<=,ab)|(?<=:ti)|(?<=trees)|(?<=only)|(?<=\]))\s+in (?:Trials|"
                                 r"Cochrane Reviews|All Products)\b.{0,80}$"), lambda _: ""),
    _Rule("Ovid", re.compile(r"\s?/freq=\d{1,3}"), lambda _: ""),
    _Rule("Ovid", re.compile(r"\[mp=[^\[\]]*\]"), lambda _: ""),
    _Rule("Embase", re.compile(r"\[(?P<limit>[\w -]{1,40})\]/(?:lim|py)\b"), _limit),
    _proximity("Ovid", r"adj(\d{0,3})", 1, re.I),
    _proximity("Embase", r"(?:near|next)/(\d{1,3})", 0, re.I),
    _proximity("Web of Science", r"(?:NEAR|NEXT)(\d{0,2})", 0),
    _proximity("EBSCO", r"(?:[NW]|(?i:near))(\d{1,3})", 0),
    _proximity("Scopus", r"(?:W|PRE)/(\d{1,3})", 0, re.I),
    _Rule("Ovid", re.compile(rf"{_TERM}\.{_LIST}(?:\.|(?<=,\w\w)|(?<=\.(?:ti|ab|tw|mp|kf|kw))){_END}", re.I), _fielded),
    _Rule("Embase", re.compile(rf"{_TERM}:{_LIST}{_END}", re.I), _fielded),
    _Rule("Web of Science", re.compile(r"\b(?:PY|DP)=\(?(?P<from>\d{4})(?:-(?P<to>\d{4}))?\)?"),
          lambda found: f"{found['from']}:{found['to'] or found['from']}[dp]"),
    _Rule("Web of Science", re.compile(rf"\b(?P<field>{'|'.join(_WEB_FIELDS)})(?:=\s?| = ?(?=\())"
                                       rf"(?P<term>{_PHRASE}|{_GROUP}|{_SIGN}{{1,60}})"),
          lambda found: _each_tagged(found["term"], _WEB_FIELDS[found["field"]])),
    _Rule("Scopus", re.compile(r"\bPUBYEAR\s*(?P<how>[<>=]|(?i:aft|bef|is))\s*(?P<year>\d{4})"), _published),
    _Rule("Scopus", re.compile(r"\b(?P<how>LIMIT-TO|EXCLUDE)\s*\(\s*(?P<field>[A-Z]+)\s*,\s*(?P<value>[^()]{1,80})\)"),
          _limit_to),
    _Rule("Scopus", re.compile(rf"\b(?P<field>(?:TITLE(?:-ABS)?(?:-KEY)?(?:-AUTH)?|ABS-KEY|SRCTITLE)(?=\s*\()"
                               rf"|(?:ALL|ABS|KEY|AUTH|AUTHKEY|INDEXTERMS|LANGUAGE)(?=\())\s*(?P<term>{_GROUP})"),
          _prefixed),
    # "TI" and "AB" before a single word may be words themselves, unless both are there.
    _Rule("EBSCO", re.compile(rf"(?:^|(?<=[ (]))TI\s+(?P<title>{_ANY})\s+(?P<operator>AND|OR|NOT)\s+"
                              rf"AB\s+(?P<abstract>{_ANY})"), _title_and_abstract),
    _Rule("EBSCO", re.compile(rf"(?:^|(?<=[ (]))(?P<field>TI|AB)\s+(?P<term>{_PHRASE}|{_GROUP})"), _prefixed),
    _Rule("EBSCO", re.compile(rf"(?:(?<=AND )|(?<=OR )|(?<=NOT ))(?P<field>TI|AB)\s+"
                              rf"(?!AND |OR |NOT )(?P<term>{_WORD})"),
          _prefixed),
    _Rule("ProQuest", re.compile(rf"(?<![\w\]-])(?P<field>ti|ab|ti,ab|noft|su|mesh|(?:mj)?mainsubject)"
                                 rf"(?:\.exact|\.explode){{0,2}}"
                                 rf"(?P<term>{_GROUP})", re.I), _prefixed),
    _Rule("Europe PMC", re.compile(rf"(?<![\w\"')\[])(?P<field>title(?:_abs)?|ti|abstract|kw|mesh|mh|tw|auth|"
                                   rf"journal|pub_year):(?P<term>{_ANY})", re.I),
          _prefixed),
    _Rule("Ovid", re.compile(r"\b(?P<term>\w{2,60})\$\d*"), lambda found: f"{found['term']}*"),
)  # fmt: skip
