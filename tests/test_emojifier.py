"""The Emojifier's baselines: V1 to the last digit, V2's size and training, the helper steps."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import emojifier, glove, phrases, results, sources
from pipelines.emojifier import (
    EMOJIS,
    V2,
    Labelled,
    SearchSettings,
    V1Settings,
    V2Settings,
    Words,
    confusion,
    confusion_table,
    emojifier_v2,
    main,
    mislabelled,
    part_file,
    pretrained_embedding_layer,
    read,
    search_recipe,
    sentence_to_avg,
    sentences_to_indices,
    train_v1,
)

TINY = ["ball", "food", "happy", "love", "not", "sad"]


@pytest.fixture
def tiny() -> Words:
    """Six words in sorted order; the vector of the n-th is n everywhere."""
    vectors = np.arange(7, dtype=np.float32)[:, None] * np.ones(50, np.float32)
    return Words({word: at for at, word in enumerate(TINY, 1)}, vectors)


@pytest.fixture(scope="module")
def words() -> Words:
    """All of GloVe's words, from the archive that other commands have fetched."""
    if not (sources.CACHE / sources.SOURCES["glove-50d"].archive).is_file():
        pytest.skip(f"GloVe's archive is not in {sources.CACHE}; any pipeline fetches it")
    return Words.of(glove.load("50d"))


@pytest.fixture(scope="module")
def train() -> Labelled:
    return part("train")


def part(name: str) -> Labelled:
    if not phrases.DATA.is_dir():
        pytest.skip(f"the sentences are not at {phrases.DATA}")
    return read(part_file(phrases.DATA / "emojiset", name))


def write_glove(path: Path) -> Path:
    """Write a user's own GloVe: the words of ``TINY``, unsorted, well apart."""
    rng = np.random.default_rng(0)
    rows = [[word, *map(str, rng.normal(size=50).round(3))] for word in reversed(TINY)]
    path.write_text("".join(" ".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_data(folder: Path) -> Path:
    folder.mkdir()
    train = [("love", 0), ("ball", 1), ("happy", 2), ("sad", 3), ("food", 4)]
    lines = [f"{word},{label}\n{word} {word},{label}\n" for word, label in train]
    (folder / "train.csv").write_text("sentence,label\n" + "".join(lines), encoding="utf-8")
    (folder / "test.csv").write_text(
        "sentence,label\nlove,0\nLove love love,0\nball sad ball,1\nnot happy,3\n", "utf-8"
    )
    return folder


# The words, as the course numbers them.


def test_words_are_numbered_in_sorted_order():
    vectors = np.arange(150, dtype=np.float32).reshape(3, 50)
    found = Words.of(glove.Glove(["the", "!", "cucumber"], vectors))
    assert found.index == {"!": 1, "cucumber": 2, "the": 3}
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, [np.zeros(50), *vectors[[1, 2, 0]]])


def test_words_twice_and_other_dimensions():
    with pytest.raises(InputError, match="1 words twice"):
        Words.of(glove.Glove(["a", "b", "a"], np.zeros((3, 50), np.float32)))
    with pytest.raises(InputError, match=r"100 dimensions.*glove\.6B\.50d"):
        Words.of(glove.Glove(["a"], np.zeros((1, 100), np.float32)))


def test_published_numbers_of_words(words):
    assert len(words.index) == 400_000 and words.vectors.shape == (400_001, 50)
    assert words.index["cucumber"] == 113317 and words.index["potatos"] == 289846
    # The course's embedding matrix, row 1, position 3.
    assert pretrained_embedding_layer(words).get_weights()[0][1][3] == pytest.approx(-0.3403)
    found = sentence_to_avg("Morrocan couscous is my favorite dish", words)
    assert found[:3] == pytest.approx([-0.008005, 0.56370833, -0.50427333], abs=5e-9)


def test_published_indices_of_sentences(words):
    sentences = ["funny lol", "lets play baseball", "food is ready for you"]
    found = sentences_to_indices(sentences, words, max_len=5)
    assert found.tolist() == [
        [155345, 225122, 0, 0, 0],
        [220930, 286375, 69714, 0, 0],
        [151204, 192973, 302254, 151349, 394475],
    ]


def test_indices_by_hand(tiny):
    sentences = ["Not HAPPY", "?!", "love\tlove ? love food"]
    right = sentences_to_indices(sentences, tiny, 3)
    # Unknown words leave no gap, and what comes after the third word is cut off.
    assert right.dtype == np.int32
    assert right.tolist() == [[5, 3, 0], [0, 0, 0], [4, 4, 4]]
    left = sentences_to_indices(sentences, tiny, 3, "left")
    assert left.tolist() == [[0, 5, 3], [0, 0, 0], [4, 4, 4]]


@given(st.lists(st.text(st.sampled_from("abdlop NSTnost\t é"), max_size=30)), st.integers(1, 6))
def test_left_and_right_hold_the_same_words(sentences, max_len):
    words = Words(dict(zip(["not", "so", "a", "ball"], range(1, 5), strict=True)), np.zeros((5, 1)))
    right = sentences_to_indices(sentences, words, max_len)
    left = sentences_to_indices(sentences, words, max_len, "left")
    assert right.shape == left.shape == (len(sentences), max_len)
    for sentence, one, other in zip(sentences, right, left, strict=True):
        kept = words.rows(sentence)[:max_len]
        assert one.tolist() == kept + [0] * (max_len - len(kept))
        assert other.tolist() == [0] * (max_len - len(kept)) + kept


def test_average_by_hand(tiny):
    # ball 1, sad 6, ball 1; the fourth word is unknown: (1 + 6 + 1) / 3.
    found = sentence_to_avg("Ball sad ball unheard-of", tiny)
    assert found.dtype == np.float64 and found.shape == (50,)
    assert found == pytest.approx(np.full(50, 8 / 3))
    with pytest.raises(InputError, match="'unheard-of'"):
        sentence_to_avg("unheard-of", tiny)


# V1.


def test_v1_is_the_published_run(words, train):
    test = part("test")
    averages = [
        np.stack([sentence_to_avg(s, words) for s in data.sentences]) for data in (train, test)
    ]
    model = train_v1(averages[0], train.labels, V1Settings())
    assert [row["epoch"] for row in model.log] == [0, 100, 200, 300]
    assert [row["cost"] for row in model.log] == pytest.approx(
        [1.95204988, 0.07971819, 0.04456369, 0.03432267], rel=0, abs=1e-6
    )
    # The published digits, which are all there are; 46, 123, 126 and 128 of 132.
    accuracies = [row["train accuracy"] * 132 for row in model.log]
    assert accuracies == pytest.approx([46, 123, 126, 128])
    predicted = model.predict(averages[1])
    assert (model.predict(averages[0]) == train.labels).sum() == 129  # 129 / 132 = 0.97727
    assert (predicted == test.labels).sum() == 48  # 48 / 56 = 0.85714
    assert confusion(test.labels, predicted).tolist() == [
        [6, 0, 0, 1, 0, 7],
        [0, 8, 0, 0, 0, 8],
        [2, 0, 16, 0, 0, 18],
        [1, 1, 2, 12, 0, 16],
        [0, 0, 1, 0, 6, 7],
        [9, 9, 19, 13, 6, 56],
    ]
    assert EMOJIS[model.predict(sentence_to_avg("not feeling happy", words))] == "😄"


def test_v1_makes_the_step_that_hands_make():
    # One number a word and the first draw of five with seed 1, over the root of 1.
    start = np.array([1.62434536, -0.61175641, -0.52817175, -1.07296862, 0.86540763])
    powers = np.exp(2 * start)
    found = powers / powers.sum()
    model = train_v1(np.array([[2.0]]), np.array([3]), V1Settings(learning_rate=0.1, epochs=1))
    assert model.log[0]["cost"] == pytest.approx(-np.log(found[3]))
    # The slope of the cost by the logits is softmax minus one-hot; by a weight, times the input.
    slope = found - [0, 0, 0, 1, 0]
    assert model.biases == pytest.approx(-0.1 * slope)
    assert model.weights[:, 0] == pytest.approx(start - 0.1 * 2 * slope)
    # Its largest draw still wins: the label is another one.
    assert model.log[0]["train accuracy"] == 0.0


# V2.


def test_v2_has_the_published_size():
    n = 400_001
    words = Words({}, np.zeros((n, 50), np.float32))
    model = emojifier_v2(words, 10, V2Settings())
    # An LSTM has four gates, each with weights from the input and from itself, and a bias:
    # 4 x 128 x (50 + 128 + 1) and 4 x 128 x (128 + 128 + 1); the last layer has 128 x 5 + 5.
    trainable = 91_648 + 131_584 + 645
    assert trainable == 223_877
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == trainable
    assert model.count_params() == n * 50 + trainable == 20_223_927
    assert model.input_shape == (None, 10) and model.output_shape == (None, 5)


def test_recipes_change_no_layer(tiny):
    shapes = {
        name: [
            (type(layer).__name__, [weight.shape for weight in layer.weights])
            for layer in emojifier_v2(tiny, 10, V2Settings.recipe(name)).layers
        ]
        for name in emojifier.RECIPES
    }
    assert shapes["ours"] == shapes["course"]
    assert V2Settings.recipe("course") == V2Settings()


def test_the_embedding_layer_gives_the_vectors_and_is_frozen(tiny):
    layer = pretrained_embedding_layer(tiny)
    found = np.array(layer(np.array([[5, 0]])))
    np.testing.assert_array_equal(found[0], [np.full(50, 5), np.zeros(50)])
    assert not layer.trainable_weights
    assert np.array(pretrained_embedding_layer(tiny, mask=True).compute_mask(
        np.array([[5, 0]])
    )).tolist() == [[True, False]]  # fmt: skip


def test_masked_padding_is_passed_over(tiny):
    # Of a masked model the width does not matter; of the course's it does.
    for padding, same in (("masked", True), ("right", False)):
        settings = V2Settings.recipe("course", padding=padding)
        wide = V2(tiny, 6, settings)
        narrow = V2(tiny, 2, settings)
        narrow.model.set_weights(wide.model.get_weights())
        one, other = (model.probabilities(["not happy"]) for model in (wide, narrow))
        assert np.allclose(one, other, atol=1e-6) == same


def test_v2_learns_and_a_seed_says_all(tmp_path):
    words = Words.of(glove.load(str(write_glove(tmp_path / "mine.txt"))))
    data = read(write_data(tmp_path / "data") / "train.csv")
    quick = V2Settings(epochs=12, batch=4, learning_rate=0.01, padding="left", average=0.5)
    model = V2(words, 2, quick)
    found = []
    for seed in (0, 1, 0):
        model.fit(data, seed)
        found.append(model.probabilities(data.sentences))
    assert (found[0].argmax(axis=1) == data.labels).all()
    assert found[0].sum(axis=1) == pytest.approx(np.ones(10))
    # Nothing of the other seed's training is left.
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 1e-4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "0 epochs"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"average": 1.0}, "average is 1.0"),
        ({"smoothing": -0.1}, "smoothing is -0.1"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"padding": "both"}, "padding cannot be 'both'"),
        ({"units": 64}, "unknown setting 'units'"),
    ],
)
def test_settings_that_cannot_be(changes, said):
    with pytest.raises(InputError, match=said):
        V2Settings.recipe("course", **changes)


def test_no_such_recipe():
    with pytest.raises(InputError, match="'theirs'; choose from course, ours"):
        V2Settings.recipe("theirs")


# The search.


def test_the_search_keeps_what_is_better(monkeypatch, capsys):
    accuracies = {
        (): (0.7, 1.0),
        ("left",): (0.8, 1.0),
        ("masked",): (0.8, 0.9),  # as right, and surer
        ("masked", 80): (0.79, 0.1),  # surer, but not as right
        ("masked", 0.1): (0.8, 0.9),  # no better
    }

    def measured(train, words, settings, search, label):
        plain = dataclasses.asdict(V2Settings())
        changed = [v for k, v in dataclasses.asdict(settings).items() if v != plain[k]]
        accuracy, loss = accuracies[tuple(changed)]
        return {"accuracy": {"mean": accuracy, "sd": None}, "log loss": {"mean": loss}}

    monkeypatch.setattr(emojifier, "cross_validate", measured)
    stages = (
        ({"padding": "left"}, {"padding": "masked"}),
        ({"epochs": 80},),
        ({"smoothing": 0.1},),
    )
    nothing = Labelled([], np.array([])), Words({}, np.zeros((1, 50)))
    kept: list[int] = []
    search = SearchSettings(stages=stages)
    found = search_recipe(*nothing, search, keep=lambda tried: kept.append(len(tried)))
    assert found["chosen"] == {"padding": "masked"}
    assert len(found["tried"]) == 5 and kept == [1, 2, 3, 4, 5]
    assert "80.0 %  log loss 0.900  padding=masked" in capsys.readouterr().out
    # What is known is not tried again.
    accuracies.clear()
    assert search_recipe(*nothing, search, known=found["tried"]) == found


def test_cross_validation_never_tests_on_what_it_trained_on(tiny, monkeypatch):
    labels = np.tile(np.arange(5), 8)
    sentences = [f"{TINY[label]} number {at}" for at, label in enumerate(labels)]
    sentences[7] = sentences[2].upper()  # equal but for its case: they stay together
    seen: list[tuple[set[str], set[str]]] = []

    class Model:
        def __init__(self, words, max_len, settings):
            assert max_len == 3

        def fit(self, data, seed):
            self.known = {sentence.lower() for sentence in data.sentences}

        def probabilities(self, sentences):
            seen.append((self.known, {sentence.lower() for sentence in sentences}))
            # Right with 0.9 but for "food", which it holds to be "ball" with 0.9.
            names = [TINY.index(sentence.lower().split()[0]) for sentence in sentences]
            return np.eye(5)[[0 if n == 1 else n for n in names]] * 0.875 + 0.025

    monkeypatch.setattr(emojifier, "V2", Model)
    found = emojifier.cross_validate(
        Labelled(sentences, labels), tiny, V2Settings(), SearchSettings(folds=4, repeats=2), "x"
    )
    assert len(seen) == 8
    assert all(not known & asked for known, asked in seen)
    assert all(len(known | asked) == 39 for known, asked in seen)  # 40, one of them twice
    # One class of five is wrong: accuracy 0.8, log loss -(4 ln 0.9 + ln 0.025) / 5.
    assert found["accuracy"] == {"mean": 0.8, "sd": 0.0, "values": [0.8, 0.8]}
    assert found["log loss"]["mean"] == pytest.approx(0.82206, abs=1e-5)


def test_our_recipe_is_what_the_search_found():
    found = json.loads(asset("results", "emojifier.json").read_text(encoding="utf-8"))
    search = found["search"]
    best = max(search["tried"], key=lambda t: (t["accuracy"]["mean"], -t["log loss"]["mean"]))
    assert search["chosen"] == best["changes"] == emojifier.RECIPES["ours"]
    # It looked at the training sentences and at nothing else.
    assert set(search["data"]) == {"train.csv", "glove-50d"}
    for name in emojifier.RECIPES:
        shipped = found["V2"][name]["settings"]
        assert shipped == dataclasses.asdict(V2Settings.recipe(name))
        assert len(found["V2"][name]["test accuracy"]["values"]) == len(found["seeds"]) == 10
    assert found["V1"]["settings"] == dataclasses.asdict(V1Settings())


# Confusion matrix and mislabelled examples.


def test_confusion_by_hand():
    actual, predicted = np.array([0, 0, 1, 3, 3, 3]), np.array([0, 2, 1, 3, 3, 0])
    found = confusion(actual, predicted)
    assert found.tolist() == [
        [1, 0, 1, 0, 0, 2],
        [0, 1, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 2, 0, 3],
        [0, 0, 0, 0, 0, 0],
        [2, 1, 1, 2, 0, 6],
    ]
    lines = confusion_table(found).splitlines()
    assert lines[0].split() == ["Predicted", "0", "1", "2", "3", "4", "All"]
    assert lines[2].split() == ["0", "1", "0", "1", "0", "0", "2", "❤️"]
    assert lines[-1].split() == ["All", "2", "1", "1", "2", "0", "6"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_totals_are_sums(pairs):
    actual, predicted = np.array(pairs).T
    found = confusion(actual, predicted)
    assert (found[:5, :5].sum(axis=0) == found[5, :5]).all()
    assert (found[:5, :5].sum(axis=1) == found[:5, 5]).all()
    assert found[5, 5] == len(pairs)
    assert np.trace(found[:5, :5]) == sum(a == b for a, b in pairs)


def test_mislabelled():
    data = Labelled(["a", "b\x1b", "c"], np.array([0, 1, 2]))
    assert list(mislabelled(data, np.array([0, 4, 2]))) == ["expected ⚾  predicted 🍴  b?"]


# Files.


def test_with_a_header_columns_go_by_name(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('\ufefflabel,id,sentence\n3,x,"not, really "\n\n0,y,love\n', "utf-8")
    found = read(path)
    assert found.sentences == ["not, really", "love"] and found.labels.tolist() == [3, 0]


def test_the_course_file_without_a_header(tmp_path):
    (tmp_path / "train_emoji.csv").write_text("never again,3,,\n love it\t,0,, [0]\n", "utf-8")
    found = read(part_file(tmp_path, "train"))
    assert found.sentences == ["never again", "love it"] and found.labels.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\na,1\n", "no column 'sentence'"),
        ("sentence,emoji\na,1\n", "no column 'label'"),
        ("sentence,label\na,1\nb,5\n", "row 3: the sentence 'b' with the label '5'"),
        ("a,1\nb\n", "row 2: the sentence 'b' with the label ''"),
        ("sentence,label\n ,1\n", "row 2: the sentence ''"),
        ("sentence,label\n", "holds no sentences"),
        ("", "holds no sentences"),
        (b"sentence,label\n\xff\xfe,1\n", "cannot read"),
    ],
)
def test_what_is_no_data(tmp_path, content, said):
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said):
        read(path)


# The command.


@pytest.fixture
def quick(tmp_path, monkeypatch) -> list[str]:
    """Options of a run on tiny files, with recipes that take no time."""
    changes = {"epochs": 2, "batch": 5}
    monkeypatch.setattr(
        emojifier, "RECIPES", {"course": changes, "ours": {**changes, "padding": "left"}}
    )
    mine = write_glove(tmp_path / "mine.txt")
    options = ["--data", str(write_data(tmp_path / "data")), "--glove", str(mine)]
    return [*options, "--seeds", "0", "1", "--output", str(tmp_path / "build" / "x.json")]


def test_the_command_writes_figures_and_pictures(quick, tmp_path, capsys):
    output = tmp_path / "build" / "x.json"
    output.parent.mkdir()
    output.write_text('{"search": {"chosen": {}}, "old": 1}', encoding="utf-8")
    assert main([*quick, "--pictures", str(tmp_path / "pictures")]) == 0
    found = json.loads(output.read_text("utf-8"))
    # One of the four test sentences, "love", also stands in train.
    assert found["sentences"] == {"train": 10, "test": 4, "test, without sentences of train": 3}
    assert found["search"] == {"chosen": {}} and "old" not in found
    assert set(found["data"]) == {"train.csv", "test.csv", "mine.txt"}
    for recipe in ("course", "ours"):
        figures = found["V2"][recipe]
        right, without = (
            np.array(figures[name]["values"])
            for name in ("test accuracy", "test accuracy, without sentences of train")
        )
        assert len(right) == 2
        # In whole sentences, "love" is one of four.
        assert set(np.round(4 * right - 3 * without, 3)) <= {0.0, 1.0}
        assert figures["confusion, all seeds"][5][5] == 8
        assert sum(figures["reads"]["not feeling happy"].values()) == 2
    assert found["V2"]["ours"]["settings"]["padding"] == "left"
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names == {"confusion-v1.png", "confusion-v2-course.png", "confusion-v2-ours.png"}
    for name in names:
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert picture.size == (640, 600)
    shown = capsys.readouterr().out
    assert "Emojifier-V1" in shown and "recipe 'ours', 2 seeds" in shown
    assert "'not feeling happy' as" in shown


def test_the_search_is_written_beside_the_figures(quick, tmp_path, monkeypatch):
    tries: list[str] = []

    def measured(train, words, settings, search, label):
        if len(tries) == 2:
            raise KeyboardInterrupt
        tries.append(label)
        accuracy = 0.7 if settings.padding == "left" else 0.6
        return {"accuracy": results.spread([accuracy]), "log loss": results.spread([1.0])}

    monkeypatch.setattr(emojifier, "cross_validate", measured)
    output = tmp_path / "build" / "x.json"
    output.parent.mkdir()
    output.write_text('{"V1": 1}', encoding="utf-8")
    (tmp_path / "data" / "test.csv").unlink()  # it needs none
    assert main([*quick, "--search"]) == 130
    half = json.loads(output.read_text("utf-8"))["search"]
    assert [row["changes"] for row in half["tried"]] == [{}, {"padding": "left"}]
    assert "chosen" not in half and half["settings"]["folds"] == SearchSettings().folds
    # It goes on where it was interrupted.
    assert tries == ["as the course", "padding=left"]
    tries[:] = [""] * 3
    assert main([*quick, "--search"]) == 0
    found = json.loads(output.read_text("utf-8"))
    assert found["V1"] == 1 and found["search"]["chosen"] == {"padding": "left"}
    assert "as the course" not in tries and "padding=left" not in tries
    assert len(found["search"]["tried"]) == len(tries) - 3 + 2
    assert set(found["search"]["data"]) == {"train.csv", "mine.txt"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "nowhere"], "'nowhere' holds neither train.csv nor train_emoji.csv"),
        (["--glove", "nowhere.txt"], "nowhere.txt"),
        (["--seeds", "-1"], "-1"),
        (["--seeds", "x"], "--help"),
        (["--recipe", "x"], "--help"),
    ],
)
def test_bad_options(options, said, quick, tmp_path, capsys):
    assert main([*quick, *options]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "build" / "x.json").exists()


def test_an_output_that_is_something_else_stays(quick, tmp_path, capsys):
    mine = tmp_path / "mine.txt"
    before = mine.read_bytes()
    assert main([*quick, "--output", str(mine)]) == 2
    assert "is no results file" in capsys.readouterr().err and mine.read_bytes() == before


def test_all_test_sentences_stand_in_train(quick, tmp_path, capsys):
    (tmp_path / "data" / "test.csv").write_text("sentence,label\nlove,0\n", encoding="utf-8")
    assert main(quick) == 2
    assert "in train" in capsys.readouterr().err


@pytest.mark.slow
def test_v2_over_the_real_sentences(words, train):
    model = V2(words, emojifier.longest(train.sentences), V2Settings.recipe("ours"))
    model.fit(train, seed=0)
    test = part("test")
    # Chance gives 0.2, the most frequent class 18 / 56 = 0.32.
    assert (model.predict(train.sentences) == train.labels).mean() > 0.9
    assert (model.predict(test.sentences) == test.labels).mean() > 0.7
