from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from bioqa_pipeline.qa.tokenizer import TextTokenizer
from support.outside import OutsideMaterial
from support.paths import ROOT, TESTS
from support.word_pieces import file_pieces, text_tokenizer, toy_pieces

if TYPE_CHECKING:
    from support.s3_server import S3Server


# Processes that tests start would compile all of the project's modules anew, each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Shared machines are slow and noisy: no deadline an example, few examples by default.
settings.register_profile("fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A file stays in one process, and so do all files that use Prefect's server, which then starts once.

    They are handed out in the order of `pytest_collection_modifyitems`; by xdist's own, by number of tests, the dearest
    would come last.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "prefect" if "prefect_server" in (ROOT / file).read_text("utf-8") else file

    config.option.loadscopereorder = False
    return Scheduling(config, log)


# Files of 10 s and more, so that none is left to one process at the end.
DEAREST = (
    *("training/test_trainer.py", "qa/test_invariance.py", "run/test_faults.py", "run/test_sample.py"),
    *(
        "faults/test_faults.py",
        "sources/medline/test_source.py",
        "run/test_workers.py",
        "training/test_distillation.py",
    ),
    *("sources/entrez/test_source.py", "dataset/test_ownership.py", "qa/test_merge_key.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        file = item.path.relative_to(TESTS).as_posix()
        if file in DEAREST:
            return 1 + DEAREST.index(file)
        return 0 if "prefect_server" in texts[item.path] else 1 + len(DEAREST)

    texts = {item.path: item.path.read_text("utf-8") for item in items}
    items.sort(key=place)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The stores of abstracts of all tests, apart from the user's own."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOQA_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a tiny BERT with random weights."""
    from support.checkpoints import make_checkpoint

    return make_checkpoint(tmp_path_factory.mktemp("model"), layers=1)


@pytest.fixture(scope="session")
def test_data() -> OutsideMaterial:
    """Real SQuAD and PubMed material; a test that asks for what is not there is skipped."""
    return OutsideMaterial(missing=pytest.skip)


@pytest.fixture(scope="session")
def cased_tokenizer(test_data: OutsideMaterial) -> TextTokenizer:
    """BioBERT's."""
    return text_tokenizer(file_pieces(test_data, cased=True), lowercase=False)


@pytest.fixture(scope="session")
def uncased_tokenizer(test_data: OutsideMaterial) -> TextTokenizer:
    """That of bert-base-uncased: lowercases, strips accents."""
    return text_tokenizer(file_pieces(test_data, cased=False), lowercase=True)


@pytest.fixture(scope="session", params=["toy cased", "toy uncased", "cased", "uncased"])
def tokenizer(request: pytest.FixtureRequest) -> TextTokenizer:
    """Each kind in turn; the toy ones need no test data."""
    kind: str = request.param
    if kind.startswith("toy"):
        return text_tokenizer(toy_pieces(), lowercase=kind == "toy uncased")
    tokenizer: TextTokenizer = request.getfixturevalue(f"{kind}_tokenizer")
    return tokenizer


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Prefect server of the session's own, on loopback."""
    from flows.environment import apply_defaults

    apply_defaults()
    from prefect.settings import PREFECT_SERVER_DATABASE_MIGRATE_ON_START, temporary_settings
    from prefect.testing import utilities

    from support.prefect_database import make_database

    folder = tmp_path_factory.mktemp("prefect")
    make_database(folder / "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_SERVER_DATABASE_MIGRATE_ON_START: False}):
        patch.setattr(utilities, "mkdtemp", lambda: str(folder))
        with utilities.prefect_test_harness(server_startup_timeout=90):
            yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 server, moto's, with an empty bucket."""
    from support.s3_server import S3Server

    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The same, known to this process and those that it starts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server
