"""The process: where it listens, what it prints, how it ends, and what it does to rude clients."""

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="needs the extra serve")

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "a-long-secret"
COMMAND = ("-m", "sqam.cli", "serve", "--port", "0")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


class Server:
    """A process that serves; ``arguments`` are those of `sqam serve`."""

    def __init__(self, *arguments, environment=None, command=COMMAND):
        self.process = subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        # Its log is read as it comes: a full pipe would not hold the process up, but lose lines.
        assert self.process.stdout is not None and self.process.stderr is not None
        self.log: list[str] = []
        self.reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,))
        self.reader.start()
        told = self.process.stdout.readline()
        found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)\n", told)
        assert found, (told, self.log)
        self.address = ("127.0.0.1", int(found[1]))

    def ask(self, path, body=None, **headers):
        request = urllib.request.Request(
            "http://{}:{}{}".format(*self.address, path), headers=headers
        )
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def end(self, sig=signal.SIGTERM):
        """Send the signal; return the exit code and the lines of the log."""
        self.process.send_signal(sig)
        return self.ended()

    def ended(self):
        code = self.process.wait(120)
        self.reader.join(60)
        return code, [json.loads(line) for line in self.log]


@contextlib.contextmanager
def serving(*arguments, **options):
    server = Server(*arguments, **options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


def test_it_ranks(server):
    status, headers, body = server.ask("/v1/rank", {"text": "pizza", "k": 1})
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert json.loads(body)["results"][0]["matches"][0]["emoji"] == "🍕"
    assert "Server" not in headers
    assert server.ask("/readyz")[0] == server.ask("/")[0] == 200


CURLS = re.findall(r"^curl .+$", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE)


def test_the_readme_shows_calls():
    assert len(CURLS) == 5


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("line", CURLS)
def test_the_readme_shows_what_works(server, line, tmp_path):
    for name in ("sun.png", "logo.png"):
        Image.new("RGB", (64, 48), "orange").save(tmp_path / name)
    assert "http://127.0.0.1:8000/v1/" in line
    line = line.replace("127.0.0.1:8000", "{}:{}".format(*server.address))
    done = subprocess.run(
        [*shlex.split(line), "--silent", "--fail"], cwd=tmp_path, capture_output=True, timeout=300
    )
    assert done.returncode == 0
    (found,) = (one for one in json.loads(done.stdout).values() if isinstance(one, list))
    assert len(found) == (1 if '"text"' in line else 2)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_code_0(sig):
    with serving("--drain", "0.1") as server:
        server.ask("/healthz", **{"X-Request-Id": "mine"})
        code, log = server.end(sig)
        assert code == 0
        assert [line["event"] for line in log] == ["listening", "request", "stopped"]
        assert log[0]["address"] == "http://{}:{}/".format(*server.address)
        assert log[1]["request_id"] == "mine"
        assert server.process.stdout.read() == ""


def ask_until_refused(address, body, answered, lost):
    """Ask on kept connections and new ones until no connection is accepted any more."""
    while True:
        host, port = address
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            connection.connect()
        except OSError:  # nobody listens, so nothing was accepted
            return
        try:
            closing = False
            while not closing:
                connection.request("POST", "/v1/rank", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answered.append((response.status, len(json.loads(response.read())["results"])))
                closing = response.will_close
        except (OSError, http.client.HTTPException) as error:
            lost.append(repr(error))
            return
        finally:
            connection.close()


def test_no_accepted_request_is_lost_at_sigterm():
    with serving("--drain", "0.5", "--timeout", "600", "--slow-timeout", "600") as server:
        answered: list = []
        lost: list = []
        slow: list = []
        body = json.dumps({"texts": ["good morning", "pizza"], "k": 3})
        threads = [
            threading.Thread(target=ask_until_refused, args=(server.address, body, answered, lost))
            for _ in range(4)
        ]
        # These are still drawn when listening has ended.
        threads += [
            threading.Thread(target=lambda n=n: slow.append(server.ask(f"/v1/generate?n={n}")))
            for n in (4, 5, 6)
        ]
        for thread in threads:
            thread.start()
        while len(answered) < 20:
            time.sleep(0.01)
        code, log = server.end()
        for thread in threads:
            thread.join(120)
        assert code == 0
        assert lost == [] and set(answered) == {(200, 2)}
        assert [status for status, *_ in slow] == [200] * 3
        counts = sorted(len(json.loads(found)["drawings"]) for *_, found in slow)
        assert counts == [4, 5, 6]
        # And the server knows of no other request than those that were answered.
        requests = [line for line in log if line["event"] == "request"]
        assert {line["status"] for line in requests} == {200}
        assert len(requests) == len(answered) + len(slow)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address)


def test_it_says_that_it_is_not_ready_while_it_drains():
    with serving("--drain", "600") as server:
        assert server.ask("/readyz")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        while (found := server.ask("/readyz"))[0] == 200:
            time.sleep(0.01)
        status, headers, body = found
        assert status == 503 and json.loads(body)["status"] == 503
        assert headers["Connection"] == "close"
        # Those who have not heard of it are answered all the same.
        assert server.ask("/v1/rank", {"text": "pizza"})[0] == 200
        # A second signal ends the wait.
        code, _ = server.end()
        assert code == 0


# What cannot be served


def refused(*arguments, environment=None):
    done = subprocess.run(
        [sys.executable, "-m", "sqam.cli", "serve", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"sqam: error: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--port", str(port))
    assert f"cannot listen on '127.0.0.1', port {port}: Address already in use" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "nowhere.invalid"], "cannot listen on 'nowhere.invalid'"),
        (["--host", "a" * 300], "cannot listen on"),
        (["--port", "65536"], "'65536' is no port"),
        (["--port", "-1"], "'-1' is no port"),
        (["--token", ""], "the token must be"),
        (["--token", "two words"], "the token must be"),
        (["--in-flight", "0"], "in_flight is 0; it must be 1 to 10000"),
        (["--timeout", "nan"], "timeout is nan"),
        (["--timeout", "soon"], "invalid float value: 'soon'"),
        (["--model", "nowhere", "--port", "0"], "'nowhere' holds no folder 'vae'"),
        (["--log-level", "loud"], "invalid choice: 'loud'"),
    ],
)
def test_options_that_are_refused(arguments, said):
    assert said in refused(*arguments)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "pydantic", "prometheus_client",
                                     "python_multipart", "httptools"])  # fmt: skip
def test_a_missing_extra_is_named(missing):
    # A module that is None in sys.modules counts as not installed.
    code = f"import sys; sys.modules[{missing!r}] = None; from sqam.cli import main; sys.exit(main(['serve']))"  # noqa: E501
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "pip install 'emoji-sqam[serve]'" in done.stderr


def test_the_token_comes_from_the_environment():
    with serving(environment={"SQAM_TOKEN": TOKEN}) as server:
        assert server.ask("/v1/emojis")[0] == 401
        assert server.ask("/v1/emojis", Authorization=f"Bearer {TOKEN}")[0] == 200
        _, log = server.end(signal.SIGINT)
        assert log[0]["token"] is True and TOKEN not in "".join(server.log)


def test_it_warns_of_an_open_address():
    code = (
        "from sqam.server import run; "
        "run.application = lambda *_: None; run.Engine.load = lambda _: None; "
        "run._Server.run = lambda self, sockets: self._told(); "
        "run.serve({host!r}, 0, token={token!r})"
    )
    for host, token, warned in [
        ("0.0.0.0", None, True),
        ("0.0.0.0", TOKEN, False),
        ("127.0.0.1", None, False),
    ]:
        done = subprocess.run(
            [sys.executable, "-c", code.format(host=host, token=token)],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert ("may use it" in done.stderr) is warned


# Rude clients


def talk(address, *parts, pause=0.0):
    """Send the parts; return all that comes back until the server closes the connection."""
    with socket.create_connection(address, timeout=60) as connection:
        with contextlib.suppress(OSError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                received += part
        return received


HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"


def test_requests_that_come_at_once_are_all_answered(server):
    whole = (HEAD + b"\r\n") * 3 + HEAD + b"Connection: close\r\n\r\n"
    assert talk(server.address, whole).count(b'{"status": "live"}') == 4


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\x00\x01 nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost a\r\n\r\n",
        HEAD + b"Content-Length: x\r\n\r\n",
        HEAD + b"A: " + b"a" * 70_000,
        HEAD + b"A: b\r\n" * 20_000,
        b"GET /" + b"a" * 100_000,
    ],
)
def test_heads_that_are_no_head(server, sent):
    assert talk(server.address, sent).startswith(b"HTTP/1.1 400 ")
    assert server.ask("/healthz")[0] == 200


def test_a_large_head_is_fine(server):
    sent = HEAD + b"A: " + b"a" * 50_000 + b"\r\nConnection: close\r\n\r\n"
    assert talk(server.address, sent).startswith(b"HTTP/1.1 200 ")


def test_who_sends_his_head_byte_by_byte_is_cut_off():
    code = (
        "from sqam.server.run import serve; from sqam.server.settings import ServerSettings; "
        "serve('127.0.0.1', 0, settings=ServerSettings(head_timeout=0.5))"
    )
    with serving(command=("-c", code)) as server:
        silent = threading.Thread(target=talk, args=(server.address,))
        silent.start()
        assert talk(server.address, *(b"%c" % byte for byte in HEAD[:20]), pause=0.1) == b""
        silent.join(60)
        assert not silent.is_alive()
        # One who keeps his connection has as long for each head, from its first byte.
        whole = HEAD + b"\r\n"
        late = HEAD + b"Connection: close\r\n\r\n"
        assert talk(server.address, whole, whole, late, pause=0.4).count(b"live") == 3
        # A body has time until the request's own time-out.
        post = b"POST /v1/rank HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 16\r\n"
        post += b"Content-Type: application/json\r\n\r\n"
        found = talk(server.address, post, b'{"text": ', b'"pizza"'[:6], b"}", pause=0.4)
        assert b" 400 " in found  # it came, and was read
