"""What questions say together, by hand and beside a twin; and what stands beside an evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.errors import InputError
from bioqa_pipeline.evaluation.beside import compare, read_beside
from bioqa_pipeline.evaluation.judged import (
    JudgedQuestion,
    bootstrap,
    by_group,
    evidence,
    question_word,
    worst_errors,
)
from bioqa_pipeline.evaluation.metrics import official_metrics
from bioqa_pipeline.evaluation.silence import silence
from bioqa_pipeline.evaluation.squad import SquadParagraph, SquadQuestion
from bioqa_pipeline.evaluation.squad_judged import gold_questions, judge_squad


def judged(
    number: int, certainty: float | None, right: bool, *, answered: bool = True, gold: tuple[str, ...] = ("x",)
) -> JudgedQuestion:
    return JudgedQuestion(
        id=str(number),
        question="Which gene?",
        group="A",
        answer="x" if answered else None,
        best="x",
        gold=gold,
        exact=float(right),
        f1=float(right),
        best_exact=float(right),
        certainty=certainty,
        probability=certainty,
        evidence=None,
    )


def test_silence_by_hand() -> None:
    # Surest first: right, right, wrong, right, wrong; the third and the fourth are equally sure.
    certain = [0.9, 0.8, 0.5, 0.5, 0.1]
    found = silence([judged(i, c, i not in (2, 4)) for i, c in enumerate(certain)], by="answerability")
    assert found
    assert [(p.coverage, p.exactness) for p in found.points] == [(0.2, 1), (0.4, 1), (0.8, 0.75), (1, 0.6)]
    assert [(a.percent, a.coverage, a.point and a.point.certainty) for a in found.aims] == [
        (80, 0.4, 0.8),
        (90, 0.4, 0.8),
    ]
    assert found.area == pytest.approx(0.4 * 0.25 + 0.2 * 0.4)
    assert silence([judged(1, None, True)], by="") is None
    never = silence([judged(1, 0.5, False)], by="margin")
    assert never and never.aims[0].point is None and never.aims[0].coverage == 0


@pytest.mark.parametrize("best", ["the", "...", " "])
def test_a_span_without_words_is_no_right_answer_where_there_is_none(best: str) -> None:
    """evaluate-v2.0 compares normalised texts, so its table counts it as silence; given as an answer it is wrong."""
    paragraphs = [SquadParagraph("A", f"In {best} mice.", (SquadQuestion("q", "Which gene?", ()),))]
    [question] = judge_squad(paragraphs, {"q": best}, {"q": -1.0}, 0.0, {})
    table = official_metrics(gold_questions(paragraphs), {"q": best}, {"q": -1.0}, threshold=0.0)
    # Its search for a threshold takes the text as it stands.
    assert (question.exact, table["NoAns_exact"], table["best_exact"]) == (1, 100.0, 100.0)
    assert (question.answer, question.best, question.best_exact) == (best, best, 0)
    curve = silence([question], by="score_diff")
    assert curve and curve.points[-1].exactness == 0.0


@given(st.lists(st.tuples(st.sampled_from((0.1, 0.4, 0.6, 0.9)), st.booleans()), min_size=1, max_size=30))
def test_silence_like_trying_every_cut(rows: list[tuple[float, bool]]) -> None:
    found = silence([judged(i, c, right) for i, (c, right) in enumerate(rows)], by="margin")
    assert found
    for aim in found.aims:
        shares = [0.0]
        for cut in {c for c, _ in rows}:
            given_answers = [right for c, right in rows if c >= cut]
            if 100 * sum(given_answers) >= aim.percent * len(given_answers):
                shares.append(len(given_answers) / len(rows))
        assert aim.coverage == pytest.approx(max(shares))


def test_intervals_hold_the_mean_shrink_with_the_questions_and_are_seeded() -> None:
    few, many = [1.0, 0.0] * 20, [1.0, 0.0] * 500
    small, large = bootstrap({"x": few})["x"], bootstrap({"x": many})["x"]
    assert small.low < 0.5 < small.high and large.low < 0.5 < large.high
    # 1.96 standard errors of a share of one half.
    assert large.high - large.low == pytest.approx(2 * 1.96 * 0.5 / 1000**0.5, rel=0.1)
    assert small.high - small.low == pytest.approx(2 * 1.96 * 0.5 / 40**0.5, rel=0.15)
    assert bootstrap({"x": few})["x"] == bootstrap({"x": few, "y": [1.0] * 40})["x"]
    # Questions without a part in a figure do not move it.
    apart = bootstrap({"x": [1.0] * 50 + [None] * 50, "none": [None] * 100})
    assert apart.keys() == {"x"} and (apart["x"].low, apart["x"].high) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Which gene?", "which"),
        ("In what year did it begin?", "what"),
        ("How many patients were treated?", "how many"),
        ("Name the drug.", "other"),
        ("By whom was insulin discovered?", "whom"),
    ],
)
def test_question_words(text: str, word: str) -> None:
    assert question_word(text) == word


def test_groups_and_the_worst_errors() -> None:
    questions = [
        judged(1, 0.9, True),
        judged(2, 0.95, False),
        judged(3, 0.6, False),
        judged(4, 0.2, False, answered=False),
        judged(5, 0.7, False, answered=False),
        judged(6, 0.05, True, answered=False, gold=()),
    ]
    assert [q.id for q in worst_errors(questions)] == ["2", "4", "3", "5"]
    assert [q.id for q in worst_errors(questions, most=1)] == ["2"]
    unknown = [replace(q, probability=None) for q in questions]
    assert [q.id for q in worst_errors(unknown)] == ["2", "4", "3", "5"]
    [group] = by_group(questions, lambda q: q.group)
    assert (group.name, group.count, group.answered, group.exact) == ("A", 6, 3, pytest.approx(100 / 3))

    numbered = by_group([judged(i, 0.5, True) for i in range(100)], lambda q: q.id)
    assert len(numbered) == 40 and (numbered[-1].name, numbered[-1].count) == ("61 others", 61)


def test_evidence_is_the_sentence() -> None:
    text = "Quinine is a drug. It treats malaria, not fever. Others do not."
    start = text.index("malaria")
    assert evidence(text, start, start + 7) == "It treats malaria, not fever."


def test_the_card_has_its_figures_and_their_source() -> None:
    card = read_beside("biobert-card")
    names = {f"{kind}{name}" for kind in ("", "HasAns_", "NoAns_") for name in ("exact", "f1", "total")}
    names |= {"best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"}
    assert card.figures.keys() == names and "all 13 figures" in card.source and card.threshold == 0.0
    assert (card.figures["exact"], card.figures["f1"]) == (75.97068980038743, 79.37043950121722)
    total, with_answer, without = (card.figures[f"{k}total"] for k in ("", "HasAns_", "NoAns_"))
    assert with_answer + without == total == 11873
    for name in ("exact", "f1"):
        parts = card.figures[f"HasAns_{name}"] * with_answer + card.figures[f"NoAns_{name}"] * without
        assert parts / total == pytest.approx(card.figures[name], abs=1e-9)
    assert any("--do_lower_case" in note for note in card.notes)
    found = compare({"exact": 1.0, "own": 2.0}, {"exact": 70.0}, card)
    assert found.at_zero and [(f.name, f.ours) for f in found.figures] == [("exact", 70.0)]
    assert found.figures[0].difference == pytest.approx(70.0 - 75.97068980038743)


def test_what_nothing_can_be_put_beside(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no evaluation: give a folder"):
        read_beside(str(tmp_path))
    numbers = "NaN", "1e999", "9" * 400, "true", '"1"'
    for foreign in ("[]", '{"metrics": 1}', *(f'{{"metrics": {{"f1": {number}}}}}' for number in numbers)):
        (tmp_path / "metrics.json").write_text(foreign)
        with pytest.raises(InputError, match="does not hold the figures"):
            read_beside(str(tmp_path))
    (tmp_path / "metrics.json").write_text(json.dumps({"metrics": {"mrr": 0.5, "odd": True}}))
    assert read_beside(str(tmp_path)).figures == {"mrr": 0.5}
    with pytest.raises(InputError, match="no figure in common"):
        compare({"exact": 1.0}, None, read_beside(str(tmp_path)))
