"""What the server does for each call, by the models that it has open; knows nothing of HTTP.

Every method may be called from any thread, and gives what JSON can hold. Those that draw take a
function that is called after each drawing, with how many there were; it may raise to end the work.
"""

import base64
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import model_folder
from emoji_vae.errors import InputError
from sqam.bulk import Ranking, Result, mended, no_matches, result_object, rounded
from sqam.emojify import Emojifying
from sqam.explain import as_object, explain
from sqam.imagine import imagine
from sqam.scorer import Match, Scorer

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF")
"""Kinds of picture that are read from strangers; Pillow knows dozens that hardly anyone sends."""

DRAWN_SIZE = 144
"""Pixels a side of a drawing, as ``sqam imagine`` writes it."""

_NEAREST = 3
_KEPT_SELECTIONS = 64

Progress = Callable[[int], object]


class Engine:
    """The models, opened once.

    Args:
        scorer: ranks; shared by all threads.
        codec: draws and encodes; shared as well.
        every: the codes of all emojis.
    """

    def __init__(self, scorer: Scorer, codec: Codec, every: EmojiCodes) -> None:
        self.scorer = scorer
        self.every = every
        self._codec = codec
        # The same few emojis are often asked for again, and the scorer knows them by the object.
        self._select = functools.lru_cache(_KEPT_SELECTIONS)(every.select)
        # What is slow the first time is done now: the answers of all emojis, and one drawing.
        scorer.answers(every)
        codec.draw(every.codes[:1])
        _ = codec.prior

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Open the models that ship, or those of a folder laid out like assets/models.

        Raises:
            InputError: a folder or a file is missing, corrupt or of another kind.
        """
        vae = model_folder(folder, "vae")
        # One thread a call: calls run side by side, and small ones gain nothing from more.
        return cls(
            Scorer.load(model_folder(folder, "sqam"), threads=1),
            Codec.load(vae, threads=1),
            EmojiCodes.load(None if vae is None else vae / "codes.npz"),
        )

    def candidates(self, among: Sequence[str] | None) -> EmojiCodes:
        """Return the codes of these emojis, of all if None.

        Raises:
            InputError: what is no emoji of the catalogue.
        """
        return self.every if among is None else self._select(tuple(among))

    def rank(
        self, requests: Sequence[tuple[Sequence[str], int, Sequence[str] | None]]
    ) -> list[list[Result] | InputError]:
        """Rank emojis for the texts of several requests, which the network reads together.

        Args:
            requests: of each the texts, how many matches a text gets, and what among.

        Returns:
            For each request one result a text, or what is wrong with it.
        """
        questions = self.scorer.questions([text for texts, _, _ in requests for text in texts])
        found: list[list[Result] | InputError] = []
        end = 0
        for texts, k, among in requests:
            start, end = end, end + len(texts)
            try:
                ranked = self.scorer.rank_questions(questions[start:end], self.candidates(among), k)
                found.append([result_object(*pair) for pair in zip(texts, ranked, strict=True)])
            except InputError as error:
                found.append(error)
        return found

    def explain(self, text: str, k: int, among: Sequence[str] | None) -> Any:
        """Tell which words pulled a text's first emojis up, see `sqam.explain`.

        Raises:
            InputError: a text without a known word, or what is no emoji.
        """
        return as_object(explain(text, self.scorer, self.candidates(among), k))

    def emojify(
        self,
        texts: Sequence[str],
        max_per_sentence: int,
        min_score: float,
        among: Sequence[str] | None,
    ) -> Any:
        """Put emojis into texts, see `sqam.emojify`; raises InputError for what is no emoji."""
        candidates = self.candidates(among)
        return Emojifying(self.scorer, candidates, max_per_sentence, min_score).results(texts)

    def rank_pictures(
        self, text: str, pictures: Sequence[tuple[str, bytes]], max_pixels: int
    ) -> list[dict[str, Any]]:
        """Rank pictures for a text by their codes, best first; none if no word is known.

        Args:
            text: any text.
            pictures: at least one: its name, which is only given back, and its file.
            max_pixels: of one picture.

        Raises:
            InputError: a file that is no picture, or has more pixels.
        """
        read = []
        for number, (_, content) in enumerate(pictures):
            try:
                read.append(
                    images.read(io.BytesIO(content), max_pixels=max_pixels, formats=FORMATS)
                )
            except InputError as error:
                raise InputError(f"picture {number}: {error}") from error
        shown = np.stack(read)
        codes = self._codec.encode(shown)
        names = [name for name, _ in pictures]
        (best,) = self.scorer.best([text], EmojiCodes(names, codes), len(names))
        (others,) = self.scorer.score([text], self.every)
        return [
            {
                "picture": row,
                "name": mended(names[row]),
                "score": rounded(score),
                "place": 1 + int((others > score).sum()),
                **self._drawing(codes[row], shown[row], images.SIZE),
            }
            for row, score in best
        ]

    def generate(
        self, n: int, seed: int, temperature: float, progress: Progress | None = None
    ) -> list[dict[str, Any]]:
        """Draw emojis that did not exist before, see `Codec.sample`."""
        drawn = self._codec.sample(n, seed, temperature, progress)
        return self._named(drawn)

    def imagine(
        self, text: str, n: int, seed: int, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Draw emojis for a text, see `sqam.imagine`.

        Raises:
            InputError: a text without a known word, or no drawing that is likely and new.
        """
        (best,) = Ranking(self.scorer, self.every, 1).results([text])
        if not best["matches"]:
            raise InputError(no_matches(text))
        found = imagine(self.scorer, self._codec, text, self.every, n, seed, progress=progress)
        scores = zip(found.scores, found.log_density, strict=True)
        return {
            "text": text,
            "best_emoji": best["matches"][0],
            "drawings": [
                {**drawing, "score": rounded(score), "log_density": rounded(log_density)}
                for drawing, (score, log_density) in zip(
                    self._named(found.codes), scores, strict=True
                )
            ],
        }

    def draw(
        self,
        parts: Sequence[tuple[str, float]],
        offsets: Sequence[float] | None,
        finish: bool,
        seed: int,
        text: str | None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Draw the weighted mean of emojis, moved by offsets.

        Args:
            parts: emojis and their weights, of which one is above 0.
            offsets: 16 numbers that are added to the code.
            finish: whether the detail is drawn as well, see `Codec.draw`.
            seed: of the detail.
            text: the drawing, encoded again, is scored with it; not if no word of it is known.
            progress: called once with 1 if the drawing was finished.

        Raises:
            InputError: what is no emoji, weights that are all 0, or a code beyond all pictures.
        """
        codes = self.every.select([emoji for emoji, _ in parts]).codes
        code = self._codec.blend(codes, [weight for _, weight in parts])
        if offsets is not None:
            code = code + np.asarray(offsets, np.float32)
        point = code[np.newaxis]
        shown = self._codec.draw(point, seed, progress) if finish else self._codec.decode(point)
        found = self._drawing(code, shown[0], DRAWN_SIZE)
        if text is not None and self.scorer.known([text])[0]:
            again = EmojiCodes(["drawing"], self._codec.encode(shown))
            found["score"] = rounded(self.scorer.score([text], again)[0, 0])
        return found

    def morph(
        self, start: str, end: str, steps: int, progress: Progress | None = None
    ) -> list[dict[str, Any]]:
        """Draw the way from one emoji to another, both in; raises InputError for no emoji."""
        first, last = self.every.select([start, end]).codes
        codes = self._codec.morph(first, last, steps)
        shown = self._codec.draw(codes, progress=progress, steady=True)
        return [
            {"png": _data_uri(picture, DRAWN_SIZE), "code": _numbers(code)}
            for picture, code in zip(shown, codes, strict=True)
        ]

    @staticmethod
    def emojis() -> list[dict[str, Any]]:
        """Return the catalogue, in its order."""
        return [
            {
                "emoji": emoji.sequence,
                "name": emoji.name,
                "group": emoji.group,
                "version": emoji.version,
            }
            for emoji in catalogue()
        ]

    def _named(self, drawn: EmojiCodes) -> list[dict[str, Any]]:
        assert drawn.pictures is not None  # drawings come with them
        return [
            {"name": name, **self._drawing(code, picture, DRAWN_SIZE)}
            for name, code, picture in zip(drawn.names, drawn.codes, drawn.pictures, strict=True)
        ]

    def _drawing(self, code: np.ndarray, picture: np.ndarray, size: int) -> dict[str, Any]:
        return {
            "png": _data_uri(picture, size),
            "code": _numbers(code),
            "nearest": [
                {
                    "emoji": emoji,
                    "name": Match.of(emoji, 0.0).name,
                    "distance": rounded(distance),
                }
                for emoji, distance in self.every.nearest(code, _NEAREST)
            ],
        }


def _numbers(code: np.ndarray) -> list[float]:
    return [rounded(number) for number in code]


def _data_uri(picture: np.ndarray, size: int) -> str:
    file = io.BytesIO()
    images.to_image(picture, size).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
