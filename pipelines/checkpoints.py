"""A training run on disk: what it takes to go on after an interruption."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emoji_vae.errors import InputError
from emoji_vae.files import replacing

BEST = "best.weights.h5"
"""The file of the best weights, in a run's folder."""
LOG = "log.json"
"""The file of the run's settings and history there."""


class Checkpoints:
    """The last epoch's weights (with the optimizer's state) and the figures of all epochs.

    Attributes:
        folder: where they are; made.
        history: one row of figures an epoch; append to it, then ``keep``.
        ended: whether the run is over before its number of epochs.
        state: what else it takes to go on, as JSON has it; change it, then ``keep``.

    Args:
        folder: of this run alone.
        run: what makes the run what it is: settings, hashes of data.

    Raises:
        InputError: the folder holds another run.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.history: list[dict[str, float]] = []
        self.ended = False
        self.state: dict[str, Any] = {}
        self._run = json.loads(json.dumps(run))
        self._log = folder / LOG
        self._last: str | None = None
        if self._log.is_file():
            saved = json.loads(self._log.read_text(encoding="utf-8"))
            if saved["run"] != self._run:
                raise InputError(
                    f"{str(folder)!r} holds a run with other settings; remove it or name another "
                    "folder"
                )
            self.history, self.ended, self._last = saved["history"], saved["ended"], saved["last"]
            self.state = saved.get("state", {})

    def restore(self, model: Any) -> bool:
        """Load the last epoch's weights into a model; tell whether there were any."""
        if self._last is None:
            return False
        model.load_weights(self.folder / self._last)
        return True

    def restore_best(self, model: Any) -> None:
        """Load the weights that were kept as the best."""
        model.load_weights(self.folder / BEST)

    def keep(self, model: Any, best: bool = False) -> None:
        """Write the weights, as the best so far too if they are, and the log."""
        # The log names the weights that belong to it, so a stop between the two writes harms none.
        self._last = f"epoch-{len(self.history)}.weights.h5"
        model.save_weights(self.folder / self._last)
        if best:
            shutil.copy(self.folder / self._last, self.folder / BEST)
        with replacing(self._log, "w") as file:
            saved = {"history": self.history, "ended": self.ended, "last": self._last}
            saved["state"] = self.state
            json.dump({"run": self._run, **saved}, file, indent=1)
        for old in self.folder.glob("epoch-*.weights.h5"):
            if old.name != self._last:
                old.unlink()
