"""A small PubMed: its query language over an inverted index, ranked by BM25.

As PubMed does it: operators in capitals, from left to right without precedence; neighbouring words are joined by AND
after the stop words went; untagged words are mapped to MeSH headings and, by their inflections, to all fields; quotes,
tags and truncation switch that off; an unknown tag, or a tag behind a group, is ignored without a word. A word or
phrase that no record has is reported and matches nothing.
"""

from __future__ import annotations

import bisect
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from support.eutils_records import ServerRecord

_STOP_WORDS_TEXT = """
a about again all almost also although always among an and another any are as at be because been before being between
both but by can could did do does done due during each either enough especially etc for found from further had has
have having here how however i if in into is it its itself just kg km made mainly make may mg might ml mm most mostly
must nearly neither no nor obtained of often on or our overall perhaps pmid quite rather really regarding seem seen
several should show showed shown shows significantly since so some such than that the their theirs them then there
therefore these they this those through thus to upon use used using various very was we were what when which while
with within without would
"""
STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
LANGUAGES = {
    "english": "eng", "french": "fre", "german": "ger", "spanish": "spa", "italian": "ita", "russian": "rus",
    "japanese": "jpn", "chinese": "chi", "polish": "pol", "portuguese": "por",
}  # fmt: skip
_TITLE, _ABSTRACT, _MESH, _OTHER, _END = (i * 1_000_000 for i in range(5))
_FIELDS = {
    **dict.fromkeys(("all", "all fields", "tw", "text word", "text words"), ("All Fields", _TITLE, _END)),
    **dict.fromkeys(("tiab", "title/abstract"), ("Title/Abstract", _TITLE, _MESH)),
    **dict.fromkeys(("ti", "title"), ("Title", _TITLE, _ABSTRACT)),
    **dict.fromkeys(("mh", "mesh", "mesh terms", "majr"), ("MeSH Terms", _MESH, _OTHER)),
    **dict.fromkeys(("au", "author", "ta", "journal", "nm", "ot"), ("Other", _OTHER, _END)),
}
_ALL = _FIELDS["all"]
_DATES = {
    **dict.fromkeys(("dp", "pdat", "publication date", "date - publication"), "pdat"),
    **dict.fromkeys(("edat", "date - entry", "entry date"), "edat"),
    **dict.fromkeys(("crdt", "date - create", "create date"), "crdt"),
    **dict.fromkeys(("mdat", "lr", "date - modification", "modification date"), "mdat"),
}
_TOKEN = re.compile(r'"[^"]*"|\[[^\]]*\]|[()]|[^\s()\[\]"]+')
_DATE = re.compile(r"(\d{4})(?:[/-](\d{1,2}))?(?:[/-](\d{1,2}))?")
_OPERATORS = ("AND", "OR", "NOT")
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "κ": "kappa", "λ": "lambda", "μ": "mu"}
_ENDINGS = ("", "s", "es", "ed", "ing", "e")


class QueryError(Exception):
    """A query that cannot be read; PubMed answers it with an ERROR."""


@dataclass(slots=True)
class Found:
    """The answer to one query: PMIDs in rank order, and what was reported beside."""

    pmids: list[int] = field(default_factory=list)
    translation: str = ""
    mapped: list[tuple[str, str]] = field(default_factory=list)
    phrases_not_found: list[str] = field(default_factory=list)
    phrases_ignored: list[str] = field(default_factory=list)
    quoted_not_found: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Match:
    pmids: frozenset[int]
    words: tuple[str, ...]
    translation: str


def words_of(text: str) -> list[str]:
    """Lower-case words, accents folded, Greek letters spelled out."""
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(_GREEK.get(c, c) for c in plain if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", plain)


def parse_date(text: str, *, end: bool = False) -> date:
    """The first, or last, day that `YYYY`, `YYYY/MM` or `YYYY/MM/DD` covers."""
    match = _DATE.fullmatch(text.strip().strip('"'))
    if match is None:
        raise QueryError(f"cannot read the date {text}")
    year, month, day = (int(part) if part else None for part in match.groups())
    assert year is not None
    try:
        first = date(year, month or 1, day or 1)
        if not end or day:
            return first
        following = date(year + 1, 1, 1) if not month or month == 12 else date(year, month + 1, 1)
        return following - timedelta(days=1)
    except ValueError as exc:
        raise QueryError(str(exc)) from exc


class Corpus:
    """Records and the index over them."""

    def __init__(self, records: Iterable[ServerRecord]) -> None:
        self.records = {record.pmid: record for record in records}
        self.postings: dict[str, dict[int, list[int]]] = {}
        self.lengths: dict[int, int] = {}
        for record in self.records.values():
            self._add(record)
        self.vocabulary = sorted(self.postings)
        self.headings = {tuple(words_of(name)): name for r in self.records.values() for name in r.mesh}
        self.longest_heading = max(map(len, self.headings), default=0)
        self.mean_length = sum(self.lengths.values()) / max(1, len(self.lengths))

    def _add(self, record: ServerRecord) -> None:
        n_words = 0
        for start, texts in (
            (_TITLE, [record.title]), (_ABSTRACT, [record.abstract]), (_MESH, record.mesh), (_OTHER, record.others),
        ):  # fmt: skip
            position = start
            for text in texts:
                for word in words_of(text):
                    self.postings.setdefault(word, {}).setdefault(record.pmid, []).append(position)
                    position += 1
                    n_words += 1
                position += 10  # no phrase runs over the end of a text
        self.lengths[record.pmid] = n_words

    def with_word(self, word: str, low: int, high: int) -> frozenset[int]:
        return frozenset(
            pmid for pmid, at in self.postings.get(word, {}).items() if any(low <= place < high for place in at)
        )

    def with_phrase(self, words: Sequence[str], low: int, high: int) -> frozenset[int]:
        """Records in which the words stand side by side inside one field range."""
        if not words or any(word not in self.postings for word in words):
            return frozenset()
        rest = [self.postings[word] for word in words[1:]]
        return frozenset(
            pmid
            for pmid, places in self.postings[words[0]].items()
            if all(pmid in places_of for places_of in rest)
            and any(
                low <= p < high and all(p + k + 1 in places_of[pmid] for k, places_of in enumerate(rest))
                for p in places
            )
        )

    def starting_with(self, prefix: str) -> list[str]:
        at = bisect.bisect_left(self.vocabulary, prefix)
        found = []
        while at < len(self.vocabulary) and self.vocabulary[at].startswith(prefix):
            found.append(self.vocabulary[at])
            at += 1
        return found

    def inflections(self, word: str) -> list[str]:
        stems = {word.removesuffix(ending) for ending in _ENDINGS}
        forms = {stem + ending for stem in stems if len(stem) >= 4 for ending in _ENDINGS} | {word}
        return [form for form in sorted(forms) if form in self.postings]

    def rank(self, pmids: Iterable[int], words: Iterable[str]) -> list[int]:
        """BM25 over all words of a record; equal scores: the higher PMID first."""
        scores = dict.fromkeys(pmids, 0.0)
        for word in sorted(set(words)):
            places = self.postings.get(word, {})
            idf = math.log(1 + (len(self.records) - len(places) + 0.5) / (len(places) + 0.5))
            for pmid in scores.keys() & places.keys():
                tf = len(places[pmid])
                norm = 1.2 * (0.25 + 0.75 * self.lengths[pmid] / self.mean_length)
                scores[pmid] += idf * tf * 2.2 / (tf + norm)
        return sorted(scores, key=lambda pmid: (-scores[pmid], -pmid))

    def search(
        self, term: str, *, sort: str = "relevance", keep: Callable[[ServerRecord], bool] | None = None
    ) -> Found:
        """The records that match, ranked.

        Raises:
            QueryError: brackets that do not pair, or a date that is none.
        """
        found = Found()
        match = _Query(self, term, found).run()
        found.translation = match.translation
        pmids = [p for p in match.pmids if keep is None or keep(self.records[p])]
        found.pmids = self.rank(pmids, match.words) if sort == "relevance" else sorted(pmids, reverse=True)
        return found


class _Query:
    """Recursive descent over the tokens of one term."""

    def __init__(self, corpus: Corpus, term: str, found: Found) -> None:
        self.corpus, self.found = corpus, found
        self.tokens = _TOKEN.findall(term)
        self.at = 0
        if term.count('"') % 2 or term.count("[") != term.count("]"):
            raise QueryError("a quotation mark or bracket is not paired")

    def run(self) -> _Match:
        match = self._expression()
        if self.at < len(self.tokens):
            raise QueryError("a bracket is not paired")
        if match is None:
            raise QueryError("Empty term and query_key - nothing todo")
        return match

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ")"

    def _expression(self) -> _Match | None:
        result, operator = None, "AND"
        while self._peek() != ")":
            if self._peek() in _OPERATORS:
                operator = self.tokens[self.at]
                self.at += 1
                continue
            operand = self._operand()
            result, operator = _combine(result, operator, operand), "AND"
        return result

    def _operand(self) -> _Match | None:
        if self._peek() != "(":
            return self._term()
        self.at += 1
        match = self._expression()
        if self.at >= len(self.tokens):
            raise QueryError("a bracket is not paired")
        self.at += 1
        self._tag()
        return match

    def _tag(self) -> str | None:
        token = self._peek()
        if not token.startswith("["):
            return None
        self.at += 1
        return token.strip("[]").strip().lower()

    def _term(self) -> _Match | None:
        if self._peek().startswith('"'):
            text = self.tokens[self.at].strip('"')
            self.at += 1
            tag = self._tag()
            return self._range(text, tag) if self._peek() == ":" else self._tagged(text, tag, quoted=True)
        start = self.at
        while self._peek() not in ("(", ")", *_OPERATORS) and self._peek()[0] not in '"[':
            self.at += 1
            if self.tokens[self.at - 1].endswith("*") and not self._peek().startswith("["):
                break
        words = self.tokens[start : self.at]
        if not words:
            raise QueryError("a bracket is not paired")
        return self._tagged(" ".join(words), self._tag(), quoted=False)

    def _range(self, low: str, tag: str | None) -> _Match:
        self.at += 1
        high = self._peek().strip('"')
        self.at += 1
        return self._dated(low, high, _DATES.get(self._tag() or "", _DATES.get(tag or "", "pdat")))

    def _dated(self, low: str, high: str, kind: str) -> _Match:
        first, last = parse_date(low), parse_date(high, end=True)
        pmids = frozenset(p for p, r in self.corpus.records.items() if first <= r.dates[kind] <= last)
        return _Match(pmids, (), f"{first:%Y/%m/%d}:{last:%Y/%m/%d}[{kind}]")

    def _tagged(self, text: str, tag: str | None, *, quoted: bool) -> _Match | None:
        records = self.corpus.records
        if tag in ("la", "lang", "language"):
            code = LANGUAGES.get(text.lower(), text.lower())
            return _Match(
                frozenset(p for p, r in records.items() if code in r.languages), (), f"{text.lower()}[Language]"
            )
        if tag in ("pt", "publication type"):
            wanted = text.lower()
            pmids = frozenset(p for p, r in records.items() if wanted in (name.lower() for name in r.types))
            return _Match(pmids, (), f'"{wanted}"[Publication Type]')
        if tag in ("aid", "lid"):
            location = f">{text.lower()}<".encode()
            return _Match(frozenset(p for p, r in records.items() if location in r.xml.lower()), (), f'"{text}"[{tag}]')
        if tag in ("pmid", "uid"):
            return _Match(frozenset(records) & {int(text)}, (), f"{text}[UID]")
        if tag in _DATES:
            low, _, high = text.partition(":")
            return self._dated(low, high or low, _DATES[tag])
        if text.endswith("*") and not quoted:
            return self._truncated(text[:-1], _FIELDS.get(tag or "", _ALL))
        if tag in _FIELDS or quoted:
            return self._phrase(text, _FIELDS.get(tag or "", _ALL), quoted=quoted)
        return self._untagged(text.split())

    def _truncated(self, prefix: str, fields: tuple[str, int, int]) -> _Match:
        name, low, high = fields
        *head, last = words_of(prefix) or [""]
        forms = self.corpus.starting_with(last) if len(last) >= 4 else []
        pmids = frozenset[int]().union(*(self.corpus.with_phrase([*head, form], low, high) for form in forms))
        if not forms:
            self.found.phrases_not_found.append(f"{prefix}*[{name}]")
        return _Match(pmids, tuple(forms), f"{prefix}*[{name}]")

    def _phrase(self, text: str, fields: tuple[str, int, int], *, quoted: bool) -> _Match:
        name, low, high = fields
        words = words_of(text)
        pmids = self.corpus.with_phrase(words, low, high)
        if not pmids and not quoted:
            sets = [self.corpus.with_word(word, low, high) for word in words]
            pmids = frozenset.intersection(*sets) if sets else frozenset()
        if not pmids:
            missing = self.found.quoted_not_found if quoted else self.found.phrases_not_found
            missing.append(f'"{text}"[{name}]' if quoted else f"{text}[{name}]")
        return _Match(pmids, tuple(words), f'"{text.lower()}"[{name}]')

    def _untagged(self, texts: list[str]) -> _Match | None:
        """Words mapped from left to right: the longest MeSH heading, else one word in all fields."""
        if len(texts) == 1 and texts[0].isdigit():
            return _Match(frozenset(self.corpus.records) & {int(texts[0])}, (), f"{texts[0]}[UID]")
        result, at = None, 0
        while at < len(texts):
            n_words = self._heading_at(texts, at)
            if n_words:
                match: _Match | None = self._heading(texts[at : at + n_words])
            else:
                match = self._word(texts[at])
            at += n_words or 1
            result = _combine(result, "AND", match)
        return result

    def _heading_at(self, texts: list[str], at: int) -> int:
        for end in range(min(len(texts), at + self.corpus.longest_heading), at, -1):
            if tuple(words_of(" ".join(texts[at:end]))) in self.corpus.headings:
                return end - at
        return 0

    def _heading(self, texts: list[str]) -> _Match:
        words = words_of(" ".join(texts))
        name = self.corpus.headings[tuple(words)]
        mapped = self.corpus.with_phrase(words, _MESH, _OTHER)
        anywhere = frozenset.intersection(
            *(
                frozenset[int]().union(*(self.corpus.with_word(f, *_ALL[1:]) for f in self.corpus.inflections(w)))
                for w in words
            )
        )
        both = " AND ".join(f'"{word}"[All Fields]' for word in words)
        translation = f'("{name.lower()}"[MeSH Terms] OR ({both}))'
        self.found.mapped.append((" ".join(texts), translation))
        forms = [form for word in words for form in self.corpus.inflections(word)]
        return _Match(mapped | anywhere, tuple(forms), translation)

    def _word(self, text: str) -> _Match | None:
        if text.lower() in STOP_WORDS:
            self.found.phrases_ignored.append(text)
            return None
        if text.lower() == "hasabstract":
            pmids = frozenset(pmid for pmid, record in self.corpus.records.items() if record.abstract)
            return _Match(pmids, (), "hasabstract[All Fields]")
        words = words_of(text)
        if not words:
            return None
        forms = self.corpus.inflections(words[0]) if len(words) == 1 else []
        pmids = frozenset[int]().union(*(self.corpus.with_word(form, *_ALL[1:]) for form in forms))
        pmids |= self.corpus.with_phrase(words, *_ALL[1:])
        if not pmids:
            self.found.phrases_not_found.append(text)
        names = [f'"{form}"[All Fields]' for form in forms] or [f'"{text.lower()}"[All Fields]']
        return _Match(pmids, tuple(forms or words), names[0] if len(names) == 1 else f"({' OR '.join(names)})")


def _combine(left: _Match | None, operator: str, right: _Match | None) -> _Match | None:
    """A side that consisted of ignored words only counts for nothing."""
    if left is None or right is None:
        return right if left is None else left
    translation = f"({left.translation} {operator} {right.translation})"
    if operator == "AND":
        return _Match(left.pmids & right.pmids, left.words + right.words, translation)
    if operator == "OR":
        return _Match(left.pmids | right.pmids, left.words + right.words, translation)
    return _Match(left.pmids - right.pmids, left.words, translation)
