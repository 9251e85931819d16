"""The calls, as the OpenAPI tells of them: what each takes and gives, with examples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from sqam.server import schemas

_PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA"
    "60e6kgAAAABJRU5ErkJggg=="
)
_CODE = [
    0.0813, -1.2057, 0.4471, 2.0316, -0.3382, 0.9127, -1.7744, 0.1205,
    1.3018, -0.5526, 0.0391, -2.2183, 0.6604, 1.0479, -0.8215, 0.2967,
]  # fmt: skip
_NEAREST = [
    {"emoji": "🎂", "name": "birthday cake", "distance": 2.4107},
    {"emoji": "🧁", "name": "cupcake", "distance": 2.6533},
    {"emoji": "🍰", "name": "shortcake", "distance": 2.9018},
]
_DRAWING = {"png": _PNG, "code": _CODE, "nearest": _NEAREST}
_PARTY = {"emoji": "🥳", "name": "partying face", "score": 0.7316}


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        path, method: where it is, the method in lower case.
        summary: one line.
        gives: the model of its answer.
        answer: an example of it.
        takes: the model of its JSON body, form or query; None if it takes nothing.
        examples: name -> an example of what it takes.
        form: whether that is a form, which has pictures beside its fields.
        slow: whether it has ``slow_timeout`` to answer.
    """

    path: str
    method: str
    summary: str
    gives: type[BaseModel]
    answer: Mapping[str, Any]
    takes: type[schemas.Body] | None = None
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    form: bool = False
    slow: bool = False


RANK = Call(
    "/v1/rank",
    "post",
    "Rank emojis for one text or several",
    schemas.RankedTexts,
    {"results": [{"text": "Congrats on the new job!", "matches": [_PARTY]}]},
    schemas.Rank,
    {
        "one text": {"text": "Congrats on the new job!", "k": 3},
        "several texts": {"texts": ["good morning", "so tired of this rain"]},
        "among a few": {"text": "let's play", "among": ["❤️", "⚾", "😄", "😞", "🍴"]},
    },
)
EXPLAIN = Call(
    "/v1/explain",
    "post",
    "Tell which words pulled a text's first emojis up",
    schemas.Explained,
    {
        "text": "We ate pizza",
        "explanations": [
            {
                "emoji": "🍕",
                "name": "pizza",
                "score": 0.9612,
                "tokens": [
                    {"token": "we", "pull": 0.0021, "start": 0, "end": 2},
                    {"token": "ate", "pull": 0.0158, "start": 3, "end": 6},
                    {"token": "pizza", "pull": 0.4376, "start": 7, "end": 12},
                ],
            }
        ],
        "passed over": [],
    },
    schemas.Explain,
    {"the best emoji": {"text": "We ate pizza", "k": 1}},
)
EMOJIFY = Call(
    "/v1/emojify",
    "post",
    "Put a fitting emoji after each sentence",
    schemas.EmojifiedTexts,
    {
        "results": [
            {
                "text": "Lets get coffee and talk.",
                "emojified": "Lets get coffee and talk. ☕",
                "insertions": [
                    {"position": 25, "emoji": "☕", "name": "hot beverage", "score": 0.8124}
                ],
            }
        ]
    },
    schemas.Emojify,
    {
        "one text": {"text": "Lets get coffee and talk. Love you!"},
        "more of them": {"texts": ["We won! What a day."], "max_per_sentence": 2, "min_score": 0.4},
    },
)
RANK_PICTURES = Call(
    "/v1/rank-pictures",
    "post",
    "Rank uploaded pictures for a text",
    schemas.RankedPictures,
    {
        "text": "good morning",
        "matches": [{"picture": 0, "name": "sun.png", "score": 0.4471, "place": 112, **_DRAWING}],
    },
    schemas.RankPictures,
    {"two pictures": {"text": "good morning", "pictures": ["sun.png", "logo.png"]}},
    form=True,
    slow=True,
)
GENERATE = Call(
    "/v1/generate",
    "get",
    "Draw emojis that did not exist before",
    schemas.Generated,
    {"drawings": [{"name": "generated-0001", **_DRAWING}]},
    schemas.Generate,
    {"two drawings": {"n": 2, "seed": 7, "temperature": 0.8}},
    slow=True,
)
IMAGINE = Call(
    "/v1/imagine",
    "post",
    "Draw emojis for a text that are none of those that exist",
    schemas.Imagined,
    {
        "text": "happy birthday, old friend",
        "best_emoji": _PARTY,
        "drawings": [{"name": "imagined-01", **_DRAWING, "score": 0.7022, "log_density": -22.8105}],
    },
    schemas.Imagine,
    {"two drawings": {"text": "happy birthday, old friend", "n": 2}},
    slow=True,
)
DRAW = Call(
    "/v1/draw",
    "post",
    "Draw the weighted mean of emojis, moved in the 16 dimensions",
    schemas.Drawn,
    {**_DRAWING, "score": 0.5113},
    schemas.Draw,
    {
        "a blend, scored": {
            "blend": [{"emoji": "😀", "weight": 0.6}, {"emoji": "🐱", "weight": 0.4}],
            "text": "my happy cat",
        },
        "a quick draft, moved": {
            "blend": [{"emoji": "🍓"}],
            "offsets": [1.5] + [0.0] * 15,
            "finish": False,
        },
    },
    slow=True,
)
MORPH = Call(
    "/v1/morph",
    "post",
    "Draw the way from one emoji to another",
    schemas.Morphed,
    {"frames": [{"png": _PNG, "code": _CODE}, {"png": _PNG, "code": _CODE}]},
    schemas.Morph,
    {"four steps": {"from": "😀", "to": "🐱", "steps": 4}},
    slow=True,
)
EMOJIS = Call(
    "/v1/emojis",
    "get",
    "List all emojis, in the order of the pictures in /static/emojis.png",
    schemas.Emojis,
    {
        "emojis": [
            {
                "emoji": "😀",
                "name": "grinning face",
                "group": "smileys & emotion",
                "version": "1.0",
            }
        ]
    },
)
CALLS = (RANK, EXPLAIN, EMOJIFY, RANK_PICTURES, GENERATE, IMAGINE, DRAW, MORPH, EMOJIS)
