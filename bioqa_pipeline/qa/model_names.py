"""What people write for a model into its folder: the embedded one, a folder, or a name on the model hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bioqa_pipeline.config import EMBEDDED
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.paths import EMBEDDED_MODEL
from bioqa_pipeline.qa.model_files import shortened
from bioqa_pipeline.qa.pins import check_pinned, pin_of

WANTED = "give a folder, or a name on the model hub such as lab/model or lab/model@revision"
_PIN = re.compile(r"sha256:([0-9a-fA-F]{64})")
# The hub's own limits; a part is no "..", which would lead out of the hub's cache.
_PART = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.][A-Za-z0-9_.-]*"
_HUB_NAME = re.compile(rf"{_PART}(?:/{_PART})?")
_REVISION = re.compile(rf"{_PART}(?:/{_PART}){{0,8}}")
_NAME_CHARS = 96
_REVISION_CHARS = 200


def model_folder(spec: str, files: Sequence[str], weights: Sequence[str]) -> tuple[Path, str, str | None]:
    """Folder, name without the revision, and the hub's commit (None for a folder) of what somebody wrote for a model.

    Args:
        files: what is fetched from the hub where it is there.
        weights: the names of files of weights, the first that is there is fetched.

    Raises:
        CheckpointError: there is no such folder, and none to be had from the hub.
    """
    if spec == EMBEDDED:
        return EMBEDDED_MODEL, spec, None
    if not spec.strip():
        raise CheckpointError(f"no model is named; {WANTED}")
    try:
        path = Path(spec).expanduser()
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as exc:  # too long a name; no such user; a NUL
        raise CheckpointError(f"{_told(spec)} cannot be a folder ({_reason(exc)}); {WANTED}") from exc
    if is_folder:
        return path, spec, None
    if is_there:
        raise CheckpointError(f"{_told(spec)} is a file; give the folder that holds config.json and the weights")
    place, hash_sign, pin = spec.partition("#")
    name, at, revision = place.partition("@")
    if name.count("/") > 1 or name.startswith((".", "/", "~")) or "\\" in name:
        raise CheckpointError(f"no such folder: {_told(spec)}")
    if len(name) > _NAME_CHARS or not _HUB_NAME.fullmatch(name):
        raise CheckpointError(f"no such folder, and not a hub name either: {_told(spec)}; {WANTED}")
    if at and (len(revision) > _REVISION_CHARS or not _REVISION.fullmatch(revision)):
        raise CheckpointError(f"{name}: {shortened(revision)} cannot be a revision; give a branch, a tag or a commit")
    if hash_sign and not _PIN.fullmatch(pin):
        raise CheckpointError(f"{name}: {shortened(pin)} pins nothing; give sha256: and the 64 digits of the weights'")
    folder = _on_hub(name, revision or None, pin.removeprefix("sha256:"), files, weights)
    return folder, name, folder.name


def _on_hub(name: str, revision: str | None, weights_digest: str, files: Sequence[str], weights: Sequence[str]) -> Path:
    """The snapshot folder, its files being those that the name or the project's table pins."""
    known = pin_of(name)
    folder = _download(name, revision or (known.revision if known else None), files, weights)
    if known and folder.name == known.revision:
        check_pinned(folder, known.sha256, way_out=f"for another model name another revision, such as {name}@main")
    if weights_digest:
        there = next((w for w in weights if (folder / w).exists()), weights[0])
        check_pinned(folder, {there: weights_digest}, way_out=f"{name}@{folder.name} without #sha256 takes it as it is")
    return folder


def _download(name: str, revision: str | None, files: Sequence[str], weights: Sequence[str]) -> Path:
    """The hub's snapshot folder, which is named after the commit. Only the files that are read are fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    def snapshot(patterns: list[str]) -> Path:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))

    try:
        folder = snapshot([*files, weights[0]])
        if not (folder / weights[0]).exists():
            folder = snapshot([*weights[1:]])
    except HFValidationError as exc:
        raise CheckpointError(f"no such folder, and not a hub name either: {name}; {WANTED}") from exc
    except Exception as exc:  # what its client raises over a hub that answers nonsense is no list that stays
        raise CheckpointError(
            f"cannot get {name}{'@' + revision if revision else ''} from the model hub ({_reason(exc)}); check name, "
            "revision and network, or give a local folder"
        ) from exc
    return folder


def _told(spec: str) -> str:
    return spec if spec.isprintable() and len(spec) <= _REVISION_CHARS else shortened(spec)


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return f"{type(exc).__name__}: {(str(exc).splitlines() or [''])[0][:200]}"
