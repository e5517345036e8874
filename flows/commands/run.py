"""`python -m flows.run`: arguments into a checked `RunConfig`, and the run's outcome into words and an exit code.

Imports neither torch nor Prefect until there is something to run, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from flows.environment import apply_defaults
from flows.signals import Terminated, sigterm_raises

if TYPE_CHECKING:
    from bioqa_pipeline.config import RunConfig

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 2, 130, 143

DESCRIPTION = """\
Ask PubMed a file of questions and keep the answers, with their evidence and their null scores, as a Parquet data set.
Run it again and only what is new is scored."""

EPILOG = """\
question files:
  questions.txt            one question a line; blank lines and lines that start with # are skipped
  questions.tsv, .csv      a header line: `question` and, if wanted, `id` and `query` (a PubMed query, sent as it is)
  questions.jsonl          one object a line with the same keys

exit codes: 0 done; 1 something failed (what was scored is kept, the next run goes on); 2 wrong usage or input;
130 interrupted (Ctrl-C), 143 terminated (SIGTERM): what was scored is kept, too

examples:
  python -m flows.run --questions q.txt --source pubmed --email me@example.org --out answers
  python -m flows.run --questions q.txt --source medline --medline-dir /data/pubmed --max-abstracts 100 --out answers
  python -m flows.run --questions q.txt --model ktrapeznikov/biobert_v1.1_pubmed_squad_v2 --device cuda
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = job_parser("python -m flows.run", DESCRIPTION, EPILOG)
    _terminal_options(parser.add_argument_group("this command"))
    return parser


def job_parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The options that `parse_config` reads."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _job_options(parser.add_argument_group("what to ask, where to keep it"))
    _source_options(parser.add_argument_group("where abstracts come from"))
    _model_options(parser.add_argument_group("the model"))
    _answer_options(parser.add_argument_group("the answers"))
    _run_options(parser.add_argument_group("the run"))
    return parser


def _job_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--questions", required=True, type=Path, metavar="FILE", help="file of questions; formats below")
    group.add_argument(
        "--out",
        default="answers",
        metavar="PLACE",
        help="the data set: a folder, or s3://bucket/prefix with AWS_ACCESS_KEY_ID and the like in the environment; "
        "needs pip install 'bioqa[s3]' (default: answers)",
    )


def _source_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--source",
        choices=("sample", "pubmed", "medline", "pmids"),
        default="sample",
        help="sample: the 60 records that come with the project; pubmed: live E-utilities; medline: a folder of PubMed "
        "baseline and update files; pmids: a given list (default: sample)",
    )
    group.add_argument(
        "--max-abstracts",
        type=int,
        default=20,
        metavar="N",
        help="abstracts retrieved for a question; a list of PMIDs is asked whole (default: 20)",
    )
    group.add_argument("--medline-dir", type=Path, metavar="DIR", help="for medline: folder of *.xml and *.xml.gz")
    group.add_argument("--pmids", type=Path, metavar="FILE", help="for pmids: file with one PMID a line")
    group.add_argument("--mindate", metavar="DATE", help="for pubmed: earliest date, YYYY-MM-DD (default: none)")
    group.add_argument("--maxdate", metavar="DATE", help="for pubmed: latest date, YYYY-MM-DD (default: none)")
    group.add_argument(
        "--datetype",
        choices=("pdat", "edat", "mdat"),
        default="pdat",
        help="for pubmed: date of publication, entry or modification (default: pdat)",
    )
    group.add_argument(
        "--sort", choices=("relevance", "pub_date"), default="relevance", help="for pubmed (default: relevance)"
    )
    group.add_argument(
        "--since-last-run",
        action="store_true",
        help="for pubmed: only records entered since the last finished run of this data set, with two days' overlap",
    )
    group.add_argument(
        "--email", metavar="ADDRESS", help="for pubmed: your address, which NCBI asks for (default: $NCBI_EMAIL)"
    )


def _model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        default="embedded",
        metavar="NAME",
        help="folder of a checkpoint, or hub name with optional @revision, such as "
        "ktrapeznikov/biobert_v1.1_pubmed_squad_v2 (default: embedded, the model that comes with the project)",
    )
    group.add_argument(
        "--casing", choices=("cased", "uncased"), help="what to do with capitals (default: as the checkpoint says)"
    )
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps (default: auto)"
    )
    group.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="auto takes bf16 where the device computes in it, else fp32 (default: auto)",
    )
    group.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="auto takes openvino, where it is installed, for long jobs on a CPU (default: auto)",
    )


def _answer_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="an abstract answers a question when its score_diff is at most X; higher answers more "
        "(default: the checkpoint's own, else 0.0)",
    )
    group.add_argument(
        "--n-best", type=int, default=5, metavar="N", help="answers kept for a question and abstract (default: 5)"
    )
    group.add_argument(
        "--max-answers", type=int, default=10, metavar="N", help="merged answers kept for a question (default: 10)"
    )


def _run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--shard-pairs",
        default="auto",
        metavar="N",
        help="(question, abstract) pairs scored and committed together (default: auto: 256 on a CPU, 4,096 on a GPU, "
        "more in runs of over a million pairs, fewer where workers would be idle)",
    )
    group.add_argument(
        "--workers",
        default="auto",
        metavar="N",
        help="processes that score: a number, or auto: one for each visible GPU, or one on a CPU (default: auto)",
    )
    group.add_argument(
        "--runner",
        choices=("local", "ray"),
        default="local",
        help="where shards are scored: on this machine, or on the nodes of a Ray cluster, where --workers auto is one "
        "for each GPU, or, without GPUs, one for each node (default: local)",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="for ray: auto (the cluster that this machine belongs to), HOST:6379 or ray://HOST:10001 (default: start "
        "a Ray of its own on this machine)",
    )
    group.add_argument(
        "--no-wait", action="store_true", help="fail when another run writes the data set, instead of waiting"
    )
    group.add_argument(
        "--public-url",
        metavar="URL",
        help="address at which people reach the folder of the data set; links in Prefect lead there (default: none)",
    )


def _terminal_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dry-run", action="store_true", help="say what would be asked and searched, then stop")
    group.add_argument("--no-prefect", action="store_true", help="run the same stages without Prefect")
    group.add_argument("--quiet", action="store_true", help="no progress; results only")
    group.add_argument("--verbose", action="store_true", help="log every shard")


def parse_config(args: argparse.Namespace) -> RunConfig:
    """The arguments as checked settings.

    Raises:
        ConfigError: a setting that cannot be used, in words.
    """
    from pydantic import ValidationError

    from bioqa_pipeline.config import ModelConfig, RunConfig, ScoringConfig, SourceConfig, SpanConfig
    from bioqa_pipeline.errors import ConfigError

    try:
        return RunConfig(
            questions=args.questions,
            out=args.out,
            model=ModelConfig(
                name=args.model, casing=args.casing, device=args.device, precision=args.precision, engine=args.engine
            ),
            source=SourceConfig(
                kind=args.source,
                max_abstracts=args.max_abstracts,
                medline_dir=args.medline_dir,
                pmids_file=args.pmids,
                mindate=args.mindate,
                maxdate=args.maxdate,
                datetype=args.datetype,
                sort=args.sort,
                since_last_run=args.since_last_run,
                email=args.email,
            ),
            scoring=ScoringConfig(spans=SpanConfig(n_best=args.n_best)),
            threshold=args.threshold,
            max_answers=args.max_answers,
            shard_pairs=int(args.shard_pairs) if args.shard_pairs.isdecimal() else args.shard_pairs,
            workers=int(args.workers) if args.workers.isdecimal() else args.workers,
            wait_for_lock=not args.no_wait,
            runner=args.runner,
            ray_address=args.ray_address,
            public_url=args.public_url,
        )
    except ValidationError as exc:
        raise ConfigError("; ".join(_in_words(error) for error in exc.errors())) from exc


def _in_words(error: object) -> str:
    assert isinstance(error, dict)
    # Which of a setting's types was tried stands last, as in workers, literal['auto'].
    where = [part for part in map(str, error["loc"]) if part.isidentifier()]
    option = f"--{where[-1].replace('_', '-')}: " if where else ""
    return f"{option}{str(error['msg']).removeprefix('Value error, ')}"


def _run(args: argparse.Namespace) -> int:
    config = parse_config(args)
    if config.runner == "ray":
        from flows.on_ray.cluster import require_ray

        require_ray(without_prefect=args.no_prefect)
    from bioqa_pipeline.run.job import run_job
    from bioqa_pipeline.run.preflight import preflight
    from bioqa_pipeline.sources import check_source
    from flows.commands.console import Reporter, print_answers, print_outcome

    ready = preflight(config)
    if args.dry_run:
        from flows.commands.dry_run import print_dry_run

        print_dry_run(config, ready)
        return EXIT_DONE
    check_source(config.source)
    reporter = Reporter(quiet=args.quiet)
    if args.no_prefect:
        from bioqa_pipeline.run.workers import Pooled, worker_count

        n_workers = worker_count(config)
        result = run_job(config, executor=Pooled(n_workers) if n_workers > 1 else None, reporter=reporter)
    else:
        reporter.say("starting Prefect" + _where())
        from flows.run import run_for_command_line

        result = run_for_command_line(config, reporter)
    print_answers(result.answers)
    print_outcome(result, config.out)
    return EXIT_FAILED if result.failures else EXIT_DONE


def _where() -> str:
    import os

    url = os.environ.get("PREFECT_API_URL")
    return f" at {url}" if url else "'s own temporary server (some ten seconds; --no-prefect runs without)"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    args = build_parser().parse_args(argv)
    _log_to_terminal(logging.INFO if args.verbose else logging.WARNING)
    from bioqa_pipeline.errors import BioqaError, CheckpointError, ConfigError, InputError

    apply_defaults()
    try:
        with sigterm_raises():
            return _run(args)
    except (ConfigError, InputError, CheckpointError) as exc:
        sys.stderr.write(f"error: {exc}\n")
        return EXIT_USAGE
    except BioqaError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what was committed is kept, the same command goes on from there\n")
        return EXIT_INTERRUPTED
    except Terminated:
        sys.stderr.write("terminated; what was committed is kept, the same command goes on from there\n")
        return EXIT_TERMINATED


def _log_to_terminal(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    # Prefect's loggers have levels of their own and ask the root logger's handlers only.
    handler.setLevel(level)
    logging.basicConfig(handlers=[handler], level=level, format="%(levelname)s %(name)s: %(message)s")


def leave(code: int) -> NoReturn:
    """Ends the process; without what Prefect would still do at exit, where its server is lost."""
    server = sys.modules.get("flows.prefect_server")
    if server is not None:
        server.leave(code)
    sys.exit(code)
