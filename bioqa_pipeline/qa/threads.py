"""How many threads this process may use: the one place that pools, engines and workers ask.

The limit is OMP_NUM_THREADS, which OpenMP, torch and MKL read by themselves; everything else has to ask
`thread_count`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

THREADS_VARIABLE = "OMP_NUM_THREADS"
# Each library reads its own when it is imported: OpenMP, MKL, OpenBLAS, tokenizers, polars, torch's compiler.
_VARIABLES = (
    THREADS_VARIABLE,
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def thread_count() -> int:
    """Threads that this process may compute with, at least 1: its limit where it has one, else its cores."""
    limit = os.environ.get(THREADS_VARIABLE, "").split(",")[0].strip()
    return int(limit) if limit.isdecimal() and int(limit) else core_count()


def core_count() -> int:
    """Cores that this process may run on, at least 1: by its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota(_CGROUP_QUOTA) or cores))


def limit_threads(n_threads: int) -> None:
    """Holds this process to `n_threads`; to be called before the libraries that compute are imported.

    torch, where it is there already, is told by itself; the other libraries keep the number they started with.
    """
    for name in _VARIABLES:
        os.environ[name] = str(n_threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(n_threads)


def _quota(path: Path) -> int | None:
    """Whole cores of a cgroup's quota, such as "200000 100000"; None where there is none."""
    try:
        quota, period = path.read_text("ascii").split()
    except (OSError, ValueError):
        return None
    return max(1, int(quota) // int(period)) if quota.isdecimal() and period.isdecimal() else None
