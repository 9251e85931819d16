"""Requests are read strictly, in bounds, and with one line for whatever is wrong."""

import asyncio
import json
import tempfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="needs the extra serve")

from starlette.requests import ClientDisconnect, Request

from sqam.server import bodies, schemas
from sqam.server.problems import ProblemError

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


def request(chunks=(b"",), headers=JSON, query=b"", whole=True):
    """A request whose body comes in these chunks; the client leaves after them if not whole."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": query,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if whole:
        messages[-1]["more_body"] = False
    messages.append({"type": "http.disconnect"})

    async def receive():
        return messages.pop(0)

    return Request(scope, receive)


def read(*chunks, model=schemas.Rank, limit=1_000, **options):
    return asyncio.run(bodies.json_body(request(chunks, **options), model, limit))


def refused(*chunks, **options):
    with pytest.raises(ProblemError) as error:
        read(*chunks, **options)
    problem = error.value
    assert "\n" not in problem.detail and len(problem.detail) < 400
    return problem


def test_json():
    body = read(b'{"text": "good m', b'orning", "k": 3}')
    assert (body.given, body.k, body.among) == (["good morning"], 3, None)
    body = read('{"texts": ["é", ""], "among": ["⚾"]}'.encode())
    assert (body.given, body.among) == (["é", ""], ["⚾"])
    assert read(b'{"texts": []}').given == []


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin-1",
        "multipart/form-data; boundary=b",
        ";;;",
    ],
)
def test_another_type_of_body(kind):
    assert refused(b"{}", headers={} if kind is None else {"content-type": kind}).status == 415


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; Charset=UTF-8"])
def test_types_of_json(kind):
    assert read(b'{"text": ""}', headers={"content-type": kind}).given == [""]


def test_compressed_bodies_are_refused():
    assert refused(b"{}", headers={**JSON, "content-encoding": "gzip"}).status == 415


def test_long_bodies_are_refused_before_they_are_read():
    said = refused(b'{"text": ""}', headers={**JSON, "content-length": "1001"})
    assert said.status == 413 and "1000 bytes" in said.detail
    # One that does not say how long it is ends where it is too long.
    filled = [b'{"text": "', b"a" * 980, b"a" * 980]
    unread = request([*filled, b"never read"])
    with pytest.raises(ProblemError) as error:
        asyncio.run(bodies.json_body(unread, schemas.Rank, 1_000))
    assert error.value.status == 413
    assert asyncio.run(unread.receive())["body"] == b"never read"
    assert len(read(b'{"text": "', b"a" * 988, b'"}').text) == 988
    assert refused(b'{"text": "', b"a" * 989, b'"}').status == 413
    # What is no length says nothing.
    assert read(b'{"text": ""}', headers={**JSON, "content-length": "9" * 30 + "x"})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"{'text': 'a'}",
        b'{"text": "a"} {}',
        b'{"text": "\xff"}',
        b'\xef\xbb\xbf{"text": "a"}',
        '{"text": "a"}'.encode("utf-16"),
        b'{"text": "a\nb"}',
        b'{"text": "a", "k": NaN}',
        b'{"text": "a", "k": Infinity}',
        b'{"text": "a", "k": -Infinity}',
        b"[" * 100_000,
        # Flat enough for the parser, and not for what mends strings.
        b'{"text": "\\ud800", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"k": ' + b"9" * 10_000 + b"}",
    ],
)
def test_no_json(content):
    assert refused(content, limit=1_000_000).status == 400


@pytest.mark.parametrize("content", [b"[]", b"null", b'"text"', b"5", b"true"])
def test_no_object(content):
    assert refused(content).status == 422


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, [""]),
        ({"text": "a", "texts": ["b"]}, [""]),
        ({"text": 5}, ["/text"]),
        ({"text": None}, ["/text"]),
        ({"texts": "a"}, ["/texts"]),
        ({"texts": ["a", 5, None]}, ["/texts/1", "/texts/2"]),
        ({"text": "a", "k": "5"}, ["/k"]),
        ({"text": "a", "k": True}, ["/k"]),
        ({"text": "a", "k": 5.0}, ["/k"]),
        ({"text": "a", "k": 0}, ["/k"]),
        ({"text": "a", "k": 101}, ["/k"]),
        ({"text": "a", "k": 10**30}, ["/k"]),
        ({"text": "a", "among": []}, ["/among"]),
        ({"text": "a", "among": ["x" * 65]}, ["/among/0"]),
        ({"text": "a", "extra": 1}, ["/extra"]),
        ({"text": "a", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"text": "a", "TEXT": "a"}, ["/TEXT"]),
    ],
)
def test_what_is_wrong_is_pointed_at(body, pointers):
    said = refused(json.dumps(body).encode())
    assert said.status == 422
    assert [one["pointer"] for one in said.errors] == pointers
    assert all(one["detail"] for one in said.errors)
    assert said.detail.startswith(f"{pointers[0]}: " if pointers[0] else "")


def test_lengths_and_counts_of_texts():
    assert read(json.dumps({"text": "é" * 20_000}).encode(), limit=10**6)
    said = refused(json.dumps({"text": "é" * 20_001}).encode(), limit=10**6)
    assert said.errors[0]["pointer"] == "/text"
    assert len(read(json.dumps({"texts": [""] * 100}).encode()).given) == 100
    said = refused(json.dumps({"texts": [""] * 101}).encode())
    assert said.errors[0]["pointer"] == "/texts"


def test_many_errors_are_cut():
    said = refused(json.dumps({"texts": [1] * 50}).encode())
    assert len(said.errors) == 20 and "(and 49 more)" in said.detail
    said = refused(json.dumps({"text": "a", "x" * 500: 1}).encode())
    assert said.errors[0]["pointer"] == "/" + "x" * 60


def test_lone_surrogates_are_mended():
    assert read(rb'{"text": "a\ud83d b \uDE00\ud83d\ude00"}').text == "a\ufffd b \ufffd😀"
    said = refused(rb'{"text": "a", "\ud800": 1}')
    assert said.errors[0]["pointer"] == "/\ufffd"


def test_a_client_that_leaves():
    with pytest.raises(ClientDisconnect):
        read(b'{"text": ', whole=False)


@given(st.binary(max_size=200))
@example(b'{"text": "\\ud800"}')
def test_any_bytes_are_read_or_refused(content):
    try:
        read(content)
    except ProblemError as problem:
        assert 400 <= problem.status < 500 and problem.detail.encode()


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from([schemas.Rank, schemas.Emojify, schemas.Draw, schemas.Morph, schemas.Imagine]),
    st.dictionaries(
        st.sampled_from(
            ["text", "texts", "k", "among", "blend", "offsets", "from", "to", "steps", "n", "seed"]
        ),
        ANY,
        max_size=4,
    ),
)
def test_any_json_is_read_or_refused(model, body):
    try:
        found = read(json.dumps(body).encode(), model=model, limit=10**6)
    except ProblemError as problem:
        assert problem.status in (400, 422)
        json.dumps(problem.errors, ensure_ascii=False).encode()
    else:
        assert isinstance(found, model)


# Queries


def asked(query, model=schemas.Generate):
    return bodies.query(request(query=query), model)


def test_queries():
    assert asked(b"") == schemas.Generate(n=8, seed=0, temperature=1.0)
    found = asked(b"n=3&seed=7&temperature=0.5")
    assert (found.n, found.seed, found.temperature) == (3, 7, 0.5)
    assert asked(b"temperature=2").temperature == 2


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        (b"n=0", "/n"),
        (b"n=17", "/n"),
        (b"n=x", "/n"),
        (b"n=", "/n"),
        (b"n=3.0", "/n"),
        (b"n=%203", "/n"),
        (b"n=1_0", "/n"),
        (b"n=03", "/n"),
        (b"n=true", "/n"),
        (b"n=1e400", "/n"),
        (b"n=" + b"9" * 5_000, "/n"),
        (b"n=%ff", "/n"),
        ("n=٣".encode(), "/n"),
        (b"n=1&n=2", "/n"),
        (b"seed=-1", "/seed"),
        (b"seed=2147483648", "/seed"),
        (b"temperature=nan", "/temperature"),
        (b"temperature=NaN", "/temperature"),
        (b"temperature=Infinity", "/temperature"),
        (b"temperature=1e999", "/temperature"),
        (b"temperature=-0.1", "/temperature"),
        (b"m=1", "/m"),
        (b"%ed%a0%80=1", "/\ufffd\ufffd\ufffd"),
    ],
)
def test_queries_are_refused(query, pointer):
    with pytest.raises(ProblemError) as error:
        asked(query)
    assert error.value.status == 422
    assert [one["pointer"] for one in error.value.errors or ()] == [pointer]


@given(st.binary(max_size=60))
def test_any_query_is_read_or_refused(query):
    try:
        asked(query)
    except ProblemError as problem:
        assert problem.status == 422
        json.dumps(problem.errors, ensure_ascii=False).encode()


# Forms


def part(name, content, filename=None):
    disposition = f'form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    head = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode("utf-8", "surrogateescape")
    return head + content + b"\r\n"


END = b"--b--\r\n"


def form(*chunks, headers=FORM, count=2, size=100, limit=10_000):
    read = bodies.form(
        request(chunks, headers), schemas.RankPictures, "pictures", count, size, limit
    )
    return asyncio.run(read)


def form_refused(*chunks, **options):
    with pytest.raises(ProblemError) as error:
        form(*chunks, **options)
    return error.value


def test_forms(monkeypatch):
    def no_file(*arguments, **options):
        raise AssertionError("a file was opened")

    monkeypatch.setattr(tempfile, "TemporaryFile", no_file)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", no_file)
    whole = part("text", "é".encode()) + part("pictures", b"\x00\r\n--", "../../a.png")
    fields, files = form(whole[:40], whole[40:] + part("pictures", b"", ""), END)
    assert fields.text == "é"
    assert files == [("../../a.png", b"\x00\r\n--"), ("", b"")]
    # Longer than what goes to a file by default.
    large = b"a" * 3_000_000
    _, files = form(part("text", b"") + part("pictures", large, "a") + END, size=10**7, limit=10**7)
    assert files == [("a", large)]


@pytest.mark.parametrize(
    ("content", "status", "pointer"),
    [
        (part("text", b"a") + END, 422, "/pictures"),
        (part("pictures", b"a", "a") + END, 422, "/text"),
        (part("text", b"a") * 2 + part("pictures", b"a", "a") + END, 422, "/text"),
        (part("text", b"a") + part("other", b"a", "a") + END, 422, "/other"),
        (part("text", b"a") + part("pictures", b"a") + END, 422, "/pictures"),
        (part("text", b"a") + part("x", b"") + part("pictures", b"a", "a") + END, 422, "/x"),
        (part("text", b"a") + part("pictures", b"a", "a") * 3 + END, 422, "/pictures"),
        (part("text", b"a") + part("pictures", b"a", "a") * 4 + END, 400, None),
        (part("text", b"a") + part("pictures", b"a" * 101, "a") + END, 413, None),
        (part("text", b"a" * 20_001) + part("pictures", b"a", "a") + END, 422, "/text"),
        (part("x", b"") * 17 + END, 400, None),
        (b"nothing of a form", 400, None),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\n\r\n" + END, 400, None),
        (b"--b\r\n\x00: \xff\r\n\r\n" + END, 400, None),
    ],
)
def test_forms_are_refused(content, status, pointer):
    said = form_refused(content, limit=50_000)
    assert said.status == status, said.detail
    if pointer is not None:
        assert [one["pointer"] for one in said.errors] == [pointer]


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_another_type_of_form(kind):
    assert form_refused(END, headers={"content-type": kind}).status == 415


def test_long_forms_are_refused():
    content = part("text", b"a") + part("pictures", b"a" * 100, "a") + END
    assert form_refused(content, limit=len(content) - 1).status == 413
    assert form(content, limit=len(content))


def test_names_of_files_are_valid_unicode():
    content = part("text", b"") + part("pictures", b"a", "\udcff\udcfe") + END
    _, [(name, _)] = form(content)
    assert name.encode()


@given(
    st.lists(st.binary(max_size=60), max_size=5).map(b"\r\n".join)
    | st.lists(
        st.builds(
            lambda name, content, file: part(name, content, file),
            st.sampled_from(["text", "pictures", "", "x"]),
            st.binary(max_size=120),
            st.none() | st.text(st.characters(codec="latin-1"), max_size=9),
        ),
        max_size=4,
    ).map(lambda parts: b"".join([*parts, END])),
    st.binary(max_size=12),
)
def test_any_form_is_read_or_refused(content, boundary):
    for kind in ("b", boundary.decode("latin-1")):
        headers = {"content-type": f"multipart/form-data; boundary={kind}"}
        try:
            form(content, headers=headers)
        except ProblemError as problem:
            assert 400 <= problem.status < 500
