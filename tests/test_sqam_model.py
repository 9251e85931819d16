"""The Keras towers and their loss: hand-worked numbers, padding that does not count, settings."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from sqam.model import PRESETS, SQAM, SQAMSettings, hinge_contrastive, smooth_hinge, unit

SMALL = {
    "dimensions": 5, "vocabulary": 7, "max_tokens": 6, "lstm_units": 3, "question_units": (8,),
    "answer_units": (6, 8), "shared_units": (8,), "space": 4, "word_dropout": 0.0, "dropout": 0.0,
    "attention": False,
}  # fmt: skip


def small_model(seed=0, **changes):
    rng = np.random.default_rng(1)
    settings = SQAMSettings.from_dict({**SMALL, **changes})
    vectors = rng.standard_normal((settings.vocabulary, settings.dimensions)).astype("float32")
    return SQAM(settings, vectors, rng.standard_normal((9, 16)).astype("float32"), seed)


def loss(correct, scores, **changes):
    options = {"margin": 0.2, "negatives": None, "focus": 0.0, **changes}
    found = hinge_contrastive(
        np.array(correct, "float32"), np.array(scores, "float32"),
        seed=keras.random.SeedGenerator(0), **options,
    )  # fmt: skip
    return np.asarray(found)


def test_hinge_by_hand():
    # Answer 0 is correct. 0.2 - 0.5 + 0.4 = 0.1 and 0.2 - 0.5 + 0.6 = 0.3 come within the margin,
    # 0.2 - 0.5 + 0.1 = -0.2 does not: (0.1 + 0.3) / 2 = 0.2.
    assert loss([[1, 0, 0, 0]], [[0.5, 0.4, 0.6, 0.1]]) == pytest.approx(0.2, abs=1e-6)


def test_hinge_focus_by_hand():
    # Weights exp(10 * (0.4 - 0.5)) = e^-1 and exp(10 * (0.6 - 0.5)) = e:
    # (0.1 / e + 0.3 e) / (1 / e + e) = 0.85227 / 3.08616 = 0.27616.
    found = loss([[1, 0, 0, 0]], [[0.5, 0.4, 0.6, 0.1]], focus=10.0)
    assert found == pytest.approx(0.27616, abs=1e-5)


def test_an_answer_that_is_also_correct_is_no_negative():
    # Answers 0 and 1 are correct with the same score; answer 2 is far below: nothing to mend,
    # though answer 1 is within the margin of answer 0.
    assert loss([[1, 1, 0]], [[0.5, 0.5, -0.9]]) == pytest.approx(0.0)
    # Everything is correct: there is no negative at all.
    assert loss([[1, 1, 1]], [[0.1, 0.5, 0.9]]) == pytest.approx(0.0)


def test_a_higher_grade_is_drawn_more_often():
    # Answers 0 and 1 are correct, of grades 1 and 1/2; each is told by its loss against answer 2:
    # 0.2 - 0.5 + 0.4 = 0.1 and 0.2 - 0.3 + 0.4 = 0.3. Of u and v, uniform on [0, 1], u > v / 2
    # in 3 cases of 4; 4,000 draws stay within four standard deviations, 0.027.
    found = loss([[1, 0.5, 0]] * 4000, [[0.5, 0.3, 0.4]] * 4000)
    assert {round(float(value), 3) for value in found} == {0.1, 0.3}
    assert (found < 0.2).mean() == pytest.approx(0.75, abs=0.027)


def test_drawn_negatives_are_the_asked_number():
    # Scores rise by 0.1 from answer 1 on, all within the margin of answer 0: one drawn negative
    # gives one of 0.3, 0.4, ... 0.7, and all five appear in many draws.
    scores = np.tile(np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]), (400, 1))
    correct = np.tile(np.array([1, 0, 0, 0, 0, 0]), (400, 1))
    found = loss(correct, scores, negatives=1)
    assert {round(float(value), 3) for value in found} == {0.3, 0.4, 0.5, 0.6, 0.7}


def smooth(correct, scores, margin=0.1, sharpness=10.0):
    found = smooth_hinge(
        np.array(correct, "float32"), np.array(scores, "float32"),
        margin=margin, sharpness=sharpness,
    )  # fmt: skip
    return np.asarray(found)


def test_smooth_hinge_by_hand():
    # Answer 0 is correct. 10 * (0.1 - 0.5 + 0.4) = 0 and 10 * (0.1 - 0.5 + 0.6) = 2:
    # log(1 + e^0 + e^2) / 10 = log(9.38906) / 10 = 0.223954.
    assert smooth([[1, 0, 0]], [[0.5, 0.4, 0.6]]) == pytest.approx(0.223954, abs=1e-6)


def test_smooth_hinge_shares_itself_among_correct_answers():
    # Grades 1 and 1/2 are shares of 2/3 and 1/3. Times 10 the scores are 5 and 3, and that of the
    # incorrect answer with its margin 4 + 1 = 5: log(e^5 + e^3 + e^5) / 10 = (5 + log(2 + e^-2))
    # / 10 = 0.575863, less 2/3 * 0.5 + 1/3 * 0.3 = 0.433333.
    found = smooth([[1, 0.5, 0]], [[0.5, 0.3, 0.4]])
    assert found == pytest.approx(0.142530, abs=1e-6)


def test_smooth_hinge_holds_correct_answers_against_each_other_without_a_margin():
    # log(2 * e^5) / 10 - 0.5 = log(2) / 10 = 0.069315, whatever the margin. Were one of the two
    # incorrect, a margin of 0.1 would make it log(1 + e) / 10 = 0.131326.
    for margin in (0.1, 0.9):
        found = smooth([[1, 1]], [[0.5, 0.5]], margin=margin)
        assert found == pytest.approx(0.069315, abs=1e-6)
    assert smooth([[1, 0]], [[0.5, 0.5]]) == pytest.approx(0.131326, abs=1e-6)


def test_smooth_hinge_is_least_where_the_cosines_say_the_grades():
    # Shares of 3/4 and 1/4 are the softmax of 10 times the scores where these are log(3) / 10 =
    # 0.109861 apart; there it is a tenth of their entropy, 3/4 log(4/3) + 1/4 log(4) = 0.562335.
    lower, least, higher = smooth([[3, 1]] * 3, [[0.3, 0.3], [0.409861, 0.3], [0.6, 0.3]])
    assert least == pytest.approx(0.0562335, abs=1e-6)
    assert least < min(lower, higher) - 0.01


def test_a_sharp_smooth_hinge_is_the_hinge_against_the_nearest():
    # 0.2 - 0.5 + 0.6 = 0.3 is the nearest of the first row; 0.2 - 0.9 + 0.5 is below 0; two that
    # are level at 0.3 add log(2) / 1000.
    found = smooth(
        [[1, 0, 0, 0]] * 3,
        [[0.5, 0.4, 0.6, 0.1], [0.9, 0.5, 0.1, 0.1], [0.5, 0.6, 0.6, 0.1]],
        margin=0.2, sharpness=1000.0,
    )  # fmt: skip
    assert found == pytest.approx([0.3, 0.0, 0.300693], abs=1e-5)


@pytest.mark.parametrize("sharpness", [None, 20.0])
def test_training_takes_the_loss_that_the_settings_name(sharpness):
    model = small_model(sharpness=sharpness, margin=0.3)
    model.compile_for_training(1)
    ids, correct = np.array([[1, 2], [3, 4]]), np.eye(9, dtype="float32")[:2]
    scores = np.asarray(model(ids))
    losses = loss(correct, scores, margin=0.3), smooth(correct, scores, 0.3, 20.0)
    expected, other = (
        float(each.mean()) for each in (losses if sharpness is None else losses[::-1])
    )
    assert abs(expected - other) > 0.01
    assert float(model.train_on_batch(ids, correct)) == pytest.approx(expected, abs=1e-5)


def test_the_loss_sees_how_popular_answers_are():
    # Answer 0 has 3/4 of what training shows and answer 1 a quarter, so with popularity 0.5 and
    # sharpness 10 their cosines get log(3/4) / 20 and log(1/4) / 20 added; the others, which it
    # never shows, log(0.00001) / 20.
    model = small_model(sharpness=10.0, margin=0.3, popularity=0.5)
    model.compile_for_training(1, np.array([6.0, 2, 0, 0, 0, 0, 0, 0, 0]))
    ids, correct = np.array([[1, 2], [3, 4]]), np.eye(9, dtype="float32")[:2]
    added = np.log([0.75, 0.25, *[1e-5] * 7]) / 20
    expected, other = (
        float(smooth(correct, np.asarray(model(ids)) + more, 0.3).mean()) for more in (added, 0.0)
    )
    assert abs(expected - other) > 0.01
    assert float(model.train_on_batch(ids, correct)) == pytest.approx(expected, abs=1e-4)


def test_each_text_says_how_much_of_popularity_counts():
    # As above, but a quarter of it for the first text and nothing for the second.
    model = small_model(sharpness=10.0, margin=0.3, popularity=0.5)
    model.compile_for_training(1, np.array([6.0, 2, 0, 0, 0, 0, 0, 0, 0]))
    ids, correct = np.array([[1, 2], [3, 4]]), np.eye(9, dtype="float32")[:2]
    added = np.log([0.75, 0.25, *[1e-5] * 7]) / 20 * np.array([[0.25], [0]])
    expected, other = (
        float(smooth(correct, np.asarray(model(ids)) + more, 0.3).mean()) for more in (added, 0.0)
    )
    assert abs(expected - other) > 0.01
    told = np.concatenate([correct, np.array([[0.25], [0]], dtype="float32")], axis=1)
    assert float(model.train_on_batch(ids, told)) == pytest.approx(expected, abs=1e-4)


def test_unit_length_and_zero():
    # (3, 4) has length 5.
    found = np.asarray(unit(np.array([[3, 4], [0, 0]])))
    assert found == pytest.approx(np.array([[0.6, 0.8], [0, 0]]))


def test_padding_does_not_count():
    model = small_model()
    short = np.asarray(model.questions(np.array([[3, 1, 2]])))
    padded = np.asarray(model.questions(np.array([[3, 1, 2, 0, 0, 0]])))
    assert np.abs(short - padded).max() < 1e-6
    beside_longer = np.asarray(model.questions(np.array([[3, 1, 2, 0, 0], [1, 2, 3, 4, 5]])))
    assert np.abs(short[0] - beside_longer[0]).max() < 1e-6


SIDES = [
    {"convolutions": (1, 2, 3), "filters": 4},
    {"attention": True},
    {"convolutions": (2,), "filters": 4, "attention": True},
]


@pytest.mark.parametrize("side", SIDES, ids=lambda side: " ".join(side))
def test_padding_does_not_count_in_other_text_sides(side):
    model = small_model(tune_embedding=True, **side)
    # What stands for padding may be anything, once training has moved it.
    rows = model.embedding.get_weights()[0]
    rows[0] = 7.0
    model.embedding.set_weights([rows])
    short = np.asarray(model.questions(np.array([[3, 1, 2]])))
    padded = np.asarray(model.questions(np.array([[3, 1, 2, 0, 0, 0], [1, 2, 3, 4, 5, 6]])))
    assert np.abs(short[0] - padded[0]).max() < 1e-6
    plain = np.asarray(small_model(tune_embedding=True).questions(np.array([[3, 1, 2]])))
    assert np.abs(short - plain).max() > 1e-4


def test_text_sides_have_the_weights_they_name():
    def weights(**side):
        return sum(int(np.prod(w.shape)) for w in small_model(**side).trainable_weights)

    plain = weights()
    # Attention: a score of 2 * 3 states without a bias, and 6 more inputs to the 8 units after it.
    assert weights(attention=True) == plain + 6 + 6 * 8
    # Convolutions of 5-D vectors: 2 * 5 * 4 + 4 and 3 * 5 * 4 + 4, and 8 more inputs to 8 units.
    assert weights(convolutions=(2, 3), filters=4) == plain + 44 + 64 + 8 * 8
    assert small_model().attention is None and small_model().convolutions == []


def test_attention_without_preference_is_the_mean():
    model = small_model(attention=True)
    model.attention.set_weights([np.zeros((6, 1), "float32")])
    vectors = model.embedding(np.array([[3, 1, 2, 0]]))
    states = np.asarray(model.lstm(vectors, mask=np.array([[True, True, True, False]])))[0, :3]
    pooled = np.concatenate([states.max(axis=0), states.mean(axis=0)])[np.newaxis]
    for layer in [*model.question_layers, *model.shared_layers]:
        pooled = np.asarray(layer(pooled))
    found = np.asarray(model.questions(np.array([[3, 1, 2, 0]])))
    assert found == pytest.approx(pooled / np.linalg.norm(pooled), abs=1e-5)


def test_convolutions_take_the_largest_value_over_the_sentence():
    # One filter of width 1 that adds the 5 numbers of a word: relu(largest sum) over the words.
    model = small_model(convolutions=(1,), filters=1)
    model.convolutions[0].set_weights([np.ones((1, 5, 1), "float32"), np.zeros(1, "float32")])
    first = model.question_layers[0]
    kernel, bias = first.get_weights()
    kernel[:-1] = 0  # the LSTM has no say
    first.set_weights([kernel, bias])
    words = np.asarray(model.embedding(np.array([[3, 1, 2]])))[0]
    x = np.maximum(words.sum(axis=1).max(), 0) * kernel[-1:] + bias
    x = np.maximum(x, 0)
    for layer in model.shared_layers:
        x = np.asarray(layer(x))
    found = np.asarray(model.questions(np.array([[3, 1, 2, 0, 0, 0]])))
    assert found == pytest.approx(x / np.maximum(np.linalg.norm(x), 1e-9), abs=1e-5)


def test_vectors_are_dropped_in_training_alone():
    model = small_model(vector_dropout=0.9)
    ids = np.array([[1, 2, 3]])
    assert (np.asarray(model.questions(ids)) == np.asarray(model.questions(ids))).all()
    assert np.abs(np.asarray(model.questions(ids, training=True) - model.questions(ids))).max() > 0


def test_the_windows_of_2017_take_other_text_sides_too():
    model = small_model(mask=False, pool="windows", max_tokens=10, attention=True,
                        convolutions=(3,), filters=4)  # fmt: skip
    found = np.asarray(model.questions(np.array([[1, 2, 3, 0, 0, 0, 0, 0, 0, 0]])))
    assert np.isfinite(found).all() and np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_the_settings_that_ship_can_be_read():
    saved = json.loads(asset("models", "sqam", "config.json").read_text("utf-8"))["settings"]
    settings = SQAMSettings.from_dict(saved)
    read = json.loads(json.dumps(dataclasses.asdict(settings)))
    assert {name: read[name] for name in saved} == saved


def test_order_of_words_counts():
    model = small_model()
    found = np.asarray(model.questions(np.array([[3, 1, 2], [2, 1, 3]])))
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_both_towers_share_their_last_layers():
    model = small_model()
    scores = np.asarray(model(np.array([[1, 2]])))
    assert scores.shape == (1, 9) and np.abs(scores).max() <= 1 + 1e-6
    question, answer = model.questions(np.array([[1, 2]])), model.answers(model.codes)
    assert np.linalg.norm(question, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(answer, axis=1) == pytest.approx(np.ones(9), abs=1e-5)
    before = np.asarray(question), np.asarray(answer)
    for layer in model.shared_layers:
        layer.set_weights([weight * 0.5 for weight in layer.get_weights()])
    assert np.abs(np.asarray(model.questions(np.array([[1, 2]]))) - before[0]).max() > 1e-4
    assert np.abs(np.asarray(model.answers(model.codes)) - before[1]).max() > 1e-4
    assert model.shared_layers[-1].activation.__name__ == "tanh"


def test_word_vectors_that_are_tuned_move_where_they_are_met():
    model = small_model(learning_rate=0.01, decay=False, tune_embedding=True, word_dropout=0.0)
    model.compile_for_training(60)
    before = model.embedding.get_weights()[0].copy()
    model.train_on_batch(np.array([[1, 0], [2, 3]]), np.eye(9, dtype="float32")[:2])
    moved = (before != model.embedding.get_weights()[0]).any(axis=1)
    assert moved[[1, 2, 3]].all() and not moved[4:].any()


def test_word_vectors_stay_where_they_are_and_the_loss_falls():
    model = small_model(learning_rate=0.01, decay=False, tune_embedding=False)
    model.compile_for_training(60)
    ids = np.array([[1, 0], [2, 3], [4, 0]])
    correct = np.eye(9, dtype="float32")[:3]
    before = model.embedding.get_weights()[0].copy()
    first = float(model.train_on_batch(ids, correct))
    for _ in range(60):
        model.reset_metrics()
        last = float(model.train_on_batch(ids, correct))
    assert last < first / 2
    after = model.embedding.get_weights()[0]
    assert not after[0].any()
    assert (before == after).all() and not model.embedding.trainable_weights


def test_one_seed_one_model():
    ids = np.array([[1, 2, 3]])
    assert (np.asarray(small_model(3)(ids)) == np.asarray(small_model(3)(ids))).all()
    assert (np.asarray(small_model(3)(ids)) != np.asarray(small_model(4)(ids))).any()


def test_2017_preset_has_the_sizes_of_its_source():
    settings = SQAMSettings.preset("2017")
    rng = np.random.default_rng(0)
    model = SQAM(
        settings, rng.standard_normal((2000, 100)).astype("float32"),
        rng.standard_normal((3, 16)).astype("float32"),
    )  # fmt: skip
    assert settings.margin == 0.2 and settings.batch == 64 and settings.clip_norm == 1
    assert settings.negatives == 1 and settings.learning_rate == 0.001
    assert settings.sharpness is None
    # bi-LSTM: 2 * 4 * (100 * 50 + 50 * 50 + 50) = 60,400. Two windows of 10 steps by 100 states
    # give 200 inputs: 200 * 10 + 10 = 2,010. Answers: 16 * 64 + 64 = 1,088 and 64 * 10 + 10 = 650.
    # Shared: 10 * 100 + 100 = 1,100; 100 * 50 + 50 = 5,050; 50 * 10 + 10 = 510.
    # The embedding has 2,000 words and the padding: 2,001 * 100 = 200,100.
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trained == 200_100 + 60_400 + 2_010 + 1_088 + 650 + 1_100 + 5_050 + 510


def test_settings_survive_json():
    settings = SQAMSettings.preset("default", space=32, question_units=(64, 512))
    again = SQAMSettings.from_dict(json.loads(json.dumps(dataclasses.asdict(settings))))
    assert again == settings and set(PRESETS) == {"default", "2017", "deepmoji"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"marginn": 0.1}, "marginn"),
        ({"pool": "mean"}, "mean"),
        ({"mask": False}, "mask"),
        ({"question_units": (7,)}, "same width"),
        ({"negatives": 0}, "at least 1"),
        ({"batch": 0}, "at least 1"),
        ({"view_share": 1.5}, "from 0 to 1"),
        ({"dropout": -0.1}, "from 0 to 1"),
        ({"vector_dropout": 2.0}, "from 0 to 1"),
        ({"convolutions": (3, 0)}, "at least 1"),
        ({"filters": 0}, "at least 1"),
        ({"popularity": 1.1}, "from 0 to 1"),
        ({"sharpness": 0}, "above 0"),
        ({"sharpness": -1.0}, "above 0"),
        ({"sharpness": float("nan")}, "above 0"),
    ],
)
def test_settings_that_cannot_be(changes, said):
    with pytest.raises(InputError, match=said):
        SQAMSettings.from_dict(changes)


def test_unknown_preset():
    with pytest.raises(InputError, match="2018"):
        SQAMSettings.preset("2018")


def test_word_vectors_and_codes_of_the_wrong_shape():
    settings = SQAMSettings.from_dict(SMALL)
    vectors, codes = np.zeros((7, 5), "float32"), np.zeros((9, 16), "float32")
    with pytest.raises(InputError, match="word vectors"):
        SQAM(settings, vectors[:, :4], codes)
    with pytest.raises(InputError, match="codes"):
        SQAM(settings, vectors, codes[:, :15])
    with pytest.raises(InputError, match="codes"):
        SQAM(settings, vectors, np.full((9, 16), np.nan, "float32"))


def test_training_shows_views_and_scoring_never():
    rng = np.random.default_rng(0)
    settings = SQAMSettings.from_dict({**SMALL, "view_share": 0.5})
    vectors = rng.standard_normal((7, 5)).astype("float32")
    codes = np.zeros((1000, 16), "float32")
    views = np.stack([np.full((1000, 16), value, "float32") for value in (1, 2)], axis=1)
    model = SQAM(settings, vectors, codes, 0, views)
    shown = np.asarray(model.shown())
    assert (shown == shown[:, :1]).all()  # a whole code, never a mixture
    counts = [(shown[:, 0] == value).sum() for value in (0, 1, 2)]
    # Half stay, a quarter each is of a view; four standard deviations of 1,000 draws are 63 and 55.
    assert sum(counts) == 1000
    assert abs(counts[0] - 500) < 63 and abs(counts[1] - 250) < 55
    np.testing.assert_array_equal(np.asarray(model.codes), codes)
    ids = np.ones((2, 6), "int32")
    np.testing.assert_array_equal(np.asarray(model(ids)), np.asarray(model(ids)))


def test_without_views_training_shows_the_codes():
    model = small_model(view_share=0.5)
    np.testing.assert_array_equal(np.asarray(model.shown()), np.asarray(model.codes))


def test_views_of_another_shape():
    settings = SQAMSettings.from_dict(SMALL)
    codes = np.zeros((9, 16), "float32")
    for views in (np.zeros((8, 1, 16)), np.zeros((9, 16)), np.full((9, 1, 16), np.nan)):
        with pytest.raises(InputError, match=r"\(9, n, 16\)"):
            SQAM(settings, np.zeros((7, 5), "float32"), codes, 0, views)
