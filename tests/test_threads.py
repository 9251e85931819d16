"""NumPy's matrix products run in one thread where a command is a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = [
    ("sqam.cli", ["rank", "good morning"]),
    ("emoji_vae.cli", ["neighbours", "🍕", "-k", "2"]),
]


def threads_after(module: str, arguments: list[str], **variables: str) -> list[int]:
    """Run a command and return the threads of each library of linear algebra that it loaded."""
    pytest.importorskip("threadpoolctl", reason="needs the extra train")
    code = (
        f"import sys\nfrom {module} import main\nassert main(sys.argv[1:]) == 0\n"
        "import threadpoolctl\n"
        "found = threadpoolctl.threadpool_info()\n"
        "print(*(one['num_threads'] for one in found if one['user_api'] == 'blas'))"
    )
    kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=kept | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return [int(number) for number in done.stdout.splitlines()[-1].split()]


@pytest.mark.parametrize(("module", "arguments"), COMMANDS)
def test_a_command_takes_one(module, arguments):
    assert set(threads_after(module, arguments)) == {1}


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
@pytest.mark.parametrize(("module", "arguments"), COMMANDS)
def test_but_as_many_as_the_user_says(module, arguments):
    assert set(threads_after(module, arguments, OMP_NUM_THREADS="2")) == {2}
