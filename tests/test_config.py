from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bioqa_pipeline.config import RunConfig, WindowConfig
from bioqa_pipeline.storage.uri import ObjectUri


def test_changed_settings_are_checked_like_new_ones() -> None:
    with pytest.raises(ValidationError, match="leaves gaps"):
        WindowConfig().changed(doc_stride=1_000_000)
    with pytest.raises(ValidationError, match="Extra inputs"):
        WindowConfig().changed(stride=1)


@pytest.mark.parametrize("out", [Path("answers"), "s3://bucket/prefix"])
def test_what_is_not_changed_stays(out: Path | str) -> None:
    config = RunConfig(questions=Path("q.txt"), out=out, threshold=float("inf"), workers=2, shard_pairs=7)
    changed = config.changed(max_answers=3)
    assert changed == config.model_copy(update={"max_answers": 3})
    assert isinstance(changed.out, Path if isinstance(out, Path) else ObjectUri)
