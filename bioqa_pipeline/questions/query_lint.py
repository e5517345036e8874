"""A PubMed query that a user wrote into what is wrong with it.

PubMed ignores an unknown field tag or a typographic quotation mark without a word and searches for something else; such
slips are found here before anything is sent.
"""

from __future__ import annotations

import re

from bioqa_pipeline.questions.foreign import read_foreign

# Tags of the PubMed user guide, short and long; PubMed takes them in any case.
_TAG_LINES = """
ad; affl; affiliation
aid; article identifier; lid; location id; doi; pii
all; all fields
au; auth; author; 1au; fau; full author name; first author; first author name; lastau; last author; last author name
auid; author - identifier; cn; corporate author; author - corporate; ir; investigator; fir; full investigator name
author - first; author - full; author - last
book; ed; editor; isbn; pubn; publisher
cois; conflict of interest statements
crdt; date - create; create date; dcom; date - completion; completion date
dp; pdat; date - publication; publication date; ppdat; epdat
edat; date - entry; entry date; entrez date; lr; mdat; date - modification; modification date
mhda; date - mesh; mesh date
rn; ec/rn number; nm; substance name; supplementary concept; pa; pharmacological action
filter; sb; subset; gr; grants and funding; grant number
ip; issue; vi; volume; pg; page; pagination
ta; jo; jour; journal; is; issn; jid; nlm unique id
la; lang; language; pl; place of publication
mh; mesh; mesh terms; majr; mesh major topic; sh; subh; mesh subheading; subheading
ot; other term; own; owner; ps; personal name as subject
pmid; uid; pt; ptyp; publication type; si; secondary source id
ti; title; tt; transliterated title; tiab; title/abstract; tw; text; text word; text words; word
"""
FIELD_TAGS = frozenset(tag.strip() for line in _TAG_LINES.splitlines() for tag in line.split(";") if tag.strip())

_LOOKALIKES = {
    **dict.fromkeys("“”„‟«»″＂", 'the straight quotation mark "'),
    **dict.fromkeys("∗＊⁎﹡", "the asterisk * of the keyboard"),
    **dict.fromkeys("（﹙", "the bracket ("),
    **dict.fromkeys("）﹚", "the bracket )"),
    **dict.fromkeys("［", "the bracket ["),
    **dict.fromkeys("］", "the bracket ]"),
}
_QUOTED = re.compile(r'"[^"]*"')
TAG = re.compile(r"\[([^\[\]]*)\]")
# With the end of a group before it, if there is one.
_PLACED_TAG = re.compile(r"(\)\s*+)?\[([^\[\]]*)\]")
MODIFIER = re.compile(r":(?:noexp|~\d+)$")
# The number of an earlier search, which PubMed knows of whoever made it and of nobody else.
HISTORY = re.compile(r"(?<![\w&])#\d{1,4}(?!\w)|(?i:\b(?:and|or)/\d{1,3}(?:[-,]\d{1,3})+|^limit \d{1,3} to\b)")
# In Ovid and EBSCO the numbers stand alone: 1 and (2 or 3), S1 OR S2.
_NUMBERS_ALONE = re.compile(
    r"[\s()]*(?:#|S)?\d{1,2}(?:[\s()]+(?:and|or|not)[\s()]+(?:#|S)?\d{1,2})+[\s()]*", re.IGNORECASE
)
_WILDCARD = re.compile(r"(?<!\w)\w{1,60}[?#]\w{1,60}")
_OPERATORS = ("AND", "OR", "NOT")
MOST_PROBLEMS = 10
_SHOWN_CHARS = 60
_PROPOSAL_CHARS = 2000
_PARTS = re.compile(r"[()]|[^\s()]+")


def query_problems(query: str) -> tuple[str, ...]:
    """What PubMed would misread in a query, in words that say how to mend it; empty where nothing is wrong."""
    if not query.strip():
        return ("it is empty",)
    problems = [
        f"{char!r} (U+{ord(char):04X}) is not search syntax: type {right}"
        for char, right in _LOOKALIKES.items()
        if char in query
    ]
    if foreign := read_foreign(query):
        written = ", ".join(
            f"{text[:_SHOWN_CHARS]} ({database})" for text, database in foreign.fragments[:MOST_PROBLEMS]
        )
        proposed = foreign.pubmed[:_PROPOSAL_CHARS]
        problems.append(f"{written}: PubMed misreads what other databases write; in PubMed's form: {proposed}")
        query = foreign.pubmed
    if numbers := history_numbers(_QUOTED.sub(" ", query)):
        problems.append(
            f"{', '.join(numbers[:MOST_PROBLEMS])}: the number of an earlier search, which is not known here: "
            "put that search itself in its place, in brackets"
        )
    if wild := _WILDCARD.search(_QUOTED.sub(" ", query)):
        problems.append(
            f"{wild[0][:_SHOWN_CHARS]}: PubMed knows no sign for a letter inside a word: write its spellings, as in "
            "(woman OR women)"
        )
    if query.count('"') % 2:
        return (*problems, 'a quotation mark " is not closed')
    bare = _QUOTED.sub(" x ", query)
    problems = list(dict.fromkeys((*problems, *_tag_problems(bare), *_group_problems(TAG.sub(" ", bare)))))
    more = [f"and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
    return (*problems[:MOST_PROBLEMS], *more)


def history_numbers(query: str) -> list[str]:
    """What stands for an earlier search, each once."""
    if _NUMBERS_ALONE.fullmatch(query):
        return list(dict.fromkeys(re.findall(r"[#Ss]?\d{1,2}", query)))
    return list(dict.fromkeys(HISTORY.findall(query)))


def _tag_problems(bare: str) -> list[str]:
    problems = []
    for group, tag in _PLACED_TAG.findall(bare):
        if MODIFIER.sub("", " ".join(tag.lower().split())) not in FIELD_TAGS:
            problems.append(f"[{tag[:_SHOWN_CHARS]}] is not a PubMed field tag, and PubMed would ignore it")
        if group:
            problems.append(f"[{tag[:_SHOWN_CHARS]}] stands behind a group, where PubMed ignores it: tag each term")
    if re.search(r"[\[\]]", TAG.sub("", bare)):
        problems.append("a square bracket [ or ] is not paired")
    return problems


def _group_problems(bare: str) -> list[str]:
    """Unpaired or empty groups, and operators without a term on one side."""
    problems: list[str] = []
    depth = 0
    previous = "("
    for part in [*_PARTS.findall(bare), ""]:
        closes = part in ("", ")")
        if part in ("AND", "OR") and previous == "(":
            problems.append(f"{part} has no term before it")
        elif (closes or part in ("AND", "OR")) and previous in _OPERATORS:
            problems.append(f"{previous} has no term behind it")
        elif part == ")" and previous == "(":
            problems.append("a group () is empty")
        depth += (part == "(") - (part == ")")
        if depth < 0:
            problems.append("a bracket ) was never opened")
            depth = 0
        previous = part
    if depth:
        problems.append("a bracket ( is not closed")
    return problems
