"""The load counts what happens to it, on a server whose answers are known; no time is asserted."""

import json

import pytest

from pipelines import benchmark_server
from pipelines.benchmark_server import LOST, UNSENT, Phase, milliseconds

# A server that answers 200, 429, 500 in turn, and every fourth request not at all.
SCRIPTED = """
import asyncio, itertools

answers = itertools.cycle([200, 429, 500, None])

async def talk(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
        except asyncio.IncompleteReadError:
            break
        length = int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
        await reader.readexactly(length)
        status = next(answers)
        if status is None:
            break
        # In two parts, the second without the first would be no answer.
        writer.write(b"HTTP/1.1 %d x\\r\\nContent-Le" % status)
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(b"ngth: 2\\r\\n\\r\\n{}")
    writer.close()

async def main():
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print("listening on http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(benchmark_server, "COMMAND", ("-c", SCRIPTED))
    monkeypatch.setattr(benchmark_server, "WARM_UP_SECONDS", 0.02)
    monkeypatch.setattr(benchmark_server, "RECOVERY_SECONDS", 0.2)


def test_results(quick, tmp_path, capsys):
    path = tmp_path / "server.json"
    arguments = ["--rate", "40", "--seconds", "1", "--overload-seconds", "1"]
    assert benchmark_server.main([*arguments, "--results", str(path)]) == 0
    found = json.loads(path.read_text("utf-8"))
    # The warm-up is one request, so 200 has come once: 40 requests later each has come ten times.
    first, overload = found["first"], found["overload"]
    assert first["requests"] == 40 and overload["requests"] == 5 * 40
    assert first["answers"] == {"200": 10, "429": 10, "500": 10, LOST: 10}
    assert first["errors"] == 20 and first["answered with 200 a second"] == 10.0
    assert overload["answers"] == {"200": 50, "429": 50, "500": 50, LOST: 50}
    for times in (first["milliseconds"], first["milliseconds to a 429"]):
        assert 0 < times["median"] <= times["99 %"] <= times["most"]
    assert found["seconds to full speed"] is None  # it never answers all
    assert set(found["megabytes"]) == {"before", "after the first", "after the overload"}
    assert "python" in found["versions"] and found["command"].startswith("python -m pipelines.")
    assert "full speed" in capsys.readouterr().out


def test_what_finds_no_connection_is_not_sent(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_server, "CONNECTIONS", 0)
    path = tmp_path / "server.json"
    arguments = ["--rate", "10", "--seconds", "1", "--overload-seconds", "1"]
    assert benchmark_server.main([*arguments, "--results", str(path)]) == 0
    first = json.loads(path.read_text("utf-8"))["first"]
    assert first["answers"] == {UNSENT: 10} and first["milliseconds"] == {}


def test_a_server_that_does_not_start_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark_server, "COMMAND", ("-c", "raise SystemExit(2)"))
    path = tmp_path / "server.json"
    assert benchmark_server.main(["--results", str(path)]) == 2
    assert "exited with 2" in capsys.readouterr().err and not path.exists()


@pytest.mark.parametrize("option", ["--rate", "--seconds", "--overload-seconds"])
def test_no_load(option, capsys):
    assert benchmark_server.main([option, "0"]) == 2
    assert option in capsys.readouterr().err


def test_milliseconds():
    assert milliseconds([]) == {}
    # Of 200 numbers 99 % are 198: the 198th.
    found = milliseconds(list(range(200, 0, -1)))
    assert found == {"median": 100.5, "99 %": 198, "most": 200}
    assert milliseconds([7.0]) == {"median": 7.0, "99 %": 7.0, "most": 7.0}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([(0.1, 200, 1.0), (0.6, 200, 1.0)], 0.0),
        # Windows of half a second: a 429 in the first, a slow answer in the second.
        ([(0.1, 429, 1.0), (0.6, 200, 1.0)], 0.5),
        ([(0.1, 200, 1.0), (0.6, 200, 51.0), (1.1, 200, 1.0)], 1.0),
        ([(0.1, 200, 1.0), (0.6, LOST, 1.0)], None),
    ],
)
def test_full_speed(outcomes, expected):
    assert Phase(2, 1, outcomes).full_speed_from() == expected
