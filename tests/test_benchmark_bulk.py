"""The benchmark counts and compares what it says; how long things take is no matter of tests."""

import dataclasses
import importlib.util
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.locations import asset
from pipelines import benchmark_bulk as module
from pipelines import phrases, rankers, results, sources
from pipelines.benchmark_bulk import (
    Bench,
    Clock,
    Settings,
    crossover,
    many,
    multiply_adds,
    ratios,
    recall,
    same_first,
    summary,
)
from sqam.encoder import Encoder
from sqam.scorer import Scorer

TINY = dataclasses.replace(
    module.QUICK, singles=1, calls=2, sizes=(8,), texts=1100, parts_texts=30, repeats=1,
    lines=5000, candidates=(50,), questions=4, graph=50, side=16,
)  # fmt: skip


# By hand.


def test_multiply_adds():
    model = {"lstm_units": 2, "dimensions": 3, "attention": True,
             "question_units": [5], "shared_units": [4], "space": 3}  # fmt: skip
    # A word: 2 directions * 4 gates * 2 units * (3 + 2) = 80, attention 4 * 2 = 8. A text, from 8
    # features: 8 * 5 + 5 * 4 + 4 * 3 = 72. Of 10 words in 3 texts: 880 + 216.
    assert multiply_adds(model, 10, 3) == 1096
    # Without attention 80 a word, from 4 features 4 * 5 + 20 + 12 = 52: 800 + 156.
    assert multiply_adds({**model, "attention": False}, 10, 3) == 956
    assert multiply_adds(model, 0, 0) == 0


def test_multiply_adds_are_as_many_as_the_weights_that_ship():
    onnx = pytest.importorskip("onnx", reason="needs the extra train")
    folder = asset("models", "sqam")
    graph = onnx.load(folder / "question.onnx").graph
    weights = sum(
        int(np.prod(tensor.dims))
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT16  # the matrices
    )
    model = json.loads((folder / "config.json").read_text("utf-8"))["settings"]
    # Each weight is used once for one word; the weighed mean of 2 * units has none.
    assert multiply_adds(model, 1, 1) == weights + 2 * model["lstm_units"]


def test_summary():
    # Of 0 to 10 the tenths are 1 and 9.
    found = summary([float(n) for n in range(10, -1, -1)])
    assert found == {"median": 5.0, "10 %": 1.0, "90 %": 9.0, "repeats": 11}
    assert summary([2.0]) == {"median": 2.0, "10 %": 2.0, "90 %": 2.0, "repeats": 1}
    with pytest.raises(ValueError, match="nothing"):
        summary([])


def test_ratios():
    found = {"ours": {"median": 2.0}, "MiniLM, torch": {"median": 10.0},
             "MiniLM, ONNX, int8": {"median": 4.0}}  # fmt: skip
    times = ratios(found, slower=True)
    assert times["ours"] == {"median": 2.0, "times MiniLM torch": 5.0, "times its int8": 2.0}
    assert times["MiniLM, torch"]["times MiniLM torch"] == 1.0
    speeds = ratios(found, slower=False)
    assert speeds["ours"]["times MiniLM torch"] == 0.2 and speeds["ours"]["times its int8"] == 0.5
    assert ratios({"ours": {"median": 2.0}}, slower=True) == {"ours": {"median": 2.0}}


def test_crossover():
    # Each question saves 0.25 s of the 1.1 s of building: the fifth pays.
    assert crossover(1.1, 0.5, 0.25) == 5
    assert crossover(1.0, 0.5, 0.25) == 4
    assert crossover(0.0, 0.5, 0.25) == 1
    assert crossover(0.0, 0.25, 0.25) is None and crossover(1.0, 0.1, 0.2) is None


def test_recall():
    # 2 of 2 and 1 of 2; the order is no matter, and -1 stands for nothing found.
    assert recall(np.array([[4, 3], [9, -1]]), np.array([[3, 4], [9, 8]])) == 0.75


def test_same_first():
    systems = {
        "ours": {"ranked": [[1, 2], [3], []]},
        "ours, int8": {"ranked": [[1, 9], [4], []]},
        "MiniLM, ONNX": {"ranked": [[5], [6], [7]]},
    }
    # The first of the first text, and nothing for the last. MiniLM itself is not there.
    assert same_first(systems) == {"ours, int8": 0.6667}


def test_a_clock_counts_each_part_for_itself(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def passes(seconds, *then):
        def work():
            now[0] += seconds
            for each in then:
                each()

        return work

    clock = Clock("rest")
    inner = clock.timed("inner", passes(3))
    outer = clock.timed("outer", passes(2, inner, inner))
    now[0] += 1
    outer()

    def fails():
        now[0] += 5
        raise ValueError

    with pytest.raises(ValueError):
        clock.timed("fails", fails)()
    now[0] += 1
    assert clock.stop() == {"rest": 2, "outer": 2, "inner": 6, "fails": 5}


@settings(max_examples=4)
@given(st.integers(1, 120_000))
def test_many_texts(count):
    found = many(count)
    book = [" ".join(text.split()) for text, _ in phrases.phrasebook()]
    assert len(found) == count and found[: len(book)] == book[:count]
    if count > len(book):
        assert found[len(book)].startswith(f"{book[0]} ")
    assert not any("\n" in text for text in found[:100])


# What runs.


@pytest.fixture
def small(monkeypatch):
    """As little as can be, of our system alone."""
    monkeypatch.setattr(module, "QUICK", TINY)
    monkeypatch.setattr(rankers, "RANKERS", {"ours": rankers.ours})


def test_results(small, tmp_path, capsys):
    path = tmp_path / "bulk.json"
    assert module.main(["--quick", "--results", str(path)]) == 0
    found = json.loads(path.read_text("utf-8"))
    assert found["texts"]["count"] == 1100 and len(found["texts"]["sha256"]) == 64
    assert found["settings"]["side"] == 16 and "python" in found["versions"]
    for tokens in (8, 20):
        (times,) = found["one text, milliseconds"][f"{tokens} tokens"].values()
        assert 0 < times["10 %"] <= times["median"] <= times["90 %"] and times["repeats"] <= 2
    for kind in ("8", "1100"):
        assert 0 < found["ranked, texts a second"][f"{kind} texts"]["ours"]["texts"] <= int(kind)
        assert found["result objects, texts a second"][kind]["median"] > 0
        assert found["sentence features, texts a second"][kind]["median"] > 0
    files = found["file to file"]
    assert files["texts"] == 1100 and files["1 core"]["texts a second"]["median"] > 0
    assert ("two cores over one" in files) == (len(os.sched_getaffinity(0)) > 1)
    parts = found["parts"]["parts"]
    assert set(parts) == {"tokenizer", "vectors looked up", "question network", "cosines",
                          "best of all", "lines of JSON", "reading and writing"}  # fmt: skip
    assert sum(each["share"] for each in parts.values()) == pytest.approx(1, abs=0.001)
    assert all(each["share"] > 0 for each in parts.values())
    floor = found["floor"]
    encoder = Encoder.load(threads=1)
    ids = encoder.ids(many(TINY.parts_texts))
    assert floor["tokens a text"] == round(sum(map(len, ids)) / 30, 3)
    counted = 2 * multiply_adds(encoder.settings, sum(map(len, ids)), sum(map(bool, ids)))
    assert floor["operations a text"] == round(counted / 30)
    reached = list(floor["share that is reached"].values())
    assert len(reached) == 4 and reached == sorted(reached, reverse=True)  # each counts more
    memory = found["memory"]
    peaks = list(memory["megabytes at the peak, up to"].values())
    assert memory["lines"] == 5000 and 0 < peaks[0] <= peaks[1] <= peaks[2]
    assert memory["texts a second"] > 0
    assert ("2 cores" in memory) == (len(os.sched_getaffinity(0)) > 1)
    products = floor["products, 10^9 operations a second"]
    assert floor["operations a second, 10^9"] in products.values()
    fastest = floor["operations a second, 10^9"]["median"]
    assert fastest == max(each["median"] for each in products.values()) > 0
    # As the file says: what the operations of a text take at that speed.
    assert floor["microseconds a text"] == pytest.approx(
        floor["operations a text"] / fastest / 1e3, rel=0.01
    )
    (ranked,) = found["candidates"].values()
    assert ranked["milliseconds, one text"]["median"] > 0
    assert ranked["megabytes at the peak"] > 0
    if ranked["indexes"] is None:
        assert "emoji-sqam[approximate]" in found["left out"][-1]
    else:
        assert all(each["recall@10"] >= 0.95 for each in ranked["indexes"].values())
    assert "times MiniLM torch" not in json.dumps(found)  # it was not measured
    assert "file to file / 1 core / texts a second: " in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read there")
def test_megabytes_are_of_children_as_well():
    # 40 MB that the child alone has; its parent is this test's child, and has little.
    child = "import sys; held = b'x' * 40_000_000; print(flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        both = module._megabytes(process.pid)
        process.stdin.close()
    assert 40 < both < 200
    assert module._megabytes(process.pid) == 0


def test_the_floor_without_onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert set(module._products(TINY)) == {"NumPy"}


def test_parts_alone(small, tmp_path):
    path = tmp_path / "bulk.json"
    arguments = ["--quick", "--parts", "memory", "--lines", "6000", "--results", str(path)]
    assert module.main(arguments) == 0
    found = json.loads(path.read_text("utf-8"))
    assert found["memory"]["lines"] == 6000 and "file to file" not in found


@pytest.fixture
def bench(small, tmp_path):
    return Bench(TINY, tmp_path, tmp_path)


def test_what_is_not_installed_is_left_out(bench, monkeypatch, capsys):
    monkeypatch.setattr(
        rankers, "RANKERS", dict.fromkeys(["ours", "MiniLM, torch", "MiniLM, ONNX"], rankers.ours)
    )
    asked = []

    def job(self, job, **options):
        asked.append((job, options.get("name")))
        if job == "prepare":
            raise module._MissingError("it is not installed; run: pip install it")
        return {"ranked": []}

    monkeypatch.setattr(Bench, "job", job)
    assert list(bench.systems(["one"])) == ["ours"]
    assert asked == [("system", "ours"), ("prepare", None)]
    assert bench.notes == [
        f"{name} is left out: it is not installed; run: pip install it"
        for name in ("MiniLM, torch", "MiniLM, ONNX")
    ]
    assert capsys.readouterr().err.count("note: ") == 2


@pytest.mark.parametrize(
    ("error", "missing"),
    [(InputError("x is bad; mend it"), False), (MissingExtraError("x", "teacher"), True)],
)
def test_a_process_says_what_is_wrong(monkeypatch, capsys, error, missing):
    def fails(given, folder):
        assert given == TINY and folder == "here"
        raise error

    monkeypatch.setattr(module, "_JOBS", {"prepare": fails})
    given = {"job": "prepare", "settings": dataclasses.asdict(TINY), "folder": "here"}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(given)))
    module.child()
    assert json.loads(capsys.readouterr().out) == {"error": str(error), "missing": missing}


def test_errors_of_processes_come_out(bench, monkeypatch):
    with pytest.raises(InputError, match=r"cannot measure nothing: KeyError: 'nothing'"):
        bench.job("nothing")
    # What the process itself refuses: there is no such archive, nor a registry to ask.
    monkeypatch.setattr(
        subprocess, "run",
        lambda *a, **o: subprocess.CompletedProcess(a, 0, '{"error": "no", "missing": false}\n'),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"^no$"):
        bench.job("prepare")


def test_a_command_that_fails_is_told(bench, tmp_path):
    process = bench.command(bench.cores[:1], tmp_path / "none.txt", tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"sqam rank exited with 2: .*there is no file"):
        module.finish_rank(process)


def test_other_bytes_on_two_cores_are_an_error(bench, monkeypatch):
    if len(bench.cores) < 2:
        pytest.skip("needs two cores")
    hashes = iter(["a", "b"])
    monkeypatch.setattr(results, "sha256", lambda path: next(hashes))
    with pytest.raises(InputError, match="other bytes on two cores"):
        bench.files()


def test_no_text_of_a_length(tmp_path):
    with pytest.raises(InputError, match="no text of the phrasebook has 31 tokens"):
        Bench(dataclasses.replace(TINY, tokens=(31,)), tmp_path, tmp_path)


@pytest.mark.parametrize("change", [{"repeats": 0}, {"sizes": ()}, {"candidates": (10, 0)}])
def test_settings_that_measure_nothing(change):
    with pytest.raises(InputError, match="measures nothing"):
        dataclasses.replace(Settings(), **change)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--parts", "sizes"], "sizes"),
        (["--lines", "0"], "--lines"),
        (["--budget", "-1"], "--budget"),
    ],
)
def test_bad_arguments(arguments, told, capsys):
    assert module.main(arguments) == 2
    assert told in capsys.readouterr().err


def test_a_system_without_pinning(monkeypatch, capsys):
    monkeypatch.delattr(os, "sched_setaffinity")
    assert module.main(["--quick"]) == 2
    assert "Linux" in capsys.readouterr().err


# The systems.


def scored(texts):
    codes = EmojiCodes.load()
    ranked = Scorer.load(threads=1).rank(texts, codes, rankers.K)
    return [[codes.names.index(match.emoji) for match in matches] for matches in ranked]


TEXTS = ["", "Congrats on the new job!", "so tired today", "pizza", "xkqzvw"]


def test_ours_ranks_as_the_scorer_does(tmp_path):
    assert rankers.ours(tmp_path, tmp_path)(TEXTS) == scored(TEXTS)


@pytest.mark.slow
def test_keras_ranks_as_the_scorer_does(tmp_path):
    pytest.importorskip("keras", reason="needs the extra train")
    code = (
        "import json, sys; from pathlib import Path; from pipelines import rankers; "
        "rank = rankers.keras(Path('.'), Path('.')); "
        "print(json.dumps([rank(json.loads(sys.argv[1]))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(TEXTS)],
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    (found,) = json.loads(done.stdout.splitlines()[-1])
    assert [row[:1] for row in found] == [row[:1] for row in scored(TEXTS)]


@pytest.mark.slow
def test_minilm_ranks_alike_in_torch_and_onnx(tmp_path):
    # Not imported here: PyTorch, loaded after TensorFlow, ends the process.
    if not all(importlib.util.find_spec(name) for name in ("sentence_transformers", "onnx")):
        pytest.skip("needs the extras teacher and train")
    code = (
        "import json, sys; from pathlib import Path; from pipelines import rankers; "
        "folder, cache = map(Path, sys.argv[1:3]); rankers.prepare_minilm(folder, cache); "
        "found = [open_(folder, cache)(json.loads(sys.argv[3])) for open_ in "
        "(rankers.minilm_torch, rankers.minilm_onnx, rankers.minilm_onnx_int8)]; "
        "print(json.dumps(found))"
    )
    texts = [text for text in TEXTS if text]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(sources.CACHE), json.dumps(texts)],
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    torch, onnx, int8 = json.loads(done.stdout.splitlines()[-1])
    assert torch == onnx
    assert np.mean([len({*a} & {*b}) for a, b in zip(onnx, int8, strict=True)]) > 5


def test_the_page_finds_its_figures_in_a_results_file(tmp_path):
    """A file of the form that the command writes makes each of its tables whole."""
    from pipelines import results_page

    timed = {"median": 1.0, "10 %": 0.5, "90 %": 2.0, "repeats": 3}
    times = {"times MiniLM torch": 2.0, "times its int8": 1.0}
    systems = {name: {**timed, **times, "texts": 7} for name in rankers.RANKERS}
    index = {"seconds to build": 1.0, "milliseconds a text, 256 at once": 1.0,
             "milliseconds a text, exact, 256 at once": 1.0, "recall@10": 1.0}  # fmt: skip
    shares = dict.fromkeys(
        ["question network", "with the vectors looked up", "encoder", "file to file"], 0.5
    )
    peaks = {"megabytes at the peak, up to": {"a quarter": 1, "half": 1, "the end": 1}}
    speed = {"texts a second": timed}
    found = {
        "command": "python -m pipelines.benchmark_bulk",
        "one text, milliseconds": {f"{n} tokens": systems for n in Settings.tokens},
        "ranked, texts a second": {
            f"{n} texts": systems for n in (*Settings.sizes, Settings.texts)
        },
        "result objects, texts a second": {str(Settings.texts): timed},
        "sentence features, texts a second": {str(Settings.texts): timed},
        "file to file": {"1 core": speed, "2 cores": speed, "two cores over one": 1.5},
        "floor": {"texts a second": 3.0, "share that is reached": shares},
        "parts": {"parts": {"cosines": {"microseconds a text": 1.0, "share": 1.0}}},
        "memory": {**peaks, "2 cores": peaks},
        "candidates": {
            f"{n:,}": {
                "milliseconds, one text": timed, "milliseconds, 256 texts": timed,
                "megabytes at the peak": 1.0, "indexes": {"inverted lists": index},
            }
            for n in Settings.candidates
        },
    }  # fmt: skip
    (tmp_path / "bulk.json").write_text(json.dumps(found), "utf-8")
    tables = [t for t in results_page.TABLES if "bulk.json" in results_page._files(t)]
    assert len(tables) == 6
    page = results_page.page(tmp_path, tables)
    assert page.count("\n## ") == 6 and "| 1,000,000 candidates, inverted lists | 1.00 |" in page
    assert "| 20 tokens, MiniLM, ONNX, int8 | 1.000 | 0.500 | 2.000 | 2.0 | 1.0 |" in page
