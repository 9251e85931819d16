"""Opening exported networks: how many threads they get."""

import os

import onnxruntime
import pytest

from emoji_vae import network
from emoji_vae.locations import asset


@pytest.mark.parametrize(
    ("asked", "allowed", "there", "expected"),
    [
        (0, {0, 1, 2, 3}, 4, 0),  # all processors: the runtime chooses
        (0, {2}, 4, 1),  # held to one, as by taskset: it would use the others, too
        (0, {1, 3}, 4, 2),
        (3, {2}, 4, 3),  # what is asked for is given
        (0, {0}, None, 0),  # nobody knows how many there are
    ],
)
def test_threads_keep_to_the_processors_of_the_process(
    monkeypatch, asked, allowed, there, expected
):
    given = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: there)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda content, options, providers: given.append(options.intra_op_num_threads),
    )
    network.open_network(asset("models", "sqam", "question.onnx"), asked)
    assert given == [expected]
