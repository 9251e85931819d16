"""What a server bears: the ranges of its limits, and what the command says of them."""

import dataclasses
import re
from typing import Any

import pytest

from emoji_vae import images
from emoji_vae.errors import InputError
from sqam import cli
from sqam.server import settings as module
from sqam.server.settings import ServerSettings

RANGES: dict[str, Any] = module._RANGES  # of whole numbers, and of others


def test_every_limit_has_a_range_that_holds_its_default():
    names = {field.name for field in dataclasses.fields(ServerSettings)}
    assert set(RANGES) == names
    for name, (least, most) in RANGES.items():
        assert least <= getattr(ServerSettings(), name) <= most
        for value in (least, most):
            assert getattr(ServerSettings(**{name: value}), name) == value


@pytest.mark.parametrize("name", sorted(RANGES))
def test_what_is_out_of_range_is_named(name):
    least, most = RANGES[name]
    for value in (least - 1, most + 1):
        with pytest.raises(InputError, match=rf"^{name} is {value}; it must be {least} to {most}$"):
            ServerSettings(**{name: value})


@pytest.mark.parametrize("value", [True, "5", None, 2.5, float("nan"), float("inf")])
def test_a_count_is_a_whole_number(value):
    with pytest.raises(InputError, match="in_flight is"):
        ServerSettings(in_flight=value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "5"])
def test_seconds_are_a_finite_number(value):
    with pytest.raises(InputError, match="timeout is"):
        ServerSettings(timeout=value)
    assert ServerSettings(timeout=2.5).timeout == 2.5


def test_no_more_pixels_than_pictures_may_have_anywhere():
    assert RANGES["picture_pixels"][1] == images.MAX_PIXELS


def test_an_upload_holds_its_pictures_and_a_body():
    settings = ServerSettings(pictures=3, picture_bytes=5_000, body_bytes=2_000)
    assert settings.upload_bytes == 3 * 5_000 + 2_000


def test_the_help_tells_the_defaults():
    for name, (_, help) in cli._LIMITS.items():
        told = re.search(r"\((\d+)\)$", help)
        assert told and float(told[1]) == getattr(ServerSettings(), name), name
