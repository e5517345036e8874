"""The embedded model's rows have the same bits however a run is cut up; another precision decides nearly the same."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from bioqa_pipeline.config import ModelConfig, Precision, RunConfig, SourceConfig, SpanConfig
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.paths import DATA
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.inference import Scorer
from bioqa_pipeline.questions.files import read_questions
from bioqa_pipeline.records.scores import Window
from bioqa_pipeline.records.texts import Abstract
from bioqa_pipeline.run.executor import Executor
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.workers import Pooled
from support.dataset_rows import check_same_rows
from support.outside import OutsideMaterial
from support.score_drift import Drift, drift
from support.windows import WindowScore, make_windows, score_windows


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return open_checkpoint("embedded")


@pytest.fixture(scope="module")
def reference(checkpoint: Checkpoint) -> Scorer:
    return load_scorer(checkpoint, device="cpu", precision="fp32", engine="torch")


def abstracts(*paths: Path) -> list[str]:
    texts = []
    for path in paths:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            texts += [r.text for r in parse_records(file, name=path.name) if isinstance(r, Abstract) and r.text]
    return texts


def windows_of(checkpoint: Checkpoint, texts: list[str], count: int) -> list[Window]:
    """At least `count` windows of the sample's questions over the texts, each text in turn."""
    tokenizer = checkpoint.tokenizer()
    questions = tokenizer([q.text for q in read_questions(DATA / "sample" / "questions.txt").questions])
    passages = tokenizer(texts)
    rng = np.random.default_rng(0)
    windows: list[Window] = []
    for index in range(10 * count):
        question = questions[int(rng.integers(len(questions)))]
        passage = passages[index % len(passages)]
        windows += make_windows(question, passage, tokenizer.special, checkpoint.settings.windows)
        if len(windows) >= count:
            break
    return windows


@pytest.fixture(scope="module")
def windows(checkpoint: Checkpoint) -> list[Window]:
    """With some that are as long as windows get."""
    texts = abstracts(DATA / "sample" / "pubmed-sample.xml")
    return windows_of(checkpoint, [*texts[:7], " ".join(texts[:6])], 12)


@pytest.fixture(scope="module")
def exact(windows: list[Window], reference: Scorer) -> list[WindowScore]:
    return score_windows(windows, reference, SpanConfig())


def check_drift(found: Drift) -> None:
    assert found.changed_decisions <= 0.002 * found.windows, found
    assert found.changed_spans <= max(2, 0.02 * found.windows), found
    assert found.widest_tie <= 0.05, found
    assert found.score_diff < 0.25 and found.margin < 0.25, found


def reduced(checkpoint: Checkpoint, windows: list[Window], device: str, precision: Precision) -> list[WindowScore]:
    return score_windows(windows, load_scorer(checkpoint, device=device, precision=precision), SpanConfig())


def test_bf16_decides_as_fp32_does(
    checkpoint: Checkpoint, windows: list[Window], exact: list[WindowScore], reference: Scorer
) -> None:
    rough = reduced(checkpoint, windows, "cpu", "bf16")
    check_drift(drift(reference, windows, exact, rough, threshold=checkpoint.settings.score_diff_threshold))


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        pytest.param("cpu", "bf16", marks=pytest.mark.slow),
        pytest.param("cuda", "bf16", marks=pytest.mark.gpu),
        pytest.param("cuda", "fp16", marks=pytest.mark.gpu),
    ],
)
@pytest.mark.timeout(3600)
def test_a_reduced_precision_decides_as_fp32_does_on_real_abstracts(
    checkpoint: Checkpoint, reference: Scorer, test_data: OutsideMaterial, device: str, precision: Precision
) -> None:
    texts = abstracts(*test_data.files("pubmed/records/*.xml.gz"))
    windows = windows_of(checkpoint, texts, 2000)
    exact = score_windows(windows, reference, SpanConfig())
    rough = reduced(checkpoint, windows, device, precision)
    found = drift(reference, windows, exact, rough, threshold=checkpoint.settings.score_diff_threshold)
    check_drift(found)


@pytest.fixture(scope="module", params=["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def in_one_shard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run in one process and one shard."""
    folder = tmp_path_factory.mktemp("one")
    questions = folder / "q.txt"
    questions.write_text("Which gene is mutated in cystic fibrosis?\nWho discovered vitamin D?\n")
    config = RunConfig(
        questions=questions,
        out=folder / "one",
        model=ModelConfig(device="cpu", precision=request.param),
        source=SourceConfig(max_abstracts=4),
    )
    run_job(config)
    return config


@pytest.mark.parametrize(("executor", "shard_pairs"), [(Pooled(2), 2), (Executor(), 3)])
def test_rows_do_not_depend_on_workers_or_shards(
    in_one_shard: RunConfig, executor: Executor, shard_pairs: int, tmp_path: Path
) -> None:
    other = in_one_shard.changed(out=tmp_path / "other", shard_pairs=shard_pairs)
    result = run_job(other, executor=executor)
    assert result.manifest.n_scored > 2 * shard_pairs
    check_same_rows(other.out, in_one_shard.out)
    cost = result.manifest.cost
    assert cost is not None and cost.seconds == result.manifest.timings_seconds["score"] > 0
    assert cost.n_tokens == Dataset(other.out).chunks().select("n_tokens").sum().collect().item()
    assert (cost.engines, cost.device, cost.precision) == (("torch",), "cpu", other.model.precision)
    assert cost.device_seconds >= executor.n_workers * cost.seconds and all(cost.processors)
    assert cost.device_seconds_per_1000_pairs == pytest.approx(
        1000 * cost.device_seconds / result.manifest.n_scored, rel=1e-3
    )
