"""Several processes that train one model: who they are, what they add up, how they are started.

Each worker holds the whole model and reads its own part of the data; gradients are added up by
TensorFlow's collective all-reduce (``tf.distribute.MultiWorkerMirroredStrategy``, its cluster told
by ``TF_CONFIG``), so that all weights stay alike. Keras 3 cannot do more with that strategy:
``Model.fit`` fails under it (keras-team/keras, issue 20585), so variables and optimizer stay
outside of its scope.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emoji_vae.errors import InputError

_CONFIG = "TF_CONFIG"
# Set for workers that `launch` started: they end when the process that started them does.
_LAUNCHED = "EMOJI_SQAM_LAUNCHED"
_LOST = 75
"""Exit code of a worker that lost another one (EX_TEMPFAIL: start again)."""


@dataclass(frozen=True)
class Place:
    """Which of how many workers this process is."""

    index: int
    count: int


def place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return this process's place in the cluster that ``TF_CONFIG`` tells of; None without one.

    Raises:
        InputError: it tells of no workers, or of something beside them.
    """
    text = environment.get(_CONFIG)
    if not text:
        return None
    try:
        found = json.loads(text)
        workers, task = found["cluster"]["worker"], found["task"]
        if set(found["cluster"]) != {"worker"} or task["type"] != "worker":
            raise KeyError("only workers are known here, no chief and no evaluator")
        index = int(task["index"])
        if not 0 <= index < len(workers):
            raise KeyError(f"there is no worker {index}")
        return Place(index, len(workers))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"TF_CONFIG cannot be {text!r:.80} ({error}); write "
            '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'
        ) from error


class Workers:
    """The workers of a training, this process being one of them.

    It must be made before TensorFlow does anything else.

    Attributes:
        index: of this worker; the first one, 0, writes what is written.
        count: of all.

    Raises:
        InputError: this worker has several accelerators.
    """

    def __init__(self, place: Place | None) -> None:
        self.index = 0 if place is None else place.index
        self.count = 1 if place is None else place.count
        self._strategy: Any = None
        if self.count > 1:
            import tensorflow as tf

            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
            if self._strategy.num_replicas_in_sync != self.count:
                raise InputError(
                    f"{self.count} workers have {self._strategy.num_replicas_in_sync} accelerators;"
                    " give each worker one (CUDA_VISIBLE_DEVICES)"
                )

    def sum(self, tensors: Sequence[Any]) -> list[Any]:
        """Add up tensors of the same shapes over all workers; call it in a ``tf.function``."""
        if self._strategy is None:
            return [*tensors]
        import tensorflow as tf

        def reduced(*values: Any) -> Any:
            context = tf.distribute.get_replica_context()
            # Only what is made here is known to be on this worker's device.
            here = [tf.identity(value) for value in values]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, here)

        return list(self._strategy.run(reduced, args=tuple(tensors)))


def end_with_parent() -> None:
    """Let a worker that ``launch`` started end as soon as its parent is gone.

    Else workers of a run that was killed would go on writing beside those of its next start.
    """
    if _LAUNCHED not in os.environ:
        return

    def wait() -> None:
        # Nothing is ever written to it. Not sys.stdin, whose lock the interpreter wants at its end.
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def lost(error: Exception) -> None:
    """End this worker since another one went away, as ``error`` says.

    Not by an exception: the strategy's threads wait for the others and would keep it alive.
    """
    print(
        f"lost another worker ({type(error).__name__}); start the same command again on all",
        file=sys.stderr,
        flush=True,
    )
    os._exit(_LOST)


def launch(command: Sequence[str], count: int, restarts: int) -> int:
    """Run workers on this machine until all are done; start them again when one dies.

    A training that keeps checkpoints goes on at the last one. Where ``CUDA_VISIBLE_DEVICES`` names
    as many accelerators as there are workers, each worker gets one.

    Args:
        command: of one worker; its place comes to it as ``TF_CONFIG``.
        count: of the workers.
        restarts: how often at most; bad input (exit code 2) is not tried again.

    Returns:
        An exit code.
    """
    for attempt in range(restarts + 1):
        code = _attempt(command, count)
        if code in (0, 2) or attempt == restarts:
            return code
        print(
            f"a worker ended with code {code}; starting all again ({attempt + 1} of {restarts})",
            file=sys.stderr,
            flush=True,
        )
    return code


def _attempt(command: Sequence[str], count: int) -> int:
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    devices = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            environment = {**os.environ, _CONFIG: json.dumps(config), _LAUNCHED: "1"}
            if len(devices) >= count:
                environment["CUDA_VISIBLE_DEVICES"] = devices[index]
            worker = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)
            print(f"worker {index} is process {worker.pid}", file=sys.stderr, flush=True)
            running.append(worker)
        while True:
            codes = [worker.poll() for worker in running]
            ended = [code for code in codes if code is not None]
            if any(ended):
                # What a mistake of the user says counts more than who noticed it.
                time.sleep(0.5)
                codes = [worker.poll() for worker in running]
                return 2 if 2 in codes else next(code for code in codes if code)
            if len(ended) == count:
                return 0
            time.sleep(0.1)
    finally:
        for worker in running:
            worker.terminate()
        for worker in running:
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on; somebody might, until the workers do."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
