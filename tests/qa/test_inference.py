from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForQuestionAnswering, BertConfig, ElectraConfig, MPNetConfig

from bioqa_pipeline.config import ModelConfig, ScoringConfig, SpanConfig, WindowConfig
from bioqa_pipeline.errors import ConfigError, NonFiniteLogitError
from bioqa_pipeline.qa import packed_engine
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.devices import emulated, resolve_device, resolve_precision
from bioqa_pipeline.qa.engines import faster_engine, load_scorer, resolve_engine
from bioqa_pipeline.qa.inference import Scorer
from bioqa_pipeline.qa.network_config import NetworkConfig
from bioqa_pipeline.qa.packed_engine import PackedScorer, can_pack
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.qa.torch_engine import TorchScorer
from bioqa_pipeline.records.scores import Batch, FloatArray, Window
from bioqa_pipeline.records.texts import Passage
from support.checkpoints import WORDS, make_checkpoint
from support.windows import make_batches, make_windows, score_windows

SMALL = WindowConfig(max_seq_length=64, doc_stride=24, max_query_length=16)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(make_checkpoint(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def openvino_scorer(checkpoint: Checkpoint) -> Scorer:
    pytest.importorskip("bioqa_pipeline.qa.openvino_engine")
    return load_scorer(checkpoint, device="cpu", precision="fp32", engine="openvino")


ENGINES = ("torch", "torch, decoding as on a GPU", "openvino")


def scorer_of(kind: str, checkpoint: Checkpoint, request: pytest.FixtureRequest) -> Scorer:
    if kind == "torch, packed as on a GPU":
        return PackedScorer(checkpoint, device="cpu", precision="fp32", token_budget=300)
    if kind == "torch, decoding as on a GPU":
        return TorchScorer(checkpoint, device="cpu", precision="fp32", as_on_gpu=True)
    if kind == "openvino":
        scorer: Scorer = request.getfixturevalue("openvino_scorer")
    else:
        scorer = load_scorer(checkpoint, device="cpu", precision="fp32", engine="torch")
    assert scorer.info.engine == kind
    return scorer


@pytest.fixture(scope="module", params=[*ENGINES, "torch, packed as on a GPU"])
def scorer(checkpoint: Checkpoint, request: pytest.FixtureRequest) -> Scorer:
    """Each engine in turn, in the same precision."""
    return scorer_of(request.param, checkpoint, request)


@pytest.fixture(scope="module", params=ENGINES)
def padding_scorer(checkpoint: Checkpoint, request: pytest.FixtureRequest) -> Scorer:
    """Those that take padded windows."""
    return scorer_of(request.param, checkpoint, request)


def texts(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 160))) for _ in range(count)]


def windows_of(checkpoint: Checkpoint, passages: Sequence[str]) -> list[Window]:
    tokenizer = checkpoint.tokenizer()
    question, *tokens = tokenizer(["which gene causes cancer", *passages])
    return [w for t in tokens for w in make_windows(question, t, tokenizer.special, SMALL)]


def test_bf16_stays_near_fp32(checkpoint: Checkpoint, scorer: Scorer) -> None:
    windows = windows_of(checkpoint, texts(8, seed=3))
    exact = score_windows(windows, scorer, SpanConfig())
    rough = score_windows(windows, load_scorer(checkpoint, device="cpu", precision="bf16"), SpanConfig())
    np.testing.assert_allclose([s.margin for s in rough], [s.margin for s in exact], atol=0.3)


@pytest.mark.parametrize("architecture", [BertConfig, ElectraConfig, MPNetConfig])
def test_every_architecture_runs_in_bf16(
    checkpoint: Checkpoint, architecture: type[BertConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint.folder, folder)
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    config = architecture(**checkpoint.config.model_dump(include=set(sizes)), embedding_size=32, pad_token_id=0)
    model = AutoModelForQuestionAnswering.from_config(config)
    config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors")
    other = open_checkpoint(str(folder))
    windows = windows_of(other, texts(4, seed=5))
    exact, rough = (
        score_windows(windows, TorchScorer(other, device="cpu", precision=p), SpanConfig()) for p in ("fp32", "bf16")
    )
    assert [s.margin for s in rough] != [s.margin for s in exact]
    np.testing.assert_allclose([s.margin for s in rough], [s.margin for s in exact], atol=0.05)


@pytest.mark.parametrize(
    ("heads", "options", "is_built", "packs"),
    [
        (12, {"scale"}, True, True),
        # TinyBERT has 12 heads for 312 numbers.
        (48, {"scale"}, True, False),
        (1, {"scale"}, True, False),
        (12, {"is_causal"}, True, False),
        (12, {"scale"}, False, False),
    ],
)
def test_windows_are_packed_only_where_attention_takes_them(
    heads: int, options: set[str], is_built: bool, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: is_built)
    monkeypatch.setattr(packed_engine, "OPTIONS", options)
    sizes = {"vocab_size": 99, "hidden_size": 576, "num_hidden_layers": 1, "intermediate_size": 32}
    network = NetworkConfig(model_type="bert", num_attention_heads=heads, **sizes)
    assert can_pack(network, "cuda", "bf16") is packs


@pytest.mark.parametrize("when", ["it is asked for", "it is needed"])
def test_layers_that_cannot_be_compiled_compute_as_before(
    when: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    packed = PackedScorer(checkpoint, device="cpu", precision="fp32", token_budget=300)
    windows = windows_of(checkpoint, texts(3, seed=7))
    before = score_windows(windows, packed, SpanConfig())

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", fail if when == "it is asked for" else lambda *args, **kwargs: fail)
    assert not packed._compiled()
    assert "layers are not compiled" in caplog.text and "RuntimeError: no compiler" in caplog.text
    assert score_windows(windows, packed, SpanConfig()) == before


class PoisonedScorer(Scorer):
    """Gives the logits of a real scorer, but no number where a window holds the token `poison`."""

    def __init__(self, inner: Scorer, poison: int) -> None:
        self.inner, self.poison = inner, poison
        self.info = inner.info

    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        start, end = self.inner.logits(batch)
        return np.where((batch.input_ids == self.poison).any(axis=1, keepdims=True), np.nan, start), end


def pair_scorer(checkpoint: Checkpoint, scorer: Scorer) -> PairScorer:
    config = ScoringConfig(windows=SMALL)
    return PairScorer(scorer, checkpoint.tokenizer(), config, threshold=0.0, calibration=Calibration())


def test_a_logit_that_is_not_finite_is_an_error(checkpoint: Checkpoint, padding_scorer: Scorer) -> None:
    [malaria] = checkpoint.tokenizer()(["malaria"])
    poisoned = pair_scorer(checkpoint, PoisonedScorer(padding_scorer, int(malaria.ids[0])))
    assert len(poisoned.score([("what", Passage("1", "cancer"))])) == 1
    with pytest.raises(NonFiniteLogitError):
        poisoned.score([("what", Passage("1", "cancer")), ("what", Passage("2", "malaria"))])


def test_pairs_come_back_in_order_with_all_their_windows(checkpoint: Checkpoint, scorer: Scorer) -> None:
    passages = [Passage(str(i), text) for i, text in enumerate([*texts(12, seed=5), "", " \u200b", "\U0001f9ec"])]
    pairs = [(q, p) for q in ("which gene causes cancer", "what " * 40) for p in passages]
    done: list[float] = []
    scored = pair_scorer(checkpoint, scorer).score(pairs, progress=done.append)
    assert sum(done) == pytest.approx(len(pairs))
    windows = scored.windows
    assert windows.lengths.max() <= 64 and len(scored.scores.null_score) == len(windows)
    for number, ((_, passage), answer) in enumerate(zip(pairs, scored, strict=True)):
        assert answer.n_windows == (windows.pair == number).sum() >= 1
        assert all(passage.text[s.start : s.end] == s.text for s in answer.n_best)
        if not windows.token_end[windows.pair == number].any():
            assert answer.best is None and not answer.is_answerable and answer.answerability == 0.0
    assert (np.diff(windows.pair) >= 0).all()


def test_each_text_is_tokenised_once(checkpoint: Checkpoint, scorer: Scorer) -> None:
    tokenizer = checkpoint.tokenizer()
    seen: list[str] = []

    class Counting:
        special = tokenizer.special

        def __call__(self, batch: Sequence[str]) -> object:
            seen.extend(batch)
            return tokenizer(batch)

    config = ScoringConfig(windows=SMALL)
    ours = PairScorer(scorer, Counting(), config, threshold=0.0, calibration=Calibration())  # type: ignore[arg-type]
    passages = [Passage(str(i), text) for i, text in enumerate(texts(5, seed=6))]
    for question in ("what is cancer", "who treats fever"):
        ours.score([(question, p) for p in passages])
    assert sorted(seen) == sorted({p.text for p in passages} | {"what is cancer", "who treats fever"})


def test_threads_take_turns_on_the_device_and_prepare_meanwhile(checkpoint: Checkpoint, padding_scorer: Scorer) -> None:
    """One thread is held on the device until the other has tokenised its pairs."""
    tokenizer = checkpoint.tokenizer()
    on_device = threading.Lock()
    tokenised = threading.Semaphore(0)

    class Held(Scorer):
        info = padding_scorer.info

        def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
            assert on_device.acquire(blocking=False)
            try:
                if not met.is_set():
                    assert all(tokenised.acquire(timeout=30) for _ in range(2))
                    met.set()
                return padding_scorer.logits(batch)
            finally:
                on_device.release()

    class Telling:
        special = tokenizer.special

        def __call__(self, batch: Sequence[str]) -> object:
            found = tokenizer(batch)
            tokenised.release()
            return found

    met = threading.Event()
    config = ScoringConfig(windows=SMALL)
    ours = PairScorer(Held(), Telling(), config, threshold=0.0, calibration=Calibration())  # type: ignore[arg-type]
    shards = [[("what is cancer", Passage(str(i), text)) for i, text in enumerate(texts(6, seed=s))] for s in (1, 2)]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(ours.score, shards))
    met.set()
    for shard, found in zip(shards, together, strict=True):
        alone = pair_scorer(checkpoint, padding_scorer).score(shard)
        spans = [[[(a.start, a.end) for a in s.n_best] for s in scores] for scores in (found, alone)]
        assert spans[0] == spans[1]


@pytest.mark.parametrize("device", ["cuda:99x", "tpu", "nonsense"])
def test_a_device_that_is_not_there_is_a_clear_error(device: str) -> None:
    with pytest.raises(ConfigError, match="`device"):
        resolve_device(device)


def test_openvino_gives_the_logits_of_torch_for_any_shape(checkpoint: Checkpoint, openvino_scorer: Scorer) -> None:
    torch_scorer = load_scorer(checkpoint, device="cpu", precision="fp32", engine="torch")
    windows = windows_of(checkpoint, texts(40, seed=7))
    for budget in (1, 100, 4000):
        for batch in make_batches(windows, token_budget=budget, pad_id=0, max_length=512):
            real = batch.attention_mask.astype(bool)
            for ours, theirs in zip(openvino_scorer.logits(batch), torch_scorer.logits(batch), strict=True):
                assert ours.dtype == np.float32
                np.testing.assert_allclose(ours[real], theirs[real], atol=1e-4)


def test_a_scorer_keeps_what_it_gave_earlier(checkpoint: Checkpoint, padding_scorer: Scorer) -> None:
    first, second = list(
        make_batches(windows_of(checkpoint, texts(2, seed=8)), token_budget=1, pad_id=0, max_length=512)
    )[:2]
    start, _ = padding_scorer.logits(first)
    before = start.copy()
    padding_scorer.logits(second)
    np.testing.assert_array_equal(start, before)


def test_nothing_can_report_our_use_to_others(checkpoint: Checkpoint) -> None:
    pytest.importorskip("bioqa_pipeline.qa.openvino_engine")
    with pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")


def test_auto_takes_openvino_for_long_jobs_on_a_cpu() -> None:
    pytest.importorskip("bioqa_pipeline.qa.openvino_engine")
    assert resolve_engine("auto", "cpu", n_pairs=10**6) == "openvino"
    assert resolve_engine("auto", "cpu", n_pairs=1) == "torch"
    assert faster_engine("auto", "cpu", n_pairs=10**6) is None
    assert resolve_engine("auto", "cuda", n_pairs=10**6) == "torch"
    assert resolve_engine("openvino", "cpu", n_pairs=1) == "openvino"
    with pytest.raises(ConfigError, match="engine torch"):
        resolve_engine("openvino", "cuda", n_pairs=1)


def test_who_asks_for_bf16_without_having_it_is_told() -> None:
    has_it = resolve_precision("auto", "cpu") == "bf16"
    assert (emulated(ModelConfig(device="cpu", precision="bf16")) is None) == has_it
    assert emulated(ModelConfig(device="cpu", precision="fp32")) is emulated(ModelConfig(device="cuda")) is None


def test_an_engine_that_is_not_installed_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert resolve_engine("auto", "cpu", n_pairs=10**6) == "torch"
    hint = faster_engine("auto", "cpu", n_pairs=1000)
    assert hint is not None and "python -m pip install openvino" in hint
    assert faster_engine("auto", "cpu", n_pairs=999) is faster_engine("auto", "cuda", n_pairs=10**6) is None
    assert faster_engine("torch", "cpu", n_pairs=10**6) is None, "it was asked for by name"
    with pytest.raises(ConfigError, match="run python -m pip install openvino"):
        resolve_engine("openvino", "cpu", n_pairs=1)


def test_a_precision_that_openvino_cannot_have_is_never_claimed(checkpoint: Checkpoint) -> None:
    openvino = pytest.importorskip("bioqa_pipeline.qa.openvino_engine").openvino
    auto = load_scorer(checkpoint, device="cpu", precision="bf16", n_pairs=10**6)
    assert auto.info.precision == "bf16"
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert auto.info.engine == "openvino"
    else:
        assert auto.info.engine == "torch"
        with pytest.raises(ConfigError, match="engine torch"):
            load_scorer(checkpoint, device="cpu", precision="bf16", engine="openvino")


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="GPU"):
        resolve_precision("fp16", "cpu")
    assert resolve_precision("auto", "cpu") in {"fp32", "bf16"}
