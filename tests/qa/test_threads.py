from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioqa_pipeline.qa import threads
from bioqa_pipeline.qa.threads import core_count, limit_threads, thread_count


def test_a_limit_is_kept_and_without_one_all_cores_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_count() == core_count() >= 1
    for said, meant in (("3", 3), ("4,2", 4), ("0", core_count()), ("many", core_count())):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert thread_count() == meant


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("200000 100000\n", 2), ("50000 100000\n", 1), ("350000 100000\n", 3), ("nonsense", None)],
)
def test_a_containers_quota(tmp_path: Path, text: str, cores: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    monkeypatch.setattr(threads, "_CGROUP_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert core_count() == (cores or 16)


def test_every_library_that_computes_keeps_the_limit() -> None:
    program = (
        "from bioqa_pipeline.qa.threads import limit_threads\n"
        "limit_threads(1)\n"
        "import polars, torch\n"
        "print(polars.thread_pool_size(), torch.get_num_threads())"
    )
    # Unlike this process, the new one has imported neither yet.
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_THREADS")}
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.split() == ["1", "1"]


def test_torch_is_told_where_it_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for name in threads._VARIABLES:
        monkeypatch.setenv(name, "7")
    before = torch.get_num_threads()
    try:
        limit_threads(1)
        assert (torch.get_num_threads(), thread_count()) == (1, 1)
    finally:
        torch.set_num_threads(before)
