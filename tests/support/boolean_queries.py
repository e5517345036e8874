"""A tiny twin of PubMed's query language: what the ladder may use of it, and nothing else.

Strict where PubMed is lenient: an unknown tag, an operator without a term, or AND beside OR without brackets is an
error, because PubMed would quietly search for something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"\(|\)|[^\s()]+")
_WORD = r"[^\s()\[\]{}\"*:#&|]+?"
_TEXT = rf"\"(?P<quoted>{_WORD})\"(?=\[tiab\])|(?P<bare>{_WORD})(?P<truncated>\*)?"
_LEAF = re.compile(rf"(?:{_TEXT})(?:\[(?P<tag>tiab|la)\])?")


class QuerySyntaxError(Exception):
    """The term is not in the language of this twin."""


@dataclass(frozen=True)
class Document:
    """A record: words of title and abstract, words of all other fields (MeSH, journal)."""

    tiab: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    language: str = "english"
    has_abstract: bool = True


@dataclass
class Query:
    """A term as a tree: strings are leaves, a list starts with its operator.

    Attributes:
        groups: the leaves, in groups of those with no operator between.
    """

    tree: object
    groups: list[list[str]] = field(default_factory=list)

    @property
    def leaves(self) -> list[str]:
        return [leaf for group in self.groups for leaf in group]

    @classmethod
    def parse(cls, term: str) -> Query:
        """Raises QuerySyntaxError."""
        tokens = _TOKEN.findall(term)
        query = cls(None)
        query.tree, at = query._expression(tokens, 0)
        if at != len(tokens):
            raise QuerySyntaxError(f"unpaired bracket in {term}")
        return query

    def matches(self, document: Document) -> bool:
        return _holds(self.tree, document)

    def _expression(self, tokens: list[str], at: int) -> tuple[object, int]:
        operator: str | None = None
        operands: list[object] = []
        while True:
            operand, at = self._operand(tokens, at)
            operands.append(operand)
            if at == len(tokens) or tokens[at] == ")":
                break
            if tokens[at] not in ("AND", "OR"):
                raise QuerySyntaxError(f"{tokens[at]} where an operator belongs")
            if operator not in (None, tokens[at]):
                raise QuerySyntaxError("AND and OR in one group")
            operator, at = tokens[at], at + 1
        return (operands[0] if operator is None else [operator, *operands]), at

    def _operand(self, tokens: list[str], at: int) -> tuple[object, int]:
        if at == len(tokens):
            raise QuerySyntaxError("ends with an operator")
        if tokens[at] == "(":
            operand, at = self._expression(tokens, at + 1)
            if at == len(tokens):
                raise QuerySyntaxError("unpaired bracket")
            return operand, at + 1
        words: list[str] = []
        while at < len(tokens) and tokens[at] not in ("(", ")", "AND", "OR"):
            if tokens[at] == "NOT" or not _LEAF.fullmatch(tokens[at]):
                raise QuerySyntaxError(f"{tokens[at]} is no term")
            words.append(tokens[at])
            at += 1
        if not words:
            raise QuerySyntaxError("an operator without a term")
        self.groups.append(words)
        return ["AND", *words], at


def _holds(tree: object, document: Document) -> bool:
    if isinstance(tree, list):
        results = [_holds(branch, document) for branch in tree[1:]]
        return all(results) if tree[0] == "AND" else any(results)
    leaf = _LEAF.fullmatch(str(tree))
    assert leaf is not None
    word = leaf["quoted"] or leaf["bare"]
    if leaf["bare"] == "hasabstract":
        return document.has_abstract
    if leaf["tag"] == "la":
        return word == document.language
    words = document.tiab if leaf["tag"] == "tiab" else document.tiab | document.others
    return any(w.startswith(word) for w in words) if leaf["truncated"] else word in words
