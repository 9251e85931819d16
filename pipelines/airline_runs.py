"""The ways in which ``pipelines.airline`` trains on the airline tweets."""

import dataclasses
from typing import Literal

from emoji_vae.errors import InputError
from pipelines.airline_teacher import AirlineTeacherSettings
from sqam.model import SQAMSettings


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """One way to train; saved with its figures."""

    model: SQAMSettings
    answers: Literal["three", "all"] = "three"
    """``all``: every emoji of the catalogue is an answer, and those that people scored as of a
    tweet's sentiment are right as well; the phrasebook is trained on too."""
    tweets: int | None = None
    """How many training tweets are drawn, by the seed; None takes all."""
    validation: float = 0.0
    """Share of these that is not trained on; its loss is kept, epoch by epoch."""
    epochs: int = 5
    average: int = 1
    """Epochs, the last ones, whose weights are averaged."""
    members: int = 1
    """Models of different seeds whose cosines are averaged: together they are one model, whose
    space is theirs side by side."""
    words: int = 12_000
    """The most frequent words of the training tweets make the vocabulary; at most so many."""
    rare: int = 3
    """How often a word that GloVe lacks must be there to be one of them."""
    evidence: bool = False
    """Start the last three numbers of each word's vector from what a linear classifier finds in its
    characters; see ``evidence``. The vocabulary goes on with GloVe's words that no tweet has."""
    frequent: int = 8_000
    """So many of these, with evidence."""
    others: float = 0.5
    """With all answers: the grade of the emojis of the same sentiment, that of the study being 1;
    the loss draws one by grade."""
    doubt: bool = False
    """Grade an answer as sure as those who labelled the tweet were; the other two share the rest.
    Only the loss in its smooth form heeds how high grades are."""
    taught: float = 0.0
    """Share of a tweet's grades that a teacher says, see ``pipelines.airline_teacher``; the rest is
    as labelled. Only the loss in its smooth form heeds it."""
    unlabelled: int = 0
    """Variations of training tweets an epoch, drawn anew each time, with the teacher's grades."""
    teacher: AirlineTeacherSettings = dataclasses.field(default_factory=AirlineTeacherSettings)
    sentences: int = 2
    """With all answers: how often an epoch shows each sentence of the phrasebook."""
    pretrained: bool = False
    """Start from the networks that ship; the model's layers must be as wide as theirs."""

    def __post_init__(self) -> None:
        if not 1 <= self.average <= self.epochs or min(self.members, self.words, self.rare) < 1:
            raise InputError(
                "epochs, members, words and rare must be at least 1, average at most epochs"
            )
        if self.answers not in ("three", "all") or min(self.frequent, self.sentences) < 0:
            raise InputError("answers is three or all; frequent and sentences are at least 0")
        if not 0 <= self.taught <= 1 or self.unlabelled < 0:
            raise InputError("taught must be from 0 to 1, unlabelled at least 0")
        if (self.taught or self.unlabelled) and (
            self.tweets is not None or self.validation or self.model.sharpness is None
        ):
            raise InputError("a teacher goes with all tweets and the loss in its smooth form")
        if not 0 <= self.validation < 1 or (self.tweets is not None and self.tweets < 2):
            raise InputError("validation must be from 0 to below 1, tweets at least 2")


_STUDY = SQAMSettings.preset("2017")
_OURS = SQAMSettings(
    max_tokens=40, tune_embedding=True, attention=False, lstm_units=64, question_units=(128,),
    answer_units=(128,), shared_units=(64,), space=32, dropout=0.3, view_share=0.0,
    learning_rate=0.003, margin=0.5, sharpness=None, batch=64,
)  # fmt: skip
_SHIPPED = SQAMSettings(
    dimensions=103, max_tokens=40, tune_embedding=True, dropout=0.3, view_share=0.0,
    learning_rate=0.001, batch=64,
)  # fmt: skip
_WIDE: tuple[int, ...] = (1, 2, 3)

RUNS: dict[str, RunSettings] = {
    "2017": RunSettings(_STUDY, tweets=5_000, validation=0.2, epochs=3, words=2_000),
    "2017, both others": RunSettings(
        dataclasses.replace(_STUDY, negatives=None),
        tweets=5_000, validation=0.2, epochs=3, words=2_000,
    ),
    "2017, all tweets": RunSettings(_STUDY, epochs=3, words=2_000),
    "bi-LSTM": RunSettings(_OURS),
    "with convolutions": RunSettings(dataclasses.replace(_OURS, convolutions=_WIDE)),
    "with attention": RunSettings(dataclasses.replace(_OURS, attention=True)),
    "with both": RunSettings(dataclasses.replace(_OURS, convolutions=_WIDE, attention=True)),
    "ours": RunSettings(
        _SHIPPED, evidence=True, epochs=4, average=2, members=3, pretrained=True,
        taught=0.7, unlabelled=24_000,
    ),
    "all emojis": RunSettings(
        dataclasses.replace(_SHIPPED, batch=128),
        answers="all", evidence=True, epochs=3, others=1.0, sentences=0, pretrained=True,
    ),
}  # fmt: skip
"""By name. The first three repeat the study, the next four compare text sides, all else alike."""
