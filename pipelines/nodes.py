"""A Ray cluster on this machine alone, for what measures or tests the work on one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoji_vae.errors import InputError, MissingExtraError

_ROOT = Path(__file__).resolve().parent.parent

# Bytes of a node's store of objects, through which a line a shard goes.
_STORE = 10**8


@dataclass(frozen=True)
class Nodes:
    """A Ray cluster that runs.

    Attributes:
        address: for ``--cluster``.
        folder: its processes have it as RAY_TMPDIR in their environment, which tells them from all
            others.
        cluster: Ray's own handle, a ``ray.cluster_utils.Cluster``.
        others: Ray's handles of its nodes, but for the first.
    """

    address: str
    folder: Path
    cluster: Any
    others: list[Any]


@contextlib.contextmanager
def running(*cpus: int) -> Iterator[Nodes]:
    """Run a cluster whose nodes are processes of their own.

    It has ports and a folder of its own: no other cluster is touched. It ends with the context; if
    this process is killed, within a minute. Meanwhile the environment lets processes that are
    begun, the cluster's as well, import this checkout.

    Args:
        cpus: that each node says it has.

    Raises:
        InputError: it cannot be started.
        MissingExtraError: Ray is not installed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        _environment(
            PYTHONPATH=os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
            RAY_TMPDIR=folder,
            RAY_USAGE_STATS_ENABLED="0",
        ),
    ):
        try:
            from ray.cluster_utils import Cluster
        except ImportError as error:
            raise MissingExtraError("Ray", "cluster") from error
        cluster = Cluster()
        try:
            try:
                # Another cluster may have the port that an agent has by default.
                head: dict[str, Any] = {
                    "include_dashboard": False,
                    "dashboard_agent_listen_port": 0,
                }
                cluster.add_node(num_cpus=cpus[0], object_store_memory=_STORE, **head)
                others = [
                    cluster.add_node(num_cpus=count, object_store_memory=_STORE)
                    for count in cpus[1:]
                ]
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"no Ray cluster can be started here ({error}); mend that, or see what "
                    "`ray start --head` says"
                ) from error
            yield Nodes(cluster.address, Path(folder), cluster, others)
        finally:
            cluster.shutdown()


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
