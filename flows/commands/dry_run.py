"""What a run would do, without doing it: nothing is fetched, scored or written."""

from __future__ import annotations

import sys

from bioqa_pipeline.config import RunConfig, SourceConfig
from bioqa_pipeline.errors import SourceError
from bioqa_pipeline.messages import counted
from bioqa_pipeline.questions.query import QueryFilters, build_queries, render_ladder
from bioqa_pipeline.run.preflight import Preflight


def print_dry_run(config: RunConfig, ready: Preflight) -> None:
    """Questions, the queries they become, model and data set, on standard output."""
    source, questions = config.source, ready.questions
    lines = [f"{counted(len(questions.questions), 'question')} from {questions.path}"]
    lines += [f"asked more than once: {merged.text}" for merged in questions.merged]
    lines += ready.notes
    lines.append(f"model {ready.checkpoint.description}, threshold {ready.threshold:g}")
    whole = source.kind in ("files", "pmids")
    most = "all records for every question" if whole else f"at most {source.max_abstracts:,} abstracts a question"
    lines.append(f"source {source.kind}, {most}")
    lines.append(f"data set {config.out}")
    lines += [f"new and changed answers are told to {receiver}" for receiver in config.notify]
    if records := source.filters():
        lines.append(f"only records of {records.described()}")
    if source.kind == "pubmed":
        filters = QueryFilters(
            has_abstract=config.scoring.passage == "abstract",
            records=records,
            mindate=source.mindate,
            maxdate=source.maxdate,
            datetype=source.datetype,
        )
        for question in questions.questions:
            lines.append("")
            try:
                lines += render_ladder(question, build_queries(question, filters=filters), filters)
            except SourceError as exc:
                lines.append(f"{question.id}  {question.text}\n  error: {exc}")
    elif source.kind in ("files", "pmids"):
        lines += _given(source)
        lines += [f"{question.id}  {question.text}" for question in questions.questions]
    else:
        lines.append("queries are made for source pubmed; here the words of a question are looked for")
        lines += [f"{question.id}  {question.text}" for question in questions.questions]
    lines.append("\nnothing was fetched, scored or written")
    sys.stdout.write("\n".join(lines) + "\n")


def _given(source: SourceConfig) -> list[str]:
    """What files or a list hold."""
    if source.files is not None:
        from bioqa_pipeline.sources.files.source import describe_files

        return describe_files(source.files)
    from bioqa_pipeline.sources.pmids import read_list

    assert source.pmids_file is not None
    listed = read_list(source.pmids_file)
    others = sum(isinstance(name, str) for name in listed)
    said = f"; DOIs and PMCIDs to be converted: {others:,}" if others else ""
    return [f"{source.pmids_file}: {counted(len(listed) - others, 'PMID')}{said}"]
