"""A run on disk goes on where it stopped, and is never mixed with another."""

import pytest

from emoji_vae.errors import InputError
from pipelines.checkpoints import Checkpoints


class Model:
    """A model of one number, saved as Keras would save it."""

    def __init__(self, weight=0):
        self.weight = weight

    def save_weights(self, path):
        path.write_text(str(self.weight))

    def load_weights(self, path):
        self.weight = int(path.read_text())


def train(kept, *weights, best=()):
    for weight in weights:
        kept.history.append({"loss": float(weight)})
        kept.keep(Model(weight), best=weight in best)


def test_a_new_folder_has_nothing_to_restore(tmp_path):
    kept, model = Checkpoints(tmp_path / "run", {"seed": 0}), Model(7)
    assert not kept.restore(model) and model.weight == 7
    assert kept.history == [] and not kept.ended


def test_goes_on_with_the_last_and_knows_the_best(tmp_path):
    train(Checkpoints(tmp_path, {"seed": 0}), 5, 3, 4, best={5, 3})
    again, model = Checkpoints(tmp_path, {"seed": 0}), Model()
    assert again.restore(model) and model.weight == 4
    assert [row["loss"] for row in again.history] == [5, 3, 4]
    again.restore_best(model)
    assert model.weight == 3
    assert len(list(tmp_path.glob("epoch-*"))) == 1


def test_a_stop_before_the_log_is_written_loses_one_epoch_and_harms_none(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path, {"seed": 0})
    train(kept, 5)
    monkeypatch.setattr("pipelines.checkpoints.replacing", None)
    with pytest.raises(TypeError):
        train(kept, 6)
    again, model = Checkpoints(tmp_path, {"seed": 0}), Model()
    assert again.restore(model) and model.weight == 5 and len(again.history) == 1


def test_another_run_is_refused(tmp_path):
    train(Checkpoints(tmp_path, {"seed": 0, "widths": (1, 2)}), 5)
    assert Checkpoints(tmp_path, {"seed": 0, "widths": (1, 2)}).history
    with pytest.raises(InputError, match="other settings"):
        Checkpoints(tmp_path, {"seed": 1, "widths": (1, 2)})


def test_an_ended_run_stays_ended(tmp_path):
    kept = Checkpoints(tmp_path, {})
    kept.ended = True
    kept.keep(Model(1))
    assert Checkpoints(tmp_path, {}).ended
