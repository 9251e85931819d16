"""The transfer benchmark: sets in their layout, baselines, choices by validation, resuming."""

import csv
import gzip
import json
import re
import shutil

import numpy as np
import onnx
import pytest

pytest.importorskip("keras", reason="needs the extra train")

from emoji_vae.errors import InputError
from pipelines import minilm, transfer
from pipelines.transfer import Log, baseline, figures, jobs, main, read
from sqam.encoder import Encoder
from sqam.finetune import STRATEGIES, FineTuneSettings

GOOD = ["i love you", "happy morning", "good pizza", "you love the morning", "a good happy pizza"]
BAD = [f"not {text}" for text in GOOD]
MOODS = [(text, "1") for text in GOOD] + [(text, "0") for text in BAD]
KINDS = [(text, str(int("not" in text)), str(int("pizza" in text))) for text, _ in MOODS]
LABELS = {
    "Mood": {
        "classes": ["down", "up"], "multi_label": False, "columns": ["label"],
        "metric": "accuracy", "rows": {}, "note": "whatever",
    },
    "Kind": {
        "classes": ["not", "pizza"], "multi_label": True, "columns": ["negated", "eaten"],
        "metric": "class-averaged F1",
    },
}  # fmt: skip


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two sets, whose test part has two texts that train lacks."""
    (tmp_path / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    for name, header, rows in (
        ("Mood", ("text", "label"), MOODS),
        ("Kind", ("text", "negated", "eaten"), KINDS),
    ):
        last = {"Mood": ("1", "0"), "Kind": (("0", "1"), ("1", "0"))}[name]
        fresh = [("you the pizza", *last[0]), ("not the morning", *last[1])]
        write(tmp_path / name / "train.csv.gz", header, rows * 3)
        write(tmp_path / name / "val.csv.gz", header, rows)
        write(tmp_path / name / "test.csv.gz", header, [*rows, *fresh])
    return tmp_path


# Reading.


def test_sets_are_read(folder):
    mood, kind = read(folder)
    assert (mood.name, kind.name) == ("Mood", "Kind")
    assert mood.classes == ["down", "up"] and not mood.multi_label and kind.multi_label
    assert mood.train.texts == [text for text, _ in MOODS] * 3
    assert mood.val.labels.tolist() == [1] * 5 + [0] * 5
    assert kind.test.labels.shape == (12, 2) and kind.test.labels[-1].tolist() == [1, 0]
    assert mood.correct(mood.val)[[0, -1]].tolist() == [[0, 1], [1, 0]]
    assert sorted(mood.hashes) == ["Mood/test.csv.gz", "Mood/train.csv.gz", "Mood/val.csv.gz"]
    assert [task.name for task in read(folder, ["Kind"])] == ["Kind"]


def change(folder, name, **changes):
    described = json.loads((folder / "labels.json").read_text("utf-8"))
    described[name] |= changes
    (folder / "labels.json").write_text(json.dumps(described), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "labels.json").unlink(), "name a folder with labels.json"),
        (lambda f: (f / "labels.json").write_text("{"), "does not describe sets"),
        (lambda f: (f / "labels.json").write_text("[]"), "does not describe sets"),
        (lambda f: (f / "labels.json").write_text('{"Mood": {}}'), "does not describe sets"),
        (lambda f: change(f, "Mood", metric="luck"), "no measure 'luck'"),
        (lambda f: change(f, "Kind", columns=["negated"]), "1 columns for 2 classes"),
        (lambda f: change(f, "Mood", columns=["mood"]), "no column 'mood'"),
        (lambda f: (f / "Kind" / "val.csv.gz").unlink(), "val.csv.gz"),
        (lambda f: write(f / "Mood" / "val.csv.gz", ("text", "label"), []), "holds no text"),
        (lambda f: write(f / "Mood" / "test.csv.gz", ("text", "label"), [("a", "1"), ("b", "2")]),
         r"row 2: a label is no whole number from 0 to 1"),
        (lambda f: write(f / "Kind" / "test.csv.gz", ("text", "negated", "eaten"),
                         [("a", "1", "")]), r"row 1: a label"),
    ],
)  # fmt: skip
def test_what_is_no_set(folder, spoil, said, capsys):
    spoil(folder)
    assert main(["--data", str(folder), "--output", str(folder / "x.json")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error)


# Figures.


def task_of(folder, name="Mood"):
    return read(folder, [name])[0]


def test_figures_by_hand(folder):
    task = task_of(folder)

    def told(part):
        return {"accuracy": len(part.texts) / 100, "class-averaged F1": 0.5}

    found = figures(task, told)
    # Ten of val, twelve of test, of which two are in neither train nor val.
    assert found["validation"] == 0.1 and found["test"] == 0.12
    assert found["test, not in train or val"] == 0.02
    assert found["measures"]["test"] == {"accuracy": 0.12, "class-averaged F1": 0.5}
    assert figures(task_of(folder, "Kind"), told)["test"] == 0.5
    known = task._replace(test=task.val)
    assert "test, not in train or val" not in figures(known, told)


def test_a_baseline_learns_and_chooses(folder):
    def vectors(texts):
        return np.array([["not" in text, "pizza" in text] for text in texts], dtype=float)

    for name in ("Mood", "Kind"):
        found = baseline(task_of(folder, name), vectors, 0.25)
        assert found["test"] == 1.0 and found["validation"] == 1.0
        assert found["chosen"]["strength"] in transfer.STRENGTHS
    assert baseline(task_of(folder), transfer._tfidf(task_of(folder)), 0.25)["validation"] == 1.0


def test_a_run_is_made_once(tmp_path):
    made: list[int] = []

    def make():
        made.append(len(made))
        return {"test": made[-1]}

    log = Log(tmp_path / "new" / "work", {"model": "a"})
    assert [log({"seed": 0}, make), log({"seed": 1}, make), log({"seed": 0}, make)] == [
        {"test": 0}, {"test": 1}, {"test": 0},
    ]  # fmt: skip
    # Of another model, or from a damaged file, it is another one.
    assert Log(tmp_path / "new" / "work", {"model": "b"})({"seed": 0}, make) == {"test": 2}
    for path in (tmp_path / "new" / "work").iterdir():
        path.write_text("{")
    assert log({"seed": 0}, make) == {"test": 3}


@pytest.fixture
def pretended(monkeypatch):
    """Have strategies give made-up figures; the runs are listed."""
    runs = []

    def tuned(task, encoder, strategy, settings, seed):
        runs.append((strategy, settings.learning_rate, settings.new_rate, seed))
        # The slower rate validates best for "full", the faster one for "chain-thaw".
        loss = settings.learning_rate * (1 if strategy == "full" else -1)
        found = {"validation": 0.5, "test": 0.1 * seed, "loss": loss, "measures": {}}
        return {name: found for name in [strategy, *([transfer.WIDE] * (strategy == "chain-thaw"))]}

    monkeypatch.setattr(transfer, "tuned", tuned)
    rates = ({"learning_rate": 0.01}, {"learning_rate": 0.002})
    monkeypatch.setattr(transfer, "GRID", transfer.GRID | {"full": rates, "chain-thaw": rates})
    return runs


def bench_of(tmp_path, seeds, encoder=None):
    log = Log(tmp_path / "work", {})
    return transfer.Bench(encoder, FineTuneSettings(), seeds, log, None)


def test_settings_are_chosen_by_validation_with_the_first_seed(folder, pretended, tmp_path):
    counted = []
    found = transfer.measure(
        task_of(folder), bench_of(tmp_path, [4, 1, 2]), ["full", "chain-thaw"],
        lambda: counted.append(1),
    )  # fmt: skip
    assert [(strategy, rate, seed) for strategy, rate, _, seed in pretended] == [
        ("full", 0.01, 4), ("full", 0.002, 4), ("full", 0.002, 1), ("full", 0.002, 2),
        ("chain-thaw", 0.01, 4), ("chain-thaw", 0.002, 4), ("chain-thaw", 0.01, 1),
        ("chain-thaw", 0.01, 2),
    ]  # fmt: skip
    assert len(counted) == jobs(["full", "chain-thaw"], [4, 1, 2]) == 8
    assert list(found) == ["full", "chain-thaw", transfer.WIDE]
    # 0.4, 0.1 and 0.2: their mean is 0.2333, the deviation sqrt(0.02333) = 0.15275.
    assert found["full"]["test"] == {"mean": 0.23333, "sd": 0.15275, "values": [0.4, 0.1, 0.2]}
    assert found["full"]["chosen"] == {"learning_rate": 0.002}
    assert found[transfer.WIDE]["chosen"] == {"learning_rate": 0.01}


def test_an_interrupted_command_goes_on(folder, pretended, tmp_path, monkeypatch):
    true = transfer.tuned

    def interrupted(*arguments):
        if len(pretended) == 2:
            raise KeyboardInterrupt
        return true(*arguments)

    monkeypatch.setattr(transfer, "tuned", interrupted)
    bench = bench_of(tmp_path, [0, 1])
    with pytest.raises(KeyboardInterrupt):
        transfer.measure(task_of(folder), bench, ["full"], lambda: None)
    monkeypatch.setattr(transfer, "tuned", true)
    found = transfer.measure(task_of(folder), bench, ["full"], lambda: None)
    assert len(pretended) == 3 and found["full"]["test"]["values"] == [0.0, 0.1]
    transfer.measure(task_of(folder), bench, ["full"], lambda: None)
    assert len(pretended) == 3


def test_order_of_systems():
    assert transfer.SYSTEMS == ("TF-IDF", "MiniLM", *STRATEGIES)
    assert set(transfer.GRID) == set(STRATEGIES)
    for changes in transfer.GRID.values():
        assert all(FineTuneSettings.from_dict(change) for change in changes)


# The command.


@pytest.fixture
def command(tiny, folder, tmp_path, monkeypatch):
    """Return the arguments that run the command on the tiny model, with vectors made up."""

    def vectors(texts, cache, where):
        assert where == tmp_path / "vectors"
        return np.array([["not" in text, "pizza" in text] for text in texts], dtype=np.float32)

    monkeypatch.setattr(minilm, "in_a_process", vectors)
    return [
        "--data", str(folder), "--model", str(tiny["folder"]), "--work", str(tmp_path / "work"),
        "--vectors", str(tmp_path / "vectors"), "--output", str(tmp_path / "x.json"),
        "--set", "tokens=7", "--set", "epochs=2", "--set", "layer_epochs=1", "--set", "batch=10",
    ]  # fmt: skip


def test_the_command(command, tmp_path, monkeypatch, capsys):
    quick = {"chain-thaw": ({"learning_rate": 0.02},), "last": ({},)}
    monkeypatch.setattr(transfer, "GRID", transfer.GRID | quick)
    systems = ["--systems", "chain-thaw", "last", "MiniLM", "TF-IDF"]
    arguments = [*command, "--sets", "Kind", *systems, "--seeds", "3"]
    assert main(arguments) == 0
    found = json.loads((tmp_path / "x.json").read_text("utf-8"))
    assert found["command"].startswith("python -m pipelines.transfer --data ")
    kind = found["sets"]["Kind"]
    assert list(kind["figures"]) == ["TF-IDF", "MiniLM", "last", "chain-thaw", transfer.WIDE]
    assert kind["texts"] == {"train": 30, "val": 10, "test": 12} and kind["published"] is None
    assert kind["figures"]["MiniLM"]["test"] == 1.0
    for name in ("last", "chain-thaw", transfer.WIDE):
        one = kind["figures"][name]
        assert 0 <= one["test"]["mean"] <= 1 and one["test"]["sd"] is None
        assert one["test"] == one["measures"]["test"]["class-averaged F1"]
    assert found["settings"]["fine-tuning"]["epochs"] == 2 and found["seeds"] == [3]
    assert {"question.onnx", "Kind/train.csv.gz"} <= set(found["data"])
    out = capsys.readouterr().out
    assert "Kind" in out and "chain-thaw, n-grams" in out and "100.0 %" in out
    # The same command again makes nothing anew, and comes to the same.
    monkeypatch.setattr(transfer, "finetune", None)
    assert main(arguments) == 0
    assert json.loads((tmp_path / "x.json").read_text("utf-8"))["sets"] == found["sets"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--systems", "luck"], "no system 'luck'"),
        (["--sets", "Luck"], "no set 'Luck'; choose from Mood, Kind"),
        (["--seeds", "-1"], "seeds are [-1]"),
        (["--seeds", "1", "1"], "seeds are [1, 1]"),
        (["--set", "speed=1"], "unknown setting 'speed'"),
        (["--set", "epochs"], "write NAME=VALUE"),
        (["--set", "learning_rate=1"], "learning_rate is chosen on the validation part"),
        (["--output", "nowhere/x.json"], "nowhere"),
        (["--model", "nowhere"], "no model at 'nowhere'"),
    ],
)
def test_bad_arguments(command, more, said, capsys):
    assert main([*command, *more]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_an_older_model_is_refused_at_once(command, tiny, tmp_path, capsys):
    older = shutil.copytree(tiny["folder"], tmp_path / "older")
    graph = onnx.load(older / "question.onnx")
    del graph.graph.output[1:]
    (older / "question.onnx").write_bytes(graph.SerializeToString())
    assert Encoder.load(older)
    assert main([*command, "--model", str(older)]) == 2
    assert "export_again" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_vectors_are_made_in_a_process_of_their_own(tmp_path, monkeypatch):
    """Without the encoder's archive or package the process says what is missing."""
    folder = tmp_path / "vectors"
    folder.mkdir()
    np.save(folder / "vectors.npy", np.ones((2, 384), dtype=np.float16))
    (folder / "texts.json").write_text('["a", "naïve 😀"]', encoding="utf-8")
    found = minilm.in_a_process(["naïve 😀", "a", "a"], tmp_path, folder)
    assert found.shape == (3, 384)
    (folder / "texts.json").write_text('["a"]', encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot encode texts by MiniLM: .*damaged"):
        minilm.in_a_process(["a"], tmp_path, folder)
