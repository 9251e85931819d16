"""Pre-training: settings, batches, figures, and runs on one and on two workers."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the extra train")

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import corpus, pretrain
from pipelines.corpus import Showing
from pipelines.pretrain import (
    Part,
    PretrainSettings,
    Training,
    batch,
    figures,
    gather,
    main,
    padded,
)
from pipelines.workers import Workers
from sqam.encoder import Encoder
from sqam.model import SQAMSettings
from sqam.scorer import Scorer

ROOT = Path(__file__).resolve().parent.parent
EMOJIS = ["🍕", "😂", "❤️", "🎉"]
TINY = {
    "dimensions": 8, "vocabulary": 60, "max_tokens": 12, "lstm_units": 6, "question_units": (8,),
    "answer_units": (8,), "shared_units": (8,), "space": 6, "batch": 16,
}  # fmt: skip


def texts(n=500):
    """Texts of our own, whose words tell their emoji; 🍕 comes most often."""
    rng = np.random.default_rng(0)
    words = {
        "🍕": "cheese oven slice dinner", "😂": "joke clown silly giggle",
        "❤️": "darling sweet kiss dear", "🎉": "balloon guests candles confetti",
    }  # fmt: skip
    for number in range(n):
        emoji = EMOJIS[(0, 0, 0, 0, 1, 1, 2, 3)[number % 8]]
        others = rng.choice("today we saw the big red house near my old street".split(), 5)
        told = rng.choice(words[emoji].split(), 2)
        yield f"{' '.join([*others[:3], *told, *others[3:]])} {emoji}"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "texts.txt").write_text("\n".join(texts()) + "\n", encoding="utf-8")
    return corpus.prepare([str(folder / "texts.txt")], None, folder / "corpus", buckets=4)


def settings(**changes):
    model = SQAMSettings(**{**TINY, **changes.pop("model", {})})
    return PretrainSettings(model=model, glove="none", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"shards": 0}, {"shards": -1}, {"epochs": 0}, {"steps": 0}, {"buffer": 0}, {"every": 0},
        {"validation": 0}, {"seed": -1}, {"balance": 1.5}, {"balance": -0.1}, {"most": 0.5},
        {"model": {"tune_embedding": False}},
    ],
)  # fmt: skip
def test_settings_that_cannot_be(changes):
    with pytest.raises(InputError):
        settings(**changes)


def test_shards_are_shared_evenly():
    assert settings().for_workers(1, 64).shards == 1
    assert settings().for_workers(4, 64).shards == 4  # as many as workers
    assert settings(shards=4).for_workers(2, 64).shards == 4
    for count, changes, match in (
        (3, {"shards": 4}, "3 workers cannot share 4 shards"),
        (3, {}, "batch of 16 does not divide among 3"),
        (2, {"model": {"batch": 15}}, "batch of 15 does not divide among 2"),
        (8, {}, "8 shards need as many --buckets, not 4"),
    ):
        with pytest.raises(InputError, match=match):
            settings(**changes).for_workers(count, 4)


def test_a_text_of_two_emojis_for_either_objective():
    showings = [Showing([3, 4], (0, 2), 2), Showing([1] * 9, (1,), 1)]
    ids, grades = batch(showings, settings().model, 3, "contrastive")
    assert ids.shape == (2, 12) and ids.dtype == np.int32  # 16 would be the next multiple of 8
    assert ids[0].tolist() == [4, 5] + [0] * 10 and grades.tolist() == [[1, 0, 1], [0, 1, 0]]
    _, grades = batch(showings, settings().model, 3, "softmax")
    assert grades.tolist() == [[0, 0, 1], [0, 1, 0]] and grades.dtype == np.float32


def test_padding_is_as_wide_as_it_must_be():
    assert padded([[1], [1, 2]], settings().model).shape == (2, 8)
    assert padded([[1]], SQAMSettings.preset("2017")).shape == (1, 20)  # without a mask: whole


def test_figures_by_hand():
    # 8 examples of one emoji with 2 and 6 hits, 2 of another with 2 and 2, none of the third.
    found = figures(np.array([[8, 2, 6], [2, 2, 2], [0, 0, 0]]))
    assert found == {
        "examples": 10, "emojis": 2,
        "hit@1": 0.625, "hit@5": 0.875,  # (1/4 + 1) / 2, (3/4 + 1) / 2
        "hit@1, as they come": 0.4, "hit@5, as they come": 0.8,
    }  # fmt: skip
    assert figures(np.zeros((2, 3))) == {"examples": 0}


def material_of(prepared, **changes):
    return gather(settings(**changes), prepared, "4", asset("models", "vae"), Path("none"))


def test_what_is_trained_on(prepared):
    found, material = material_of(prepared, most=3.0)
    names = catalogue().sequences
    assert tuple(names[row] for row in material.rows) == material.codes.names
    assert material.codes.names[0] == "🍕" and set(material.codes.names) == set(EMOJIS)
    # The corpus has fewer words than were asked for; those that come most often are first.
    assert found.model.vocabulary == len(material.words) < 60
    assert material.vectors.shape == (len(material.words), 8)
    assert next(iter(prepared.words())) == material.words[0]
    assert material.rates[0] == 1 and material.rates[-1] == 3
    assert material.showings[0] == prepared.counts[material.rows[0]]


def test_vectors_come_from_glove_where_there_is_one(prepared, tmp_path):
    words = ["cheese", "unheard", "joke", "red"]
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{w} {' '.join([str(i)] * 8)}\n" for i, w in enumerate(words)))
    asked = dataclasses.replace(settings(), glove=str(path))
    vae = asset("models", "vae")
    found, material = gather(asked, prepared, "4", vae, tmp_path)
    assert set(material.words) == {"cheese", "joke", "red"} and found.model.vocabulary == 3
    assert material.vectors[material.words.index("joke")].tolist() == [2] * 8
    path.write_text("unheard 0 0 0 0 0 0 0 0\n")
    with pytest.raises(InputError, match="knows no word of the corpus"):
        gather(asked, prepared, "4", vae, tmp_path)
    path.write_text("joke 0 0 0\n")
    with pytest.raises(InputError, match="3 dimensions"):
        gather(asked, prepared, "4", vae, tmp_path)


def worker(index, count):
    """Return one of several workers that sums nothing."""
    found = Workers(None)
    found.index, found.count = index, count
    return found


def test_parts_of_all_workers_add_up_to_the_whole(prepared):
    found, material = material_of(prepared)

    def scores(ids):
        # Whoever reads "cheese" says 🍕 first, then the others in their order.
        cheese = (np.asarray(ids) == material.words.index("cheese") + 1).any(axis=1)
        return np.where(cheese[:, None], [4.0, 3, 2, 1], [1.0, 2, 3, 4])

    whole = Part(material, found, "validation", worker(0, 1)).measure(scores)
    halves = [Part(material, found, "validation", worker(i, 2)).measure(scores) for i in (0, 1)]
    np.testing.assert_array_equal(whole, halves[0] + halves[1])
    there = [e for b in range(4) for e in prepared.bucket(b, "validation")]
    pizza = [e.text for e in there if e.emojis == (material.rows[0],)]
    assert whole[0].tolist() == [len(pizza), sum("cheese" in t for t in pizza), len(pizza)]
    assert whole[:, 0].sum() == len(there)
    # At most a text of each of four buckets.
    few = Part(material, dataclasses.replace(found, validation=4), "validation", worker(0, 1))
    assert few.measure(scores)[:, 0].sum() == 4


def test_texts_without_a_known_word_are_misses(prepared):
    found, material = material_of(prepared)
    lost = dataclasses.replace(material, words=["unheard", *material.words[1:2]])
    counted = Part(lost, found, "validation", worker(0, 1)).measure(lambda ids: np.eye(4)[[0]])
    known = Part(material, found, "validation", worker(0, 1)).measure(
        lambda ids: np.zeros((len(ids), 4))
    )
    np.testing.assert_array_equal(counted[:, 0], known[:, 0])


def test_a_step_of_two_shards_is_keras_own_of_the_whole_batch(prepared):
    changes = {"dropout": 0.0, "word_dropout": 0.0}
    found, material = material_of(prepared, model=changes, shards=2, steps=3)
    alone = Workers(None)
    ours, keras = (Training("contrastive", found, material, alone) for _ in range(2))
    # No word twice: of rows that come twice Keras's Adam adds up the squares, not the gradients.
    words = iter(range(len(material.words)))
    showings = [Showing([next(words)], (at % 4,), at % 4) for at in range(16)]

    class Given:
        def __init__(self, showings):
            self.showings = showings

        def take(self, n):
            assert n == len(self.showings) == 8
            return self.showings

    before = [np.array(one) for one in ours.model.get_weights()]
    streams: Any = {0: Given(showings[:8]), 1: Given(showings[8:])}
    loss = ours._step(0, streams)
    ids, grades = batch(showings, found.model, 4, "contrastive")
    assert loss == pytest.approx(float(keras.model.train_on_batch(ids, grades)), rel=1e-5)
    moved = 0.0
    pairs = zip(ours.model.get_weights(), keras.model.get_weights(), before, strict=True)
    for now, other, then in pairs:
        # Adam's first step is the rate times the gradient's sign, whatever its size, so nothing
        # rounds away; where the gradient is nearly 0 the two may round to either side.
        assert (np.abs(now - other) < 1e-4).mean() > 0.98
        moved += float(np.abs(now - then).sum())
    assert moved > 1


def command(folder, *options):
    path = folder / "texts.txt"
    if not path.exists():
        path.write_text("\n".join(texts()) + "\n", encoding="utf-8")
    found = ["--input", str(path), "--emojis", "4", "--buckets", "4", *options]
    for name, value in TINY.items():
        value = list(value) if isinstance(value, tuple) else value
        found += ["--set", f"model.{name}={json.dumps(value)}"]
    return [*found, "--set", "glove=none"]


def places(folder, name):
    return ["--work", str(folder / f"work-{name}"), "--output", str(folder / name)]


@pytest.mark.slow
def test_a_run_with_both_objectives(tmp_path, capsys):
    from sqam.cli import main as sqam

    run = [
        *command(tmp_path, "--objectives", "contrastive", "softmax"),
        *places(tmp_path, "both"),
        *("--set", "epochs=6", "--set", "every=40", "--set", "model.learning_rate=0.02"),
    ]
    assert main(run) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "both" / "pretrain.json").read_text("utf-8"))
    for objective in pretrain.OBJECTIVES:
        measured = found["figures"][objective]
        assert measured["history"][-1]["step"] == measured["steps"]
        assert [row["step"] for row in measured["history"][:2]] == [40, 80]
        # The words tell the emoji; by chance it would be a quarter.
        assert measured["validation"]["hit@1"] > 0.6 and measured["held-out"]["hit@1"] > 0.6
        assert measured["validation"]["hit@5"] == 1  # of four
        assert f"hit@1 {measured['validation']['hit@1']:.3f}" in shown
    assert found["texts"]["read"] == 500 and found["workers"] == 1
    assert found["emojis"]["🍕"]["rate"] == 1 < found["emojis"]["🎉"]["rate"]

    folder = tmp_path / "both"
    saved = json.loads((folder / "sqam" / "config.json").read_text("utf-8"))
    assert saved["emojis"][0] == "🍕" and saved["training"]["balance"] == 1.0
    assert str(tmp_path) not in json.dumps([saved, found["data"]])
    assert sqam(["rank", "cheese oven", "--model", str(folder), "--among", *EMOJIS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matches"][0]["emoji"] == "🍕"
    features = Encoder.load(folder / "sqam").encode(["cheese oven"])
    assert features.shape[0] == 1 and np.isfinite(features).all()
    assert (folder / "softmax" / "emojis.txt").read_text("utf-8").split()[0] == "🍕"

    # The same command again trains nothing; another one does not go on with these weights.
    before = Scorer.load(folder / "sqam").score(["dear"], EmojiCodes.load())
    assert main(run) == 0 and "going on after step" in capsys.readouterr().err
    again = Scorer.load(folder / "sqam").score(["dear"], EmojiCodes.load())
    np.testing.assert_allclose(again, before, atol=1e-6)
    for options, match in (
        (["--set", "epochs=7"], "other settings"),
        (["--emojis", "3"], "other settings"),
        (["--emojis", "5"], "only 4 different emojis"),
        (["--buckets", "5"], "another corpus"),
    ):
        assert main([*run, *options]) == 2
        error = capsys.readouterr().err
        assert match in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--input", "none-*.txt"], "there is no file"),
        (["--column", "body"], "no column 'body'"),
        (["--workers", "3"], "does not divide among 3 shards"),
        (["--workers", "2", "--set", "shards=3"], "2 workers cannot share 3 shards"),
        (["--workers", "0"], "not a whole number"),
        (["--restarts", "-1"], "at least 0"),
        (["--set", "epoch=2"], "no setting 'epoch=2'"),
        (["--set", "model.units=2"], "unknown setting 'units'"),
        (["--preset", "none"], "no preset 'none'"),
        (["--objectives", "hinge"], "invalid choice"),
        (["--emojis", "7"], "only 4 different emojis"),
        (["--vae", "none"], "none"),
        (["--set", "glove=none.txt"], "none.txt"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(options, match, tmp_path, capsys):
    assert main([*command(tmp_path), *places(tmp_path, "bad"), *options]) == 2
    *told, error = capsys.readouterr().err.strip().split("\n")
    assert match in error and all(line.startswith("texts:") for line in told)
    assert not (tmp_path / "bad").exists()


def test_a_cluster_wants_its_corpus_prepared(tmp_path, capsys, monkeypatch):
    task = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    run = [*command(tmp_path), *places(tmp_path, "cluster")]
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    assert main(run) == 2 and "run the command with --prepare" in capsys.readouterr().err
    assert main([*run, "--workers", "3"]) == 2
    assert "TF_CONFIG tells of 2" in capsys.readouterr().err
    monkeypatch.delenv("TF_CONFIG")
    assert main([*run, "--prepare"]) == 0
    assert corpus.Prepared(tmp_path / "work-cluster" / "corpus").texts["read"] == 500
    assert not (tmp_path / "cluster").exists()


STEPS = ("--set", "steps=12", "--set", "every=2", "--set", "shards=2", "--set", "model.dropout=0.3")


def start(folder, name, *options):
    arguments = [*command(folder), *places(folder, name), *STEPS, *options]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.pretrain", *arguments],
        cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def weights(folder, name):
    """Return what the last checkpoint holds: name -> array, the optimizer's state too."""
    import h5py

    found: dict[str, np.ndarray] = {}

    def keep(name, one):
        if isinstance(one, h5py.Dataset):
            found[name] = one[()]

    (path,) = (folder / f"work-{name}" / "contrastive").glob("epoch-*.weights.h5")
    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def alike(folder, name, other):
    first, second = weights(folder, name), weights(folder, other)
    assert first.keys() == second.keys() and len(first) > 20
    for key in first:
        np.testing.assert_allclose(first[key], second[key], atol=2e-5, rtol=1e-4, err_msg=key)
    logs = [
        json.loads((folder / f"work-{one}" / "contrastive" / "log.json").read_text("utf-8"))
        for one in (name, other)
    ]
    assert logs[0]["state"] == logs[1]["state"] and logs[0]["state"]["step"] == 12
    asked = ["cheese oven", "dear darling kiss"]
    ours, theirs = (
        Scorer.load(folder / one / "sqam").score(asked, EmojiCodes.load()) for one in (name, other)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.slow
def test_two_workers_train_what_one_does_even_if_one_is_killed(tmp_path):
    one = start(tmp_path, "one")
    _, error = one.communicate()
    assert one.returncode == 0, error
    log = tmp_path / "work-one" / "contrastive" / "log.json"
    history = json.loads(log.read_text("utf-8"))["history"]
    assert [row["step"] for row in history] == [2, 4, 6, 8, 10, 12]

    two = start(tmp_path, "two", "--workers", "2")
    _, error = two.communicate()
    assert two.returncode == 0, error
    assert len(re.findall(r"^worker \d is process \d+$", error, re.MULTILINE)) == 2
    alike(tmp_path, "one", "two")

    killed = start(tmp_path, "killed", "--workers", "2")
    log = tmp_path / "work-killed" / "contrastive" / "log.json"
    workers: dict[int, int] = {}
    told: list[str] = []
    done = threading.Event()

    def kill():
        while not (log.exists() and 1 in workers):
            if done.wait(0.005):
                return
        os.kill(workers[1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert killed.stderr is not None
    for line in killed.stderr:
        told.append(line)
        found = re.match(r"worker (\d) is process (\d+)", line)
        if found and int(found[1]) not in workers:
            workers[int(found[1])] = int(found[2])
    done.set()
    killer.join()
    assert killed.wait() == 0, "".join(told)
    assert "starting all again (1 of 3)" in "".join(told)
    assert re.search(r"going on after step (2|4|6|8|10)\b", "".join(told)), "".join(told)
    alike(tmp_path, "one", "killed")


@pytest.mark.slow
def test_a_run_that_is_killed_whole_goes_on_when_it_is_started_again(tmp_path):
    whole = start(tmp_path, "whole")
    whole.communicate()
    run = start(tmp_path, "again", "--workers", "2")
    log = tmp_path / "work-again" / "contrastive" / "log.json"
    while not log.exists() and run.poll() is None:
        time.sleep(0.005)
    run.kill()  # the process that started the workers; they end by themselves
    assert run.stderr is not None
    run.stderr.read()  # to the end: no worker is left that could write to it
    assert json.loads(log.read_text("utf-8"))["state"]["step"] < 12
    # One worker may take over from two: the shards are the same.
    again = start(tmp_path, "again")
    _, error = again.communicate()
    assert again.returncode == 0 and "going on after step" in error
    alike(tmp_path, "whole", "again")
