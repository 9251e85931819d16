"""Exported networks on the light runtime."""

import os
from pathlib import Path

import onnxruntime

from emoji_vae.errors import InputError


def open_network(
    path: Path, threads: int = 0, content: bytes | None = None
) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the processor.

    Args:
        path: the file, which errors name.
        threads: of the runtime; 0 lets it choose, as many as the processors that this process may
            use.
        content: what the file holds, where that is known already; it is not read then.

    Raises:
        InputError: the file is missing, or no network that the runtime can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _allowed()
    options.log_severity_level = 4  # it would print what the error says
    try:
        return onnxruntime.InferenceSession(
            path.read_bytes() if content is None else content,
            options,
            providers=["CPUExecutionProvider"],
        )
    except OSError as error:
        raise InputError(
            f"cannot read the model file {str(path)!r}: {error.strerror}; name a folder that holds "
            "a trained model"
        ) from error
    except Exception as error:  # The runtime has an exception of its own for each thing it rejects.
        raise InputError(
            f"{str(path)!r} is no ONNX model that can be run; train or install the model again"
        ) from error


def _allowed() -> int:
    """Return 0, or the number of processors that this process is held to, if it is to some alone.

    The runtime would put its threads on all of them, those that are not for this process, too.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 0
    there = len(os.sched_getaffinity(0))
    return there if there < (os.cpu_count() or there) else 0
