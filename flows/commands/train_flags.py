"""The flags of run_squad.py: those that mean something here, and those that are taken and explained in one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.commands.options import finite

TRAIN_FILES = {True: "train-v2.0.json", False: "train-v1.1.json"}
PREDICT_FILES = {True: "dev-v2.0.json", False: "dev-v1.1.json"}


@dataclass(frozen=True, slots=True)
class _Explained:
    """A flag without effect: whether it takes a value, a value that needs no word, and why it has none."""

    takes_value: bool
    why: str
    silent: str | None = None


EXPLAINED = {
    "model_type": _Explained(True, "the base model's own config.json says what it is, and that is trained"),
    "do_lower_case": _Explained(False, "the base model's tokenizer decides, and is checked against its vocabulary"),
    "config_name": _Explained(True, "the base model's own config.json is read"),
    "tokenizer_name": _Explained(True, "the base model's own tokenizer is used"),
    "cache_dir": _Explained(True, "models of the hub are kept where HF_HOME says"),
    "overwrite_cache": _Explained(False, "nothing is cached between trainings"),
    "verbose_logging": _Explained(False, "what is skipped is always said"),
    "lang_id": _Explained(True, "for XLM, which is not trained here", "0"),
    "fp16_opt_level": _Explained(True, "torch's own mixed precision is used, not apex"),
    "local_rank": _Explained(True, "torchrun says it in the environment", "-1"),
    "server_ip": _Explained(True, "for a debugger that is not attached here", ""),
    "server_port": _Explained(True, "for a debugger that is not attached here", ""),
    "evaluate_during_training": _Explained(False, "--do_eval evaluates the finished checkpoint"),
    "eval_all_checkpoints": _Explained(
        False, "resumable states are removed at the end; --do_eval evaluates the result"
    ),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds them, with dashes or underscores."""
    group = parser.add_argument_group("flags of run_squad.py")

    def flag(name: str, meaning: str, **kind: object) -> None:
        names = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        group.add_argument(*names, dest=name, help=meaning, **kind)  # type: ignore[arg-type]

    flag("do_train", "train, which is done without it as well, unless --do_eval stands alone", action="store_true")
    flag(
        "do_eval", "evaluate the checkpoint on --predict_file, into the folder evaluation of --out", action="store_true"
    )
    flag("predict_file", "SQuAD JSON for --do_eval; nothing is fitted on it", type=Path, metavar="FILE")
    flag(
        "version_2_with_negative",
        "questions without an answer are trained on wherever a file has them; with --data alone it says which files "
        "are meant (default: v1.1)",
        action="store_true",
    )
    flag(
        "null_score_diff_threshold",
        "threshold of --do_eval (default: the checkpoint's own, else 0)",
        type=finite,
        metavar="X",
    )
    flag("max_answer_length", "tokens of the longest answer, for --do_eval", type=int, default=30, metavar="N")
    flag("n_best_size", "answers kept for a question, for --do_eval", type=int, default=20, metavar="N")
    flag("no_cuda", "same as --device cpu", action="store_true")
    flag("overwrite_output_dir", "train anew where --out holds another or a finished training", action="store_true")
    for name, said in EXPLAINED.items():
        kind = {"metavar": "X", "default": said.silent} if said.takes_value else {"action": "store_true"}
        flag(name, f"without effect: {said.why}", **kind)


def explanations(args: argparse.Namespace) -> Iterator[str]:
    """One line for each flag that was given and has no effect."""
    for name, said in EXPLAINED.items():
        value = getattr(args, name)
        if value not in (None, False, said.silent):
            yield f"--{name}{f' {value}' if said.takes_value else ''} has no effect: {said.why}"
    if args.predict_file and not args.do_eval:
        yield f"--predict_file {args.predict_file} is not evaluated on without --do_eval"


def trains(args: argparse.Namespace) -> bool:
    """Whether there is something to train: run_squad.py's --do_eval alone evaluates what is there."""
    return bool(args.do_train or not args.do_eval)


def train_files(args: argparse.Namespace) -> list[Path]:
    """What --train_file names below --data, or that folder's file of the usual name; empty where there is neither."""
    if args.train_file:
        return [Path(args.data or ".", path).absolute() for path in args.train_file]
    usual = Path(args.data or ".", TRAIN_FILES[args.version_2_with_negative]).absolute()
    return [usual] if args.data and not args.recipe else []


def predict_file(args: argparse.Namespace) -> Path:
    """The same for --predict_file."""
    path = args.predict_file or Path(PREDICT_FILES[args.version_2_with_negative])
    return Path(args.data or ".", path).absolute()
