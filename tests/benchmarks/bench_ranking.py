"""The order of answers: what other ways of putting the abstracts of a question together would give, in one run.

    python tests/benchmarks/bench_ranking.py [--dataset bioasq/heldout.json] [--engine auto]

Every question of a SQuAD file is asked of all its texts; texts of other questions that hold no answer are among them.
An answer is right where its merge key or SQuAD's normal form is that of a gold answer. Printed for each way: mean
reciprocal rank among the first five, strict accuracy (first) and lenient accuracy (any of five), as BioASQ counts
factoids; the confidence interval is of the gain over the best abstract's order, by 2,000 bootstrap samples of the
questions. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402

from bioqa_pipeline.config import Engine, ScoringConfig  # noqa: E402
from bioqa_pipeline.evaluation.metrics import normalise_answer  # noqa: E402
from bioqa_pipeline.evaluation.squad import questions_with_passages, read_squad  # noqa: E402
from bioqa_pipeline.qa.checkpoint import open_checkpoint  # noqa: E402
from bioqa_pipeline.qa.engines import load_scorer  # noqa: E402
from bioqa_pipeline.qa.merge_key import answer_key  # noqa: E402
from bioqa_pipeline.qa.merging import Candidate, merge_answers  # noqa: E402
from bioqa_pipeline.qa.scoring import PairScorer  # noqa: E402
from bioqa_pipeline.records.scores import MergedAnswer  # noqa: E402
from bioqa_pipeline.records.texts import Question  # noqa: E402
from support.outside import OutsideMaterial  # noqa: E402

FIRST = 5
SAMPLES = 2000

Asked = tuple[str, list[Candidate], set[str]]
Order = Callable[[Sequence[MergedAnswer], Sequence[Candidate]], list[MergedAnswer]]


def ask(dataset: Path, model: str, engine: Engine) -> list[Asked]:
    """Each question with a gold answer, its candidates, one a text, and its gold answers."""
    checkpoint = open_checkpoint(model)
    settings = checkpoint.settings
    asked = list(questions_with_passages(read_squad(dataset)))
    scorer = load_scorer(checkpoint, engine=engine, n_pairs=len(asked))
    pairs = PairScorer(
        scorer,
        checkpoint.tokenizer(),
        ScoringConfig(windows=settings.windows),
        threshold=settings.score_diff_threshold,
        calibration=settings.calibration,
    )
    scores = pairs.score([(question.text, passage) for question, passage in asked])
    found: dict[str, tuple[str, dict[str, Candidate], set[str]]] = {}
    for (question, passage), answer in zip(asked, scores, strict=True):
        _, candidates, gold = found.setdefault(question.text.strip().casefold(), (question.text, {}, set()))
        gold.update(a.text for a in question.answers)
        candidates.setdefault(
            passage.text,
            Candidate(
                pmid=len(candidates) + 1,
                answer=answer.best.text if answer.best and answer.is_answerable else None,
                margin=answer.margin,
                answerability=answer.answerability or 0.0,
                spans=tuple((span.text, span.score) for span in answer.n_best),
            ),
        )
    return [(text, list(candidates.values()), gold) for text, candidates, gold in found.values() if gold]


def merged(question: str, candidates: Sequence[Candidate]) -> list[MergedAnswer]:
    """All answers in the product's order."""
    found = merge_answers(Question("q", question), candidates, limit=len(candidates) or 1)
    return [answer for answer in found if answer.answer is not None]


def by(weight: Callable[[Sequence[float]], float]) -> Order:
    """An order by a function of the supporting abstracts' probabilities."""

    def order(answers: Sequence[MergedAnswer], candidates: Sequence[Candidate]) -> list[MergedAnswer]:
        chance = {c.pmid: c.answerability for c in candidates}
        return sorted(answers, key=lambda a: (-weight([chance[p] for p in a.support_pmids]), -len(a.support_pmids)))

    return order


def reciprocal_rank(answers: Sequence[MergedAnswer], gold: set[str]) -> float:
    """1 / the rank of the first right answer among five; 0 without one."""
    keys = {answer_key(g) for g in gold} | {normalise_answer(g) for g in gold}
    for rank, answer in enumerate(answers[:FIRST], start=1):
        if any(answer_key(v) in keys or normalise_answer(v) in keys for v in answer.variants):
            return 1.0 / rank
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=None)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--engine", default="auto", choices=("auto", "torch", "openvino"))
    args = parser.parse_args()
    dataset = args.dataset or OutsideMaterial(missing=sys.exit).file("bioasq/heldout.json")
    asked = ask(dataset, args.model, args.engine)
    only_best = [(text, [replace(c, spans=()) for c in candidates]) for text, candidates, _ in asked]
    orders: dict[str, Order] = {
        "best abstract": by(max),
        "noisy-or": by(lambda p: 1 - math.prod(1 - x for x in p)),
        "sum": by(sum),
        "sum of square roots": by(lambda p: sum(map(math.sqrt, p))),
        "best log-odds + ln(support)": by(lambda p: math.log(max(p) / (1 - max(p) + 1e-9) + 1e-9) + math.log(len(p))),
    }
    golds = [gold for *_, gold in asked]
    ranks = {
        name: np.array([reciprocal_rank(order(merged(q, c), c), g) for (q, c), g in zip(only_best, golds, strict=True)])
        for name, order in orders.items()
    }
    ranks["votes of best spans"] = np.array(
        [reciprocal_rank(merged(q, c), gold) for (q, c), gold in zip(only_best, golds, strict=True)]
    )
    ranks["votes of all spans (ours)"] = np.array([reciprocal_rank(merged(q, c), gold) for q, c, gold in asked])
    samples = np.random.default_rng(0).integers(0, len(asked), (SAMPLES, len(asked)))
    base = ranks["best abstract"]
    result = {}
    for name, rank in ranks.items():
        gain = rank[samples].mean(axis=1) / base[samples].mean(axis=1) - 1
        low, high = np.percentile(gain, [2.5, 97.5])
        row = {
            "mrr": rank.mean(),
            "strict": (rank == 1).mean(),
            "lenient": (rank > 0).mean(),
            "gain": rank.mean() / base.mean() - 1,
            "gain_low": low,
            "gain_high": high,
        }
        result[name] = {key: round(float(value), 4) for key, value in row.items()}
        print(f"{name:32s}" + "  ".join(f"{key} {value:7.4f}" for key, value in result[name].items()))
    print(json.dumps({"dataset": dataset.name, "questions": len(asked), "model": args.model, "orders": result}))


if __name__ == "__main__":
    main()
