"""`bioqa.toml` into settings, each with the line on which it stands; refuses what is no setting.

Its tables and names are those of `RunConfig`; `[serve]` has the options of `bioqa serve` beside them. A relative path
starts at the file's own folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bioqa_pipeline.config import EMBEDDED, RunConfig
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.files import SMALL
from bioqa_pipeline.inputs import STANDARD_INPUT, parse_toml, read_text
from bioqa_pipeline.setting_values import EMPTY, is_empty
from bioqa_pipeline.storage.uri import ObjectUri
from flows.commands.front import COMMANDS
from flows.commands.options import all_fields, types_of

NAME = "bioqa.toml"
MOST_DOTS = 50
# The options of `bioqa serve` that are no settings of a run.
SERVE: dict[str, tuple[type, str]] = {
    "cron": (str, "a text"),
    "timezone": (str, "a text"),
    "name": (str, "a text"),
    "port": (int, "a whole number"),
    "root": (list, "a list"),
}

# What a statement may hold that a line's end within it does not end: strings, comments, brackets.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'|#[^\n]*|[\[{]|[\]}]|\n", re.DOTALL
)
_SECRET = re.compile(r"key|token|secret|password|passwd|login|credential|auth", re.IGNORECASE)

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file sets.

    Attributes:
        values: by path, such as "source.max_abstracts".
        lines: of the same paths.
    """

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[str, int]

    def place(self, setting: str) -> str:
        """Where a setting stands, for messages."""
        return f"{self.path}:{self.lines[setting]}"


def read_settings_file(path: Path, options: Mapping[str, str]) -> SettingsFile:
    """Reads and checks the names; values are checked where they are used.

    Args:
        options: settings by names that somebody may take for theirs: those of options, "pmids" for source.pmids_file.

    Raises:
        InputError: it cannot be read, is not TOML, or holds what is no setting.
    """
    text = read_text(path, most_bytes=SMALL)
    for line, written in enumerate(text.splitlines(), start=1):
        # The parser takes the square of them.
        if written.partition("=")[0].count(".") > MOST_DOTS:
            raise InputError("no setting has a name of so many parts", path, line)
    content = parse_toml(text, path)
    fields = dict(all_fields(RunConfig))
    sections = {name.rpartition(".")[0] for name in fields} - {""} | {"serve"}
    sections |= {section.rpartition(".")[0] for section in sections} - {""}
    known = set(fields) | {f"serve.{name}" for name in SERVE}
    found = dict(_leaves(content, sections))
    lines = _lines(text, sections)
    for names in found:
        if (problem := _problem(names, known, sections, options)) is not None:
            raise InputError(problem, path, lines.get(names))
    values = {".".join(names): value for names, value in found.items()}
    for names, (name, value) in zip(found, values.items(), strict=True):
        if isinstance(value, bool) and name in fields and bool not in types_of(fields[name].annotation):
            raise InputError(f"{name}: {str(value).lower()} is no value of it", path, lines.get(names))
    by_path = {".".join(names): line for names, line in lines.items()}
    return SettingsFile(
        path, {name: _located(name, value, fields, path.parent) for name, value in values.items()}, by_path
    )


def serve_options(file: SettingsFile | None) -> dict[str, Any]:
    """What [serve] sets.

    Raises:
        InputError: it is something else than the option takes.
    """
    found = {}
    for name, (kind, words) in SERVE.items():
        setting = f"serve.{name}"
        if file is None or setting not in file.values:
            continue
        found[name] = value = file.values[setting]
        of_kind = isinstance(value, kind) and not isinstance(value, bool)
        if not of_kind or (kind is list and not all(isinstance(item, str) for item in value)):
            raise InputError(f"{setting}: give {words}, not {value}", file.path, file.lines[setting])
        if is_empty(value):
            raise InputError(f"{setting}: {EMPTY}", file.path, file.lines[setting])
    return found


def _leaves(content: Mapping[str, Any], sections: set[str], above: Names = ()) -> Iterator[tuple[Names, Any]]:
    for name, value in content.items():
        names = (*above, name)
        # An empty table that is no section is left to be refused.
        if isinstance(value, dict) and (value or ".".join(names) in sections):
            yield from _leaves(value, sections, names)
        else:
            yield names, value


def _lines(text: str, sections: set[str]) -> dict[Names, int]:
    """The line on which each leaf's statement begins."""
    lines: dict[Names, int] = {}
    header = ""
    for line, statement in _statements(text):
        if statement.startswith("["):
            header = statement
        alone = statement if statement == header else f"{header}\n{statement}"
        for names, _ in _leaves(parse_toml(alone, NAME), sections):
            lines.setdefault(names, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Headers of tables and what sets a value, with the lines on which they begin."""
    start = depth = 0
    line = 1
    for token in _TOKEN.finditer(text + "\n"):
        match token[0][0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if depth == 0:
                statement = text[start : token.start()]
                if statement.strip() and not statement.lstrip().startswith("#"):
                    yield line, statement.strip()
                line += text.count("\n", start, token.end())
                start = token.end()


def _problem(names: Names, known: set[str], sections: set[str], options: Mapping[str, str]) -> str | None:
    """What is wrong with the name of a setting."""
    name = ".".join(names)
    if name in known and all("." not in part for part in names):
        return "scoring.windows is the checkpoint's own: leave it out" if name.startswith("scoring.windows.") else None
    if name in sections:
        return f"{name} is a section: write [{name}] on a line of its own, and its settings below"
    if _SECRET.search(names[-1]):
        return (
            f"{name} cannot be set here: this file is shown and passed on; put secrets into the environment, as "
            "NCBI_API_KEY and AWS_SECRET_ACCESS_KEY are"
        )
    last = names[-1].rpartition(".")[2].replace("-", "_").lower()
    tops = sorted({section.partition(".")[0] for section in sections})
    meant = options.get(last) or _nearest(name, last, known)
    if len(names) > 1 and names[0] not in {*tops, *known} and (meant or "").rpartition(".")[2] != last:
        is_command = names[0] in COMMANDS.keys() - {"run"}
        why = f"; bioqa {names[0]} takes its own options from the command line alone" if is_command else ""
        return f"there is no section [{names[0]}]{why}; the sections are {', '.join(tops)}"
    return f"{name}: there is no such setting" + (f"; is {meant} meant?" if meant else "")


def _nearest(name: str, last: str, known: set[str]) -> str | None:
    by_last: dict[str, str] = {path.rpartition(".")[2]: path for path in sorted(known, reverse=True)}
    if close := get_close_matches(last, by_last, 1):
        return by_last[close[0]]
    return next(iter(get_close_matches(name, known, 1)), None)


def _located(name: str, value: Any, fields: Mapping[str, Any], folder: Path) -> Any:
    """Paths as they are seen from where the command runs."""
    if isinstance(value, list):
        return [_located(name, item, fields, folder) for item in value]
    if not isinstance(value, str) or folder == Path():
        return value
    kinds = set(types_of(fields[name].annotation)) if name in fields else set()
    if name == "serve.root" or kinds & {Path, ObjectUri}:
        is_path = (
            not is_empty(value) and "://" not in value and value != str(STANDARD_INPUT) and not value.startswith("~")
        )
        return str(folder / value) if is_path else value
    if name == "model.name" and value != EMBEDDED and (value.startswith(".") or _is_folder(folder / value)):
        return f"{folder}/{value}"
    return value


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # too long a name
        return False
