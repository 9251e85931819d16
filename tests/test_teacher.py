"""The teacher: what it is trained towards, what it labels, and what is kept between runs."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from pipelines import glove, phrases, teacher, variations, wordnet
from pipelines.phrases import Phrase
from pipelines.teacher import TeacherSettings, likeliest, target
from pipelines.wordnet import Sense


def test_target_by_hand():
    # A sentence names its emojis best first: 1, 1/2 and 1/3 of a sum of 11/6.
    sentence = target(Phrase("hello", (4, 2, 7), "sentence", "train", 3))
    assert sentence == pytest.approx({4: 6 / 11, 2: 3 / 11, 7: 2 / 11})
    # One is ranked: it has 1, the other two share 1/2.
    word = target(Phrase("hello", (4, 2, 7), "keyword", "train", 1))
    assert word == pytest.approx({4: 2 / 3, 2: 1 / 6, 7: 1 / 6})
    # Elsewhere their order says nothing.
    tweet = target(Phrase("hello", (4, 2, 7), "tweet", "train"))
    assert tweet == pytest.approx({4: 1 / 3, 2: 1 / 3, 7: 1 / 3})
    assert target(Phrase("hello", (5,), "name", "held-out")) == {5: 1.0}


def test_likeliest_keeps_the_best():
    # 0.6 and 0.3 are 2/3 and 1/3 of 0.9. 0.25 twice: the earlier answer is kept, as 1/3 of 0.75.
    found = likeliest(np.array([[0.1, 0.6, 0.3], [0.25, 0.5, 0.25]]), 2)
    assert found.rows.tolist() == [[1, 2], [1, 0]]
    assert found.shares == pytest.approx(np.array([[2 / 3, 1 / 3], [2 / 3, 1 / 3]]), abs=1e-6)
    assert found.rows.dtype == np.int32 and found.shares.dtype == np.float32


def test_likeliest_of_equal_answers():
    # Every other one of a hundred is level with the best: the first of them are kept.
    found = likeliest(np.tile(np.array([0.0, 0.02], np.float32), (1, 50)), 4)
    assert found.rows.tolist() == [[1, 3, 5, 7]]
    assert found.shares == pytest.approx(np.full((1, 4), 0.25))


def test_likeliest_keeps_all_where_there_are_fewer():
    found = likeliest(np.array([[0.1, 0.6, 0.3]]), 24)
    assert found.rows.tolist() == [[1, 2, 0]]
    assert found.shares == pytest.approx(np.array([[0.6, 0.3, 0.1]]), abs=1e-6)


def test_marks_by_hand():
    found = teacher.marks(["labelled tweet", "sentence", "tweet", ""])
    assert found.tolist() == [[0, 1], [0, 0], [1, 0], [0, 0]] and found.dtype == np.float32
    assert teacher.marks([]).shape == (0, 2)


def test_weights_by_hand():
    found = [
        Phrase("a", (0,), "name", "train"),
        Phrase("b", (0, 1), "sentence", "train", 2),
        Phrase("c", (0,), "labelled tweet", "train"),
        Phrase("d", (0,), "tweet", "train"),
    ]
    settings = TeacherSettings(sentences=3.0, labelled_tweets=0.25)
    assert teacher.weights(settings, found).tolist() == [1, 3, 0.25, 1]


def test_unlabelled_leaves_out_what_measures(tmp_path, monkeypatch):
    found = [
        Phrase("Good morning!", (0,), "sentence", "held-out"),
        Phrase("ice cream", (1,), "keyword", "validation"),
        Phrase("pizza", (1,), "keyword", "train"),
    ]
    asked = []

    def texts(cache, words, frequent):
        asked.append((cache, words, frequent))
        return {"words": ["pizza", "river"], "collocations": ["ice cream"],
                "examples": ["good Morning !", "good morning to you"]}  # fmt: skip

    monkeypatch.setattr(wordnet, "texts", texts)
    words = glove.Glove(["the", "of", "pizza", "river"], np.zeros((4, 2), np.float32))
    settings = TeacherSettings(words=3, collocations=1)
    # The same words otherwise written are the same text; one of training is labelled as well.
    assert teacher.unlabelled(settings, words, found, tmp_path) == [
        "pizza", "river", "good morning to you",
    ]  # fmt: skip
    assert asked == [(tmp_path, {"the", "of", "pizza"}, {"the"})]
    plain = ["GOOD morning!", "off to bed"]
    assert teacher.unlabelled(settings, words, found, tmp_path, plain, ["River."]) == [
        "pizza", "good morning to you", "off to bed",
    ]  # fmt: skip


N_ANSWERS = 12
SMALL = TeacherSettings(answers=5, defined=0.0)
PHRASES = [
    Phrase("cat", (3,), "name", "train"),
    Phrase("dog", (2, 1), "tweet", "validation"),
    Phrase("cow", (4,), "name", "validation"),
    Phrase("owl", (9,), "name", "validation"),
]


def test_labels_are_made_once_and_kept(tmp_path, monkeypatch):
    asked = []

    def labelled(settings, found, texts, kinds, n_answers, cache, work):
        asked.append((settings, list(texts), list(kinds), n_answers))
        work.mkdir(exist_ok=True)
        # The n-th text's likeliest answer is n, then n + 1, ...
        shares = np.array([np.roll(np.arange(12, 0, -1), n) for n in range(len(texts))], float)
        return likeliest(shares, settings.answers)

    monkeypatch.setattr(teacher, "_labelled", labelled)
    work = tmp_path / "teacher"

    def labels(settings=SMALL, found=PHRASES, more=("a", "b"), tweets=("b",)):
        return teacher.labels(settings, found, more, N_ANSWERS, tmp_path, work, tweets)

    said, figures = labels()
    kinds = ["name", "tweet", "name", "name", "", "tweet"]
    assert asked == [(SMALL, ["cat", "dog", "cow", "owl", "a", "b"], kinds, 12)]
    assert said.rows[:, 0].tolist() == [0, 1, 2, 3, 4, 5] and said.rows.shape == (6, 5)
    # Of the five that are kept, "dog" has 1 to 5 and "cow" 2 to 6, "owl" 3 to 7 and not 9.
    assert figures == {"name": 0.5, "tweet": 1.0}
    again, _ = labels()
    np.testing.assert_array_equal(again.rows, said.rows)
    np.testing.assert_array_equal(again.shares, said.shares)
    assert len(asked) == 1
    # Other settings, phrases, texts or tweets are labelled anew.
    labels(dataclasses.replace(SMALL, seed=1))
    labels(found=PHRASES[:3])
    labels(more=("a",))
    labels(tweets=("a", "b"))
    assert len(asked) == 5
    assert len(list(work.iterdir())) == 5


def test_definitions_of_what_wordnet_has(tmp_path, monkeypatch):
    senses = {
        "cat": [Sense("cat: feline", 0.75), Sense("cat: whip", 0.25)],
        "ice cream": [Sense("cold", 1.0)],
    }
    asked = []

    def told(*arguments):
        asked.append(arguments)
        return senses

    monkeypatch.setattr(wordnet, "senses", told)
    read = teacher.definitions(["Ice cream", "a cat", "CAT", "dog"], tmp_path, 2)
    assert read.texts == ["cold", "cat: feline", "cat: whip"] and asked == [(tmp_path, 2)]
    assert read.rows.tolist() == [0, 2, 2] and read.shares.tolist() == [1.0, 0.75, 0.25]
    none = teacher.definitions(["a cat"], tmp_path, 2)
    assert none.texts == [] and none.rows.shape == none.shares.shape == (0,)


def test_labels_with_definitions_by_hand(tmp_path, monkeypatch):
    said = {"cat": (3, 1), "dog": (2, 0), "cow": (4, 0), "owl": (9, 0), "a": (7, 8),
            "cat: feline": (3, 5), "cat: whip": (6, 0)}  # fmt: skip
    asked = []

    def labelled(settings, found, texts, kinds, n_answers, cache, work):
        asked.append((settings.defined, list(texts), list(kinds)))
        work.mkdir(exist_ok=True)
        rows = np.array([said[text] for text in texts], np.int32)
        return teacher.Labels(rows, np.tile(np.array([0.75, 0.25], np.float32), (len(rows), 1)))

    monkeypatch.setattr(teacher, "_labelled", labelled)
    monkeypatch.setattr(teacher, "_TOGETHER", 1)  # a text at a time
    senses = {
        "cat": [Sense("cat: feline", 0.75), Sense("cat: whip", 0.25)],
        "owl": [Sense("cat: whip", 1.0)],
    }
    monkeypatch.setattr(wordnet, "senses", lambda *arguments: senses)
    settings = TeacherSettings(answers=2, defined=0.4)
    found, _ = teacher.labels(settings, PHRASES, ["a"], N_ANSWERS, tmp_path, tmp_path / "work")
    texts = ["cat", "dog", "cow", "owl", "a"]
    kinds = ["name", "tweet", "name", "name", ""]
    # The definitions are asked for as what the word is: a name each.
    more = ["cat: feline", "cat: whip", "cat: whip"]
    assert asked == [(0.0, texts, kinds), (0.4, more, ["name"] * 3)]
    # The cat: 3 has 0.6 * 0.75 + 0.4 * 0.75 * 0.75 = 0.675, 1 has 0.15, 6 0.4 * 0.25 * 0.75 = 0.075
    # and 5 as much. The owl: 9 has 0.45, 6 has 0.3 and 0 0.15 + 0.1. The best two are kept.
    assert found.rows.tolist() == [[3, 1], [2, 0], [4, 0], [9, 6], [7, 8]]
    assert found.shares[[0, 3]] == pytest.approx(
        np.array([[0.675 / 0.825, 0.15 / 0.825], [0.6, 0.4]])
    )
    assert found.shares[[1, 2, 4]] == pytest.approx(np.tile([0.75, 0.25], (3, 1)))
    again, _ = teacher.labels(settings, PHRASES, ["a"], N_ANSWERS, tmp_path, tmp_path / "work")
    np.testing.assert_array_equal(again.rows, found.rows)
    assert len(asked) == 2
    # Where WordNet has none of the texts, they are labelled alone.
    monkeypatch.setattr(wordnet, "senses", lambda *arguments: {})
    alone, _ = teacher.labels(settings, PHRASES, ["a"], N_ANSWERS, tmp_path, tmp_path / "other")
    assert alone.rows.tolist() == [list(said[text]) for text in texts]


def test_labels_want_a_process_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    with pytest.raises(InputError, match=r"these 5 texts yet; run first: python -m pipelines\.t"):
        teacher.labels(SMALL, PHRASES, ["a"], N_ANSWERS, tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())


TUNED = """
import dataclasses, json, sys
from pathlib import Path
import numpy as np
from transformers import BertConfig, BertModel, BertTokenizerFast

from pipelines import minilm, sentence_encoder, teacher, wordnet
from pipelines.phrases import Phrase

work = Path(sys.argv[1])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", *(f"w{n}" for n in range(40))]
pretrained = work / "pretrained"
pretrained.mkdir()
(pretrained / "vocab.txt").write_text("\\n".join(words))
BertTokenizerFast(str(pretrained / "vocab.txt")).save_pretrained(pretrained)
import torch
torch.manual_seed(0)
BertModel(BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1,
                     num_attention_heads=2, intermediate_size=32)).save_pretrained(pretrained)
fetched = []

def fetch(cache):
    fetched.append(cache)
    return sentence_encoder.Pretrained(pretrained)

def as_it_is(texts, cache, folder):
    ready = sentence_encoder.Pretrained(pretrained)
    model = sentence_encoder.Classifier(ready.network, 16, 0, 1, teacher.TeacherSettings(units=1))
    every = sentence_encoder.Texts(ready.ids(texts, 48), np.zeros((len(texts), 0), np.float32))
    with torch.no_grad():
        ids, mask, _ = every.of(np.arange(len(texts)))
        return model.vectors(ids, mask).numpy()

sentence_encoder.Pretrained.fetch = fetch
minilm.encode = as_it_is
# A cat is 3, in tweets 5 and in those of the 20-class task 8; a dog is 1. The other words say
# nothing.
rows = {("cat", "name"): 3, ("cat", "tweet"): 5, ("cat", "labelled tweet"): 8, ("dog", "name"): 1}
found = [
    Phrase(f"{animal} w{n} w{(7 * n) % 40}", (row,), kind, "train" if n < 30 else "validation")
    for (animal, kind), row in rows.items() for n in range(40)
]
more = ["w1 cat", "dog w2 w3", "cat w4 w5 w6"]
settings = teacher.TeacherSettings(
    units=32, epochs=8, together=8, batch=16, together_batch=8, learning_rate=0.01,
    encoder_rate=0.003, network_rate=0.003, dropout=0.0, answers=4, labelled_tweets=0.5,
    defined=0.0,
)
said, figures = teacher.labels(settings, found, more, 12, work, work / "new", {"w1 cat"})
once = len(fetched)
teacher.labels(settings, found, more, 12, work, work / "new", {"w1 cat"})
kept = len(fetched)
# Further texts are labelled by the network that is kept.
other, _ = teacher.labels(settings, found, [*more, "cat"], 12, work, work / "new", {"w1 cat"})
# Words are read by it too, and what it has of them is kept.
asked = settings, found, ["cat", "dog", "w1"], 12, work, work / "new"
vectors, hidden = teacher.word_vectors(*asked)
# "w1" is partly what its definitions are.
wordnet.senses = lambda cache, most: {"w1": [wordnet.Sense("w2", 0.75), wordnet.Sense("cat", 0.25)]}
partly = dataclasses.replace(settings, defined=0.5)
meant, _ = teacher.word_vectors(partly, *asked[1:])
apart, _ = teacher.word_vectors(settings, asked[1], ["w2", "cat"], *asked[3:])
expected = 0.5 * vectors[2] + 0.375 * apart[0] + 0.125 * apart[1]
sys.modules["tensorflow"] = None
again = teacher.word_vectors(*asked)
print(json.dumps({
    "lengths": np.linalg.norm(vectors, axis=1).tolist(), "shapes": [vectors.shape, hidden.shape],
    "apart": float(np.abs(meant[2] - expected).max()), "far": float(np.abs(meant - vectors).max()),
    "others": bool((meant[:2] == vectors[:2]).all()),
    "hidden": float(hidden.min()), "again": bool((again[0] == vectors).all()),
    "rows": said.rows[:, 0].tolist(), "figures": figures, "fetched": [once, kept, len(fetched)],
    "same": bool(np.allclose(other.shares[:-1], said.shares, atol=0.02)),
    "files": sorted(path.name.split("-")[0] for path in (work / "new").iterdir()),
}))
"""


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")),
    reason="needs the extra teacher",
)
def test_an_encoder_is_tuned_and_labels(tmp_path):
    # In a process of its own: PyTorch after TensorFlow would end this one.
    done = subprocess.run(
        [sys.executable, "-c", TUNED, str(tmp_path)],
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = [row for row in (3, 5, 8, 1) for _ in range(40)]
    right = np.mean(np.array(found["rows"][:160]) == expected)
    assert right > 0.9  # one in four would be by chance
    # A text is a tweet if it is said to be one, whatever it says.
    assert found["rows"][160:] == [5, 1, 3]
    assert found["figures"] == {"name": 1.0, "tweet": 1.0, "labelled tweet": 1.0}
    assert found["fetched"] == [1, 1, 5] and found["same"]
    assert found["files"] == ["encoder", "labels", "labels", "words", "words", "words"]
    assert found["others"] and found["apart"] < 0.01 < found["far"]
    assert found["shapes"] == [[3, 16], [3, 32]] and found["again"]
    assert found["lengths"] == pytest.approx([1, 1, 1], abs=0.01) and found["hidden"] >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"units": 0},
        {"epochs": -1},
        {"together": -1},
        {"together_batch": 0},
        {"tokens": 2},
        {"batch": 0},
        {"answers": 0},
        {"senses": 0},
        {"defined": -0.1},
        {"defined": 1.5},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"encoder_rate": 0.0},
        {"network_rate": -1.0},
        {"dropout": 1.0},
        {"dropout": -0.1},
    ],
    ids=str,
)
def test_settings_that_cannot_be(changes):
    with pytest.raises(InputError, match="must be"):
        TeacherSettings(**changes)


def test_a_missing_folder_is_one_line_and_exit_code_2(tmp_path, capsys):
    nowhere, output = tmp_path / "nowhere", tmp_path / "output"
    assert teacher.main(["--data", str(nowhere), "--output", str(output)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert said.err.startswith("python -m pipelines.teacher: error: ")
    assert str(nowhere) in said.err and not output.exists()


def test_the_command_labels_every_text(data, tmp_path, monkeypatch, capsys):
    words = glove.Glove(["river"], np.zeros((1, 2), np.float32))
    monkeypatch.setattr(glove, "load", lambda source, cache: words)
    found = phrases.gather(catalogue(), data)
    held_out = next(p.text for p in found if p.split == "held-out" and p.kind == "name")
    monkeypatch.setattr(wordnet, "texts", lambda *arguments: {
        "words": ["river"], "examples": [held_out, "nobody says this of a river"],
    })  # fmt: skip
    asked = []

    def labels(*arguments):
        asked.append(arguments)
        return None, {"name": 0.25}

    monkeypatch.setattr(teacher, "labels", labels)
    monkeypatch.setattr(teacher, "word_vectors", lambda *arguments: words_read.append(arguments))
    monkeypatch.setattr(wordnet, "words", lambda cache: frozenset(["river"]))
    words_read: list[tuple] = []
    output = tmp_path / "teacher"
    monkeypatch.setattr(variations, "pieces", lambda *arguments: [])
    monkeypatch.setattr(variations, "varied", lambda *arguments: [])
    assert teacher.main(["--data", str(data), "--output", str(output)]) == 0
    ((settings, known, more, n_answers, _, work, tweets),) = asked
    assert settings == TeacherSettings() and known == found and work == output
    plain = phrases.plain(data)
    assert more == ["river", "nobody says this of a river", *plain] and tweets == set(plain)
    assert n_answers == len(catalogue())
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{len(found)} phrases and {len(more)} texts without emojis labelled"
    assert said[1] == "1 words read" and words_read[0][2] == ["river"]
    assert said[2].split() == ["name", "validation", "hit@10", "25.0%"]
    # Emojis of Unicode 14 and later are not there.
    assert teacher.main(["--data", str(data), "--before", "14"]) == 0
    kept = sum(float(entry.version) < 14 for entry in catalogue())
    assert asked[1][3] == kept < n_answers and len(asked[1][1]) < len(found)
