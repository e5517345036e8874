"""Which device and which precision: "auto" into what this machine has."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path

from bioqa_pipeline.config import ModelConfig, Precision
from bioqa_pipeline.errors import ConfigError


def visible_gpus() -> int:
    """How many GPUs this process may use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolve_device(device: str) -> str:
    """ "auto" into "cuda" or "cpu"; a device that is not there is an error.

    Raises:
        ConfigError: no such device on this machine.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as exc:
        raise ConfigError(f"`device {device}`: not a device name (auto, cpu, cuda, cuda:1, mps)") from exc
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        blind = kind == "cuda" and not torch.version.cuda
        why = f" (torch {torch.__version__} is built without CUDA)" if blind else ""
        raise ConfigError(f"`device {device}`: this machine has no such device; use `device cpu`{why}")
    return device


def resolve_precision(precision: Precision, device: str) -> str:
    """ "auto" into the fastest precision that is sound on the device.

    That is bf16 where its matrix units have it, else fp16 on an NVIDIA GPU and fp32 on any other device.

    Raises:
        ConfigError: fp16 on a CPU, which has no kernels for it.
    """
    import torch

    on_cpu = device == "cpu"
    if precision == "fp16" and on_cpu:
        raise ConfigError("`precision fp16` needs a GPU; use `precision auto` on a CPU")
    if precision != "auto":
        return precision
    if on_cpu:
        abilities = torch.cpu.get_capabilities()
        return "bf16" if abilities.get("avx512_bf16") or abilities.get("amx_bf16") or abilities.get("bf16") else "fp32"
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "fp32"


def emulated(model: ModelConfig) -> str | None:
    """What to tell whose processor computes in `model.precision`, resolved, by detours; None for all others."""
    if model.device != "cpu" or model.precision != "bf16" or resolve_precision("auto", "cpu") == "bf16":
        return None
    return "this processor has no bf16: it is emulated, and slower than precision fp32"


@lru_cache(maxsize=8)
def processor_name(device: str) -> str:
    """The kind of processor behind a resolved device, as its maker calls it."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    try:
        said = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:  # no Linux
        said = None
    return said[1].strip() if said else platform.processor() or platform.machine()
