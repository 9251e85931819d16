"""Icon sets of Iconify: which emoji each drawing shows, and the drawing itself as PNG."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emoji_vae.catalogue import bare
from emoji_vae.errors import InputError, MissingExtraError
from pipelines.sources import read_members

_MEMBERS = ("package/icons.json", "package/chars.json")


@dataclasses.dataclass(frozen=True)
class IconSet:
    """The drawings of one set, and the names that it gives them."""

    icons: Mapping[str, Mapping[str, Any]]
    """``{name: icon}``: ``body``, the SVG inside, and what differs from the set's ``box``."""
    aliases: Mapping[str, Mapping[str, Any]]
    """``{other name: alias}``: ``parent``, the icon's name, and what differs from it."""
    characters: Mapping[str, str]
    """``{hexcode: name}``; empty where the set does not say which emojis it shows."""
    box: Mapping[str, float]
    """``left``, ``top``, ``width`` and ``height`` of the set."""

    @classmethod
    def read(cls, archive: str | os.PathLike[str]) -> "IconSet":
        """Read the set from the archive of its package.

        Raises:
            InputError: the archive cannot be read, or holds no set of icons.
        """
        try:
            found = read_members(archive, list(_MEMBERS))
            icons, characters = (json.loads(found[member]) for member in _MEMBERS)
            sides = {"left": 0, "top": 0, "width": 16, "height": 16}  # what Iconify leaves unsaid
            box = {side: icons.get(side, default) for side, default in sides.items()}
            return cls(icons["icons"], icons.get("aliases", {}), characters, box)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise InputError(
                f"the archive {str(Path(archive))!r} holds no icon set of Iconify; fetch it again"
            ) from error

    def find(self, sequence: str) -> str | None:
        """Return the name of an emoji's drawing, or None where the set names none for it."""
        name = self.characters.get(hexcode(bare(sequence)))
        return name if name in self.icons or name in self.aliases else None

    def draw(self, name: str, size: int) -> bytes:
        """Draw an icon, by its name or an alias, as PNG; its longer side is ``size`` pixels.

        Raises:
            KeyError: the set has no such icon.
            MissingExtraError: the package that draws SVG is missing.
        """
        try:
            import resvg_py
        except ImportError as error:
            raise MissingExtraError("resvg-py (it draws emojis from SVG)", "train") from error
        alias = self.aliases.get(name, {}) if name not in self.icons else {}
        icon = {**self.box, **self.icons[alias.get("parent", name)], **alias}
        left, top, width, height = (icon[side] for side in self.box)
        body = icon["body"]
        if icon.get("hFlip"):  # the one transformation that the sets of `sources` use
            body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{body}</svg>'
        )
        # No fonts: a drawing must not depend on what the machine has.
        png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
        return bytes(png)


def hexcode(sequence: str) -> str:
    """Return the code points of a sequence as the packages write them, such as ``1f9d1-200d``."""
    return "-".join(f"{ord(character):04x}" for character in sequence)
