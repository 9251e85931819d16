"""Ranking on a cluster; the slow tests run a real one of two nodes, and let its processes die."""

import contextlib
import csv
import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoji_vae.errors import InputError, MissingExtraError
from pipelines import nodes
from pipelines.nodes import Nodes
from sqam import cluster
from sqam.bulk import CHUNK_TEXTS
from sqam.cluster import ClusterJob, Work, Worker, block_texts, digest, room
from sqam.job import Job
from sqam.scorer import Scorer
from sqam.shards import Folder, Manifest, Shard, blocks, listed

pytest.importorskip("fsspec", reason="needs the extra cluster")
pa = pytest.importorskip("pyarrow", reason="needs the extra cluster")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra cluster")

WORDS = ["i", "love", "pizza", "happy", "not", "good", "morning", "zzxqvw"]


# What is checked beforehand


@pytest.mark.parametrize(
    ("cpus", "wanted", "expected"),
    [([2, 2], None, 2), ([2, 2], 1, 1), ([1, 4], None, 3), ([8], 7, 7), ([16, 1, 3], 17, 17)],
)
def test_room(cpus, wanted, expected):
    assert room(cpus, wanted) == expected


@pytest.mark.parametrize(
    ("cpus", "wanted", "message"),
    [
        ([1, 1], None, "has 2 CPUs on 2 nodes, .* room for 0 workers, and 1 are needed; start"),
        ([2, 2], 3, "has 4 CPUs on 2 nodes, .* room for 2 workers, and 3 .* or give --workers 2"),
        ([], None, "has 0 CPUs on 0 nodes"),
    ],
)
def test_no_room(cpus, wanted, message):
    # Where workers take every CPU, Ray's own tasks would wait for one for ever.
    with pytest.raises(InputError, match=message):
        room(cpus, wanted)


@pytest.mark.parametrize(
    ("total", "workers", "expected"),
    [
        # For 16 blocks each, two workers want 1,000,000 / 32 = 31,250 texts: two times 16,384.
        (1_000_000, 2, 32_768),
        (1_000_000, 1, 65_536),
        # Not less than the least, however many workers there are, nor more than the most.
        (1_000_000, 100, 16_384),
        (0, 3, 16_384),
        (10**9, 100, 262_144),
        # 16 * 16,384 texts are just 16 blocks for a worker, one text more is not.
        (262_144, 1, 16_384),
        (262_145, 1, 32_768),
    ],
)
def test_texts_of_a_block(total, workers, expected):
    assert block_texts(total, workers, 16_384, 262_144) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "-"}, "cannot read standard input"),
        ({"kind": "xlsx"}, "shards cannot be 'xlsx'; name one of parquet, jsonl, csv"),
        ({"workers": 0}, "0 workers cannot be"),
        ({"timeout": 0}, "a timeout of 0 s cannot be"),
        ({"timeout": float("nan")}, "a timeout of nan s cannot be"),
        ({"block": 1000}, "a block of 1000 texts cannot be; give a multiple of 1024"),
        ({"block": 0}, "a block of 0 texts"),
    ],
)
def test_bad_jobs(options, message):
    with pytest.raises(InputError, match=message):
        ClusterJob(**{"source": "in", "output": "out"} | options)


def run(tmp_path, tiny, **options):
    given = {"source": str(tmp_path / "in"), "output": str(tmp_path / "out"), **options}
    return ClusterJob(**given).run(tiny["codes"], 2, tiny["folder"])


@pytest.fixture
def unreachable(monkeypatch):
    """No cluster may be asked: what is wrong must be found before."""

    def connected(address):
        pytest.fail("it looked for a cluster")

    monkeypatch.setattr(cluster, "_connected", connected)


def test_bad_input_is_found_before_the_cluster_is(tmp_path, tiny, unreachable):
    with pytest.raises(InputError, match="there is no file"):
        run(tmp_path, tiny)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.xlsx").touch()
    with pytest.raises(InputError, match=r"cannot tell how to read '.*a\.xlsx'"):
        run(tmp_path, tiny)
    (tmp_path / "in" / "a.xlsx").rename(tmp_path / "in" / "a.txt")
    with pytest.raises(InputError, match="lines of text have no column 'id'"):
        run(tmp_path, tiny, keep=("id",))
    (tmp_path / "in" / "a.txt").rename(tmp_path / "in" / "a.csv")
    with pytest.raises(InputError, match="a column 'matches' of its own"):
        run(tmp_path, tiny, keep=("matches",))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other").touch()
    with pytest.raises(InputError, match="holds other files"):
        run(tmp_path, tiny)


def test_a_model_is_known_by_what_is_in_it(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x").write_bytes(b"1")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    (tmp_path / "b" / "deep" / "x").write_bytes(b"2")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")
    (tmp_path / "b" / "deep" / "x").rename(tmp_path / "b" / "deep" / "1")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


def test_ray_is_missing(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "in").write_text("a\n")
    with pytest.raises(MissingExtraError, match=r"pip install 'emoji-sqam\[cluster\]'"):
        run(tmp_path, tiny)
    assert not (tmp_path / "out").exists()


# Workers, without a cluster


def sentences(number: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 9))) for _ in range(number)]


def write_inputs(folder: Path, texts: list[str], parts: int = 2) -> None:
    """Write the texts three times: as lines, as .csv in parts, and as Parquet."""
    folder.mkdir()
    (folder / "lines.txt").write_text("".join(f"{text}\n" for text in texts))
    for part in range(parts):
        with open(folder / f"table-{part}.csv", "w", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerows([["text"], *([text + "\nyou"] for text in texts[part::parts])])
    # Row groups that end in the middle of chunks.
    pq.write_table(pa.table({"text": texts}), folder / "table.parquet", row_group_size=1500)


def one_machine(tiny, folder: Path, file: str, scorer: Any = None) -> bytes:
    output = folder / "one.jsonl"
    Job(file, output, force=True).run(
        scorer or Scorer.load(tiny["folder"], threads=1), tiny["codes"], 3
    )
    return output.read_bytes()


def planned(tmp_path, block: int = CHUNK_TEXTS) -> Manifest:
    files = listed(str(tmp_path / "in"), str(tmp_path / "out"))
    shards: list[Shard] = []
    for number, file in enumerate(files):
        found, problem = blocks(file, None, (), block)
        assert not problem
        shards += [Shard(len(shards) + i, number, *one) for i, one in enumerate(found)]
    return Manifest({}, files, shards)


def work(tmp_path, tiny, **options) -> Work:
    given: dict[str, Any] = {
        "output": str(tmp_path / "out"),
        "kind": "jsonl",
        "column": None,
        "keep": (),
        "k": 3,
        "model": tiny["folder"],
        "digest": digest(tiny["folder"]),
    }
    return Work(**given | options)


def call(worker: Worker, manifest: Manifest, number: int) -> str:
    shard = manifest.shards[number]
    made = worker({"shard": np.array([json.dumps([shard, manifest.files[shard.file]])])})
    assert made["shard"] == [number]
    (problem,) = made["problem"]
    return problem


@pytest.fixture
def begun(tmp_path, tiny):
    """A folder of inputs, and one whose shards can be made."""
    write_inputs(tmp_path / "in", sentences(2500))
    manifest = planned(tmp_path)
    folder = Folder(str(tmp_path / "out"), "jsonl")
    folder.begin(manifest, tiny["codes"])
    return tmp_path, manifest, folder


def test_shards_are_what_one_machine_writes(begun, tiny):
    tmp_path, manifest, folder = begun
    # 2500 lines are three blocks, each 1250 rows of .csv two, 2500 rows of Parquet three again.
    three, two = [1024, 1024, 452], [1024, 226]
    assert [shard.texts for shard in manifest.shards] == [*three, *two, *two, *three]
    worker = Worker(work(tmp_path, tiny))
    # In any order.
    for number in (9, 0, 4, 8, 1, 3, 2, 7, 6, 5):
        assert call(worker, manifest, number) == ""
    assert folder.missing(manifest) == []
    shards = [(tmp_path / "out" / f"part-{n:05d}.jsonl").read_bytes() for n in range(10)]
    expected = [one_machine(tiny, tmp_path, file.name) for file in manifest.files]
    assert b"".join(shards) == b"".join(expected)
    tally = folder.end(manifest)
    assert tally.texts == 7500 and 0 < tally.unmatched < 7500


def test_a_finished_shard_is_left_alone(begun, tiny):
    tmp_path, manifest, _ = begun
    worker = Worker(work(tmp_path, tiny))
    assert call(worker, manifest, 2) == ""
    before = (tmp_path / "out" / "part-00002.jsonl").stat()
    assert call(worker, manifest, 2) == ""
    after = (tmp_path / "out" / "part-00002.jsonl").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_shards_of_other_kinds(begun, tiny):
    tmp_path, manifest, _ = begun
    for kind in ("parquet", "csv"):
        folder = Folder(str(tmp_path / kind), kind)
        folder.begin(manifest, tiny["codes"])
        worker = Worker(work(tmp_path, tiny, output=str(tmp_path / kind), kind=kind))
        assert call(worker, manifest, 9) == ""
        assert folder.has(manifest.shards[9])
    last = one_machine(tiny, tmp_path, str(tmp_path / "in" / "table.parquet")).splitlines()[2048:]
    found = pq.read_table(tmp_path / "parquet" / "part-00009.parquet").to_pylist()
    assert found == [json.loads(line) for line in last]
    assert (tmp_path / "csv" / "part-00009.csv").read_text().startswith("text,rank,emoji,name,")


def test_a_worker_with_another_model_says_so(begun, tiny):
    tmp_path, manifest, folder = begun
    worker = Worker(work(tmp_path, tiny, digest="another"))
    assert "is another one on" in call(worker, manifest, 0)
    assert folder.missing(manifest) == list(manifest.shards)


def test_a_worker_that_does_not_reach_the_output_says_so(begun, tiny):
    tmp_path, manifest, _ = begun
    worker = Worker(work(tmp_path, tiny, output=str(tmp_path / "elsewhere")))
    assert "elsewhere' on" in (problem := call(worker, manifest, 0))
    assert "the same folder on every node" in problem


def test_a_worker_tells_of_changed_and_damaged_files(begun, tiny):
    tmp_path, manifest, folder = begun
    worker = Worker(work(tmp_path, tiny))
    with open(tmp_path / "in" / "lines.txt", "a") as file:
        file.write("more\n")
    assert "lines.txt' changed while the job ran" in call(worker, manifest, 0)
    assert folder.missing(manifest) == list(manifest.shards)
    assert not list((tmp_path / "out").glob("*part-*"))


def test_a_worker_tries_again_and_gives_up(begun, tiny, monkeypatch):
    tmp_path, manifest, folder = begun
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    worker = Worker(work(tmp_path, tiny))
    finish, failures = Folder.finish, [2]

    def failing(self, *arguments):
        if failures[0]:
            failures[0] -= 1
            raise OSError(28, "No space left on device")
        finish(self, *arguments)

    monkeypatch.setattr(Folder, "finish", failing)
    assert call(worker, manifest, 0) == ""  # at the third attempt
    failures[0] = 99
    problem = call(worker, manifest, 1)
    assert "lines.txt' failed 3 times on" in problem and "No space left" in problem
    assert failures == [96] and waits == [1, 2, 1, 2]
    assert folder.missing(manifest) == list(manifest.shards[1:])
    assert not list((tmp_path / "out").glob(".part-*"))


# A real cluster


needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the extra cluster"
)


@needs_ray
def test_no_cluster_answers(tmp_path, tiny):
    (tmp_path / "in").write_text("a\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=f"no Ray cluster answers at '{address}'; start one"):
        run(tmp_path, tiny, address=address)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def start() -> Iterator[Callable[..., Nodes]]:
    with contextlib.ExitStack() as open_until_the_end:
        yield lambda *cpus: open_until_the_end.enter_context(nodes.running(*cpus))


def workers(there: Nodes) -> list[int]:
    """The process ids of a cluster's workers that rank."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                b"MapWorker(MapBatches(Worker))" in (folder / "cmdline").read_bytes()
                and f"RAY_TMPDIR={there.folder}\0".encode() in (folder / "environ").read_bytes()
            ):
                found.append(int(folder.name))
    return found


@pytest.fixture
def models(tiny, tmp_path) -> Path:
    """A folder of models, as --model wants it."""
    shutil.copytree(tiny["folder"], tmp_path / "models" / "sqam")
    (tmp_path / "models" / "vae").mkdir()
    tiny["codes"].save(tmp_path / "models" / "vae" / "codes.npz")
    return tmp_path / "models"


def finished(tmp_path: Path) -> int:
    return len(list((tmp_path / "out" / "_shards").glob("part-*.json")))


def wait_for(condition, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def check_output(tmp_path: Path, tiny, texts: int) -> None:
    """The output is complete, nothing is double, and it is what one machine makes."""
    manifest = Folder(str(tmp_path / "out"), "jsonl").manifest()
    assert manifest is not None
    names = [f"part-{shard.number:05d}.jsonl" for shard in manifest.shards]
    there = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert there == ["_candidates.npz", "_manifest.json", "_shards", *names]
    found = b"".join((tmp_path / "out" / name).read_bytes() for name in names)
    expected = b"".join(one_machine(tiny, tmp_path, file.name) for file in manifest.files)
    assert found == expected
    assert len(found.splitlines()) == texts
    records = (tmp_path / "out" / "_shards").iterdir()
    assert sum(json.loads(path.read_bytes())["texts"] for path in records) == texts


@pytest.mark.slow
@needs_ray
@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc to find workers in")
def test_a_worker_and_then_a_node_die(start, models, tiny, tmp_path):
    # Many small files, so that there are many shards.
    write_inputs(tmp_path / "in", sentences(30_000), parts=24)
    there = start(2, 3)  # room for three workers
    # When the second node is gone two CPUs are left: a worker that cannot be started again has
    # shards that wait for it, until the time-out lets the others have them.
    options = ["--input", "in", "--output", "out", "-k", "3", "--model", models.name]
    options += ["--cluster", there.address, "--shards", "jsonl", "--timeout", "40"]
    with subprocess.Popen(
        [sys.executable, "-m", "sqam.cli", "rank", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:

        def wait_for_shards(more: int) -> None:
            wanted = finished(tmp_path) + more
            wait_for(lambda: finished(tmp_path) >= wanted or running.poll() is not None)
            assert running.poll() is None, f"it ended too early: {running.communicate()}"

        wait_for_shards(3)
        wait_for(lambda: workers(there))
        os.kill(workers(there)[0], signal.SIGKILL)
        wait_for_shards(3)
        there.cluster.remove_node(there.others[0], allow_graceful=False)
        out, err = running.communicate(timeout=300)
    assert (running.returncode, out) == (0, b""), err
    assert b"Traceback" not in err
    check_output(tmp_path, tiny, 90_000)


@pytest.mark.slow
@needs_ray
def test_interruption_stalls_and_big_files(start, models, tiny, tmp_path):
    import ray

    there = start(2, 2)
    (tmp_path / "in").mkdir()
    texts = sentences(20_000)
    big = tmp_path / "in" / "big.txt"
    big.write_text("".join(f"{text}\n" for text in texts))
    job = ClusterJob(
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        there.address,
        kind="jsonl",
        block=2 * CHUNK_TEXTS,
    )

    def rank(**options):
        return dataclasses.replace(job, **options).run(tiny["codes"], 3, models / "sqam")

    with pytest.raises(InputError, match=r"has 4 CPUs on 2 nodes, .* and 5 are needed"):
        rank(workers=5)
    ray.init(there.address, log_to_driver=False)

    @contextlib.contextmanager
    def taken() -> Iterator[None]:
        """Something else has every CPU."""
        taker = ray.remote(num_cpus=2)(threading.Event)
        takers = [taker.remote() for _ in range(2)]
        ray.get([one.is_set.remote() for one in takers])
        yield
        for one in takers:
            ray.kill(one)

    with taken(), pytest.raises(InputError, match=r"no file was looked through for 10 s; .*--time"):
        rank(timeout=10)
    assert rank().texts == 20_000
    # One file, ten shards: it was ranked by blocks.
    assert finished(tmp_path) == 10
    check_output(tmp_path, tiny, 20_000)
    (tmp_path / "out" / "part-00007.jsonl").unlink()
    with (
        taken(),
        pytest.raises(InputError, match=r"1 shards are missing, and none was finished for 10 s"),
    ):
        rank(timeout=10)
    ray.shutdown()
    # It alone is made.
    kept = (tmp_path / "out" / "part-00004.jsonl").stat().st_mtime_ns
    assert rank().texts == 20_000
    assert (tmp_path / "out" / "part-00004.jsonl").stat().st_mtime_ns == kept
    check_output(tmp_path, tiny, 20_000)
    # The input changed.
    big.write_text(big.read_text() + "more\n")
    with pytest.raises(InputError, match=r"big\.txt' changed since the shards in .* were begun"):
        rank()
