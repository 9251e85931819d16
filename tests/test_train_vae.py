"""Training of the autoencoder: figures by hand, runs that stop, export that agrees with Keras."""

import dataclasses
import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.model import PRESETS, Targets, VAESettings, build_vae
from emoji_vae.posterior import corrected
from emoji_vae.prior import Prior
from pipelines import meanings, measure_codes, views
from pipelines import train_vae as module
from pipelines.train_vae import (
    COMPONENTS,
    TOLERANCE,
    Material,
    Shown,
    export,
    fit,
    fit_prior,
    held_out,
    main,
    means_of,
    pictures_of,
    split_folder,
    vary,
)

# All that tests count on is said here, since the presets' numbers may change.
SMALL = VAESettings(
    widths=(2, 3, 4), batch=8, epochs=3, corrections=3, kl_warmup=0.1, vendors=("twemoji",),
    views=2, shift=0.8, scale=0.05, mirror=0.5, tint=0.06, precision="mixed_bfloat16",
)  # fmt: skip
# The settings of the presets, at a size that trains in seconds.
SIZES = {"widths": (2, 3, 4), "batch": 8, "epochs": 2}


@pytest.fixture(scope="module")
def pictures():
    """Real pictures, spread over the catalogue."""
    return images.sheet()[::90]


def told(n) -> meanings.Meanings:
    """Made up, for n emojis."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    emotions = rng.random((n, 8), dtype=np.float32)
    emotions[::2] = np.nan
    sentiment = np.linspace(-0.9, 0.9, n, dtype=np.float32)
    sentiment[::3] = np.nan
    return meanings.Meanings(
        vectors=vectors,
        names=vectors,
        groups=np.arange(n) % 3,
        group_names=("a", "b", "c"),
        emotions=emotions,
        felt=np.nan_to_num(emotions, nan=0.5),
        sentiment=sentiment,
    )


def targets(n) -> Targets:
    found = told(n)
    return Targets(found.vectors, found.groups, found.emotions, np.full(n, True))


@pytest.fixture(scope="module")
def shown(pictures) -> Material:
    """The pictures, as if each were the first emojis', turned ones as another vendor's of some."""
    n = len(pictures)
    shows = np.arange(0, n, 2)
    turned = pictures[shows, :, ::-1]
    return Material.of(np.arange(n), pictures, views=turned, shows=shows, targets=targets(n))


def still(**changes) -> VAESettings:
    nothing = {"shift": 0.0, "scale": 0.0, "mirror": 0.0, "tint": 0.0}
    return dataclasses.replace(SMALL, **{**nothing, **changes})


def test_vary_leaves_pictures_alone_where_nothing_is_to_change(pictures):
    np.testing.assert_array_equal(vary(pictures, still(), np.random.default_rng(0)), pictures)


def test_vary_gives_pictures_that_differ(pictures):
    varied = vary(pictures, dataclasses.replace(SMALL, mirror=0.0), np.random.default_rng(0))
    images.check(varied)
    assert varied.shape == pictures.shape and varied.dtype == np.float32
    assert (varied[..., :3] <= varied[..., 3:] + 1e-6).all()
    changed = np.abs(varied - pictures).mean(axis=(1, 2, 3))
    assert (changed > 1e-4).all() and changed.mean() < 0.15


def test_scaling_keeps_the_middle():
    # A cross through the middle stays there: its weight's centre moves by less than a pixel.
    cross = np.zeros((16, 36, 36, 4), np.float32)
    cross[:, 17:19, 8:28] = cross[:, 8:28, 17:19] = 1
    varied = vary(cross, still(scale=0.3), np.random.default_rng(0))[..., 3]
    places = np.arange(36)
    for axis in (1, 2):
        centre = (varied.sum(axis=3 - axis) * places).sum(axis=1) / varied.sum(axis=(1, 2))
        np.testing.assert_allclose(centre, 17.5, atol=0.05)
    assert varied.sum(axis=(1, 2)).std() > 1


def test_a_share_of_the_pictures_is_mirrored():
    some = images.sheet()[::5]
    varied = vary(some, still(mirror=0.25), np.random.default_rng(0))
    turned = (varied == some[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (varied == some).all(axis=(1, 2, 3))
    # Some are symmetric, and are both.
    assert (turned | kept).all()
    assert 0.2 < (~kept).sum() / (~(turned & kept)).sum() < 0.3


def marked(*values):
    """Pictures of one value each, by which they are known again."""
    return np.broadcast_to(
        np.array(values, np.float32)[:, None, None, None], (len(values), 36, 36, 4)
    )


# Of four emojis, the catalogue's 10, 20, 30 and 40, the first has three views and the third one.
MARKED = Material.of(
    np.array([10, 20, 30, 40]),
    marked(0.1, 0.2, 0.3, 0.4),
    views=marked(0.11, 0.31, 0.12, 0.13),
    shows=np.array([0, 2, 0, 0]),
    targets=targets(50),
)
VIEWS = {10: {0.11, 0.12, 0.13}, 20: {0.2}, 30: {0.31}, 40: {0.4}}


def all_of(epoch: Shown):
    """The marks of an epoch's pictures, and the rows."""
    found = [epoch[i] for i in range(len(epoch))]
    return [
        (np.concatenate([batch[0] for batch in found])[:, 5, 5, 0] * 100).round() / 100,
        *([np.concatenate([batch[1] for batch in found])] if len(found[0]) == 2 else []),
    ]


def test_an_epoch_shows_each_picture_once_followed_by_its_views():
    settings, seen = still(batch=5, views=2), set()
    for epoch in range(20):
        batches = Shown(MARKED, settings, epoch)
        assert [len(batches[i][0]) for i in range(len(batches))] == [5, 5, 2]
        marks, rows = all_of(batches)
        groups, rows = marks.reshape(4, 3), rows.reshape(4, 3)
        assert (rows == rows[:, :1]).all() and sorted(rows[:, 0]) == [10, 20, 30, 40]
        for (own, *others), row in zip(groups.tolist(), rows[:, 0].tolist(), strict=True):
            assert own == pytest.approx(row / 100)
            # An emoji without views is shown again itself.
            assert {round(other, 2) for other in others} <= VIEWS[row]
            seen |= {round(other, 2) for other in others}
    # Over the epochs, each view has its turn.
    assert seen == set.union(*VIEWS.values())


def test_epochs_are_drawn_by_seed_and_number():
    def shows(**changes):
        epoch = changes.pop("epoch", 2)
        return np.stack(all_of(Shown(MARKED, still(**changes), epoch)))

    np.testing.assert_array_equal(shows(), shows())
    assert (shows() != shows(epoch=3)).any() and (shows() != shows(seed=1)).any()


def test_an_epoch_without_views_and_heads(pictures):
    plain = Material.of(np.arange(len(pictures)), pictures)
    settings = still(vendors=(), views=0)
    batches = Shown(plain, settings, epoch=2)
    shown = np.concatenate([batches[i][0] for i in range(len(batches))])
    assert sorted(p.tobytes() for p in shown) == sorted(p.tobytes() for p in pictures)
    with pytest.raises(IndexError, match=f"no batch {len(batches)}"):
        batches[len(batches)]
    # Nothing is told of emojis where nothing is to be learnt of them.
    assert all(len(batches[i]) == 1 for i in range(len(batches)))


def test_each_showing_is_changed_anew():
    # An emoji without views is shown three times: never quite the same.
    material = Material.of(np.array([4]), images.sheet()[90:91])
    [(first, second, third)] = [Shown(material, SMALL, 0)[0][0]]
    assert np.abs(first - second).max() > 1e-3 and np.abs(second - third).max() > 1e-3


def test_a_digest_is_of_all_that_is_shown():
    assert MARKED.targets is not None
    changed = {
        "rows": np.array([10, 20, 30, 41], np.int32),
        "pictures": marked(0.1, 0.2, 0.3, 0.5),
        "views": marked(0.11, 0.31, 0.12, 0.14),
        "shows": np.array([0, 2, 0, 1]),
        "targets": dataclasses.replace(MARKED.targets, groups=np.zeros(50, int)),
    }
    digests = [MARKED.digest()]
    digests += [dataclasses.replace(MARKED, **{k: v}).digest() for k, v in changed.items()]
    digests.append(dataclasses.replace(MARKED, targets=None).digest())
    assert len(set(digests)) == 7
    assert (
        MARKED.digest() == dataclasses.replace(MARKED, pictures=marked(0.1, 0.2, 0.3, 0.4)).digest()
    )


def test_a_fifth_is_held_out_for_good():
    sequences = catalogue().sequences
    out = held_out(sequences)
    assert 0.17 < out.mean() < 0.23
    # It is a matter of the emoji alone, not of its neighbours.
    np.testing.assert_array_equal(held_out(sequences[::-1]), out[::-1])


def vendor(name, there, pictures=None) -> views.Views:
    found = np.zeros((len(there), 36, 36, 4), np.float32) if pictures is None else pictures
    return views.Views(name, found, np.asarray(there))


def test_material_gathers_what_is_there_of_the_emojis_asked_for(monkeypatch):
    n, rows = len(catalogue()), np.full(len(catalogue()), False)
    rows[[3, 7, 20]] = True
    sheet = images.sheet()
    there = {"twemoji": [3, 8, 20], "fluent": [7], "openmoji": [3]}
    vendors = {
        name: vendor(name, np.isin(np.arange(n), emojis), sheet[::-1])
        for name, emojis in there.items()
    }
    asked: dict[str, Any] = {}

    def load(cache, data, *, fit):
        asked.update(cache=cache, data=data, fit=fit)
        return told(n)

    monkeypatch.setattr(meanings, "load", load)
    # The vendors in the order of the settings, without 8, which is not asked for, and without those
    # that the settings do not name.
    settings = still(vendors=("fluent", "twemoji"), views=1)
    found = module.material(settings, rows, vendors, Path("data"), Path("cache"))
    np.testing.assert_array_equal(found.rows, [3, 7, 20])
    np.testing.assert_array_equal(found.pictures, sheet[[3, 7, 20]])
    np.testing.assert_array_equal(found.views, sheet[::-1][[7, 3, 20]])
    np.testing.assert_array_equal(found.shows, [1, 0, 2])
    assert found.rows.dtype == np.int32 and found.views.dtype == np.float32
    # No meaning but of these has a part in what is learnt.
    assert asked["cache"] == Path("cache") and asked["data"] == Path("data")
    np.testing.assert_array_equal(asked["fit"], rows)
    assert found.targets is not None
    np.testing.assert_array_equal(found.targets.known, rows)
    np.testing.assert_array_equal(found.targets.meanings, told(n).vectors)
    # Emotions in units of their spread among these three.
    felt = told(n).felt
    spread = np.maximum(felt[rows].std(axis=0), 1e-6)
    np.testing.assert_allclose(
        found.targets.emotions, (felt - felt[rows].mean(axis=0)) / spread, rtol=1e-5, atol=1e-5
    )


def test_the_2017_form_is_shown_our_pictures_alone(monkeypatch):
    monkeypatch.setattr(meanings, "load", None)
    rows = np.arange(len(catalogue())) < 5
    found = module.material(VAESettings.of("2017"), rows, {}, Path("data"), Path("cache"))
    np.testing.assert_array_equal(found.pictures, images.sheet()[:5])
    assert len(found.views) == len(found.shows) == 0 and found.targets is None


def figures_of(codec, vendors) -> dict[str, float]:
    """Of eight pictures of one value each: 4 of training, 3 held out, of which one is new, as is
    one more."""
    test = module.Test(
        pictures=marked(0, 0.2, 0.4, 0.6, 0.1, 0.3, 0.5, 0.7),
        held_out=np.array([0, 0, 0, 0, 1, 1, 1, 0], bool),
        new=np.array([0, 0, 0, 0, 0, 0, 1, 1], bool),
        vendors=vendors,
        meanings=dataclasses.replace(
            told(8),
            vectors=np.eye(5, dtype=np.float32)[[0] * 8],
            sentiment=np.array([-0.6, -0.2, 0.2, 0.6, -0.4, np.nan, 0.4, np.nan]),
        ),
    )
    np.testing.assert_array_equal(test.train, [1, 1, 1, 1, 0, 0, 0, 0])
    return test.figures(*codec)


def perfect():
    """A codec whose two numbers are the value, and five times it."""

    def encode(pictures):
        return pictures[:, 0, 0, :1] * np.array([[1, 5]], np.float32)

    return encode, lambda codes: marked(*codes[:, 0])


def test_figures_by_hand():
    # One vendor's pictures are as ours, but for one of training that is not looked at; the other
    # has none that is held out or new.
    alike = vendor("alike", [1, 0, 0, 0, 1, 0, 1, 1], marked(9, 0, 0, 0, 0.1, 0, 0.5, 0.7))
    none = vendor("none", [1, 1, 0, 0, 0, 0, 0, 0])
    found = figures_of(perfect(), [alike, none])
    variances = {k: v for k, v in found.items() if k.startswith("variance explained")}
    assert variances == pytest.approx(
        {f"variance explained, {part}": 1 for part in ("held out", "new", "training")}
    )
    assert found["finite codes"] == 1
    assert found["found again by alike's picture, hit@10"] == 1
    assert not any("none" in name for name in found)
    # All mean the same.
    assert found["meaning of the 5 nearest, cosine"] == pytest.approx(1)
    # Sentiment is twice the value less 0.6. Two numbers that say the same, 4 times each, and a
    # ridge of weight 1: it goes 8 / (8 + 1) of the way from the mean, so 1/9 of -0.4 and of 0.4 is
    # missed.
    assert found["sentiment readable, R2"] == pytest.approx(1 - 1 / 81, abs=1e-5)
    # Values 0.1, 0.3 and 0.5 have the spread 0.2 x sqrt(2/3), five times them five times that.
    assert found["held-out codes, smallest spread"] == pytest.approx(0.1632993, rel=1e-4)
    assert found["held-out codes, largest spread"] == pytest.approx(0.8164966, rel=1e-4)


def test_variance_is_explained_around_the_mean_of_training():
    # That is 0.3. A decoder of nothing but 0.3 explains nothing of any part; one of 0.5 makes of
    # the held-out offsets -0.2, 0, 0.2 (squares 0.08) -0.4, -0.2, 0 (0.2): 1 - 0.2 / 0.08.
    encode, _ = perfect()
    found = figures_of((encode, lambda codes: marked(*[0.3] * len(codes))), [])
    assert found["variance explained, held out"] == pytest.approx(0, abs=1e-5)
    assert found["variance explained, new"] == pytest.approx(0, abs=1e-5)
    found = figures_of((encode, lambda codes: marked(*[0.5] * len(codes))), [])
    assert found["variance explained, held out"] == pytest.approx(-1.5, rel=1e-4)


def weights(model):
    return [np.asarray(weight) for weight in model.get_weights()]


def kept(folder, settings, material):
    """All that a run keeps: weights, heads and the optimizer's state."""
    model = build_vae(settings, 1, material.targets)
    model.optimizer.build(model.trainable_variables)
    [file] = folder.glob("*.weights.h5")
    model.load_weights(file)
    return [*weights(model), *(np.asarray(value) for value in model.optimizer.variables)]


@pytest.mark.parametrize("dropout", [pytest.param(0.0, marks=pytest.mark.slow), 0.5])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(dropout, shown, tmp_path, monkeypatch):
    settings = dataclasses.replace(SMALL, dropout=dropout)
    whole = fit(settings, shown, tmp_path / "whole")

    class Interrupted(Shown):
        def __init__(self, material, settings, epoch):
            if epoch == 1:
                raise KeyboardInterrupt
            super().__init__(material, settings, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "Shown", Interrupted)
        fit(settings, shown, tmp_path / "parts")
    resumed = fit(settings, shown, tmp_path / "parts")
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    everything = [kept(tmp_path / name, settings, shown) for name in ("whole", "parts")]
    for a, b in zip(*everything, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    logs = [json.loads((tmp_path / name / "log.json").read_text()) for name in ("whole", "parts")]
    losses = [[row["loss"] for row in log["history"]] for log in logs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and len(losses[0]) == 3
    # Nothing is trained where a finished run lies; its weights come back.
    for a, b in zip(
        weights(fit(settings, shown, tmp_path / "parts")), weights(resumed), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [
        "epoch-3.weights.h5",
        "log.json",
    ]


def test_what_is_trained_is_measured_in_full_precision_by_the_whole_loss(shown, tmp_path):
    model = fit(dataclasses.replace(SMALL, kl_weight=2.0), shown, tmp_path)
    assert model.settings.precision == "float32" and model.targets is None
    # The warm-up takes the first tenth of three epochs.
    assert float(model.kl_weight) == 2
    [first, *_, last] = json.loads((tmp_path / "log.json").read_text())["history"]
    assert last["loss"] == pytest.approx(
        last["reconstruction"] + 2 * last["kl"] + last["heads"] + SMALL.agreement * last["apart"],
        rel=1e-3,
    )
    assert first["loss"] == pytest.approx(
        first["reconstruction"] + first["heads"] + SMALL.agreement * first["apart"], rel=1e-3
    )


def test_a_folder_of_another_run_is_refused(shown, tmp_path):
    settings = dataclasses.replace(SMALL, epochs=1)
    fit(settings, shown, tmp_path)
    for other, material in (
        (dataclasses.replace(settings, seed=1), shown),
        (settings, dataclasses.replace(shown, views=shown.views[::-1])),
    ):
        with pytest.raises(InputError, match="another folder"):
            fit(other, material, tmp_path)


def small(preset, **changes) -> VAESettings:
    return VAESettings.of(preset, **{**SIZES, **changes})


@pytest.mark.parametrize("preset", ["default", "2017"])
def test_a_run_that_diverges_ends_with_finite_codes(preset, shown, tmp_path):
    settings = small(preset, epochs=4, learning_rate=1e38)
    material = shown if preset == "default" else Material.of(shown.rows, shown.pictures)
    model = fit(settings, material, tmp_path)
    assert np.isfinite(means_of(model, shown.pictures)).all()
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["ended"] and len(log["history"]) < 4


@pytest.fixture(scope="module", params=["default", "2017"])
def exported(request, shown, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    settings = small(request.param)
    material = shown if settings.views else Material.of(shown.rows, shown.pictures)
    model = fit(settings, material, folder / "run")
    names = catalogue().sequences[::90]
    config = {"settings": dataclasses.asdict(settings)}
    figures = export(model, shown.pictures, names, folder / "model", config)
    return model, folder / "model", figures


def test_the_export_agrees_with_keras(exported, pictures):
    model, folder, figures = exported
    codec, codes = Codec.load(folder), EmojiCodes.load(folder / "codes.npz")
    first, steps = means_of(model, pictures), model.settings.corrections
    expected = corrected(pictures, first, lambda some: pictures_of(model, some), steps)
    # Corrections are a few steps more in which to round.
    found = codec.encode(pictures)
    assert np.abs(found - expected).max() <= 1e-3
    np.testing.assert_allclose(found, codes.codes, atol=1e-4)
    assert np.abs(codec.decode(codes.codes) - pictures_of(model, codes.codes)).max() <= TOLERANCE
    assert figures["largest difference from Keras, codes"] <= TOLERANCE
    assert figures["largest difference from Keras, pixels"] <= TOLERANCE
    assert codes.names == tuple(catalogue().sequences[::90])
    config = json.loads((folder / "config.json").read_text())
    settings = VAESettings.from_dict(config["settings"])
    assert dataclasses.replace(settings, precision="float32") == model.settings
    assert config["figures"] == figures and figures["finite codes"] == 1


def test_encoding_is_corrected_where_the_settings_say_so(exported, pictures):
    model, folder, _ = exported
    codec = Codec.load(folder)
    first, found = codec.first_codes(pictures), codec.encode(pictures)
    if not model.settings.corrections:
        np.testing.assert_array_equal(first, found)
        return
    left, before = (
        np.square(codec.decode(codes) - pictures).sum(axis=(1, 2, 3)) for codes in (found, first)
    )
    assert (left < before).all()


def test_an_export_is_all_that_is_shipped(exported):
    _, folder, figures = exported
    assert sorted(path.name for path in folder.iterdir()) == [
        "codes.npz", "config.json", "decoder.onnx", "encoder.onnx", "prior.npz",
    ]  # fmt: skip
    prior, expected = (
        Prior.load(folder / "prior.npz"),
        fit_prior(EmojiCodes.load(folder / "codes.npz").codes),
    )
    np.testing.assert_allclose(prior.means, expected.means)
    np.testing.assert_allclose(prior.covariances, expected.covariances)
    assert figures["components of the prior"] == len(prior.weights)
    drawn = Codec.load(folder).prior.sample(3, seed=0)
    np.testing.assert_array_equal(drawn, prior.sample(3, seed=0))


def test_an_export_that_disagrees_is_refused(exported, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="differs from Keras"):
        export(exported[0], pictures, catalogue().sequences[::90], tmp_path / "new", {})
    assert list((tmp_path / "new").iterdir()) == []


def test_an_export_that_is_not_finite_is_refused(exported, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "pictures_of", lambda model, codes: np.full_like(pictures, np.nan))
    model, _, _ = exported
    with pytest.raises(InputError, match="differs from Keras"):
        export(model, pictures, catalogue().sequences[::90], tmp_path / "new", {})
    assert list((tmp_path / "new").iterdir()) == []


def test_the_prior_of_one_blob_is_one_gaussian():
    rng = np.random.default_rng(0)
    mixing = np.tril(rng.normal(0, 0.3, (16, 16))) + np.eye(16)
    codes = (rng.standard_normal((1000, 16)) @ mixing.T + 2).astype(np.float32)
    prior = fit_prior(codes)
    assert prior.weights.tolist() == [1]
    np.testing.assert_allclose(prior.mean, codes.mean(axis=0), atol=1e-5)
    # A fiftieth of the mean variance is added to each.
    added = 0.02 * codes.var(axis=0).mean() * np.eye(16)
    expected = np.cov(codes.T.astype(float), bias=True) + added
    np.testing.assert_allclose(prior.covariance, expected, atol=1e-4)


def blobs(n, count=4):
    rng = np.random.default_rng(1)
    places = 20 * np.eye(16)[np.arange(n) % count]
    return (places + rng.standard_normal((n, 16))).astype(np.float32), places


def test_the_prior_of_blobs_that_are_far_apart():
    codes, _ = blobs(801)
    prior = fit_prior(codes)
    assert len(prior.weights) >= 4 and len(prior.weights) in COMPONENTS
    # No place without its component, and hardly a draw that is not near one.
    places = 20 * np.eye(16)[:4]
    assert np.linalg.norm(prior.means[:, None] - places, axis=2).min(axis=0).max() < 1
    distances = np.linalg.norm(prior.sample(200, seed=0)[:, None] - places, axis=2).min(axis=1)
    assert (distances < 9).all()


def test_a_prior_is_the_same_each_time():
    codes, _ = blobs(300)
    first, second = fit_prior(codes), fit_prior(codes)
    np.testing.assert_array_equal(first.means, second.means)
    np.testing.assert_array_equal(first.covariances, second.covariances)
    # A few codes have one component, which needs a density nonetheless, as do those on a line.
    assert fit_prior(codes[:7]).weights.tolist() == [1]
    flat = fit_prior(codes[:, :1].repeat(16, axis=1))
    assert np.isfinite(flat.log_density(codes)).all()
    # So have codes of a training that collapsed, which gives all pictures nearly the same.
    collapsed = fit_prior(1e-6 * codes)
    assert np.isfinite(collapsed.log_density(1e-6 * codes)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--epochs", "0"], "epochs 0"), (["--seeds", "-1"], "seed -1")],
)
def test_bad_options(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith("python -m pipelines.train_vae: error: ")
        and message in error
        and error.count("\n") == 1
    )


def test_runs_have_folders_of_their_own(tmp_path):
    ways = [SMALL, dataclasses.replace(SMALL, seed=1), dataclasses.replace(SMALL, epochs=9)]
    ways.append(VAESettings.of("2017", epochs=SMALL.epochs))
    folders = {split_folder(tmp_path, settings) for settings in ways}
    assert len(folders) == 4 and tmp_path / "default-3-0-split" in folders


@pytest.fixture
def nothing_to_fetch(monkeypatch):
    """Other vendors' pictures and meanings, made up for as many emojis as the sheet has."""

    def some_pictures(name, cache):
        sheet = images.sheet()
        there = np.arange(len(sheet)) % 8 == views.VENDORS.index(name)
        return vendor(name, there, sheet[:, :, ::-1])

    def load(cache, data, *, fit):
        return told(len(fit))

    monkeypatch.setattr(views, "load", some_pictures)
    monkeypatch.setattr(meanings, "load", load)


@pytest.fixture
def few(monkeypatch, nothing_to_fetch):
    """The names of a catalogue of one in twelve, and presets that train in seconds."""
    names, sheet, new = catalogue().sequences[::12], images.sheet()[::12], measure_codes.new()[::12]
    monkeypatch.setattr(module, "catalogue", lambda: types.SimpleNamespace(sequences=names))
    monkeypatch.setattr(images, "sheet", lambda: sheet)
    monkeypatch.setattr(measure_codes, "new", lambda: new)
    for preset in PRESETS:
        monkeypatch.setitem(PRESETS, preset, {**PRESETS[preset], **SIZES, "batch": 32})
    return names


def command(tmp_path, *arguments):
    paths = ["--output", tmp_path / "vae", "--work", tmp_path / "work"]
    return main([str(argument) for argument in [*arguments, *paths]])


@pytest.mark.parametrize(("preset", "seeds"), [("default", [1]), ("2017", [0, 1])])
def test_the_results_file(preset, seeds, few, tmp_path):
    assert command(tmp_path, "--preset", preset, "--seeds", *seeds, "--no-ship") == 0
    found = json.loads((tmp_path / "vae" / "vae.json").read_text())
    assert set(found) == {
        "command", "preset", "settings", "seeds", "training pictures", "held-out pictures",
        "new pictures", "figures", "principal components", "data", "versions",
    }  # fmt: skip
    assert found["preset"] == preset and found["seeds"] == seeds
    assert VAESettings.from_dict(found["settings"]) == small(preset, batch=32, seed=seeds[0])
    assert found["held-out pictures"] == held_out(few).sum()
    # Those of training are neither held out nor new; some are both.
    counts = [found[f"{part} pictures"] for part in ("training", "held-out", "new")]
    assert max(counts) < len(few) <= sum(counts)
    names = {
        "variance explained, held out", "variance explained, new", "variance explained, training",
        "finite codes", "sentiment readable, R2", "sentiment readable within training, R2",
        "new emojis by name, median percentile", "new emojis by name, hit@10",
        "held-out codes, smallest spread",
        "held-out codes, largest spread", "meaning of the 5 nearest, cosine",
        *(f"found again by {vendor}'s picture, hit@10" for vendor in views.VENDORS),
    }  # fmt: skip
    losses = {"held-out loss", "held-out reconstruction", "held-out KL"}
    assert set(found["figures"]) == names | losses | {"minutes of training"}
    assert all(len(figure["values"]) == len(seeds) for figure in found["figures"].values())
    assert found["figures"]["finite codes"]["mean"] == 1
    assert set(found["principal components"]) == {"8", "16", "32", "64"}
    assert all(set(figures) == names for figures in found["principal components"].values())
    explained = [
        found["principal components"][str(k)]["variance explained, training"]
        for k in (8, 16, 32, 64)
    ]
    assert explained == sorted(explained)
    assert set(views.VENDORS) <= set(found["data"]) and "emojis.png" in found["data"]
    # Each run's own model can be looked at; none is shipped.
    for seed in seeds:
        folder = split_folder(tmp_path / "work", small(preset, seed=seed)) / "model"
        assert EmojiCodes.load(folder / "codes.npz").names == tuple(few)
    assert [path.name for path in (tmp_path / "vae").iterdir()] == ["vae.json"]


def test_results_of_another_preset_stand_beside(few, tmp_path, capsys):
    results = ["--no-ship", "--epochs", "1", "--results"]
    old, both = tmp_path / "old.json", tmp_path / "both.json"
    assert command(tmp_path, *results, old) == 0
    before = json.loads(old.read_text())
    old.write_text(json.dumps(before | {"preset": "2017", "figures": {"finite codes": 0.96}}))
    assert command(tmp_path, *results, both, "--beside", old) == 0
    found = json.loads(both.read_text())
    assert found["figures"] == before["figures"]
    assert found["preset 2017"] == {
        "figures": {"finite codes": 0.96},
        **{name: before[name] for name in ("command", "settings", "seeds")},
    }
    capsys.readouterr()
    # Figures on other pictures are no comparison, and nothing is trained before that is told.
    old.write_text(json.dumps(before | {"data": {}}))
    for file in (old, tmp_path / "missing.json"):
        assert command(tmp_path, *results, both, "--beside", file) == 2
        error = capsys.readouterr().err
        assert file.name in error and error.count("\n") == 1


def test_shipping_without_figures(few, tmp_path, capsys):
    assert command(tmp_path, "--epochs", "1", "--seeds") == 0
    assert "epoch 1/1" in capsys.readouterr().out
    assert not (tmp_path / "vae" / "vae.json").exists()
    codes = EmojiCodes.load(tmp_path / "vae" / "codes.npz")
    assert codes.names == tuple(few)
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    assert VAESettings.from_dict(config["settings"]) == small("default", batch=32, epochs=1)
    # Given again, the command trains nothing.
    assert command(tmp_path, "--epochs", "1", "--seeds") == 0
    assert "epoch 1/1" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_trains_and_ships(nothing_to_fetch, tmp_path, capsys, monkeypatch):
    # Narrow, without corrections: the full size takes ten minutes.
    narrow = {"widths": (8, 12, 16), "corrections": 0}
    monkeypatch.setitem(PRESETS, "default", narrow)
    arguments = ["--epochs", "3", "--results", tmp_path / "r.json"]
    assert command(tmp_path, *arguments, "--seeds", "0") == 0
    assert "epoch 3/3" in capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["seeds"] == [0]
    assert found["figures"]["finite codes"]["values"] == [1]
    # Three epochs do not reach the principal components, but leave the mean picture far behind.
    assert found["figures"]["variance explained, held out"]["mean"] > 0.15
    assert found["principal components"]["16"]["variance explained, held out"] > 0.6
    codes = EmojiCodes.load(tmp_path / "vae" / "codes.npz")
    assert codes.names == tuple(catalogue().sequences)
    np.testing.assert_allclose(
        Codec.load(tmp_path / "vae").encode(images.sheet()[:50]), codes.codes[:50], atol=1e-3
    )
