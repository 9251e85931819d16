"""Reads requests: bounded, strict, and nothing of them but their own bytes in memory."""

import json
import re
from collections.abc import AsyncGenerator, Iterable
from typing import Any, NoReturn, TypeVar

import pydantic
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from sqam.bulk import mended
from sqam.server.problems import ProblemError

Read = TypeVar("Read", bound=pydantic.BaseModel)

_MOST_ERRORS = 20
_MOST_FIELDS = 16
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


async def json_body(request: Request, model: type[Read], limit: int) -> Read:
    """Read a JSON body of at most ``limit`` bytes and check it.

    Lone surrogates become U+FFFD, as everywhere in the project.

    Raises:
        ProblemError: 415 another type of body, 413 a longer one, 400 no JSON, 422 not what was
            asked for.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/json" or options.get(b"charset", b"utf-8").lower() != b"utf-8":
        raise ProblemError(
            415, "send the body as JSON in UTF-8, with Content-Type: application/json"
        )
    _refuse_encoding(request)
    content = bytearray()
    async for chunk in _bounded(request, limit):
        content += chunk
    try:
        body = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
        if rb"\ud" in content.lower():
            body = _mended(body)
    except RecursionError as error:
        raise ProblemError(400, "the body is nested too deeply; send flat JSON") from error
    except ValueError as error:
        said = "it is empty" if not content else f"{error}"
        raise ProblemError(400, f"the body is no JSON ({said[:100]}); mend it") from error
    if not isinstance(body, dict):
        raise ProblemError(422, "the body is no JSON object; send one", [])
    return _checked(model, body)


def query(request: Request, model: type[Read]) -> Read:
    """Read the query of a URL and check it; numbers are written as JSON has them.

    Raises:
        ProblemError: 422 not what was asked, or a parameter that is given twice.
    """
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            _refuse(name, "is given twice; give it once")
        given[name] = json.loads(value) if _NUMBER.fullmatch(value) else mended(value)
    return _checked(model, {mended(name): value for name, value in given.items()})


async def form(
    request: Request,
    model: type[Read],
    files: str,
    count: int,
    size: int,
    limit: int,
) -> tuple[Read, list[tuple[str, bytes]]]:
    """Read a form with files, which never leave the memory.

    Args:
        request: whose body is multipart/form-data.
        model: of the fields that are no files; none may be given twice.
        files: the name of the field that holds the files.
        count: of files, at least 1 and at most this.
        size: most bytes of one.
        limit: most bytes of the body.

    Returns:
        The fields, and the files with their names as given.

    Raises:
        ProblemError: 415, 413, 400 or 422, as `json_body`.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ProblemError(415, "send a form, with Content-Type: multipart/form-data; boundary=…")
    _refuse_encoding(request)
    parser = MultiPartParser(
        request.headers,
        _bounded(request, limit),
        max_files=count + 1,
        max_fields=_MOST_FIELDS,
        max_part_size=limit,
    )
    parser.spool_max_size = limit + 1  # what is longer would go to a temporary file
    try:
        parsed = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(400, f"the form cannot be read ({error.message}); mend it") from error
    try:
        return _form(parsed, model, files, count, size)
    finally:
        await parsed.close()


def _form(
    parsed: FormData, model: type[Read], files: str, count: int, size: int
) -> tuple[Read, list[tuple[str, bytes]]]:
    fields: dict[str, Any] = {}
    uploads: list[tuple[str, bytes]] = []
    for name, value in parsed.multi_items():
        name = mended(name)
        if isinstance(value, UploadFile):
            if name != files:
                _refuse(name, f"is no field for files; call it {files}")
            content = value.file.read()
            if len(content) > size:
                detail = f"{files} {len(uploads)} has {len(content)} bytes; send at most {size}"
                raise ProblemError(413, detail)
            uploads.append((mended(value.filename or ""), content))
        elif name in fields:
            _refuse(name, "is given twice; give it once")
        else:
            fields[name] = mended(value)
    checked = _checked(model, fields)
    if not uploads:
        _refuse(files, "is missing; send at least one file")
    if len(uploads) > count:
        _refuse(files, f"is there more than {count} times; send at most {count} files")
    return checked, uploads


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes]:
    """Yield the body; refuse it as soon as it is longer than ``limit`` bytes, or says so."""
    too_long = ProblemError(413, f"the body is longer than {limit} bytes; send less at once")
    promised = request.headers.get("content-length", "0")
    if promised.isdecimal() and int(promised[:20]) > limit:
        raise too_long
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limit:
            raise too_long
        yield chunk


def _refuse_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise ProblemError(
            415, "the body is compressed; send it as it is, without Content-Encoding"
        )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {mended(name): _mended(one) for name, one in value.items()}
    return value


def _checked(model: type[Read], given: Any) -> Read:
    try:
        return model.model_validate(given)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        errors = [
            {"pointer": _pointer(one["loc"]), "detail": one["msg"]} for one in found[:_MOST_ERRORS]
        ]
        first = errors[0]
        where = f"{first['pointer']}: " if first["pointer"] else ""
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ProblemError(422, f"{where}{first['detail']}{more}", errors) from error


def _pointer(location: Iterable[str | int]) -> str:
    """Return a JSON pointer, as RFC 6901 has it."""
    parts = [str(part)[:60].replace("~", "~0").replace("/", "~1") for part in location]
    return "".join(f"/{part}" for part in parts)


def _refuse(name: str, what: str) -> NoReturn:
    pointer = _pointer([name])
    raise ProblemError(422, f"{pointer} {what}", [{"pointer": pointer, "detail": what}])
