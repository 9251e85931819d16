"""Which words a model may know, and what several kinds of vectors say of them together."""

import numpy as np
import pytest

from pipelines.lexicon import carried, combined, worthwhile


def test_worthwhile_by_hand():
    words = ["the", ",", "2", "n't", "--", "cannot", "smith", "zebra", "3d", "jones"]
    # Of the first seven all words that the tokenizer may write; then what was seen or is English.
    found = worthwhile(words, {"3d"}, {"zebra"}, names=7)
    assert found == ["the", "n't", "cannot", "smith", "zebra", "3d"]


def test_combined_by_hand():
    # Two words a unit apart in each kind: one component tells all, with the first kind's spread.
    first = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]])
    found = combined(first[:, :1], [np.array([[10.0], [30.0], [20.0]])])
    assert found.dtype == np.float32 and found.shape == (3, 1)
    np.testing.assert_allclose(np.abs(found[:, 0]), [1, 1, 0], atol=1e-6)
    assert found[0, 0] == -found[1, 0]


def test_combined_heeds_every_kind_alike():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((500, 4)), 1000 * rng.standard_normal((500, 4))
    found = combined(first, [second + 7])
    assert found.std() == pytest.approx(first.std(), rel=1e-5)
    # However large the numbers of a kind are, both are told equally well by the four components.
    told = [
        1
        - np.linalg.lstsq(found, side - side.mean(0))[1].sum() / ((side - side.mean(0)) ** 2).sum()
        for side in (first, second)
    ]
    assert all(0.3 < share < 0.75 for share in told)


def test_carried_by_hand():
    # The first number doubled is the other space's second, the second one its first.
    found = carried(
        np.array([[3.0, 5.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 2.0], [1.0, 0]])
    )
    assert found.dtype == np.float32 and found.tolist() == [[5.0, 6.0]]
    # 1 and 2 become 1 and 3: the best factor is (1 * 1 + 2 * 3) / (1 + 4).
    found = carried(np.array([[5.0]]), np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]))
    assert found.tolist() == pytest.approx(np.array([[7.0]]))
