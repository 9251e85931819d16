"""Measures, by hand, and the command that measures us and our peers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import evaluate, peers, phrases, results
from pipelines.evaluate import EvaluationSettings, Query, main
from pipelines.phrases import Phrase
from sqam.scorer import Scorer


def test_best_and_hits():
    scores = np.array([[0.1, 0.9, 0.9, 0.5], [0.4, 0.3, 0.2, 0.1]])
    # Columns 1 and 2 tie: the earlier one is first.
    assert evaluate.best(scores, 2).tolist() == [[1, 2], [0, 1]]
    # First row: column 2 is not first but among two. Second row: column 3 is last of four.
    assert evaluate.hits(scores, [[2], [3]], 1) == 0.0
    assert evaluate.hits(scores, [[2], [3]], 2) == 0.5
    assert evaluate.hits(scores, [[2, 0], [3, 0]], 2) == 1.0
    assert evaluate.hits(scores, [[2], [3]], 4) == 1.0


def test_places_by_hand():
    scores = np.array([[0.1, 0.9, 0.9, 0.5, 0.2], [0.4, 0.4, 0.4, 0.4, 0.4]])
    # Two are better than column 3; column 1 ties with one; in the second row all tie.
    assert evaluate.ahead(scores, np.array([3, 0])).tolist() == [2, 2]
    assert evaluate.ahead(scores, np.array([1, 4])).tolist() == [0.5, 2]
    assert evaluate.ahead(scores[:1], np.array([0])).tolist() == [4]
    # Of 21: first, half-way and last; the middle one's percentile is 50. One is within 10, and the
    # one with 10 ahead is not.
    found = evaluate.places(np.array([0, 10, 20]), 21)
    assert found == {"median percentile": 50, "hit@10": pytest.approx(1 / 3)}


def test_quality_by_hand():
    # Right are the first and the third of five. F1: class 0: 1 right of 2 named, of 1: 2/3; class
    # 1: none: 0; class 2: 1 right of 1 named, of 2: 2/3. Their mean is 4/9.
    found = evaluate.quality([0, 0, 2, -1, -1], [0, 1, 2, 2, 1], 3)
    assert found == {"accuracy": pytest.approx(0.4), "macro-F1": pytest.approx(4 / 9)}
    # A fourth class, which nothing is of, has an F1 of 0: 4/3 of 4.
    found = evaluate.quality([0, 0, 2, -1, -1], [0, 1, 2, 2, 1], 4)
    assert found["macro-F1"] == pytest.approx(1 / 3)


def test_spread():
    # Mean of 1, 2, 3 is 2; the squared distances 1 + 0 + 1 over n - 1 = 2 give 1.
    assert results.spread([1, 2, 3]) == {"mean": 2, "sd": 1, "values": [1, 2, 3]}
    assert results.spread([0.5])["sd"] is None


def test_results_file(tmp_path):
    path = tmp_path / "new" / "figures.json"
    results.write(path, {"figure": 0.5, "emoji": "🎉"})
    assert json.loads(path.read_text("utf-8")) == {"figure": 0.5, "emoji": "🎉"}
    # SHA-256 of "abc", from FIPS 180-2's example.
    (tmp_path / "abc").write_bytes(b"abc")
    digest = results.hashes([tmp_path / "abc"])["abc"]
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert "python" in results.versions() and "numpy" in results.versions()


def test_results_that_cannot_be_written_leave_the_old_ones(tmp_path):
    path = tmp_path / "figures.json"
    results.write(path, {"figure": 1})
    with pytest.raises(TypeError):
        results.write(path, {"figure": object()})
    assert json.loads(path.read_text()) == {"figure": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


def test_ranks_by_hand():
    scores = np.array([[0.1, 0.9, 0.9, 0.5], [-np.inf, 0.4, 0.1, 0.4]])
    # First row: columns 1 and 2 tie, the earlier one is first. Second row: column 0 has no rank.
    found = evaluate.ranks(scores, [[2, 0], [0, 3, 1]])
    assert [row.tolist() for row in found] == [[2, 4], [np.inf, 2, 1]]


def test_ranks_are_those_of_best():
    rng = np.random.default_rng(0)
    scores = rng.integers(4, size=(50, 30)).astype(np.float32)  # many ties
    correct = [rng.choice(30, size=3, replace=False).tolist() for _ in range(50)]
    found = evaluate.measures(evaluate.ranks(scores, correct))
    for k in (1, 5, 10):
        assert found[f"hit@{k}"].mean() == pytest.approx(evaluate.hits(scores, correct, k))


# Two correct ones of rank 1 and 3; one without a rank; two of 3 and 15; one of rank 6.
RANKED = [np.array(r) for r in ([3.0, 1.0], [np.inf], [3.0, 15.0], [6.0])]


def test_measures_by_hand():
    found = evaluate.measures(RANKED)
    assert found["precision@1"].tolist() == [1, 0, 0, 0]
    assert found["precision@5"].tolist() == [0.4, 0, 0.2, 0]
    assert found["hit@1"].tolist() == [1, 0, 0, 0]
    assert found["hit@5"].tolist() == [1, 0, 1, 0]
    assert found["hit@10"].tolist() == [1, 0, 1, 1]
    assert found["MRR"].tolist() == pytest.approx([1, 0, 1 / 3, 1 / 6])
    # Of 1 / log2(rank + 1): ranks 1 and 2 give 1 and 0.63093, rank 3 gives 1/2.
    # First row: 1.5 of 1.63093; third: 0.5 of that, rank 15 is beyond 10.
    # Last row: 1 / log2(7) = 0.35621 of 1.
    assert found["nDCG@10"].tolist() == pytest.approx([0.919721, 0, 0.306574, 0.356207], abs=1e-6)


def test_ndcg_of_more_correct_ones_than_ten():
    # Twelve are correct; 1 / log2(rank + 1) of the ranks 1 to 10 add up to 4.543559. All of them
    # are the best possible; without rank 10, which gives 1 / log2(11) = 0.289065, it is 0.936379.
    every, nearly = np.arange(1, 13.0), np.array([*range(1, 10), 11, 12, 13.0])
    assert evaluate.measures([every, nearly])["nDCG@10"] == pytest.approx([1, 0.936379], abs=1e-6)


def test_macro_hits_by_hand():
    # Answer 7 is asked for by three queries and found in two, 2 by one in vain, 4 by one: found.
    correct = [[7, 4], [7], [7, 2]]
    ranked = [np.array([10.0, 1.0]), np.array([3.0]), np.array([11.0, np.inf])]
    found = evaluate.pairs(ranked, correct, 10)
    assert found.query.tolist() == [0, 0, 1, 2, 2] and found.answer.tolist() == [7, 4, 7, 7, 2]
    assert found.hit.tolist() == [True, True, True, False, False]
    assert evaluate.macro_hits(found, np.ones(3)) == pytest.approx((2 / 3 + 0 + 1) / 3)
    # The first query not drawn, the second twice: 7 is found in 2 of 3, 4 is not asked for.
    assert evaluate.macro_hits(found, np.array([0, 2, 1])) == pytest.approx((2 / 3 + 0) / 2)


def test_summary_by_hand():
    found = evaluate.summary(RANKED, [[0, 1], [2], [1, 3], [2]], EvaluationSettings())
    assert list(found) == [
        "precision@1", "precision@5", "hit@1", "hit@5", "hit@10", "MRR", "nDCG@10", "macro hit@10",
    ]  # fmt: skip
    assert found["precision@5"]["value"] == 0.15 and found["hit@10"]["value"] == 0.75
    # (1 + 0 + 1/3 + 1/6) / 4
    assert found["MRR"]["value"] == 0.375
    # Answers 0 and 1 always within 10, 2 in one of two queries, 3 never.
    assert found["macro hit@10"]["value"] == (1 + 1 + 0.5 + 0) / 4
    assert all(
        0 <= low <= figure["value"] <= high <= 1
        for figure in found.values()
        for low, high in [figure["interval"]]
    )


def test_intervals_are_those_of_the_binomial():
    # 120 of 400 are hits: the standard error is (0.3 * 0.7 / 400) ** 0.5 = 0.0229.
    ranked = [np.array([1.0 if row < 120 else np.inf]) for row in range(400)]
    found = evaluate.summary(ranked, [[0]] * 400, EvaluationSettings())
    low, high = found["hit@1"]["interval"]
    assert low == pytest.approx(0.3 - 1.96 * 0.0229, abs=0.006)
    assert high == pytest.approx(0.3 + 1.96 * 0.0229, abs=0.006)
    # One answer: the macro measure is the plain one.
    assert found["macro hit@10"]["value"] == 0.3
    assert found["macro hit@10"]["interval"] == pytest.approx([low, high], abs=0.003)
    narrow = evaluate.summary(ranked, [[0]] * 400, EvaluationSettings(confidence=0.5))
    assert low < narrow["hit@1"]["interval"][0] < narrow["hit@1"]["interval"][1] < high
    assert found == evaluate.summary(ranked, [[0]] * 400, EvaluationSettings())
    assert found != evaluate.summary(ranked, [[0]] * 400, EvaluationSettings(seed=1))


def test_the_macro_interval_holds_the_figure():
    # Answer 0 is found in each of 30 queries, 1 to 30 in none of their one each: resamples lack a
    # third of these, but the interval is about 1 / 31.
    ranked = [np.array([1.0, np.inf])] * 30
    found = evaluate.summary(ranked, [[0, row] for row in range(1, 31)], EvaluationSettings())
    low, high = found["macro hit@10"]["interval"]
    assert low < found["macro hit@10"]["value"] < high < 0.05
    assert found["macro hit@10"]["value"] == round(1 / 31, 5)


def row_of(emoji):
    return catalogue().index(emoji)


def test_queries_are_read(tmp_path):
    path = tmp_path / "queries.jsonl"
    lines = [
        '\ufeff{"text": "well done", "good": ["👍🏽", "🎉", "👍"], "kind": "praise"}',
        "",
        "  \t",
        '{"good": ["❤"], "text": "line\u2028separator", "source": "ignored"}\r',
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert evaluate.read_queries(path) == [
        Query("well done", (row_of("👍"), row_of("🎉")), ("praise",)),
        Query("line\u2028separator", (row_of("❤️"),), ()),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON; write {"),
        ("[" * 100_000, "no JSON"),
        ("9" * 5000, "no JSON"),
        ('["text", "good"]', "no object with text and good"),
        ('{"text": "a"}', "no object with text and good"),
        ('{"text": 3, "good": ["🎉"]}', "the text is no string or is blank"),
        ('{"text": " ", "good": ["🎉"]}', "the text is no string or is blank"),
        ('{"text": "\\ud800", "good": ["🎉"]}', "lone surrogates"),
        ('{"text": "a", "good": []}', "name at least one emoji"),
        ('{"text": "a", "good": "🎉"}', "good is no list"),
        ('{"text": "a", "good": ["🎉", "x"]}', "'x' is no emoji of the catalogue"),
        ('{"text": "a", "good": [3]}', "3 is no emoji of the catalogue"),
        ('{"text": "a", "good": ["🎉"], "kind": ""}', "kind is no string or is blank"),
        ('{"text": "a", "good": ["🎉"], "kind": ["b"]}', "kind is no string or is blank"),
    ],
    ids=str,
)
def test_a_bad_line_is_named(tmp_path, capsys, line, said):
    path = tmp_path / "queries.jsonl"
    path.write_text(f'{{"text": "a", "good": ["🎉"]}}\n\n{line}\n', encoding="utf-8")
    assert main(["--queries", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"line 3 of {str(path)!r}: " in error and said in error


def test_a_bad_file_is_named(tmp_path, capsys):
    path = tmp_path / "queries.jsonl"

    def said():
        assert main(["--queries", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and repr(str(path)) in error
        return error

    assert "cannot read" in said()
    path.write_bytes(b"\xff\xfe{")
    assert "is not UTF-8" in said()
    path.write_text("\n \n")
    assert "holds no query" in said()


NOWHERE = Path("nowhere")


def test_own_queries(monkeypatch):
    ironic, glad = (
        json.loads(asset("phrasebook", f"{name}.jsonl").read_text("utf-8").split("\n")[0])
        for name in ("irony", "gladness")
    )
    found = [
        Phrase("we are not amused", (3, 1), "sentence", "validation"),
        Phrase(ironic["text"], (4,), "sentence", "validation"),
        Phrase("no entry", (5,), "keyword", "validation"),
        Phrase("a lovely day", (6,), "sentence", "held-out"),
        Phrase(glad["text"], (6,), "sentence", "held-out"),
        Phrase("a day", (7,), "sentence", "train"),
        Phrase("what a day", (8,), "tweet", "validation"),
        Phrase("what a day", (8,), "labelled tweet", "validation"),
        Phrase("a name", (9,), "name", "validation"),
        Phrase("dinner", (7, 2), "keyword", "validation", 1),
    ]
    monkeypatch.setattr(phrases, "gather", lambda emojis, data: found)
    first, second, *others = evaluate.own_queries("dev", NOWHERE)
    assert first == Query("we are not amused", (3, 1), ("sentence", "negation"))
    assert second.text == ironic["text"] and {"sentence", "irony"} <= set(second.kinds)
    # Only sentences count as negated.
    assert others == [
        Query("no entry", (5,), ("keyword",)),
        Query("what a day", (8,), ("tweet",)),
        # The phrasebook's best emoji of a word alone; then whatever emoji has the keyword.
        Query("dinner", (7,), ("word",)),
        Query("dinner", (7, 2), ("keyword",)),
    ]
    assert evaluate.own_queries("test", NOWHERE) == [
        Query("a lovely day", (6,), ("sentence",)),
        Query(glad["text"], (6,), ("sentence", "feeling")),
    ]
    monkeypatch.setattr(phrases, "gather", lambda emojis, data: found[5:6])
    with pytest.raises(InputError, match="no own text"):
        evaluate.own_queries("dev", NOWHERE)


@pytest.fixture
def model(tiny, tmp_path):
    """Return a folder laid out like assets/models, with the tiny model."""
    folder = tmp_path / "models"
    (folder / "vae").mkdir(parents=True)
    (folder / "sqam").symlink_to(tiny["folder"], target_is_directory=True)
    tiny["codes"].save(folder / "vae" / "codes.npz")
    return folder


NAMES = ["🍕", "❤️", "⚾", "😄", "😞", "🍴"]
LINES: list[dict] = [
    {"text": "i love pizza", "good": ["🍕", "❤️"], "kind": "food"},
    {"text": "good morning", "good": ["😄"], "kind": "mood"},
    {"text": "not happy", "good": ["😞"], "kind": "mood"},
    # No known word: a miss, though 😄 is the first in the catalogue.
    {"text": "zzxqvw", "good": ["😄"]},
]


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def test_the_command_measures_the_scorers_ranking(model, tmp_path, capsys):
    first = write(tmp_path / "a.jsonl", LINES[:1])
    second = write(tmp_path / "b.jsonl", LINES[1:])
    output = tmp_path / "x.json"
    options = ["--model", str(model), "--among", *NAMES, "--peers", "--output", str(output)]
    assert main(["--queries", first, second, *options]) == 0
    found = json.loads(output.read_text("utf-8"))

    rows = sorted(row_of(emoji) for emoji in NAMES)
    scorer = Scorer.load(model / "sqam")
    codes = EmojiCodes.load(model / "vae" / "codes.npz")
    candidates = codes.select([catalogue().sequences[row] for row in rows])
    assert candidates.names[0] == "😄"
    cosines = scorer.score([line["text"] for line in LINES], candidates)
    correct = [[rows.index(row_of(emoji)) for emoji in line["good"]] for line in LINES]
    for k in (1, 5):
        expected = 0.75 * evaluate.hits(cosines[:3], correct[:3], k)
        assert found["figures"]["all"]["systems"]["sqam"][f"hit@{k}"]["value"] == expected

    assert found["figures"]["all"]["queries"] == 4
    kinds = found["figures"]["by kind"]
    assert {kind: group["queries"] for kind, group in kinds.items()} == {"food": 1, "mood": 2}
    assert list(kinds["food"]["systems"]) == ["sqam"]
    # Two good ones of six candidates, of which five count: at least one is there.
    assert kinds["food"]["systems"]["sqam"]["hit@5"] == {"value": 1, "interval": [1, 1]}
    assert found["settings"]["candidates"] == 6 and found["settings"]["resamples"] == 1000
    assert found["data"][first] == results.sha256(Path(first)) and second in found["data"]
    assert {"emojis.csv", "question.onnx", "answer.onnx", "codes.npz"} <= set(found["data"])
    assert "python" in found["versions"] and found["command"].startswith(
        "python -m pipelines.evaluate --queries "
    )
    printed = capsys.readouterr()
    assert printed.err == ""
    assert [line.split(":")[0] for line in printed.out.split("\n") if "queries" in line] == [
        "all", "food", "mood",
    ]  # fmt: skip
    assert re.search(r"^hit@5 +100\.0 \(100–100\)$", printed.out, re.MULTILINE)


def test_queries_without_a_candidate_are_left_out(model, tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", LINES)
    options = ["--queries", path, "--model", str(model), "--peers"]
    assert main([*options, "--among", "😄", "😞", "❤", "😞"]) == 0
    printed = capsys.readouterr()
    assert printed.out.split("\n")[2] == "all: 4 queries" and printed.err == ""
    assert main([*options, "--among", "😄", "😞"]) == 0
    printed = capsys.readouterr()
    assert printed.out.split("\n")[2] == "all: 3 queries"
    assert printed.err == "note: 1 queries without an emoji of --among are left out\n"
    assert main([*options, "--among", "⚾"]) == 2
    assert "no query has an emoji of --among" in capsys.readouterr().err
    assert main([*options, "--among", "x"]) == 2
    assert "'x' is no emoji" in capsys.readouterr().err
    # The tiny model has no codes of the others.
    assert main(options) == 2
    assert "there is no code for" in capsys.readouterr().err


@pytest.fixture
def fake(monkeypatch):
    """Have our model and one peer say the same of every text; what they are asked is kept."""
    asked = {}
    order = -np.arange(len(catalogue()), dtype=np.float32)

    def ours(model, texts, rows):
        asked["ours"] = list(texts)
        return np.tile(order[list(rows)], (len(texts), 1))

    def first(texts, means):
        asked["first"], asked["means"] = list(texts), means
        return np.tile(order, (len(texts), 1))

    def none(texts, means):
        raise InputError("it is missing; install it")

    monkeypatch.setattr(evaluate, "scores_of_model", ours)
    monkeypatch.setattr(peers, "PEERS", {"first": first, "none": none})
    return asked


def test_peers_rank_the_same_and_a_missing_one_is_named(fake, tmp_path, capsys):
    grinning = catalogue().sequences[0]
    text = "so\u200d  \ufe0ftired\ufe0f "
    path = write(tmp_path / "a.jsonl", [{"text": text, "good": [grinning]}])
    output = tmp_path / "x.json"
    assert main(["--queries", path, "--output", str(output)]) == 0
    assert capsys.readouterr().err == "note: none is left out: it is missing; install it\n"
    # What gives emojis away is gone, for all alike.
    assert fake["ours"] == fake["first"] == ["so tired"]
    assert fake["means"] == peers.Means(withheld=False)
    found = json.loads(output.read_text("utf-8"))
    systems = found["figures"]["all"]["systems"]
    assert systems["sqam"] == systems["first"] and systems["first"]["hit@1"]["value"] == 1
    assert found["peers left out"] == {"none": "it is missing; install it"}
    assert found["settings"]["candidates"] == len(catalogue())

    assert main(["--queries", path, "--as-is", "--among", "🍕", grinning, "--peers", "first"]) == 0
    assert fake["ours"] == fake["first"] == [text]
    # One that is asked for by name must be there.
    assert main(["--queries", path, "--peers", "first", "none"]) == 2
    error = capsys.readouterr().err
    assert error == "python -m pipelines.evaluate: error: none: it is missing; install it\n"


def test_own_texts_instead_of_a_file(fake, monkeypatch, tmp_path, data, capsys):
    queries = [
        Query("good morning", (0,), ("sentence",)),
        Query("not here", (12,), ("sentence", "negation")),
    ]
    monkeypatch.setattr(evaluate, "own_queries", lambda part, data: queries)
    output = tmp_path / "x.json"
    assert main(["--own", "dev", "--data", str(data), "--output", str(output)]) == 0
    # Its keywords may be among the queries.
    assert fake["means"] == peers.Means(data=data, withheld=True)
    found = json.loads(output.read_text("utf-8"))
    assert {kind: group["queries"] for kind, group in found["figures"]["by kind"].items()} == {
        "sentence": 2, "negation": 1,
    }  # fmt: skip
    assert found["figures"]["by kind"]["sentence"]["systems"]["first"]["hit@10"]["value"] == 0.5
    assert found["settings"]["peers' keywords"] == "training part"
    assert {"irony.jsonl", phrases.Sources().tweets} <= set(found["data"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "one of the arguments --queries --own is required"),
        (["--own", "train"], "invalid choice: 'train'"),
        (["--own", "dev", "--queries", "x"], "not allowed with"),
        (["--own", "dev", "--peers", "bing"], "invalid choice: 'bing'"),
        (["--own", "dev", "--output", "nowhere/x.json"], "there is no folder 'nowhere'"),
        (["--own", "dev", "--data", "nowhere"], "name the data's folder"),
    ],
    ids=str,
)
def test_bad_options(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_a_folder_without_a_model(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", LINES)
    assert main(["--queries", path, "--model", str(tmp_path), "--peers"]) == 2
    assert "holds no folder 'vae'" in capsys.readouterr().err
