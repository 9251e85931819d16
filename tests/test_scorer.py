"""The one scoring path: shapes, ranges, ties, bad input, and the model that ships."""

import gc
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from sqam.scorer import Match, Scorer, top

FIVE = ["❤️", "⚾", "😄", "😞", "🍴"]


def test_score_is_the_cosine_of_both_towers(scorer, codes):
    sentences, candidates = ["good morning", "I adore you"], codes.select(FIVE)
    found = scorer.score(sentences, candidates)
    assert found.shape == (2, 5) and found.dtype == np.float32
    questions, answers = scorer.questions(sentences), scorer.answers(candidates)
    for vectors in (questions, answers):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    by_hand = [[sum(q * a for q, a in zip(x, y, strict=True)) for y in answers] for x in questions]
    assert found == pytest.approx(np.array(by_hand), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_any_text_scores_in_range(scorer, codes, sentences):
    candidates = codes.select(FIVE)
    found = scorer.score(sentences, candidates)
    assert found.shape == (len(sentences), 5) and (np.abs(found) <= 1).all()
    for row, known in zip(found, scorer.known(sentences), strict=True):
        assert known or not row.any()


def test_a_sentence_scores_alike_alone_and_among_others(scorer, codes):
    candidates = codes.select(FIVE)
    others = ["a", "what a very long sentence about the weather in the north", "so " * 60, "", "ok"]
    alone = scorer.score(["good morning"], candidates)[0]
    together = scorer.score([*others, "good morning"], candidates)[-1]
    assert alone == pytest.approx(together, abs=1e-5)


def test_rank_is_a_stable_sort_of_score_and_classify_its_argmax(scorer, codes):
    sentences = ["happy birthday", "it rains"]
    scores = scorer.score(sentences, codes)
    for sentence, row, ranked in zip(
        sentences, scores, scorer.rank(sentences, codes, k=50), strict=True
    ):
        order = sorted(range(len(row)), key=lambda i: -row[i])[:50]  # Python's sort is stable
        assert [match.emoji for match in ranked] == [codes.names[i] for i in order]
        assert scorer.classify([sentence], codes) == [ranked[0].emoji]


def test_same_codes_tie_and_keep_their_order(scorer, codes):
    one = codes.select(["🍴"]).codes[0]
    twice = EmojiCodes(["b.png", "a.png", "c.png"], np.stack([one, one, one]))
    ranked = scorer.rank(["dinner is ready"], twice)[0]
    assert [match.emoji for match in ranked] == ["b.png", "a.png", "c.png"]
    assert len({match.score for match in ranked}) == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 400), st.integers(1, 40))
def test_top_is_what_a_stable_sort_puts_first(seed, n, m, k):
    # Few values, so that many tie: with the k-th, and across the pieces.
    values = np.array([-0.5, 0.0, 0.25, 1.0], dtype=np.float32)
    scores = np.random.default_rng(seed).choice(values, size=(n, m))
    places, best = top(scores, k)
    expected = [sorted(range(m), key=(-row).__getitem__)[:k] for row in scores]
    assert places.tolist() == expected
    assert best.tolist() == [
        [row[i] for i in places] for row, places in zip(scores, expected, strict=True)
    ]


def test_top_by_hand():
    # The third row ties throughout.
    scores = np.array([[0.1, 0.3, 0.2], [0.5, -1.0, 0.5], [0.0, 0.0, 0.0]], dtype=np.float32)
    places, best = top(scores, 2)
    assert places.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert best == pytest.approx(np.array([[0.3, 0.2], [0.5, 0.5], [0.0, 0.0]]))


def test_many_candidates_are_ranked_in_parts_as_in_one(scorer, monkeypatch):
    codes = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    many = EmojiCodes([f"{i}.png" for i in range(3000)], codes)
    sentences = ["good morning", "", "I adore you", "it rains"]
    whole = scorer.best(sentences, many, 20)
    monkeypatch.setattr("sqam.scorer._CELLS", 3001)
    monkeypatch.setattr("sqam.scorer._ROWS", 1)  # one sentence at a time
    parts = scorer.best(sentences, many, 20)
    assert [len(row) for row in parts] == [20, 0, 20, 20]
    for one, other in zip(whole, parts, strict=True):
        assert [place for place, _ in one] == [place for place, _ in other]
        assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-6)


def test_best_as_arrays(scorer, codes):
    sentences = ["good morning", "", "I adore you"]
    for k in (3, 5000):
        places, scores, known = scorer.best_arrays(sentences, codes, k)
        assert places.shape == scores.shape == (3, min(k, len(codes)))
        assert scores.dtype == np.float32 and known.tolist() == [True, False, True]
        rows = [
            list(zip(*pair, strict=True))
            for pair in zip(places.tolist(), scores.tolist(), strict=True)
        ]
        expected = scorer.best(sentences, codes, k)
        assert [rows[0], [], rows[2]] == expected
    with pytest.raises(InputError, match="k is 0"):
        scorer.best_arrays(sentences, codes, 0)


def test_emojis_that_look_alike_tie_and_keep_the_catalogue_order(scorer, codes):
    # These three flags are one picture.
    alike = ["🇨🇵", "🇫🇷", "🇲🇫"]
    assert [name for name in codes.names if name in alike] == alike
    for sentence in ["trip to paris", "good morning", "pizza"]:
        ranked = [match for match in scorer.rank([sentence], codes, k=len(codes))[0]]
        places = [i for i, match in enumerate(ranked) if match.emoji in alike]
        assert [ranked[i].emoji for i in places] == alike
        assert places == list(range(places[0], places[0] + 3))
        assert len({ranked[i].score for i in places}) == 1


def test_names(scorer, codes):
    ranked = scorer.rank(["pizza"], codes.select(["🍕", "👍🏽"]))[0]
    assert {(match.emoji, match.name) for match in ranked} == {
        ("🍕", "pizza"),
        ("👍🏽", "thumbs up"),
    }
    own = EmojiCodes(["logo.png"], codes.codes[:1])
    match = scorer.rank(["pizza"], own)[0][0]
    assert isinstance(match, Match) and (match.emoji, match.name) == ("logo.png", "logo.png")


@pytest.mark.parametrize("text", ["", "   ", "xqzzt wvvk", "\x00\x07", "\ud800", "12345678987"])
def test_no_known_word_no_ranking(scorer, codes, text):
    candidates = codes.select(FIVE)
    assert not scorer.known([text])[0]
    assert not scorer.score([text], candidates).any()
    assert scorer.rank([text], candidates) == [[]]
    assert scorer.classify([text], candidates) == [None]


def test_unknown_words_are_dropped(scorer, codes):
    found = scorer.score(["good xqzzt morning", "good morning"], codes)
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_a_megabyte_of_text(scorer, codes):
    assert scorer.rank(["happy " * 170_000], codes)[0]


def test_knows_the_frequent_words_that_training_never_saw(scorer):
    for word in ("adore", "n't", "i", "parliament", "2008"):
        assert word in scorer.vocabulary
    assert len(scorer.vocabulary) >= 40_000


@pytest.mark.parametrize("sentences", ["one string", [3], [None]])
def test_what_is_no_list_of_strings(scorer, codes, sentences):
    with pytest.raises(InputError):
        scorer.score(sentences, codes)


def test_nothing_to_score(scorer, codes):
    assert scorer.score([], codes).shape == (0, len(codes))
    assert scorer.rank([], codes) == [] and scorer.classify([], codes) == []


def test_ranking_questions_is_ranking_their_sentences(scorer, codes):
    sentences = ["happy birthday", "xqzzt wvvk", "it rains"]
    ranked = scorer.rank_questions(scorer.questions(sentences), codes, k=7)
    assert ranked == scorer.rank(sentences, codes, k=7)
    assert [len(matches) for matches in ranked] == [7, 0, 7]


class Counting:
    """An answer network that counts its runs."""

    def __init__(self, network):
        self.network = network
        self.runs = 0

    def run(self, *arguments):
        self.runs += 1
        return self.network.run(*arguments)


def test_answers_are_kept_as_long_as_their_candidates(codes):
    scorer = Scorer.load()
    network = scorer._answer = Counting(scorer._answer)
    few = codes.select(FIVE)
    expected = [scorer.rank(["pizza"], candidates) for candidates in (codes, few)]
    for _ in range(3):  # in turn, as a server is asked
        assert [scorer.rank(["pizza"], candidates) for candidates in (codes, few)] == expected
    assert network.runs == 2 and len(scorer._kept) == 2
    del few
    gc.collect()
    assert list(scorer._kept) == [codes]


def test_threads_may_share_a_scorer(codes):
    sentences = [f"{word} morning" for word in ("good", "sad", "busy", "lazy")]
    expected = Scorer.load().rank(sentences, codes.select(FIVE))
    shared = Scorer.load()

    def ranked(number: int):
        # Candidates of its own each time, so that all threads add to what is kept.
        return shared.rank(sentences, codes.select(FIVE))

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(ranked, range(64)):
            assert found == expected


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(scorer, codes, k):
    with pytest.raises(InputError, match=str(k)):
        scorer.rank(["pizza"], codes, k=k)


class TestModelFolder:
    """What is missing, corrupt or foreign gets one line that names it."""

    @pytest.fixture
    def folder(self, tiny, tmp_path):
        return shutil.copytree(tiny["folder"], tmp_path / "model")

    def refused(self, folder, *said):
        with pytest.raises(InputError) as error:
            Scorer.load(folder)
        message = str(error.value)
        assert "\n" not in message
        for words in said:
            assert words in message

    def test_whole(self, folder, tiny):
        assert Scorer.load(folder).score(["i love you"], tiny["codes"]).shape == (1, 6)

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "nowhere", "nowhere", "name a folder")

    @pytest.mark.parametrize("name", ["question.onnx", "answer.onnx"])
    def test_corrupt_network(self, folder, name):
        (folder / name).write_bytes(b"not a network")
        self.refused(folder, name)

    def test_swapped_networks(self, folder):
        shutil.copy(folder / "answer.onnx", folder / "question.onnx")
        self.refused(folder, "question.onnx", "another kind")

    @pytest.mark.parametrize("name", ["embedding.npy", "scales.npy"])
    def test_cut_or_foreign_arrays(self, folder, name):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        self.refused(folder)
        np.save(folder / name, np.array([{"a": "pickle"}], dtype=object), allow_pickle=True)
        self.refused(folder)

    def test_vectors_of_another_model(self, folder):
        np.save(folder / "scales.npy", np.ones((3, 1), dtype=np.float32))
        self.refused(folder, "different models")

    @pytest.mark.parametrize("config", ["{", "[]", "{}", '{"format": "something else"}'])
    def test_config(self, folder, config):
        (folder / "config.json").write_text(config)
        self.refused(folder, str(folder))

    def test_codes_of_another_length(self, folder, tiny):
        config = json.loads((folder / "config.json").read_text())
        config["settings"]["code_size"] = 8
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match="16-D"):
            Scorer.load(folder).score(["love"], tiny["codes"])
