"""Trains the network under a text classifier: everything at once, or layer by layer."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.files import replacing
from sqam.classifier import Head
from sqam.encoder import Encoder, quantize
from sqam.export import question_graph, restore
from sqam.finetune_settings import FineTuneSettings
from sqam.last_layer import calibrated, fitted, spreads
from sqam.model import SQAM, unit
from sqam.task import Task
from sqam.text import pad

try:
    import keras
    from keras import layers, ops
    from tqdm import tqdm
except ImportError as error:
    raise MissingExtraError("Keras", "train") from error


class _Adam(keras.optimizers.Adam):
    """Adam with a factor for the learning rate of each variable; of 0 leaves it as it is.

    So a step of the chain-thaw freezes layers without compiling the network anew.
    """

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        self.factors = [
            self.add_variable(shape=(), initializer="ones", name="factor") for _ in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = self.factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * ops.cast(factor, variable.dtype))


@keras.saving.register_keras_serializable("sqam")
class _Network(keras.Model):
    """The question tower with a new last layer: token ids (n, tokens) -> logits (n, classes).

    Args:
        model: whose layers it trains.
        vectors: float32 (words, d) of the words that the texts have; row 0 is padding.
        head: the last layer as it begins.
        settings: see `FineTuneSettings`.
        seed: of what is dropped out.
    """

    def __init__(
        self, model: SQAM, vectors: np.ndarray, head: Head, settings: FineTuneSettings, seed: int
    ) -> None:
        super().__init__(name="network")
        self.model = model
        self.settings = settings
        self.words = layers.Embedding(
            *vectors.shape, embeddings_initializer=keras.initializers.Constant(vectors),
            name="words",
        )  # fmt: skip
        self.last = layers.Dense(head.kernel.shape[1], name="last")
        self.mean, self.scale = (ops.convert_to_tensor(x) for x in (head.mean, head.scale))
        self.seed_generator = keras.random.SeedGenerator(seed)
        for layer in model.layers:
            layer.trainable = any(layer is one for one in self.in_order())
        self(np.ones((1, model.settings.max_tokens), dtype=np.int32))
        self.last.set_weights([head.kernel, head.bias])

    def call(self, ids: Any, training: bool = False) -> Any:
        """Return logits."""
        settings = self.settings
        written = ids > 0
        if training and settings.word_dropout:
            kept = keras.random.uniform(ops.shape(ids), seed=self.seed_generator)
            ids = ops.where(kept < settings.word_dropout, 0, ids)
        vectors = self.words(ids)
        states, _ = self.model.pooled(vectors, written)
        parts = []
        for place in settings.places:
            if place == "states":
                parts.append(states)
            elif place == "space":
                x = states
                for layer in [*self.model.question_layers, *self.model.shared_layers]:
                    x = layer(x)
                parts.append(unit(x))
            else:
                there = ops.cast(written[..., None], vectors.dtype)
                count = ops.maximum(ops.sum(there, axis=1), 1.0)
                parts.append(ops.sum(vectors * there, axis=1) / count)
                parts.append(ops.max(ops.where(written[..., None], vectors, -1e9), axis=1))
        x = (ops.concatenate(parts, axis=-1) - self.mean) * self.scale
        # Nothing is written: an average text, as `Classifier` has it.
        x = ops.where(ops.any(written, axis=1, keepdims=True), x, 0.0)
        if training and settings.dropout:
            x = keras.random.dropout(x, settings.dropout, seed=self.seed_generator)
        return self.last(x)

    def in_order(self) -> list[Any]:
        """Return the layers that can be trained, from the first to the last."""
        above = [*self.model.question_layers, *self.model.shared_layers]
        space = above if "space" in self.settings.places else []
        return [self.words, *self.model.pooling_layers, *space, self.last]


class _Step(NamedTuple):
    """A step of a training.

    Attributes:
        name: what is trained.
        layers: these.
        epochs: at most.
        rate: at first.
        runs: of it, whose weights are averaged.
        factor: how much faster the last of the layers learns.
    """

    name: str
    layers: list[Any]
    epochs: int
    rate: float
    runs: int = 1
    factor: float = 1.0


def _steps(network: _Network, strategy: str, settings: FineTuneSettings) -> list[_Step]:
    every = network.in_order()
    if strategy == "new":
        return [_Step("all", every, settings.new_epochs, settings.new_rate)]
    everything = _Step("all", every, settings.epochs, settings.learning_rate, settings.runs)
    if strategy == "full":
        return [everything._replace(factor=settings.last_factor)]
    alone = [
        _Step(layer.name, [layer], settings.layer_epochs, settings.layer_rate)
        for layer in every[:-1]  # the last one was fitted before
    ]
    return [*alone, everything]


def trained(
    encoder: Encoder,
    ids: Sequence[Sequence[int]],
    held: Sequence[Sequence[int]],
    task: Task,
    strategy: str,
    settings: FineTuneSettings,
    seed: int,
    done: list[dict[str, Any]],
    kept: "Kept | None",
) -> tuple[Encoder, Head]:
    """Train the network; return it as an encoder with a last layer, and log steps in ``done``."""
    model, encoder = _begun(encoder, strategy, settings, seed)
    known = np.array([bool(text) for text in ids])
    mean, scale = spreads(encoder, ids, known, settings.places)
    strength = sorted(settings.strengths)[len(settings.strengths) // 2]
    if strategy == "chain-thaw":
        head, strength = fitted(encoder, ids, held, task, settings, mean, scale)
    else:
        classes = len(task.classes)
        head = Head(mean, scale, np.zeros((len(mean), classes), "f4"), np.zeros(classes, "f4"))
    # The words of these texts alone are trained; row 0 of a table is padding.
    rows = sorted({row for text in [*ids, *held] for row in text})
    place = {row: at for at, row in enumerate(rows)}
    at = np.array([0, *(row + 1 for row in rows)])
    vectors = (encoder.table[at] * encoder.scales[at]).astype(np.float32)
    network = _Network(model, vectors, head, settings, seed)
    longest = max(map(len, [*ids, *held]))
    width = longest if encoder.settings["mask"] else encoder.max_tokens
    tokens, held_tokens = (
        pad([[place[row] for row in text] for text in part], width) for part in (ids, held)
    )
    trainer = _Trainer(
        network, task, settings, tokens[known], held_tokens, np.flatnonzero(known), strength
    )
    steps = _steps(network, strategy, settings)
    if kept is not None:
        done += kept.restore(network)
    total = sum(step.epochs * step.runs for step in steps[len(done) :])
    with tqdm(total=total, desc=strategy, unit="epoch", leave=False, disable=None) as bar:
        for step in steps[len(done) :]:
            bar.set_postfix_str(step.name)
            done.append(trainer.make(step, [seed, len(done)], bar.update))
            if kept is not None:
                kept.keep(network, done)
    table, scales = np.array(encoder.table), np.array(encoder.scales)
    table[at[1:]], scales[at[1:]] = quantize(np.asarray(network.words.get_weights()[0])[1:])
    tuned = Encoder(
        encoder.vocabulary, table, scales, question_graph(model).SerializeToString(),
        encoder.settings, encoder.folder,
    )  # fmt: skip
    kernel, bias = network.last.get_weights()
    return tuned, dataclasses.replace(head, kernel=kernel, bias=bias)


def _begun(
    encoder: Encoder, strategy: str, settings: FineTuneSettings, seed: int
) -> tuple[SQAM, Encoder]:
    """Return the Keras model to begin with, and the same as an encoder of the task's length."""
    codes = np.zeros((1, encoder.settings["code_size"]), dtype=np.float32)
    model = restore(encoder.folder, codes)
    kept = Encoder.load(encoder.folder)
    if kept.graph != encoder.graph or not np.array_equal(kept.table, encoder.table):
        raise InputError(
            f"the encoder is not the one at {str(encoder.folder)!r}, which training begins with; "
            "load one that train_sqam wrote, or take the strategy 'last'"
        )
    table, scales, graph = encoder.table, encoder.scales, encoder.graph
    if strategy == "new":
        rng = np.random.default_rng([seed, 1])
        # As Keras begins with word vectors.
        vectors = rng.uniform(-0.05, 0.05, table.shape).astype(np.float32)
        vectors[0] = 0
        table, scales = quantize(vectors)
        model = SQAM(model.settings, vectors[1:], codes, seed)
        graph = question_graph(model).SerializeToString()
    read = settings.tokens if encoder.settings["mask"] else encoder.max_tokens
    shaped = {**encoder.settings, "max_tokens": read}
    return model, Encoder(encoder.vocabulary, table, scales, graph, shaped, encoder.folder)


class _Trainer:
    """Makes steps of a training: each from the weights at hand, to the best that it finds.

    Args:
        network: that is trained.
        task: its labels and validation labels.
        settings: of the training.
        tokens: int32 (n, width), the training texts.
        held: int32 (m, width), the validation texts.
        rows: int (n,), which of the task's texts these are.
        strength: of the last layer.
    """

    def __init__(
        self,
        network: _Network,
        task: Task,
        settings: FineTuneSettings,
        tokens: np.ndarray,
        held: np.ndarray,
        rows: np.ndarray,
        strength: float,
    ) -> None:
        self._network, self._task, self._settings = network, task, settings
        self._tokens, self._held = tokens, held
        # The labels, then how much each of them counts.
        self._targets = np.concatenate([task.correct, task.weights], axis=1)[rows]
        self._batch = min(settings.batch, len(tokens))
        # As `LogisticRegression` weighs its penalty: two logits for two classes halve a kernel.
        penalty = 0.5 / (strength * len(tokens))
        if len(task.classes) == 2 and not task.multi_label:
            penalty *= 2
        classes = len(task.classes)

        def loss(targets: Any, logits: Any) -> Any:
            correct, weights = targets[:, :classes], targets[:, classes:]
            if task.multi_label:
                losses = ops.softplus(logits) - correct * logits
            else:
                losses = -correct * ops.log_softmax(logits, axis=-1)
            kernel = network.last.kernel
            return ops.sum(weights * losses, axis=-1) + penalty * ops.sum(ops.square(kernel))

        self._optimizer = _Adam(clipnorm=1.0, name="adam")
        network.compile(self._optimizer, loss=loss, jit_compile=False)
        self._optimizer.build(network.trainable_variables)
        self._beginning = [ops.convert_to_numpy(value) for value in self._optimizer.variables]

    def make(
        self, step: _Step, seed: Sequence[int], progress: Callable[[int], object]
    ) -> dict[str, Any]:
        """Make a step; return how many epochs it took and what it came to.

        The best weights are those of the epoch with the lowest validation loss, if that is lower
        than before; without validation texts those of the last.
        """
        before = self._weights()
        made, epochs = [], []
        for run in range(step.runs):
            self._set(before)
            epochs.append(self._run(step, [*seed, run], progress))
            made.append(self._weights())
        self._set([np.mean(weights, axis=0) for weights in zip(*made, strict=True)])
        return {"trained": step.name, "epochs": epochs, "loss": self.loss()}

    def _run(
        self, step: _Step, seed: Sequence[int], progress: Callable[[int], object]
    ) -> int:  # fmt: skip
        network, optimizer, batch = self._network, self._optimizer, self._batch
        for variable, value in zip(optimizer.variables, self._beginning, strict=True):
            variable.assign(value)
        factors = {id(v): 1.0 for layer in step.layers for v in layer.trainable_variables}
        factors |= {id(v): step.factor for v in step.layers[-1].trainable_variables}
        for variable, factor in zip(network.trainable_variables, optimizer.factors, strict=True):
            factor.assign(factors.get(id(variable), 0.0))
        rng = np.random.default_rng(seed)
        state = network.seed_generator.state
        state.assign(rng.integers(0, 2**31, size=2).astype(state.dtype))
        n = len(self._tokens)
        steps = step.epochs * -(-n // batch)
        best, best_at, weights = self.loss(), 0, self._weights()
        for epoch in range(step.epochs):
            order = rng.permutation(n)
            # Full batches only, since each shape is compiled: the last one is filled up.
            order = np.concatenate([order, rng.choice(n, size=-n % batch)])
            for at, rows in enumerate(order.reshape(-1, batch), epoch * len(order) // batch):
                optimizer.learning_rate = step.rate * 0.5 * (1 + np.cos(np.pi * at / steps))
                network.train_on_batch(self._tokens[rows], self._targets[rows])
            progress(1)
            loss = self.loss()
            if loss is None or best is None or loss < best:
                best, best_at, weights = loss, epoch + 1, self._weights()
            elif epoch + 1 - best_at >= self._settings.patience:
                progress(step.epochs - epoch - 1)
                break
        self._set(weights)
        return best_at

    def loss(self) -> float | None:
        """Return the validation loss at its best scale; None without validation texts."""
        if not len(self._held):
            return None
        n = len(self._held)
        size = min(n, 256)
        parts = []
        for start in range(0, n, size):
            # One shape, since each is compiled.
            part = np.resize(self._held[start : start + size], (size, self._held.shape[1]))
            parts.append(self._network.predict_on_batch(part)[: n - start])
        logits = np.concatenate(parts)
        return calibrated(logits, self._task.held_correct, self._task.multi_label)[1]

    def _weights(self) -> list[np.ndarray]:
        return [ops.convert_to_numpy(value) for value in self._network.trainable_variables]

    def _set(self, weights: Sequence[np.ndarray]) -> None:
        for variable, value in zip(self._network.trainable_variables, weights, strict=True):
            variable.assign(value)


class Kept:
    """The weights after each step, in a folder; an interrupted call goes on from there."""

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._weights = folder / "log.json", folder / "weights-{}.npz"
        self._run = json.loads(json.dumps(run))
        self._done: list[dict[str, Any]] = []
        if self._log.is_file():
            try:
                saved = json.loads(self._log.read_text(encoding="utf-8"))
                same, self._done = saved["run"] == self._run, saved["steps"]
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{str(self._log)!r} is damaged; remove the folder") from error
            if not same:
                raise InputError(
                    f"{str(folder)!r} holds another training; remove it or name another folder"
                )

    def _path(self, steps: int) -> Path:
        return self._weights.with_name(self._weights.name.format(steps))

    def restore(self, network: _Network) -> list[dict[str, Any]]:
        """Load the weights after the last step that was made; return all that were."""
        if self._done:
            with np.load(self._path(len(self._done)), allow_pickle=False) as saved:
                for at, variable in enumerate(network.trainable_variables):
                    variable.assign(saved[f"arr_{at}"])
        return self._done

    def keep(self, network: _Network, steps: list[dict[str, Any]]) -> None:
        """Write the weights, and then the log that names them."""
        with replacing(self._path(len(steps))) as file:
            np.savez(file, *(ops.convert_to_numpy(v) for v in network.trainable_variables))
        with replacing(self._log, "w") as file:
            json.dump({"run": self._run, "steps": steps}, file, indent=1)
        self._path(len(steps) - 1).unlink(missing_ok=True)
