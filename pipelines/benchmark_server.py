"""Load the service from a second process: at a rate that it should bear, and at several times that.

    python -m pipelines.benchmark_server
    python -m pipelines.benchmark_server --seconds 5 --rate 50 --results build/server.json

Requests are sent at even times whether earlier ones have been answered or not (an open loop), and
timed from when each was due, so that a server that stands still is not measured kindly. Absolute
figures hold for the machine at hand alone, which the load shares with the server; the results file
says how many processors it has, and how late the load itself was.
"""

import asyncio
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from emoji_vae.command import Parser, positive, progress, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import phrases, results

COMMAND = ("-m", "sqam.cli", "serve", "--port", "0", "--log-level", "info")
TEXTS = 2_000
"""Of the phrasebook, that are ranked in turn."""

RATE, SECONDS = 500, 60
"""Requests a second that the service should bear, and how long."""

OVERLOAD, OVERLOAD_SECONDS = 5, 20
"""Times that rate, and how long."""

RECOVERY_SECONDS = 10
"""How long the first rate is asked for again, right after the overload."""

WARM_UP_SECONDS = 3
BOUND = 50.0
"""Milliseconds that 99 % should stay below; a window that does, without an error, is full speed."""

WINDOW = 0.5
"""Seconds of a window."""

CONNECTIONS = 400
"""Most connections of the load; a request that finds none counts as not sent."""

PATIENCE = 30.0
"""Seconds that the last answers may take."""

UNSENT, LOST = "not sent", "no answer"


@dataclass
class Phase:
    """What became of the requests of a phase.

    Attributes:
        rate, seconds: what was asked for.
        outcomes: for each request when it was due, in seconds from the start of the phase, its
            status (or `UNSENT`, or `LOST`), and the milliseconds from then to its answer's end.
        lag: the most milliseconds that a request was sent after it was due.
    """

    rate: float
    seconds: float
    outcomes: list[tuple[float, int | str, float]] = field(default_factory=list)
    lag: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return the figures of the phase; times are of requests that were answered with 200."""
        statuses = Counter(str(status) for _, status, _ in self.outcomes)
        found: dict[str, Any] = {
            "requests a second": self.rate,
            "seconds": self.seconds,
            "requests": len(self.outcomes),
            "answers": dict(sorted(statuses.items())),
            "answered with 200 a second": round(statuses["200"] / self.seconds, 1),
            "errors": errors(self.outcomes),
            "milliseconds": milliseconds([ms for _, status, ms in self.outcomes if status == 200]),
            "sent late by at most, milliseconds": round(self.lag, 2),
        }
        refused = [ms for _, status, ms in self.outcomes if status == 429]
        if refused:
            found["milliseconds to a 429"] = milliseconds(refused)
        return found

    def full_speed_from(self) -> float | None:
        """Return the seconds after which every `WINDOW` was at full speed; None if none was."""
        windows: dict[int, list[tuple[float, int | str, float]]] = {}
        for outcome in self.outcomes:
            windows.setdefault(int(outcome[0] / WINDOW), []).append(outcome)
        slow = [
            number
            for number, outcomes in windows.items()
            if any(status != 200 for _, status, _ in outcomes)
            or milliseconds([ms for *_, ms in outcomes])["99 %"] > BOUND
        ]
        if slow and max(slow) == max(windows):
            return None
        return (max(slow) + 1) * WINDOW if slow else 0.0


def errors(outcomes: Sequence[tuple[float, int | str, float]]) -> int:
    """Count what is neither an answer of 200 nor one of 429."""
    return sum(status not in (200, 429) for _, status, _ in outcomes)


def milliseconds(times: Sequence[float]) -> dict[str, float]:
    """Return the median, what 99 % stay below, and the most; nothing of nothing."""
    if not times:
        return {}
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered), 2),
        "99 %": round(ordered[max(0, -(-99 * len(ordered) // 100) - 1)], 2),
        "most": round(ordered[-1], 2),
    }


class Connection(asyncio.Protocol):
    """A kept connection: one request at a time; tells its status, or `LOST`."""

    _LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._tell: Callable[[int | str], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that there will be no answer."""
        self.open = False
        self._end(LOST)

    def send(self, request: bytes, tell: Callable[[int | str], None]) -> None:
        """Send a request; tell of its end."""
        assert self._transport is not None and self._tell is None
        self._tell = tell
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read on, and tell the status when the answer is whole."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = self._LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        self._received = b""
        if b"\r\nconnection: close" in head.lower():
            self.open = False
        self._end(int(head[9:12]))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _end(self, status: int | str) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(status)


class Load:
    """Sends requests to one address, each on a connection that is free, or a new one."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes]) -> None:
        self._address = address
        self._requests = itertools.cycle(requests)
        self._free: deque[Connection] = deque()
        self._connections = 0
        self._opening: set[asyncio.Task[None]] = set()

    async def phase(self, rate: float, seconds: float) -> Phase:
        """Send ``rate`` requests a second for so many seconds, and wait for the last answers."""
        phase = Phase(rate, seconds)
        # Not the loop's own time, which may be coarse.
        total, began = max(1, round(rate * seconds)), time.perf_counter()
        with progress(total, "requests") as told:
            for number in range(total):
                due = began + number / rate
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                phase.lag = max(phase.lag, 1000 * (time.perf_counter() - due))
                self._send(phase, due, began)
                if told is not None:
                    told(1)
        deadline = time.perf_counter() + PATIENCE
        while len(phase.outcomes) < total and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        missing = total - len(phase.outcomes)
        phase.outcomes += [(seconds, LOST, 1000 * PATIENCE)] * missing
        return phase

    def close(self) -> None:
        """Close the connections that are free."""
        while self._free:
            self._free.pop().close()

    def _send(self, phase: Phase, due: float, began: float) -> None:
        def ended(status: int | str) -> None:
            phase.outcomes.append((due - began, status, 1000 * (time.perf_counter() - due)))

        while self._free:
            # The last one used first, so that those that are too many fall idle.
            connection = self._free.pop()
            if connection.open:
                self._ask(connection, ended)
                return
            self._connections -= 1
        if self._connections >= CONNECTIONS:
            ended(UNSENT)
            return
        self._connections += 1
        task = asyncio.create_task(self._open(ended))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, ended: Callable[[int | str], None]) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, *self._address
            )
        except OSError:
            self._connections -= 1
            ended(LOST)
            return
        self._ask(connection, ended)

    def _ask(self, connection: Connection, ended: Callable[[int | str], None]) -> None:
        def told(status: int | str) -> None:
            ended(status)
            self._free.append(connection)  # also if it is closed, which is seen when it is taken

        connection.send(next(self._requests), told)


class Server:
    """The service as a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *COMMAND],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its log lines are written, and read by nobody
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        found = re.match(r"listening on http://([\d.]+):(\d+)/", said)
        if found is None:
            code = self._process.wait()
            raise InputError(f"sqam serve exited with {code}; run it to see why, mend that first")
        self.address = (found[1], int(found[2]))

    def megabytes(self) -> float | None:
        """Return its resident memory in MB (10^6 bytes), None where there is no /proc."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        except OSError:
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return None if found is None else round(int(found[1]) * 1024 / 1e6, 1)

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(120)

    def kill(self) -> None:
        """End it whatever happens."""
        self._process.kill()
        self._process.wait()


def requests(address: tuple[str, int]) -> list[bytes]:
    """Return requests to rank all emojis for texts of the phrasebook, as they go over the wire."""
    found = []
    for text, _ in itertools.islice(phrases.phrasebook(), TEXTS):
        body = json.dumps({"text": text}).encode()
        head = (
            f"POST /v1/rank HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


async def measure(server: Server, rate: int, seconds: float, overload_seconds: float) -> Any:
    """Load the server in phases.

    Returns:
        Figures of the phase at ``rate`` and of that at `OVERLOAD` times the rate, the memory around
        them, and how long the server took to be at full speed again.
    """
    load = Load(server.address, requests(server.address))
    await load.phase(rate, WARM_UP_SECONDS)
    memory = {"before": server.megabytes()}
    steady = await load.phase(rate, seconds)
    memory["after the first"] = server.megabytes()
    overload = await load.phase(rate * OVERLOAD, overload_seconds)
    memory["after the overload"] = server.megabytes()
    again = await load.phase(rate, RECOVERY_SECONDS)
    load.close()
    return {
        "first": steady.summary(),
        "overload": overload.summary(),
        "afterwards": again.summary(),
        "seconds to full speed": again.full_speed_from(),
        "megabytes": memory,
    }


def run_loop(work: Any) -> Any:
    """Run a coroutine in the fastest event loop that is there."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.benchmark_server", description=__doc__)
    parser.add_argument("--rate", type=positive, default=RATE, help=f"requests a second ({RATE})")
    parser.add_argument(
        "--seconds", type=positive, default=SECONDS, help=f"at that rate ({SECONDS})"
    )
    parser.add_argument(
        "--overload-seconds",
        type=positive,
        default=OVERLOAD_SECONDS,
        help=f"at {OVERLOAD} times that rate ({OVERLOAD_SECONDS})",
    )
    parser.add_argument("--results", type=Path, default=asset("results", "server.json"))

    def work() -> None:
        options = parser.parse_args(argv)
        server = Server()
        try:
            found = run_loop(
                measure(server, options.rate, options.seconds, options.overload_seconds)
            )
            code = server.stop()
        finally:
            server.kill()
        results.write(
            options.results,
            {
                "command": results.command("pipelines.benchmark_server", argv),
                "measured": f"python {' '.join(COMMAND)}, POST /v1/rank with one text, over "
                "loopback from a second process",
                "processors": os.cpu_count(),
                **found,
                "exit code at SIGTERM": code,
                "versions": results.versions(),
            },
        )
        for name in ("first", "overload", "afterwards"):
            phase = found[name]
            print(f"{name:11} {phase['requests a second']}/s  {phase['answers']}")
            print(f"{'':11} milliseconds {phase['milliseconds']}")
        print(f"full speed  {found['seconds to full speed']} s after the overload")
        print(f"memory, MB  {found['megabytes']}")

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
