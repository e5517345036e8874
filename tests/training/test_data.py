from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import TrainingError
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.qa.tokenizer import TextTokenizer
from bioqa_pipeline.records.scores import Window
from bioqa_pipeline.training.data import (
    Example,
    LabelledWindow,
    TrainingSet,
    answer_tokens,
    build_training_set,
    crop,
    label_examples,
    merge_paragraphs,
)
from bioqa_pipeline.training.negatives import make_negatives
from bioqa_pipeline.training.phrases import sentence_bounds
from bioqa_pipeline.training.plan import plan_batches
from bioqa_pipeline.training.recipe import DataConfig, NegativesConfig, TrainingConfig
from support.checkpoints import make_checkpoint
from support.squad_files import write_squad

CONTEXT = (
    "Scurvy is caused by a lack of Vitamin C in 1747. James Lind gave oranges to two sailors. The largest ship was "
    "the Salisbury. Many sailors of the Royal Navy died in 1740 before the trial of James Lind began."
)
OTHER = "The Royal Navy gave lemons to all sailors after 1795. Gilbert Blane was the doctor who asked for the juice."


def question(number: int, text: str, answer: str | None, context: str = CONTEXT) -> SquadQuestion:
    return SquadQuestion(str(number), text, (GoldAnswer(answer, context.index(answer)),) if answer else ())


PARAGRAPHS = [
    SquadParagraph(
        "Scurvy",
        CONTEXT,
        (
            question(1, "What did James Lind give to the sailors?", "oranges"),
            question(2, "What was the largest ship?", "Salisbury"),
            question(3, "Who cured gout?", None),
            question(4, "In what year did many sailors of the Royal Navy die?", "1740"),
        ),
    ),
    SquadParagraph("Scurvy", OTHER, (question(5, "Who was the doctor of the Royal Navy?", "Gilbert Blane", OTHER),)),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return open_checkpoint(str(make_checkpoint(tmp_path_factory.mktemp("model")))).tokenizer()


def config(path: Path, **changes: object) -> TrainingConfig:
    data = DataConfig(path=path, **{k: changes.pop(k) for k in list(changes) if k in DataConfig.model_fields})  # type: ignore[arg-type]
    return TrainingConfig.model_validate({"base_model": "x", "data": [data.model_dump()], "epochs": 2} | changes)


@given(data=st.data())
def test_targets_point_at_the_answer_in_every_window_that_holds_it(
    tokenizer: TextTokenizer, data: st.DataObject
) -> None:
    words = data.draw(
        st.lists(st.sampled_from(["vitamin", "c", "the", "liver", "cell", "x1"]), min_size=3, max_size=60)
    )
    context = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(len(words) - 1, first + 4)))
    start = len(" ".join([*words[:first], ""]))
    answer = GoldAnswer(" ".join(words[first : last + 1]), start)
    settings = WindowConfig(max_seq_length=24, doc_stride=7, max_query_length=4)
    counts: Counter[str] = Counter()
    [labelled] = label_examples([Example("1", "what", context, answer)], tokenizer, settings, counts)
    [passage] = tokenizer([context])
    holds = 0
    for item in labelled:
        window = item.window
        inside = passage.starts[window.token_start : window.token_end]
        if item.start == 0:
            assert item.end == 0
            whole = answer.start >= inside[0] and answer.end <= passage.ends[window.token_end - 1]
            assert not whole
            continue
        holds += 1
        shift = window.token_start - window.passage_offset
        assert context[passage.starts[item.start + shift] : passage.ends[item.end + shift]] == answer.text
        assert window.input_ids[item.start] == passage.ids[item.start + shift]
    assert holds >= 1
    assert counts["windows without their answer"] == len(labelled) - holds


def test_an_answer_without_a_token_is_counted(tokenizer: TextTokenizer) -> None:
    counts: Counter[str] = Counter()
    example = Example("1", "what", "the liver", GoldAnswer(" ", 3))
    assert label_examples([example], tokenizer, WindowConfig(), counts) == [[]]
    assert counts["skipped: answer without a token"] == 1
    [passage] = tokenizer(["the liver"])
    assert answer_tokens(passage, 4, 9) == (1, 1)
    assert answer_tokens(passage, 2, 5) == (0, 1)


def test_a_training_set_is_the_same_for_the_same_seed(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    write_squad(PARAGRAPHS, tmp_path / "s.json")
    negatives = NegativesConfig(removed_sentence=0.5, other_paragraph=0.5, swapped=0.5, reversed=0.5).model_dump()
    settings = config(tmp_path / "s.json", negatives=negatives, crop_share=0.5, crop_chars=80)
    first, second = build_training_set(settings, tokenizer), build_training_set(settings, tokenizer)
    assert first.counts == second.counts
    assert plan_batches(first, settings) == plan_batches(second, settings)
    assert [w.window.input_ids.tolist() for w in first.windows] == [w.window.input_ids.tolist() for w in second.windows]
    assert first.counts["answerable"] == 8


def test_epochs_repeat_what_was_drawn(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    write_squad(PARAGRAPHS, tmp_path / "s.json")
    negatives = NegativesConfig(swapped=0.5, reversed=0.5).model_dump()
    settings = config(tmp_path / "s.json", negatives=negatives, share=0.6, crop_share=0.7, crop_chars=60, epochs=5)
    anew = build_training_set(settings, tokenizer).epochs
    repeated = build_training_set(settings.model_copy(update={"drawn_epochs": 2}), tokenizer).epochs
    assert len(set(anew)) == 5
    assert len(set(repeated)) == 2
    assert repeated[0] == repeated[2] == repeated[4]
    assert repeated[1] == repeated[3]


@pytest.mark.parametrize(("epochs", "sizes"), [(0.5, [2]), (1.0, [5]), (2.5, [5, 5, 2]), (0.01, [1])])
def test_of_the_last_epoch_a_part(tokenizer: TextTokenizer, tmp_path: Path, epochs: float, sizes: list[int]) -> None:
    write_squad(PARAGRAPHS, tmp_path / "s.json")
    settings = config(tmp_path / "s.json", epochs=epochs)
    found = build_training_set(settings, tokenizer)
    assert [len(indices) for indices in found.epochs] == sizes
    assert len(set(found.epochs[-1])) == sizes[-1]
    assert found.counts["answerable"] + found.counts["unanswerable"] == found.counts["windows"] == sum(sizes)
    assert sum(map(len, plan_batches(found, settings))) == sum(sizes)


def test_wrong_offsets_are_counted_and_named(
    tokenizer: TextTokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = SquadQuestion("bad-7", "What?", (GoldAnswer("oranges", 3),))
    blank = SquadQuestion("bad-8", "What?", (GoldAnswer("", len(CONTEXT)),))
    write_squad([*PARAGRAPHS, SquadParagraph("T", CONTEXT, (moved, blank))], tmp_path / "s.json")
    found = build_training_set(config(tmp_path / "s.json", crop_share=1), tokenizer)
    assert found.counts["skipped: answer not at its offset"] == 2
    assert "bad-7, bad-8" in caplog.text
    write_squad([SquadParagraph("T", CONTEXT, (moved,))], tmp_path / "only.json")
    with pytest.raises(TrainingError, match=r"nothing to train on in .*only\.json: 1 skipped: answer not at"):
        build_training_set(config(tmp_path / "only.json"), tokenizer)


def test_held_out_articles_are_not_trained_on(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    extra = SquadParagraph("Gout", OTHER, (question(9, "Who asked?", "Gilbert Blane", OTHER),))
    write_squad([*PARAGRAPHS, extra], tmp_path / "s.json")
    found = build_training_set(config(tmp_path / "s.json", held_out=("Scurvy",)), tokenizer)
    assert (found.counts["held out"], found.counts["answerable"]) == (5, 2)
    with pytest.raises(TrainingError, match="not there: Gowt"):
        build_training_set(config(tmp_path / "s.json", held_out=("Gowt",)), tokenizer)


def fake_set(lengths: list[int], epochs: int) -> TrainingSet:
    def window(length: int) -> LabelledWindow:
        return LabelledWindow(Window(0, 1, 0, 1, 0, 1, 2, np.zeros(length, dtype=np.int32)), 0, 0)

    return TrainingSet(tuple(map(window, lengths)), tuple(tuple(range(len(lengths))) for _ in range(epochs)), {})


@given(
    lengths=st.lists(st.integers(4, 60), min_size=1, max_size=80), budget=st.integers(8, 200), seed=st.integers(0, 9)
)
def test_batches_hold_every_window_once_an_epoch(lengths: list[int], budget: int, seed: int) -> None:
    training_set = fake_set(lengths, epochs=2)
    budgeted = plan_batches(training_set, config(Path("x"), batch_tokens=budget, seed=seed))
    assert Counter(i for b in budgeted for i in b) == dict.fromkeys(range(len(lengths)), 2)
    assert all(len(b) == 1 or len(b) * -(-max(lengths[i] for i in b) // 32) * 32 <= budget for b in budgeted)
    small = plan_batches(training_set, config(Path("x"), train_batch_size=3, seed=seed))
    large = plan_batches(training_set, config(Path("x"), train_batch_size=6, seed=seed))
    per_epoch = -(-len(lengths) // 6)
    joined = [i for b in large[:per_epoch] for i in b]
    assert joined == [i for b in small[: -(-len(lengths) // 3)] for i in b]


def test_merged_paragraphs_keep_their_answers() -> None:
    merged = merge_paragraphs([*PARAGRAPHS, SquadParagraph("Other", "x", ())], min_chars=10_000)
    assert [p.title for p in merged] == ["Scurvy", "Other"]
    for asked in merged[0].questions:
        assert all(merged[0].context[a.start : a.end] == a.text for a in asked.answers)
    assert merge_paragraphs(PARAGRAPHS, min_chars=10) == PARAGRAPHS


@given(seed=st.integers(0, 500), max_chars=st.integers(1, 300), index=st.integers(0, 3))
def test_a_cut_context_is_part_of_the_whole_and_keeps_the_answer(seed: int, max_chars: int, index: int) -> None:
    asked = PARAGRAPHS[0].questions[index]
    example = Example("1", asked.text, CONTEXT, asked.answers[0] if asked.answers else None)
    found = crop(example, None, max_chars, random.Random(seed))
    assert found.context in CONTEXT
    if found.answer:
        assert found.context[found.answer.start : found.answer.end] == found.answer.text
        assert len(found.context) <= max(max_chars, max(b - a for a, b in sentence_bounds(CONTEXT)))


def test_negatives_are_unanswerable_as_far_as_rules_can_tell() -> None:
    everything = NegativesConfig(removed_sentence=1, other_paragraph=1, swapped=1, reversed=1)
    found = [n for seed in range(20) for n in make_negatives(PARAGRAPHS, everything, seed=seed)]
    asked = {q.id: q for p in PARAGRAPHS for q in p.questions}
    assert {n.style for n in found} == {"removed_sentence", "other_paragraph", "swapped", "reversed"}
    for negative in found:
        source = asked[negative.source_id]
        assert source.answers
        if negative.style in {"removed_sentence", "other_paragraph"}:
            assert negative.question == source.text
            assert source.answers[0].text.lower() not in negative.context.lower()
        else:
            assert negative.question != source.text
            assert negative.context in {CONTEXT, OTHER}
    assert "What was the smallest ship?" in {n.question for n in found if n.style == "reversed"}
    assert make_negatives(PARAGRAPHS, everything, seed=1) == make_negatives(PARAGRAPHS, everything, seed=1)
    assert make_negatives(PARAGRAPHS, NegativesConfig(), seed=1) == []
