"""What becomes of single pairs: some cannot be scored, some answers are rejected, some records are found twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.records.texts import FetchStatus, Hit, Question, Retrieval
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.sources.medline.source import MedlineSource
from support.small_runs import QUESTION, small_config, write_records


@pytest.fixture(autouse=True)
def records(tmp_path: Path) -> None:
    write_records(tmp_path / "records")


def poisoned(model: Path, folder: Path, word: str) -> Path:
    """The model with a word that no window may hold: its embedding is finite, its sums are not."""
    shutil.copytree(model, folder)
    words = (folder / "vocab.txt").read_text("utf-8").splitlines()
    state = load_file(folder / "model.safetensors")
    state["bert.embeddings.word_embeddings.weight"][words.index(word)] = 3e38
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_poisoned_pair_is_named_and_lost_alone(tmp_path: Path, model: Path) -> None:
    config = small_config(tmp_path, poisoned(model, tmp_path / "poisoned", "fever"))
    for attempt, n_scored in enumerate((2, 0)):
        result = run_job(config)
        manifest = result.manifest
        assert (manifest.status, manifest.n_scored, manifest.n_failed) == ("partial", n_scored, 1), attempt
        [failure] = result.failures
        [question] = {answer.question_id for answer in result.answers}
        assert f"{question}, PMID 12" in failure and "not finite" in failure
        assert manifest.failures == (failure,)
        assert manifest.statuses == {FetchStatus.SCORED: 2, FetchStatus.SCORE_ERROR: 1}
        assert sorted(Dataset(config.out).answers().collect()["pmid"]) == [11, 13]


def test_a_shard_of_poisoned_pairs_names_each_of_them(tmp_path: Path, model: Path) -> None:
    config = small_config(tmp_path, poisoned(model, tmp_path / "poisoned", "malaria"))
    result = run_job(config)
    assert (result.manifest.n_scored, result.manifest.n_failed) == (0, 3)
    assert all(f"PMID {pmid}" in " ".join(result.failures) for pmid in (11, 12, 13))
    assert Dataset(config.out).answers().collect().is_empty()


def test_a_rejected_answer_leaves_its_scores_and_its_sentence(tmp_path: Path, model: Path) -> None:
    accepting, rejecting = (
        small_config(tmp_path, model, threshold=threshold, out=tmp_path / name)
        for name, threshold in (("accepting", 1e9), ("rejecting", -1e9))
    )
    given, refused = run_job(accepting), run_job(rejecting)
    assert refused.manifest.statuses == given.manifest.statuses == {FetchStatus.SCORED: 3}
    answers = ["answer", "answer_start", "answer_end", "is_answerable"]
    accepted, rejected = (Dataset(c.out).answers().collect().sort("pmid") for c in (accepting, rejecting))
    assert rejected["is_answerable"].to_list() == [False] * 3
    assert all(rejected[name].null_count() == 3 for name in answers[:3])
    assert accepted["is_answerable"].all()
    for row in accepted.iter_rows(named=True):
        best = row["n_best"][0]
        assert (row["answer"], row["answer_start"], row["answer_end"]) == (best["text"], best["start"], best["end"])
    own = [*answers, "threshold", "run_id", "scored_at"]
    assert accepted.drop(own).equals(rejected.drop(own))
    assert rejected["evidence"].null_count() == rejected["span_score"].null_count() == 0
    assert [(a.answer, a.support_pmids, a.evidence) for a in refused.answers] == [(None, (), None)]
    assert refused.answers[0].n_abstracts == 3
    # One pair between the two thresholds: the boundary belongs to the answers.
    middle = sorted(accepted["score_diff"])[1]
    between = run_job(rejecting.model_copy(update={"threshold": middle}))
    assert between.manifest.n_scored == 0
    supported = {pmid for answer in between.answers for pmid in answer.support_pmids}
    assert supported == set(accepted.filter(pl.col("score_diff") <= middle)["pmid"])
    assert len(supported) == 2


def test_ranks_are_contiguous_and_a_record_that_is_found_twice_counts_once(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(self: MedlineSource, question: Question, limit: int) -> Retrieval:
        return Retrieval(question.id, (Hit(12, 1), Hit(11, 2), Hit(12, 3), Hit(13, 4), Hit(11, 5)))

    monkeypatch.setattr(MedlineSource, "search", search)
    config = small_config(tmp_path, model, QUESTION, "Which drug treats fever?", threshold=1e9)
    result = run_job(config)
    assert (result.manifest.n_pairs, result.manifest.n_scored) == (6, 6)
    assert result.manifest.statuses == {FetchStatus.SCORED: 3}
    assert {answer.n_abstracts for answer in result.answers} == {3}
    rows = Dataset(config.out).answers().collect()
    assert rows["pair_id"].is_unique().all()
    assert {(pmid, rank) for pmid, rank in rows.select("pmid", "rank").iter_rows()} == {(12, 1), (11, 2), (13, 4)}
    summary = Dataset(config.out).summary().collect()
    for _, answers in summary.group_by("question_id"):
        assert sorted(answers["rank"]) == list(range(1, len(answers) + 1))


def test_hits_are_ranked_from_1_without_gaps(tmp_path: Path, model: Path) -> None:
    config = small_config(tmp_path, model)
    run_job(config)
    assert sorted(Dataset(config.out).answers().collect()["rank"]) == [1, 2, 3]
