"""A window's scores have the same bits whatever is scored with it, before it, beside it, or on how many threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioqa_pipeline.config import SPECIAL_TOKENS, Precision, SpanConfig, WindowConfig
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.inference import Scorer
from bioqa_pipeline.qa.packed_engine import PackedScorer
from bioqa_pipeline.qa.torch_engine import TorchScorer
from bioqa_pipeline.records.scores import TokenizedText, Window
from support.checkpoints import make_checkpoint
from support.windows import WindowScore, batches_of, make_windows, score_windows

# Short and many: 16 to 80 tokens, with one and with several to a padded length, and some without any padding.
LENGTHS = (16, 17, 25, 32, 33, 40, 48, 48, 57, 61, 64, 64, 72, 79, 80, 80)
SPANS = SpanConfig()


def windows_of(checkpoint: Checkpoint) -> list[Window]:
    tokenizer = checkpoint.tokenizer()
    rng = np.random.default_rng(0)
    words = "which gene causes cancer of the breast and what treats fever in malaria where insulin lowers pain".split()
    question, text = tokenizer(["which gene causes fever", " ".join(rng.choice(words, size=2000))])
    windows: list[Window] = []
    for number, length in enumerate(LENGTHS):
        part = slice(number, number + length - len(question) - SPECIAL_TOKENS)
        passage = TokenizedText(text.ids[part], text.starts[part], text.ends[part])
        windows += make_windows(question, passage, tokenizer.special, WindowConfig())
    assert [len(w) for w in windows] == list(LENGTHS)
    return windows


KINDS = {
    "torch fp32": ("torch", "fp32", "embedded"),
    # Which kernel computes hangs on the widths of the embedded one, not on how many layers come after each other.
    "openvino fp32": ("openvino", "fp32", "wide"),
    # Where the processor has no bf16 it is emulated: a network of the size of a test.
    "torch bf16": ("torch", "bf16", "tiny"),
    "openvino bf16": ("openvino", "bf16", "wide"),
    "torch fp32 as on a GPU": ("torch on GPU", "fp32", "wide"),
    "torch fp32, packed": ("packed", "fp32", "wide"),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Precision, Checkpoint]:
    engine, precision, size = KINDS[request.param]
    if engine == "openvino":
        openvino = pytest.importorskip("bioqa_pipeline.qa.openvino_engine").openvino
        if precision == "bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("OpenVINO computes in bf16 only where the processor does")
    sizes = {"tiny": {}, "wide": {"layers": 1, "width": 384}}
    folder = "embedded" if size == "embedded" else make_checkpoint(tmp_path_factory.mktemp("model"), **sizes[size])
    return engine, precision, open_checkpoint(str(folder))  # type: ignore[return-value]


def scorer_of(kind: tuple[str, Precision, Checkpoint], n_threads: int) -> Scorer:
    engine, precision, checkpoint = kind
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(n_threads))
        if engine == "torch on GPU":
            scorer: Scorer = TorchScorer(checkpoint, device="cpu", precision=precision, as_on_gpu=True)
            # As many rows of a batch as on a GPU would take seconds here.
            object.__setattr__(scorer.info, "token_budget", 320)
            return scorer
        if engine == "packed":
            return PackedScorer(checkpoint, device="cpu", precision=precision, token_budget=320)
        return load_scorer(checkpoint, device="cpu", precision=precision, engine=engine)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def windows(kind: tuple[str, Precision, Checkpoint]) -> list[Window]:
    return windows_of(kind[2])


@pytest.fixture(scope="module")
def scorer(kind: tuple[str, Precision, Checkpoint]) -> Scorer:
    return scorer_of(kind, 2)


@pytest.fixture(scope="module")
def alone(windows: list[Window], scorer: Scorer) -> list[WindowScore]:
    """Each window scored by itself."""
    found = [score_windows([w], scorer, SPANS)[0] for w in windows]
    assert all(score.best for score in found) and len({score.null_score for score in found}) == len(LENGTHS)
    return found


@settings(max_examples=6)
@given(data=st.data())
def test_company_order_and_shards_change_no_bit(
    data: st.DataObject, windows: list[Window], alone: list[WindowScore], scorer: Scorer
) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(LENGTHS) - 1), min_size=1, max_size=8))
    shard = data.draw(st.integers(1, len(chosen)))
    found = [
        score
        for first in range(0, len(chosen), shard)
        for score in score_windows([windows[i] for i in chosen[first : first + shard]], scorer, SPANS)
    ]
    assert found == [alone[i] for i in chosen]


def test_threads_change_no_bit(
    windows: list[Window], alone: list[WindowScore], kind: tuple[str, Precision, Checkpoint]
) -> None:
    other = scorer_of(kind, 1)
    assert other.info.lanes == 1
    assert score_windows(windows, other, SPANS) == alone


def test_lanes_of_torch_compute_with_one_thread_and_leave_others_theirs() -> None:
    before = torch.get_num_threads()
    scorer = scorer_of(("torch", "fp32", open_checkpoint("embedded")), 2)
    assert isinstance(scorer, TorchScorer) and scorer._lanes is not None
    # The first operation of a thread is what makes torch take a number.
    seen = [scorer._lanes.begin(lambda: (torch.ones(9).sum(), torch.get_num_threads())[1]) for _ in range(4)]
    assert {wait() for wait in seen} == {1}
    assert torch.get_num_threads() == before


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_same_bits_on_a_gpu(precision: Precision) -> None:
    checkpoint = open_checkpoint("embedded")
    windows = windows_of(checkpoint)
    scorer = load_scorer(checkpoint, device="cuda", precision=precision)
    shapes = {batch.input_ids.shape for batch in batches_of(windows * 100, scorer)}
    if precision == "fp32":
        assert all(rows == scorer.info.token_budget // length for rows, length in shapes)
    else:
        assert isinstance(scorer, PackedScorer) and shapes == {(1, scorer.info.token_budget)}
    alone = [score_windows([w], scorer, SPANS)[0] for w in windows]
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = rng.integers(0, len(windows), size=rng.integers(1, 2000)).tolist()
        assert score_windows([windows[i] for i in chosen], scorer, SPANS) == [alone[i] for i in chosen]
    assert score_windows(windows, load_scorer(checkpoint, device="cuda", precision=precision), SPANS) == alone


@pytest.mark.gpu
def test_a_gpu_without_a_compiler_scores_nearly_the_same_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = open_checkpoint("embedded")
    windows = windows_of(checkpoint)
    compiled = load_scorer(checkpoint, device="cuda", precision="bf16")
    assert compiled.info.engine == "torch"

    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    torch.compiler.reset()
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", fails)
    plain = load_scorer(checkpoint, device="cuda", precision="bf16")
    assert plain.info.engine == "torch, not compiled" and "Failed to find C compiler" in caplog.text
    margins = [[s.margin for s in score_windows(windows, scorer, SPANS)] for scorer in (compiled, plain)]
    np.testing.assert_allclose(*margins, atol=0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_gpu_of_a_process_scores_its_own_batches(precision: Precision) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    checkpoint = open_checkpoint("embedded")
    # No batch is like the one before it.
    windows = [window for window in windows_of(checkpoint) for _ in range(99)]
    first, second = (load_scorer(checkpoint, device=f"cuda:{n}", precision=precision) for n in range(2))
    assert score_windows(windows, first, SPANS) == score_windows(windows, second, SPANS)
