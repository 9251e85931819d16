"""Workers: who they are, and what happens when one of them ends."""

import json
import subprocess
import sys

import numpy as np
import pytest

from emoji_vae.errors import InputError
from pipelines import workers
from pipelines.workers import Place, Workers, launch, place


def config(index=0, kind="worker", **cluster):
    task = {"type": kind, "index": index}
    return {
        "TF_CONFIG": json.dumps({"cluster": cluster or {"worker": ["a:1", "b:2"]}, "task": task})
    }


def test_the_place_that_tf_config_tells():
    assert place({}) is None and place({"TF_CONFIG": ""}) is None
    assert place(config(1)) == Place(1, 2)


@pytest.mark.parametrize(
    "environment",
    [
        {"TF_CONFIG": "{"},
        {"TF_CONFIG": "[]"},
        {"TF_CONFIG": "{}"},
        config(2),
        config(-1),
        config("x"),
        config(kind="chief"),
        config(worker=["a:1"], chief=["b:2"]),
    ],
)
def test_a_tf_config_that_cannot_be(environment):
    with pytest.raises(InputError, match="TF_CONFIG cannot be"):
        place(environment)


def test_one_worker_adds_nothing():
    alone = Workers(None)
    assert (alone.index, alone.count) == (0, 1)
    (found,) = alone.sum([np.ones(3)])
    np.testing.assert_array_equal(found, np.ones(3))


SEEN = """
import json, os, pathlib, sys
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
folder = pathlib.Path({folder!r})
"""


def script(folder, rest):
    return [sys.executable, "-c", SEEN.format(folder=str(folder)) + rest]


def test_all_are_told_of_all(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    save = (
        "(folder / str(index)).write_text(json.dumps([config, os.environ['CUDA_VISIBLE_DEVICES']]))"
    )
    assert launch(script(tmp_path, save), 2, 0) == 0
    found = [json.loads((tmp_path / str(index)).read_text()) for index in (0, 1)]
    assert [config["task"] for config, _ in found] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
    ]
    assert found[0][0]["cluster"] == found[1][0]["cluster"]
    assert len(set(found[0][0]["cluster"]["worker"])) == 2
    assert [device for _, device in found] == ["4", "7"]


def test_all_start_again_when_one_dies(tmp_path, capfd):
    # Worker 1 kills itself the first time, while worker 0 would wait for a minute.
    rest = """
import signal, time
with open(folder / f"starts-{index}", "a") as file:
    file.write("x")
first = len((folder / f"starts-{index}").read_text()) == 1
if index == 1 and first:
    while not (folder / "starts-0").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
if index == 0 and first:
    time.sleep(60)
"""
    assert launch(script(tmp_path, rest), 2, 2) == 0
    assert [(tmp_path / f"starts-{index}").read_text() for index in (0, 1)] == ["xx", "xx"]
    assert "ended with code -9; starting all again (1 of 2)" in capfd.readouterr().err


@pytest.mark.parametrize(("code", "starts"), [(2, 1), (3, 2)])
def test_bad_input_is_not_tried_again_and_nothing_for_ever(tmp_path, code, starts):
    rest = f"""
with open(folder / f"starts-{{index}}", "a") as file:
    file.write("x")
if index == 0:
    sys.exit({code})
import time
time.sleep(60)
"""
    assert launch(script(tmp_path, rest), 2, 1) == code
    assert (tmp_path / "starts-0").read_text() == "x" * starts


@pytest.mark.parametrize("launched", [True, False])
def test_a_worker_ends_with_who_started_it(launched, monkeypatch):
    monkeypatch.setenv(workers._LAUNCHED, "1") if launched else None
    rest = "from pipelines import workers; workers.end_with_parent(); print(flush=True)"
    rest += "; import time; time.sleep(60 if sys.argv[1] == 'True' else 1)"
    worker = subprocess.Popen(
        [sys.executable, "-c", "import sys; " + rest, str(launched)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdout.readline()
    worker.stdin.close()
    assert worker.wait(30) == (1 if launched else 0)
    worker.stdout.close()
