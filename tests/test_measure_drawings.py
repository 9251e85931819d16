"""Measures of drawings: distances by hand, and a classifier that can fail and can succeed."""

import json
import shutil

import numpy as np
import pytest

from emoji_vae import images
from emoji_vae.locations import asset
from pipelines import measure_drawings as module
from pipelines.measure_drawings import (
    ClassifierSettings,
    edge_energy,
    likely_and_new,
    main,
    told_apart,
)

QUICK = ClassifierSettings(widths=(4, 4, 4, 4, 4), epochs=6, batch=32)


def test_edge_energy_by_hand():
    # One channel, 3 x 3 pixels: 2 x 2 places have a neighbour to the right and one below. Steps
    # (across, down): (3, 4) and (0, -3) in the first row, (-4, -4) and (0, 0) in the second; their
    # lengths are 5, 3, sqrt(32) and 0.
    picture = np.array([[0, 3, 3], [4, 0, 0], [0, 0, 0]], np.float32)[None, :, :, None]
    assert edge_energy(picture) == pytest.approx((5 + 3 + np.sqrt(32) + 0) / 4)


def test_likely_and_new_by_hand():
    # Real codes at 0, 1, 2, ..., 9 on a line: each is 1 from the next, so every quantile is 1.
    real_codes = np.arange(10, dtype=np.float32)[:, None]
    # Their pictures likewise: grey levels 0, 0.1, ... of which each lies 0.1 x 72 = 7.2 apart.
    real = np.tile(real_codes[:, :, None, None] / 10, (1, 36, 36, 4))
    # Drawn: a copy; one half-way in both; one half-way in codes whose picture is a copy; far out.
    codes = np.array([[3.0], [20.0], [3.5], [11.5]], np.float32)
    drawn = np.stack([real[3], real[3] + 0.5, real[4], real[9] + 0.2])
    found = likely_and_new(drawn, codes, real, real_codes)
    # Distances to the nearest real code: 0, 11, 0.5, 2.5; two are within 1.
    assert found["within the real codes' distances"] == 0.5
    # Farther than 1: 11 and 2.5.
    assert found["no copy, codes"] == 0.5
    # Grey 0.8 is real; of 0.3, 0.8, 0.4 and 1.1 only the last is 0.2 from the nearest.
    assert found["no copy, pixels"] == 0.25
    assert found["no copy"] == 0.25


def test_the_classifier_tells_what_differs_and_not_what_is_alike():
    pictures = images.sheet()
    # Noise on every pixel gives a picture away.
    noisy = np.clip(pictures + np.random.default_rng(0).normal(0, 0.1, pictures.shape), 0, 1)
    assert told_apart(noisy[:400].astype(np.float32), pictures[400:800], 0, QUICK) > 0.9
    # Real against real: by chance. 400 answers: three standard errors are 0.075.
    order = np.random.default_rng(1).permutation(len(pictures))
    assert told_apart(pictures[order[:400]], pictures[order[400:800]], 0, QUICK) < 0.6


def test_the_command_writes_figures(tmp_path, monkeypatch):
    model = tmp_path / "model"
    shutil.copytree(asset("models", "vae"), model)
    monkeypatch.setattr(module, "told_apart", lambda drawn, real, seed: 0.5 + seed / 10)
    monkeypatch.setattr(module, "DRAWINGS", 20)
    assert (
        main(["--model", str(model), "--seeds", "0", "1", "--output", str(tmp_path / "x.json")])
        == 0
    )
    found = json.loads((tmp_path / "x.json").read_text("utf-8"))
    assert found["seeds"] == [0, 1] and found["drawings a seed"] == 20
    told = found["figures"]["drawings"]["told from real ones"]
    assert told["values"] == [0.5, 0.6] and told["mean"] == 0.55  # (0.5 + 0.6) / 2
    assert set(found["figures"]) == {"drafts", "drawings"}


def test_no_model(tmp_path, capsys):
    assert main(["--model", str(tmp_path / "none"), "--output", str(tmp_path / "x.json")]) == 2
    assert "none" in capsys.readouterr().err
