"""`bioqa_pipeline.answer`: the main job in one call."""

from __future__ import annotations

from pathlib import Path

import pytest

import bioqa_pipeline
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import BioqaError, ConfigError, InputError
from support.checkpoints import make_checkpoint

QUESTIONS = ["Who discovered insulin?", "What causes scurvy?", "How deep is Lake Baikal?"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_checkpoint(tmp_path_factory.mktemp("model")))


def test_questions_become_a_frame_in_their_order(model: str) -> None:
    frame = bioqa_pipeline.answer(QUESTIONS, model=model, max_abstracts=4, threshold=1e9, device="cpu")
    assert frame["question"].unique(maintain_order=True).to_list() == QUESTIONS
    for _, rows in frame.group_by("question", maintain_order=True):
        assert rows["rank"].to_list() == list(range(1, rows.height + 1))
    assert frame["evidence"].null_count() == 0
    nothing = bioqa_pipeline.answer(QUESTIONS, model=model, max_abstracts=4, threshold=-1e9, device="cpu")
    assert nothing["question"].to_list() == QUESTIONS and nothing["answer"].null_count() == 3


def test_a_data_set_is_kept_and_grows(tmp_path: Path, model: str) -> None:
    out = tmp_path / "out"
    bioqa_pipeline.answer(QUESTIONS[:1], model=model, out=out, max_abstracts=4, device="cpu")
    questions = tmp_path / "q.txt"
    questions.write_text("\n".join(QUESTIONS))
    bioqa_pipeline.answer(questions, model=model, out=str(out), max_abstracts=4, device="cpu")
    first, second = Dataset(out).runs()
    assert second.n_reused == first.n_scored > 0


def test_wrong_use_is_said_in_words(tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError, match="kind"):
        bioqa_pipeline.answer(QUESTIONS, source="embase", model=model)
    with pytest.raises(ConfigError, match="max_abstracts"):
        bioqa_pipeline.answer(QUESTIONS, max_abstracts=0, model=model)
    with pytest.raises(ConfigError, match=r"^`source\.max_abstract`: there is no such setting; is max_abstracts meant"):
        bioqa_pipeline.answer(QUESTIONS, model=model, max_abstract=3)
    with pytest.raises(ConfigError, match=r"^`workers`: give auto or a whole number, not many$"):
        bioqa_pipeline.answer(QUESTIONS, model=model, workers="many")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no such folder"):
        bioqa_pipeline.answer(QUESTIONS, model=model, medline_dir=tmp_path / "none")
    with pytest.raises(InputError, match=r"none\.txt"):
        bioqa_pipeline.answer(tmp_path / "none.txt", model=model)
    with pytest.raises(InputError, match="2: the question is empty"):
        bioqa_pipeline.answer(["What causes scurvy?", " "], model=model)
    with pytest.raises(AttributeError, match="no attribute 'ask'"):
        bioqa_pipeline.ask  # noqa: B018


def test_what_failed_does_not_take_the_rest_with_it(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bioqa_pipeline.records.texts import Question, Retrieval, RetrievalOutcome
    from bioqa_pipeline.sources.sample import SampleSource

    search = SampleSource.search

    def failing(self: SampleSource, question: Question, limit: int) -> Retrieval:
        if "scurvy" in question.text:
            return Retrieval(question.id, (), outcome=RetrievalOutcome.FAILED, error="no answer from the server")
        return search(self, question, limit)

    monkeypatch.setattr(SampleSource, "search", failing)
    with pytest.raises(bioqa_pipeline.PartialAnswerError, match="no answer from the server") as failed:
        bioqa_pipeline.answer(QUESTIONS, model=model, max_abstracts=4, device="cpu")
    assert isinstance(failed.value, BioqaError) and len(failed.value.failures) == 1
    assert {"Who discovered insulin?", "How deep is Lake Baikal?"} <= set(failed.value.answers["question"])
