"""The peers, by hand on small catalogues, and the search engine that runs in Node.js."""

import io
import shutil
import sys
import tarfile
import types

import numpy as np
import pytest

from emoji_vae.catalogue import Catalogue, Emoji, catalogue
from emoji_vae.errors import InputError, MissingExtraError
from pipelines import minilm, peers, phrases, sources
from pipelines.peers import Means
from pipelines.phrases import Phrase

SMALL = Catalogue(
    [
        Emoji("🐶", "dog face", ("dog", "pet"), "animals & nature", "0.6"),
        Emoji("🐱", "cat face", ("pet", "whiskers"), "animals & nature", "0.6"),
        Emoji("👍", "thumbs up", (), "people & body", "0.6"),
    ]
)


@pytest.fixture
def small(monkeypatch):
    """Have three emojis only."""
    monkeypatch.setattr(peers, "catalogue", lambda: SMALL)


def test_every_package_is_pinned():
    assert set(peers.PACKAGES) <= set(peers.PEERS)
    assert set(peers.PACKAGES.values()) <= set(sources.SOURCES)


def test_popular_counts_training_tweets_alone(small, monkeypatch, tmp_path):
    found = [
        Phrase("a", (1,), "tweet", "train"),
        Phrase("b", (1, 0), "tweet", "train"),
        Phrase("c", (2,), "tweet", "validation"),
        Phrase("d", (2,), "tweet", "held-out"),
        Phrase("e", (2,), "labelled tweet", "train"),
        Phrase("f", (2,), "sentence", "train"),
    ]
    asked = []

    def gather(*arguments):
        asked.append(arguments)
        return found

    monkeypatch.setattr(phrases, "gather", gather)
    scores = peers.popular(["x", "y"], Means(data=tmp_path))
    assert scores.dtype == np.float32 and scores.tolist() == [[1, 2, 0], [1, 2, 0]]
    assert asked == [(SMALL, tmp_path)]


def test_popular_without_data_says_so(tmp_path):
    with pytest.raises(InputError, match="name the data's folder"):
        peers.popular(["x"], Means(data=tmp_path))


def test_described_keeps_what_must_not_be_seen(monkeypatch):
    assert peers.described(SMALL, False) == [
        ("dog face", "dog", "pet"), ("cat face", "pet", "whiskers"), ("thumbs up",),
    ]  # fmt: skip
    parts = {"pet": "held-out", "whiskers": "validation"}
    monkeypatch.setattr(phrases, "part", lambda key: parts.get(key, "train"))
    assert peers.described(SMALL, True) == [("dog face", "dog"), ("cat face",), ("thumbs up",)]


def test_what_is_withheld_is_what_training_never_sees(data):
    """The hash of a keyword and its part among the phrases agree."""
    trained = {p.text for p in phrases.gather(catalogue(), data) if p.split == "train"}
    kept = {keyword for _, *words in peers.described(catalogue(), True) for keyword in words}
    every = {keyword for _, *words in peers.described(catalogue(), False) for keyword in words}
    assert kept < every
    apart = {p.text for p in phrases.gather(catalogue(), data) if p.kind == "keyword"} - trained
    assert apart and not kept & apart


def test_tfidf_by_hand(small):
    scores = peers.tfidf(["my WHISKERS, my pet!", "zzxqvw", ""], Means())
    assert scores.dtype == np.float32 and scores.shape == (3, 3)
    # idf is ln(4 / (1 + texts with the word)) + 1: pet, face 1.28768 (in two), others 1.69315.
    # Dog: face 1.28768, dog twice 3.38629, pet 1.28768: length 3.84479. Cat: cat, face, pet,
    # whiskers: length 3.00826. The query, pet and whiskers: length 2.12717.
    # Dog shares pet: 1.65813 / (3.84479 * 2.12717); cat pet and whiskers: 4.52487 / (3.00826 *
    # 2.12717) = 2.12717 / 3.00826. No common word: no rank.
    assert scores[0, :2] == pytest.approx([0.20274, 0.70711], abs=1e-4)
    assert np.isneginf(scores[0, 2]) and np.isneginf(scores[1:]).all()


VECTORS = {
    "a dog": [3, 4],
    "dog face": [0, 2],
    "cat face": [4, 3],
    "thumbs up": [-1, 0],
    "dog face, dog, pet": [6, 8],
    "cat face, pet, whiskers": [0, -1],
}


def test_minilm_by_hand(small, monkeypatch, tmp_path):
    encoded = []

    def run(texts, cache):
        encoded.extend(texts)
        return np.array([VECTORS[text] + [0] * 382 for text in texts], dtype=np.float16)

    monkeypatch.setitem(sys.modules, "sentence_transformers", types.ModuleType("fake"))
    monkeypatch.setattr(minilm, "_encoded", run)
    means = Means(vectors=tmp_path / "vectors")
    by_name = peers.minilm_names(["a dog"], means)
    # Cosines with (3, 4) / 5: of (0, 1), (4, 3) / 5 and (-1, 0).
    assert by_name.dtype == np.float32
    assert by_name.tolist() == [pytest.approx([0.8, 0.96, -0.6])]
    assert sorted(encoded) == ["a dog", "cat face", "dog face", "thumbs up"]
    assert peers.minilm_keywords(["a dog"], means).tolist() == [pytest.approx([1, -0.8, -0.6])]
    # Kept vectors are not encoded again.
    assert sorted(encoded[4:]) == ["cat face, pet, whiskers", "dog face, dog, pet"]


def test_minilm_without_its_package_says_so(small, monkeypatch, tmp_path):
    # A module that is None in sys.modules counts as not installed.
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'emoji-sqam\[teacher\]'"):
        peers.minilm_names(["a dog"], Means(vectors=tmp_path / "vectors"))


def test_placed_by_hand():
    # 👍🏽 is 👍, which is found already; 🍕 is foreign to the small catalogue.
    found = peers.placed([["👍", "🍕", "👍🏽", "🐶"], []], SMALL)
    assert found.dtype == np.float32
    assert found.tolist() == [[-1, -np.inf, 0], [-np.inf] * 3]


def package(path, script):
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("package/dist/index.js")
        entry.size = len(script.encode())
        tar.addfile(entry, io.BytesIO(script.encode()))
    return path


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


@needs_node
def test_emoogle_runs_the_packages_own_search(small, monkeypatch, tmp_path):
    script = """
        export const searchBestMatchingEmojis = (text, limit) =>
            text.includes("naïve 😀\\n") && limit > 10000 ? ["🐱", "👍🏿", "🐶"] : [];
    """
    archive = package(tmp_path / "emoogle.tgz", script)
    asked = []

    def fetch(*arguments):
        asked.append(arguments)
        return archive

    monkeypatch.setattr(sources, "fetch", fetch)
    scores = peers.emoogle(["a naïve 😀\n", "x"], Means(cache=tmp_path))
    assert scores.dtype == np.float32
    assert scores.tolist() == [[-2, 0, -1], [-np.inf] * 3]
    assert asked == [("emoogle", tmp_path)]
    assert list(tmp_path.iterdir()) == [archive]


@needs_node
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("export const other = 1;", "TypeError: searchBestMatchingEmojis is not a function"),
        ("export const searchBestMatchingEmojis = () => { throw new Error('no'); };", "Error: no"),
        ("{", "SyntaxError: Unexpected"),
    ],
)
def test_a_search_that_fails_is_one_line(small, monkeypatch, tmp_path, script, said):
    archive = package(tmp_path / "emoogle.tgz", script)
    monkeypatch.setattr(sources, "fetch", lambda *arguments: archive)
    with pytest.raises(InputError, match=r"^Emoogle's search failed: .*; check Node\.js$") as error:
        peers.emoogle(["x"], Means())
    assert said in str(error.value)


def test_emoogle_without_node(monkeypatch):
    monkeypatch.setattr("pipelines.peers.shutil.which", lambda program: None)
    with pytest.raises(InputError, match=r"install Node\.js"):
        peers.emoogle(["x"], Means())


def test_emoogle_without_its_package(monkeypatch, tmp_path):
    # Node is there, npm is not.
    monkeypatch.setattr(
        "pipelines.peers.shutil.which", lambda program: None if program == "npm" else program
    )
    with pytest.raises(InputError, match="emoogle-emoji-search-engine comes from npm"):
        peers.emoogle(["x"], Means(cache=tmp_path))


@needs_node
def test_emoogle_itself():
    if not (sources.CACHE / sources.SOURCES["emoogle"].archive).is_file():
        pytest.skip(f"the package is not in {str(sources.CACHE)!r}")
    scores = peers.emoogle(["pizza", "zzxqvw"], Means())
    assert scores.shape == (2, len(catalogue()))
    assert scores[0].argmax() == catalogue().index("🍕") and scores[0].max() == 0
    assert np.isneginf(scores[1]).all()
