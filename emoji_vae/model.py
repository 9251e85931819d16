"""The Keras model behind the codes: a convolutional variational autoencoder, its loss and settings.

Heads that exist during training alone read meaning and feeling from the code, and codes of one
emoji by several vendors are drawn together, so that codes know more than looks.

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
PRECISIONS = ("float32", "mixed_bfloat16")
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
        corrections: Gauss-Newton steps by which encoding ends (`emoji_vae.posterior`); none are
            taken in training.
        reconstruction: ``"squared"``: squared error, summed over a picture, over twice ``noise``;
            ``"crossentropy"``: mean over channels, summed over pixels.
        noise: variance of the pixels that the squared error assumes.
        gradient: how much the squared error of the differences between neighbouring pixels counts
            beside that of the pixels; keeps edges.
        kl_weight: factor of the KL term, the same in training and in validation.
        kl_warmup: share of the training over which that factor grows from 0.
        meaning: factor of what the meaning heads miss: the direction of the emoji's meaning, which
            of the training emojis it is by it, and its Unicode group.
        emotion: factor of the squared error of what people feel, read linearly from the code.
        agreement: factor of what codes of the same emoji by several vendors lie apart, against
            those of other emojis of the batch.
        dropout: share dropped in the decoder, during training.
        learning_rate: Adam's; at its peak where ``decay`` is set.
        beta_2: Adam's decay of the squared gradients' average; a short one follows sudden growth,
            which else throws a fast training off.
        decay: whether the rate warms up over the first twentieth and then falls to 0 as a cosine.
        clip: largest norm of one step's whole gradient, or ``None``.
        batch: pictures a step.
        epochs: passes over the pictures.
        vendors: other vendors whose pictures of the same emojis are shown as well.
        views: how many of those are shown with each of our own pictures.
        shift: augmentation: largest shift in pixels, each way.
        scale: augmentation: largest relative change of size.
        mirror: augmentation: share of the pictures that are mirrored.
        tint: augmentation: largest relative change of each colour channel.
        precision: Keras's dtype policy of the hidden layers in training; figures and exports are
            always computed in float32.
        seed: of the weights, the draws, the order and the augmentation.
    """

    preset: str = "default"
    latent: int = 16
    widths: tuple[int, ...] = (32, 64, 96)
    corrections: int = 5
    reconstruction: str = "squared"
    noise: float = 0.05
    gradient: float = 0.0
    kl_weight: float = 1.0
    kl_warmup: float = 0.1
    meaning: float = 30.0
    emotion: float = 100.0
    agreement: float = 100.0
    dropout: float = 0.0
    learning_rate: float = 0.004
    beta_2: float = 0.98
    decay: bool = True
    clip: float | None = 5.0
    batch: int = 66
    epochs: int = 100
    vendors: tuple[str, ...] = ("twemoji", "fluent-flat", "fluent", "noto-v1")
    views: int = 2
    shift: float = 0.8
    scale: float = 0.05
    mirror: float = 0.5
    tint: float = 0.06
    precision: str = "mixed_bfloat16"
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
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise InputError(f"clip {self.clip!r} is not above 0; use a number, or None for none")
        for name in (
            "corrections", "gradient", "kl_weight", "meaning", "emotion", "agreement", "views",
            "shift", "scale", "seed",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} {getattr(self, name)!r} is below 0; use 0 or more")
        if bool(self.vendors) != bool(self.views):
            raise InputError(
                f"{self.views} views of {len(self.vendors)} vendors; name vendors and views, or "
                "none and 0"
            )
        if self.precision not in PRECISIONS:
            raise InputError(f"unknown precision {self.precision!r}; use one of {PRECISIONS}")
        for name in ("dropout", "tint", "mirror", "kl_warmup", "beta_2"):
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
        "corrections": 0,
        "reconstruction": "crossentropy",
        "kl_warmup": 0.0,
        "meaning": 0.0,
        "emotion": 0.0,
        "agreement": 0.0,
        "dropout": 0.8,
        "learning_rate": 0.003,
        "beta_2": 0.999,
        "decay": False,
        "clip": None,
        "batch": 16,
        "epochs": 100,
        "vendors": (),
        "views": 0,
        "shift": 0.0,
        "scale": 0.0,
        "mirror": 0.0,
        "tint": 0.0,
        "precision": "float32",
    },
}


@keras.saving.register_keras_serializable("emoji_vae")
class Bounded(keras.layers.Layer):
    """Squash smoothly into ``(low, high)``, with slope 1 around the middle.

    Unlike ``tanh``, ``u / sqrt(1 + u^2)`` keeps a slope far out, from where a training that has
    gone astray can come back.
    """

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = low, high

    def call(self, x: Any) -> Any:
        """Any shape, any finite value, to the same shape."""
        half = (self.high - self.low) / 2
        u = keras.ops.clip(x / half, -1e6, 1e6)  # its square is not to overflow
        return self.low + half + half * u / keras.ops.sqrt(1 + keras.ops.square(u))


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


def _block(x: Any, width: int, precision: str) -> Any:
    """Residual pair of 3x3 convolutions: (h, w, width) to the same shape."""
    layers = keras.layers
    inner = x
    for _ in range(2):
        inner = layers.Activation("silu", dtype=precision)(inner)
        inner = layers.Conv2D(width, 3, padding="same", dtype=precision)(inner)
    return layers.Add(dtype=precision)([x, inner])


def _features(x: Any, settings: VAESettings) -> Any:
    """Strided residual convolutions: (36, 36, channels) to a flat vector."""
    layers, precision = keras.layers, settings.precision
    for width in settings.widths:
        x = layers.Conv2D(width, 3, strides=2, padding="same", dtype=precision)(x)
        x = _block(x, width, precision)
    return layers.Flatten()(layers.Activation("silu", dtype=precision)(x))


def _default_encoder(settings: VAESettings) -> Any:
    layers = keras.layers
    picture = keras.Input((SIZE, SIZE, 4), name="picture")
    x = layers.Rescaling(2.0, offset=-1.0)(picture)
    # A linear path beside the convolutions: it alone can be as good as principal components.
    coarse = layers.Flatten()(layers.AveragePooling2D(2)(x))
    seen = layers.Concatenate()([_features(x, settings), coarse])
    mean = layers.Dense(settings.latent, name="mean")(seen)
    mean = Bounded(-MEAN_BOUND, MEAN_BOUND, name="bounded_mean")(mean)
    log_variance = layers.Dense(settings.latent, name="log_variance")(seen)
    log_variance = Bounded(*LOG_VARIANCE, name="bounded_log_variance")(log_variance)
    return keras.Model(picture, [mean, log_variance], name="encoder")


def _default_decoder(settings: VAESettings) -> Any:
    layers, precision = keras.layers, settings.precision
    code = keras.Input((settings.latent,), name="code")
    quarter, (full, half, _) = SIZE // 4, settings.widths
    x = layers.Reshape((quarter, quarter, half))(layers.Dense(quarter * quarter * half)(code))

    def twice(x: Any, width: int) -> Any:
        x = layers.Activation("silu", dtype=precision)(x)
        return layers.Conv2DTranspose(width, 4, strides=2, padding="same", dtype=precision)(x)

    x = _block(x, half, precision)
    x = _block(twice(x, full), full, precision)
    x = twice(layers.Dropout(settings.dropout)(x), 4)
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


def apart_from_others(codes: Any, rows: Any) -> Any:
    """Return how little a code tells which others of the batch show the same emoji: (n,) >= 0.

    The supervised contrastive loss of Prannay Khosla et al. (NeurIPS 2020) on squared distances:
    of the code's weights over the others of the batch, ``exp(-distance ** 2 / 4)``, the logarithm
    of the share that falls on the same emoji. Distances are in units of the batch's own spread, so
    that drawing all codes apart gains nothing. 0 for an emoji that is there once.

    Args:
        codes: float32 (n, latent).
        rows: int (n,), of the emojis.
    """
    ops = keras.ops
    spread = ops.sqrt(ops.mean(ops.var(codes, axis=0)))
    scaled = codes / (ops.stop_gradient(spread) + 1e-3)
    squares = ops.sum(ops.square(scaled), axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * ops.matmul(scaled, ops.transpose(scaled))
    itself = ops.eye(ops.shape(codes)[0], dtype="bool")
    weights = ops.where(itself, -1e9, -distances / 4)
    same = ops.logical_and(rows[:, None] == rows[None, :], ops.logical_not(itself))
    shares = ops.logsumexp(ops.where(same, weights, -1e9), axis=1) - ops.logsumexp(weights, axis=1)
    return ops.where(ops.any(same, axis=1), -shares, 0.0)


@dataclasses.dataclass(frozen=True)
class Targets:
    """What the heads learn to read from the codes of n emojis.

    Attributes:
        meanings: float32 (n, d), unit rows.
        groups: int (n,), from 0.
        emotions: float32 (n, e), NaN where unknown.
        known: bool (n,); the emojis among which a meaning is to be told apart: those of training.
    """

    meanings: np.ndarray
    groups: np.ndarray
    emotions: np.ndarray
    known: np.ndarray


class EmojiVAE(keras.Model):
    """Encoder, one draw of the code, decoder; trains with ``compile`` and ``fit``.

    The loss is reconstruction + weight x KL, by one formula in training and validation; only the
    code differs: drawn in training, the posterior's mean in validation. Where the pictures come
    with the rows of their emojis (int32 (batch,), as ``y``), the heads' losses are added.

    Attributes:
        encoder: float32 (n, 36, 36, 4) in [0, 1] to mean and log-variance, (n, latent) each.
        decoder: float32 (n, latent) to pictures (n, 36, 36, 4) in [0, 1].
        kl_weight: the weight of the KL term, which warms up during training.

    Args:
        settings: see `VAESettings`.
        targets: what the heads learn; None makes none, and takes no rows.
        steps: of the whole training.
    """

    def __init__(
        self, settings: VAESettings, targets: Targets | None = None, steps: int = 1
    ) -> None:
        super().__init__(name="emoji_vae")
        self.settings = settings
        old = settings.preset == "2017"
        self.encoder = (_encoder_2017 if old else _default_encoder)(settings)
        self.decoder = (_decoder_2017 if old else _default_decoder)(settings)
        self.draws = keras.random.SeedGenerator(settings.seed)
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self.kl_tracker = keras.metrics.Mean(name="kl")
        self.warm_steps = math.ceil(settings.kl_warmup * steps)
        self.kl_weight = self.add_weight((), "zeros", trainable=False, name="kl_weight")
        self.warm_up(0)
        self.targets = targets
        if targets is not None:
            layers, groups = keras.layers, int(targets.groups.max()) + 1
            hidden = [layers.Dense(256, "silu"), layers.Dense(targets.meanings.shape[1] + groups)]
            self.meaning_head = keras.Sequential(hidden, name="meaning")
            self.emotion_head = layers.Dense(targets.emotions.shape[1], name="emotion")
            for head in (self.meaning_head, self.emotion_head):
                head.build((None, settings.latent))
            self.head_tracker = keras.metrics.Mean(name="heads")
            self.apart_tracker = keras.metrics.Mean(name="apart")

    def warm_up(self, step: int) -> None:
        """Set the weight of the KL term to where it stands after ``step`` steps."""
        share = min(1.0, step / self.warm_steps) if self.warm_steps else 1.0
        self.kl_weight.assign(self.settings.kl_weight * share)

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
        """Pictures to (reconstruction, mean, log-variance, the code that was decoded)."""
        ops = keras.ops
        mean, log_variance = self.encoder(pictures, training=training)
        code = mean
        if training:
            noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.draws)
            code = mean + ops.exp(log_variance / 2) * noise
        return self.decoder(code, training=training), mean, log_variance, code

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean over the batch of reconstruction + weight x KL (nats), and the heads' losses."""
        ops, settings = keras.ops, self.settings
        pictures, mean, log_variance, code = y_pred
        if settings.reconstruction == "squared":
            missed = x - pictures
            error = ops.sum(ops.square(missed), axis=(1, 2, 3))
            if settings.gradient:
                for steps in (missed[:, 1:] - missed[:, :-1], missed[:, :, 1:] - missed[:, :, :-1]):
                    error += settings.gradient * ops.sum(ops.square(steps), axis=(1, 2, 3))
            error = error / (2 * settings.noise)
        else:
            error = ops.sum(keras.losses.binary_crossentropy(x, pictures), axis=(1, 2))
        kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance, axis=-1)
        self.reconstruction_tracker.update_state(error)
        self.kl_tracker.update_state(kl)
        loss = ops.mean(error) + self.kl_weight * ops.mean(kl)
        if y is not None and self.targets is not None:
            heads = self.head_losses(code, y)
            apart = apart_from_others(mean, y)
            self.head_tracker.update_state(heads)
            self.apart_tracker.update_state(apart)
            loss += ops.mean(heads) + settings.agreement * ops.mean(apart)
        return loss

    def head_losses(self, codes: Any, rows: Any) -> Any:
        """Return what the heads miss, (n,), weighted by the settings.

        Args:
            codes: float32 (n, latent).
            rows: int (n,), of the emojis that they stand for.
        """
        ops, targets = keras.ops, self.targets
        assert targets is not None
        found = self.meaning_head(codes)
        meanings = ops.convert_to_tensor(targets.meanings)
        size = meanings.shape[1]
        pointed = ops.normalize(found[:, :size], axis=-1)
        cosines = ops.matmul(pointed, ops.transpose(meanings))
        own = ops.take_along_axis(cosines, rows[:, None], axis=1)[:, 0]
        # Which training emojis has this meaning? As in InfoNCE, with the temperature 0.1.
        logits = ops.where(ops.convert_to_tensor(targets.known), 10.0 * cosines, -1e9)
        crossentropy = keras.losses.sparse_categorical_crossentropy
        which = crossentropy(rows, logits, from_logits=True)
        groups = ops.take(ops.convert_to_tensor(targets.groups), rows)
        group = crossentropy(groups, found[:, size:], from_logits=True)
        emotions = ops.take(ops.convert_to_tensor(targets.emotions), rows, axis=0)
        told = ops.logical_not(ops.isnan(emotions))
        missed = ops.where(told, self.emotion_head(codes) - ops.where(told, emotions, 0.0), 0.0)
        return self.settings.meaning * (
            3.0 * (1.0 - own) + which + 0.5 * group
        ) + self.settings.emotion * ops.sum(ops.square(missed), axis=-1)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Loss and its two parts; there are no targets to hand to compiled metrics."""
        return self.get_metrics_result()


def build_vae(settings: VAESettings, steps: int = 1, targets: Targets | None = None) -> EmojiVAE:
    """Build and compile a model; equal settings give equal weights.

    Args:
        settings: what to build.
        steps: steps of the whole training, over which a decaying rate decays.
        targets: what the heads learn to read from codes; None makes none.
    """
    keras.utils.set_random_seed(settings.seed)
    model = EmojiVAE(settings, targets, steps)
    rate: Any = settings.learning_rate
    if settings.decay:
        warm = math.ceil(steps / 20)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=rate / 20,
            warmup_target=rate,
            warmup_steps=warm,
            decay_steps=max(1, steps - warm),
        )
    model.compile(
        optimizer=keras.optimizers.Adam(rate, beta_2=settings.beta_2, global_clipnorm=settings.clip)
    )
    model(keras.ops.zeros((1, SIZE, SIZE, 4)))  # builds every weight, so that it can be saved
    return model


def in_full_precision(model: EmojiVAE) -> EmojiVAE:
    """Return a model of the same weights that computes in float32, without heads.

    What a training in bfloat16 rounds in its hidden layers is nothing to measure or to export.
    """
    settings = dataclasses.replace(model.settings, precision="float32")
    full = build_vae(settings)
    full.encoder.set_weights(model.encoder.get_weights())
    full.decoder.set_weights(model.decoder.get_weights())
    full.kl_weight.assign(model.kl_weight)
    return full
