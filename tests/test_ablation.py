"""The ablation: what it trains, what it writes, and that it goes on where it stopped."""

import dataclasses
import json

import pytest

from emoji_vae.locations import asset
from pipelines import ablation
from pipelines.train_sqam import TrainSettings, settings_from


@pytest.fixture
def trained(monkeypatch):
    """Have a training give figures that its seed and its teacher's share tell; list them."""
    calls = []
    # The groups that a real training has measured.
    groups = json.loads(asset("results", "sqam.json").read_text("utf-8"))["held-out"]

    def train(settings, output, work, data, cache, vae, taught_in):
        calls.append(settings)
        output.mkdir(parents=True)
        (output / "config.json").write_text('{"data": {"emojis.csv": "0"}}')
        figure = 0.5 + 0.1 * settings.seed - (0.25 if settings.taught == 0 else 0)
        measured = {"texts": 4, "hit@1": figure / 2, "hit@10": figure}
        return {"held-out": dict.fromkeys(groups, measured)}

    monkeypatch.setattr(ablation, "train", train)
    return calls


def command(tmp_path, *more):
    return [
        "--variants", "all", "without the teacher", "--seeds", "0", "2",
        "--work", str(tmp_path / "work"), "--output", str(tmp_path / "ablation.json"), *more,
    ]  # fmt: skip


def test_means_and_spreads_by_hand(tmp_path, trained, capsys):
    assert ablation.main(command(tmp_path)) == 0
    found = json.loads((tmp_path / "ablation.json").read_text("utf-8"))
    figures = {name: row["figures"]["keyword"]["hit@10"] for name, row in found["variants"].items()}
    # 0.5 and 0.7: mean 0.6, deviation sqrt(2 * 0.01) = 0.14142.
    assert figures["all"] == {"mean": 0.6, "sd": 0.14142, "values": [0.5, 0.7]}
    assert figures["without the teacher"]["mean"] == 0.35
    assert set(found["variants"]["all"]["figures"]) == set(ablation.SHOWN)
    assert found["seeds"] == [0, 2] and found["data"] == {"emojis.csv": "0"}
    assert capsys.readouterr().out.count("\n") == 4
    assert [(s.seed, s.taught) for s in trained] == [(0, 0.5), (0, 0), (2, 0.5), (2, 0)]
    assert all(s.epochs == 3 and s.unlabelled <= 60_000 for s in trained)


def test_a_run_goes_on_after_the_last_seed(tmp_path, trained):
    assert ablation.main(command(tmp_path)) == 0
    first = (tmp_path / "ablation.json").read_bytes()
    assert ablation.main(command(tmp_path)) == 0
    assert len(trained) == 4 and (tmp_path / "ablation.json").read_bytes() == first


def test_figures_of_other_settings_are_not_mixed_in(tmp_path, trained, monkeypatch, capsys):
    assert ablation.main(command(tmp_path)) == 0
    monkeypatch.setattr(ablation, "SHORT", ("epochs=2",))
    assert ablation.main(command(tmp_path)) == 2
    assert "other settings; remove it" in capsys.readouterr().err


def test_an_unknown_variant_is_named(tmp_path, trained, capsys):
    assert ablation.main([*command(tmp_path), "--variants", "without luck"]) == 2
    said = capsys.readouterr().err
    assert "'without luck'" in said and said.count("\n") == 1 and not trained


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_every_variant_is_one_change_that_exists(name):
    short = settings_from("default", ablation.SHORT)
    changed = settings_from("default", [*ablation.SHORT, *ablation.VARIANTS[name]])
    assert (changed == short) == (name == "all")
    assert short == dataclasses.replace(TrainSettings(), epochs=3, unlabelled=60_000, made=2_000)
