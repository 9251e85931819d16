"""Settings from a mapping: a saved configuration, or what somebody typed."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from emoji_vae.errors import InputError

Settings = TypeVar("Settings")


def from_mapping(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Build a settings dataclass; lists, as JSON has them, become tuples.

    Args:
        kind: a dataclass whose fields are whole numbers, numbers, strings, truths, choices
            (``Literal``), tuples of one of these, other dataclasses, or one of several of them.
        values: of the fields that are not to be as by default.

    Raises:
        InputError: a setting that does not exist, or a value of another type than its field.
    """
    fields = typing.get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
        checked[name] = tuple(value) if isinstance(value, list) else value
        if not _fits(checked[name], fields[name]):
            wanted = getattr(fields[name], "__name__", None)
            wanted = str(fields[name]) if typing.get_args(fields[name]) else wanted
            raise InputError(f"the setting {name} cannot be {value!r:.60}; give {wanted}")
    return kind(**checked)


def typed(changes: Sequence[str], kind: Any) -> dict[str, Any]:
    """Read ``NAME=VALUE`` changes, values as JSON has them, for `from_mapping`.

    Args:
        changes: as they were typed; of several for one name the last one holds.
        kind: the settings' dataclass, whose names an error tells.

    Raises:
        InputError: a change of another form.
    """
    values = {}
    for change in changes:
        name, _, text = change.partition("=")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError as error:
            known = ", ".join(field.name for field in dataclasses.fields(kind))
            raise InputError(
                f"no setting {change!r:.60}; write NAME=VALUE, VALUE as JSON, NAME one of {known}"
            ) from error
    return values


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(one, arguments[0]) for one in value)
    if hint in (int, float):
        # True is 1 to Python, but nobody means it.
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, hint)
