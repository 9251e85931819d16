"""What holds across the whole repository: who imports what, what may lie where, how big it is."""

import ast
import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    path
    for package in ("emoji_vae", "sqam", "pipelines")
    for path in (ROOT / package).rglob("*.py")
]
MAY_IMPORT = {
    "emoji_vae": {"emoji_vae"},
    "sqam": {"emoji_vae", "sqam"},
    "pipelines": {"emoji_vae", "sqam", "pipelines"},
}
KERAS = {"keras", "tensorflow", "tf2onnx", "jax", "torch"}
# They define, tune and export the Keras networks, and are imported by pipelines alone.
TRAINING = {
    "emoji_vae/model.py", "sqam/model.py", "sqam/export.py", "sqam/finetune.py",
    "sqam/thawing.py", "sqam/last_layer.py",
}  # fmt: skip
# They bring what the extra "serve" does, and are imported by the sub-command `serve` alone.
SERVER = "sqam/server/"
SERVE = {"starlette", "pydantic", "pydantic_core", "uvicorn", "python_multipart"}
SERVE |= {"httptools", "uvloop", "prometheus_client"}
# What the other extras bring is imported by these files alone.
EXTRAS: dict[str, set[str]] = {
    "sqam/compression.py": {"backports", "compression"},  # zstd, by Python's version
    "sqam/parquet.py": {"pyarrow"},
    "sqam/shards.py": {"fsspec", "pyarrow"},
    "sqam/cluster.py": {"ray"},
    "sqam/english.py": {"py3langid"},
}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, [package if node.level else "", node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func)
            if function.endswith("import_module") or function == "__import__":
                assert isinstance(node.args[0], ast.Constant), "an import that no one can read"
                yield str(node.args[0].value)


def roots(path: Path) -> set[str]:
    found = imports(ast.parse(path.read_bytes()), name_of(path).split("/")[0])
    return {module.split(".")[0] for module in found}


def test_imports_finds_every_form():
    text = "import a.b\nfrom c import d\nfrom . import e\nimport importlib\ndef f():\n  import g\n"
    text += "importlib.import_module('h')\n"
    found = set(imports(ast.parse(text), "own"))
    assert found == {"a.b", "c", "c.d", "own", "own.e", "importlib", "g", "h"}


def test_there_are_sources():
    assert {name_of(path).split("/")[0] for path in SOURCES} == {"emoji_vae", "sqam", "pipelines"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_run_one_way(path):
    ours = roots(path) & {"emoji_vae", "sqam", "pipelines", "tests", "assets"}
    assert ours <= MAY_IMPORT[name_of(path).split("/")[0]]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_keras_stays_in_models_and_pipelines(path):
    name = name_of(path)
    if not name.startswith("pipelines/") and name not in TRAINING:
        assert not roots(path) & KERAS


def dependencies(section: str, key: str) -> set[str]:
    """What setup.cfg requires, by the names that are imported."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config[section][key].strip().splitlines()
    names = {re.split(r"[<>=!~ ;\[]", line)[0] for line in lines if not line.startswith("#")}
    return {{"Pillow": "PIL"}.get(name, name.replace("-", "_")) for name in names}


def base_dependencies() -> set[str]:
    return dependencies("options", "install_requires")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_packages_need_no_more_than_the_base_install(path):
    name = name_of(path)
    if name.startswith("pipelines/") or name in TRAINING:
        return
    foreign = roots(path) - set(sys.stdlib_module_names) - {"emoji_vae", "sqam"}
    if name.startswith(SERVER):
        assert foreign <= base_dependencies() | SERVE
        return
    # An exemption that is not needed any more goes; "compression" belongs to Python from 3.14 on.
    extra = EXTRAS.get(name, set()) - set(sys.stdlib_module_names)
    assert foreign & extra == extra
    assert foreign - extra <= base_dependencies()


def test_exempt_files_exist():
    assert {ROOT / name for name in EXTRAS} <= set(SOURCES)


def test_the_extra_serve_brings_what_the_server_imports():
    named = dependencies("options.extras_require", "serve")
    # pydantic requires its core in the very release that it needs.
    assert named | {"pydantic_core"} == SERVE


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_sub_command_serve_imports_the_server(path):
    name = name_of(path)
    if name.startswith(SERVER):
        return
    tree = ast.parse(path.read_bytes())
    found = {one for one in imports(tree, name.split("/")[0]) if one.startswith("sqam.server")}
    if name != "sqam/cli.py":
        assert not found
        return
    (serve,) = (one for one in tree.body if getattr(one, "name", "") == "_serve")
    assert found == {one for one in imports(serve, "sqam") if one.startswith("sqam.server")}
    assert found


def loaded_with(tree: ast.Module, package: str) -> set[str]:
    """What a module imports as soon as it is imported itself."""

    def runs(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield child
            yield from runs(child)

    found = [node for node in runs(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(imports(ast.Module(list(found), []), package))


def test_loaded_with_tells_when():
    text = "import a\nif TYPE_CHECKING:\n  import b\ntry:\n  import c\nexcept E:\n  pass\n"
    text += "class C:\n  import d\n  def f(self):\n    import e\n"
    assert loaded_with(ast.parse(text), "own") == {"a", "c", "d"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_extras_stay_where_they_are_used(path):
    name = name_of(path)
    if name.startswith(("pipelines/", SERVER)) or name in TRAINING:
        return
    loaded = loaded_with(ast.parse(path.read_bytes()), name.split("/")[0])
    # Whoever is not asked to read Parquet, or to work on a cluster, never loads what does.
    assert not loaded & {"sqam.parquet", "sqam.cluster"}
    if name != "sqam/cluster.py":
        assert "sqam.shards" not in loaded
    if name != "sqam/parquet.py":
        extras = SERVE.union(*EXTRAS.values())
        assert not {module.split(".")[0] for module in loaded} & extras


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_training_code_imports_the_training_modules(path):
    name = name_of(path)
    if name.startswith("pipelines/") or name in TRAINING:
        return
    modules = {file.removesuffix(".py").replace("/", ".") for file in TRAINING}
    assert not set(imports(ast.parse(path.read_bytes()), name.split("/")[0])) & modules


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_loads_pickles(path):
    assert not roots(path) & PICKLES
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "safe_mode"):
            expected = node.arg == "safe_mode"
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is expected, f"line {node.value.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("read_pickle", "to_pickle", "enable_unsafe_deserialization")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_numpy_files_are_opened_without_pickles(path):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
            keywords = {keyword.arg for keyword in node.keywords}
            assert "allow_pickle" in keywords, f"line {node.lineno}: say allow_pickle=False"


# Whole programs: what is loaded, and what it costs.

RANK = """
import contextlib, io, json, sys
from sqam.cli import main
with contextlib.redirect_stdout(io.StringIO()) as output:
    code = main({arguments!r})
status = {{}}
with contextlib.suppress(FileNotFoundError), open("/proc/self/status") as file:
    status = dict(line.split(":", 1) for line in file)
print(json.dumps({{
    "code": code, "output": output.getvalue(), "modules": sorted(sys.modules),
    "kilobytes": int(status.get("VmHWM", "0 kB").split()[0]),
}}))
"""


def loaded(script: str, folder: Path) -> dict:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ranking_loads_no_training_packages(tmp_path):
    seen = loaded(RANK.format(arguments=["rank", "good morning", "--json"]), tmp_path)
    assert seen["code"] == 0
    assert json.loads(seen["output"])["matches"]
    modules = {module.split(".")[0] for module in seen["modules"]}
    extras = SERVE.union(*EXTRAS.values())
    assert not modules & (KERAS | extras | {"pandas", "scipy", "sklearn", "matplotlib", "onnx"})
    assert not [module for module in seen["modules"] if module.startswith("sqam.server")]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
def test_ranking_stays_under_150_megabytes(tmp_path):
    seen = loaded(RANK.format(arguments=["rank", "good morning"]), tmp_path)
    assert 0 < seen["kilobytes"] < 150_000


@pytest.mark.parametrize("module", ["sqam.cli", "emoji_vae.cli"])
def test_command_lines_start_light(module, tmp_path):
    script = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    heavy = KERAS | {"onnxruntime"}
    assert not heavy & {name.split(".")[0] for name in loaded(script, tmp_path)}


# The repository.


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """The files that git tracks, or would track if they were added now."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    paths = [ROOT / os.fsdecode(name) for name in listing.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def test_top_level_is_as_agreed(files):
    folders = {"emoji_vae", "sqam", "pipelines", "assets", "tests", ".ci"}
    single = {"setup.cfg", "README.md", "pyproject.toml", "LICENSE", ".gitignore"}
    assert {path.relative_to(ROOT).parts[0] for path in files} <= folders | single


def test_pyproject_holds_the_build_system_alone():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r"^\[.*\]", text, flags=re.MULTILINE) == ["[build-system]"]


def test_no_junk_drawers():
    names = {path.stem for path in SOURCES}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_files_name_no_machine_and_no_registry(files):
    places = re.compile(
        rb"(?<![\w.~-])/(?:home|root|Users|work)/\w|[A-Z]:\\Users"
        rb"|pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|index[-]url"
    )
    for path in files:
        content = path.read_bytes()
        if b"\0" in content[:8192]:  # a picture or a network
            continue
        found = places.search(content)
        assert found is None, f"{name_of(path)} names {found.group()!r}"


def test_text_files_are_utf8_with_unix_line_ends(files):
    for path in files:
        if path.suffix in {".py", ".md", ".cfg", ".toml", ".csv", ".json", ".txt"}:
            content = path.read_bytes()
            content.decode("utf-8")
            assert b"\r" not in content, name_of(path)


def test_models_stay_small(files):
    models = [path for path in files if path.is_relative_to(ROOT / "assets" / "models")]
    assert models
    # 10 MB in all: networks, vocabulary, codes.
    assert sum(path.stat().st_size for path in models) < 10_000_000


def test_repository_stays_small(files):
    assert sum(path.stat().st_size for path in files) < 30_000_000


def test_every_built_model_says_how_it_was_built(files):
    folders = {path.parent for path in files if path.suffix == ".onnx"}
    assert folders
    for folder in folders:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert config["settings"], name_of(folder)


def test_assets_are_all_explained(files):
    text = (ROOT / "assets" / "README.md").read_text(encoding="utf-8")
    inside = {
        path.relative_to(ROOT / "assets").parts[0]
        for path in files
        if path.is_relative_to(ROOT / "assets")
    }
    assert not {name for name in inside - {"README.md"} if name not in text}
