"""BioASQ's files: read, asked over each kind of text with a tiny model, and answered in the challenge's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.config import ModelConfig, ScoringConfig, SourceConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.evaluation.bioasq import BioasqQuestion, QuestionType, Snippet
from bioqa_pipeline.evaluation.bioasq_answers import answer_bioasq
from bioqa_pipeline.evaluation.bioasq_metrics import factoid_score, list_score
from bioqa_pipeline.evaluation.bioasq_texts import AskedText
from bioqa_pipeline.evaluation.dataset import read_evaluation_set
from bioqa_pipeline.evaluation.job import evaluate_checkpoint
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScorer
from flows.commands import evaluate as command
from support.checkpoints import make_checkpoint
from support.medline_folder import Article
from support.small_runs import ARTICLES, write_records

URL = "http://www.ncbi.nlm.nih.gov/pubmed/"


def entry(number: int, kind: str, *, gold: Any = None, **more: Any) -> dict[str, Any]:
    snippets = [{"text": a.text, "document": f"{URL}{a.pmid}", "offsetInBeginSection": 0} for a in ARTICLES]
    question = {"id": f"q{number}", "type": kind, "body": "Which drug treats malaria?", "snippets": snippets}
    question["documents"] = [f"{URL}{a.pmid}" for a in ARTICLES[:2]]
    return question | ({} if gold is None else {"exact_answer": gold}) | more


QUESTIONS = [
    entry(1, "factoid", gold=[["quinine", "Qualaquin"]]),
    entry(2, "list", gold=[["quinine"], ["fever"]]),
    entry(3, "yesno", gold="yes", ideal_answer=["Yes."]),
    entry(4, "summary", ideal_answer="Quinine does."),
    entry(5, "factoid"),
    entry(6, "factoid", gold=["malaria", "ague"], snippets=[], documents=[]),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    settings = {"schema_version": 1, "score_diff_threshold": 0.5, "calibration": {"slope": 0.5, "intercept": 0.1}}
    return ModelConfig(
        name=str(make_checkpoint(tmp_path_factory.mktemp("model"), settings=settings)), device="cpu", precision="fp32"
    )


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    path = tmp_path / "12B1_golden.json"
    path.write_text(json.dumps({"questions": QUESTIONS}), "utf-8")
    return path


def test_a_golden_file_is_read(golden: Path) -> None:
    factoid, listed, yes_no, _, test, names = read_evaluation_set(golden).questions
    assert factoid == BioasqQuestion(
        "q1",
        "Which drug treats malaria?",
        QuestionType.FACTOID,
        (11, 12),
        tuple(Snippet(a.text, a.pmid) for a in ARTICLES),
        (("quinine", "Qualaquin"),),
    )
    assert listed.gold == (("quinine",), ("fever",))
    assert yes_no.gold is None and test.gold is None
    assert names.gold == (("malaria", "ague"),) and names.snippets == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"questions": []}, "holds no question"),
        ({"questions": {}}, "has no list 'questions'"),
        ({"questions": [{"type": "factoid", "body": "?"}]}, "question 1 has no text 'id'"),
        ({"questions": [entry(1, "maybe")]}, "question q1 is of type 'maybe'; give factoid, list, yesno, summary"),
        ({"questions": [entry(1, "list", gold={"a": 1})]}, "question q1: 'exact_answer' is dict"),
        ({"questions": [entry(1, "list", gold=[[None]])]}, "question q1: 'exact_answer' holds something else"),
        ({"questions": [entry(1, "list", snippets="x")]}, "question q1: 'snippets' is str"),
        ({"questions": [entry(1, "list", snippets=[{}])]}, "a snippet of question q1 has no text 'text'"),
        ({"questions": [entry(1, "list")] * 2}, "question id q1 stands there twice"),
    ],
)
def test_a_malformed_file_is_named_with_its_question(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"bad\.json") as caught:
        read_evaluation_set(tmp_path / "bad.json")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "gold", "read"),
    [
        ("factoid", "BRCA1", (("BRCA1",),)),
        ("factoid", 3, (("3",),)),
        ("list", ["a", "b"], (("a",), ("b",))),
        ("list", [["a", ""], [" "]], (("a",),)),
        ("factoid", [[""]], None),
        ("factoid", "", None),
        ("list", [[]], None),
    ],
)
def test_forms_of_gold(tmp_path: Path, kind: str, gold: Any, read: Any) -> None:
    (tmp_path / "q.json").write_text(json.dumps({"questions": [entry(1, kind, gold=gold)]}))
    assert read_evaluation_set(tmp_path / "q.json").questions[0].gold == read


@pytest.mark.parametrize("document", [f"{URL}77", "https://pubmed.ncbi.nlm.nih.gov/77/", "77"])
def test_documents_are_named_in_several_ways(tmp_path: Path, document: str) -> None:
    other = "http://www.ncbi.nlm.nih.gov/pmc/articles/PMC77"
    (tmp_path / "q.json").write_text(json.dumps({"questions": [entry(1, "list", documents=[document, other])]}))
    assert read_evaluation_set(tmp_path / "q.json").questions[0].pmids == (77,)


def test_over_snippets_with_a_submission(golden: Path, model: ModelConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done: list[int] = []
    found = evaluate_checkpoint(golden, model, out=out, on_questions=done.append)
    assert sum(done) == 4
    submission = json.loads((out / "submission.json").read_text("utf-8"))["questions"]
    answers = {q["id"]: [name for (name,) in q["exact_answer"]] for q in submission if "exact_answer" in q}
    assert [q["id"] for q in submission] == ["q1", "q2", "q3", "q4", "q5", "q6"]
    assert answers.keys() == {"q1", "q2", "q5", "q6"}
    assert answers["q1"] == answers["q5"] and 1 < len(answers["q1"]) <= 5 and answers["q6"] == []
    for answer in answers["q1"]:
        assert any(answer in a.text for a in ARTICLES)
    first, no_text = factoid_score([["quinine", "Qualaquin"]], answers["q1"]), 0.0
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert metrics["metrics"]["mrr"] == (first.reciprocal_rank + no_text) / 2
    assert metrics["metrics"]["list_f1"] == list_score([["quinine"], ["fever"]], answers["q2"]).f1
    assert (metrics["metrics"]["factoid_total"], metrics["metrics"]["list_total"]) == (2, 1)
    assert (metrics["metrics"]["answered_total"], metrics["metrics"]["not_answered_total"]) == (4, 2)
    assert "1 yesno and 1 summary questions are not answered: their answers cannot be quoted" in metrics["notes"]
    assert "1 questions have no gold in the file: they are answered and not scored" in metrics["notes"]
    assert "questions without a text to ask: 1" in metrics["notes"]
    rows = pq.read_table(out / "questions.parquet").to_pylist()
    assert [r["answers"] for r in rows] == [answers[i] for i in ("q1", "q2", "q5", "q6")]
    assert rows[0]["evidence"] and rows[0]["answers"][0] in rows[0]["evidence"]
    assert found.at_zero is None


def test_a_list_has_what_passes_the_threshold_and_a_factoid_is_filled_up(model: ModelConfig) -> None:
    checkpoint = open_checkpoint(model.name)
    texts = [AskedText(a.text, a.pmid) for a in ARTICLES]
    factoid, listed = (
        BioasqQuestion(t, "Which drug treats malaria?", t, (), (), None)
        for t in (QuestionType.FACTOID, QuestionType.LIST)
    )
    found = {}
    for threshold in (-1e9, 1e9):
        scorer = PairScorer(
            load_scorer(checkpoint, device="cpu", precision="fp32"),
            checkpoint.tokenizer(),
            ScoringConfig(),
            threshold=threshold,
            calibration=checkpoint.settings.calibration,
        )
        found[threshold] = answer_bioasq([factoid, listed], {"factoid": texts, "list": texts}, scorer)
    none, all_of_them = found[-1e9], found[1e9]
    # Nothing passes: the factoid has all the same what it would have, the list its best guess.
    assert none["factoid"].answers == all_of_them["factoid"].answers
    assert (none["factoid"].n_sure, all_of_them["factoid"].n_sure) == (0, len(all_of_them["factoid"].answers))
    assert none["list"].answers == all_of_them["list"].answers[:1] and none["list"].n_sure == 0
    assert len(all_of_them["list"].answers) > 1


def test_over_documents_and_over_what_a_source_finds(
    golden: Path, model: ModelConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "records").mkdir()
    write_records(tmp_path / "records", ARTICLES[1:])
    source = SourceConfig(kind="medline", medline_dir=tmp_path / "records", max_abstracts=1)
    by_documents = evaluate_checkpoint(golden, model, over="documents", source=source)
    # PMID 11 is named and not in the folder.
    assert by_documents.answers["q1"].n_texts == 1 and by_documents.answers["q1"].pmid == 12
    assert by_documents.missing == {"documents: not found": 1, "questions without a text to ask": 1}
    by_search = evaluate_checkpoint(golden, model, over="source", source=source)
    assert by_search.answers["q6"].n_texts == 1 and by_search.missing == {}
    write_records(tmp_path / "records", [Article(11, "")], number=2)
    without_abstract = evaluate_checkpoint(golden, model, over="documents", source=source)
    assert without_abstract.missing == {"documents: no abstract": 1, "questions without a text to ask": 1}
    assert without_abstract.answers["q1"] == by_documents.answers["q1"]
    arguments = ["--dataset", str(golden), "--model", model.name, "--no-prefect", "--over", "medline", "--quiet"]
    arguments += ["--medline-dir", str(tmp_path / "records"), "--max-abstracts", "1", "--precision", "fp32"]
    assert command.main(arguments) == 0
    said = capsys.readouterr().out
    assert "note       asked of what medline finds, 1 abstracts a question at most" in said
    assert f"mrr                   {by_search.metrics['mrr']:>14.6f}" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--over documents", "e-mail"),
        ("--over medline", "source medline needs --medline-dir"),
        ("--medline-dir x", "a source of abstracts needs --over"),
        ("--beside biobert-card", "biobert-card has no figures of a BioASQ file"),
        ("--predictions p.json --over snippets", "--over and sources of abstracts are for a model"),
    ],
)
def test_what_does_not_fit_is_said(
    golden: Path, arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NCBI_EMAIL", raising=False)
    assert command.main(["--dataset", str(golden), "--no-prefect", *arguments.split()]) == 2
    assert message in capsys.readouterr().err


def test_squad_has_its_own_paragraphs(model: ModelConfig, tmp_path: Path) -> None:
    content = {"data": [{"title": "T", "paragraphs": [{"context": "x", "qas": [{"id": "1", "question": "?"}]}]}]}
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="`over snippets` is for BioASQ's questions"):
        evaluate_checkpoint(tmp_path / "s.json", model, over="snippets")
