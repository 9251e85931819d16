"""The experiments, each a command: ``python -m pipelines.NAME --help``."""

import importlib.util
import sys

from emoji_vae.errors import MissingExtraError

# Said here, once, since each command imports these at its top.
for _module, _name in {
    "keras": "Keras",
    "onnx": "ONNX",
    "pyarrow": "PyArrow",
    "matplotlib": "Matplotlib",
    "sklearn": "scikit-learn",
}.items():
    if importlib.util.find_spec(_module) is None:
        print(f"pipelines: error: {MissingExtraError(_name, 'train')}", file=sys.stderr)
        raise SystemExit(2)
