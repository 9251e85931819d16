"""Near synonyms among emojis."""

import math

import pytest

from emoji_vae.catalogue import Emoji, catalogue
from pipelines.kin import MIN_SIMILARITY, kin


def emoji(name, *keywords):
    return Emoji(name, name, keywords, "group", "1.0")


def test_by_hand():
    # Inverse document frequencies ln((1 + 3) / (1 + n)) + 1: "red" in 2 of 3 texts, the others in
    # 1: ln(4/3) + 1 = 1.288 and ln 2 + 1 = 1.693. The first two share "red" alone:
    # 1.288² / (1.288² + 1.693²) = 0.3664. The third shares nothing.
    found = kin([emoji("red", "heart"), emoji("red", "rose"), emoji("blue", "sea")])
    common, single = math.log(4 / 3) + 1, math.log(2) + 1
    expected = common**2 / (common**2 + single**2)
    assert expected == pytest.approx(0.3664, abs=1e-4)
    assert found == [{1: pytest.approx(expected)}, {0: pytest.approx(expected)}, {}]


def test_of_the_catalogue():
    emojis = catalogue()
    found = kin(list(emojis))
    assert len(found) == len(emojis)

    def of(sequence):
        return {emojis.sequences[row] for row in found[emojis.index(sequence)]}

    assert {"😃", "😀", "😁", "😆"} <= of("😄")
    assert {"😔", "😢"} <= of("😞")
    assert {"🧡", "💙"} <= of("❤️")
    assert "😞" not in of("😄")
    for row, others in enumerate(found):
        assert row not in others
        for other, similarity in others.items():
            assert MIN_SIMILARITY <= similarity <= 1
            assert found[other][row] == pytest.approx(similarity)
