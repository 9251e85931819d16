"""A tiny model, exported, and small data, that several test modules look at."""

import csv
import gzip
import io
import json
import os

# Tests side by side keep the cores busy already; threads of each would wait for one another's, and
# NumPy and TensorFlow read these when they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(variable, "1")

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError, MissingExtraError
from sqam import compression
from sqam.scorer import Match, Scorer

# How long a call takes is no matter of tests, on a busy machine least of all.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")

WORDS = ["the", "i", "you", "love", "pizza", "happy", "not", "good", "morning", "a"]
NAMES = ["❤️", "⚾", "😄", "😞", "🍴", "🍕"]


class Candidates(list[str]):
    """Names alone, where codes are not asked for."""

    @property
    def names(self):
        return self


CANDIDATES = Candidates(["❤️", "⚾", "😄", "🍴"])


class LengthScorer:
    """Candidate i scores 1 / (1 + |length - i|); a text with "?" has no known word."""

    def __init__(self):
        self.chunks = []

    def rank(self, sentences, candidates, k):
        self.chunks.append(len(sentences))
        return [self._rank(text, candidates, k) for text in sentences]

    def _rank(self, text, candidates, k):
        assert not any("\ud800" <= c <= "\udfff" for c in text)
        if "?" in text:
            return []
        matches = [Match.of(c, 1 / (1 + abs(len(text) - i))) for i, c in enumerate(candidates)]
        return sorted(matches, key=lambda match: -match.score)[:k]

    def best_arrays(self, sentences, candidates, k):
        ranked = self.rank(sentences, candidates, k)
        shape = len(sentences), min(k, len(candidates))
        places, scores = np.zeros(shape, dtype=int), np.zeros(shape, dtype=np.float32)
        for at, row in enumerate(ranked):
            if row:
                places[at] = [candidates.index(one.emoji) for one in row]
                scores[at] = [one.score for one in row]
        return places, scores, np.array([bool(row) for row in ranked], dtype=bool)


def suffixes():
    """The compressions, as parameters of tests that skip what is not installed."""
    return [
        pytest.param(suffix, marks=pytest.mark.skipif(lacks(suffix), reason="needs the extra zstd"))
        for suffix in compression.SUFFIXES
    ]


def lacks(suffix: str) -> bool:
    try:
        compression.check(suffix)
    except MissingExtraError:
        return True
    return False


def packed(data: bytes, suffix: str) -> bytes:
    file = io.BytesIO()
    with compression.opened(file, suffix, "wb") as plain:
        plain.write(data)
    return file.getvalue()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """An untrained SQAM of ten words, six answers and seven tokens, and its exported folder."""
    keras = pytest.importorskip("keras", reason="needs the extra train")
    from sqam.encoder import quantize
    from sqam.export import export
    from sqam.model import SQAM, SQAMSettings

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    settings = SQAMSettings(
        dimensions=6,
        vocabulary=len(WORDS),
        max_tokens=7,
        lstm_units=4,
        question_units=(8,),
        answer_units=(8, 8),
        shared_units=(8,),
        space=5,
    )
    # Vectors that int8 holds exactly, as training uses them.
    table, scales = quantize(rng.standard_normal((len(WORDS), 6)).astype("float32"))
    codes = EmojiCodes(NAMES, rng.standard_normal((len(NAMES), 16)).astype("float32"))
    model = SQAM(settings, table * scales, codes.codes)
    sentences = [" ".join(rng.choice(WORDS, size=rng.integers(1, 12))) for _ in range(1000)]
    folder = tmp_path_factory.mktemp("tiny")
    difference = export(model, WORDS, folder, {"note": "tiny"}, codes, sentences)
    return {
        "model": model,
        "folder": folder,
        "codes": codes,
        "sentences": sentences,
        "difference": difference,
    }


@pytest.fixture
def sqam(capfd, tmp_path, monkeypatch):
    """Run ``sqam`` in an empty folder: arguments -> exit code, standard output, standard error."""
    from sqam.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="session")
def scorer():
    """Return the model that ships."""
    return Scorer.load()


@pytest.fixture(scope="session")
def codes():
    """Return the codes of all emojis."""
    return EmojiCodes.load()


@pytest.fixture(scope="session")
def engine():
    """Return what the service works with: the models that ship."""
    pytest.importorskip("starlette", reason="needs the extra serve")
    from sqam.server.engine import Engine

    return Engine.load()


@pytest.fixture(scope="session")
def quick_engine(engine):
    """Return the same, but that it draws drafts, and imagines without a search."""
    from emoji_vae.codec import Codec
    from sqam.server.calls import IMAGINE
    from sqam.server.engine import Engine

    class Drafting(Codec):
        def draw(self, codes, seed=0, progress=None, steady=False):
            return self.decode(codes)

        def encode(self, pictures):
            return self.first_codes(pictures)

    class Quick(Engine):
        def imagine(self, text, n, seed, progress=None):
            if not self.scorer.known([text])[0]:
                raise InputError("the model knows no word of it")
            return {**IMAGINE.answer, "text": text}

    return Quick(engine.scorer, Drafting.load(threads=1), engine.every)


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *rows])


@pytest.fixture
def data(tmp_path_factory):
    """Return a folder laid out like the data, with a few texts of our own."""
    from pipelines import phrases

    tmp_path = tmp_path_factory.mktemp("data")
    read = phrases.Sources()
    path = tmp_path / read.descriptions
    path.parent.mkdir(parents=True)
    lines = [
        {
            "emoji": "👍🏽",
            "description": "This emoji represents a raised thumb with a medium skin tone, in full "
            "agreement",
            "tags": ["full agreement", "medium skin tone"],
        },
        {"emoji": "?", "description": "no emoji", "tags": ["nothing"]},
    ]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    write_csv(
        tmp_path / read.short_descriptions,
        ["description", "emoji", "relevant"],
        [["Full agreement!", "🤝", "True"]],
    )
    write_csv(
        tmp_path / read.tweets,
        ["text", "emojis", "task", "split"],
        [
            ["what a lovely tuesday this is", "😂 ❤️ 😂", "irony", "train"],
            ["they lost the match again", "😭", "irony", "val"],
            ["They lost the match again", "😂", "irony", "train"],
        ],
    )
    mapping = tmp_path / read.labels
    mapping.parent.mkdir(parents=True, exist_ok=True)
    mapping.write_text("label,emoji-or-name,name\n0,❤,red heart\n", encoding="utf-8")
    for part in ("train", "val"):
        write_csv(
            tmp_path / read.labelled_tweets.format(part),
            ["text", "label"],
            [[f"sunday walk in the {part} \ufe0f  park ", "0"]],
        )
    for at, name in enumerate(read.plain):
        write_csv(tmp_path / name, ["text", "label"], [[f"nothing like rain number {at}", "0"]])
    return tmp_path
