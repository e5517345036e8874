"""Checkpoints of every family that loads: windows, logits and texts beside transformers' own, and the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from bioqa_pipeline.config import Precision, SpanConfig, WindowConfig
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.inference import Scorer
from bioqa_pipeline.qa.packed_engine import PackedScorer
from bioqa_pipeline.records.scores import Window
from bioqa_pipeline.training.recipe import DataConfig, TrainingConfig
from bioqa_pipeline.training.trainer import train
from support.other_checkpoints import FAMILIES, TEXTS, make_other_checkpoint
from support.squad_files import write_squad
from support.windows import batches_of, char_range, make_windows, score_windows

SMALL = WindowConfig(max_seq_length=64, doc_stride=16, max_query_length=40)
QUESTION = "Which gene causes  breast cancer?"
FRAGMENTS = (
    *("interferon-γ", "TNF-α", "naïve", "x\u0304", "p\u0301\u0323", "5\u00a0mg/kg", "患者", "日本語text", "🧬"),
    *("👩\u200d🔬", "❤\ufe0f", "हिन्दी", "ภาษาไทย", "ﬁbrosis", "a\u200bb", "\u0007", "½", "İ", "Å"),
    *("[SEP]", "</s>", "<pad>", "<unk>", "[CLS]", "[MASK]", "[UNK]", "▁", "Ġ", "''", "``", "..."),
    *("(p<0.05)", "BRCA1", "cancer", "  ", "\n", "\t", "\u2003"),
)
texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=30).map(" ".join)


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(make_other_checkpoint(tmp_path_factory.mktemp("model"), request.param)))


@pytest.fixture(scope="module")
def scorer(checkpoint: Checkpoint) -> Scorer:
    return load_scorer(checkpoint, device="cpu", precision="fp32", engine="torch")


def passage_of(n_words: int, seed: int = 0) -> str:
    words = [w for text in TEXTS for w in text.split()] + ["患者", "🧬", "x\u0304", "", "IL-2"]
    return " ".join(np.random.default_rng(seed).choice(words, size=n_words))


def windows_of(checkpoint: Checkpoint, question: str, passage: str, config: WindowConfig = SMALL) -> list[Window]:
    tokenizer = checkpoint.tokenizer()
    query, tokens = tokenizer([question, passage])
    return make_windows(query, tokens, tokenizer.special, config)


@pytest.mark.parametrize("n_words", [1, 8, 60])
def test_windows_are_those_of_the_pair_encoding(checkpoint: Checkpoint, n_words: int) -> None:
    theirs = AutoTokenizer.from_pretrained(checkpoint.folder)
    passage = passage_of(n_words)
    windows = windows_of(checkpoint, QUESTION, passage)
    frame = theirs.num_special_tokens_to_add(pair=True)
    n_question = len(theirs(QUESTION, add_special_tokens=False)["input_ids"])
    capacity = SMALL.max_seq_length - n_question - frame
    assert windows[0].passage_offset == n_question + frame - 1
    found = theirs(
        QUESTION,
        passage,
        truncation="only_second",
        max_length=SMALL.max_seq_length,
        stride=capacity - SMALL.doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert [w.input_ids.tolist() for w in windows] == found["input_ids"]
    assert len(windows) > 2 or n_words < 60
    tokens = checkpoint.tokenizer()([passage])[0]
    for number, window in enumerate(windows):
        offsets = found["offset_mapping"][number][window.passage_offset : -1]
        for index, (start, end) in enumerate(offsets, start=window.token_start):
            ours = char_range(passage, tokens, index, index)
            assert passage[slice(*ours)].strip() == passage[start:end].strip() or passage[end : ours[1]]


def test_logits_are_those_of_transformers(checkpoint: Checkpoint, scorer: Scorer) -> None:
    theirs = AutoTokenizer.from_pretrained(checkpoint.folder)
    model = AutoModelForQuestionAnswering.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
    passage = passage_of(12)
    [window] = windows_of(checkpoint, QUESTION, passage, WindowConfig())
    [batch] = batches_of([window], scorer)
    start, end = scorer.logits(batch)
    with torch.inference_mode():
        # transformers 5 leaves ALBERT's type ids out unless it is asked; those that were trained had them.
        segments = checkpoint.config.takes_segments
        output = model(**theirs(QUESTION, passage, return_tensors="pt", return_token_type_ids=segments))
    np.testing.assert_allclose(start[0, : len(window)], output.start_logits[0].numpy(), atol=2e-5)
    np.testing.assert_allclose(end[0, : len(window)], output.end_logits[0].numpy(), atol=2e-5)
    [score] = score_windows([window], scorer, SpanConfig())
    assert score.null_score == pytest.approx(float(output.start_logits[0, 0] + output.end_logits[0, 0]), abs=5e-5)


def test_packed_windows_give_the_logits_of_padded_ones(checkpoint: Checkpoint, scorer: Scorer) -> None:
    if not checkpoint.config.packs:
        pytest.skip(f"attention of {checkpoint.config.model_type} knows how far apart tokens are")
    windows = [w for n in (30, 3, 60) for w in windows_of(checkpoint, QUESTION, passage_of(n, seed=n))]
    packed = PackedScorer(checkpoint, device="cpu", precision="fp32", token_budget=200)
    batches = list(batches_of(windows, packed))
    assert len(batches) > 1 and {batch.input_ids.shape for batch in batches} == {(1, packed.info.token_budget)}
    for batch in batches:
        found = packed.logits(batch)
        for row, number in enumerate(batch.order):
            [alone] = batches_of([windows[number]], scorer)
            length = len(windows[number])
            for ours, theirs in zip(found, scorer.logits(alone), strict=True):
                np.testing.assert_allclose(ours[row, :length], theirs[0, :length], atol=2e-5)


@given(text=texts, data=st.data())
def test_answers_are_what_stands_there(checkpoint: Checkpoint, text: str, data: st.DataObject) -> None:
    tokenizer = checkpoint.tokenizer()
    [tokens] = tokenizer([text])
    special = {tokenizer.special.cls, tokenizer.special.sep, tokenizer.special.pad}
    assert not special & set(tokens.ids.tolist())
    assert (tokens.starts <= tokens.ends).all() and (tokens.ends <= len(text)).all() and (tokens.starts >= 0).all()
    assert (np.diff(tokens.starts) >= 0).all() and (np.diff(tokens.ends) >= 0).all()
    if len(tokens):
        first = data.draw(st.integers(0, len(tokens) - 1))
        last = data.draw(st.integers(first, len(tokens) - 1))
        start, end = char_range(text, tokens, first, last)
        assert 0 <= start <= end <= len(text) and (not (inside := text[start:end].strip()) or text[start:end] == inside)
        # All that is not white space between the two tokens' edges.
        assert text[tokens.starts[first] : tokens.ends[last]].strip() in text[start:end]


def test_every_character_is_read(checkpoint: Checkpoint) -> None:
    text = "Interferon-γ (IL-2) naïve 5 µg/kg 患者 🧬"
    [tokens] = checkpoint.tokenizer()([text])
    covered = {i for start, end in zip(tokens.starts, tokens.ends, strict=True) for i in range(start, end)}
    assert {i for i, char in enumerate(text) if not char.isspace()} <= covered


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_bits_in_any_company(checkpoint: Checkpoint, precision: Precision) -> None:
    """Where the processor has no bf16 it is emulated, which these small networks can bear."""
    scorer = load_scorer(checkpoint, device="cpu", precision=precision, engine="torch")
    assert scorer.info.precision == precision
    windows = [w for n in (0, 3, 8, 8, 15, 30, 60) for w in windows_of(checkpoint, QUESTION, passage_of(n, seed=n))]
    alone = [score_windows([w], scorer, SpanConfig())[0] for w in windows]
    assert score_windows(windows, scorer, SpanConfig()) == alone
    rng = np.random.default_rng(1)
    for _ in range(4):
        chosen = rng.permutation(len(windows))[: rng.integers(2, len(windows))].tolist()
        assert score_windows([windows[i] for i in chosen], scorer, SpanConfig()) == [alone[i] for i in chosen]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_openvino_gives_the_same_or_torch_takes_over(
    family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("bioqa_pipeline.qa.openvino_engine")
    checkpoint = open_checkpoint(str(make_other_checkpoint(tmp_path, family)))
    scorer = load_scorer(checkpoint, device="cpu", precision="fp32", engine="openvino")
    taken_over = [r.message for r in caplog.records if "OpenVINO cannot" in r.message]
    assert scorer.info.engine == ("torch" if taken_over else "openvino")
    windows = [w for n in (2, 9, 40) for w in windows_of(checkpoint, QUESTION, passage_of(n, seed=n))]
    found = score_windows(windows, scorer, SpanConfig())
    torch_scorer = load_scorer(checkpoint, device="cpu", precision="fp32", engine="torch")
    for one, other in zip(found, score_windows(windows, torch_scorer, SpanConfig()), strict=True):
        assert one.null_score == pytest.approx(other.null_score, abs=1e-3)
        assert one.margin == pytest.approx(other.margin, abs=1e-3)
    assert score_windows(windows[:1], scorer, SpanConfig()) == found[:1]


def test_the_local_attention_of_modernbert_is_left_to_torch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("bioqa_pipeline.qa.openvino_engine")
    checkpoint = open_checkpoint(str(make_other_checkpoint(tmp_path, "modernbert")))
    assert load_scorer(checkpoint, device="cpu", precision="fp32", engine="openvino").info.engine == "torch"
    assert "OpenVINO cannot run a modernbert model" in caplog.text


def test_a_training_ends_in_a_checkpoint_that_loads(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """It begins with the encoder alone, as most on the hub have no more."""
    base = Path(shutil.copytree(checkpoint.folder, tmp_path / "base"))
    encoder = {k: v for k, v in load_file(checkpoint.weights).items() if k.startswith(checkpoint.config.encoder)}
    save_file(encoder, base / "model.safetensors")
    context = "BRCA1 causes breast cancer"
    questions = (
        SquadQuestion("1", QUESTION, (GoldAnswer("BRCA1", 0),)),
        SquadQuestion("2", "what treats malaria", ()),
    )
    write_squad([SquadParagraph("T", context, questions)], tmp_path / "s.json")
    config = TrainingConfig(
        base_model=str(base),
        data=(DataConfig(path=tmp_path / "s.json"),),
        epochs=20,
        warmup_steps=0,
        learning_rate=3e-3,
        logging_steps=1,
        precision="fp32",
        dropout=0.0 if checkpoint.config.dropout_is_set else None,
    )
    found = train(config, tmp_path / "out", device="cpu")
    assert found.history[-1].loss < 0.7 * found.history[0].loss
    trained = open_checkpoint(str(tmp_path / "out"))
    assert (trained.config.model_type, trained.casing) == (checkpoint.config.model_type, checkpoint.casing)
    windows = [w for q in questions for w in windows_of(trained, q.text, context)]
    assert [w.input_ids.tolist() for w in windows] == [
        w.input_ids.tolist() for q in questions for w in windows_of(checkpoint, q.text, context)
    ]
    scorer = load_scorer(trained, device="cpu", precision="fp32", engine="torch")
    right, wrong = (score.margin for score in score_windows(windows, scorer, SpanConfig()))
    assert right > wrong
