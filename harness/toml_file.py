"""TOML files that people write, read into dataclasses: strictly, and each wrong key named with its line."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, get_origin

from cattrs import (
    BaseConverter,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.cols import homogenous_tuple_structure_factory

from harness.errors import UsageError

T = TypeVar("T")
Key = str | int
Keys = tuple[Key, ...]

_SHOWN_PROBLEMS = 8
_TABLE = re.compile(r"\s*(\[\[|\[)\s*([\w.\-]+)\s*\]")
_ASSIGNMENT = re.compile(r"\s*([\w.\-]+)\s*=")
_WANTED = {str: "text: write it in quotes", int: "a whole number", bool: "true or false"}


def converter() -> Converter:
    """A converter that takes no value for another: text is no list of letters, and "no" is not true."""
    made = Converter(forbid_extra_keys=True)
    for kind in _WANTED:
        made.register_structure_hook(kind, _plain)
    made.register_structure_hook_factory(_is_tuple, _list_reader)
    return made


def _plain(value: object, kind: type) -> object:
    if issubclass(kind, StrEnum):  # cattrs takes it for the text that it also is
        if isinstance(value, str) and value in list(kind):
            return kind(value)
        raise ValueError(f"{value!r} is none of {', '.join(kind)}")
    if type(value) is kind:
        return value
    raise ValueError(f"{value!r} is not {_WANTED[kind]}")


def _is_tuple(kind: object) -> bool:
    return get_origin(kind) is tuple


def _list_reader(kind: Any, by: BaseConverter) -> Callable[[Any, Any], Any]:  # noqa: ANN401 - cattrs' own
    read = homogenous_tuple_structure_factory(kind, by)

    def listed(value: object, of: type) -> object:
        if isinstance(value, list):
            return read(value, of)
        raise ValueError(f"{value!r} is not a list: write it in brackets")

    return listed


def load(
    file: Path, kind: type[T], by: Converter, *, called: str, remedy: str, renamed: Mapping[str, str] = {}
) -> T:
    """Read a file into a dataclass.

    Args:
        file: the TOML file.
        kind: the dataclass.
        by: a converter made by `converter`, with what hooks the dataclass needs.
        called: what sort of file it is, for the error when it is not there.
        remedy: what to do about wrong keys.
        renamed: the keys of fields that are called otherwise in the file.

    Raises:
        UsageError: the file is not there, is no TOML, or has wrong keys: each with its line.
    """
    try:
        text = file.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except FileNotFoundError as error:
        raise UsageError(f"{file}: there is no such {called}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    try:
        return by.structure(data, kind)
    except (ClassValidationError, IterableValidationError) as error:
        found = [
            (tuple(renamed.get(str(key), key) for key in keys), what) for keys, what in _problems(error, ())
        ]
        problems = [f"{_where(text, keys)}{what}" for keys, what in found]
        more = len(problems) - _SHOWN_PROBLEMS
        shown = "\n".join(problems[:_SHOWN_PROBLEMS]) + (f"\nand {more} more" if more > 0 else "")
        number = f"{len(problems)} wrong {'key' if len(problems) == 1 else 'keys'}"
        raise UsageError(f"{file}: {number}", log=shown, remedy=remedy) from error


def _problems(error: BaseException, keys: Keys) -> Iterator[tuple[Keys, str]]:
    """Every single fault below an error of cattrs: the keys that lead to it, and what it is."""
    if isinstance(error, ClassValidationError):
        named, unnamed = error.group_exceptions()
        inner: list[tuple[Exception, Key]] = [(e, note.name) for e, note in named]
    elif isinstance(error, IterableValidationError):
        listed, unnamed = error.group_exceptions()
        inner = [(e, note.index) for e, note in listed]
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            yield (*keys, name), "there is no such key"
        return
    else:
        yield keys, "is missing" if isinstance(error, KeyError) else str(error)
        return
    for each, key in inner:
        yield from _problems(each, (*keys, key))
    for each in unnamed:
        yield from _problems(each, keys)


def _where(text: str, keys: Keys) -> str:
    """The line on which these keys stand, or the table that lacks the last of them, and the keys."""
    said = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    best, line = 0, 0
    for number, here in _lines(text):
        shared = 0
        for ours, theirs in zip(keys, here, strict=False):
            if ours != theirs:
                break
            shared += 1
        # A line for another key of the same table says nothing of this one.
        if shared > best and shared == len(here):
            best, line = shared, number
    return f"line {line}: {said}: " if line else f"{said}: "


def _lines(text: str) -> Iterator[tuple[int, Keys]]:
    """The lines that begin a table or give a key its value, each with the keys that lead there."""
    table: Keys = ()
    counted: dict[Keys, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _TABLE.match(line):
            table = ()
            names = found[2].split(".")
            for name in names[:-1]:
                table = (*table, name)
                if table in counted:
                    table = (*table, counted[table])
            table = (*table, names[-1])
            if found[1] == "[[":
                counted[table] = counted.get(table, -1) + 1
                table = (*table, counted[table])
            yield number, table
        elif found := _ASSIGNMENT.match(line):
            yield number, (*table, *found[1].split("."))
