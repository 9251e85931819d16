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
import functools
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.mixture import GaussianMixture
from tqdm import tqdm

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import FORMAT, Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.model import (
    PRESETS,
    EmojiVAE,
    Targets,
    VAESettings,
    build_vae,
    in_full_precision,
)
from emoji_vae.prior import Prior
from pipelines import meanings, measure_codes, phrases, results, sources, views
from pipelines.checkpoints import Checkpoints
from pipelines.measure_codes import Components, closest, explained

COMPONENTS = (1, 2, 4, 8, 16, 32)
"""Numbers of components that a prior may have."""
TOLERANCE = 1e-4
"""Largest difference from Keras, in a code or a pixel, with which a model is exported."""


@dataclasses.dataclass(frozen=True)
class Material:
    """What a run is shown: our pictures of n emojis, and other vendors' of the same.

    Attributes:
        rows: int32 (n,), of the emojis in the catalogue.
        pictures: float32 (n, 36, 36, 4), as `images` has them.
        views: float32 (m, 36, 36, 4), all vendors' pictures one after the other.
        shows: int (m,): which of the n each view shows, from 0.
        targets: what the heads learn, for all emojis of the catalogue; None where nothing.
    """

    rows: np.ndarray
    pictures: np.ndarray
    views: np.ndarray
    shows: np.ndarray
    targets: Targets | None

    @classmethod
    def of(cls, rows: np.ndarray, pictures: np.ndarray, **others: Any) -> "Material":
        """Return our pictures (n, 36, 36, 4) of the emojis ``rows`` (n,) alone, or with others."""
        nothing = {"views": pictures[:0], "shows": rows[:0], "targets": None}
        return cls(rows.astype(np.int32), pictures, **{**nothing, **others})

    def digest(self) -> str:
        """Return the SHA-256 of all of it."""
        digest = hashlib.sha256()
        told = [] if self.targets is None else dataclasses.astuple(self.targets)
        for array in (self.rows, self.pictures, self.views, self.shows, *told):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


class Shown:
    """The batches of one epoch: every picture once, in a drawn order, each a little changed.

    Each is followed by other vendors' views of the same emoji, drawn anew each epoch; an emoji that
    no other vendor has is shown again itself.
    """

    def __init__(self, material: Material, settings: VAESettings, epoch: int) -> None:
        rng = np.random.default_rng([settings.seed, epoch])
        order = rng.permutation(len(material.rows))
        shown = [material.pictures[order]]
        # A view of each emoji, drawn by sorting: the first of an emoji's views in a random order.
        own = np.arange(len(material.rows))
        all_pictures = np.concatenate([material.pictures, material.views])
        for _ in range(settings.views):
            drawn = rng.permutation(len(material.views))
            chosen = own.copy()
            chosen[material.shows[drawn]] = drawn + len(own)
            shown.append(all_pictures[chosen[order]])
        pictures = np.stack(shown, axis=1).reshape(-1, *material.pictures.shape[1:])
        self._batch = settings.batch
        self._pictures = vary(pictures, settings, rng)
        self._rows = np.repeat(material.rows[order], 1 + settings.views)
        self._told = material.targets is not None

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._pictures) // self._batch)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return a batch, which is its own target, and the rows of its emojis if heads learn."""
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches, no batch {index}")
        part = slice(index * self._batch, (index + 1) * self._batch)
        pictures = self._pictures[part]
        return (pictures, self._rows[part]) if self._told else (pictures,)


def vary(pictures: np.ndarray, settings: VAESettings, rng: np.random.Generator) -> np.ndarray:
    """Return the pictures shifted, scaled, mirrored and tinted at random by ``settings``.

    Args:
        pictures: float32 (n, 36, 36, 4), premultiplied, in [0, 1]; so is what comes back.
        settings: says how far.
        rng: decides all.
    """
    n = len(pictures)
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
    if settings.mirror:
        turned = rng.random(n) < settings.mirror
        pictures = np.where(turned[:, None, None, None], pictures[:, :, ::-1], pictures)
    if settings.tint:
        tints = rng.uniform(1 - settings.tint, 1 + settings.tint, (n, 1, 1, 3))
        colours = np.minimum(pictures[..., :3] * tints.astype(np.float32), pictures[..., 3:])
        pictures = np.concatenate([colours, pictures[..., 3:]], axis=-1)
    return pictures


def fit(settings: VAESettings, material: Material, folder: Path) -> EmojiVAE:
    """Train a model, or go on with the run that ``folder`` holds; return it in full precision.

    After each epoch the weights, the optimizer's state and the losses are kept in ``folder``. A run
    that diverges to NaN or infinity ends there, with the weights of its last finite epoch.

    Raises:
        InputError: ``folder`` holds a run with other settings or pictures.
    """
    steps = -(-len(material.rows) * (1 + settings.views) // settings.batch)
    model = build_vae(settings, steps * settings.epochs, material.targets)
    model.optimizer.build(model.trainable_variables)
    run = {"settings": dataclasses.asdict(settings), "material": material.digest()}
    kept = Checkpoints(folder, run)
    history = kept.history
    if kept.restore(model):
        print(f"{folder.name}: going on after epoch {len(history)}", file=sys.stderr)
    else:
        kept.keep(model)
    while len(history) < settings.epochs and not kept.ended:
        epoch, began = len(history), time.monotonic()
        model.draw_from(epoch * steps)
        model.warm_up(epoch * steps)
        shown = Shown(material, settings, epoch)
        bar = tqdm(shown, f"epoch {epoch + 1}", leave=False, unit="batch", disable=None)
        # ``fit`` would never let go of an epoch's pictures.
        losses = [model.train_on_batch(*batch, return_dict=True) for batch in bar]
        row = {name: float(np.mean([loss[name] for loss in losses])) for name in losses[0]}
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
    return in_full_precision(model)


def minutes(folder: Path) -> float:
    """Return how long the training that `fit` kept in ``folder`` took, its interruptions aside."""
    history = json.loads((folder / "log.json").read_text(encoding="utf-8"))["history"]
    return sum(row["seconds"] for row in history) / 60


def held_out(sequences: Sequence[str]) -> np.ndarray:
    """Tell which emojis are held out for the figures: bool (n,), a fifth, by a hash of each."""
    return np.array([hashlib.sha256(s.encode()).digest()[0] % 5 == 0 for s in sequences])


def means_of(model: EmojiVAE, pictures: np.ndarray) -> np.ndarray:
    """Return Keras's own codes before any correction, float32 (n, latent)."""
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


@dataclasses.dataclass(frozen=True)
class Test:
    """What figures are measured on.

    Attributes:
        pictures: float32 (n, 36, 36, 4), of all emojis.
        held_out: bool (n,), a fifth of them.
        new: bool (n,), of the newest Unicode versions.
        vendors: other vendors' pictures.
        meanings: what the emojis mean.
    """

    pictures: np.ndarray
    held_out: np.ndarray
    new: np.ndarray
    vendors: Sequence[views.Views]
    meanings: meanings.Meanings

    @classmethod
    def gather(cls, vendors: dict[str, views.Views], data: Path, cache: Path) -> "Test":
        """Gather it for the catalogue."""
        names = catalogue().sequences
        told = meanings.load(cache, data, fit=np.full(len(names), True))
        new = measure_codes.new()
        return cls(images.sheet(), held_out(names), new, list(vendors.values()), told)

    @property
    def train(self) -> np.ndarray:
        """The emojis that a run for figures is trained on: bool (n,)."""
        return ~self.held_out & ~self.new

    def figures(
        self,
        encode: Callable[[np.ndarray], np.ndarray],
        decode: Callable[[np.ndarray], np.ndarray],
        codes: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Return the figures of a codec: pictures (n, 36, 36, 4) to codes (n, d) and back.

        Args:
            encode: as it says.
            decode: as it says.
            codes: of all emojis, where they are known already.
        """
        codes = encode(self.pictures) if codes is None else codes
        rebuilt = decode(codes)
        mean = self.pictures[self.train].mean(axis=0)

        def variance(some: np.ndarray) -> float:
            return explained(self.pictures[some], rebuilt[some], mean)

        seen = self.held_out | self.new
        again = {
            f"found again by {vendor.vendor}'s picture, hit@10": measure_codes.found_again(
                encode(vendor.pictures[rows]), rows, codes
            )
            for vendor in self.vendors
            if len(rows := np.flatnonzero(vendor.there & seen))
        }
        named = measure_codes.named(
            codes, self.meanings.vectors, self.meanings.names, self.train, self.new
        )
        return {
            "variance explained, held out": variance(self.held_out),
            "variance explained, new": variance(self.new),
            "variance explained, training": variance(self.train),
            "finite codes": float(np.isfinite(codes).all(axis=1).mean()),
            **again,
            "meaning of the 5 nearest, cosine": measure_codes.alike(
                codes, self.meanings.vectors, seen
            ),
            **{f"new emojis by name, {figure}": value for figure, value in named.items()},
            "sentiment readable, R2": measure_codes.readable(
                codes, self.meanings.sentiment, self.train, seen
            ),
            "sentiment readable within training, R2": measure_codes.readable_within(
                codes[self.train], self.meanings.sentiment[self.train]
            ),
            "held-out codes, smallest spread": float(codes[self.held_out].std(axis=0).min()),
            "held-out codes, largest spread": float(codes[self.held_out].std(axis=0).max()),
        }


def measure(model: EmojiVAE, exported: Path | None, test: Test) -> dict[str, float]:
    """Return the figures of one training run: a model, and the folder that it was exported to.

    Without that they are those of the model itself, without corrections: what is exported has
    codes of 16 numbers.
    """
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray], np.ndarray]
    if exported is None:
        encode, decode = functools.partial(means_of, model), functools.partial(pictures_of, model)
        codes = encode(test.pictures)
    else:
        codec = Codec.load(exported, threads=1)
        encode, decode = codec.encode, codec.decode
        codes = EmojiCodes.load(exported / "codes.npz").codes
    pictures = test.pictures[test.held_out]
    loss = model.evaluate(pictures, batch_size=256, verbose=0, return_dict=True)
    return {
        **test.figures(encode, decode, codes),
        "held-out loss": loss["loss"],
        "held-out reconstruction": loss["reconstruction"],
        "held-out KL": loss["kl"],
    }


def fit_prior(codes: np.ndarray, seed: int = 0) -> Prior:
    """Fit the aggregate posterior: a mixture of Gaussians with full covariances.

    The number of components is the one that serves codes best that it was not fitted to: every
    fifth one, by the mean log-likelihood. A little is added to the variances, since components of
    few codes would be flat, and all of them where a training collapsed and codes hardly differ.
    """

    def mixture(components: int, some: np.ndarray) -> GaussianMixture:
        floor = max(0.02 * float(codes.var(axis=0).mean()), 1e-6)
        return GaussianMixture(components, reg_covar=floor, random_state=seed).fit(some)

    codes = codes.astype(np.float64)
    apart = np.arange(len(codes)) % 5 == 0
    most = max(1, len(codes) // 4)
    best = max(
        (k for k in COMPONENTS if k <= most),
        key=lambda k: mixture(k, codes[~apart]).score(codes[apart]),
    )
    found = mixture(best, codes)
    return Prior(found.weights_, found.means_, found.covariances_)


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
        # Without corrections: these would lead both to the same code from starts that differ.
        first = means_of(model, pictures)
        differences = {
            "code": float(np.abs(first - codec.first_codes(pictures)).max()),
            "pixel": float(np.abs(pictures_of(model, codes.codes) - rebuilt).max()),
        }
        if not all(found <= TOLERANCE for found in differences.values()):  # NaN is no less
            raise InputError(
                f"the exported model differs from Keras by {differences}, more than {TOLERANCE}; "
                f"nothing was written to {str(folder)!r}"
            )
        codes.save(new / "codes.npz")
        prior = fit_prior(codes.codes)
        prior.save(new / "prior.npz")
        spreads, distances = codes.codes.std(axis=0), closest(codes.codes)
        figures = {
            "variance explained, all": explained(pictures, rebuilt, pictures.mean(axis=0)),
            "finite codes": float(np.isfinite(codes.codes).all(axis=1).mean()),
            "smallest spread": float(spreads.min()),
            "largest spread": float(spreads.max()),
            "median distance to the nearest code": float(np.median(distances)),
            "codes within 0.01 of another": int((distances < 0.01).sum()),
            "components of the prior": len(prior.weights),
            "largest difference from Keras, codes": differences["code"],
            "largest difference from Keras, pixels": differences["pixel"],
        }
        results.write(new / "config.json", {"format": FORMAT, **config, "figures": figures})
        for file in sorted(new.iterdir()):
            os.replace(file, folder / file.name)
    return figures


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
    parser.add_argument("--data", type=Path, default=phrases.DATA, help="folder of the data")
    parser.add_argument(
        "--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages"
    )
    parser.add_argument("--no-ship", action="store_true", help="figures alone")
    parser.add_argument(
        "--beside", type=Path, help="results file of another preset, to be kept with the results"
    )
    return run(parser.prog, lambda: _train(parser.parse_args(argv), argv))


def material(
    settings: VAESettings,
    rows: np.ndarray,
    vendors: dict[str, views.Views],
    data: Path,
    cache: Path,
) -> Material:
    """Gather what a run on the emojis ``rows`` (bool (n,)) of the catalogue is shown."""
    pictures, some = images.sheet(), np.flatnonzero(rows)
    place = np.cumsum(rows) - 1
    chosen = [vendors[name] for name in settings.vendors]
    there = [np.flatnonzero(view.there & rows) for view in chosen]
    targets = None
    if settings.meaning or settings.emotion or settings.agreement:
        found = meanings.load(cache, data, fit=rows)
        # In units of their spread among these emojis: rare emotions count as much as common ones.
        felt = found.felt - found.felt[rows].mean(axis=0)
        felt /= np.maximum(found.felt[rows].std(axis=0), 1e-6)
        targets = Targets(found.vectors, found.groups, felt.astype(np.float32), rows)
    return Material.of(
        some,
        pictures[rows],
        views=np.concatenate(
            [pictures[:0], *(v.pictures[t] for v, t in zip(chosen, there, strict=True))]
        ),
        shows=np.concatenate([some[:0], *(place[t] for t in there)]),
        targets=targets,
    )


def split_folder(work: Path, settings: VAESettings) -> Path:
    """Return the folder of a run for figures; its exported model lies in ``model`` there.

    A run of another length has another decay: it is another run.
    """
    return work / f"{settings.preset}-{settings.epochs}-{settings.seed}-split"


def other_preset(file: Path, data: dict[str, str]) -> dict[str, Any]:
    """Return the figures of a results file, to stand beside those of another preset.

    Args:
        file: what this command wrote.
        data: hashes of the data; the file's are to be the same.

    Raises:
        InputError: no such file, or one of another kind or on other data.
    """
    try:
        found = json.loads(file.read_bytes())
        if found["data"] != data:
            raise ValueError("it was measured on other pictures")
        kept = ("command", "settings", "seeds", "figures")
        return {f"preset {found['preset']}": {name: found[name] for name in kept}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"cannot put the results {str(file)!r} beside: {error}; name a results file that "
            "python -m pipelines.train_vae wrote on the same data"
        ) from error


def _train(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    changes = {} if options.epochs is None else {"epochs": options.epochs}
    all_settings = [
        VAESettings.of(options.preset, seed=seed, **changes) for seed in options.seeds or [0]
    ]
    names = catalogue().sequences
    pictures = images.sheet()
    data = results.hashes([asset("emojis.csv"), asset("emojis.png")])
    data |= {vendor: sources.SOURCES[vendor].sha256 for vendor in views.VENDORS}
    data |= meanings.hashes(options.data)
    vendors = {vendor: views.load(vendor, options.cache) for vendor in views.VENDORS}

    def config(settings: VAESettings) -> dict[str, Any]:
        return {
            "settings": dataclasses.asdict(settings),
            "data": data,
            "versions": results.versions(),
        }

    def shown(settings: VAESettings, rows: np.ndarray) -> Material:
        return material(settings, rows, vendors, options.data, options.cache)

    beside = {} if options.beside is None else other_preset(options.beside, data)
    if options.seeds:
        test = Test.gather(vendors, options.data, options.cache)
        figures = []
        for settings in all_settings:
            folder = split_folder(options.work, settings)
            model = fit(settings, shown(settings, test.train), folder)
            export(model, pictures, names, folder / "model", config(settings))
            found = measure(model, folder / "model", test)
            figures.append({**found, "minutes of training": minutes(folder)})
            print(f"seed {settings.seed}: {json.dumps(figures[-1], indent=1)}", flush=True)
        results.write(
            options.results or results.place(options.output, "vae"),
            {
                "command": results.command("pipelines.train_vae", argv),
                "preset": options.preset,
                "settings": dataclasses.asdict(all_settings[0]),
                "seeds": options.seeds,
                "training pictures": int(test.train.sum()),
                "held-out pictures": int(test.held_out.sum()),
                "new pictures": int(test.new.sum()),
                "figures": {
                    name: results.spread([row[name] for row in figures]) for name in figures[0]
                },
                "principal components": {
                    str(k): test.figures(baseline.encode, baseline.decode)
                    for k in (8, 16, 32, 64)
                    if (baseline := Components(pictures[test.train], k))
                },
                **beside,
                "data": data,
                "versions": results.versions(),
            },
        )
    if options.no_ship:
        return
    settings = all_settings[0]
    folder = options.work / f"{settings.preset}-{settings.epochs}-{settings.seed}-all"
    model = fit(settings, shown(settings, np.full(len(names), True)), folder)
    found = export(model, pictures, names, options.output, config(settings))
    print(json.dumps(found, indent=1))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    sys.exit(main())
