"""Train the picture autoencoder, measure it, export it with the codes of all emojis.

    python -m pipelines.train_vae                          # the model that ships, into assets
    python -m pipelines.train_vae --seeds 0 1 2 3 4        # mean and spread; ships the first seed's
    python -m pipelines.train_vae --preset 2017 --output build/vae-2017

Each seed trains once on four fifths of the emojis, for the figures. What ships is trained on all of
them, with the first seed. An interrupted run goes on where it stopped when the same command is
given again.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import FORMAT, Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.model import PRESETS, EmojiVAE, VAESettings, build_vae
from pipelines import results
from pipelines.checkpoints import Checkpoints

TOLERANCE = 1e-4
"""Largest difference from Keras, in a code or a pixel, with which a model is exported."""


class Pictures(keras.utils.PyDataset):
    """The batches of one epoch: every picture once, in a drawn order, each a little changed."""

    def __init__(self, pictures: np.ndarray, settings: VAESettings, epoch: int) -> None:
        super().__init__()
        self._batch = settings.batch
        self._pictures = vary(pictures, settings, np.random.default_rng([settings.seed, epoch]))

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._pictures) // self._batch)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Return a batch, which is its own target."""
        return (self._pictures[index * self._batch : (index + 1) * self._batch],)


def vary(pictures: np.ndarray, settings: VAESettings, rng: np.random.Generator) -> np.ndarray:
    """Return the pictures shuffled, and shifted, scaled and tinted at random by ``settings``.

    Args:
        pictures: float32 (n, 36, 36, 4), premultiplied, in [0, 1]; so is what comes back.
        settings: says how far.
        rng: decides all.
    """
    n = len(pictures)
    pictures = pictures[rng.permutation(n)]
    if settings.shift or settings.scale:
        zoom = np.exp(rng.uniform(-settings.scale, settings.scale, n))
        shifts = rng.uniform(-settings.shift, settings.shift, (2, n))
        middle, zero = (images.SIZE - 1) / 2, np.zeros(n)
        across, down = middle * (1 - zoom) + shifts
        # The eight numbers of Keras's affine transform, with the middle of the picture fixed.
        transform = np.stack([zoom, zero, across, zero, zoom, down, zero, zero], axis=1)
        pictures = keras.ops.convert_to_numpy(
            keras.ops.image.affine_transform(
                pictures, transform.astype(np.float32), interpolation="bilinear"
            )
        )
    if settings.tint:
        tints = rng.uniform(1 - settings.tint, 1 + settings.tint, (n, 1, 1, 3))
        colours = np.minimum(pictures[..., :3] * tints.astype(np.float32), pictures[..., 3:])
        pictures = np.concatenate([colours, pictures[..., 3:]], axis=-1)
    return pictures


def fit(settings: VAESettings, pictures: np.ndarray, folder: Path) -> EmojiVAE:
    """Train a model, or go on with the run that ``folder`` holds.

    After each epoch the weights, the optimizer's state and the losses are kept in ``folder``. A run
    that diverges to NaN or infinity ends there, with the weights of its last finite epoch.

    Raises:
        InputError: ``folder`` holds a run with other settings or pictures.
    """
    steps = -(-len(pictures) // settings.batch)
    model = build_vae(settings, steps * settings.epochs)
    model.optimizer.build(model.trainable_variables)
    digest = hashlib.sha256(pictures.tobytes()).hexdigest()
    kept = Checkpoints(folder, {"settings": dataclasses.asdict(settings), "pictures": digest})
    history = kept.history
    if kept.restore(model):
        print(f"{folder.name}: going on after epoch {len(history)}", file=sys.stderr)
    else:
        kept.keep(model)
    while len(history) < settings.epochs and not kept.ended:
        epoch, began = len(history), time.monotonic()
        model.draw_from(epoch * steps)
        losses = model.fit(
            Pictures(pictures, settings, epoch),
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=1 if sys.stdout.isatty() else 0,
        )
        row = {name: float(values[0]) for name, values in losses.history.items()}
        row["seconds"] = round(time.monotonic() - began, 2)
        if np.isfinite(list(row.values())).all() and all(
            np.isfinite(weights).all() for weights in model.get_weights()
        ):
            history.append(row)
        else:
            print(f"{folder.name}: diverged in epoch {epoch + 1}; taken back", file=sys.stderr)
            kept.restore(model)
            kept.ended = True
        kept.keep(model)
        print(
            f"{folder.name}: epoch {epoch + 1}/{settings.epochs}  loss {row['loss']:.4g}  "
            f"reconstruction {row['reconstruction']:.4g}  kl {row['kl']:.4g}  "
            f"{row['seconds']:.0f} s",
            flush=True,
        )
    return model


def held_out(sequences: Sequence[str]) -> np.ndarray:
    """Tell which emojis are held out for the figures: bool (n,), a fifth, by a hash of each."""
    return np.array([hashlib.sha256(s.encode()).digest()[0] % 5 == 0 for s in sequences])


def codes_of(model: EmojiVAE, pictures: np.ndarray) -> np.ndarray:
    """Return Keras's own codes, float32 (n, latent)."""
    parts = [
        keras.ops.convert_to_numpy(model.encoder(pictures[start : start + 256])[0])
        for start in range(0, len(pictures), 256)
    ]
    return np.concatenate(parts)


def pictures_of(model: EmojiVAE, codes: np.ndarray) -> np.ndarray:
    """Return Keras's own pictures, float32 (n, 36, 36, 4), premultiplied.

    The 2017 form knows no premultiplied alpha: its colours are cut to it, as ``Codec`` does.
    """
    pictures = np.concatenate(
        [
            keras.ops.convert_to_numpy(model.decoder(codes[start : start + 256]))
            for start in range(0, len(codes), 256)
        ]
    )
    return np.concatenate([np.minimum(pictures[..., :3], pictures[..., 3:]), pictures[..., 3:]], -1)


def explained(pictures: np.ndarray, rebuilt: np.ndarray, mean: np.ndarray) -> float:
    """Return the share of variance around ``mean`` (36, 36, 4) that ``rebuilt`` explains."""
    left = np.square(pictures.astype(np.float64) - rebuilt).sum()
    return float(1 - left / np.square(pictures.astype(np.float64) - mean).sum())


def principal(train: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """Return the test pictures rebuilt from the training pictures' principal components."""
    mean = train.reshape(len(train), -1).mean(axis=0)
    axes = np.linalg.svd(train.reshape(len(train), -1) - mean, full_matrices=False)[2][:components]
    scores = (test.reshape(len(test), -1) - mean) @ axes.T
    return (mean + scores @ axes).reshape(test.shape)


def measure(
    model: EmojiVAE, train: np.ndarray, test: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Return the figures of one training run, and the test pictures rebuilt."""
    codes = codes_of(model, np.concatenate([train, test]))
    rebuilt = pictures_of(model, codes)
    mean = train.mean(axis=0)
    loss = model.evaluate(test, batch_size=256, verbose=0, return_dict=True)
    figures = {
        "variance explained, held out": explained(test, rebuilt[len(train) :], mean),
        "variance explained, training": explained(train, rebuilt[: len(train)], mean),
        "finite codes": float(np.isfinite(codes).all(axis=1).mean()),
        "held-out codes, smallest spread": float(codes[len(train) :].std(axis=0).min()),
        "held-out codes, largest spread": float(codes[len(train) :].std(axis=0).max()),
        "held-out loss": loss["loss"],
        "held-out reconstruction": loss["reconstruction"],
        "held-out KL": loss["kl"],
    }
    return figures, rebuilt[len(train) :]


def closest(codes: np.ndarray) -> np.ndarray:
    """Return each code's Euclidean distance to the nearest other one, float64 (n,)."""
    codes = codes.astype(np.float64)
    squares = np.square(codes).sum(axis=1)
    distances = squares[:, None] + squares - 2 * codes @ codes.T
    np.fill_diagonal(distances, np.inf)
    return np.sqrt(np.maximum(distances.min(axis=1), 0))


def export(
    model: EmojiVAE,
    pictures: np.ndarray,
    names: Sequence[str],
    folder: Path,
    config: dict[str, Any],
) -> dict[str, float]:
    """Write what ``Codec`` loads, and the codes of all pictures, if it answers as Keras does.

    Args:
        model: trained.
        pictures: all emojis, float32 (n, 36, 36, 4); compared by, and encoded.
        names: of the codes.
        folder: is made; existing files are replaced once the new ones have passed.
        config: goes into ``config.json``.

    Returns:
        Figures of the codes and the largest differences from Keras.

    Raises:
        InputError: a code that is not finite, or a difference above ``TOLERANCE``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
        new = Path(temporary)
        mean_alone = keras.Model(model.encoder.input, model.encoder.outputs[0])
        for network, name, shape in (
            (mean_alone, "encoder", (1, *pictures.shape[1:])),
            (model.decoder, "decoder", (1, model.settings.latent)),
        ):
            network(np.zeros(shape, np.float32))  # one that was never called cannot be exported
            network.export(new / f"{name}.onnx", format="onnx", verbose=False)
        results.write(new / "config.json", {"format": FORMAT, **config})
        codec = Codec.load(new)
        codes = EmojiCodes(names, codec.encode(pictures))
        rebuilt = codec.decode(codes.codes)
        keras_codes = codes_of(model, pictures)
        differences = {
            "code": float(np.abs(keras_codes - codes.codes).max()),
            "pixel": float(np.abs(pictures_of(model, codes.codes) - rebuilt).max()),
        }
        if not max(differences.values()) <= TOLERANCE:
            raise InputError(
                f"the exported model differs from Keras by {differences}, more than {TOLERANCE}; "
                f"nothing was written to {str(folder)!r}"
            )
        codes.save(new / "codes.npz")
        spreads, distances = codes.codes.std(axis=0), closest(codes.codes)
        figures = {
            "variance explained, all": explained(pictures, rebuilt, pictures.mean(axis=0)),
            "finite codes": float(np.isfinite(codes.codes).all(axis=1).mean()),
            "smallest spread": float(spreads.min()),
            "largest spread": float(spreads.max()),
            "median distance to the nearest code": float(np.median(distances)),
            "codes within 0.01 of another": int((distances < 0.01).sum()),
            "largest difference from Keras, codes": differences["code"],
            "largest difference from Keras, pixels": differences["pixel"],
        }
        results.write(new / "config.json", {"format": FORMAT, **config, "figures": figures})
        for file in sorted(new.iterdir()):
            os.replace(file, folder / file.name)
    return figures


def show(path: Path, pictures: np.ndarray, rebuilt: np.ndarray, samples: np.ndarray) -> None:
    """Write a picture: rows of originals, below each its reconstruction; at the end samples."""
    columns = 24
    rows = []
    for start in range(0, len(pictures) - columns + 1, columns):
        rows += [pictures[start : start + columns], rebuilt[start : start + columns]]
    images.save(path, images.grid(np.concatenate([*rows, samples]), columns, size=2 * images.SIZE))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.train_vae", description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument(
        "--seeds", type=int, nargs="*", default=[0], help="none: ship seed 0 without figures"
    )
    parser.add_argument("--epochs", type=int, help="default: the preset's")
    parser.add_argument("--output", type=Path, default=asset("models", "vae"))
    parser.add_argument(
        "--results",
        type=Path,
        help="default: vae.json in assets/results, or, with another --output, in that folder",
    )
    parser.add_argument("--work", type=Path, default=Path("build/vae"), help="runs and pictures")
    return run(parser.prog, lambda: _train(parser.parse_args(argv), argv))


def _train(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    changes = {} if options.epochs is None else {"epochs": options.epochs}
    all_settings = [
        VAESettings.of(options.preset, seed=seed, **changes) for seed in options.seeds or [0]
    ]
    names = catalogue().sequences
    pictures = images.sheet()
    out = held_out(names)
    train, test = pictures[~out], pictures[out]
    data = results.hashes([asset("emojis.csv"), asset("emojis.png")])

    def work(settings: VAESettings, part: str) -> Path:
        # A run of another length has another decay: it is another run.
        return options.work / f"{options.preset}-{settings.epochs}-{settings.seed}-{part}"

    if options.seeds:
        figures = []
        for settings in all_settings:
            found, rebuilt = measure(fit(settings, train, work(settings, "split")), train, test)
            figures.append(found)
            print(f"seed {settings.seed}: {json.dumps(found, indent=1)}", flush=True)
            picture = options.work / f"held-out-{options.preset}-{settings.seed}.png"
            show(picture, test[:144], rebuilt[:144], rebuilt[:0])
        mean = train.mean(axis=0)
        results.write(
            options.results or results.place(options.output, "vae"),
            {
                "command": results.command("pipelines.train_vae", argv),
                "preset": options.preset,
                "settings": dataclasses.asdict(all_settings[0]),
                "seeds": options.seeds,
                "training pictures": len(train),
                "held-out pictures": len(test),
                "figures": {
                    name: results.spread([row[name] for row in figures]) for name in figures[0]
                },
                "principal components, variance explained, held out": {
                    str(k): round(explained(test, principal(train, test, k), mean), 5)
                    for k in (8, 16, 32)
                },
                "data": data,
                "versions": results.versions(),
            },
        )
    settings = all_settings[0]
    model = fit(settings, pictures, work(settings, "all"))
    config = {
        "settings": dataclasses.asdict(settings),
        "data": data,
        "versions": results.versions(),
    }
    found = export(model, pictures, names, options.output, config)
    print(json.dumps(found, indent=1))
    codec = Codec.load(options.output)
    samples = codec.sample(96, seed=0).pictures
    assert samples is not None  # generated emojis come with them
    picture = options.work / f"shipped-{options.preset}.png"
    show(picture, pictures[::12][:144], codec.reconstruct(pictures[::12][:144]), samples)
    print(f"wrote {options.output} and {picture}")


if __name__ == "__main__":
    sys.exit(main())
