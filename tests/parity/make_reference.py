"""Writes reference.json.gz: what transformers 4's SQuAD code makes of the parity material.

That code is run_squad.py's own, and is gone from transformers 5. To make the file again, in an environment of its own:

    pip install transformers==4.57.6 torch==2.13.0
    cd tests && python -m parity.make_reference

Takes some ten minutes. The reference's beam is set to the whole window, so that it looks at every span, as ours does.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from transformers import BertTokenizer
from transformers import logging as transformers_logging
from transformers.data.metrics.squad_metrics import compute_predictions_logits
from transformers.data.processors.squad import SquadExample, SquadResult, squad_convert_examples_to_features

from parity.material import (
    DOC_STRIDE,
    MAX_ANSWER_LENGTH,
    MAX_QUERY_LENGTH,
    MAX_SEQ_LENGTH,
    N_BEST,
    Material,
    materials,
    pieces,
    window_logits,
)

REFERENCE = Path(__file__).with_name("reference.json.gz")
# These are asked a second time, with their own score_diff as the threshold.
AT_THRESHOLD = 20


def make_tokenizer(folder: Path, *, cased: bool) -> Any:
    path = folder / f"vocab-{cased}.txt"
    path.write_text("\n".join(pieces(cased=cased)) + "\n", "utf-8")
    return BertTokenizer(str(path), do_lower_case=not cased, model_max_length=512)


def make_features(material: Material, tokenizer: Any) -> tuple[SquadExample, list[Any]]:
    example = SquadExample("pair", material.question, material.passage, "", None, "", answers=[])
    features = squad_convert_examples_to_features(
        [example], tokenizer, MAX_SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH, False, tqdm_enabled=False
    )
    return example, features


def predict(example: SquadExample, features: list[Any], results: list[Any], tokenizer: Any, threshold: float) -> Any:
    """The prediction, the n-best list and score_diff."""
    with tempfile.TemporaryDirectory() as folder:
        n_best, odds = Path(folder) / "n_best", Path(folder) / "odds"
        predictions = compute_predictions_logits(
            [example],
            features,
            results,
            MAX_SEQ_LENGTH,  # n_best_size, which is the beam too
            MAX_ANSWER_LENGTH,
            tokenizer.do_lower_case,
            None,
            str(n_best),
            str(odds),
            False,
            True,
            threshold,
            tokenizer,
        )
        return predictions["pair"], json.loads(n_best.read_text())["pair"], json.loads(odds.read_text())["pair"]


def context_range(feature: Any) -> list[int]:
    """First and one past the last passage token of the window that has its most context there."""
    offset = feature.tokens.index("[SEP]") + 1
    flags = [feature.token_is_max_context[offset + i] for i in range(feature.paragraph_len)]
    count = sum(flags)
    first = flags.index(True) if count else 0
    assert all(flags[first : first + count]), "a range"
    return [first, first + count]


def reference_of(material: Material, tokenizer: Any, *, at_threshold: bool) -> dict[str, Any]:
    example, features = make_features(material, tokenizer)
    assert len(features) >= 3
    results = []
    for index, feature in enumerate(features):
        start, end = window_logits(material, index, len(feature.tokens))
        results.append(SquadResult(feature.unique_id, start.tolist(), end.tolist()))
    prediction, n_best, score_diff = predict(example, features, results, tokenizer, 0.0)
    spans = [(entry["start_logit"] + entry["end_logit"], entry["text"]) for entry in n_best if entry["text"]][:N_BEST]
    (null_score,) = {entry["start_logit"] + entry["end_logit"] for entry in n_best if not entry["text"]}
    assert len({score for score, _ in spans}) == N_BEST, "no ties"
    found = {
        "windows": [
            {
                "n_tokens": feature.paragraph_len,
                "context": context_range(feature),
                "ids": hashlib.sha256(
                    np.array(feature.input_ids[: len(feature.tokens)], dtype="<i4").tobytes()
                ).hexdigest()[:12],
            }
            for feature in features
        ],
        "scores": [score for score, _ in spans],
        "texts": [text for _, text in spans],
        "null_score": null_score,
        "score_diff": score_diff,
        "prediction": prediction,
    }
    if at_threshold:
        found["at_threshold"] = predict(example, features, results, tokenizer, score_diff)[0]
    return found


def main() -> None:
    transformers_logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        tokenizers = {cased: make_tokenizer(Path(folder), cased=cased) for cased in (True, False)}
        for index, material in enumerate(materials()):
            pairs.append(reference_of(material, tokenizers[material.cased], at_threshold=index < AT_THRESHOLD))
            if index % 50 == 0:
                print(index, flush=True)
    content = {"made_with": f"transformers {transformers.__version__}", "pairs": pairs}
    # No time stamp in the file: the same reference gives the same bytes.
    REFERENCE.write_bytes(gzip.compress(json.dumps(content, ensure_ascii=False).encode(), 9, mtime=0))
    print(REFERENCE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
