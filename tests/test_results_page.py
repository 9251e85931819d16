"""The results page: what it shows by hand, and that it is that of the committed results."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import results
from pipelines import results_page as module
from pipelines.results_page import CITED, TABLES, WRITTEN_BY, Each, Figure, Row, Table, at, shown

ROOT = Path(__file__).resolve().parent.parent


# What is committed.


def test_the_page_is_that_of_the_results():
    expected = module.page(asset("results"), TABLES, partial=True).encode()
    assert asset("results", "README.md").read_bytes() == expected, (
        "run: python -m pipelines.results_page --partial"
    )


def test_every_file_has_its_command_and_every_command_is_there():
    used = {name for table in TABLES for name in module._files(table)}
    assert used == set(WRITTEN_BY)
    for command in WRITTEN_BY.values():
        source = ROOT / "pipelines" / f"{command.split()[0]}.py"
        assert '__name__ == "__main__"' in source.read_text("utf-8")


def test_every_results_file_is_on_the_page():
    there = {path.name for path in asset("results").glob("*.json")}
    assert there <= set(WRITTEN_BY)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_tables_fit_together(table):
    assert table.source is None or table.source in CITED
    for row in table.rows:
        wide = len(row.below if isinstance(row, Each) else row.figures)
        assert wide == len(table.columns)
        if isinstance(row, Row) and row.cited is not None:
            assert row.cited in CITED[table.source]
    assert table.picture is None or table.picture.endswith(".png")


# By hand.

ONE = {
    "command": "python -m pipelines.one --seeds 0 1 2",
    # Mean (0.5 + 0.6 + 0.7) / 3 = 0.6, deviation sqrt((0.01 + 0 + 0.01) / 2) = 0.1.
    "figures": {"accuracy": results.spread([0.5, 0.6, 0.7])},
    "baseline": {"accuracy": 0.25},
    "sizes": {
        "50": {"a/b": results.spread([1.0])},
        "100": {"a/b": results.spread([2.0, 4.0])},  # deviation sqrt(1 + 1) = 1.41
    },
}
TWO = {"command": "python -m pipelines.two", "costs": [3.14159, 2.71828]}
TOY = (
    Table(
        "First",
        "What it is.",
        "toy source",
        ("ours", "baseline"),
        (
            Row(
                "accuracy",
                "accuracy",
                (
                    Figure("one.json", "figures/accuracy", "1%"),
                    Figure("one.json", "baseline/accuracy", "0%"),
                ),
            ),
            Row("cost", None, (Figure("two.json", "costs/1", "3"), None)),
        ),
        "first.png",
    ),
    Table(
        "Second",
        "More.",
        None,
        ("b",),
        (Each("{} examples", "one.json", "sizes", (("a/b", "2"),)),),
    ),
)
HEAD = module.page(Path("nowhere"), ()) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(CITED, "toy source", {"accuracy": "59 %"})
    monkeypatch.setitem(WRITTEN_BY, "one.json", "one")
    monkeypatch.setitem(WRITTEN_BY, "two.json", "two --fast")
    monkeypatch.setattr(module, "TABLES", TOY)
    for name, found in (("one", ONE), ("two", TWO)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found), "utf-8")
    return tmp_path


def write(*arguments):
    return module.main([str(argument) for argument in arguments])


def test_a_page_by_hand(folder, capsys):
    assert write("--results", folder) == 0
    assert capsys.readouterr().out == f"wrote {folder / 'README.md'}\n"
    text = (folder / "README.md").read_text("utf-8")
    assert text.startswith(HEAD) and text.endswith("`\n")
    assert text.removeprefix(HEAD).splitlines() == [
        "## First",
        "",
        "What it is.",
        "",
        "|  | toy source | ours | baseline | seeds |",
        "|---|---:|---:|---:|---:|",
        "| accuracy | 59 % | 60.0 ± 10.0 % | 25 % | 3 |",
        "| cost |  | 2.718 |  |  |",
        "",
        "![First](first.png)",
        "",
        "- `one.json`: `python -m pipelines.one --seeds 0 1 2`",
        "- `two.json`: `python -m pipelines.two`",
        "",
        "## Second",
        "",
        "More.",
        "",
        "|  | b | seeds |",
        "|---|---:|---:|",
        "| 50 examples | 1.00 | 1 |",
        "| 100 examples | 3.00 ± 1.41 | 2 |",
        "",
        "- `one.json`: `python -m pipelines.one --seeds 0 1 2`",
    ]


def test_a_missing_file_is_named(folder, capsys):
    (folder / "two.json").unlink()
    (folder / "README.md").write_text("old")
    assert write("--results", folder) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "'two.json' (python -m pipelines.two --fast)" in error and "--partial" in error
    assert (folder / "README.md").read_text() == "old"


def test_a_partial_page_says_what_is_missing(folder):
    (folder / "two.json").unlink()
    assert write("--results", folder, "--partial", "--output", folder / "page.md") == 0
    lines = (folder / "page.md").read_text("utf-8").splitlines()
    assert "| accuracy | 59 % | 60.0 ± 10.0 % | 25 % | 3 |" in lines
    assert not any(line.startswith("| cost") for line in lines)
    assert lines[-3:] == ["Not there yet:", "", "- `two.json`: `python -m pipelines.two --fast`"]
    (folder / "one.json").unlink()
    assert write("--results", folder, "--partial", "--output", folder / "page.md") == 0
    text = (folder / "page.md").read_text("utf-8")
    # No heading without a table below it.
    assert "##" not in text and "`one.json`" in text and "`two.json`" in text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"figures": {}}, "'figures/accuracy'"),
        ({"figures": 7}, "'figures/accuracy'"),
        ({"figures": {"accuracy": "high"}}, "'high' is no figure"),
        ({"figures": {"accuracy": {"mean": 1}}}, "is no figure"),
        ({"baseline": {"accuracy": True}}, "True is no figure"),
        ({"baseline": {"accuracy": None}}, "None is no figure"),
        ({"sizes": {"50": {}}}, "'sizes/50/a/b'"),
        ({"sizes": [1]}, "'sizes' has no keys"),
    ],
    ids=str,
)
@pytest.mark.parametrize("partial", [[], ["--partial"]], ids=["whole", "partial"])
def test_a_wrong_path_is_named(change, named, partial, folder, capsys):
    (folder / "one.json").write_text(json.dumps(ONE | change), "utf-8")
    assert write("--results", folder, *partial) == 2
    error = capsys.readouterr().err
    assert "'one.json'" in error and named in error and error.count("\n") == 1
    assert not (folder / "README.md").exists()


def test_a_file_without_its_command(folder, capsys):
    (folder / "two.json").write_text(json.dumps({"costs": [1, 2]}), "utf-8")
    assert write("--results", folder) == 2
    assert "'two.json': there is no figure 'command'" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_a_damaged_file(content, folder, capsys):
    (folder / "two.json").write_bytes(content.encode("latin-1"))
    assert write("--results", folder) == 2
    error = capsys.readouterr().err
    assert "two.json" in error and error.count("\n") == 1


def test_without_training_there_is_no_column_of_seeds(folder):
    table = Table(
        "T", "t", None, ("costs",), (Row("1", None, (Figure("two.json", "costs/0", "1"),)),)
    )
    assert module.section(table, module.Folder(folder))[4:7] == [
        "|  | costs |",
        "|---|---:|",
        "| 1 | 3.1 |",
    ]


def test_what_not_every_machine_can_measure_is_left_out(folder):
    def row(label, path):
        return Row(label, None, (Figure("two.json", path, "1", everywhere=False),))

    table = Table("T", "t", None, ("costs",), (row("here", "costs/0"), row("not", "cold/median")))
    assert module.section(table, module.Folder(folder))[6:8] == ["| here | 3.1 |", ""]
    only = table._replace(rows=table.rows[1:])
    assert module.section(only, module.Folder(folder)) == []
    (folder / "two.json").unlink()
    assert module.section(table, module.Folder(folder)) == []


def test_the_cold_disk_and_numpy_are_on_the_page(tmp_path):
    (table,) = (table for table in TABLES if table.title == "Time and memory")

    def spread(median):
        return {"median": median, "least": median - 1, "most": median + 1}

    disk = {"seconds": spread(4), "megabytes": spread(91), "megabytes read": spread(60)}
    disk |= {"megabytes that stayed": spread(9)}
    warm = {"seconds": spread(2), "megabytes": spread(90)}
    found = {
        "command": "python -m pipelines.benchmark",
        "cold start": warm,
        "milliseconds a text, model open, one core": {"median": 0.2, "99 %": 0.3},
    }
    path = tmp_path / "benchmark.json"

    def labels(content):
        path.write_text(json.dumps(content), "utf-8")
        lines = module.section(table, module.Folder(tmp_path))
        return [line.split(" | ")[0] for line in lines if line.startswith("| ")][1:], lines

    without, _ = labels(found)
    assert len(without) == 3
    left, _ = labels(
        {**found, "cold start, cold disk": {"left out": "no"}, "NumPy alone": {"left out": "no"}}
    )
    assert left == without
    every = {"cold start": warm, "cold start, cold disk": disk}
    whole, lines = labels({**found, **every, "NumPy alone": every})
    assert len(whole) == 3 + 3 + 5
    assert "| cold start with a cold disk, seconds |  | 4.000 | 3.000 | 5.000 |" in lines
    assert "| – memory at its peak, MB | 31 | 90 | 89 | 91 |" in lines
    assert "| – – MB read from it |  | 60.0 | 59.0 | 61.0 |" in lines


# Paths and figures.


def test_at_by_hand():
    found = {"a": {"b/c": [5, {"d": 6}], "b": {"e": 7}}, "a/b": {"c": 8}}
    assert at(found, "a/b/e") == 7
    assert at(found, "a/b/c/0") == 5
    assert at(found, "a/b/c/1/d") == 6
    assert at({"a/b": {"c": 8}}, "a/b/c") == 8


@pytest.mark.parametrize("path", ["x", "a/x", "a/b/x", "b/2", "b/-1", "b/one", ""])
def test_nothing_there(path):
    with pytest.raises(InputError, match=f"no figure '{path}'"):
        at({"a": {"b": 1}, "b": [1, 2]}, path)


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4), st.integers())
def test_whatever_is_nested_is_found(keys, number):
    found = number
    for key in reversed(keys):
        found = {key: found}
    assert at(found, "/".join(keys)) == number


@pytest.mark.parametrize(
    ("figure", "form", "text"),
    [
        (0.56013, "1%", "56.0 %"),
        ({"mean": 0.56013, "sd": 0.00739, "values": []}, "1%", "56.0 ± 0.7 %"),
        ({"mean": -0.01998, "sd": 0.02805}, "3", "-0.020 ± 0.028"),
        ({"mean": 2, "sd": None}, "1", "2.0"),
        (83.36, "0", "83"),
        (20223927, ",0", "20,223,927"),
        (1, "0%", "100 %"),
    ],
)
def test_shown_by_hand(figure, form, text):
    assert shown(figure, form) == text


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_what_is_shown_is_the_figure_rounded(number, decimals):
    assert float(shown(number, str(decimals))) == pytest.approx(
        number, abs=0.51 * 10.0**-decimals, rel=1e-9
    )
