"""Choose the least cosine of `sqam emojify`, below which a sentence gets no emoji.

    python -m pipelines.calibrate_emojify                            # the model that ships
    python -m pipelines.calibrate_emojify --model build/models --output build/emojify.json

Measured on the validation part alone: sentences of the phrasebook, tweets with all their emojis,
and TweetEval's tweets, which have one emoji each; a text is ranked whole, since its emojis are
those of the whole. The best emoji of each text is right if it is among the text's own. For a
threshold, precision is the share of right ones among the emojis whose cosine reaches it, recall
that of right ones among all texts, coverage that of texts with an emoji.

The rule: the threshold with the best F0.5 (precision counts twice as much as recall, since a wrong
emoji is worse than none), averaged over the kinds of text; of equals the lowest. Right is
strict: one of 1,751 is asked for, and what would have fitted as well counts as wrong. How well the
cosine tells right from wrong emojis, `area under the curve` says (0.5 is chance). There is no set
of sentences that deserve no emoji, so none is measured. How sure the choice is, resampled texts
say.

The model was chosen on the same part, so its precision here is a little too good. `sqam/emojify.py`
holds the chosen value as ``MIN_SCORE``; change it there when the model or the rule changes.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import phrases, results
from sqam.scorer import Scorer


@dataclasses.dataclass(frozen=True)
class CalibrationSettings:
    """How the threshold is chosen.

    Attributes:
        kinds: of texts, which count alike.
        beta: of the F measure; below 1 precision counts more.
        step: between thresholds, from 0 to 1.
        resamples: of the texts, to see how sure the choice is.
        seed: of the resampling.
    """

    kinds: tuple[str, ...] = ("sentence", "tweet", "labelled tweet")
    beta: float = 0.5
    step: float = 0.01
    resamples: int = 200
    seed: int = 0

    def thresholds(self) -> np.ndarray:
        """Return the thresholds that are tried, ascending, float (n,)."""
        return np.round(np.arange(0, 1 + self.step / 2, self.step), 6)


def curve(scores: np.ndarray, right: np.ndarray, settings: CalibrationSettings) -> dict[str, Any]:
    """Measure each threshold.

    Args:
        scores: float (n,), the cosine of each text's best emoji; -inf where it has none.
        right: bool (n,), whether that emoji is among the text's own.
        settings: name the thresholds and beta.

    Returns:
        Arrays (n_thresholds,), in [0, 1]: ``coverage``, ``precision`` (NaN where no text gets an
        emoji), ``recall`` and ``F`` (0 where nothing is right).
    """
    inserted = scores[:, np.newaxis] >= settings.thresholds()
    hits = (inserted & right[:, np.newaxis]).sum(axis=0)
    count = inserted.sum(axis=0)
    weight = settings.beta**2
    return {
        "coverage": count / len(scores),
        "precision": np.divide(hits, count, out=np.full(len(hits), np.nan), where=count > 0),
        "recall": hits / len(scores),
        # (1 + b²) P R / (b² P + R) with P = hits / count and R = hits / n.
        "F": (1 + weight) * hits / (weight * len(scores) + count),
    }


def choose(
    measured: Mapping[str, tuple[np.ndarray, np.ndarray]], settings: CalibrationSettings
) -> float:
    """Return the threshold with the best F, averaged over the kinds; of equals the lowest.

    Args:
        measured: for each kind its scores and whether they are right, see ``curve``.
        settings: name the thresholds and beta.
    """
    mean = np.mean([curve(*kind, settings)["F"] for kind in measured.values()], axis=0)
    return float(settings.thresholds()[int(mean.argmax())])


def resampled(
    measured: Mapping[str, tuple[np.ndarray, np.ndarray]], settings: CalibrationSettings
) -> list[float]:
    """Return what ``choose`` gives on texts drawn with replacement, once a resample."""
    rng = np.random.default_rng(settings.seed)
    chosen = []
    for _ in range(settings.resamples):
        drawn = {}
        for kind, (scores, right) in measured.items():
            rows = rng.integers(0, len(scores), len(scores))
            drawn[kind] = (scores[rows], right[rows])
        chosen.append(choose(drawn, settings))
    return chosen


def measure(
    scorer: Scorer, codes: EmojiCodes, texts: Sequence[phrases.Phrase], kinds: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rank the validation texts of each kind; return scores and whether they are right.

    Raises:
        InputError: a kind without validation texts.
    """
    measured = {}
    for kind in kinds:
        part = [text for text in texts if text.kind == kind and text.split == "validation"]
        if not part:
            raise InputError(f"no validation text is a {kind!r}; name the data's folder")
        ranked = scorer.rank([text.text for text in part], codes, 1)
        scores = np.array([matches[0].score if matches else -np.inf for matches in ranked])
        right = [
            bool(matches) and catalogue().index(matches[0].emoji) in text.emojis
            for matches, text in zip(ranked, part, strict=True)
        ]
        measured[kind] = (scores, np.array(right))
    return measured


def _figures(
    scores: np.ndarray, right: np.ndarray, chosen: float, settings: CalibrationSettings
) -> dict[str, Any]:
    found = curve(scores, right, settings)
    place = settings.thresholds().tolist().index(chosen)
    return {
        "texts": len(scores),
        "without a threshold": _rounded({name: found[name][0] for name in found}),
        "at the chosen one": _rounded({name: found[name][place] for name in found}),
        "area under the curve": round(float(roc_auc_score(right, np.maximum(scores, -1))), 5)
        if 0 < right.sum() < len(right)
        else None,
        "curve": {
            name: [None if np.isnan(value) else round(value, 5) for value in values.tolist()]
            for name, values in found.items()
        },
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else round(float(value), 5) for name, value in values.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.calibrate_emojify", description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=asset("models"), help="folder with the folders sqam and vae"
    )
    parser.add_argument("--data", type=Path, default=phrases.DATA, help="folder of the sentences")
    parser.add_argument(
        "--output", type=Path, default=asset("results", "emojify.json"), help="results file"
    )
    return run(parser.prog, lambda: _calibrate(parser.parse_args(argv), argv))


def _calibrate(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    settings = CalibrationSettings()
    scorer = Scorer.load(options.model / "sqam")
    codes = EmojiCodes.load(options.model / "vae" / "codes.npz")
    texts = phrases.gather(catalogue(), options.data)
    measured = measure(scorer, codes, texts, settings.kinds)
    chosen = choose(measured, settings)
    again = resampled(measured, settings)
    read = phrases.Sources()
    figures = {
        kind: _figures(scores, right, chosen, settings)
        for kind, (scores, right) in measured.items()
    }
    results.write(
        options.output,
        {
            "command": results.command("pipelines.calibrate_emojify", argv),
            "settings": dataclasses.asdict(settings),
            "minimum score": chosen,
            "resampled": {
                "mean": round(float(np.mean(again)), 5),
                "sd": round(float(np.std(again, ddof=1)), 5),
                "5 % and 95 %": [round(float(q), 5) for q in np.quantile(again, [0.05, 0.95])],
            },
            "thresholds": settings.thresholds().tolist(),
            "figures": figures,
            "data": results.hashes(
                [
                    *phrases.book_files(phrases.BOOK),
                    options.data / read.tweets,
                    options.data / read.labelled_tweets.format("val"),
                    options.data / read.labels,
                    *(options.model / "sqam" / f"{name}.onnx" for name in ("question", "answer")),
                    options.model / "vae" / "codes.npz",
                ]
            ),
            "versions": results.versions(),
        },
    )
    for kind, found in figures.items():
        shown = found["at the chosen one"]
        print(f"{kind:15} {found['texts']:5} texts  coverage {shown['coverage']}", end="  ")
        print(
            f"precision {shown['precision']} (of all {found['without a threshold']['precision']})"
        )
    print(f"minimum score   {chosen}")


if __name__ == "__main__":
    sys.exit(main())
