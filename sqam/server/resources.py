"""What is the same for everybody: the page's files, the sheet of pictures, the catalogue.

All of it is read into memory before the first request, so that no name in a request ever reaches
the file system.
"""

import gzip
import hashlib
import io
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from emoji_vae import images
from emoji_vae.errors import InputError

PAGE = Path(__file__).parent / "page"

_TEXTS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_BINARY = {".png": "image/png"}


class Resource:
    """Bytes of a media type, also compressed if that makes them smaller, with their ETag."""

    def __init__(self, content: bytes, media_type: str, text: bool = True) -> None:
        self.media_type = media_type
        tag = hashlib.sha256(content).hexdigest()[:32]
        # By whether the client takes gzip: the content, and its ETag.
        self._forms = {False: (content, f'"{tag}"')}
        compressed = gzip.compress(content, 9, mtime=0) if text else content
        self._forms[True] = (
            (compressed, f'"{tag}-gzip"') if len(compressed) < len(content) else self._forms[False]
        )

    def answer(self, request: Request) -> Response:
        """Return the resource, or 304 if the client has it; it must ask each time."""
        packed = _takes_gzip(request.headers.get("accept-encoding", ""))
        content, tag = self._forms[packed]
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or tag in [
            one.strip().removeprefix("W/") for one in known.split(",")
        ]:
            return Response(status_code=304, headers=headers)
        if content is not self._forms[False][0]:
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=self.media_type)


def _takes_gzip(accepted: str) -> bool:
    for one in accepted.lower().split(","):
        coding, _, quality = one.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return quality.strip("0.") != "" or not quality
    return False


def page(folder: Path = PAGE) -> dict[str, Resource]:
    """Read the page's files: name -> resource.

    Raises:
        InputError: a file of a kind that pages are not made of.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix not in _TEXTS | _BINARY:
            raise InputError(f"{str(path)!r} is no file of a page; take it out of there")
        media_type = (_TEXTS | _BINARY)[suffix]
        found[path.name] = Resource(path.read_bytes(), media_type, suffix in _TEXTS)
    return found


def sheet() -> Resource:
    """Return the pictures of all emojis, laid out as ``assets/emojis.png`` has them.

    That file holds premultiplied colours; this has those that a browser shows.
    """
    file = io.BytesIO()
    images.grid(images.sheet()).save(file, "PNG")
    return Resource(file.getvalue(), "image/png", text=False)
