"""The report: what is in each picture, the index, files whole or not at all, and bad input."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.prior import Prior
from pipelines import report as module
from pipelines.report import (
    MORPHS,
    PICTURES,
    Material,
    ReportSettings,
    TrainingLog,
    index,
    main,
    marginal,
    places,
    render,
)
from pipelines.train_vae import held_out

SMALL = ReportSettings(
    seed=3, reconstructions=5, grid_steps=3, morph_steps=3, drawings=4, neighbours=2
)
STANDARD = Prior(np.ones(1), np.zeros((1, 16)), np.eye(16)[np.newaxis])


class ToyCodec(Codec):
    """Flat opaque pictures: red tells the first number of a code, green the last, blue the seed.

    A draft has no blue.
    """

    def __init__(self):
        self.prior = STANDARD
        self.drawn, self.steady = 0, False

    def decode(self, codes):
        pictures = np.ones((len(codes), 36, 36, 4), np.float32)
        pictures[..., :2] = self.shades(codes)[:, np.newaxis, np.newaxis]
        pictures[..., 2] = 0
        return pictures

    @staticmethod
    def shades(codes):
        """Red and green of codes: -4 to 4 becomes 0 to 1."""
        return (np.asarray(codes)[:, [0, 15]] / 8 + 0.5).clip(0, 1)

    def draw(self, codes, seed=0, progress=None, steady=False):
        self.drawn += len(codes)
        self.steady = steady
        pictures = self.decode(codes)
        pictures[..., 2] = seed / 10
        return pictures

    def encode(self, pictures):
        codes = np.zeros((len(pictures), 16), np.float32)
        codes[:, [0, 15]] = (pictures[:, 18, 18, :2] - 0.5) * 8
        return codes


def toy(log=None, unseen=None, settings=SMALL):
    """The ends of all morphs and some more, with codes far apart."""
    names = [*(emoji for pair in MORPHS for emoji in pair), *catalogue().sequences[40:1240:40]]
    codes = np.random.default_rng(0).standard_normal((len(names), 16)).astype(np.float32)
    codec = ToyCodec()
    return Material(codec, EmojiCodes(names, codes), unseen or codec, log, settings)


LOG = TrainingLog(
    "run", 4, {"loss": [100.0, 10.0, 1.0], "reconstruction": [90.0, 9.0, 0.9], "kl": [1, 2, 3]}
)


def found(page, picture, size):
    """All corners (x, y) at which a picture lies on a page."""
    pixels = np.asarray(page)
    one = np.asarray(images.to_image(picture, size, "white").convert("RGB"))
    # Sought by its most varied row: a white one would be found all over.
    deep = max(range(size), key=lambda y: len(np.unique(one[y], axis=0)))
    row = one[deep].tobytes()
    corners = []
    for y, line in enumerate(pixels[deep : len(pixels) - size + 1 + deep]):
        text, start = line.tobytes(), 0
        while (start := text.find(row, start)) >= 0:
            x = start // 3
            if start % 3 == 0 and np.array_equal(pixels[y : y + size, x : x + size], one):
                corners.append((x, y))
            start += 1
    return corners


SHEET = images.sheet()


def original(emoji):
    return SHEET[catalogue().index(emoji)]


def colour(code, seed=3):
    """The middle of the toy's drawing of a code, in 8 bits."""
    red, green = ToyCodec.shades([code])[0]
    return np.rint(255 * np.array([red, green, seed / 10]))


def at(page, x, y):
    return np.asarray(page)[y, x].astype(float)


# The pictures.


def test_reconstructions_stand_below_their_originals():
    material = toy()
    page = PICTURES["reconstructions"][0](material)
    rows = np.flatnonzero(held_out(catalogue().sequences))
    shown = images.sheet()[rows[[0, -1]]]
    (first,), (last,) = (found(page, picture, 72) for picture in shown)
    # Five in a row: four steps of a picture of 72 and a gap of 6 from the first to the last.
    assert last == (first[0] + 4 * 78, first[1])
    for corner, picture in zip([first, last], shown, strict=True):
        x, y = corner[0] + 36, corner[1] + 36
        code = material.codec.encode(picture[np.newaxis])[0]
        np.testing.assert_allclose(at(page, x, y + 78), colour(code, seed=0), atol=1)
        np.testing.assert_allclose(at(page, x, y + 2 * 78), colour(code), atol=1)


def test_reconstructions_are_of_the_model_that_never_saw_them():
    unseen = ToyCodec()
    material = toy(unseen=unseen)
    page = PICTURES["reconstructions"][0](material)
    assert unseen.drawn == 5 and material.codec.drawn == 0
    # The title says which it is.
    assert np.asarray(page).tobytes() != np.asarray(PICTURES["reconstructions"][0](toy())).tobytes()


def test_more_reconstructions_take_more_rows():
    wide = toy(settings=ReportSettings(reconstructions=16))
    more = toy(settings=ReportSettings(reconstructions=17))
    wide, more = (PICTURES["reconstructions"][0](material) for material in (wide, more))
    assert more.width == wide.width
    # Another block: three rows of 78 and a gap of 24.
    assert more.height == wide.height + 3 * 78 + 24


@pytest.mark.parametrize("pattern", "ABC")
def test_a_grid_is_that_of_the_codec(pattern):
    material = toy()
    page = PICTURES[f"grid-{pattern}"][0](material)
    assert material.codec.drawn == 9 and not material.codec.steady
    # The page ends 24 pixels below the grid, whose last row of pixels says where it begins.
    bottom = page.height - 24
    shown = np.flatnonzero((np.asarray(page)[bottom - 1] != 255).any(axis=1))
    left = int(shown.min())
    assert int(shown.max()) == left + 3 * 48 - 1
    # a is -2, 0, 2 down the rows and the first number of each pattern; b is the last.
    for row in range(3):
        for column in range(3):
            x, y = left + 48 * column + 24, bottom - 48 * (3 - row) + 24
            code = [2.0 * row - 2, *[0] * 14, 2.0 * column - 2]
            np.testing.assert_allclose(at(page, x, y), colour(code), atol=1)


def test_morphs_run_from_real_code_to_real_code():
    material = toy()
    page = PICTURES["morphs"][0](material)
    assert material.codec.drawn == 3 * len(MORPHS) and material.codec.steady
    tops = []
    for start, end in MORPHS:
        ((left, top),) = found(page, original(start), 72)
        ((right, same),) = found(page, original(end), 72)
        assert top == same
        tops.append(top)
        first, last = material.known.select([start, end]).codes
        for number, code in enumerate([first, (first + last) / 2, last]):
            # After the real picture of 72 and a gap of 24, steps of 78.
            x = left + 96 + 78 * number + 36
            assert x < right
            np.testing.assert_allclose(at(page, x, top + 36), colour(code), atol=1)
    assert tops == sorted(set(tops))


def test_every_emoji_is_on_the_map_once_and_none_overlaps():
    material = toy()
    page = PICTURES["map"][0](material)
    corners = []
    for name in material.known.names:
        (corner,) = found(page, original(name), 36)
        corners.append(corner)
    apart = np.abs(np.array(corners)[:, np.newaxis] - np.array(corners)).max(axis=2)
    assert apart[~np.eye(len(corners), dtype=bool)].min() >= 40
    # 54 emojis take 11 cells a side, the least whose square is 108 or more.
    assert page.height == 76 + 11 * 40 + 24


def test_the_map_is_large_enough_to_see():
    # 1751 emojis: 60 cells of 40 pixels.
    cells = int(np.ceil(np.sqrt(2 * len(catalogue()))))
    assert 2300 < 40 * cells < 2600


@settings(max_examples=20)
@given(st.integers(4, 30), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_places_are_all_different_and_within(n, free, seed):
    codes = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    cells = int(np.ceil(np.sqrt(n))) + free
    found = places(codes, cells)
    assert found.shape == (n, 2) and found.dtype.kind == "i"
    assert found.min() >= 0 and found.max() < cells
    assert len({tuple(place) for place in found.tolist()}) == n


def test_places_keep_like_codes_together():
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((40, 16)).astype(np.float32)
    codes[20:] += 20
    found = places(codes, 9).astype(float)
    centres = found[:20].mean(axis=0), found[20:].mean(axis=0)
    assert np.linalg.norm(centres[0] - centres[1]) > 3
    own = np.linalg.norm(found[:20] - centres[0], axis=1)
    other = np.linalg.norm(found[:20] - centres[1], axis=1)
    assert (own < other).mean() > 0.9


def test_some_equal_codes_have_places_too():
    codes = np.ones((9, 16), np.float32)
    codes[:3, 2] = 2
    assert len({tuple(place) for place in places(codes, 3).tolist()}) == 9


def test_codes_that_are_all_equal():
    with pytest.raises(InputError, match="all codes are equal"):
        places(np.ones((9, 16), np.float32), 3)


def test_drawings_stand_beside_their_nearest_in_order():
    material = toy()
    page = PICTURES["drawings"][0](material)
    new = material.codec.sample(4, 3)
    for code, picture in zip(new.codes, new.pictures, strict=True):
        ((left, top),) = found(page, picture, 96)
        distances = np.linalg.norm(material.known.codes - code, axis=1)
        for place, row in enumerate(distances.argsort()[:2]):
            # After the drawing of 96 and a gap of 6, in the middle of its height, steps of 54.
            corner = (left + 102 + 54 * place, top + 24)
            assert corner in found(page, original(material.known.names[row]), 48)


def test_the_posterior_shows_codes_and_prior():
    page = np.asarray(PICTURES["posterior"][0](toy()))
    assert page.shape == (1250, 1500, 3)
    for shade in (module._BLUE, module._ORANGE):
        wanted = np.array([int(shade[place : place + 2], 16) for place in (1, 3, 5)])
        assert (page == wanted).all(axis=2).sum() > 1000
    other = toy()
    codes = other.known.codes.copy()
    codes[:, 5] *= 2
    moved = Material(other.codec, EmojiCodes(other.known.names, codes), other.unseen)
    assert (np.asarray(PICTURES["posterior"][0](moved)) != page).any()


def test_a_marginal_by_hand():
    # Dimension 3: a quarter of the normal density with mean 0 and spread 1, three quarters of that
    # with mean 2 and spread 2. At 0 they are 0.398942 and 0.398942 exp(-1/2) / 2 = 0.120985; at 2
    # they are 0.398942 exp(-2) = 0.053991 and 0.199471.
    means, covariances = np.zeros((2, 16)), np.stack([np.eye(16), np.eye(16)])
    means[1, 3], covariances[1, 3, 3] = 2, 4
    prior = Prior(np.array([0.25, 0.75]), means, covariances)
    found = marginal(prior, 3, np.array([0.0, 2.0]))
    by_hand = [0.25 * 0.398942 + 0.75 * 0.120985, 0.25 * 0.053991 + 0.75 * 0.199471]
    np.testing.assert_allclose(found, by_hand, atol=1e-6)
    np.testing.assert_allclose(marginal(prior, 4, np.zeros(1)), [0.398942], atol=1e-6)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_marginal_is_a_density(components, seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(components) * 5)
    factors = rng.standard_normal((components, 16, 16)) / 4
    covariances = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(16)
    prior = Prior(weights, rng.standard_normal((components, 16)), covariances)
    values = np.linspace(-15, 15, 3001)
    density = marginal(prior, 7, values)
    assert (density >= 0).all()
    assert density.sum() * 0.01 == pytest.approx(1, abs=1e-3)
    assert (density * values).sum() * 0.01 == pytest.approx(prior.mean[7], abs=1e-3)


def test_curves_fall_where_the_log_does():
    page = np.asarray(PICTURES["curves"][0](toy(LOG)))
    # Three terms are two rows of panels, 300 pixels each below 100 for the title.
    assert page.shape == (700, 1200, 3)
    orange = (page == [0xD9, 0x48, 0x0F]).all(axis=2)
    loss, kl = orange[:350, :600], orange[350:, :600]
    # 100, 10, 1 is a straight line down on a log scale; 1, 2, 3 one up.
    for panel, slope in ((loss, 1), (kl, -1)):
        y, x = np.nonzero(panel)
        assert np.corrcoef(x, y)[0, 1] * slope > 0.999
    assert not orange[350:, 600:].any()


# Training logs.


def write_log(folder, history, settings=None):
    folder.mkdir(exist_ok=True)
    run = {"settings": settings or {"epochs": 5}}
    log = {"run": run, "history": history, "ended": False, "last": None}
    (folder / "log.json").write_text(json.dumps(log), "utf-8")
    return folder


def test_a_log_by_hand(tmp_path):
    rows = [{"kl": 1, "loss": 3.5, "seconds": 9}, {"kl": 2, "loss": 2.5, "seconds": 8}]
    log = TrainingLog.load(write_log(tmp_path / "default", rows))
    assert log == TrainingLog("default", 5, {"loss": [3.5, 2.5], "kl": [1, 2]})


@pytest.mark.parametrize(
    "history",
    [
        None,
        7,
        [1],
        ["loss"],
        [{"kl": 1}],
        [{"loss": "x"}],
        [{"loss": float("nan")}],
        [{"loss": 1}, {}],
        [{"loss": 10**400}],
    ],
    ids=repr,
)
def test_what_is_no_log(history, tmp_path):
    with pytest.raises(InputError, match="is no log of"):
        TrainingLog.load(write_log(tmp_path, history))


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{}", b"[" * 100_000])
def test_what_is_no_json_of_ours(content, tmp_path):
    (tmp_path / "log.json").write_bytes(content)
    with pytest.raises(InputError, match="is no log of"):
        TrainingLog.load(tmp_path)


def test_a_run_without_an_epoch(tmp_path):
    with pytest.raises(InputError, match="no epoch yet"):
        TrainingLog.load(write_log(tmp_path, []))


# The whole report.


def test_all_pictures_and_their_index(tmp_path, capsys):
    render(toy(LOG), tmp_path / "deep" / "report")
    folder = tmp_path / "deep" / "report"
    assert {path.name for path in folder.iterdir()} == {"index.md", *(f"{n}.png" for n in PICTURES)}
    text = (folder / "index.md").read_text("utf-8")
    for name, (_, sentence) in PICTURES.items():
        assert f"![{name}]({name}.png)" in text and sentence in text
    assert "figures" not in text and "No training curves" not in text
    assert capsys.readouterr().out.count("wrote ") == len(PICTURES) + 1


def test_without_a_run_the_curves_are_left_out_and_it_is_said(tmp_path, capsys):
    render(toy(), tmp_path)
    assert not (tmp_path / "curves.png").exists() and (tmp_path / "map.png").exists()
    line = "No training curves: no folder of a training run was given (--run)."
    text = (tmp_path / "index.md").read_text("utf-8")
    assert line in text and "curves.png" not in text
    assert line in capsys.readouterr().out.splitlines()


def test_only_some(tmp_path):
    render(toy(), tmp_path, ["map", "morphs"])
    assert {path.name for path in tmp_path.iterdir()} == {"map.png", "morphs.png"}


def test_only_curves_need_a_run(tmp_path):
    with pytest.raises(InputError, match="--run"):
        render(toy(), tmp_path / "report", ["curves"])
    assert not (tmp_path / "report").exists()


def test_equal_seeds_give_equal_files(tmp_path):
    drawn = ["reconstructions", "grid-B", "morphs", "drawings"]
    for name, seed, only in (("one", 3, ["map", *drawn]), ("two", 3, ["map"]), ("other", 4, drawn)):
        changed = ReportSettings(**{**vars(SMALL), "seed": seed})
        render(toy(settings=changed), tmp_path / name, only)
    render(toy(), tmp_path / "two", drawn)

    def content(folder, name):
        return (tmp_path / folder / f"{name}.png").read_bytes()

    for name in ["map", *drawn]:
        assert content("one", name) == content("two", name)
    for name in drawn:
        assert content("one", name) != content("other", name)


def test_a_picture_that_fails_leaves_no_part_of_it(tmp_path, monkeypatch):
    def fail(material: Material) -> Any:
        raise RuntimeError

    monkeypatch.setitem(PICTURES, "morphs", (fail, "fails"))
    (tmp_path / "morphs.png").write_bytes(b"old")
    with pytest.raises(RuntimeError):
        render(toy(), tmp_path, ["grid-A", "morphs", "drawings"])
    assert {path.name for path in tmp_path.iterdir()} == {"grid-A.png", "morphs.png"}
    assert (tmp_path / "morphs.png").read_bytes() == b"old"


def test_the_default_report_stays_quick():
    size = ReportSettings()
    drawn = size.reconstructions + 3 * size.grid_steps**2 + size.drawings
    assert drawn + len(MORPHS) * size.morph_steps < 2500


FIGURES = {
    "variance explained": {"mean": 0.80123, "sd": 0.00251, "values": [0.8, 0.8]},
    "finite codes": {"mean": 1.0, "sd": None, "values": [1.0]},
}


def test_the_index_by_hand():
    components = {"8": {"finite codes": 0.5}, "16": {"variance explained": 0.6612345}}
    text = index(["map"], ["None."], {"figures": FIGURES, "principal components": components})
    assert text.splitlines() == [
        "# The picture autoencoder",
        "",
        "## map",
        "",
        "All emojis, near each other where their codes are (t-SNE).",
        "",
        "![map](map.png)",
        "",
        "None.",
        "",
        "## figures",
        "",
        "| figure | mean | standard deviation | 16 principal components |",
        "|---|--:|--:|--:|",
        "| variance explained | 0.8012 | 0.00251 | 0.6612 |",
        "| finite codes | 1 |  |  |",
    ]


# The command.


def test_the_command_draws_the_shipped_model(tmp_path, capsys):
    assert main(["--output", str(tmp_path), "--only", "posterior"]) == 0
    with Image.open(tmp_path / "posterior.png") as image:
        assert image.size == (1500, 1250)
    assert capsys.readouterr().out == f"wrote {tmp_path / 'posterior.png'}\n"


def test_the_shipped_results_can_be_shown():
    assert "| finite codes | 1 |" in index([], [], module._results(asset("results", "vae.json")))


def model(folder, results=None, codes=None):
    """A folder with the shipped model's networks and other codes or results."""
    folder.mkdir()
    for path in asset("models", "vae").iterdir():
        (folder / path.name).symlink_to(path)
    if codes is not None:
        (folder / "codes.npz").unlink()
        codes.save(folder / "codes.npz")
    if results is not None:
        (folder / "vae.json").write_text(results, "utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--seed", "-1"], "-1"),
        (["--seed", "x"], "'x'"),
        (["--only", "maps"], "'maps'"),
        (["--only"], "--only"),
        (["--model", "nowhere"], "'nowhere'"),
        (["--held-out-model", "nowhere"], "'nowhere'"),
        (["--run", "nowhere"], "nowhere"),
        (["--only", "curves"], "--run"),
        (["extra"], "extra"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder_to_write_into(tmp_path, capsys):
    (tmp_path / "report").write_text("mine")
    assert main(["--output", str(tmp_path / "report"), "--only", "posterior"]) == 2
    assert "name a folder" in capsys.readouterr().err
    assert (tmp_path / "report").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"figures": {"a": {"mean": "x"}}}'])
def test_damaged_results_are_told_before_anything_is_drawn(content, tmp_path, capsys):
    folder = model(tmp_path / "model", results=content)
    assert main(["--model", folder, "--output", str(tmp_path / "report")]) == 2
    error = capsys.readouterr().err
    assert "vae.json" in error and error.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_codes_of_other_emojis(tmp_path, capsys):
    folder = model(tmp_path / "model", codes=EmojiCodes.load()[:20])
    assert main(["--model", folder, "--output", str(tmp_path / "report")]) == 2
    error = capsys.readouterr().err
    assert "not those of all emojis" in error and error.count("\n") == 1
