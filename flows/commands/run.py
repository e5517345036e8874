"""`python -m flows.run`: arguments into a checked `RunConfig`, and the run's result onto the terminal.

Imports neither torch nor Prefect until there is something to run, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.messages import shown
from flows.commands.options import SettingOptions
from flows.commands.outcome import EXIT_DONE, EXIT_FAILED, command_parser, run_command
from flows.commands.resolved import add_file_options, as_toml, given, has_settings_file, in_words, say_file
from flows.commands.settings_file import NAME

if TYPE_CHECKING:
    from bioqa_pipeline.run.preflight import Preflight
    from bioqa_pipeline.run.progress import Reporter
    from bioqa_pipeline.run.records import RunResult

# By name: the flow's module starts this command, and importing it is importing Prefect.
FLOW = "flows.run:run_for_command_line"
KEPT = "what was committed is kept, the same command goes on from there"

SETTINGS = SettingOptions(
    RunConfig,
    {
        "what to ask, where to keep it": "questions long_questions out",
        "where abstracts come from": "source",
        "the model": "model",
        "the answers": "scoring.passage threshold scoring.spans.n_best max_answers",
        "the run": "shard_pairs workers runner ray_address wait_for_lock public_url notify",
    },
    names={
        "source.kind": "--source",
        "source.pmids_file": "--pmids",
        "model.name": "--model",
        "wait_for_lock": "--no-wait",
    },
)

DESCRIPTION = """\
Ask PubMed a file of questions. Each answer is kept with its sentence, its PMID, its probability and the score of "no
answer here", in a Parquet data set with a page to read. Run it again and only what is new is read."""

EPILOG = """\
question files:
  questions.txt            one question a line; blank lines and lines that start with # are left out
  questions.tsv, .csv      a header line: `question` and, if wanted, `id` and `query` (a PubMed query, sent as it is);
                           further columns are your own and are kept with the answers
  questions.jsonl          one object a line with the same keys
  -                        standard input: any of these, told apart by its beginning

record files (--files): what PubMed, EndNote, Zotero and others export, known by their contents; see docs/files.md

exit codes: 0 done; 1 something failed (what was scored is kept, the next run goes on); 2 wrong usage or input;
130 interrupted (Ctrl-C), 143 terminated (SIGTERM): what was scored is kept, too

examples:
  python -m flows.run --questions q.txt --source pubmed --email me@example.org --out answers
  python -m flows.run --questions q.txt --files export.nbib --out answers
  python -m flows.run --questions q.txt --source medline --medline-dir /data/pubmed --max-abstracts 100 --out answers
  python -m flows.run --questions q.txt --model ktrapeznikov/biobert_v1.1_pubmed_squad_v2 --device cuda
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = job_parser("python -m flows.run", DESCRIPTION, EPILOG)
    group = parser.add_argument_group("this command")
    group.add_argument("--dry-run", action="store_true", help="say what would be asked and searched, then stop")
    group.add_argument(
        "--show-config", action="store_true", help="say every setting and where it came from, as TOML, then stop"
    )
    group.add_argument("--no-prefect", action="store_true", help="run the same stages without Prefect")
    group.add_argument(
        "--quiet", action="store_true", help="no progress, no warnings: results only, and of them what changed"
    )
    group.add_argument(
        "--verbose", action="store_true", help="say more: queries as PubMed understood them, each part of the run"
    )
    return parser


def job_parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The options that `parse_config` reads."""
    parser = command_parser(prog, description, epilog)
    # Questions, too, may stand in a file.
    SETTINGS.add_to(parser, {"out": "answers"}, partly=True)
    add_file_options(parser.add_argument_group("settings from a file"))
    return parser


def parse_options(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; ends the process where nothing says what to ask."""
    args = parser.parse_args(argv)
    if not hasattr(args, "questions") and not has_settings_file(args) and not getattr(args, "show_config", False):
        parser.error(f"give --questions FILE, or questions = ... in {NAME}")
    return args


def parse_config(args: argparse.Namespace) -> RunConfig:
    """The arguments, and what a file says, as checked settings.

    Raises:
        ConfigError, InputError: a setting, or the file, that cannot be used, in words.
    """
    args.given = found = given(SETTINGS, args)
    say_file(found, quiet=getattr(args, "quiet", False))
    if "questions" not in found.values:
        raise ConfigError(f"give `questions`, or questions = ... in {NAME}")
    return RunConfig.checked(found.tree())


def _show_config(args: argparse.Namespace) -> int:
    args.given = found = given(SETTINGS, args)
    missing = frozenset({"questions"} - found.values.keys())
    config = RunConfig.checked(found.tree() | dict.fromkeys(missing, "-"))
    sys.stdout.write(as_toml(config, found, missing))
    return EXIT_DONE


def _run(args: argparse.Namespace) -> int:
    if args.show_config:
        return _show_config(args)
    config = parse_config(args)
    if config.runner == "ray":
        from flows.on_ray.requirements import require_ray

        require_ray(without_prefect=args.no_prefect)
    from bioqa_pipeline.run.job import run_job
    from bioqa_pipeline.run.preflight import check_place, preflight
    from bioqa_pipeline.sources import check_source
    from flows.commands.console import TerminalReporter, print_answers, print_changes, print_outcome

    if args.no_prefect and any(receiver.kind == "block" for receiver in config.notify):
        raise ConfigError("`notify block:…` names a block of Prefect, which --no-prefect leaves out")
    check_place(config.out)
    check_source(config.source)
    ready = preflight(config)
    if args.dry_run:
        from flows.commands.dry_run import print_dry_run

        print_dry_run(config, ready)
        return EXIT_DONE
    # What came through a pipe can be read once, and is in `ready` now.
    config = config.changed(questions=ready.questions.path)
    reporter = TerminalReporter(quiet=args.quiet, in_options=SETTINGS.in_options)
    if args.no_prefect:
        from bioqa_pipeline.notify.telling import tell
        from bioqa_pipeline.run.workers import Pooled, worker_count

        n_workers = worker_count(config)
        result = run_job(config, executor=Pooled(n_workers) if n_workers > 1 else None, reporter=reporter, ready=ready)
        tell(config, result.manifest, say=reporter.say)
    else:
        reporter.say("starting Prefect" + _where())
        run_flow: Callable[[RunConfig, Reporter, Preflight], RunResult] = pkgutil.resolve_name(FLOW)
        result = run_flow(config, reporter, ready)
    if args.quiet and result.delta:
        print_changes(result, config.out)
    else:
        print_answers(result.answers)
        print_outcome(result, config.out)
    return EXIT_FAILED if result.failures else EXIT_DONE


def _where() -> str:
    url = os.environ.get("PREFECT_API_URL")
    return shown(f" at {url}") if url else "'s own temporary server (some ten seconds; --no-prefect runs without)"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = parse_options(build_parser(), argv)
    return run_command(
        lambda: _run(args),
        in_options=partial(in_words, SETTINGS, args),
        log_level=logging.INFO if args.verbose else logging.ERROR if args.quiet else logging.WARNING,
        kept=KEPT,
        only_to_stdout=args.show_config or args.dry_run,
    )


def leave(code: int) -> NoReturn:
    """Ends the process; without what Prefect would still do at exit, where its server is lost."""
    server = sys.modules.get("flows.prefect_server")
    if server is not None:
        server.leave(code)
    sys.exit(code)
