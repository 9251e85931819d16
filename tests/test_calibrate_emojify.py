"""The choice of the least score: measures by hand, and the command on small data."""

import json

import numpy as np
import pytest

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import phrases, results
from pipelines.calibrate_emojify import (
    CalibrationSettings,
    choose,
    curve,
    main,
    measure,
    resampled,
)
from sqam.scorer import Scorer

# Thresholds 0, 0.25, 0.5, 0.75 and 1.
COARSE = CalibrationSettings(step=0.25, resamples=50)
SCORES = np.array([0.9, 0.6, 0.6, -np.inf])
RIGHT = np.array([True, False, True, False])


def test_curve_by_hand():
    found = curve(SCORES, RIGHT, COARSE)
    # Of 4 texts, 3 have an emoji up to 0.5, then 1, then none; right are 2, 1 and 0.
    assert found["coverage"].tolist() == [0.75, 0.75, 0.75, 0.25, 0]
    assert found["precision"].tolist()[:4] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1])
    assert np.isnan(found["precision"][4])
    assert found["recall"].tolist() == [0.5, 0.5, 0.5, 0.25, 0]
    # F0.5 = 1.25 P R / (0.25 P + R): (1.25 * 2/3 * 1/2) / (1/6 + 1/2) = 0.625, and
    # (1.25 * 1 * 1/4) / (1/4 + 1/4) = 0.625.
    assert found["F"].tolist() == pytest.approx([0.625, 0.625, 0.625, 0.625, 0])


def test_the_best_mean_is_chosen_and_the_lowest_of_equals():
    assert choose({"a": (SCORES, RIGHT)}, COARSE) == 0
    # A kind whose low scores are wrong: without those below 0.75 its F is 1.25 / 1.25 = 1.
    other = (np.array([0.8, 0.6, 0.3]), np.array([True, False, False]))
    # F: 1.25 / (0.25 * 3 + 3) = 1/3, then 2 of 3 at 0.5, 1 at 0.75: 1.25 / 1.75 = 0.71.
    assert curve(*other, COARSE)["F"].tolist() == pytest.approx(
        [1 / 3, 1 / 3, 1.25 / 2.75, 1.25 / 1.75, 0]
    )
    assert choose({"a": (SCORES, RIGHT), "b": other}, COARSE) == 0.75


def test_a_score_at_the_threshold_counts():
    found = curve(np.array([0.5]), np.array([True]), COARSE)
    assert found["coverage"].tolist() == [1, 1, 1, 0, 0]


def test_resamples_repeat_and_spread():
    rng = np.random.default_rng(0)
    scores = rng.random(200)
    measured = {"a": (scores, rng.random(200) < scores)}
    first = resampled(measured, COARSE)
    assert first == resampled(measured, COARSE) and len(first) == 50
    assert set(first) <= {0.0, 0.25, 0.5, 0.75} and len(set(first)) > 1


@pytest.fixture(scope="module")
def shipped():
    return Scorer.load(), EmojiCodes.load()


def test_only_validation_texts_of_the_kind_are_measured(shipped):
    scorer, codes = shipped
    pizza = catalogue().index("🍕")
    (best,) = scorer.rank(["pizza"], codes, 1)[0]
    texts = [
        phrases.Phrase("pizza", (catalogue().index(best.emoji),), "sentence", "validation"),
        phrases.Phrase("zzxqvw", (pizza,), "sentence", "validation"),
        phrases.Phrase("pizza", (), "tweet", "validation"),
        phrases.Phrase("pizza", (pizza,), "sentence", "train"),
        phrases.Phrase("pizza", (pizza,), "sentence", "held-out"),
    ]
    scores, right = measure(scorer, codes, texts, ["sentence"])["sentence"]
    assert scores.tolist() == [pytest.approx(best.score), -np.inf]
    assert right.tolist() == [True, False]
    with pytest.raises(InputError, match="no validation text is a 'labelled tweet'"):
        measure(scorer, codes, texts, ["labelled tweet"])


def test_the_command_needs_its_data(tmp_path, capsys):
    output = tmp_path / "x.json"
    assert main(["--data", str(tmp_path), "--output", str(output)]) == 2
    assert "name the data's folder" in capsys.readouterr().err
    assert main(["--model", str(tmp_path), "--output", str(output)]) == 2
    assert not output.exists()


def test_the_command_repeats_the_shipped_figures(tmp_path):
    if not phrases.DATA.is_dir():
        pytest.skip(f"the sentences are not at {phrases.DATA}")
    output = tmp_path / "x.json"
    assert main(["--output", str(output)]) == 0
    found = json.loads(output.read_text("utf-8"))
    kept = json.loads(asset("results", "emojify.json").read_text("utf-8"))
    assert found["settings"] == kept["settings"]
    assert found["minimum score"] == pytest.approx(kept["minimum score"], abs=0.0101)
    for kind, figures in found["figures"].items():
        assert figures["texts"] == kept["figures"][kind]["texts"]
        shown, expected = (one["at the chosen one"] for one in (figures, kept["figures"][kind]))
        assert shown["precision"] == pytest.approx(expected["precision"], abs=0.02)


def test_the_figures_are_of_the_model_that_ships():
    kept = json.loads(asset("results", "emojify.json").read_text("utf-8"))
    files = [
        asset("models", "sqam", "question.onnx"),
        asset("models", "sqam", "answer.onnx"),
        asset("models", "vae", "codes.npz"),
    ]
    # After another training: python -m pipelines.calibrate_emojify, and its value as MIN_SCORE.
    assert results.hashes(files).items() <= kept["data"].items()
