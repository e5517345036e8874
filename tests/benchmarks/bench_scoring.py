"""Windows a second of our engines, of the padded loop of `run_qa` and of other systems, in turn, on real abstracts.

    python tests/benchmarks/bench_scoring.py [--windows 192] [--rounds 3] [--numerics 2000]
        [--size embedded|base] [--peers] [--environments build/peers]

The padded loop is transformers in fp32, batches of 64, every window padded to 384 tokens. The peak is torch's product
of matrices at the network's own shapes in the engine's precision, weighted as in a layer. With `--peers` the whole way
from texts to answers is measured too, on the same pairs: ours, transformers' question-answering pipeline and Haystack's
reader, these in environments of their own that are made once (see peers.py). `base` is BERT-base with random weights
(BioBERT's shape); its numerics say nothing. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from peers import SETTINGS, Peer  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoModelForQuestionAnswering, BertConfig  # noqa: E402

from bioqa_pipeline.config import ScoringConfig, SpanConfig  # noqa: E402
from bioqa_pipeline.pubmed.xml import parse_records  # noqa: E402
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint  # noqa: E402
from bioqa_pipeline.qa.devices import resolve_precision  # noqa: E402
from bioqa_pipeline.qa.engines import load_scorer  # noqa: E402
from bioqa_pipeline.qa.inference import Scorer  # noqa: E402
from bioqa_pipeline.qa.network_config import NetworkConfig  # noqa: E402
from bioqa_pipeline.qa.scoring import PairScorer  # noqa: E402
from bioqa_pipeline.qa.threads import thread_count  # noqa: E402
from bioqa_pipeline.qa.torch_engine import TorchScorer  # noqa: E402
from bioqa_pipeline.questions.files import read_questions  # noqa: E402
from bioqa_pipeline.records.scores import Batch, Window  # noqa: E402
from bioqa_pipeline.records.texts import Abstract, Passage  # noqa: E402
from support.outside import OutsideMaterial  # noqa: E402
from support.score_drift import drift  # noqa: E402
from support.windows import WindowScore, batches_of, decode, make_windows, pad_batch, window_scores  # noqa: E402

MAX_LENGTH = 384
SHARD_PAIRS = 256


def pairs_of(checkpoint: Checkpoint, count: int) -> tuple[list[tuple[str, str]], list[Window]]:
    """Pairs of a question of the sample and a real abstract, drawn until they have `count` windows, and the windows."""
    texts: list[str] = []
    for path in OutsideMaterial(missing=sys.exit).files("pubmed/records/*.xml.gz"):
        with gzip.open(path) as file:
            texts += [r.text for r in parse_records(file, name=path.name) if isinstance(r, Abstract) and r.text]
    questions = [q.text for q in read_questions(ROOT / "data" / "sample" / "questions.txt").questions]
    tokenizer = checkpoint.tokenizer()
    asked, passages = tokenizer(questions), tokenizer(texts)
    rng = np.random.default_rng(0)
    pairs: list[tuple[str, str]] = []
    windows: list[Window] = []
    while len(windows) < count:
        question, text = int(rng.integers(len(questions))), int(rng.integers(len(texts)))
        windows += make_windows(asked[question], passages[text], tokenizer.special, checkpoint.settings.windows)
        pairs.append((questions[question], texts[text]))
    return pairs, windows


def padded_batches(windows: Sequence[Window], pad_id: int) -> list[Batch]:
    """Batches of 64 in the order of the file, all as long as the longest window can be."""
    batches = []
    for first in range(0, len(windows), 64):
        batch = pad_batch(windows, range(first, min(first + 64, len(windows))), pad_id=pad_id)
        missing = ((0, 0), (0, MAX_LENGTH - batch.input_ids.shape[1]))
        batches.append(
            dataclasses.replace(
                batch,
                input_ids=np.pad(batch.input_ids, missing, constant_values=pad_id),
                token_type_ids=np.pad(batch.token_type_ids, missing),
                attention_mask=np.pad(batch.attention_mask, missing),
            )
        )
    return batches


def forward(scorer: Scorer, batches: Sequence[Batch]) -> float:
    """Seconds of the bare forward pass, as many batches side by side as the scorer has lanes."""
    started = time.perf_counter()
    with ThreadPoolExecutor(scorer.info.lanes) as threads:
        for _ in threads.map(scorer.logits, batches):
            pass
    return time.perf_counter() - started


def padded_loop(scorer: TorchScorer, batches: Sequence[Batch]) -> float:
    """Seconds of a plain loop: one batch after the other, each on all threads."""
    started = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            scorer._forward(batch)
    return time.perf_counter() - started


def scores(scorer: Scorer, windows: Sequence[Window], batches: Sequence[Batch]) -> tuple[list[WindowScore], float]:
    """(scores in the order of the windows, seconds of decoding)."""
    found: dict[int, WindowScore] = {}
    seconds = 0.0
    for batch in batches:
        rows = [windows[i] for i in batch.order]
        start, end = scorer.logits(batch)
        started = time.perf_counter()
        found |= zip(map(int, batch.order), window_scores(decode(start, end, rows, SpanConfig()), rows), strict=True)
        seconds += time.perf_counter() - started
    return [found[i] for i in range(len(windows))], seconds


def whole_path(scorer: Scorer, checkpoint: Checkpoint, pairs: Sequence[tuple[str, str]]) -> float:
    """Seconds from texts to answers, with nothing tokenised before."""
    calibration = checkpoint.settings.calibration
    config = ScoringConfig(windows=checkpoint.settings.windows)
    started = time.perf_counter()
    pair_scorer = PairScorer(scorer, checkpoint.tokenizer(), config, threshold=0.0, calibration=calibration)
    for first in range(0, len(pairs), SHARD_PAIRS):
        some = pairs[first : first + SHARD_PAIRS]
        pair_scorer.score([(question, Passage(id=str(n), text=text)) for n, (question, text) in enumerate(some)])
    return time.perf_counter() - started


def flop_per_token(config: NetworkConfig, length: float) -> float:
    """Multiplications and additions of the encoder for one token of a window of `length` tokens."""
    hidden, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    return float(layers * (2 * (4 * hidden * hidden + 2 * hidden * inner) + 4 * length * hidden))


def matrix_peak(config: NetworkConfig, precision: str, rows: int = 2048) -> float:
    """FLOP/s of torch's matrix product at the shapes of a layer, weighted by their work."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    hidden, inner = config.hidden_size, config.intermediate_size
    work, seconds = 0.0, 0.0
    for inputs, outputs, times in ((hidden, hidden, 4), (hidden, inner, 1), (inner, hidden, 1)):
        a, b = torch.randn(rows, inputs, dtype=dtype), torch.randn(inputs, outputs, dtype=dtype)
        runs = []
        for _ in range(12):
            started = time.perf_counter()
            torch.matmul(a, b)
            runs.append(time.perf_counter() - started)
        work += times * 2.0 * rows * inputs * outputs
        seconds += times * statistics.median(runs[2:])
    return work / seconds


def bert_base(folder: Path, embedded: Checkpoint) -> Checkpoint:
    """BERT-base with random weights over the embedded model's vocabulary."""
    source = Path(str(embedded.weights)).parent
    for path in source.iterdir():
        if path.suffix in {".txt", ".json"} and path.name != "config.json":
            (folder / path.name).write_bytes(path.read_bytes())
    config = BertConfig(vocab_size=embedded.config.vocab_size, architectures=["BertForQuestionAnswering"])
    torch.manual_seed(0)
    save_file(AutoModelForQuestionAnswering.from_config(config).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    return open_checkpoint(str(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--numerics", type=int, default=2000, help="windows to compare with fp32; 0 for none")
    parser.add_argument("--size", choices=("embedded", "base"), default="embedded")
    parser.add_argument("--peers", action="store_true", help="measure other systems too")
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "peers", help="where theirs are made")
    args = parser.parse_args()
    torch.set_num_threads(thread_count())
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = open_checkpoint(str(ROOT / "data" / "model"))
        if args.size == "base":
            checkpoint = bert_base(Path(folder), checkpoint)
        with ExitStack() as stack:
            report(checkpoint, args, stack)


def report(checkpoint: Checkpoint, args: argparse.Namespace, stack: ExitStack) -> None:
    """Measures, prints lines for people, then the JSON line."""
    precision = resolve_precision("auto", "cpu")
    reference = TorchScorer(checkpoint, device="cpu", precision="fp32")
    pad_id = reference.info.pad_id
    pairs, windows = pairs_of(checkpoint, args.windows)
    sorted_batches = list(batches_of(windows, reference))
    wide = padded_batches(windows, pad_id)
    scorers: dict[str, Scorer] = {"torch fp32": reference}
    for engine in ("torch", "openvino"):
        for kind in dict.fromkeys(("fp32", precision)):
            scorers.setdefault(
                f"{engine} {kind}",
                load_scorer(checkpoint, device="cpu", precision=kind, engine=engine),  # type: ignore[arg-type]
            )
    runs: dict[str, Callable[[], float]] = {"padded loop fp32": lambda: padded_loop(reference, wide)}
    for name, scorer in scorers.items():
        runs[name] = lambda scorer=scorer: forward(scorer, sorted_batches)  # type: ignore[misc]
    for scorer in scorers.values():
        forward(scorer, sorted_batches[:2] + sorted_batches[-1:])
    paths: dict[str, Callable[[], float]] = {}
    versions: dict[str, Any] = {}
    if args.peers:
        fastest = scorers.get(f"openvino {precision}", scorers[f"torch {precision}"])
        paths["ours"] = lambda: whole_path(fastest, checkpoint, pairs)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer_pairs = folder / "pairs.json"
        peer_pairs.write_text(json.dumps(pairs), "utf-8")
        model = Path(str(checkpoint.weights)).parent
        for system, batch_size in SETTINGS:
            peer = stack.enter_context(Peer(system, batch_size, model, peer_pairs, args.environments))
            paths[peer.name], versions[peer.name] = peer.seconds, peer.versions
        runs |= paths
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(args.rounds):
        for name, run in runs.items():
            seconds[name].append(run())
            rate = len(windows) / seconds[name][-1]
            print(f"round {round_number + 1}: {name}: {rate:.1f} windows/s", file=sys.stderr)
    lengths = np.array([len(w) for w in windows])
    work = float(sum(flop_per_token(checkpoint.config, n) * n for n in lengths))
    peaks = {kind: matrix_peak(checkpoint.config, kind) for kind in dict.fromkeys(("fp32", precision))}
    result: dict[str, Any] = {
        "size": args.size,
        "windows": len(windows),
        "mean_tokens": round(float(lengths.mean()), 1),
        "padding_share": round(1 - lengths.sum() / sum(b.input_ids.size for b in sorted_batches), 4),
        "threads": thread_count(),
        "matrix_peak_gflops": {kind: round(peak / 1e9, 1) for kind, peak in peaks.items()},
        "engines": {},
    }
    loop, seconds_of_ours = seconds["padded loop fp32"], seconds.get("ours", [])
    for name in paths:
        taken = seconds.pop(name)
        against = statistics.median(b / a for a, b in zip(seconds_of_ours, taken, strict=True))
        result.setdefault("whole_path", {})[name] = {
            "windows_per_second": round(len(windows) / statistics.median(taken), 2),
            "times_slower_than_ours": round(against, 2),
            **versions.get(name, {}),
        }
    for name, taken in seconds.items():
        median = statistics.median(taken)
        ratio = statistics.median(a / b for a, b in zip(loop, taken, strict=True))
        peak = peaks[name.rsplit(" ", 1)[1]]
        result["engines"][name] = {
            "windows_per_second": round(len(windows) / median, 2),
            "times_the_padded_loop": round(ratio, 2),
            "share_of_matrix_peak": round(work / median / peak, 3),
        }
    _add_decoding_and_numerics(result, checkpoint, scorers, windows, sorted_batches, args)
    result["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    for name, row in result["engines"].items():
        print(name, json.dumps(row))
    for name, row in result.get("whole_path", {}).items():
        print("from texts to answers:", name, json.dumps(row))
    print(json.dumps(result))


def _add_decoding_and_numerics(
    result: dict[str, Any],
    checkpoint: Checkpoint,
    scorers: dict[str, Scorer],
    windows: Sequence[Window],
    batches: Sequence[Batch],
    args: argparse.Namespace,
) -> None:
    reference = scorers["torch fp32"]
    for name, scorer in scorers.items():
        _, decoding = scores(scorer, windows, batches)
        row = result["engines"][name]
        row["decoding_share_of_forward"] = round(decoding / (len(windows) / row["windows_per_second"]), 4)
    if not args.numerics or args.size == "base":
        return
    _, more = pairs_of(checkpoint, args.numerics)
    more_batches = list(batches_of(more, reference))
    exact, _ = scores(reference, more, more_batches)
    for name, scorer in scorers.items():
        if scorer is not reference:
            other, _ = scores(scorer, more, more_batches)
            found = drift(reference, more, exact, other, threshold=checkpoint.settings.score_diff_threshold)
            result["engines"][name]["numerics"] = dataclasses.asdict(found)


if __name__ == "__main__":
    main()
