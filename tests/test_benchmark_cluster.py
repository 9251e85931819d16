"""The benchmark of the cluster counts what it says, and refuses shards that are others."""

import dataclasses
import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from emoji_vae.errors import InputError, MissingExtraError
from pipelines import benchmark_bulk, nodes, results_page
from pipelines import benchmark_cluster as module
from pipelines.benchmark_cluster import ONE, QUICK, Bench, Settings, billion, sha256, speed

# By hand.


def test_speed():
    # Medians 20 s and 4 s: 1000 texts in 20 s, or in 16 s without the start.
    found = speed(1000, [18.0, 22.0, 20.0], [5.0, 3.0, 4.0])
    assert found["texts a second"] == 50.0
    assert found["texts a second, the start left out"] == 62.5
    assert found["seconds"]["median"] == 20.0 and found["seconds to start"]["median"] == 4.0


def test_a_billion():
    # 10^9 / (10,000 * 3600) = 27.78 hours of a core; two workers that rank 16,000 a second take
    # 10^9 / (16,000 * 3600) = 17.36 hours, so 34.72 of a core, which 35 workers need an hour for.
    # 40 bytes a text are 40 * 10^9 in all.
    found = billion(10_000, 16_000, 2, {"in": 40.0, "out": 700.0})
    assert found == {
        "core hours": {"one machine": 27.8, "cluster": 34.7},
        "workers that take an hour": 35,
        "TB": {"in": 0.04, "out": 0.7},
    }


def test_sha256_of_several_files(tmp_path):
    for name, content in (("a", b"one\n"), ("b", b""), ("c", b"two\n")):
        (tmp_path / name).write_bytes(content)
    expected = hashlib.sha256(b"one\ntwo\n").hexdigest()
    assert sha256(tmp_path / name for name in "abc") == expected
    assert sha256(tmp_path / name for name in "ca") != expected


# What runs; the cluster is one that only looks like it.

TINY = dataclasses.replace(QUICK, texts=5, repeats=2)


class Commands:
    """Stands for `sqam rank`: writes a line a text, by a cluster a shard for each two texts."""

    def __init__(self) -> None:
        self.began: list[tuple[str, ...]] = []
        self.wrong = False

    def start(self, source: Path, output: Path, *options: str, cores: Any = ()) -> None:
        self.began.append((source.name, *options))
        sources = sorted(source.iterdir()) if source.is_dir() else [source]
        texts = [text for each in sources for text in each.read_text("utf-8").splitlines()]
        if "--cluster" not in options:
            assert len(cores) == 1
            output.write_text("".join(f"{text}!\n" for text in texts), "utf-8")
            return
        assert not cores
        output.mkdir()
        (output / "_manifest.json").touch()
        kind = options[options.index("--shards") + 1]
        end = "?" if self.wrong and options[-1] == "2" and len(texts) > 2 else "!"
        for number, at in enumerate(range(0, len(texts), 2)):
            lines = "".join(f"{text}{end}\n" for text in texts[at : at + 2])
            (output / f"part-{number:05d}.{kind}").write_text(lines, "utf-8")


@pytest.fixture
def commands(monkeypatch) -> Commands:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("needs Linux")
    found = Commands()
    monkeypatch.setattr(benchmark_bulk, "start_rank", found.start)
    monkeypatch.setattr(benchmark_bulk, "finish_rank", lambda process: None)
    return found


def test_measuring(commands, tmp_path):
    bench = Bench(TINY, tmp_path, "HOST:1")
    moved: list[int] = []
    found = bench.measure(moved.append)
    assert len(moved) == len(commands.began) == bench.commands == 16

    def cluster(workers: int, kind: str = "jsonl") -> tuple[str, ...]:
        return ("--cluster", "HOST:1", "--shards", kind, "--workers", str(workers))

    # Once each for nothing; then each in turn, its start first; in the end Parquet.
    alone = ("--workers", "1")
    starts = [("0.txt", *alone), ("lines-1", *cluster(1)), ("lines-2", *cluster(2))]
    wholes = [("texts.txt", *options) for options in (alone, cluster(1), cluster(2))]
    in_turn = [each for pair in zip(starts, wholes, strict=True) for each in pair]
    last = ("texts.txt", *cluster(2, "parquet"))
    assert commands.began == [*starts, *in_turn, *in_turn, last]
    # What was written is gone.
    assert {path.name for path in tmp_path.iterdir()} == {"texts.txt", "lines-1", "lines-2"}

    texts = benchmark_bulk.many(5)
    size = sum(len(text.encode()) + 1 for text in texts)
    assert found["texts"]["count"] == 5
    assert found["bytes a text"] == {
        "in": round(size / 5, 1),
        "out, JSON lines": round(size / 5 + 1, 1),
        "out, Parquet": round(size / 5 + 1, 1),
    }
    for name, shards in ((ONE, None), ("1 worker", 3), ("2 workers", 3)):
        assert found[name]["seconds"]["repeats"] == 2
        assert found[name].get("shards") == shards
    assert found["2 workers over one"]["whole command"] == pytest.approx(
        found["2 workers"]["texts a second"] / found["1 worker"]["texts a second"], abs=0.001
    )


def test_other_bytes_are_an_error(commands, tmp_path):
    commands.wrong = True
    with pytest.raises(InputError, match=r"^2 workers ranked 5 texts to other bytes than one mach"):
        Bench(TINY, tmp_path, "HOST:1").measure(lambda more: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": 0}, "texts 0 measures nothing; give at least 1"),
        ({"repeats": 0}, "repeats 0 measures nothing"),
        ({"workers": 1}, "1 workers cannot be measured beside one; give 2 to 2, for"),
        ({"workers": 4, "cpus": 2}, "4 workers cannot .* give 2 to 2"),
    ],
)
def test_settings_that_measure_nothing(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(Settings(), **change)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--texts", "0"], "--texts"), (["--repeats", "x"], "--repeats"), (["--part", "1"], "--part")],
)
def test_bad_arguments(arguments, told, capsys):
    assert module.main(arguments) == 2
    assert told in capsys.readouterr().err


def test_a_system_without_pinning(monkeypatch, capsys):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert module.main(["--quick"]) == 2
    assert "Linux" in capsys.readouterr().err


# The cluster.


def test_ray_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setitem(sys.modules, "ray.cluster_utils", None)
    with pytest.raises(MissingExtraError, match="cluster"), nodes.running(2, 2):
        pytest.fail("it began")
    # The environment is what it was.
    assert os.environ["PYTHONPATH"] == "elsewhere" and "RAY_TMPDIR" not in os.environ
    if hasattr(os, "sched_setaffinity"):
        assert module.main(["--quick", "--results", str(tmp_path / "x.json")]) == 2
        assert "pip install 'emoji-sqam[cluster]'" in capsys.readouterr().err
        assert not (tmp_path / "x.json").exists()


class Ray:
    """Looks like Ray's cluster of processes."""

    address = "HOST:1"

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.nodes: list[int] = []
        self.ended = False

    def add_node(self, num_cpus: int, **options: Any) -> str:
        if self.problem is not None:
            raise self.problem
        self.nodes.append(num_cpus)
        return f"node {len(self.nodes)}"

    def shutdown(self) -> None:
        # Ray forgets the address that it wrote below this folder.
        assert Path(os.environ["RAY_TMPDIR"]).is_dir()
        self.ended = True


@pytest.fixture
def ray(monkeypatch) -> Ray:
    """What `nodes.running` starts."""
    found = Ray()
    monkeypatch.setitem(sys.modules, "ray", type(sys)("ray"))
    cluster_utils: Any = type(sys)("ray.cluster_utils")
    cluster_utils.Cluster = lambda: found
    monkeypatch.setitem(sys.modules, "ray.cluster_utils", cluster_utils)
    return found


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt, SystemExit])
def test_the_cluster_ends_after_errors(ray, error):
    with pytest.raises(error), nodes.running(2, 3) as there:
        assert ray.nodes == [2, 3] and (there.address, there.others) == ("HOST:1", ["node 2"])
        assert os.environ["RAY_TMPDIR"] == str(there.folder)
        raise error
    assert ray.ended and not there.folder.exists()


@pytest.mark.parametrize("error", [OSError("no room"), RuntimeError("no"), TimeoutError("late")])
def test_a_cluster_that_does_not_start(ray, error):
    ray.problem = error
    with (
        pytest.raises(InputError, match=rf"no Ray cluster can be started here \({error}\); mend"),
        nodes.running(2),
    ):
        pytest.fail("it began")
    assert ray.ended


def test_an_interruption_of_the_command(ray, commands, monkeypatch, tmp_path):
    def interrupted(process: None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark_bulk, "finish_rank", interrupted)
    assert module.main(["--quick", "--results", str(tmp_path / "x.json")]) == 130
    assert ray.ended and not (tmp_path / "x.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra cluster")
def test_it_runs_and_the_page_finds_its_figures(tmp_path, capsys):
    path = tmp_path / "cluster.json"
    # Two shards, so that both workers have something to do.
    assert module.main(["--quick", "--results", str(path)]) == 0
    found = json.loads(path.read_text("utf-8"))
    assert found["texts"]["count"] == 20_000 and found["1 worker"]["shards"] == 2
    assert found["versions"]["ray"] and found["settings"] == dataclasses.asdict(QUICK)
    # A line of JSON holds the text and ten matches, a row of Parquet packs them.
    sizes = found["bytes a text"]
    assert sizes["in"] < sizes["out, Parquet"] < sizes["out, JSON lines"]
    assert found["a billion texts"]["TB"]["in"] == pytest.approx(sizes["in"] / 1000, abs=0.001)
    assert "a billion texts / core hours / cluster: " in capsys.readouterr().out
    tables = [t for t in results_page.TABLES if "cluster.json" in results_page._files(t)]
    page = results_page.page(tmp_path, tables)
    assert page.count("\n## ") == len(tables) == 2
