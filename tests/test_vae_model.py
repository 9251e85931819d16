"""The Keras autoencoder: settings, shapes, hand-worked losses, and codes that stay finite."""

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
    VAESettings,
    build_vae,
)

SMALL = {"widths": (2, 3, 4), "batch": 4, "epochs": 1}


def pictures(n=4, seed=0):
    found = np.random.default_rng(seed).random((n, 36, 36, 4), dtype=np.float32)
    found[..., :3] *= found[..., 3:]
    return found


def small_model(preset="default", **changes) -> EmojiVAE:
    return build_vae(VAESettings.of(preset, **{**SMALL, **changes}))


def arrays(values):
    return [np.asarray(value) for value in values]


def test_settings_come_back_from_json():
    settings = VAESettings.of("2017", seed=3, kl_weight=0.5)
    assert VAESettings.from_dict(json.loads(json.dumps(dataclasses.asdict(settings)))) == settings


def test_the_2017_preset():
    settings = VAESettings.of("2017")
    assert (settings.latent, settings.batch, settings.epochs) == (16, 16, 100)
    assert (settings.learning_rate, settings.dropout, settings.decay) == (0.003, 0.8, False)


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
    # Half the width is 6, around -2: -2 + 6 tanh(x / 6). x = 6: tanh 1 = 0.76159416.
    layer = Bounded(-8.0, 4.0)
    found = np.asarray(layer(np.array([0.0, 6.0, -1e30, 1e30], "float32")))
    np.testing.assert_allclose(found, [-2, 2.569565, -8, 4], atol=1e-5)


def test_clipped_by_hand():
    found = np.asarray(Clipped(-8.0, 4.0)(np.array([-9.0, -1.0, 3.0, np.inf], "float32")))
    np.testing.assert_array_equal(found, [-8, -1, 3, 4])


def test_premultiplied_by_hand():
    # Sigmoid of 0 is a half: alpha 1/2, colours 1/2 x 1/2 = 1/4.
    np.testing.assert_allclose(
        np.asarray(Premultiplied()(np.zeros((1, 1, 1, 4), "float32"))), [[[[0.25] * 3 + [0.5]]]]
    )


def loss_of(model, x, rebuilt, mean, log_variance):
    x = np.full((1, 36, 36, 4), x, "float32")
    rebuilt = np.full((1, 36, 36, 4), rebuilt, "float32")
    code = [np.full((1, 16), value, "float32") for value in (mean, log_variance)]
    return float(model.compute_loss(x=x, y_pred=(rebuilt, *code)))


def test_squared_error_by_hand():
    # 36 x 36 x 4 = 5184 numbers, each off by 0.1: 51.84, over twice 0.05: 518.4. No KL at (0, 0).
    assert loss_of(small_model(noise=0.05), 0.3, 0.4, 0, 0) == pytest.approx(518.4, rel=1e-4)


def test_crossentropy_by_hand():
    # Mean over the channels of ln 2 = 0.693147, summed over 1296 pixels: 898.319.
    model = small_model("2017")
    assert loss_of(model, 1.0, 0.5, 0, 0) == pytest.approx(898.319, rel=1e-4)


def test_kl_by_hand():
    model = small_model()
    # Mean 1, variance 1: 16 x 1/2.
    assert loss_of(model, 0.5, 0.5, 1, 0) == pytest.approx(8, rel=1e-5)
    # Variance e^-2: 16 / 2 x (e^-2 - 1 + 2) = 8 x 1.1353353.
    assert loss_of(model, 0.5, 0.5, 0, -2) == pytest.approx(9.082682, rel=1e-5)
    assert loss_of(small_model(kl_weight=0.25), 0.5, 0.5, 1, 0) == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_training_and_validation_weigh_kl_alike(preset):
    for weight in (0.5, 3.0):
        model = small_model(preset, kl_weight=weight, shift=0.0)
        trained = model.fit(pictures(), batch_size=4, verbose=0).history
        tested = model.evaluate(pictures(), batch_size=4, verbose=0, return_dict=True)
        for loss, error, kl in (
            (trained["loss"][0], trained["reconstruction"][0], trained["kl"][0]),
            (tested["loss"], tested["reconstruction"], tested["kl"]),
        ):
            assert loss == pytest.approx(error + weight * kl, rel=1e-4)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_shapes_and_ranges(preset):
    model = small_model(preset)
    rebuilt, mean, log_variance = arrays(model(pictures(3)))
    assert rebuilt.shape == (3, 36, 36, 4) and mean.shape == log_variance.shape == (3, 16)
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
