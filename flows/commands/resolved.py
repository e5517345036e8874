"""Settings from all places into one: options go before the environment, that before `bioqa.toml`, that before defaults.

Each keeps where it came from, for --show-config and for messages about it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioqa_pipeline.setting_values import Settings
from flows.commands.options import CommandDefault, SettingOptions, put
from flows.commands.settings_file import NAME, SettingsFile, read_settings_file

# Variables of the environment that stand for a setting.
VARIABLES = {"source.email": "NCBI_EMAIL"}


def add_file_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """--config and --no-config."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"TOML file of settings; options replace its own (default: {NAME} in this folder, where there is one)",
    )
    which.add_argument("--no-config", action="store_true", help=f"leave {NAME} in this folder unread")


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody has set.

    Attributes:
        values: by path, such as "source.max_abstracts".
        origins: of the same, in words.
        places: those of a file, as file:line.
        file: what was read.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    places: Mapping[str, str]
    file: SettingsFile | None

    def tree(self) -> dict[str, Any]:
        """The values laid out as the model is."""
        tree: dict[str, Any] = {}
        for path, value in self.values.items():
            put(tree, path, value)
        return tree


def has_settings_file(args: argparse.Namespace) -> bool:
    """Whether one is named, or lies in this folder; what is there and cannot be read is not passed over."""
    return args.config is not None or (not args.no_config and os.path.lexists(NAME))


def settings_file(args: argparse.Namespace, options: SettingOptions) -> SettingsFile | None:
    """The file that --config names, else the one in this folder.

    Raises:
        InputError: it cannot be used.
    """
    return (
        read_settings_file(args.config or Path(NAME), options.settings_by_option()) if has_settings_file(args) else None
    )


def given(options: SettingOptions, args: argparse.Namespace, *, section: str = "") -> Given:
    """What arguments, environment and file set.

    Args:
        section: of the file that holds these settings, where they are not all that a run has.

    Raises:
        InputError: the file cannot be used.
    """
    file, prefix = settings_file(args, options), section and f"{section}."
    values: dict[str, Any] = {p: v for p in options.fields if isinstance(v := getattr(args, p, None), CommandDefault)}
    origins: dict[str, str] = {}
    places: dict[str, str] = {}
    if file:
        for name, value in file.values.items():
            path = name.removeprefix(prefix)
            if name.startswith(prefix) and not name.startswith("serve."):
                values[path] = value
                origins[path] = places[path] = file.place(name)
    for path in VARIABLES.keys() & places.keys():
        if value := os.environ.get(VARIABLES[path], "").strip():
            values[path], origins[path] = value, f"environment: {VARIABLES[path]}"
            del places[path]
    for path in options.fields:
        if hasattr(args, path) and not isinstance(value := getattr(args, path), CommandDefault):
            values[path], origins[path] = value, f"option {options.option(path)}"
            places.pop(path, None)
    return Given(values, origins, places, file)


def in_words(options: SettingOptions, args: argparse.Namespace, message: str) -> str:
    """A message of the library with options in place of settings; of those in a file, the line and their own name."""
    found: Given | None = getattr(args, "given", None)
    named = options.named_in(message)
    places = [found.places[path] for path in named.values() if path in found.places] if found else []
    for name, path in named.items() if found else ():
        if found and path in found.places:
            message = re.sub(rf"`{re.escape(name)}( [^`]*)?`", lambda m, path=path: path + (m[1] or ""), message)  # type: ignore[misc]
    return "".join(f"{place}: " for place in places[:1]) + options.in_options(message)


def say_file(found: Given, *, quiet: bool = False) -> None:
    """One line on the terminal, where a file was read."""
    if found.file and not quiet:
        count = len(found.places)
        sys.stderr.write(f"{found.file.path}: {count:,} {'setting' if count == 1 else 'settings'} taken from it\n")


def as_toml(config: Settings, found: Given, missing: frozenset[str] = frozenset()) -> str:
    """All settings as a file that says the same, each with where it came from.

    Args:
        missing: those that somebody has yet to set.
    """
    variables = {path: name for path, name in VARIABLES.items() if path not in found.origins and os.environ.get(name)}
    lines = ["# What `bioqa run` would use here, and where each setting came from; can be used as bioqa.toml."]

    def section(settings: Settings, above: str) -> None:
        inner = {}
        for name, field in type(settings).model_fields.items():
            value, path = getattr(settings, name), above + name
            if isinstance(value, Settings):
                inner[path] = value
            elif path in missing:
                lines.append(f"# {name} =  # has to be given")
            elif path in variables:
                lines.append(f"{name} = {_toml(os.environ[variables[path]].strip())}  # environment: {variables[path]}")
            elif value is None:
                lines.append(f"# {name} =  # not set")
            else:
                default = value == field.get_default() or isinstance(found.values.get(path), CommandDefault)
                origin = found.origins.get(path) or ("default" if default else "follows from what is given")
                lines.append(f"{name} = {_toml(value)}  # {origin}")
        for path, settings in inner.items():
            if path != "scoring.windows":  # the checkpoint's own
                lines.extend(["", f"[{path}]"])
                section(settings, f"{path}.")

    section(config, "")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return str(value) if math.isfinite(value) else f"{value:+}".replace("+inf", "inf")
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            # TOML's strings are JSON's, but for DEL, which JSON leaves as it is.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
