"""How two readers of the same texts agree, by hand, and the command."""

import json

import numpy as np
import pytest

from emoji_vae.catalogue import catalogue
from emoji_vae.locations import asset
from pipelines import agreement, phrases
from pipelines.evaluate import EvaluationSettings, read_queries
from sqam.text import tokenize


def test_ranked_by_hand():
    assert agreement.ranked([7, 3, 5], [3, 9, 7]).tolist() == [2, np.inf, 1]


def test_agreement_by_hand():
    reader, book = [[1, 2, 3], [4, 5]], [[2, 9], [4, 5, 6, 7]]
    found = agreement.agreement(reader, book, EvaluationSettings(resamples=10))
    # The reader's 1 is not in the book, 4 is: half. 2 of the first text's, 4 and 5 of the other's:
    # 1/5 and 2/5. Of both texts something is there.
    values = {name: {m: f["value"] for m, f in row.items()} for name, row in found.items()}
    assert values["reader by book"] == {"precision@1": 0.5, "precision@5": 0.3, "hit@5": 1}
    # The book's 2 and 4 are both among the reader's.
    assert values["book by reader"] == {"precision@1": 1, "precision@5": 0.3, "hit@5": 1}


def test_the_command_measures_the_texts_by_kind(tmp_path, capsys):
    entries = list(phrases.phrasebook())[:3]
    reading, output = tmp_path / "reading.jsonl", tmp_path / "agreement.json"
    # The first two as the book has them, the third's first emoji put last.
    lines = [
        {"text": text.upper(), "good": [*emojis[at == 2 :], *emojis[: at == 2]], "kind": kind}
        for at, ((text, emojis), kind) in enumerate(zip(entries, "aab", strict=True))
    ]
    reading.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    assert agreement.main(["--reading", str(reading), "--output", str(output)]) == 0
    figures = json.loads(output.read_text("utf-8"))["figures"]
    assert {kind: row["texts"] for kind, row in figures.items()} == {"all": 3, "a": 2, "b": 1}
    for kind in ("all", "a", "b"):
        assert figures[kind]["reader by book"]["precision@1"]["value"] == 1
        assert figures[kind]["book by reader"]["hit@5"]["value"] == 1
    assert "all            3 texts  reader by book  precision@1 100.0%" in capsys.readouterr().out


def test_a_text_that_is_not_in_the_phrasebook(tmp_path, capsys):
    reading, output = tmp_path / "reading.jsonl", tmp_path / "agreement.json"
    reading.write_text('{"text": "zyxwv nobody wrote this", "good": ["🎉"]}\n', "utf-8")
    assert agreement.main(["--reading", str(reading), "--output", str(output)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "zyxwv nobody" in said and not output.exists()


def test_what_was_read_is_held_out():
    queries = read_queries(asset("second-reading.jsonl"))
    assert len(queries) == 1000
    assert len({query.text for query in queries}) == 1000
    for query in queries:
        assert phrases.part(" ".join(tokenize(query.text))) == "held-out"
        assert 2 <= len(query.good) <= 5 and query.kinds in {("sentence",), ("word",)}
        assert max(query.good) < len(catalogue())


@pytest.mark.parametrize("argument", ["--readings", "--outputs"])
def test_unknown_options_are_errors(argument, capsys):
    assert agreement.main([argument, "x"]) == 2
    assert argument in capsys.readouterr().err
