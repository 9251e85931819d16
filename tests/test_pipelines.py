"""What all pipelines share: an extra that is missing is named in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [
    "airline",
    "benchmark",
    "build_catalogue",
    "calibrate_emojify",
    "compare_vae",
    "embedding_study",
    "emojifier",
    "evaluate",
    "example",
    "export_again",
    "five_classes",
    "measure_drawings",
    "pretrain",
    "report",
    "results_page",
    "students",
    "teacher",
    "train_sqam",
    "train_vae",
    "transfer",
    "tweeteval",
]


@pytest.mark.parametrize("missing", ["keras", "onnx", "pyarrow", "matplotlib", "sklearn"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_extra_is_named(command, missing):
    # A module that is None in sys.modules counts as not installed.
    code = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv = ['x', '--help']; "
        f"runpy.run_module('pipelines.{command}', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert "pip install 'emoji-sqam[train]'" in done.stderr
