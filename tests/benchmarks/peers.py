"""Other extractive QA systems, each run in an environment of its own over the same pairs.

As a module, `Peer` makes the environment, starts this file there and asks it for one measurement at a time, so that
systems can take turns. As a script it is that process: it loads the model, says so, and for every line that it reads
scores all pairs and prints the seconds. Inside those environments only the peer's packages are there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

# The last transformers with the question-answering pipeline; Haystack's reader as its own package now.
PACKAGES = {
    "transformers-pipeline": ("torch==2.13.0", "transformers==4.57.6", "numpy<3"),
    "haystack": ("torch==2.13.0", "transformers-haystack==2.0.0", "transformers==5.23.0", "numpy<3"),
}
# (system, windows of a batch): the default of each, and batches that are said to be faster.
SETTINGS = (("transformers-pipeline", 1), ("transformers-pipeline", 16), ("haystack", 16))


class Peer:
    """A running peer; to be used with `with`.

    Args:
        pairs: file with a JSON list of [question, text].
        environments: folder in which environments are made, once.
    """

    def __init__(self, system: str, batch_size: int, model: Path, pairs: Path, environments: Path) -> None:
        python = _environment(environments / system, PACKAGES[system])
        self.name = f"{system}, batches of {batch_size}"
        command = [str(python), __file__, system, str(batch_size), str(model), str(pairs)]
        env = {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.versions = self._read()

    def seconds(self) -> float:
        """Scores all pairs once."""
        assert self._process.stdin
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._read()["seconds"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit(f"{self.name} ended with exit code {self._process.wait()}")

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def _environment(folder: Path, packages: tuple[str, ...]) -> Path:
    python, made = folder / "bin" / "python", folder / "made.json"
    if not made.exists() or json.loads(made.read_text("utf-8")) != list(packages):
        venv.create(folder, clear=True, with_pip=True)
        print(f"setting up {folder} with {', '.join(packages)}", file=sys.stderr)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        made.write_text(json.dumps(packages), "utf-8")
    return python


def transformers_pipeline(model: str, batch_size: int, pairs: list[tuple[str, str]]) -> Callable[[], int]:
    import torch
    from transformers import pipeline

    ask = pipeline("question-answering", model=model, tokenizer=model, device=-1, dtype=torch.float32)

    def run() -> int:
        return len(
            ask(
                question=[question for question, _ in pairs],
                context=[text for _, text in pairs],
                batch_size=batch_size,
                max_seq_len=384,
                doc_stride=128,
                max_question_len=64,
                max_answer_len=30,
                handle_impossible_answer=True,
            )
        )

    return run


def haystack(model: str, batch_size: int, pairs: list[tuple[str, str]]) -> Callable[[], int]:
    import torch
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.readers.transformers import TransformersExtractiveReader

    reader = TransformersExtractiveReader(
        model=model,
        device=ComponentDevice.from_str("cpu"),
        token=None,
        max_seq_length=384,
        stride=128,
        max_batch_size=batch_size,
        model_kwargs={"dtype": torch.float32},
    )
    reader.warm_up()
    by_question = [
        (question, [Document(content=text) for _, text in group])
        for question, group in groupby(sorted(pairs), key=lambda pair: pair[0])
    ]

    def run() -> int:
        return sum(
            len(reader.run(query=query, documents=documents, top_k=len(documents))["answers"])
            for query, documents in by_question
        )

    return run


def main() -> None:
    system, batch_size, model, pairs_file = sys.argv[1:5]
    pairs = [(question, text) for question, text in json.loads(Path(pairs_file).read_text("utf-8"))]
    run = {"transformers-pipeline": transformers_pipeline, "haystack": haystack}[system](model, int(batch_size), pairs)
    import torch
    import transformers

    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        found = run()
        print(json.dumps({"seconds": time.perf_counter() - started, "answers": found}), flush=True)


if __name__ == "__main__":
    main()
