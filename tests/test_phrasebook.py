"""The phrasebook: valid emojis, no text twice, sizes."""

import json

import pytest

from emoji_vae.catalogue import catalogue
from pipelines import phrases
from pipelines.five_classes import READINGS
from sqam.text import tokenize

FILES = phrases.book_files()
LINES = [
    (f"{file.parent.name}/{file.name}", number, line)
    for file in FILES
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
]


def test_there_is_one():
    assert len(LINES) >= 45_000
    # Results tell the files' hashes by their names.
    assert len({file.name for file in FILES}) == len(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_lines_are_what_they_should_be(file):
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        entry = json.loads(line)
        where = f"{file.name}:{number}"
        assert list(entry) == ["text", "emojis"], where
        assert tokenize(entry["text"]) and len(entry["text"]) <= 140, where
        assert 2 <= len(entry["emojis"]) <= 6, where
        assert len(set(entry["emojis"])) == len(entry["emojis"]), where
        unknown = set(entry["emojis"]) - set(catalogue().sequences)
        assert not unknown, f"{where}: {unknown}"


def test_no_text_stands_twice():
    seen: dict[str, str] = {}
    for file, number, line in LINES:
        key = " ".join(tokenize(json.loads(line)["text"]))
        assert key not in seen, f"{file}:{number} says the same as {seen[key]}: {key!r}"
        seen[key] = f"{file}:{number}"


def test_no_text_is_one_that_the_five_classes_are_tried_with():
    path = phrases.DATA / "emojiset" / "test.csv"
    if not path.is_file():
        pytest.skip(f"the sentences are not at {path}")

    def said(text):
        return [token for token in tokenize(text) if token not in ("!", "?", "...")]

    asked = [*READINGS, *(record["sentence"] for record in phrases.rows(path, "sentence"))]
    texts = {" ".join(said(json.loads(line)["text"])) for _, _, line in LINES}
    assert not texts & {" ".join(said(text)) for text in asked}
