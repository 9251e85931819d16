"""What the server answers is what the library says, whichever way it is asked."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import sqam.imagine
from emoji_vae import images
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from sqam.bulk import Ranking
from sqam.emojify import Emojifying
from sqam.explain import as_object, explain
from sqam.imagine import ImagineSettings

FIVE = ["❤️", "⚾", "😄", "😞", "🍴"]


def png(size=36, colour="yellow", format="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(file, format)
    return file.getvalue()


def shown(uri):
    """The picture of a data URI."""
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        picture.load()
        return picture


def test_requests_that_are_ranked_together_get_what_each_would_get_alone(engine):
    requests = [
        (["good morning", "xqzzt"], 3, None),
        (["let's play"], 10, FIVE),
        ([], 5, None),
        (["pizza", "so tired"], 1, ["🍕", "👍🏽"]),
        (["good morning"], 100, None),
    ]
    for (texts, k, among), found in zip(requests, engine.rank(requests), strict=True):
        candidates = engine.every if among is None else engine.every.select(among)
        expected = Ranking(engine.scorer, candidates, k).results(texts)
        assert len(found) == len(texts)
        for one, other in zip(found, expected, strict=True):
            assert list(one) == ["text", "matches"] and one["text"] == other["text"]
            emojis = [match["emoji"] for match in one["matches"]]
            assert emojis == [match["emoji"] for match in other["matches"]]
            scores = [match["score"] for match in one["matches"]]
            assert scores == pytest.approx([m["score"] for m in other["matches"]], abs=2e-4)
    assert engine.rank([]) == []


def test_what_is_wrong_with_one_request_is_not_said_of_others(engine):
    good, bad, fine = engine.rank(
        [(["pizza"], 1, None), (["pizza"], 1, ["no emoji"]), (["pizza"], 1, ["🍕"])]
    )
    assert good[0]["matches"][0]["emoji"] == fine[0]["matches"][0]["emoji"] == "🍕"
    assert isinstance(bad, InputError) and "'no emoji' is no emoji" in str(bad)


def test_the_same_few_emojis_are_selected_once(engine):
    assert engine.candidates(None) is engine.every
    assert engine.candidates(FIVE) is engine.candidates(tuple(FIVE))
    assert engine.candidates(FIVE).names == tuple(FIVE)
    assert engine.candidates(FIVE[::-1]).names == tuple(FIVE[::-1])


def test_explain_and_emojify(engine):
    text = "We ate pizza"
    assert engine.explain(text, 2, None) == as_object(explain(text, engine.scorer, engine.every, 2))
    assert len(engine.explain(text, 9, FIVE)["explanations"]) == 5
    texts = ["Lets get coffee and talk. Love you!", ""]
    task = Emojifying(engine.scorer, engine.every.select(FIVE), 2, 0.1)
    assert engine.emojify(texts, 2, 0.1, FIVE) == task.results(texts)
    with pytest.raises(InputError, match="knows no word"):
        engine.explain("xqzzt", 1, None)


def test_pictures(engine):
    files = [("../red.png", png(colour="red")), ("", png(80, "yellow", "JPEG"))]
    found = engine.rank_pictures("good morning", files, 10_000)
    assert sorted(one["picture"] for one in found) == [0, 1]
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    read = np.stack([images.read(io.BytesIO(content)) for _, content in files])
    codes = Codec.load().encode(read)
    (expected,) = engine.scorer.score(["good morning"], EmojiCodes(["a", "b"], codes))
    (others,) = engine.scorer.score(["good morning"], engine.every)
    for one in found:
        row = one["picture"]
        assert list(one) == ["picture", "name", "score", "place", "png", "code", "nearest"]
        assert one["name"] == files[row][0]
        assert one["score"] == pytest.approx(expected[row], abs=1e-3)
        assert one["place"] == 1 + sum(other > expected[row] for other in others)
        assert one["code"] == pytest.approx(codes[row].tolist(), abs=1e-2)
        assert shown(one["png"]).size == (36, 36)
        distances = [near["distance"] for near in one["nearest"]]
        assert len(distances) == 3 and distances == sorted(distances)
    assert engine.rank_pictures("xqzzt", files, 10_000) == []


def test_pictures_that_are_refused(engine):
    good = ("a", png())
    for content, said in [
        (b"", "picture 1: the picture is no whole picture"),
        (png()[:50], "picture 1: the picture is no whole picture"),
        (png(format="PPM"), "picture 1: the picture is no whole picture"),
        (png(101), "picture 1: the picture has 101 x 101 pixels"),
    ]:
        with pytest.raises(InputError, match=said):
            engine.rank_pictures("good morning", [good, ("b", content)], 10_000)


def test_generated(engine):
    told: list[int] = []
    found = engine.generate(2, 7, 0.8, told.append)
    expected = Codec.load().sample(2, 7, 0.8)
    assert told == [1, 1]
    assert [one["name"] for one in found] == ["generated-0001", "generated-0002"]
    assert expected.pictures is not None
    for one, code, picture in zip(found, expected.codes, expected.pictures, strict=True):
        assert list(one) == ["name", "png", "code", "nearest"]
        assert one["code"] == pytest.approx(code.tolist(), abs=1e-2)
        assert shown(one["png"]).tobytes() == images.to_image(picture, 144).tobytes()


def test_imagined(engine, monkeypatch):
    quick = ImagineSettings(generations=4, population=32, finalists=12)
    monkeypatch.setattr(sqam.imagine, "ImagineSettings", lambda: quick)
    told: list[int] = []
    found = engine.imagine("happy birthday", 2, 3, told.append)
    assert list(found) == ["text", "best_emoji", "drawings"] and sum(told) <= 12
    assert found["best_emoji"] == engine.rank([(["happy birthday"], 1, None)])[0][0]["matches"][0]
    assert [one["name"] for one in found["drawings"]] == ["imagined-01", "imagined-02"]
    for one in found["drawings"]:
        assert list(one) == ["name", "png", "code", "nearest", "score", "log_density"]
        assert -1 <= one["score"] <= 1 and shown(one["png"]).size == (144, 144)
    with pytest.raises(InputError, match="knows no word"):
        engine.imagine("xqzzt", 2, 3)


class EndedError(Exception):
    pass


def test_drawing_can_be_ended(engine):
    def end(_):
        raise EndedError

    for work in (
        lambda: engine.generate(2, 0, 1.0, end),
        lambda: engine.draw([("😀", 1.0)], None, True, 0, None, end),
        lambda: engine.morph("😀", "🐱", 2, end),
    ):
        with pytest.raises(EndedError):
            work()


def test_drawn(engine):
    parts = [("😀", 0.6), ("🐱", 0.4)]
    # 0.6 of the one code and 0.4 of the other; only their proportion counts.
    face, cat = engine.every.select(["😀", "🐱"]).codes
    code = (0.6 * face + 0.4 * cat).tolist()
    draft = engine.draw(parts, None, False, 0, None)
    assert list(draft) == ["png", "code", "nearest"]
    assert draft["code"] == pytest.approx(code, abs=1e-3)
    assert engine.draw([("😀", 6), ("🐱", 4)], None, False, 0, None) == draft
    offsets = [0.5] + [0.0] * 14 + [-1.0]
    moved = engine.draw(parts, offsets, True, 0, "my happy cat")
    assert moved["code"] == pytest.approx(np.add(code, offsets).tolist(), abs=1e-3)
    assert moved["png"] != draft["png"] and -1 <= moved["score"] <= 1
    assert engine.draw(parts, offsets, True, 0, "my happy cat") == moved
    # The score is that of the picture that is shown, encoded again.
    codec = Codec.load()
    picture = codec.draw(np.array([np.add(code, offsets)]))
    again = EmojiCodes(["drawing"], codec.encode(picture))
    assert moved["score"] == pytest.approx(
        engine.scorer.score(["my happy cat"], again)[0, 0], abs=1e-3
    )
    assert "score" not in engine.draw(parts, None, False, 0, "xqzzt")
    json.dumps(moved, allow_nan=False)


@pytest.mark.parametrize(
    ("parts", "said"),
    [([("x", 1.0)], "'x' is no emoji"), ([("😀", 0.0), ("🐱", 0.0)], "weights")],
)
def test_blends_that_are_refused(engine, parts, said):
    with pytest.raises(InputError, match=said):
        engine.draw(parts, None, False, 0, None)


def test_morphed(engine):
    frames = engine.morph("🍓", "🎂", 3)
    first, last = engine.every.select(["🍓", "🎂"]).codes
    codes = [first, (first + last) / 2, last]
    assert [list(frame) for frame in frames] == [["png", "code"]] * 3
    for frame, code in zip(frames, codes, strict=True):
        assert frame["code"] == pytest.approx(code.tolist(), abs=1e-3)
        assert shown(frame["png"]).size == (144, 144)
    with pytest.raises(InputError, match="'x' is no emoji"):
        engine.morph("🍓", "x", 3)


def test_emojis(engine):
    found = engine.emojis()
    assert [one["emoji"] for one in found] == list(engine.every.names)
    assert found[0] == {
        "emoji": "😀",
        "name": "grinning face",
        "group": "smileys & emotion",
        "version": "1.0",
    }


def test_models_of_ones_own(tmp_path):
    from sqam.server.engine import Engine

    with pytest.raises(InputError, match="holds no folder 'vae'"):
        Engine.load(tmp_path)
