"""Settings as command-line options: defaults, choices and help stand in the models alone; and options as settings."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from bioqa_pipeline.setting_values import Settings
from bioqa_pipeline.storage.uri import ObjectUri

# What stands for a value in --help; the first that fits.
METAVARS = {ObjectUri: "place", Path: "file", date: "date", int: "n", float: "x"}
# A setting in a message, with or without a value, as `bioqa_pipeline.errors` has it: `device cpu`.
_NAMED = re.compile(r"`([a-z][a-z0-9_.]*?)(?:\.\d+)?( [^`]*)?`")


def finite(text: str) -> float:
    """A number on the command line, which is neither nan nor inf."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"give a finite number, not {text!r}")
    return number


class CommandDefault(str):
    """What a command takes where nobody says anything; told from the same word on the command line."""


class SettingOptions:
    """The settings of a model that a command offers.

    Args:
        groups: title of a group of options into its settings, each by its path in the model, such as "source.email";
            "source" is all that is below it.
        names: options that are not called as their setting is, with older names behind.
        others: the command's own options, by the names that messages of the library have for them.
        underscores: options are taken with underscores in place of dashes, too.
    """

    def __init__(
        self,
        model: type[Settings],
        groups: Mapping[str, str],
        *,
        names: Mapping[str, str],
        others: Mapping[str, str] | None = None,
        underscores: bool = False,
    ) -> None:
        self._groups = {title: dict(_fields(model, paths.split())) for title, paths in groups.items()}
        self.fields = {path: field for fields in self._groups.values() for path, field in fields.items()}
        self._names = {path: names[path].split() if path in names else [_option(path)] for path in self.fields}
        by_path = {path: names[0] for path, names in self._names.items()}
        self._options = {_last(path): option for path, option in by_path.items()} | by_path | dict(others or {})
        if underscores:
            for path, spellings in self._names.items():
                self._names[path] = list(dict.fromkeys([*spellings, "--" + spellings[0][2:].replace("-", "_")]))

    def add_to(
        self, parser: argparse.ArgumentParser, defaults: Mapping[str, str] | None = None, *, partly: bool = False
    ) -> None:
        """Adds the options, in their groups. One that is not given leaves its setting out.

        Args:
            defaults: the command's own, where the model has none.
            partly: the model's other settings come from elsewhere, so that none has to be given.
        """
        # Whatever is written, the model says what is wrong with it.
        parser.register("type", "setting", lambda written: written)
        for title, fields in self._groups.items():
            group = parser.add_argument_group(title)
            for path, field in fields.items():
                default = (defaults or {}).get(path)
                group.add_argument(
                    *self._names[path],
                    dest=path,
                    default=argparse.SUPPRESS if default is None else CommandDefault(default),
                    required=field.is_required() and default is None and not partly,
                    help=self._help(field, default),
                    **_kind(path, field),
                )

    def _help(self, field: FieldInfo, default: str | None) -> str:
        text = self.in_options(str(field.description)).replace("%", "%%")
        if isinstance(field.default, bool):
            return f"do not {text}" if field.default else text
        if "(default: " in text or (field.is_required() and default is None):
            return text
        said = field.default if default is None else default
        return f"{text} (default: {'none' if said in (None, ()) else said})"

    def values(self, args: argparse.Namespace) -> dict[str, Any]:
        """What the arguments set, laid out as the model is."""
        values: dict[str, Any] = {}
        for path in self.fields.keys() & vars(args).keys():
            put(values, path, getattr(args, path))
        return values

    def option(self, path: str) -> str:
        """How the option of a setting is spelled."""
        return self._names[path][0]

    def settings_by_option(self) -> dict[str, str]:
        """The settings by their options' names, such as pmids, as a file would have them."""
        return {name[2:].replace("-", "_"): path for path, names in self._names.items() for name in names}

    def named_in(self, message: str) -> dict[str, str]:
        """The settings that a message of the library names in backticks: their paths by the names that it has."""
        by_name = {_last(path): path for path in self.fields} | {path: path for path in self.fields}
        return {named[1]: by_name[named[1]] for named in _NAMED.finditer(message) if named[1] in by_name}

    def in_options(self, message: str) -> str:
        """A message of the library, with options in place of the settings that it names in backticks."""

        def option(named: re.Match[str]) -> str:
            return self._options[named[1]] + (named[2] or "") if named[1] in self._options else named[0]

        return _NAMED.sub(option, message)


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Sets a value in a tree of them."""
    *parents, name = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[name] = value


def all_fields(model: Any) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of a model with its path, those of settings within it included."""
    return _fields(model, model.model_fields)


def _fields(model: Any, paths: Iterable[str]) -> Iterator[tuple[str, FieldInfo]]:
    for path in paths:
        name, _, rest = path.partition(".")
        field = model.model_fields[name]
        if hasattr(field.annotation, "model_fields"):
            below = _fields(field.annotation, [rest] if rest else field.annotation.model_fields)
            yield from ((f"{name}.{inner}", found) for inner, found in below)
        else:
            yield path, field


def _kind(path: str, field: FieldInfo) -> dict[str, Any]:
    if isinstance(field.default, bool):
        return {"action": "store_const", "const": not field.default}
    if choices := _choices(field.annotation):
        return {"choices": choices}
    kinds = set(types_of(field.annotation))
    several = {"action": "extend", "nargs": "+"} if any(get_origin(kind) is tuple for kind in kinds) else {}
    word = next((word for kind, word in METAVARS.items() if kind in kinds), path.replace(".", "_").rpartition("_")[2])
    return {"type": "setting", "metavar": "DIR" if path.endswith("_dir") else word.upper()} | several


def types_of(annotation: Any) -> Iterator[Any]:
    """An annotation and all that stands within it."""
    yield annotation
    for inner in get_args(annotation):
        yield from types_of(inner)


def _choices(annotation: Any) -> tuple[str, ...]:
    """All that may be given, where the type says so: Literal, with or without None."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return _choices(kinds[0]) if len(kinds) == 1 else ()


def _option(path: str) -> str:
    return "--" + _last(path).replace("_", "-")


def _last(path: str) -> str:
    return path.rpartition(".")[2]
