"""Options against the settings that they stand for, and messages of the library in the words of a command line."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bioqa_pipeline.config import ModelConfig, RunConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.setting_values import Settings
from bioqa_pipeline.training.recipe import TrainingConfig
from flows import serve
from flows.commands import calibrate, evaluate, front, run, train
from flows.commands.options import SettingOptions
from flows.commands.train_flags import EXPLAINED
from support.paths import ROOT

# Settings without an option: the checkpoint decides them, or a recipe alone can say them.
NOT_OFFERED = {
    RunConfig: {
        "scoring.windows.max_seq_length",
        "scoring.windows.doc_stride",
        "scoring.windows.max_query_length",
        "scoring.spans.max_answer_length",
        "scoring.spans.whole_words",
    },
    ModelConfig: set(),
    TrainingConfig: {"base_recipe", "vocabulary", "frozen_layers", "distillation", "data", "drawn_epochs"},
}
# Options that are no settings of the model.
OF_A_FILE = {"config", "no_config"}
# Where BioASQ's questions are asked of a source.
OF_SOURCES = {"datetype", "email", "max_abstracts", "maxdate", "medline_dir", "mindate", "pmids_file"}
OF_RUN_SQUAD = {
    *("do_train", "do_eval", "predict_file", "version_2_with_negative", "overwrite_output_dir", "fp16", "no_cuda"),
    *("max_answer_length", "n_best_size", "null_score_diff_threshold", *EXPLAINED),
}
OF_THE_COMMAND = {
    run: {"dry_run", "show_config", "no_prefect", "quiet", "verbose"} | OF_A_FILE,
    serve: {"cron", "timezone", "name", "port", "root"} | OF_A_FILE,
    evaluate: {"dataset", "out", "predictions", "na_prob", "threshold", "no_prefect", "quiet", "beside", "over"}
    | OF_A_FILE
    | OF_SOURCES,
    calibrate: {"dataset", "weights", "out", "in_place", "no_prefect", "quiet"} | OF_A_FILE,
    train: {"recipe", "data", "train_file", "calibrate_on", "out", "device", "threads", "no_prefect", "quiet"}
    | OF_RUN_SQUAD,
}
COMMANDS = [
    (run, RunConfig),
    (serve, RunConfig),
    (evaluate, ModelConfig),
    (calibrate, ModelConfig),
    (train, TrainingConfig),
]


def leaves(model: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def options_of(module: Any) -> list[argparse.Action]:
    parser: argparse.ArgumentParser = module.build_parser()
    return [action for action in parser._actions if action.dest != "help"]


@pytest.mark.parametrize(("module", "model"), COMMANDS, ids=lambda value: value.__name__)
def test_every_setting_has_an_option_and_every_option_a_setting(module: ModuleType, model: type[Settings]) -> None:
    settings = set(leaves(model))
    assert NOT_OFFERED[model] < settings or not NOT_OFFERED[model]
    assert {action.dest for action in options_of(module)} == settings - NOT_OFFERED[model] | OF_THE_COMMAND[module]


@pytest.mark.parametrize("module", [run, serve, evaluate, calibrate, train], ids=lambda module: module.__name__)
def test_an_option_says_what_the_setting_says(module: Any) -> None:
    for action in options_of(module):
        assert action.help, action.dest
        field = module.SETTINGS.fields.get(action.dest)
        if field is None or action.nargs == 0:
            continue
        stated = action.help.rpartition("(default: ")[2].removesuffix(")")
        if field.default is None:
            assert "(default: " in action.help, action.dest
        elif not field.is_required():
            assert stated == ("none" if field.default == () else str(field.default)), action.dest
        if isinstance(field.default, str) and action.choices:
            assert field.default in action.choices


def test_only_what_is_given_is_set() -> None:
    parser = run.build_parser()
    assert run.SETTINGS.values(parser.parse_args(["--questions", "q"])) == {"questions": "q", "out": "answers"}
    given = parser.parse_args(["--questions", "q", "--source", "pmids", "--pmids", "p", "--no-wait", "--n-best", "3"])
    assert run.SETTINGS.values(given) == {
        "questions": "q",
        "out": "answers",
        "source": {"kind": "pmids", "pmids_file": "p"},
        "scoring": {"spans": {"n_best": "3"}},
        "wait_for_lock": False,
    }


@pytest.mark.parametrize(
    ("options", "message", "said"),
    [
        (run.SETTINGS, "`device cuda:3`: use `device cpu`", "--device cuda:3: use --device cpu"),
        (run.SETTINGS, "source medline needs `medline_dir`, a folder", "source medline needs --medline-dir, a folder"),
        (run.SETTINGS, "source pmids needs `pmids_file`", "source pmids needs --pmids"),
        (run.SETTINGS, "use `kind medline`", "use --source medline"),
        (run.SETTINGS, "`source.kind`: x; `scoring.spans.n_best`: y", "--source: x; --n-best: y"),
        (run.SETTINGS, "`pmids_file a b.txt`: x", "--pmids a b.txt: x"),
        (train.SETTINGS, "give another `out`, or `precision fp32`", "give another --out, or --precision fp32"),
        (train.SETTINGS, "`windows.doc_stride`: x", "--doc-stride: x"),
        (evaluate.SETTINGS, "use `casing uncased`", "use --casing uncased"),
        # No settings, or none that the command has an option for.
        (run.SETTINGS, "the column `question`, `pip install x`", "the column `question`, `pip install x`"),
        (train.SETTINGS, "`data.0.share`: x", "`data.0.share`: x"),
        (evaluate.SETTINGS, "`medline_dir /x`: no such folder", "`medline_dir /x`: no such folder"),
    ],
)
def test_a_message_names_options_in_place_of_settings(options: SettingOptions, message: str, said: str) -> None:
    assert options.in_options(message) == said


def test_settings_that_cannot_be_used_are_named_for_callers() -> None:
    values = {"questions": "q", "out": "o", "source": {"max_abstracts": 0}, "workers": "many", "extra": 1}
    with pytest.raises(ConfigError) as caught:
        RunConfig.checked(values)
    assert [problem.split(":")[0] for problem in str(caught.value).split("; ")] == [
        "`source.max_abstracts`",
        "`workers`",
        "`extra`",
    ]
    with pytest.raises(ConfigError, match=r"^source medline needs `medline_dir`, "):
        RunConfig.checked({"questions": "q", "out": "o", "source": {"kind": "medline"}})


def test_the_library_names_no_option() -> None:
    for path in (ROOT / "bioqa_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                # var(--ink) is CSS, pip and git have options of their own, and a whole command may be named.
                if "python -m flows." in node.value or path.name == "commit.py":
                    continue
                assert not re.search(r"(?<![\w(-])(?<!pip install )--[a-z]", node.value), f"{path}:{node.lineno}"


def test_no_option_of_any_command_takes_an_empty_value(capsys: pytest.CaptureFixture[str]) -> None:
    for command in front.COMMANDS.values():
        for action in options_of(import_module(command.module)):
            # Settings are refused by their model; a choice is named with the others.
            if action.nargs == 0 or action.choices or action.type == "setting" or action.default == "":
                continue
            with pytest.raises(SystemExit):
                import_module(command.module).build_parser().parse_args([action.option_strings[0], " ", "a"])
            assert "it is empty: give a value, or leave it out\n" in capsys.readouterr().err, action.dest


def test_a_value_is_named_by_its_kind() -> None:
    words = re.findall(r"--[a-z-]+ [A-Z]+", " ".join(run.build_parser().format_help().split()))
    expected = (
        "--n-best N, --threshold X, --mindate DATE, --questions FILE, --medline-dir DIR, --out PLACE, --workers N"
    )
    assert set(expected.split(", ")) <= set(words)


@pytest.mark.parametrize("value", ["2020-13", "86400", "2020-02-30", "soon"])
def test_a_date_that_is_none_names_its_option(value: str) -> None:
    arguments = run.build_parser().parse_args(["--questions", "q.txt", "--mindate", value])
    with pytest.raises(ConfigError) as caught:
        run.parse_config(arguments)
    assert run.SETTINGS.in_options(str(caught.value)).startswith("--mindate: ")


def test_what_cannot_be_parsed_is_shown() -> None:
    with pytest.raises(ConfigError, match=r"`source\.max_abstracts`.*, not few$"):
        run.parse_config(run.build_parser().parse_args(["--questions", "q.txt", "--max-abstracts", "few"]))


def test_a_recipe_whose_windows_are_no_table_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('windows = 3\nbase_model = "b"\n[[data]]\npath = "x"\n')
    for more in ([], ["--doc-stride", "64"]):
        with pytest.raises(InputError, match=r"r\.toml: `windows`"):
            train.parse_config(train.build_parser().parse_args(["--recipe", str(recipe), "--out", "o", *more]))
