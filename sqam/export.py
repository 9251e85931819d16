"""The trained Keras model -> small ONNX graphs for the light runtime.

A bi-LSTM becomes one native LSTM operator. Keras's own export makes two Loops of it, which take
three times as long on one sentence.
"""

import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.files import replacing
from sqam.encoder import FORMAT, quantize
from sqam.scorer import Scorer
from sqam.text import Vocabulary, pad

if TYPE_CHECKING:
    from sqam.model import SQAM

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("ONNX", "train") from error

TOLERANCE = 1e-4
"""Largest difference from Keras, in a unit vector's components, with which a model is exported."""

WORD_STEPS = 7
"""On either side of 0 that tuned word vectors keep of 127, if they are to pack small."""
MANTISSA = 3
"""Bits that the networks' numbers keep then, of the ten of half precision.

They pack to half as much, and the history keeps every model that ships."""


class _Graph:
    """Nodes and constants of a graph under construction; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def matrix(self, value: np.ndarray) -> str:
        """Keep a matrix in half precision, which ``halve`` gave it; it is computed with in full.

        The runtime casts it once, when it opens the graph.
        """
        return self.add("Cast", self.constant(value.astype(np.float16)), to=TensorProto.FLOAT)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"{operator}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0]

    def dense(self, x: str, layers: Sequence[Any]) -> str:
        for layer in layers:
            kernel, bias = layer.get_weights()
            x = self.add("Gemm", x, self.matrix(kernel), self.constant(bias))
            x = self.add({"relu": "Relu", "tanh": "Tanh"}[layer.activation.__name__], x)
        return x

    def unit(self, x: str) -> str:
        norm = self.add("ReduceL2", x, axes=[-1], keepdims=1)
        return self.add("Div", x, self.add("Max", norm, self.constant(np.float32(1e-9))))

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: dict[str, tuple[str, int | str]]
    ) -> onnx.ModelProto:
        """Return the graph. Outputs: name -> the value and how wide it is, a row a text."""
        for name, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        results = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
            for name, (_, width) in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "sqam", inputs, results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def _gates(kernel: np.ndarray) -> np.ndarray:
    """Keras keeps the gates as input, forget, cell, output; ONNX as input, output, forget, cell."""
    i, f, c, o = np.split(kernel, 4, axis=-1)
    return np.concatenate([i, o, f, c], axis=-1)


def halve(model: "SQAM", packs_small: bool = False) -> None:
    """Round a model so that storing it loses nothing more.

    The networks' matrices are rounded to half precision, the word vectors, where they were tuned,
    to what ``quantize`` makes of them.

    Args:
        model: is changed.
        packs_small: keep ``MANTISSA`` bits and ``WORD_STEPS`` alone.
    """
    for variable in model.trainable_variables:
        value = np.asarray(variable)
        if variable is model.embedding.embeddings:
            table, scales = _few_steps(value) if packs_small else quantize(value)
            variable.assign(table * scales)
        elif value.ndim >= 2:
            kept = _rounded(value) if packs_small else value.astype(np.float16)
            variable.assign(kept.astype(np.float32))


def _few_steps(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize with ``WORD_STEPS`` of half precision; what was so quantized stays as it is."""
    table, scales = quantize(vectors, WORD_STEPS)
    return table, scales.astype(np.float16).astype(np.float32)


def _stored(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize word vectors: with ``WORD_STEPS`` a row that loses nothing by it, else with 127."""
    few, all_steps = _few_steps(vectors), quantize(vectors)
    same = np.isclose(few[0] * few[1], vectors, rtol=1e-5, atol=0).all(axis=1, keepdims=True)
    return np.where(same, few[0], all_steps[0]), np.where(same, few[1], all_steps[1])


def _rounded(values: np.ndarray) -> np.ndarray:
    """Round to half precision with ``MANTISSA`` bits; what was rounded stays as it is."""
    fraction, exponent = np.frexp(values.astype(np.float32))
    # A fraction is from 1/2 to below 1: its first bit is not stored.
    kept = np.ldexp(np.rint(np.ldexp(fraction, MANTISSA + 1)), exponent - MANTISSA - 1)
    return kept.astype(np.float16)


def question_graph(model: "SQAM") -> onnx.ModelProto:
    """Build the question tower: word vectors (tokens, n, dimensions), lengths (n,) -> (n, space).

    Time comes first, as the LSTM operator wants it. Steps at and beyond a sentence's length do not
    count. Beside the unit vectors it gives what ``SQAM.pooled`` does, for those who ask: "features"
    (n, width) and, where there is attention, "attention" (n, tokens).

    Raises:
        InputError: the model has convolutions, or attention over windows.
    """
    settings, graph = model.settings, _Graph()
    pooled, shares, width = _pooled(model, graph)
    x = graph.unit(graph.dense(pooled, [*model.question_layers, *model.shared_layers]))
    outputs: dict[str, tuple[str, int | str]] = {
        "unit_vectors": (x, settings.space),
        "features": (pooled, width),
    }
    if shares is not None:
        outputs["attention"] = (shares, "t")
    return graph.model(_text_inputs(settings.dimensions), outputs)


def _text_inputs(dimensions: int) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["t", "n", dimensions]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["n"]),
    ]


def _pooled(model: "SQAM", graph: _Graph) -> tuple[str, str | None, int]:
    """Add ``SQAM.pooled``; return the features, the attention's weights and the features' width."""
    settings = model.settings
    if settings.convolutions or (settings.attention and settings.pool == "windows"):
        raise InputError(
            "this export knows bi-LSTMs alone, without convolutions, and attention with "
            "pool='max' or 'attention' alone"
        )
    width = 2 * settings.lstm_units
    vectors = graph.add("Tanh", "vectors") if settings.embedding_tanh else "vectors"
    reads = vectors  # (tokens, n, ...), as the operator wants it
    below = [(vectors, settings.dimensions)]
    for lstm in model.lstms[:-1]:
        states = graph.add("Transpose", _states(lstm, graph, reads), perm=[0, 2, 1, 3])
        reads = graph.add("Reshape", states, graph.constant(np.array([0, 0, width])))
        below.insert(0, (reads, width))
    states = _states(model.lstms[-1], graph, reads)
    x = graph.add("Transpose", states, perm=[2, 0, 1, 3])  # (n, tokens, 2, units)
    if settings.pool == "windows":
        windows = settings.max_tokens // 10
        bounds = [graph.constant(np.array([value])) for value in (0, windows * 10, 1)]
        x = graph.add("Slice", x, *bounds)
        x = graph.add("Reshape", x, graph.constant(np.array([-1, windows, 10, width])))
        x = graph.add("ReduceMax", x, axes=[2], keepdims=0)
        x = graph.add("Reshape", x, graph.constant(np.array([-1, windows * width])))
        return x, None, windows * width
    x = graph.add("Reshape", x, graph.constant(np.array([0, 0, width])))
    tokens = graph.add("Gather", graph.add("Shape", "vectors"), graph.constant(np.int64(0)), axis=0)
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    steps = graph.add("Range", zero, tokens, one)
    axis = graph.constant(np.array([1]))
    lengths = graph.add("Unsqueeze", graph.add("Cast", "lengths", to=TensorProto.INT64), axis)
    written = graph.add("Less", steps, lengths)
    last = graph.constant(np.array([2]))
    written = graph.add("Unsqueeze", written, last)
    far = graph.constant(np.float32(-1e9))
    pooled, widths = [], []
    if settings.pool == "max":
        largest = graph.add("Where", written, x, far)
        pooled = [graph.add("ReduceMax", largest, axes=[1], keepdims=0)]
        widths = [width]
    if model.attention is None:
        return pooled[0], None, width
    if settings.attend == "all":
        parts = [graph.add("Transpose", part, perm=[1, 0, 2]) for part, _ in below]
        x = graph.add("Concat", x, *parts, axis=-1)
        width += sum(size for _, size in below)
    shares = graph.add("MatMul", x, graph.matrix(model.attention.get_weights()[0]))
    shares = graph.add("Softmax", graph.add("Where", written, shares, far), axis=1)
    # Beyond a sentence's end the shares are 0, so nothing there adds to the mean.
    axis = graph.constant(np.array([1]))
    pooled.append(graph.add("ReduceSum", graph.add("Mul", shares, x), axis, keepdims=0))
    widths.append(width)
    features = graph.add("Concat", *pooled, axis=-1) if len(pooled) > 1 else pooled[0]
    return features, graph.add("Squeeze", shares, last), sum(widths)


def _states(lstm: Any, graph: _Graph, reads: str) -> str:
    """Add a bi-LSTM over values (tokens, n, ...); return its states (tokens, 2, n, units)."""
    directions = [layer.get_weights() for layer in (lstm.forward_layer, lstm.backward_layer)]
    weights = np.stack([_gates(kernel).T for kernel, _, _ in directions])
    recurrent = np.stack([_gates(kernel).T for _, kernel, _ in directions])
    # ONNX adds a bias at the input and one at the state; Keras has one.
    biases = np.stack([_gates(bias) for _, _, bias in directions])
    biases = np.concatenate([biases, np.zeros_like(biases)], axis=1)
    return graph.add(
        "LSTM", reads, graph.matrix(weights), graph.matrix(recurrent), graph.constant(biases),
        "lengths", hidden_size=recurrent.shape[-1], direction="bidirectional",
    )  # fmt: skip


def answer_graph(model: "SQAM") -> onnx.ModelProto:
    """Build the answer tower: codes (n, code_size) -> (n, space)."""
    settings, graph = model.settings, _Graph()
    x = graph.add("Sub", "codes", graph.constant(np.asarray(model.code_mean)))
    x = graph.add("Div", x, graph.constant(np.asarray(model.code_spread)))
    x = graph.unit(graph.dense(x, [*model.answer_layers, *model.shared_layers]))
    inputs = [helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["n", settings.code_size])]
    return graph.model(inputs, {"unit_vectors": (x, settings.space)})


def export(
    model: "SQAM",
    words: Sequence[str] | Vocabulary,
    folder: Path,
    config: dict[str, Any],
    codes: EmojiCodes,
    sentences: Sequence[str],
    packs_small: bool = False,
) -> float:
    """Write the model that ``Scorer`` loads, if it answers as Keras does.

    Args:
        model: trained; it is rounded by ``halve``. Word vectors that were not tuned must be
            ``quantize``'s own with its default, so that nothing is lost.
        words: the vocabulary, in the order of the word vectors; how a `Vocabulary` reads texts is
            kept with the model.
        folder: is made; existing files are replaced once the new ones have passed.
        config: goes into ``config.json`` beside the settings.
        codes: answers to compare by.
        sentences: at least 1,000 to compare by.
        packs_small: see ``halve``.

    Returns:
        The largest difference from Keras in any component of a question's or an answer's vector.

    Raises:
        InputError: a difference above ``TOLERANCE``, or fewer than 1,000 sentences.
    """
    if len(sentences) < 1000:
        raise InputError(f"export compares on at least 1,000 sentences, not {len(sentences)}")
    vocabulary = words if isinstance(words, Vocabulary) else Vocabulary(words)
    halve(model, packs_small)
    table, scales = _stored(np.asarray(model.embedding.get_weights()[0]))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
        new = Path(temporary)
        np.save(new / "embedding.npy", table)
        np.save(new / "scales.npy", scales)
        (new / "vocabulary.txt").write_text(
            "".join(f"{word}\n" for word in vocabulary.words), "utf-8"
        )
        (new / "question.onnx").write_bytes(question_graph(model).SerializeToString())
        (new / "answer.onnx").write_bytes(answer_graph(model).SerializeToString())
        saved = {"format": FORMAT, "settings": vars(model.settings)}
        saved |= {**vocabulary.reading(), **config}
        (new / "config.json").write_text(
            json.dumps(saved, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )
        difference = _difference(model, Scorer.load(new), codes, sentences)
        if not difference <= TOLERANCE:
            raise InputError(
                f"the exported model differs from Keras by {difference:.2g}, more than "
                f"{TOLERANCE}; nothing was written to {str(folder)!r}"
            )
        for file in sorted(new.iterdir()):
            os.replace(file, folder / file.name)
    return difference


def compact(folder: Path, output: Path) -> None:
    """Write an exported model anew with the question network in int8: smaller, and quicker to run.

    The matrices of its LSTMs and of its dense layers are quantized column by column, what goes into
    them as it comes (ONNX Runtime's dynamic quantization). The steps of the latter are those of the
    whole batch, so a sentence's cosines come to depend a little on the sentences beside it; that is
    why no such model ships. A compact model stays as it is.

    Args:
        folder: what ``export`` wrote.
        output: is made; it may be the folder itself. The configuration is replaced last.

    Raises:
        InputError: the folder holds no model of ours or a damaged one.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    Scorer.load(folder)  # checks the files against each other
    network = onnx.load(folder / "question.onnx")
    with tempfile.TemporaryDirectory() as temporary:
        whole, small = Path(temporary, "whole.onnx"), Path(temporary, "small.onnx")
        if any(node.op_type == "LSTM" for node in network.graph.node):
            _unfold(network.graph)
            onnx.save(network, whole)
            # The one product that is no layer is the attention's, of a single column.
            apart = [node.name for node in network.graph.node if node.op_type == "MatMul"]
            logging.disable(logging.WARNING)  # it advises to prepare what needs no preparing
            try:
                quantize_dynamic(
                    whole, small, op_types_to_quantize=["LSTM", "MatMul"], per_channel=True,
                    weight_type=QuantType.QInt8, nodes_to_exclude=apart,
                )  # fmt: skip
            finally:
                logging.disable(logging.NOTSET)
        else:
            onnx.save(network, small)
        output.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.iterdir(), key=lambda file: file.suffix == ".json"):
            source = small if file.name == "question.onnx" else file
            content = source.read_bytes()
            with replacing(output / file.name) as copy:
                copy.write(content)


def _unfold(graph: onnx.GraphProto) -> None:
    """Turn constants in half precision and the casts behind them into constants in full."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for number, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
        if node.op_type == "Cast" and node.input[0] in constants:
            half = constants[node.input[0]]
            value = numpy_helper.to_array(half).astype(np.float32)
            graph.initializer.remove(half)
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def restore(folder: Path, codes: np.ndarray, **changes: Any) -> "SQAM":
    """Build the Keras model of an exported one, to train it further.

    Args:
        folder: what ``export`` wrote.
        codes: float32 (n, code_size), the answers to train with. How the answer tower scales codes
            is kept as it was trained.
        changes: to its settings, of those that say how to train: ``margin``, ``learning_rate``, ...

    Raises:
        InputError: the folder holds no model of ours, a damaged one, the codes do not fit it, or
            a change that does not exist or makes another network.
    """
    from sqam.model import SQAM, SQAMSettings

    Scorer.load(folder)  # checks the files against each other
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    vectors = np.load(folder / "embedding.npy", allow_pickle=False)
    vectors = (vectors * np.load(folder / "scales.npy", allow_pickle=False)).astype(np.float32)
    settings = SQAMSettings.from_dict({**config["settings"], **changes})
    model = SQAM(settings, vectors[1:], np.asarray(codes, dtype=np.float32))
    # Row 0 is padding, which a training that tunes the vectors may move.
    model.embedding.set_weights([vectors])
    try:
        question = network_constants(folder / "question.onnx")
        answer = network_constants(folder / "answer.onnx")
        for lstm, parts in zip(model.lstms, question["LSTM"], strict=True):
            for at, layer in enumerate((lstm.forward_layer, lstm.backward_layer)):
                kernel, recurrent, bias = (_keras_gates(part[at].T) for part in parts)
                layer.set_weights([kernel, recurrent, bias])
        for layers, dense in (
            ([*model.question_layers, *model.shared_layers], question["Gemm"]),
            ([*model.answer_layers, *model.shared_layers], answer["Gemm"]),
        ):
            for layer, weights in zip(layers, dense, strict=True):
                layer.set_weights(weights)
        if model.attention is not None:
            model.attention.set_weights(question["MatMul"][0])
        model.code_mean.assign(answer["Sub"][0][0])
        model.code_spread.assign(answer["Div"][0][0])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{str(folder)!r} holds networks of another form than its settings ({error}); train "
            "the model again"
        ) from error
    return model


def network_constants(path: Path) -> dict[str, list[list[np.ndarray]]]:
    """Return the constant inputs of a graph's nodes, by operator, in the order of the nodes.

    Those of quantized operators come as floats, under the names of what they were before.
    """
    graph = onnx.load(path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: dict[str, list[list[np.ndarray]]] = {}

    def floats(name: str) -> np.ndarray:
        name = name.removesuffix("_quantized")
        scale = constants[f"{name}_scale"]
        value = constants[f"{name}_quantized"].astype(np.float32)
        value -= constants[f"{name}_zero_point"].astype(np.float32)[..., np.newaxis, :]
        return np.asarray(value * scale[..., np.newaxis, :], dtype=np.float32)

    for node in graph.node:
        values = [constants[name] for name in node.input if name in constants]
        if node.op_type == "Cast" and values:
            constants[node.output[0]] = values[0].astype(np.float32)
        if node.op_type == "DynamicQuantizeLSTM":
            # They were transposed on the way, too.
            matrices = [floats(name).transpose(0, 2, 1) for name in node.input[1:3]]
            found.setdefault("LSTM", []).append([*matrices, constants[node.input[3]]])
        elif node.op_type == "MatMulInteger":
            found.setdefault("Gemm", []).append([floats(node.input[1])])
        elif node.op_type == "Add" and values:
            found["Gemm"][-1].append(values[0])
        else:
            found.setdefault(node.op_type, []).append(values)
    return found


def _keras_gates(kernel: np.ndarray) -> np.ndarray:
    """Undo ``_gates``; of a bias (8 * units,) leave out the half that Keras does not have."""
    if kernel.ndim == 1:
        kernel = kernel[: len(kernel) // 2]
    i, o, f, c = np.split(kernel, 4, axis=-1)
    return np.concatenate([i, f, c, o], axis=-1)


def _difference(
    model: "SQAM", scorer: Scorer, codes: EmojiCodes, sentences: Sequence[str]
) -> float:
    vocabulary: Vocabulary = scorer.vocabulary
    ids = [vocabulary.ids(text, model.settings.max_tokens) for text in sentences]
    # Keras cannot tell a sentence without words from padding; the scorer has its own rule for it.
    kept = [i for i, row in enumerate(ids) if row]
    padded = pad([ids[i] for i in kept], model.settings.max_tokens)
    keras_questions = np.concatenate(
        [model.question_vectors(padded[at : at + 256]) for at in range(0, len(padded), 256)]
    )
    questions = scorer.questions([sentences[i] for i in kept])
    answers = model.answer_vectors(codes.codes)
    return float(
        max(
            np.abs(keras_questions - questions).max(), np.abs(answers - scorer.answers(codes)).max()
        )
    )
