"""What each call takes and gives, as pydantic models: they check requests and make the OpenAPI.

Requests are read strictly: "5" and true are no numbers, and a field that does not exist is an
error. What is said of an emoji, a drawing or a text is what the command line says with ``--json``.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from emoji_vae.codes import SIZE
from emoji_vae.prior import MAX_TEMPERATURE
from sqam.emojify import MIN_SCORE
from sqam.text import MAX_CHARACTERS

MAX_TEXT = MAX_CHARACTERS
"""Characters of a text; the model would read no further."""

MAX_TEXTS = 100
MAX_K = 100
MAX_AMONG = 2_000
"""More than there are emojis, each of which may be named with its skin tones."""

MAX_EMOJI = 64
"""Characters of one emoji; the longest that Unicode recommends has 15."""

MAX_PER_SENTENCE = 10
MAX_DRAWINGS = 16
MAX_PARTS = 8
MAX_WEIGHT = 1_000_000.0
MAX_OFFSET = 8.0
MAX_STEPS = 32
MAX_SEED = 2**31 - 1


class Body(BaseModel):
    """What all requests have in common: strict types, no unknown field."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


Text = Annotated[str, Field(max_length=MAX_TEXT, description="Any text; the model reads English.")]
Emoji = Annotated[str, Field(min_length=1, max_length=MAX_EMOJI)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="Equal seeds draw equal emojis.")]
Among = Annotated[
    Annotated[list[Emoji], Field(min_length=1, max_length=MAX_AMONG)] | None,
    Field(description="Choose from these emojis; from all that there are if left out."),
]
K = Annotated[int, Field(ge=1, le=MAX_K, description="Matches for each text, at most.")]


class Texts(Body):
    """One text to work on, or several."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["texts"]}]}
    )

    # Not None where it is left out, so that null is refused.
    text: Annotated[Text, Field(default_factory=str)]
    texts: Annotated[list[Text], Field(default_factory=list, max_length=MAX_TEXTS)]

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if len({"text", "texts"} & self.model_fields_set) != 1:
            raise PydanticCustomError("one_of", "give either text or texts")
        return self

    @property
    def given(self) -> list[str]:
        """The texts, in order."""
        return self.texts if "texts" in self.model_fields_set else [self.text]


class Rank(Texts):
    """Rank emojis for a text, or for several."""

    k: K = 10
    among: Among = None


class Emojify(Texts):
    """Put emojis into a text, or into several."""

    max_per_sentence: Annotated[
        int, Field(ge=1, le=MAX_PER_SENTENCE, description="Emojis after a sentence, at most.")
    ] = 1
    min_score: Annotated[
        float, Field(ge=-1, le=1, description="The least cosine of an emoji that is put in.")
    ] = MIN_SCORE
    among: Among = None


class Explain(Body):
    """Tell which words of a text pulled its first emojis up."""

    text: Text
    k: K = 3
    among: Among = None


class RankPictures(Body):
    """The fields of the form beside its pictures."""

    text: Text


class Generate(Body):
    """Draw emojis that did not exist before."""

    n: Annotated[int, Field(ge=1, le=MAX_DRAWINGS, description="How many drawings.")] = 8
    seed: Seed = 0
    temperature: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_TEMPERATURE,
            description="Below 1 nearer to what is usual, above 1 farther from it.",
        ),
    ] = 1.0


class Imagine(Body):
    """Draw emojis that fit a text and are none that exist."""

    text: Text
    n: Annotated[int, Field(ge=1, le=MAX_DRAWINGS, description="How many drawings.")] = 4
    seed: Seed = 0


class Part(Body):
    """An emoji of a blend, and how much of it."""

    emoji: Emoji
    weight: Annotated[
        float, Field(ge=0, le=MAX_WEIGHT, description="What counts is the proportion.")
    ] = 1.0


class Draw(Body):
    """Draw the weighted mean of emojis, moved in any of the 16 dimensions."""

    blend: Annotated[list[Part], Field(min_length=1, max_length=MAX_PARTS)]
    offsets: Annotated[
        Annotated[
            list[Annotated[float, Field(ge=-MAX_OFFSET, le=MAX_OFFSET)]],
            Field(min_length=SIZE, max_length=SIZE),
        ]
        | None,
        Field(description="Added to the blend's code."),
    ] = None
    finish: Annotated[
        bool, Field(description="False gives the decoder's draft, which is quick.")
    ] = True
    seed: Seed = 0
    text: Annotated[
        Text | None, Field(description="Score the drawing, encoded again, with this text.")
    ] = None


class Morph(Body):
    """Turn one emoji into another."""

    start: Annotated[Emoji, Field(alias="from")]
    end: Annotated[Emoji, Field(alias="to")]
    steps: Annotated[int, Field(ge=2, le=MAX_STEPS, description="Pictures, both ends in.")] = 8


Score = Annotated[float, Field(ge=-1, le=1, description="A cosine, rounded to four digits.")]
Code = Annotated[list[float], Field(min_length=SIZE, max_length=SIZE)]
Png = Annotated[str, Field(pattern="^data:image/png;base64,", description="A data URI.")]


class Match(BaseModel):
    """An emoji that fits."""

    emoji: str
    name: str
    score: Score


class Ranked(BaseModel):
    """A text and its emojis, best first; none where the model knows no word of the text."""

    text: str
    matches: list[Match]


class RankedTexts(BaseModel):
    """One result a text, in order."""

    results: list[Ranked]


class Token(BaseModel):
    """A word as the model read it, and how far it pulled the emoji up, or down below zero."""

    token: str
    pull: Annotated[float, Field(ge=-2, le=2)]
    start: Annotated[int, Field(ge=0, description="Where in the text, in code points.")]
    end: Annotated[int, Field(ge=0)]


class ExplainedMatch(Match):
    """A match and its words, in the order of the text."""

    tokens: list[Token]


class Explained(BaseModel):
    """A text, its best matches explained, and its words that the model does not know."""

    text: str
    explanations: list[ExplainedMatch]
    passed_over: Annotated[list[str], Field(alias="passed over")]


class Insertion(Match):
    """An emoji that was put in, and how many characters of the text stand before it."""

    position: Annotated[int, Field(ge=0)]


class EmojifiedText(BaseModel):
    """A text as it was, as it is with emojis, and these."""

    text: str
    emojified: str
    insertions: list[Insertion]


class EmojifiedTexts(BaseModel):
    """One result a text, in order."""

    results: list[EmojifiedText]


class Neighbour(BaseModel):
    """An emoji whose code is near, and the Euclidean distance."""

    emoji: str
    name: str
    distance: Annotated[float, Field(ge=0)]


class Picture(BaseModel):
    """A picture and its code."""

    png: Png
    code: Code


class Drawing(Picture):
    """A picture, its code and the three nearest emojis."""

    nearest: list[Neighbour]


class RankedPicture(Drawing):
    """An upload: which one, its name as given, its score and its place among all emojis."""

    picture: Annotated[int, Field(ge=0, description="Which of the uploads, from 0.")]
    name: str
    score: Score
    place: Annotated[int, Field(ge=1, description="1 + how many of all emojis score higher.")]


class RankedPictures(BaseModel):
    """The uploads, best first; none where the model knows no word of the text."""

    text: str
    matches: list[RankedPicture]


class NamedDrawing(Drawing):
    """A new emoji."""

    name: str


class Generated(BaseModel):
    """New emojis."""

    drawings: list[NamedDrawing]


class ImaginedDrawing(NamedDrawing):
    """A new emoji for a text, and the logarithm of the prior's density at its code."""

    score: Score
    log_density: float


class Imagined(BaseModel):
    """New emojis for a text, best first, beside the best that exists."""

    text: str
    best_emoji: Match
    drawings: list[ImaginedDrawing]


class Drawn(Drawing):
    """A blend; ``code`` is the point that was asked for, ``score`` that of the drawing."""

    score: Score | None = None


class Morphed(BaseModel):
    """The pictures from one emoji to the other."""

    frames: list[Picture]


class CatalogueEmoji(BaseModel):
    """One emoji of the catalogue."""

    emoji: str
    name: str
    group: str
    version: str


class Emojis(BaseModel):
    """All emojis, in the order in which ``/static/emojis.png`` has their pictures."""

    emojis: list[CatalogueEmoji]


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    pointer: Annotated[str, Field(description="Where in the body or the query, as a JSON pointer.")]
    detail: str


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it; ``detail`` is one line that says what to mend."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[Wrong] | None = None
