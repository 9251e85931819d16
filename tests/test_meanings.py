"""What emojis mean: hand-worked averages, what is fitted on what, and the tables of the data."""

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.catalogue import Catalogue, catalogue
from emoji_vae.errors import InputError
from pipelines import meanings, phrases
from pipelines.glove import Glove
from sqam.text import tokenize

RANKING = "emoji_sentiment/emoji_sentiment_ranking.csv"
EMOTAG = "emoji_sentiment/emotag1200.csv"


def row(sequence):
    return catalogue().index(sequence)


# Averages of word vectors.


def test_a_frequent_word_weighs_less():
    # Two words: by Zipf's law their shares are 1 and 1/2 of 1.5, so 2/3 and 1/3. With a = 1e-4 the
    # weights are as 1/(1e-4 + 2/3) to 1/(1e-4 + 1/3), which is 0.3334333 to 0.6667667.
    vectors = np.array([[3.0, 0.0], [0.0, 3.0]])
    found = meanings.sif([[0, 1], [1], [0, 0, 1]], vectors)
    length = math.hypot(0.33343333, 0.66676667)
    assert found[0] == pytest.approx([0.33343333 / length, 0.66676667 / length], abs=1e-8)
    assert found[1] == pytest.approx([0, 1])
    length = math.hypot(0.66686667, 0.66676667)
    assert found[2] == pytest.approx([0.66686667 / length, 0.66676667 / length], abs=1e-8)


def test_a_text_without_words_is_0():
    assert meanings.sif([[], [0]], np.array([[0.0, 2.0]])).tolist() == [[0, 0], [0, 1]]


@given(st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=5))
def test_averages_are_unit_vectors_whatever_the_order_of_words(texts):
    vectors = np.random.default_rng(0).standard_normal((7, 5))
    found = meanings.sif(texts, vectors)
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, [1.0 if text else 0.0 for text in texts], atol=1e-12)
    turned = meanings.sif([text[::-1] for text in texts], vectors)
    np.testing.assert_allclose(turned, found, atol=1e-12)


def test_principal_directions():
    # Mean (1, 2); the deviations are (±3, 0) and (0, ±1), so the first direction is the x axis.
    mean, directions = meanings.principal(np.array([[4.0, 2], [-2, 2], [1, 3], [1, 1]]), 1)
    assert mean.tolist() == [1, 2]
    assert np.abs(directions) == pytest.approx(np.array([[1.0, 0.0]]))


# Loading.


@pytest.fixture
def glove(monkeypatch):
    """Vectors of chance for all words of the names and keywords but "pushpin"."""
    texts = [text for emoji in catalogue() for text in (emoji.name, *emoji.keywords)]
    words = sorted({token for text in texts for token in tokenize(text)} - {"pushpin"})
    vectors = np.random.default_rng(0).standard_normal((len(words), 100)).astype(np.float32)
    found = Glove(words, vectors)
    monkeypatch.setattr("pipelines.glove.load", lambda source, cache: found)
    return found


@pytest.fixture
def fit():
    return np.array([float(emoji.version) < 14 for emoji in catalogue()])


@pytest.fixture
def folder(tmp_path):
    """The three files of the data, with a few rows of our own."""
    path = tmp_path / phrases.Sources().descriptions
    path.parent.mkdir()
    lines = [
        {"emoji": "❤", "description": "This emoji is a red pizza", "tags": ["pizza", 5]},
        {"emoji": "👍🏽", "description": "a guitar", "tags": ["skin tone"]},
        {"emoji": "?", "description": "no emoji", "tags": []},
    ]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    (tmp_path / EMOTAG).parent.mkdir()
    (tmp_path / EMOTAG).write_text(
        "unicode,emoji,name,anger,anticipation,disgust,fear,joy,sadness,surprise,trust\n"
        "1F308,🌈,rainbow,0.0,0.28,0.0,0.0,0.69,0.06,0.22,0.33\n"
        "2764,❤,red heart,0,0,0,0,1,0,0,0.5\n",
        encoding="utf-8",
    )
    (tmp_path / RANKING).write_text(
        "Emoji,Occurrences,Negative,Neutral,Positive\n"
        "😂,14622,3614,4163,6845\n"
        "❤,5,4,0,1\n"
        "🌈,4,0,0,4\n"
        "♡,100,0,0,100\n",
        encoding="utf-8",
    )
    return tmp_path


def test_shapes_and_groups(glove, fit):
    found = meanings.load(data=None, fit=fit)
    n = len(catalogue())
    assert found.vectors.dtype == found.names.dtype == np.float32
    assert found.vectors.shape == found.names.shape == (n, 64)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-6)
    # GloVe has no word of this name, though some of its keywords.
    unknown = row("📌")
    assert not found.names[unknown].any()
    known = np.delete(found.names, unknown, axis=0)
    np.testing.assert_allclose(np.linalg.norm(known, axis=1), 1, rtol=1e-6)
    assert found.groups.shape == (n,) and found.groups.dtype == np.int64
    assert found.group_names[0] == "smileys & emotion" and found.group_names[-1] == "flags"
    assert [found.group_names[i] for i in found.groups] == [e.group for e in catalogue()]


def test_without_data_there_are_no_emotions(glove, fit):
    found = meanings.load(data=None, fit=fit)
    assert found.emotions.shape == (len(catalogue()), 8) and np.isnan(found.emotions).all()
    assert found.sentiment.shape == (len(catalogue()),) and np.isnan(found.sentiment).all()


def test_a_name_is_nearest_to_its_own_emoji(glove, fit):
    # The name is one of the two texts of a vector, so it finds nearly every emoji, new ones too.
    found = meanings.load(data=None, fit=fit)
    right = (found.names @ found.vectors.T).argmax(axis=1) == np.arange(len(catalogue()))
    assert right[fit].mean() > 0.9 and right[~fit].mean() > 0.9


def test_only_the_emojis_to_fit_on_are_fitted_on(glove, fit, monkeypatch):
    before = meanings.load(data=None, fit=fit)
    changed = Catalogue(
        [
            emoji if old else emoji._replace(name="pizza", keywords=("rocket",))
            for emoji, old in zip(catalogue(), fit, strict=True)
        ]
    )
    monkeypatch.setattr(meanings, "catalogue", lambda: changed)
    after = meanings.load(data=None, fit=fit)
    np.testing.assert_allclose(after.vectors[fit], before.vectors[fit], atol=1e-6)
    np.testing.assert_allclose(after.names[fit], before.names[fit], atol=1e-6)
    assert (np.abs(after.vectors - before.vectors)[~fit].max(axis=1) > 0.01).all()


def test_emotions_and_sentiment(glove, fit, folder):
    found = meanings.load(data=folder, fit=fit)
    assert found.emotions.dtype == found.sentiment.dtype == np.float32
    known = np.isfinite(found.emotions).all(axis=1)
    assert set(np.flatnonzero(known)) == {row("🌈"), row("❤️")}
    assert np.isnan(found.emotions[~known]).all()
    expected = [0, 0.28, 0, 0, 0.69, 0.06, 0.22, 0.33]
    assert found.emotions[row("🌈")] == pytest.approx(expected)
    assert dict(zip(meanings.EMOTIONS, found.emotions[row("❤️")], strict=True))["joy"] == 1
    # 🌈 occurs four times only, and ♡ is no emoji.
    assert set(np.flatnonzero(np.isfinite(found.sentiment))) == {row("😂"), row("❤️")}
    # (6845 - 3614) / (14622 + 3), and (1 - 4) / (5 + 3).
    assert found.sentiment[row("😂")] == pytest.approx(3231 / 14625)
    assert found.sentiment[row("❤️")] == pytest.approx(-0.375)


def test_descriptions_move_their_own_emoji_alone(glove, fit, folder):
    rows = {"❤": 0, "👍": 1}
    assert list(meanings._descriptions(folder, rows)) == [
        (0, "This emoji is a red pizza", ["pizza", "5"])
    ]
    # Towards what they speak of: the heart nears the pizza, the thumb (whose skin tone has a
    # description) does not near the guitar.
    before, after = (meanings.load(data=data, fit=fit).vectors for data in (None, folder))

    def nearness(vectors, one, other):
        return vectors[row(one)] @ vectors[row(other)]

    assert nearness(after, "❤️", "🍕") > nearness(before, "❤️", "🍕") + 0.1
    assert nearness(after, "👍", "🎸") == pytest.approx(nearness(before, "👍", "🎸"), abs=0.02)


# Bad input.


@pytest.mark.parametrize(
    "fit",
    [
        np.ones(3, bool),
        np.ones(len(catalogue())),
        np.arange(len(catalogue())) < 64,  # too few for 64 directions
    ],
)
def test_what_is_no_mask(fit):
    with pytest.raises(InputError, match="give bool"):
        meanings.load(fit=fit)


def test_a_missing_folder_is_named(tmp_path, fit):
    with pytest.raises(InputError) as caught:
        meanings.load(data=tmp_path / "nowhere", fit=fit)
    assert str(caught.value) == (
        f"there is no folder {str(tmp_path / 'nowhere')!r}; put the data there or name their folder"
    )


@pytest.mark.parametrize("name", [phrases.Sources().descriptions, EMOTAG, RANKING])
def test_a_missing_file_is_named(glove, fit, folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=name.rpartition("/")[2]):
        meanings.load(data=folder, fit=fit)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (EMOTAG, "emoji,anger\n🌈,1\n", "no column 'anticipation'"),
        (RANKING, "Emoji,Negative,Neutral,Positive\n😂,1,2,many\n", "no numbers for 😂"),
        (RANKING, "Emoji,Negative,Neutral,Positive\n😂,1,2\n", "no numbers for 😂"),
    ],
)
def test_tables_that_are_not_as_they_should_be(glove, fit, folder, name, text, said):
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        meanings.load(data=folder, fit=fit)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b'{"emoji": ', mtime=0),
                                     gzip.compress(b'{"emoji": "\xe2\x9d\xa4"}\n', mtime=0),
                                     gzip.compress(b"{}", mtime=0)[:-6]])  # fmt: skip
def test_broken_descriptions(glove, fit, folder, content):
    (folder / phrases.Sources().descriptions).write_bytes(content)
    with pytest.raises(InputError, match="emojeez"):
        meanings.load(data=folder, fit=fit)


def test_real_data(glove, fit):
    if not phrases.DATA.is_dir():
        pytest.skip(f"the data are not at {phrases.DATA}")
    found = meanings.load(fit=fit)
    # All 150 of EmoTag1200; of the 751 signs that the ranking counts, 615 are emojis of ours.
    assert np.isfinite(found.emotions).all(axis=1).sum() == 150
    assert np.isfinite(found.sentiment).sum() == 615
    assert found.sentiment[row("😂")] == pytest.approx(0.2209, abs=1e-4)
    assert np.nanmin(found.emotions) >= 0 and np.nanmax(found.emotions) <= 1
    assert np.nanmin(found.sentiment) > -1 and np.nanmax(found.sentiment) < 1


def test_hashes_of_what_is_read(tmp_path):
    assert set(meanings.hashes(tmp_path)) == {"glove-50d", "glove-100d"}
    file = tmp_path / "emoji_sentiment" / "emotag1200.csv"
    file.parent.mkdir()
    file.write_bytes(b"abc")
    # SHA-256 of "abc", from FIPS 180-2's example.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert meanings.hashes(tmp_path)["emoji_sentiment/emotag1200.csv"] == expected
