"""What a user writes for a setting into its value, and what cannot be one into words."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from bioqa_pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Of what is wrong with settings, and of a name or value in it: a file of them may be anybody's.
_MOST_TOLD, _MOST_CHARS = 10, 200
_DATE = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?")
EMPTY = "it is empty: give a value, or leave it out"
# Rows hold it as such a number; a larger one would be infinite there.
_FLOAT32_MAX = 3.4028234663852886e38


def expanded(path: Path) -> Path:
    """A path with `~` as the shell has it; as it stands where there is no such user.

    Raises:
        ValueError: it is none.
    """
    if "\0" in str(path):
        raise ValueError("no path has a zero byte in it")
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def is_empty(value: Any) -> bool:
    """Whether it is or has a text in which nothing can be seen: no message shows it, as a path it is this folder."""
    if isinstance(value, list | tuple):
        return any(map(is_empty, value))
    return isinstance(value, str) and not any(sign.isprintable() and not sign.isspace() for sign in value)


def _written(value: Any) -> Any:
    if is_empty(value):
        raise ValueError(EMPTY)
    return value


def _expanded_name(name: str) -> str:
    return str(expanded(Path(name))) if name.startswith("~") else name


def _day(value: Any, *, last: bool) -> Any:
    """The first or last day of a year, of a month, or the day itself."""
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    written = _DATE.fullmatch(str(value).strip()) if isinstance(value, str | int) and value is not True else None
    try:
        if written is None:
            raise ValueError("no date")
        year, month, day = int(written[1]), written[2], written[3]
        if month is None:
            return date(year, 12, 31) if last else date(year, 1, 1)
        if day is None:
            return date(year, int(month), monthrange(year, int(month))[1] if last else 1)
        return date(year, int(month), int(day))
    except ValueError:
        raise ValueError(f"{value} is no date: give a year, month or day, as in 2020, 2020-05 or 2020-05-01") from None


def _names(value: Any) -> Any:
    """One name or several, each once; blanks around and within them count for nothing."""
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return value
    return tuple(dict.fromkeys(" ".join(name.split()) for name in names))


def is_beyond(text: str) -> bool:
    """Whether these are digits of a number that is too large for one, so that it is read as inf."""
    try:
        return abs(float(text)) == inf and any(map(str.isdigit, text))
    except ValueError:
        return False


def _as_written(value: Any) -> Any:
    if isinstance(value, str) and is_beyond(value):
        raise ValueError(f"{_cut(value)} is too large: give a smaller number")
    return value


def _finite_or_endless(value: float) -> float:
    if value != value:
        raise ValueError("nan is no number: give one, or inf, at which every abstract answers")
    if _FLOAT32_MAX < abs(value) < inf:
        raise ValueError(f"{value:g} is too large: give a number below 1e38, or inf, at which every abstract answers")
    return value


def one_address(value: str) -> str:
    """It is sent with every request, and is no place for more than an address."""
    if len(value.split()) > 1 or not value.strip().isprintable():
        raise ValueError("give one address in one line, such as you@example.org")
    return value


UserPath = Annotated[Path, AfterValidator(expanded)]
UserPaths = Annotated[tuple[UserPath, ...], BeforeValidator(_written)]
PathOrName = Annotated[str, AfterValidator(_expanded_name)]
Address = Annotated[str, AfterValidator(one_address)]
FirstDay = Annotated[date, BeforeValidator(partial(_day, last=False))]
LastDay = Annotated[date, BeforeValidator(partial(_day, last=True))]
Names = Annotated[tuple[str, ...], BeforeValidator(_names), BeforeValidator(_written)]
Number = Annotated[float, BeforeValidator(_as_written)]
Threshold = Annotated[Number, AfterValidator(_finite_or_endless)]


class Frozen(BaseModel):
    """Values by names, all of them known ones."""

    # Validators are built when they are first used: a command that only shows its help needs none.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="strings")

    def changed(self, **values: Any) -> Self:
        """The same with these values in place of its own, checked like any others."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | values)


class Settings(Frozen):
    """Base of all settings."""

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """The settings out of plain values.

        Raises:
            ConfigError: one of them cannot be used, in words.
        """
        if empty := "; ".join(f"`{path}`: {EMPTY}" for path in _empty(values)):
            raise ConfigError(empty)
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            raise ConfigError(_in_words(exc.errors(), _known(cls))) from exc


def _empty(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _empty(value, f"{above}{name}.")
        elif isinstance(value, str) and is_empty(value):
            yield above + name


def _known(model: type[BaseModel]) -> Iterator[str]:
    """The names of all settings, those of settings within them included."""
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known(field.annotation)


def _in_words(errors: Iterable[ErrorDetails], known: Iterable[str]) -> str:
    """What is wrong with settings, in one line; each of them in backticks.

    Args:
        known: the names of settings that there are, for one that there is not.
    """
    by_setting: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        # Which of a setting's types was tried stands last, as in workers, literal['auto'].
        setting = ".".join(part for part in map(str, error["loc"]) if part.isidentifier() or part.isdecimal())
        by_setting.setdefault(setting, []).append(error)
    told = [_said(_cut(setting), tried, known) for setting, tried in list(by_setting.items())[:_MOST_TOLD]]
    return "; ".join(told) + (f"; and {len(by_setting) - _MOST_TOLD:,} more" if len(by_setting) > _MOST_TOLD else "")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "…"


def _said(setting: str, tried: list[ErrorDetails], known: Iterable[str]) -> str:
    error = tried[0]
    if error["type"] == "extra_forbidden":
        close = get_close_matches(setting.rpartition(".")[2], list(known), 1)
        return f"`{setting}`: there is no such setting" + (f"; is {close[0]} meant?" if close else "")
    if error["type"] in ("value_error", "assertion_error"):
        message = str(error["msg"]).removeprefix("Value error, ")
        # A check of several settings names them itself.
        return message if "`" in message or not setting else f"`{setting}`: {message}"
    wanted = [words for one in tried if (words := _wanted(one))]
    if not wanted:
        return f"`{setting}`: {error['msg']}" if setting else str(error["msg"])
    if error["type"] == "missing":
        return f"`{setting}`: is missing"
    # A wrong number was understood as one; that it is not "auto" either says nothing.
    bound = [words for words in wanted if words.startswith(("at ", "more ", "less "))]
    return f"`{setting}`: give {' or '.join(bound or wanted)}, not {_cut(str(error['input']))}"


def _wanted(error: ErrorDetails) -> str:
    """What would have been right."""
    context: dict[str, Any] = error.get("ctx") or {}
    match error["type"]:
        case "greater_than_equal":
            return f"at least {context['ge']:,}"
        case "less_than_equal":
            return f"at most {context['le']:,}"
        case "greater_than":
            return f"more than {context['gt']:,}"
        case "less_than":
            return f"less than {context['lt']:,}"
        case "literal_error":
            return str(context["expected"]).replace("'", "")
        case "missing":
            return "it"
        case kind:
            return next((words for start, words in _KINDS.items() if kind.startswith(start)), "")


_KINDS = {
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "string_": "a text",
    "path_": "a path",
    "date_": "a date",
    "list_": "a list",
    "tuple_": "a list",
    "dict_": "settings by name",
    "model_": "settings by name",
}
