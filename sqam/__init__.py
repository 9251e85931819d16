"""Ranks emojis for sentences: a Siamese network scores sentences against pictures' codes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqam.encoder import Encoder
    from sqam.scorer import Scorer

__all__ = ["Encoder", "Scorer"]


def __getattr__(name: str) -> Any:
    # `sqam --help` imports this package and must not wait for NumPy and ONNX Runtime.
    if name == "Encoder":
        from sqam.encoder import Encoder

        return Encoder
    if name == "Scorer":
        from sqam.scorer import Scorer

        return Scorer
    raise AttributeError(f"module 'sqam' has no attribute {name!r}")
