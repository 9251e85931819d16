from pathlib import Path

from emoji_vae import locations
from emoji_vae.locations import asset


def test_shipped_files_are_there():
    assert asset("emojis.csv").is_file()
    assert asset("emojis.png").is_file()
    assert asset("models", "vae", "x.npz") == asset("models") / "vae" / "x.npz"
    assert asset("emojis.csv").is_absolute()


def test_in_a_wheel_the_assets_lie_inside_the_package(tmp_path: Path, monkeypatch):
    package = tmp_path / "site-packages" / "emoji_vae"
    package.mkdir(parents=True)
    monkeypatch.setattr(locations, "_HERE", package)
    assert asset("a.csv") == tmp_path / "site-packages" / "assets" / "a.csv"
    (package / "assets").mkdir()
    assert asset("a.csv") == package / "assets" / "a.csv"
