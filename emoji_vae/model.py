"""The Keras model behind the codes: a convolutional variational autoencoder, its loss and settings.

Written in ``keras.ops`` alone, so it trains on any Keras backend. Only training needs this module:
what ships runs as ONNX through `emoji_vae.codec`.

The preset ``2017`` repeats the model of "Neurally Embedded Emojis" (Will Wolf, 2017), its cross-
entropy (mean over the four channels, sum over the pixels) and its dropout of 0.8 included.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.images import SIZE
from emoji_vae.settings import from_mapping

try:
    import keras
except ImportError as error:
    raise MissingExtraError("Keras", "train") from error

LOG_VARIANCE = (-8.0, 4.0)
"""Every log-variance lies in this range, so no draw overflows, whatever the training did."""
MEAN_BOUND = 8.0
"""The default preset's codes lie in (-8, 8); a standard normal code never comes near."""


@dataclasses.dataclass(frozen=True)
class VAESettings:
    """All that decides a training run; stored beside every exported model.

    Attributes:
        preset: ``"default"`` or ``"2017"``; chooses the architecture.
        latent: numbers a code.
        widths: channels of the encoder at 18x18, 9x9 and 5x5 (default), or of each of its three
            convolutions (2017); the decoder mirrors them.
        reconstruction: ``"squared"``: squared error, summed over a picture, over twice ``noise``;
            ``"crossentropy"``: mean over channels, summed over pixels.
        noise: variance of the pixels that the squared error assumes.
        kl_weight: factor of the KL term, the same in training and in validation.
        dropout: share dropped in the decoder, during training.
        learning_rate: Adam's; at its peak where ``decay`` is set.
        decay: whether the rate warms up over the first twentieth and then falls to 0 as a cosine.
        clip: largest norm of one step's whole gradient, or ``None``.
        batch: pictures a step.
        epochs: passes over the pictures.
        shift: augmentation: largest shift in pixels, each way.
        scale: augmentation: largest relative change of size.
        tint: augmentation: largest relative change of each colour channel.
        seed: of the weights, the draws, the order and the augmentation.
    """

    preset: str = "default"
    latent: int = 16
    widths: tuple[int, ...] = (32, 64, 96)
    reconstruction: str = "squared"
    noise: float = 0.1
    kl_weight: float = 1.0
    dropout: float = 0.0
    learning_rate: float = 0.002
    decay: bool = True
    clip: float | None = 1.0
    batch: int = 64
    epochs: int = 60
    shift: float = 2.0
    scale: float = 0.08
    tint: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no training can work with."""
        if self.preset not in PRESETS:
            raise InputError(f"unknown VAE preset {self.preset!r}; use one of {sorted(PRESETS)}")
        if self.reconstruction not in ("squared", "crossentropy"):
            raise InputError(
                f"unknown reconstruction {self.reconstruction!r}; use 'squared' or 'crossentropy'"
            )
        if len(self.widths) != 3 or min(self.widths) < 1:
            raise InputError(f"widths {self.widths!r} are no three channel counts; name three")
        for name in ("latent", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)!r} is below 1; use 1 or more")
        for name in ("noise", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} {getattr(self, name)!r} is not above 0; use a number")
        for name in ("kl_weight", "shift", "scale", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} {getattr(self, name)!r} is below 0; use 0 or more")
        for name in ("dropout", "tint"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)!r} is no share; use 0 to below 1")

    @classmethod
    def of(cls, preset: str, **changes: Any) -> "VAESettings":
        """Return a preset's settings with ``changes``; InputError for an unknown preset or name."""
        if preset not in PRESETS:
            raise InputError(f"unknown VAE preset {preset!r}; use one of {sorted(PRESETS)}")
        return cls.from_dict({"preset": preset, **PRESETS[preset], **changes})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "VAESettings":
        """Read what ``dataclasses.asdict`` wrote; InputError as ``from_mapping`` says."""
        return from_mapping(cls, settings)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "2017": {
        "widths": (64, 64, 64),
        "reconstruction": "crossentropy",
        "dropout": 0.8,
        "learning_rate": 0.003,
        "decay": False,
        "clip": None,
        "batch": 16,
        "epochs": 100,
        "shift": 0.0,
        "scale": 0.0,
        "tint": 0.0,
    },
}


@keras.saving.register_keras_serializable("emoji_vae")
class Bounded(keras.layers.Layer):
    """Squash smoothly into ``(low, high)``: ``tanh`` of slope 1 around the middle."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = low, high

    def call(self, x: Any) -> Any:
        """Any shape, any finite value, to the same shape."""
        half = (self.high - self.low) / 2
        return self.low + half + half * keras.ops.tanh(x / half)


@keras.saving.register_keras_serializable("emoji_vae")
class Clipped(keras.layers.Layer):
    """Cut off what lies outside ``[low, high]``, which leaves the 2017 form as it was inside."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = low, high

    def call(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return keras.ops.clip(x, self.low, self.high)


@keras.saving.register_keras_serializable("emoji_vae")
class Premultiplied(keras.layers.Layer):
    """Four logits a pixel to premultiplied RGBA: no colour exceeds its alpha, by construction."""

    def call(self, logits: Any) -> Any:
        """(n, h, w, 4) logits to (n, h, w, 4) in [0, 1]."""
        shares = keras.ops.sigmoid(logits)
        alpha = shares[..., 3:]
        return keras.ops.concatenate([shares[..., :3] * alpha, alpha], axis=-1)


def _block(x: Any, width: int) -> Any:
    """Residual pair of 3x3 convolutions: (h, w, width) to the same shape."""
    layers = keras.layers
    inner = layers.Conv2D(width, 3, padding="same")(layers.Activation("silu")(x))
    inner = layers.Conv2D(width, 3, padding="same")(layers.Activation("silu")(inner))
    return layers.Add()([x, inner])


def _default_encoder(settings: VAESettings) -> Any:
    layers = keras.layers
    picture = keras.Input((SIZE, SIZE, 4), name="picture")
    x = layers.Rescaling(2.0, offset=-1.0)(picture)
    # A linear path beside the convolutions: it alone can be as good as principal components.
    coarse = layers.Flatten()(layers.AveragePooling2D(2)(x))
    for width in settings.widths:
        x = layers.Conv2D(width, 3, strides=2, padding="same")(x)
        x = _block(x, width)
    x = layers.Flatten()(layers.Activation("silu")(x))
    x = layers.Concatenate()([x, coarse])
    mean = layers.Dense(settings.latent, name="mean")(x)
    mean = Bounded(-MEAN_BOUND, MEAN_BOUND, name="bounded_mean")(mean)
    log_variance = layers.Dense(settings.latent, name="log_variance")(x)
    log_variance = Bounded(*LOG_VARIANCE, name="bounded_log_variance")(log_variance)
    return keras.Model(picture, [mean, log_variance], name="encoder")


def _default_decoder(settings: VAESettings) -> Any:
    layers = keras.layers
    code = keras.Input((settings.latent,), name="code")
    quarter, (full, half, _) = SIZE // 4, settings.widths
    x = layers.Dense(quarter * quarter * half)(code)
    x = _block(layers.Reshape((quarter, quarter, half))(x), half)
    x = layers.Conv2DTranspose(full, 4, strides=2, padding="same")(layers.Activation("silu")(x))
    x = _block(x, full)
    x = layers.Dropout(settings.dropout)(layers.Activation("silu")(x))
    x = layers.Conv2DTranspose(4, 4, strides=2, padding="same")(x)
    return keras.Model(code, Premultiplied(name="picture")(x), name="decoder")


def _encoder_2017(settings: VAESettings) -> Any:
    layers = keras.layers
    picture = keras.Input((SIZE, SIZE, 4), name="picture")
    x = picture
    for width in settings.widths:
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = layers.Flatten()(x)

    def dense(name: str) -> Any:
        return layers.Dense(settings.latent, kernel_initializer="glorot_normal", name=name)(x)

    # The original left the log-variance free: exp() overflowed and 4 % of its codes were infinite.
    log_variance = Clipped(*LOG_VARIANCE, name="clipped_log_variance")(dense("log_variance"))
    return keras.Model(picture, [dense("mean"), log_variance], name="encoder")


def _decoder_2017(settings: VAESettings) -> Any:
    layers = keras.layers
    code = keras.Input((settings.latent,), name="code")
    x = layers.Dense(SIZE * SIZE * 4, activation="relu")(code)
    x = layers.Reshape((SIZE, SIZE, 4))(x)
    for width in reversed(settings.widths):
        x = layers.Conv2DTranspose(width, 3, padding="same", activation="relu")(x)
    x = layers.Dropout(settings.dropout)(x)
    x = layers.Conv2DTranspose(4, 3, padding="same", activation="sigmoid")(x)
    return keras.Model(code, x, name="decoder")


class EmojiVAE(keras.Model):
    """Encoder, one draw of the code, decoder; trains with ``compile`` and ``fit(pictures)``.

    The loss is reconstruction + ``kl_weight`` x KL, by one formula in training and validation;
    only the code differs: drawn in training, the posterior's mean in validation.

    Attributes:
        encoder: float32 (n, 36, 36, 4) in [0, 1] to mean and log-variance, (n, latent) each.
        decoder: float32 (n, latent) to pictures (n, 36, 36, 4) in [0, 1].
    """

    def __init__(self, settings: VAESettings) -> None:
        super().__init__(name="emoji_vae")
        self.settings = settings
        old = settings.preset == "2017"
        self.encoder = (_encoder_2017 if old else _default_encoder)(settings)
        self.decoder = (_decoder_2017 if old else _default_decoder)(settings)
        self.draws = keras.random.SeedGenerator(settings.seed)
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self.kl_tracker = keras.metrics.Mean(name="kl")

    def draw_from(self, step: int) -> None:
        """Set the random draws to where a training stands after ``step`` steps.

        Keras saves no state of theirs with the weights, and a resumed run is to go on as it would.
        """
        dropouts = [
            layer for layer in self.decoder.layers if isinstance(layer, keras.layers.Dropout)
        ]
        draws = [self.draws, *(layer.seed_generator for layer in dropouts if layer.rate > 0)]
        for generator in draws:
            # A generator's state is its seed and the number of draws so far: one a step.
            seed, _ = keras.ops.convert_to_numpy(generator.state)
            generator.state.assign(np.array([seed, step], dtype=generator.state.dtype))

    def call(self, pictures: Any, training: bool = False) -> Any:
        """Pictures to (reconstruction, mean, log-variance)."""
        ops = keras.ops
        mean, log_variance = self.encoder(pictures, training=training)
        code = mean
        if training:
            noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.draws)
            code = mean + ops.exp(log_variance / 2) * noise
        return self.decoder(code, training=training), mean, log_variance

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean over the batch of reconstruction + kl_weight x KL (nats)."""
        ops = keras.ops
        pictures, mean, log_variance = y_pred
        if self.settings.reconstruction == "squared":
            error = ops.sum(ops.square(x - pictures), axis=(1, 2, 3)) / (2 * self.settings.noise)
        else:
            error = ops.sum(keras.losses.binary_crossentropy(x, pictures), axis=(1, 2))
        kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance, axis=-1)
        self.reconstruction_tracker.update_state(error)
        self.kl_tracker.update_state(kl)
        return ops.mean(error) + self.settings.kl_weight * ops.mean(kl)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Loss and its two parts; there are no targets to hand to compiled metrics."""
        return self.get_metrics_result()


def build_vae(settings: VAESettings, steps: int = 1) -> EmojiVAE:
    """Build and compile a model; equal settings give equal weights.

    Args:
        settings: what to build.
        steps: steps of the whole training, over which a decaying rate decays.
    """
    keras.utils.set_random_seed(settings.seed)
    model = EmojiVAE(settings)
    rate: Any = settings.learning_rate
    if settings.decay:
        warm = math.ceil(steps / 20)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=rate / 20,
            warmup_target=rate,
            warmup_steps=warm,
            decay_steps=max(1, steps - warm),
        )
    model.compile(optimizer=keras.optimizers.Adam(rate, global_clipnorm=settings.clip))
    model(keras.ops.zeros((1, SIZE, SIZE, 4)))  # builds every weight, so that it can be saved
    return model
