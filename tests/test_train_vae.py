"""Training of the autoencoder: figures by hand, runs that stop, export that agrees with Keras."""

import dataclasses
import json

import numpy as np
import pytest

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.model import VAESettings
from pipelines import train_vae as module
from pipelines.train_vae import (
    TOLERANCE,
    Pictures,
    closest,
    codes_of,
    explained,
    export,
    fit,
    held_out,
    main,
    pictures_of,
    principal,
    vary,
)

SMALL = VAESettings(widths=(2, 3, 4), batch=8, epochs=3)


@pytest.fixture(scope="module")
def pictures():
    """Real pictures, spread over the catalogue."""
    return images.sheet()[::90]


def still(**changes) -> VAESettings:
    return dataclasses.replace(SMALL, **{"shift": 0.0, "scale": 0.0, "tint": 0.0, **changes})


def test_vary_shuffles_alone_where_nothing_is_to_change(pictures):
    varied = vary(pictures, still(), np.random.default_rng(0))
    order = np.random.default_rng(0).permutation(len(pictures))
    np.testing.assert_array_equal(varied, pictures[order])


def test_vary_gives_pictures_that_differ(pictures):
    varied = vary(pictures, SMALL, np.random.default_rng(0))
    images.check(varied)
    assert varied.shape == pictures.shape and varied.dtype == np.float32
    assert (varied[..., :3] <= varied[..., 3:] + 1e-6).all()
    order = np.random.default_rng(0).permutation(len(pictures))
    changed = np.abs(varied - pictures[order]).mean(axis=(1, 2, 3))
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


def test_an_epoch_shows_each_picture_once(pictures):
    batches = Pictures(pictures, still(), epoch=2)
    shown = np.concatenate([batches[i][0] for i in range(len(batches))])
    assert sorted(p.tobytes() for p in shown) == sorted(p.tobytes() for p in pictures)
    again, other = Pictures(pictures, SMALL, epoch=2), Pictures(pictures, SMALL, epoch=3)
    np.testing.assert_array_equal(again[0][0], Pictures(pictures, SMALL, epoch=2)[0][0])
    assert (again[0][0] != other[0][0]).any()


def test_a_fifth_is_held_out_for_good():
    sequences = catalogue().sequences
    out = held_out(sequences)
    assert 0.17 < out.mean() < 0.23
    # It is a matter of the emoji alone, not of its neighbours.
    np.testing.assert_array_equal(held_out(sequences[::-1]), out[::-1])


def test_explained_by_hand():
    # Around the mean 1 the values 0 and 2 have the squares 1 and 1; rebuilt as 0 and 1, one of the
    # two is left: a half.
    assert explained(np.array([0.0, 2.0]), np.array([0.0, 1.0]), np.array(1.0)) == 0.5
    assert explained(np.array([0.0, 2.0]), np.array([1.0, 1.0]), np.array(1.0)) == 0


def test_principal_components_by_hand():
    # All training points lie on the line y = 2x, which is the one component; (2, -1) is at right
    # angles to it and falls on the mean.
    train = np.array([[-1.0, -2.0], [1.0, 2.0]])
    found = principal(train, np.array([[0.5, 1.0], [2.0, -1.0]]), 1)
    np.testing.assert_allclose(found, np.array([[0.5, 1.0], [0.0, 0.0]]), atol=1e-12)


def test_closest_by_hand():
    # 0, 3-4-5 away from it, and 1 farther.
    np.testing.assert_allclose(closest(np.array([[0.0, 0], [3, 4], [3, 5]])), [5, 1, 1])


def weights(model):
    return [np.asarray(weight) for weight in model.get_weights()]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    dropout, pictures, tmp_path, monkeypatch
):
    settings = dataclasses.replace(SMALL, dropout=dropout)
    whole = fit(settings, pictures, tmp_path / "whole")
    first = [np.asarray(value) for value in whole.optimizer.variables]

    class Interrupted(Pictures):
        def __init__(self, pictures, settings, epoch):
            if epoch == 1:
                raise KeyboardInterrupt
            super().__init__(pictures, settings, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "Pictures", Interrupted)
        fit(settings, pictures, tmp_path / "parts")
    resumed = fit(settings, pictures, tmp_path / "parts")
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(first, resumed.optimizer.variables, strict=True):
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-3, atol=1e-4)
    logs = [json.loads((tmp_path / name / "log.json").read_text()) for name in ("whole", "parts")]
    losses = [[row["loss"] for row in log["history"]] for log in logs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and len(losses[0]) == 3
    # Nothing is trained where a finished run lies; its weights come back.
    for a, b in zip(
        weights(fit(settings, pictures, tmp_path / "parts")), weights(resumed), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [
        "epoch-3.weights.h5",
        "log.json",
    ]


def test_a_folder_of_another_run_is_refused(pictures, tmp_path):
    settings = dataclasses.replace(SMALL, epochs=1)
    fit(settings, pictures, tmp_path)
    for other, shown in (
        (dataclasses.replace(settings, seed=1), pictures),
        (settings, pictures[1:]),
    ):
        with pytest.raises(InputError, match="another folder"):
            fit(other, shown, tmp_path)


@pytest.mark.parametrize("preset", ["default", "2017"])
def test_a_run_that_diverges_ends_with_finite_codes(preset, pictures, tmp_path):
    settings = dataclasses.replace(
        VAESettings.of(preset), widths=(2, 3, 4), batch=8, epochs=4, learning_rate=1e38
    )
    model = fit(settings, pictures, tmp_path)
    assert np.isfinite(codes_of(model, pictures)).all()
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["ended"] and len(log["history"]) < 4


@pytest.fixture(scope="module", params=["default", "2017"])
def exported(request, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    settings = VAESettings.of(request.param, widths=(2, 3, 4), batch=8, epochs=2)
    model = fit(settings, pictures, folder / "run")
    names = catalogue().sequences[::90]
    figures = export(model, pictures, names, folder / "model", {"settings": "these"})
    return model, folder / "model", figures


def test_the_export_agrees_with_keras(exported, pictures):
    model, folder, figures = exported
    codec, codes = Codec.load(folder), EmojiCodes.load(folder / "codes.npz")
    assert np.abs(codec.encode(pictures) - codes_of(model, pictures)).max() <= TOLERANCE
    assert np.abs(codec.decode(codes.codes) - pictures_of(model, codes.codes)).max() <= TOLERANCE
    assert codes.names == tuple(catalogue().sequences[::90])
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"] == "these" and config["figures"] == figures
    assert figures["finite codes"] == 1


def test_an_export_that_disagrees_is_refused(exported, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="differs from Keras"):
        export(exported[0], pictures, catalogue().sequences[::90], tmp_path / "new", {})
    assert list((tmp_path / "new").iterdir()) == []


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


@pytest.mark.slow
def test_the_command_trains_and_ships(tmp_path, capsys):
    paths = ["--output", tmp_path / "vae", "--results", tmp_path / "r.json"]
    arguments = ["--epochs", "3", "--seeds", "0", "1", "--work", tmp_path / "work", *paths]
    assert main([str(argument) for argument in arguments]) == 0
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["seeds"] == [0, 1]
    assert found["figures"]["finite codes"]["values"] == [1, 1]
    # Three epochs do not reach the principal components, but leave the mean picture far behind.
    assert found["figures"]["variance explained, held out"]["mean"] > 0.15
    assert found["principal components, variance explained, held out"]["16"] > 0.6
    codes = EmojiCodes.load(tmp_path / "vae" / "codes.npz")
    assert codes.names == tuple(catalogue().sequences)
    sheet = images.sheet()
    np.testing.assert_allclose(
        Codec.load(tmp_path / "vae").encode(sheet[:50]), codes.codes[:50], atol=1e-4
    )
    assert (tmp_path / "work" / "shipped-default.png").is_file()
    # Given again, the command trains nothing.
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    assert "epoch 3/3" not in capsys.readouterr().out
