"""The Siamese question-answer model in Keras 3: two towers, shared last layers, hinge loss.

A question (a sentence) and an answer (an emoji's 16-D code) are put into one space; their cosine
is the score. Only ``keras.ops`` is used, so the model trains on TensorFlow, JAX and PyTorch alike.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np

from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.settings import from_mapping

try:
    import keras
    from keras import layers, ops
except ImportError as error:
    raise MissingExtraError("Keras", "train") from error


@dataclasses.dataclass(frozen=True)
class SQAMSettings:
    """What makes a model; saved with it.

    The defaults are the product's; ``SQAMSettings.preset("2017")`` is the model of "Neurally
    embedded emojis".

    ``SQAMSettings.preset("deepmoji")`` reads texts as DeepMoji does (Felbo et al.: Using millions
    of emoji occurrences to learn any-domain representations for detecting sentiment, emotion and
    sarcasm, EMNLP 2017). Theirs are the tanh on the word vectors, two bi-LSTMs of 512 units in each
    direction, and the attention, alone, over the states of the second, those of the first and the
    word vectors. Ours are the words (GloVe of 100 dimensions, where theirs were learnt, of 256),
    the dense layers behind, and the contrastive loss over any number of emojis' codes, where they
    had a softmax over 64.
    """

    dimensions: int = 100
    """Length of a word vector."""
    vocabulary: int = 45_500
    """Words with a vector."""
    max_tokens: int = 32
    """Tokens of a sentence that are read."""
    tune_embedding: bool = True
    """Train the word vectors. Words that training never sees stay where they were, which is near
    their neighbours no longer: let it see all of them (``train_sqam`` has a teacher's texts), or
    leave the vectors alone."""
    mask: bool = True
    """Ignore padding in the LSTM and in the pooling."""
    lstm_units: int = 128
    """Units of each LSTM in each direction."""
    lstm_layers: int = 1
    """Bi-LSTMs; each reads the states of the one before, the first the word vectors."""
    embedding_tanh: bool = False
    """Let the word vectors pass through tanh, so that no number of theirs is beyond -1 or 1."""
    pool: Literal["max", "windows", "attention"] = "max"
    """Of the last LSTM's states, ``max``: over the sentence; ``windows``: over each 10 steps, then
    flattened; ``attention``: what the attention gives, and nothing beside it."""
    convolutions: tuple[int, ...] = ()
    """Widths, in tokens, of 1-D convolutions of the word vectors (relu, their largest value over
    the sentence), beside the LSTM; () for none. Yoon Kim: Convolutional Neural Networks for
    Sentence Classification (EMNLP 2014)."""
    filters: int = 64
    """Channels of each of them."""
    attention: bool = True
    """Pool by attention as well, as DeepMoji does: the states' mean weighted by the softmax of a
    learnt score, beside ``pool``."""
    attend: Literal["last", "all"] = "last"
    """What the attention reads of a token. ``last``: the last LSTM's states; ``all``: these, then
    those of the LSTMs before it, down to the first, then the word vector."""
    question_units: tuple[int, ...] = (512,)
    """relu layers of the question tower alone."""
    code_size: int = 16
    """Length of an emoji's latent code."""
    answer_units: tuple[int, ...] = (512, 512)
    """relu layers of the answer tower alone; the last must be as wide as the question's."""
    shared_units: tuple[int, ...] = (256,)
    """relu layers that both towers share."""
    space: int = 128
    """Width of the shared space: the last, ``tanh`` layer that both towers share."""
    dropout: float = 0.1
    """On the pooled sentence, in training."""
    word_dropout: float = 0.1
    """Share of the tokens hidden in training."""
    vector_dropout: float = 0.0
    """On the word vectors, in training."""
    view_share: float = 0.5
    """Share of the answers that a step shows as another view, where ``SQAM`` has views."""
    margin: float = 0.1
    """Of the hinge loss."""
    sharpness: float | None = 20.0
    """Of the hinge loss in its smooth form, see ``smooth_hinge``; None for the hinge itself."""
    popularity: float = 0.4
    """How much of how popular an answer is the loss explains away, in its smooth form, if it is
    told: 0 leaves all of it to the cosines, 1 nothing. See ``SQAM.compile_for_training``."""
    negatives: int | None = None
    """Incorrect answers that each question is held against in a step; None for all. The smooth
    form takes all."""
    focus: float = 0.0
    """How much more the nearer of them count in the hinge itself; see ``hinge_contrastive``."""
    learning_rate: float = 0.002
    decay: bool = True
    """Let the learning rate fall to 0 along a cosine; else it is constant."""
    clip_norm: float = 1.0
    batch: int = 256

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Return the settings called ``"default"``, ``"2017"`` or ``"deepmoji"``, with changes.

        Raises:
            InputError: no such preset or setting.
        """
        if name not in PRESETS:
            raise InputError(f"no preset {name!r}; choose from {', '.join(PRESETS)}")
        return cls.from_dict({**PRESETS[name], **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from a saved mapping.

        Raises:
            InputError: a setting that does not exist, or one that cannot be.
        """
        return from_mapping(cls, values)

    def __post_init__(self) -> None:
        if self.question_units[-1:] != self.answer_units[-1:]:
            raise InputError(
                "question_units and answer_units must end in the same width, since the layers "
                f"after them are shared; they are {self.question_units} and {self.answer_units}"
            )
        if self.pool not in ("max", "windows", "attention"):
            raise InputError(f"pool {self.pool!r}: choose max, windows or attention")
        if self.mask == (self.pool == "windows"):
            raise InputError(
                "mask=False goes with pool='windows', and mask=True with pool='max' or 'attention'"
            )
        if self.attend not in ("last", "all"):
            raise InputError(f"attend {self.attend!r}: choose last or all")
        if not self.attention and (self.pool == "attention" or self.attend == "all"):
            raise InputError("pool='attention' and attend='all' need attention=True")
        sizes = {
            "dimensions": self.dimensions,
            "vocabulary": self.vocabulary,
            "max_tokens": self.max_tokens,
            "lstm_units": self.lstm_units,
            "lstm_layers": self.lstm_layers,
            "convolutions": min(self.convolutions, default=1),
            "filters": self.filters,
            "question_units": min(self.question_units, default=0),
            "code_size": self.code_size,
            "answer_units": min(self.answer_units, default=0),
            "shared_units": min(self.shared_units, default=1),
            "space": self.space,
            "negatives": 1 if self.negatives is None else self.negatives,
            "batch": self.batch,
        }
        for name, size in sizes.items():
            if size < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.popularity <= 1:
            raise InputError(f"popularity is {self.popularity}; it must be from 0 to 1")
        if self.sharpness is not None and not self.sharpness > 0:
            raise InputError(f"sharpness is {self.sharpness}; it must be above 0, or None")
        for name in ("dropout", "word_dropout", "vector_dropout", "view_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "2017": {
        "vocabulary": 2_000, "max_tokens": 20, "tune_embedding": True, "mask": False,
        "attention": False, "lstm_units": 50, "pool": "windows", "question_units": (10,),
        "answer_units": (64, 10), "shared_units": (100, 50), "space": 10, "dropout": 0.0,
        "word_dropout": 0.0,
        "view_share": 0.0, "learning_rate": 0.001,
        "margin": 0.2, "sharpness": None, "negatives": 1, "decay": False, "batch": 64,
    },
    "deepmoji": {
        "embedding_tanh": True, "lstm_units": 512, "lstm_layers": 2, "pool": "attention",
        "attend": "all",
    },
}  # fmt: skip


def unit(vectors: Any) -> Any:
    """Scale vectors (n, d) to length 1; a zero vector stays zero."""
    return vectors / ops.maximum(ops.norm(vectors, axis=-1, keepdims=True), 1e-9)


def hinge_contrastive(
    correct: Any, scores: Any, *, margin: float, negatives: int | None, focus: float, seed: Any
) -> Any:
    """Return ``max(0, margin - cos(question, correct) + cos(question, incorrect))`` per question.

    Of several correct answers one is drawn, those of a higher grade more often. The mean goes over
    those incorrect answers that come within the margin, weighted by ``softmax(focus * cosine)``: 0
    weighs them alike. (The hardest ones alone would pull everything into one point.) An answer that
    is also correct is never an incorrect one.

    Args:
        correct: (n, n_answers) grades, above 0 where the answer is correct, else 0; at least one a
            row is.
        scores: (n, n_answers) cosines.
        margin: distance that the correct answer must be ahead by.
        negatives: how many incorrect answers to draw for a question; None takes all.
        focus: how much nearer incorrect answers count more, at least 0.
        seed: a ``keras.random.SeedGenerator``.

    Returns:
        (n,) losses, at least 0.
    """
    drawn = keras.random.uniform(ops.shape(scores), minval=1e-6, seed=seed)
    positive = ops.argmax(drawn * ops.cast(correct, drawn.dtype), axis=-1)
    positive_score = ops.take_along_axis(scores, positive[:, None], axis=-1)
    hinge = ops.relu(margin - positive_score + scores)
    counts = correct == 0
    if negatives is not None:
        order = ops.where(counts, keras.random.uniform(ops.shape(scores), seed=seed), -1.0)
        lowest = ops.top_k(order, k=negatives)[0][:, -1:]
        counts = ops.logical_and(counts, order >= lowest)
    counts = ops.logical_and(counts, hinge > 0)
    weights = ops.where(counts, ops.exp(focus * ops.stop_gradient(scores - positive_score)), 0.0)
    return ops.sum(weights * hinge, axis=-1) / ops.maximum(ops.sum(weights, axis=-1), 1e-9)


def smooth_hinge(correct: Any, scores: Any, *, margin: float, sharpness: float) -> Any:
    """Return the hinge loss against all incorrect answers in a smooth form, per question.

    With one correct answer: ``log(1 + sum(exp(s * (margin - cos(question, correct) +
    cos(question, incorrect))))) / s``, the sum going over the incorrect answers. The sharper, the
    nearer it comes to the hinge against the nearest one; the hinge itself learns a hard set of
    answers worse, since those far within the margin pull as much as those at its edge. Several
    correct answers share it as their grades say, and are held against each other without a margin,
    so that their cosines come to say which are better. (A softmax with an additive margin: Wang et
    al., Additive Margin Softmax for Face Verification, 2018.)

    Args:
        correct: (n, n_answers) grades, above 0 where the answer is correct, else 0; at least one a
            row is.
        scores: (n, n_answers) cosines.
        margin: distance that a correct answer must be ahead by.
        sharpness: above 0.

    Returns:
        (n,) losses, at least 0.
    """
    shares = correct / ops.sum(correct, axis=-1, keepdims=True)
    ahead = ops.where(correct == 0, scores + margin, scores)
    total = ops.logsumexp(sharpness * ahead, axis=-1) / sharpness
    return total - ops.sum(shares * scores, axis=-1)


@keras.saving.register_keras_serializable("sqam")
class SQAM(keras.Model):
    """Both towers over a fixed list of answers; called with token ids it returns cosines.

    Args:
        settings: see ``SQAMSettings``.
        word_vectors: float32 (vocabulary, dimensions).
        codes: float32 (n_answers, code_size); what the answers look like.
        views: float32 (n_answers, n_views, code_size); codes of other pictures of the same, with
            which training replaces some of ``codes``, lest it learn each by heart; None for none.
        seed: of the initial weights, the dropout and the drawn answers.
    """

    def __init__(
        self,
        settings: SQAMSettings,
        word_vectors: np.ndarray,
        codes: np.ndarray,
        seed: int = 0,
        views: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        expected = (settings.vocabulary, settings.dimensions)
        if word_vectors.shape != expected:
            raise InputError(
                f"word vectors have shape {word_vectors.shape}, settings say {expected}"
            )
        if codes.ndim != 2 or codes.shape[1] != settings.code_size or not np.isfinite(codes).all():
            raise InputError(
                f"codes must be finite, of shape (n, {settings.code_size}), not {codes.shape}"
            )
        if views is not None and (
            views.ndim != 3
            or views.shape[::2] != codes.shape
            or not views.shape[1]
            or not np.isfinite(views).all()
        ):
            raise InputError(
                f"views must be finite, of shape ({len(codes)}, n, {settings.code_size}), not "
                f"{views.shape}"
            )
        keras.utils.set_random_seed(seed)
        self.settings = settings
        self.seed_generator = keras.random.SeedGenerator(seed)
        # Row 0 is padding; a word's token id is its row in the vocabulary plus one.
        rows = np.concatenate([np.zeros((1, settings.dimensions)), word_vectors])
        self.embedding = layers.Embedding(
            *rows.shape, embeddings_initializer=keras.initializers.Constant(rows),
            trainable=settings.tune_embedding, name="glove",
        )  # fmt: skip

        def lstm(name: str) -> layers.Bidirectional:
            one = layers.LSTM(settings.lstm_units, return_sequences=True)
            return layers.Bidirectional(one, name=name)

        # Apart, so that what was saved with one alone is named and ordered as it was.
        self.lstm = lstm("bilstm")
        self.further_lstms = [lstm(f"bilstm_{n}") for n in range(2, settings.lstm_layers + 1)]
        self.convolutions = [
            layers.Conv1D(
                settings.filters, width, padding="same", activation="relu", name=f"conv_{width}"
            )
            for width in settings.convolutions
        ]
        self.attention = (
            layers.Dense(1, use_bias=False, name="attention") if settings.attention else None
        )

        def dense(units: tuple[int, ...], name: str) -> list[layers.Dense]:
            return [layers.Dense(n, "relu", name=f"{name}_{i}") for i, n in enumerate(units)]

        self.question_layers = dense(settings.question_units, "question")
        self.answer_layers = dense(settings.answer_units, "answer")
        self.shared_layers = [
            *dense(settings.shared_units, "shared"),
            layers.Dense(settings.space, "tanh", name="space"),
        ]

        # Codes enter the answer tower at mean 0 and spread 1 in each dimension.
        def fixed(values: np.ndarray, name: str) -> Any:
            constant = keras.initializers.Constant(values)
            return self.add_weight(values.shape, constant, trainable=False, name=name)

        self.code_mean = fixed(codes.mean(axis=0), "code_mean")
        self.code_spread = fixed(codes.std(axis=0) + 1e-6, "code_spread")
        self.codes = ops.convert_to_tensor(codes.astype(np.float32))
        self.views = None if views is None else ops.convert_to_tensor(views.astype(np.float32))
        # The first call makes the weights; without it there is nothing to load or export.
        self(np.ones((1, settings.max_tokens), dtype=np.int32))

    def draw_from(self, step: int) -> None:
        """Set the random draws to where they belong at a step of a training.

        Keras saves no state of theirs with the weights, and a resumed run is to go on as it would.
        """
        seed, _ = ops.convert_to_numpy(self.seed_generator.state)
        state = np.array([seed, step], dtype=self.seed_generator.state.dtype)
        self.seed_generator.state.assign(state)

    def questions(self, ids: Any, training: bool = False) -> Any:
        """Put sentences into the space: int ids (n, tokens), 0 for padding -> unit (n, space)."""
        settings = self.settings
        written = ids > 0
        if training and settings.word_dropout:
            kept = keras.random.uniform(ops.shape(ids), seed=self.seed_generator)
            ids = ops.where(kept < settings.word_dropout, 0, ids)
            # Hidden words leave no gap for the mask to trip over: row 0 stands in their place.
        return self.questions_of(self.embedding(ids), written, training)

    def questions_of(self, vectors: Any, written: Any, training: bool = False) -> Any:
        """Put sentences into the space: their word vectors (n, tokens, dimensions) -> (n, space).

        Args:
            vectors: floats; what stands where nothing is written does not count with
                ``settings.mask``.
            written: bool (n, tokens), False for padding.
            training: drop out.
        """
        settings = self.settings
        if training and settings.vector_dropout:
            vectors = keras.random.dropout(
                vectors, settings.vector_dropout, seed=self.seed_generator
            )
        x, _ = self.pooled(vectors, written)
        if training and settings.dropout:
            x = keras.random.dropout(x, settings.dropout, seed=self.seed_generator)
        for layer in [*self.question_layers, *self.shared_layers]:
            x = layer(x)
        return unit(x)

    @property
    def lstms(self) -> list[layers.Layer]:
        """The bi-LSTMs, from the first to the last."""
        return [self.lstm, *self.further_lstms]

    @property
    def pooling_layers(self) -> list[layers.Layer]:
        """Those of `pooled` that can be trained, from the first to the last."""
        attention = [] if self.attention is None else [self.attention]
        return [*self.lstms, *self.convolutions, *attention]

    def pooled(self, vectors: Any, written: Any) -> tuple[Any, Any]:
        """Return what the dense layers read of sentences, and where the attention looks.

        Args:
            vectors: floats (n, tokens, dimensions).
            written: bool (n, tokens), False for padding.

        Returns:
            Features (n, width): the states of the last LSTM pooled, then what the attention gives,
            then what the convolutions found; and the attention's weights (n, tokens), which add up
            to 1, or None without attention.
        """
        settings = self.settings
        if settings.embedding_tanh:
            vectors = ops.tanh(vectors)
        states: Any = vectors
        below: list[Any] = []
        for lstm in self.lstms:
            below.insert(0, states)
            states = lstm(states, mask=written) if settings.mask else lstm(states)
        if not settings.mask:
            written = ops.ones_like(written)

        def largest(x: Any) -> Any:
            return ops.max(ops.where(written[..., None], x, -1e9), axis=1)

        pooled = []
        if settings.pool == "max":
            pooled = [largest(states)]
        elif settings.pool == "windows":
            windows = settings.max_tokens // 10
            x = ops.reshape(states[:, : windows * 10], (-1, windows, 10, 2 * settings.lstm_units))
            pooled = [ops.reshape(ops.max(x, axis=2), (-1, windows * 2 * settings.lstm_units))]
        weights = None
        if self.attention is not None:
            read = states
            if settings.attend == "all":
                read = ops.concatenate([states, *below], axis=-1)
            shares = ops.where(written[..., None], self.attention(read), -1e9)
            shares = ops.softmax(shares, axis=1)
            pooled.append(ops.sum(shares * read, axis=1))
            weights = shares[..., 0]
        if settings.convolutions:
            # Zeros beyond the sentence, as the convolution itself puts them beyond the padding.
            shown = ops.where(written[..., None], vectors, 0.0)
            pooled += [largest(layer(shown)) for layer in self.convolutions]
        return ops.concatenate(pooled, axis=-1) if len(pooled) > 1 else pooled[0], weights

    def answers(self, codes: Any) -> Any:
        """Put codes into the space: float (n, code_size) -> unit (n, space)."""
        x = (codes - self.code_mean) / self.code_spread
        for layer in [*self.answer_layers, *self.shared_layers]:
            x = layer(x)
        return unit(x)

    def question_vectors(self, ids: np.ndarray) -> np.ndarray:
        """Return ``questions`` as an array, whatever the backend."""
        return ops.convert_to_numpy(self.questions(ids))

    def answer_vectors(self, codes: np.ndarray) -> np.ndarray:
        """Return ``answers`` as an array, whatever the backend."""
        return ops.convert_to_numpy(self.answers(codes))

    def call(self, ids: Any, training: bool = False) -> Any:
        """Return cosines (n, n_answers) of sentences with the fixed answers."""
        codes = self.shown() if training else self.codes
        return ops.matmul(self.questions(ids, training), ops.transpose(self.answers(codes)))

    def shown(self) -> Any:
        """Return the codes of a step, some of them replaced by another view: (n, code_size)."""
        if self.views is None:
            return self.codes
        n, views, _ = self.views.shape
        drawn = keras.random.uniform((2, n, 1), seed=self.seed_generator)
        at = ops.cast(ops.floor(drawn[0] * views), "int32")
        view = ops.take_along_axis(self.views, at[:, :, None], axis=1)[:, 0]
        return ops.where(drawn[1] < self.settings.view_share, view, self.codes)

    def compile_for_training(self, steps: int, seen: np.ndarray | None = None) -> None:
        """Set the hinge contrastive loss, and Adam with a rate that falls to 0 over the steps.

        Args:
            steps: of the whole training.
            seen: float (n_answers,), how often training shows each answer as correct; None if no
                matter. With it the loss sees the cosines with ``settings.popularity`` of the log of
                each answer's share added, so that the cosines need not say as much of it (logit
                adjustment: Menon et al., Long-tail learning via logit adjustment, ICLR 2021). The
                grades of a step may have one more column, which says for each text how much of
                that counts, from 0 to 1.
        """
        settings = self.settings
        ahead: Any = 0.0
        if seen is not None and settings.sharpness is not None:
            shares = np.log(seen / max(seen.sum(), 1e-9) + 1e-5)
            ahead = (settings.popularity / settings.sharpness * shares).astype(np.float32)
        rate: Any = settings.learning_rate
        if settings.decay:
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)

        def loss(correct: Any, scores: Any) -> Any:
            added = ahead
            if correct.shape[-1] > scores.shape[-1]:
                correct, counts = correct[:, :-1], correct[:, -1:]
                added = ahead * counts
            if settings.sharpness is not None:
                return smooth_hinge(
                    correct, scores + added, margin=settings.margin, sharpness=settings.sharpness
                )
            return hinge_contrastive(
                correct, scores, margin=settings.margin, negatives=settings.negatives,
                focus=settings.focus, seed=self.seed_generator,
            )  # fmt: skip

        self.compile(
            optimizer=keras.optimizers.Adam(rate, clipnorm=settings.clip_norm),
            loss=loss,
            jit_compile=False,
        )
