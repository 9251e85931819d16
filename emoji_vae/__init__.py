"""Turns emojis and other pictures into codes of 16 numbers, and codes into pictures.

>>> from emoji_vae import Codec, EmojiCodes
>>> EmojiCodes.load().select(["😄", "⚾"]).codes.shape
(2, 16)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emoji_vae.codec import Codec as Codec
    from emoji_vae.codes import EmojiCodes as EmojiCodes

__version__ = "0.1.0"
__all__ = ["Codec", "EmojiCodes"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that a command's --help need not wait for NumPy and the runtime.
    if name == "Codec":
        from emoji_vae.codec import Codec

        return Codec
    if name == "EmojiCodes":
        from emoji_vae.codes import EmojiCodes

        return EmojiCodes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
