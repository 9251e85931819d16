"""The airline tweets' teacher: what it is trained towards, what it labels, what is kept."""

import dataclasses
import sys

import numpy as np
import pytest

from emoji_vae.errors import InputError
from pipelines import airline_teacher as module
from pipelines import glove
from pipelines.airline_teacher import AirlineTeacherSettings, main, target, taught, varied
from pipelines.airline_tweets import Tweet

SMALL = AirlineTeacherSettings(variations=3)
N = 400
# Words up to the 150th stay; of the others the next one in a ring is always among the nearest.
ANGLES = np.linspace(0, 2 * np.pi, N, endpoint=False)
NAMES = ["".join(chr(97 + int(d)) for d in f"{n:03}") for n in range(N)]
WORDS = glove.Glove(NAMES, np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32))
TRAIN = [
    Tweet(f"{NAMES[3]} {NAMES[200]} {NAMES[300]}", 2, 7, 0.9, 0.6),
    Tweet(f"{NAMES[5]} {NAMES[250]}", 0, 3, 0.8, 1.0),
]
MEASURED = [Tweet("something else", 1, 4, 0.1)]


def test_target_by_hand():
    # 0.6 are sure; half of the doubt of 0.4 is told, in two parts.
    assert target(TRAIN[0], 0.5) == pytest.approx({0: 0.1, 1: 0.1, 2: 0.8})
    assert target(TRAIN[0], 1.0) == pytest.approx({0: 0.2, 1: 0.2, 2: 0.6})
    assert target(TRAIN[0], 0.0) == {0: 0.0, 1: 0.0, 2: 1.0}
    assert target(TRAIN[1], 1.0) == {0: 1.0, 1: 0.0, 2: 0.0}


def test_variations_leave_out_what_a_measured_tweet_says():
    found = varied(SMALL, TRAIN, MEASURED, WORDS)
    assert len(found) > 2 and all(text.split()[0] in (NAMES[3], NAMES[5]) for text in found)
    said = [*MEASURED, Tweet(found[0].upper() + " ", 1, 9, 0.1)]
    assert varied(SMALL, TRAIN, said, WORDS) == found[1:]
    assert varied(dataclasses.replace(SMALL, variations=0), TRAIN, MEASURED, WORDS) == []


def test_labels_are_made_once_and_kept(tmp_path, monkeypatch):
    asked = []

    def labelled(settings, train, texts, cache, work):
        asked.append(texts)
        work.mkdir(exist_ok=True)
        return np.arange(3 * (len(train) + len(texts)), dtype=np.float32).reshape(-1, 3)

    monkeypatch.setattr(module, "_labelled", labelled)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)

    def said(settings=SMALL, train=TRAIN, measured=MEASURED):
        return taught(settings, train, measured, WORDS, tmp_path, tmp_path / "work")

    first = said()
    assert first.tweets.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert first.shares[0].tolist() == [6, 7, 8] and len(first.shares) == len(first.texts)
    assert first.texts == varied(SMALL, TRAIN, MEASURED, WORDS)
    again = said()
    np.testing.assert_array_equal(again.shares, first.shares)
    assert len(asked) == 1
    # Other settings, or other tweets, are labelled anew.
    said(dataclasses.replace(SMALL, doubt=0.1))
    said(train=[TRAIN[0]._replace(sentiment=1), TRAIN[1]])
    assert len(asked) == 3 and len(list((tmp_path / "work").iterdir())) == 3


def test_labels_want_a_process_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    with pytest.raises(InputError, match=r"these 2 tweets yet; run first: python -m pipelines\.a"):
        taught(SMALL, TRAIN, MEASURED, WORDS, tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{"doubt": 1.1}, {"doubt": -0.1}, {"variations": -1}], ids=str)
def test_settings_that_cannot_be(changes):
    with pytest.raises(InputError, match="must be"):
        AirlineTeacherSettings(**changes)


def test_missing_data_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "nowhere"), "--work", str(tmp_path / "work")]) == 2
    error = capsys.readouterr().err
    assert "nowhere" in error and error.count("\n") == 1
    assert not (tmp_path / "work").exists()
