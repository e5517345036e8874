"""How much the abstracts of a question speak for each of its answers, for their order. Pure.

Each work votes for all spans that it proposes, not for the best alone: with sqrt(p * q), p the answerability of its
abstract and q the span's share among the spans (softmax of half their scores). The square root keeps one sure abstract
from outweighing two good ones. A vote for "imatinib mesylate" counts for "imatinib" by the share of words that they
have in common, where one holds all words of the other.

Chosen on 122 BioASQ questions that no model was trained on, each over the 9 texts at hand (mean reciprocal rank of the
first right answer among five): best abstract 0.629, noisy-or 0.653, all spans without shared words 0.674, this 0.693;
powers from 1/4 to 1/2 and temperatures from 1 to 3 differ by 0.01. tests/benchmarks/bench_ranking.py measures it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

TEMPERATURE = 2.0
# Shared words are looked for among the answers with most votes and in what the surest voters say: what comes after
# them changes no order that anybody reads, and would cost the square of their number.
MOST_ANSWERS = 200
MOST_VOTERS = 1000


@dataclass(frozen=True, slots=True)
class Voter:
    """One abstract.

    Attributes:
        work: equal for the versions of one work, which have one vote together.
        probability: that it answers the question.
        spans: the merge keys of the spans that it proposes, with their scores (start + end logit); none is -inf.
    """

    work: object
    probability: float
    spans: Sequence[tuple[str, float]]


def votes(answers: Iterable[str], voters: Sequence[Voter]) -> dict[str, float]:
    """The sum of the works' votes for each answer, by its merge key."""
    for_key: dict[str, dict[object, float]] = {key: {} for key in answers}
    surest = sorted(voters, key=lambda v: -v.probability)
    for voter in surest:
        for key, vote in _shares(voter).items():
            if key in for_key:
                _raise(for_key[key], voter.work, vote)
    first = sorted(for_key, key=lambda key: -sum(for_key[key].values()))[:MOST_ANSWERS]
    # Votes by shared words come after the others: an answer's own words are read before they can add to one another.
    for key, work, vote in list(_by_shared_words(first, surest[:MOST_VOTERS])):
        _raise(for_key[key], work, vote)
    return {key: math.fsum(by_work.values()) for key, by_work in for_key.items()}


def _shares(voter: Voter) -> dict[str, float]:
    """Merge key -> the voter's vote for it; of spans with one key the first stands for all."""
    if not voter.spans:
        return {}
    highest = max(score for _, score in voter.spans)
    weights = [math.exp((score - highest) / TEMPERATURE) for _, score in voter.spans]
    total = math.fsum(weights)
    shares: dict[str, float] = {}
    for (key, _), weight in zip(voter.spans, weights, strict=True):
        shares[key] = max(shares.get(key, 0.0), math.sqrt(max(voter.probability, 0.0) * weight / total))
    return shares


def _by_shared_words(answers: Sequence[str], voters: Sequence[Voter]) -> Iterable[tuple[str, object, float]]:
    words = {key: frozenset(key.split()) for key in answers}
    holders: Mapping[str, list[str]] = defaultdict(list)
    for key, own in words.items():
        for word in own:
            holders[word].append(key)
    for voter in voters:
        for said, vote in _shares(voter).items():
            said_words = frozenset(said.split())
            shared = Counter(key for word in said_words for key in holders.get(word, ()))
            for key, n in shared.items():
                fewer, more = sorted((len(said_words), len(words[key])))
                if n == fewer < more:
                    yield key, voter.work, vote * math.sqrt(fewer / more)


def _raise(by_work: dict[object, float], work: object, vote: float) -> None:
    by_work[work] = max(by_work.get(work, 0.0), vote)
