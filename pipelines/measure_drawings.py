"""Measure drawings of emojis that do not exist: are they likely, new, sharp, and like real ones?

    python -m pipelines.measure_drawings                   # the model that ships, 5 seeds
    python -m pipelines.measure_drawings --model build/vae/default-100-0-split/model --output x.json

For each seed about as many codes are drawn from the prior as there are emojis. The drafts that the
decoder makes of them and the finished drawings are measured alike.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from emoji_vae import images
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.locations import asset
from pipelines import results
from pipelines.measure_codes import between, closest

DRAWINGS = 1751
"""Drawings a seed, about as many as there are emojis."""


@dataclasses.dataclass(frozen=True)
class ClassifierSettings:
    """The network that tries to tell drawn emojis from real ones, and its training.

    Attributes:
        widths: channels of its five 3x3 convolutions; the second has stride 2.
        epochs: of training, on half of the pictures.
        batch: pictures a step.
        learning_rate: AdamW's at its peak.
        weight_decay: AdamW's.
        shift: augmentation: largest shift in pixels, each way; half are mirrored as well.
        validation: share of the training half that decides which epoch's weights are kept.
    """

    widths: tuple[int, ...] = (16, 32, 48, 64, 96)
    epochs: int = 45
    batch: int = 64
    learning_rate: float = 0.003
    weight_decay: float = 0.02
    shift: int = 3
    validation: float = 0.15


def edge_energy(pictures: np.ndarray) -> float:
    """Return the mean length of the gradient of pictures (n, h, w, c), by finite differences."""
    across = np.diff(pictures, axis=2)[:, :-1]
    down = np.diff(pictures, axis=1)[:, :, :-1]
    return float(np.sqrt(across**2 + down**2).mean())


def likely_and_new(
    drawn: np.ndarray, drawn_codes: np.ndarray, real: np.ndarray, real_codes: np.ndarray
) -> dict[str, float]:
    """Compare drawings' distances to the nearest real emoji with those among real emojis.

    Args:
        drawn: float32 (n, 36, 36, 4).
        drawn_codes: float32 (n, d), of the drawings as they are shown.
        real: float32 (m, 36, 36, 4).
        real_codes: float32 (m, d).

    Returns:
        Shares in [0, 1]: ``within``: no farther from the nearest real code than 95 % of the real
        codes are from each other; ``no copy, pixels`` and ``no copy, codes``: farther from the
        nearest real emoji than the closest 5 % of the real ones are from each other.
    """
    to_real = between(drawn_codes, real_codes).min(axis=1)
    among = closest(real_codes)
    pixels, pixels_among = _nearest(drawn, real), closest(real.reshape(len(real), -1))
    return {
        "within the real codes' distances": float((to_real <= np.quantile(among, 0.95)).mean()),
        "no copy, pixels": float((pixels > np.quantile(pixels_among, 0.05)).mean()),
        "no copy, codes": float((to_real > np.quantile(among, 0.05)).mean()),
        "no copy": float(
            (
                (pixels > np.quantile(pixels_among, 0.05)) & (to_real > np.quantile(among, 0.05))
            ).mean()
        ),
    }


def _nearest(drawn: np.ndarray, real: np.ndarray) -> np.ndarray:
    return between(drawn.reshape(len(drawn), -1), real.reshape(len(real), -1)).min(axis=1)


def classifier(settings: ClassifierSettings, seed: int) -> keras.Model:
    """Return an untrained network: pictures (n, 36, 36, 4) to a logit (n, 1), above 0 for drawn."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    x = picture = keras.Input((images.SIZE, images.SIZE, 4))
    for at, width in enumerate(settings.widths):
        stride = 2 if at == 1 else 1
        x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
        if at == 2:
            x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(picture, layers.Dense(1)(x))


def told_apart(
    drawn: np.ndarray,
    real: np.ndarray,
    seed: int,
    settings: ClassifierSettings | None = None,
) -> float:
    """Return how often a classifier trained on halves tells fresh halves apart: 0.5 by chance.

    Args:
        drawn: float32 (n, 36, 36, 4).
        real: float32 (n, 36, 36, 4).
        seed: decides the halves, the weights and the order.
        settings: of the classifier.
    """
    settings = settings or ClassifierSettings()
    rng = np.random.default_rng(seed)
    n = min(len(drawn), len(real)) // 2
    # Real pictures have 8 bits a channel; drawings are to have no other.
    both = [np.rint(p[rng.permutation(len(p))[: 2 * n]] * 255) / 255 for p in (real, drawn)]
    kept = n - round(n * settings.validation)

    def part(start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        pictures = np.concatenate([each[start:end] for each in both]).astype(np.float32)
        return pictures, np.repeat([0.0, 1.0], end - start).astype(np.float32)

    (train, is_drawn), validation, (test, answer) = part(0, kept), part(kept, n), part(n, 2 * n)
    model = classifier(settings, seed)
    steps = -(-len(train) // settings.batch)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                settings.learning_rate / 3,
                steps * max(1, settings.epochs - 3),
                warmup_target=settings.learning_rate,
                warmup_steps=3 * steps,
            ),
            weight_decay=settings.weight_decay,
        ),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    best, weights = np.inf, model.get_weights()
    for _ in range(settings.epochs):
        order = rng.permutation(len(train))
        for start in range(0, len(order), settings.batch):
            rows = order[start : start + settings.batch]
            model.train_on_batch(_varied(train[rows], settings.shift, rng), is_drawn[rows])
        loss = float(model.test_on_batch(*validation))
        if loss < best:
            best, weights = loss, model.get_weights()
    model.set_weights(weights)
    return float(((model.predict_on_batch(test)[:, 0] > 0) == (answer > 0.5)).mean())


def _varied(pictures: np.ndarray, shift: int, rng: np.random.Generator) -> np.ndarray:
    padded = np.pad(pictures, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    moves = rng.integers(0, 2 * shift + 1, (len(pictures), 2))
    size = images.SIZE
    moved = np.stack(
        [p[y : y + size, x : x + size] for p, (y, x) in zip(padded, moves, strict=True)]
    )
    mirrored = rng.random(len(moved)) < 0.5
    moved[mirrored] = moved[mirrored, :, ::-1]
    return moved


def measure(codec: Codec, known: EmojiCodes, seed: int) -> dict[str, dict[str, float]]:
    """Return the figures of one seed for the drafts and for the drawings."""
    real = images.sheet()
    codes = codec.prior.sample(DRAWINGS, seed)
    with tqdm(total=len(codes), unit=" drawings", leave=False, disable=None) as bar:
        made = {"drafts": codec.decode(codes), "drawings": codec.draw(codes, seed, bar.update)}
    return {
        name: {
            **likely_and_new(pictures, codec.encode(pictures), real, known.codes),
            "edge energy over the real emojis'": edge_energy(pictures) / edge_energy(real),
            "told from real ones": told_apart(pictures, real, seed),
        }
        for name, pictures in made.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.measure_drawings", description=__doc__)
    parser.add_argument("--model", type=Path, default=asset("models", "vae"), help="folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--output", type=Path, default=asset("results", "drawings.json"), help="results file"
    )
    return run(parser.prog, lambda: _measure(parser.parse_args(argv), argv))


def _measure(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    codec = Codec.load(options.model)
    known = EmojiCodes.load(options.model / "codes.npz")
    found: list[dict[str, dict[str, float]]] = []
    for seed in options.seeds:
        found.append(measure(codec, known, seed))
        print(f"seed {seed}: {found[-1]}", flush=True)
        results.write(
            options.output,
            {
                "command": results.command("pipelines.measure_drawings", argv),
                "classifier": dataclasses.asdict(ClassifierSettings()),
                "seeds": options.seeds[: len(found)],
                "drawings a seed": DRAWINGS,
                "figures": {
                    name: {
                        figure: results.spread([row[name][figure] for row in found])
                        for figure in found[0][name]
                    }
                    for name in found[0]
                },
                "data": results.hashes(
                    [
                        asset("emojis.png"),
                        asset("emojis-64.webp"),
                        *(options.model / f"{part}.onnx" for part in ("encoder", "decoder")),
                        *(options.model / f"{part}.npz" for part in ("codes", "prior")),
                    ]
                ),
                "versions": results.versions(),
            },
        )


if __name__ == "__main__":
    sys.exit(main())
