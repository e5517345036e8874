"""Whether this machine has what a run on a Ray cluster needs; imports none of it."""

from __future__ import annotations

import importlib.util

from bioqa_pipeline.errors import ConfigError


def require_ray(*, without_prefect: bool = False) -> None:
    """Says at once what is missing for `runner ray`.

    Raises:
        ConfigError: a package is not installed, or Prefect is not wanted.
    """
    if without_prefect:
        raise ConfigError("`runner ray` scores in Prefect tasks: leave --no-prefect away, or use `runner local`")
    missing = [name for name in ("ray", "prefect_ray") if importlib.util.find_spec(name) is None]
    if missing:
        packages = " and ".join(name.replace("_", "-") for name in missing)
        raise ConfigError(
            f"`runner ray`: {packages} is not installed; run pip install -c constraints.txt 'prefect-ray' 'ray', "
            "here and on every node"
        )
