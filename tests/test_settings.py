"""Settings from a mapping: every type of field, and what each refuses."""

import dataclasses
from typing import Literal

import pytest

from emoji_vae.errors import InputError
from emoji_vae.settings import from_mapping, typed


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    size: int = 1
    rate: float = 0.5
    mask: bool = True
    name: str = "a"
    pool: Literal["max", "mean"] = "max"
    units: tuple[int, ...] = (1, 2)
    clip: float | None = None


def test_what_is_not_given_is_as_by_default():
    assert from_mapping(Outer, {}) == Outer()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inner", Inner(3)),
        ("size", 2),
        ("rate", 0.25),
        ("rate", 1),  # JSON writes 1.0 as 1 at times
        ("mask", False),
        ("name", "b"),
        ("pool", "mean"),
        ("units", (3,)),
        ("clip", 1.0),
        ("clip", None),
    ],
)
def test_fits(name, value):
    assert getattr(from_mapping(Outer, {name: value}), name) == value


def test_lists_become_tuples():
    assert from_mapping(Outer, {"units": [4, 5]}).units == (4, 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inner", {"size": 3}),
        ("size", 2.5),
        ("size", True),
        ("size", "2"),
        ("size", None),
        ("rate", "fast"),
        ("mask", 1),
        ("name", 3),
        ("pool", "sum"),
        ("units", 3),
        ("units", [1, "2"]),
        ("clip", "no"),
    ],
)
def test_does_not_fit(name, value):
    with pytest.raises(InputError, match=f"the setting {name} cannot be") as error:
        from_mapping(Outer, {name: value})
    assert "\n" not in str(error.value)


def test_unknown():
    with pytest.raises(InputError, match=r"unknown setting 'sise'; known: .*size"):
        from_mapping(Outer, {"sise": 3})


def test_typed():
    found = typed(["size=2", "units=[1, 2]", 'name="a=b"', "size=3", "clip=null"], Outer)
    assert found == {"size": 3, "units": [1, 2], "name": "a=b", "clip": None}
    assert typed([], Outer) == {}


@pytest.mark.parametrize("change", ["size", "size=", "size=two", ""])
def test_typed_in_another_form(change):
    with pytest.raises(InputError, match=r"write NAME=VALUE.*one of inner, size") as error:
        typed([change], Outer)
    assert "\n" not in str(error.value) and repr(change) in str(error.value)
