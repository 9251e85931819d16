"""The Keras autoencoder: settings, shapes, losses and heads by hand, and codes that stay finite."""

import dataclasses
import json
import math

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from emoji_vae.model import (
    LOG_VARIANCE,
    MEAN_BOUND,
    PRESETS,
    Bounded,
    Clipped,
    EmojiVAE,
    Premultiplied,
    Targets,
    VAESettings,
    apart_from_others,
    build_vae,
    in_full_precision,
)

SMALL = {"widths": (2, 3, 4), "batch": 4, "epochs": 1}


def pictures(n=4, seed=0):
    found = np.random.default_rng(seed).random((n, 36, 36, 4), dtype=np.float32)
    found[..., :3] *= found[..., 3:]
    return found


def small_model(preset="default", steps=1, targets=None, **changes) -> EmojiVAE:
    return build_vae(VAESettings.of(preset, **{**SMALL, **changes}), steps, targets)


def arrays(values):
    return [np.asarray(value) for value in values]


def test_settings_come_back_from_json():
    settings = VAESettings.of("2017", seed=3, kl_weight=0.5)
    assert VAESettings.from_dict(json.loads(json.dumps(dataclasses.asdict(settings)))) == settings


def test_the_2017_preset():
    settings = VAESettings.of("2017")
    assert (settings.latent, settings.batch, settings.epochs) == (16, 16, 100)
    assert (settings.learning_rate, settings.dropout, settings.decay) == (0.003, 0.8, False)
    # Nothing that came later; Adam as it comes.
    assert settings.beta_2 == 0.999
    assert (settings.corrections, settings.gradient, settings.kl_warmup) == (0, 0, 0)
    assert (settings.meaning, settings.emotion, settings.agreement) == (0, 0, 0)
    assert (settings.vendors, settings.views, settings.mirror) == ((), 0, 0)
    assert settings.precision == "float32"
    model = small_model("2017")
    assert model.targets is None and float(model.kl_weight) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"depth": 3}, "'depth'"),
        ({"preset": "2018"}, "'2018'"),
        ({"reconstruction": "guess"}, "'guess'"),
        ({"widths": (1, 2)}, "(1, 2)"),
        ({"widths": (0, 2, 3)}, "0"),
        ({"latent": 0}, "latent 0"),
        ({"epochs": 0}, "epochs 0"),
        ({"batch": -1}, "batch -1"),
        ({"noise": 0.0}, "0.0"),
        ({"noise": math.nan}, "nan"),
        ({"kl_weight": -1.0}, "-1.0"),
        ({"learning_rate": math.inf}, "inf"),
        ({"dropout": 1.0}, "1.0"),
        ({"tint": -0.1}, "-0.1"),
        ({"seed": -1}, "-1"),
        ({"corrections": -1}, "corrections -1"),
        ({"corrections": 1.5}, "corrections cannot be 1.5"),
        ({"gradient": -0.5}, "gradient -0.5"),
        ({"meaning": -1.0}, "meaning -1.0"),
        ({"emotion": math.nan}, "emotion nan"),
        ({"agreement": math.inf}, "agreement inf"),
        ({"kl_warmup": 1.0}, "kl_warmup 1.0"),
        ({"kl_warmup": -0.1}, "kl_warmup -0.1"),
        ({"clip": 0.0}, "clip 0.0"),
        ({"clip": math.nan}, "clip nan"),
        ({"mirror": -0.1}, "mirror -0.1"),
        ({"beta_2": 1.0}, "beta_2 1.0"),
        ({"precision": "float16"}, "'float16'"),
        ({"vendors": [], "views": 2}, "2 views of 0 vendors"),
        ({"vendors": ["twemoji"], "views": 0}, "0 views of 1 vendors"),
        ({"views": -1}, "views -1"),
        ({"vendors": ["twemoji", 3]}, "vendors"),
    ],
)
def test_settings_that_cannot_be(change, named):
    with pytest.raises(InputError) as caught:
        VAESettings.from_dict(change)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_preset():
    with pytest.raises(InputError, match="'2018'"):
        VAESettings.of("2018")


def test_bounded_by_hand():
    # Half the width is 6, around -2: with u = x / 6 it is -2 + 6 u / sqrt(1 + u^2). x = 6: u = 1,
    # 6 / sqrt 2 = 4.242641.
    layer = Bounded(-8.0, 4.0)
    found = np.asarray(layer(np.array([0.0, 6.0, -1e30, 1e30], "float32")))
    np.testing.assert_allclose(found, [-2, 2.242641, -8, 4], atol=1e-5)


def test_clipped_by_hand():
    found = np.asarray(Clipped(-8.0, 4.0)(np.array([-9.0, -1.0, 3.0, np.inf], "float32")))
    np.testing.assert_array_equal(found, [-8, -1, 3, 4])


def test_premultiplied_by_hand():
    # Sigmoid of 0 is a half: alpha 1/2, colours 1/2 x 1/2 = 1/4.
    np.testing.assert_allclose(
        np.asarray(Premultiplied()(np.zeros((1, 1, 1, 4), "float32"))), [[[[0.25] * 3 + [0.5]]]]
    )


def test_settings_without_clip_and_views():
    settings = VAESettings(clip=None, vendors=(), views=0)
    assert VAESettings.from_dict(dataclasses.asdict(settings)) == settings


def loss_of(model, x, rebuilt, mean, log_variance):
    x, rebuilt = (np.broadcast_to(some, (1, 36, 36, 4)).astype("float32") for some in (x, rebuilt))
    code = [np.full((1, 16), value, "float32") for value in (mean, log_variance)]
    return float(model.compute_loss(x=x, y_pred=(rebuilt, *code, code[0])))


def test_squared_error_by_hand():
    # 36 x 36 x 4 = 5184 numbers, each off by 0.1: 51.84, over twice 0.05: 518.4. No KL at (0, 0).
    assert loss_of(small_model(noise=0.05), 0.3, 0.4, 0, 0) == pytest.approx(518.4, rel=1e-4)


@pytest.mark.parametrize(
    ("place", "expected"),
    # One number is off by a half: 0.25, and so is each difference from a neighbour, of which there
    # are 4 inside, 3 at an edge, 2 in a corner. (0.25 + 0.4 x 4 x 0.25) / (2 x 0.1) = 3.25.
    [((9, 20), 3.25), ((0, 20), 2.75), ((35, 35), 2.25)],
)
def test_squared_error_of_differences_by_hand(place, expected):
    rebuilt = np.full((36, 36, 4), 0.25)
    rebuilt[*place, 2] = 0.75
    model = small_model(noise=0.1, gradient=0.4)
    assert loss_of(model, 0.25, rebuilt, 0, 0) == pytest.approx(expected, rel=1e-5)
    # What is off everywhere alike has no edge that is off: 51.84 / 0.2.
    assert loss_of(model, 0.3, 0.4, 0, 0) == pytest.approx(259.2, rel=1e-4)


def test_crossentropy_by_hand():
    # Mean over the channels of ln 2 = 0.693147, summed over 1296 pixels: 898.319.
    model = small_model("2017")
    assert loss_of(model, 1.0, 0.5, 0, 0) == pytest.approx(898.319, rel=1e-4)


def test_kl_by_hand():
    model = small_model(kl_warmup=0.0)
    # Mean 1, variance 1: 16 x 1/2.
    assert loss_of(model, 0.5, 0.5, 1, 0) == pytest.approx(8, rel=1e-5)
    # Variance e^-2: 16 / 2 x (e^-2 - 1 + 2) = 8 x 1.1353353.
    assert loss_of(model, 0.5, 0.5, 0, -2) == pytest.approx(9.082682, rel=1e-5)
    model = small_model(kl_weight=0.25, kl_warmup=0.0)
    assert loss_of(model, 0.5, 0.5, 1, 0) == pytest.approx(2, rel=1e-5)


def test_warm_up_by_hand():
    # Over half of 8 steps, 4, the weight grows to 2. The KL of mean 1 and variance 1 is 8.
    model = small_model(steps=8, kl_weight=2.0, kl_warmup=0.5)
    assert float(model.kl_weight) == 0
    for step, weight in ((0, 0), (1, 0.5), (2, 1), (4, 2), (5, 2), (100, 2)):
        model.warm_up(step)
        assert float(model.kl_weight) == pytest.approx(weight)
        assert loss_of(model, 0.5, 0.5, 1, 0) == pytest.approx(8 * weight, rel=1e-5)
    # A tenth of 11 steps is more than one of them: two.
    model = small_model(steps=11, kl_warmup=0.1)
    model.warm_up(1)
    assert float(model.kl_weight) == 0.5


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_training_and_validation_weigh_kl_alike(preset):
    model = small_model(preset, steps=10, kl_weight=3.0, kl_warmup=0.4)
    # The same compiled training goes on while the weight changes.
    for step, weight in ((1, 0.75), (3, 2.25), (4, 3.0)):
        model.warm_up(step)
        trained = model.fit(pictures(), batch_size=4, verbose=0).history
        tested = model.evaluate(pictures(), batch_size=4, verbose=0, return_dict=True)
        for loss, error, kl in (
            (trained["loss"][0], trained["reconstruction"][0], trained["kl"][0]),
            (tested["loss"], tested["reconstruction"], tested["kl"]),
        ):
            assert loss == pytest.approx(error + weight * kl, rel=1e-4)


def test_the_weight_of_kl_is_kept_with_the_weights(tmp_path):
    first, second = (small_model(steps=10, kl_weight=2.0, kl_warmup=0.5) for _ in range(2))
    first.warm_up(2)
    first.save_weights(tmp_path / "some.weights.h5")
    second.load_weights(tmp_path / "some.weights.h5")
    assert float(second.kl_weight) == pytest.approx(0.8)


NAN = math.nan
TARGETS = Targets(
    meanings=np.array([[1, 0], [0, 1], [-1, 0]], "float32"),
    groups=np.array([0, 1, 1]),
    emotions=np.array([[0.5, NAN], [NAN, NAN], [0, 1]], "float32"),
    known=np.array([True, True, True]),
)
ROWS = np.array([0, 1, 2], "int32")


def model_of_known_heads(targets=TARGETS, **changes):
    """Whatever the code, its heads give the meaning (3, 4), the groups' logits (ln 3, 0) and the
    emotions (1, 2)."""
    model = small_model(targets=targets, **changes)
    for head in (model.meaning_head, model.emotion_head):
        for weight in head.weights:
            weight.assign(np.zeros(weight.shape))
    model.meaning_head.weights[-1].assign([3, 4, math.log(3), 0])
    model.emotion_head.weights[-1].assign([1, 2])
    return model


def test_heads_by_hand():
    # (3, 4) points to (0.6, 0.8): cosines 0.6, 0.8 and -0.6, logits of ten times that. Of e^6, e^8
    # and e^-6 the logarithm of the sum is 8.1269289. The groups' shares are 3/4 and 1/4.
    #   direction 3 x (1 - 0.6) = 1.2    which 8.1269289 - 6 = 2.1269289   group -ln 3/4 = 0.2876821
    #   direction 3 x (1 - 0.8) = 0.6    which 8.1269289 - 8 = 0.1269289   group -ln 1/4 = 1.3862944
    #   direction 3 x (1 + 0.6) = 4.8    which 8.1269289 + 6 = 14.1269289  group -ln 1/4 = 1.3862944
    meaning = np.array([1.2 + 2.1269289 + 0.1438410, 0.6 + 0.1269289 + 0.6931472, 19.6200761])
    # Emotions: (1 - 0.5)^2, for the other is not known; nothing; (1 - 0)^2 + (2 - 1)^2.
    emotion = np.array([0.25, 0, 2])
    codes = np.random.default_rng(0).standard_normal((3, 16)).astype("float32")
    for weights in ((1.0, 0.0), (0.0, 1.0), (2.0, 10.0)):
        model = model_of_known_heads(meaning=weights[0], emotion=weights[1])
        found = np.asarray(model.head_losses(codes, ROWS))
        np.testing.assert_allclose(found, weights[0] * meaning + weights[1] * emotion, rtol=1e-5)
        # Which rows are asked for, and in what order, is the batch's matter.
        swapped = np.asarray(model.head_losses(codes, ROWS[[2, 0, 0]]))
        np.testing.assert_allclose(swapped, found[[2, 0, 0]], rtol=1e-5)


def test_meanings_of_emojis_held_out_are_not_told_apart():
    # Without the second emoji, whose meaning was nearest, e^6 and e^-6 are left: ln (1 + e^-12).
    held_out = dataclasses.replace(TARGETS, known=np.array([True, False, True]))
    model = model_of_known_heads(held_out, meaning=1.0, emotion=0.0)
    found = np.asarray(model.head_losses(np.zeros((1, 16), "float32"), ROWS[:1]))
    np.testing.assert_allclose(found, [1.2 + 6.1e-6 + 0.1438410], rtol=1e-5)


def test_heads_read_the_code():
    model = small_model(targets=TARGETS)
    codes = np.random.default_rng(0).standard_normal((2, 16)).astype("float32")
    same = np.asarray(model.head_losses(codes[[0, 0]], ROWS[:1].repeat(2)))
    other = np.asarray(model.head_losses(codes, ROWS[:1].repeat(2)))
    assert same[0] == pytest.approx(same[1]) and abs(other[0] - other[1]) > 1e-3


def apart(codes, rows):
    return np.asarray(apart_from_others(np.asarray(codes, "float32"), np.asarray(rows, "int32")))


def test_apart_from_others_by_hand():
    # Two codes at -1, two at 1: a spread of 1 (and 0.001 for safety). Codes at one place have the
    # weight 1, those at a distance of 2 e^-1 = 0.367879. Where an emoji's codes lie together, the
    # share is 1 of 1 + 2/e: ln 1.735759 = 0.551445; where apart, 1/e of that: 1 more.
    codes = [[-1], [-1], [1], [1]]
    np.testing.assert_allclose(apart(codes, [7, 7, 3, 3]), [0.551445] * 4, atol=2e-3)
    np.testing.assert_allclose(apart(codes, [7, 3, 7, 3]), [1.551445] * 4, atol=2e-3)
    # Emojis that are there once say nothing, but lie beside the others.
    np.testing.assert_allclose(apart(codes, [7, 7, 3, 4]), [0.551445] * 2 + [0, 0], atol=2e-3)
    # Three of one emoji: two others share the weight, 1 + 1/e of 1 + 2/e, and 2/e of 1 + 2/e.
    np.testing.assert_allclose(
        apart(codes, [7, 7, 7, 4]), [0.238173, 0.238173, 0.858298, 0], atol=2e-3
    )


def test_apart_from_others_knows_no_scale():
    codes = np.random.default_rng(0).standard_normal((6, 16))
    first = apart(codes, [0, 0, 1, 1, 2, 2])
    assert (first > 0).all()
    np.testing.assert_allclose(apart(100 * codes, [0, 0, 1, 1, 2, 2]), first, rtol=1e-2)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_nothing_is_apart_where_each_emoji_is_there_once(n):
    codes = np.random.default_rng(0).standard_normal((n, 16))
    np.testing.assert_array_equal(apart(codes, range(n)), np.zeros(n))
    # Equal codes have no spread at all; three others are one as good as the other.
    np.testing.assert_array_equal(apart(np.ones((n, 16)), range(n)), np.zeros(n))
    np.testing.assert_allclose(apart(np.ones((4, 16)), [0, 0, 1, 1]), [math.log(3)] * 4, rtol=1e-5)


def test_the_whole_loss_adds_what_the_heads_miss():
    model = small_model(targets=TARGETS, agreement=3.0, kl_warmup=0.0)
    rng, shown = np.random.default_rng(0), pictures(4)
    mean, log_variance, code = rng.standard_normal((3, 4, 16)).astype("float32")
    predicted = (pictures(4, seed=1), mean, log_variance, code)
    rows = np.array([0, 2, 0, 1], "int32")
    whole = float(model.compute_loss(x=shown, y=rows, y_pred=predicted))
    without = float(model.compute_loss(x=shown, y_pred=predicted))
    # The heads read the code that was drawn; what lies apart is the mean.
    heads, lies = np.asarray(model.head_losses(code, rows)).mean(), apart(mean, rows).mean()
    assert lies > 0
    assert whole == pytest.approx(without + heads + 3 * lies, rel=1e-4)


def test_training_with_heads_stays_finite_and_moves_them():
    model = small_model(targets=TARGETS, steps=4)
    before = [weight.copy() for weight in model.get_weights()]
    rows = np.array([0, 1, 2, 0], "int32")
    for step in (0, 2):
        model.warm_up(step)
        losses = model.fit(pictures(4), rows, batch_size=2, verbose=0).history
        assert set(losses) == {"loss", "reconstruction", "kl", "heads", "apart"}
        assert np.isfinite([values[0] for values in losses.values()]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert np.abs(model.emotion_head.bias).max() > 0


def test_training_in_bfloat16_is_measured_in_float32():
    model = small_model(
        targets=TARGETS, steps=10, kl_weight=2.0, kl_warmup=0.1, precision="mixed_bfloat16"
    )
    assert any(layer.compute_dtype == "bfloat16" for layer in model.encoder.layers)
    model.fit(pictures(4), np.array([0, 1, 2, 0], "int32"), batch_size=4, verbose=0)
    model.warm_up(1)
    full = in_full_precision(model)
    assert full.settings == dataclasses.replace(model.settings, precision="float32")
    assert full.targets is None and float(full.kl_weight) == 2
    for network in ("encoder", "decoder"):
        old, new = getattr(model, network), getattr(full, network)
        assert {layer.compute_dtype for layer in new.layers} == {"float32"}
        for a, b in zip(old.get_weights(), new.get_weights(), strict=True):
            assert a.dtype == np.float32
            np.testing.assert_array_equal(a, b)
    # bfloat16 has 8 bits of a number: near, and not the same.
    for a, b in zip(arrays(model(pictures())), arrays(full(pictures())), strict=True):
        assert a.dtype == b.dtype == np.float32
        assert 0 < np.abs(a - b).max() < 0.1


def test_full_precision_of_full_precision_changes_nothing():
    model = small_model("2017")
    full = in_full_precision(model)
    for a, b in zip(arrays(model(pictures())), arrays(full(pictures())), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_shapes_and_ranges(preset):
    model = small_model(preset)
    rebuilt, mean, log_variance, code = arrays(model(pictures(3)))
    assert rebuilt.shape == (3, 36, 36, 4) and mean.shape == log_variance.shape == (3, 16)
    assert rebuilt.dtype == mean.dtype == log_variance.dtype == np.float32
    np.testing.assert_array_equal(code, mean)
    assert rebuilt.min() >= 0 and rebuilt.max() <= 1
    assert log_variance.min() >= LOG_VARIANCE[0] and log_variance.max() <= LOG_VARIANCE[1]
    if preset == "default":
        assert (rebuilt[..., :3] <= rebuilt[..., 3:]).all()


def test_the_code_is_drawn_in_training_alone():
    model = small_model()
    first, second = (arrays(model(pictures(3)))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    first, second = (arrays(model(pictures(3), training=True))[0] for _ in range(2))
    assert np.abs(first - second).max() > 1e-4


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_equal_seeds_give_equal_weights(preset):
    one, same, other = (small_model(preset, seed=seed).get_weights() for seed in (5, 5, 6))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != c).any() for a, c in zip(one, other, strict=True))


def test_the_2017_form():
    model = build_vae(VAESettings.of("2017"))
    # Convolutions 3x3: 4 to 64 has 4 x 9 x 64 + 64 = 2,368 weights, 64 to 64 has 36,928. Flattened,
    # 36 x 36 x 64 = 82,944 go to 16 twice: 2 x (82,944 x 16 + 16) = 2,654,240.
    assert model.encoder.count_params() == 2_368 + 2 * 36_928 + 2_654_240
    # 16 to 5,184: 88,128; then 4 to 64, 64 to 64 twice, 64 to 4: 64 x 9 x 4 + 4 = 2,308.
    assert model.decoder.count_params() == 88_128 + 2_368 + 2 * 36_928 + 2_308
    [dropout] = [la for la in model.decoder.layers if isinstance(la, keras.layers.Dropout)]
    assert dropout.rate == 0.8
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.003)


def test_the_default_fits_its_size():
    model = build_vae(VAESettings())
    assert 4 * (model.encoder.count_params() + model.decoder.count_params()) < 3_500_000


@pytest.mark.parametrize("preset", sorted(PRESETS))
@hypothesis.settings(deadline=None, max_examples=8)
@given(scale=st.sampled_from([1e-3, 1.0, 30.0, 300.0]), seed=st.integers(0, 100))
def test_codes_are_finite_however_large_the_weights(preset, scale, seed):
    model = _MODELS.setdefault(preset, small_model(preset))
    start = _MODELS.setdefault(preset + " weights", model.get_weights())
    model.set_weights([scale * w if w.dtype.kind == "f" else w for w in start])
    mean, log_variance = arrays(model.encoder(pictures(4, seed)))
    assert np.isfinite(mean).all() and np.isfinite(np.exp(log_variance)).all()
    if preset == "default":
        assert np.abs(mean).max() <= MEAN_BOUND
    drawn = arrays(model(pictures(4, seed), training=True))[0]
    assert np.isfinite(drawn).all()


_MODELS: dict = {}
