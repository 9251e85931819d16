"""What trained students say beside their teacher: labels for a second round of training.

    python -m pipelines.students build/sqam/default-?/model    # labels in build/students

Several students together are right more often than one of them, and with their teacher more often
than the teacher alone, so a second round learns from the mixture (Furlanello et al.: Born-Again
Neural Networks, ICML 2018). The results file has how often each is right on the validation part.
"""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import make_folder, replacing
from pipelines import glove, phrases, results, sources, teacher
from pipelines.evaluate import hits_in
from pipelines.teacher import Labels, TeacherSettings, likeliest, mix
from sqam.scorer import Scorer

FOLDER = Path("build/students")
"""Where the mixed labels are kept, relative to the working directory."""


@dataclasses.dataclass(frozen=True)
class StudentSettings:
    """How students and their teacher are mixed."""

    share: float = 0.35
    """The students' share of a label; the rest is the teacher's."""
    sharpness: float = 20.0
    """By which a student's cosines become shares: that of its loss."""
    chunk: int = 4_096
    """Texts at a time."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.share <= 1 or not self.sharpness > 0 or self.chunk < 1:
            raise InputError(
                "share must be from 0 to 1, sharpness above 0 and chunk at least 1; they are "
                f"{self.share}, {self.sharpness} and {self.chunk}"
            )


def shares_of(
    students: Sequence[Scorer],
    texts: Sequence[str],
    codes: EmojiCodes,
    sharpness: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how likely students find each answer, on average.

    Args:
        students: one or more.
        texts: n of them.
        codes: the answers.
        sharpness: of the softmax over a student's cosines.

    Returns:
        float32 (n, len(codes)), whose rows add up to 1, and bool (n,), which texts have a word that
        all students know; the others' rows say nothing.
    """
    mean = np.zeros((len(texts), len(codes)), dtype=np.float32)
    for student in students:
        likely = np.exp(sharpness * (student.score(texts, codes) - 1))
        mean += likely / likely.sum(axis=1, keepdims=True) / len(students)
    return mean, np.all([student.known(texts) for student in students], axis=0)


def chunks(n: int, size: int) -> Iterator[slice]:
    """Yield the slices of n texts, with a progress bar."""
    with tqdm(total=n, unit="text", leave=False, disable=None) as shown:
        for start in range(0, n, size):
            yield slice(start, start + size)
            shown.update(min(size, n - start))


def figures(found: Sequence[phrases.Phrase], told: dict[str, Labels]) -> dict[str, Any]:
    """Return how often each is right on the validation part: kind -> who -> hit@1 and hit@10.

    Args:
        found: phrases.
        told: what each says of them, in their order.
    """
    table: dict[str, Any] = {}
    for kind in phrases.KINDS:
        rows = [i for i, p in enumerate(found) if p.split == "validation" and p.kind == kind]
        if rows:
            correct = [found[row].emojis for row in rows]
            table[kind] = {"texts": len(rows)} | {
                who: {f"hit@{k}": hits_in(said.rows[rows, :k], correct) for k in (1, 10)}
                for who, said in told.items()
            }
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.students", description=__doc__)
    add = parser.add_argument
    add("models", type=Path, nargs="+", help="folders of exported students")
    add(
        "--share",
        type=float,
        default=StudentSettings.share,
        help="the students' share of a label",
    )
    add(
        "--teacher",
        type=Path,
        default=teacher.FOLDER,
        help="folder of the teacher's labels",
    )
    add("--data", type=Path, default=phrases.DATA, help="folder of the sentences")
    add(
        "--cache",
        type=Path,
        default=sources.CACHE,
        help="folder of downloaded packages",
    )
    add("--glove", default="100d", help="word vectors, as the teacher was told")
    add("--output", type=Path, default=FOLDER, help="folder of the mixed labels")
    add(
        "--results",
        type=Path,
        help="results file; default: students.json in that folder",
    )

    def work() -> None:
        arguments = parser.parse_args(argv)
        settings = StudentSettings(share=arguments.share)
        students = [Scorer.load(folder) for folder in arguments.models]
        names = catalogue()
        codes = EmojiCodes.load()
        known = phrases.known(names, arguments.data, None)
        words = glove.load(arguments.glove, arguments.cache)
        taught = TeacherSettings()
        more, tweets = teacher.texts(
            taught, words, known.phrases, known.dropped, arguments.data, arguments.cache
        )
        said, _ = teacher.labels(
            taught,
            known.phrases,
            more,
            len(codes),
            arguments.cache,
            arguments.teacher,
            tweets,
        )
        texts = [*(phrase.text for phrase in known.phrases), *more]
        mixed = Labels(np.empty_like(said.rows), np.empty_like(said.shares))
        alone = Labels(np.empty_like(said.rows), np.empty_like(said.shares))
        for part in chunks(len(texts), settings.chunk):
            likely, readable = shares_of(students, texts[part], codes, settings.sharpness)
            of_part = Labels(said.rows[part], said.shares[part])
            found = mix(of_part, likely, readable, settings.share)
            mixed.rows[part], mixed.shares[part] = found
            alone.rows[part], alone.shares[part] = likeliest(likely, said.rows.shape[1])
        make_folder(arguments.output)
        file = arguments.output / teacher.labels_file(
            taught, known.phrases, more, len(codes), tweets
        )
        teacher.keep(mixed, file)
        # What else a training takes from the folder of its teacher.
        for words_read in arguments.teacher.glob(teacher.WORDS):
            with replacing(arguments.output / words_read.name) as copy:
                copy.write(words_read.read_bytes())
        told = {"teacher": said, "students": alone, "mixed": mixed}
        table = figures(known.phrases, told)
        results.write(
            arguments.results or arguments.output / "students.json",
            {
                "command": results.command("pipelines.students", argv),
                "settings": dataclasses.asdict(settings),
                "data": {
                    **teacher.hashes(),
                    "teacher's labels": results.sha256(arguments.teacher / file.name),
                    "mixed labels": results.sha256(file),
                    # Their words' vectors and config.json too: the latter has their data's hashes.
                    "students": [results.hashes(sorted(f.iterdir())) for f in arguments.models],
                },
                "versions": results.versions(),
                "validation": table,
            },
        )
        for kind, row in table.items():
            cells = "   ".join(f"{who} {row[who]['hit@1']:.1%}" for who in told)
            print(f"{kind:15} {row['texts']:5} texts   validation hit@1   {cells}")

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
