"""The comparison of designs: each can be, and the table holds what was measured."""

import dataclasses
import json
import types
from typing import Any

import numpy as np
import pytest

from emoji_vae import images
from emoji_vae.model import VAESettings
from pipelines import compare_vae as module
from pipelines import views
from pipelines.compare_vae import DESIGNS, DIMENSIONS, SIZES, WEIGHTS, main, picture


@pytest.mark.parametrize("name", list(DESIGNS))
def test_each_design_differs_from_the_default_in_what_it_says(name):
    settings = VAESettings.of("default", **DESIGNS[name])
    assert (settings == VAESettings()) == (name == "default")


def test_unknown_design(capsys):
    assert main(["--designs", "better"]) == 2
    error = capsys.readouterr().err
    assert "'better'" in error and error.count("\n") == 1


def test_the_table(tmp_path, monkeypatch):
    sheet = images.sheet()[:80]

    class FewEmojis:
        pictures, train = sheet, np.arange(80) % 2 == 0

        def figures(self, encode, decode):
            return {"numbers": float(encode(sheet).shape[1])}

    few = FewEmojis()
    monkeypatch.setattr(views, "load", lambda vendor, cache: None)
    monkeypatch.setattr(module, "DIMENSIONS", (8, 16))
    monkeypatch.setattr(module, "Test", types.SimpleNamespace(gather=lambda *paths: few))
    monkeypatch.setattr(module, "material", lambda *arguments: None)
    monkeypatch.setattr(module, "fit", lambda settings, shown, folder: settings)
    exported = []

    def export(settings, pictures, names, folder, config):
        assert config["settings"] == dataclasses.asdict(settings) and pictures is sheet
        exported.append(folder)

    monkeypatch.setattr(module, "export", export)

    def measure(settings, folder, test):
        # What is measured is what was exported just now; without corrections Keras's own model is.
        assert folder == (exported[-1] if settings.corrections else None)
        value = settings.seed + settings.latent
        return {
            "variance explained, held out": value,
            "meaning of the 5 nearest, cosine": value / 100,
        }

    monkeypatch.setattr(module, "measure", measure)
    output = tmp_path / "x.json"
    designs = ["default", "8 numbers"]
    assert main(["--designs", *designs, "--seeds", "0", "4", "--output", str(output)]) == 0
    found = json.loads(output.read_text("utf-8"))
    assert list(found["designs"]) == designs and found["seeds"] == [0, 4]
    row = found["designs"]["8 numbers"]
    # Seeds 0 and 4 on 8 numbers: 8 and 12.
    assert row["figures"]["variance explained, held out"]["mean"] == 10
    assert row["changes"] == {"latent": 8, "corrections": 0}
    assert found["principal components"]["16"] == {"numbers": 16}


def test_picture():
    def row(value):
        return {"figures": {name: {"mean": value} for name in (module._VARIANCE, *module._MEANS)}}

    designs = {name: row(at / 10) for at, name in enumerate(dict.fromkeys([*WEIGHTS, *SIZES]))}
    components = {str(k): dict.fromkeys(module._MEANS, k / 100) for k in DIMENSIONS}
    panels: Any = picture({"designs": designs, "principal components": components}).axes
    assert len(panels) == 4
    # The designs were numbered as they come: those of WEIGHTS 0 to 3, then 8, 32 and 64 numbers.
    np.testing.assert_allclose(panels[0].lines[0].get_xdata(), [0, 0.1, 0.2, 0.3])
    ours, theirs = panels[1].lines
    np.testing.assert_allclose(ours.get_ydata(), [0.4, 0.2, 0.5, 0.6])
    np.testing.assert_allclose(theirs.get_ydata(), [0.08, 0.16, 0.32, 0.64])
    assert list(ours.get_xdata()) == [8, 16, 32, 64]
