"""What one server bears: sizes, counts and times. What a request may ask for is in `schemas`."""

import dataclasses
import math

from emoji_vae.errors import InputError

_RANGES: dict[str, tuple[float, float]] = {
    "body_bytes": (1_000, 100_000_000),
    "pictures": (1, 256),
    "picture_bytes": (1_000, 100_000_000),
    "picture_pixels": (36 * 36, 50_000_000),
    "in_flight": (1, 10_000),
    "batch_texts": (1, 1_024),
    "batch_characters": (1_000, 4_000_000),
    "drawing_threads": (1, 64),
    "waiting": (0, 1_000),
    "timeout": (0.1, 3_600),
    "slow_timeout": (0.1, 3_600),
    "head_timeout": (0.1, 3_600),
    "drain": (0, 600),
}


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """The limits of a server.

    Attributes:
        body_bytes: most bytes of a JSON body.
        pictures: most pictures of one upload.
        picture_bytes: most bytes of one picture.
        picture_pixels: most pixels of one picture; decoding takes some 12 bytes for each.
        in_flight: requests under ``/v1`` that are handled at once; one more is answered 429.
        batch_texts, batch_characters: texts that are ranked together, and their length.
        drawing_threads: threads that draw; one more imagines, one reads pictures.
        waiting: requests of each slow kind that may wait for a thread; one more is answered 429.
        timeout, slow_timeout: seconds that a request may take, from its head to the end of its
            answer; slow ones are those that draw.
        head_timeout: seconds that the head of a request may take to come.
        drain: seconds between SIGTERM, when ``/readyz`` says 503, and the end of listening.

    Raises:
        InputError: a number out of its range.
    """

    body_bytes: int = 1_000_000
    pictures: int = 16
    picture_bytes: int = 2_000_000
    picture_pixels: int = 16_000_000
    in_flight: int = 128
    batch_texts: int = 64
    batch_characters: int = 40_000
    drawing_threads: int = 2
    waiting: int = 16
    timeout: float = 10.0
    slow_timeout: float = 60.0
    head_timeout: float = 10.0
    drain: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least, most = _RANGES[field.name]
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole or (field.type is float and isinstance(value, float))):
                raise InputError(f"{field.name} is {value!r:.60}; it must be a number")
            if not (math.isfinite(value) and least <= value <= most):
                raise InputError(f"{field.name} is {value}; it must be {least} to {most}")

    @property
    def upload_bytes(self) -> int:
        """Most bytes of one upload: its pictures, and a JSON body's for the text and the rest."""
        return self.pictures * self.picture_bytes + self.body_bytes
