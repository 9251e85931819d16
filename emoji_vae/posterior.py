"""The second half of encoding: corrects the encoder's codes by what the decoder makes of them.

An encoder sees each picture once and is a little off, most so for pictures that no training saw. A
few Gauss-Newton steps on the decoder's squared error, from the encoder's code on, take most of that
back ("semi-amortized" inference: Yoon Kim et al., ICML 2018). No random draw is made: one picture
has one code.
"""

from collections.abc import Callable

import numpy as np

DAMPING = 1.0
"""Added to the Gauss-Newton matrix (Levenberg 1944); in squared pixels per squared unit of code."""
FARTHEST = 2.5
"""Longest step, as a Euclidean length of codes."""
_STRIDE = 0.02
"""Of the finite differences; codes have a spread of about 2."""
_SHARES = (1.0, 0.5, 0.25)
"""Of a step that are tried; the best is taken, or none where all are worse."""
_BATCH = 16


def corrected(
    pictures: np.ndarray,
    codes: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    steps: int,
) -> np.ndarray:
    """Return codes whose decoded pictures are nearer to the pictures, never farther.

    Args:
        pictures: float32 (n, 36, 36, 4).
        codes: float32 (n, d), the encoder's.
        decode: float32 (m, d) to pictures (m, 36, 36, 4).
        steps: how many; 0 gives the codes back.

    Returns:
        float32 (n, d). Each depends on its own picture alone, up to rounding.
    """
    if not steps:
        return codes
    found = [
        _batch(pictures[start : start + _BATCH], codes[start : start + _BATCH], decode, steps)
        for start in range(0, len(codes), _BATCH)
    ]
    return np.concatenate(found)


def _batch(
    pictures: np.ndarray,
    codes: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    steps: int,
) -> np.ndarray:
    n, size = codes.shape
    aims = pictures.reshape(n, -1)
    # Rows: the code itself, then each number of it moved by a stride.
    strides = _STRIDE * np.eye(size + 1, size, k=-1, dtype=np.float32)
    for _ in range(steps):
        around = (codes[:, np.newaxis] + strides).reshape(-1, size)
        decoded = decode(around).reshape(n, size + 1, -1)
        missed = aims - decoded[:, 0]
        slopes = (decoded[:, 1:] - decoded[:, :1]) / np.float32(_STRIDE)
        matrix = slopes @ slopes.transpose(0, 2, 1) + DAMPING * np.eye(size, dtype=np.float32)
        step = np.linalg.solve(matrix, slopes @ missed[:, :, np.newaxis])[:, :, 0]
        lengths = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1, FARTHEST / np.maximum(lengths, 1e-9))
        tries = np.stack([codes, *(codes + np.float32(share) * step for share in _SHARES)], axis=1)
        drafts = decode(tries.reshape(-1, size)).reshape(n, len(_SHARES) + 1, -1)
        errors = np.square(drafts - aims[:, np.newaxis]).sum(axis=2)
        codes = tries[np.arange(n), errors.argmin(axis=1)]
    return codes
