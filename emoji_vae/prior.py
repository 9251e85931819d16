"""The distribution that new codes are drawn from: the fitted aggregate posterior.

The codes of all emojis, taken together, are the aggregate posterior of the autoencoder (Makhzani et
al. 2016, "Adversarial Autoencoders"; Tomczak and Welling 2018, "VAE with a VampPrior"). It is not
the standard normal that training pulls it towards, so drawing from that would give stains; a
mixture of Gaussians fitted to the codes after training (Ghosh et al. 2020, "From Variational to
Deterministic Autoencoders") draws where emojis are.
"""

import dataclasses
import functools
import math
import os
from pathlib import Path
from typing import Any, Self

import numpy as np

from emoji_vae import codes as emoji_codes
from emoji_vae.errors import InputError
from emoji_vae.files import replacing

MAX_SAMPLES = 100_000
"""Most codes of one draw; pictures of as many take 2 GB."""

MAX_TEMPERATURE = 10
"""Far beyond what any emoji's code is like."""

_ARRAYS = ("weights", "means", "covariances")


@dataclasses.dataclass(frozen=True, eq=False)
class Prior:
    """A mixture of k Gaussians over codes, each with its full covariance.

    Attributes:
        weights: float64 (k,), above 0, their sum 1; read-only, as the others are.
        means: float64 (k, 16).
        covariances: float64 (k, 16, 16), symmetric and positive definite.

    Raises:
        InputError: not that.

    >>> standard = Prior(np.ones(1), np.zeros((1, 16)), np.eye(16)[np.newaxis])
    >>> standard.sample(3, seed=7).shape
    (3, 16)
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def __post_init__(self) -> None:
        """Check, and keep private read-only copies."""
        size = emoji_codes.SIZE
        for name in _ARRAYS:
            try:
                array = np.array(getattr(self, name), dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise _bad(f"its {name} are no numbers") from error
            if not np.isfinite(array).all():
                raise _bad(f"its {name} hold NaN or infinity")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        k = self.weights.size
        for name, shape in zip(_ARRAYS, [(k,), (k, size), (k, size, size)], strict=True):
            if getattr(self, name).shape != shape or not k:
                raise _bad(f"its {name} have the shape {getattr(self, name).shape}")
        if not (self.weights > 0).all() or abs(self.weights.sum() - 1) > 1e-6:
            raise _bad("its weights are not above 0 with the sum 1")
        if not np.allclose(self.covariances, self.covariances.transpose(0, 2, 1)):
            raise _bad("its covariances are not symmetric")
        try:
            np.linalg.cholesky(self.covariances)
        except np.linalg.LinAlgError as error:
            raise _bad("its covariances are not positive definite") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, corrupt or of another kind.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = [file[name] for name in _ARRAYS]
        except OSError as error:
            raise InputError(
                f"cannot read the prior {str(path)!r}: {error.strerror or 'damaged'}; "
                "name a folder written by train_vae"
            ) from error
        except Exception as error:  # foreign bytes make NumPy's readers raise almost anything
            raise InputError(
                f"{str(path)!r} is no fitted prior, or a damaged one; train or install it again"
            ) from error
        return cls(*arrays)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file, without pickles, whole or not at all.

        Raises:
            InputError: the name does not end in .npz, or cannot be written.
        """
        if Path(path).suffix.lower() != ".npz":
            raise InputError(f"cannot write {str(path)!r}: end the name of a prior's file in .npz")
        with replacing(path) as file:
            np.savez_compressed(file, **{name: getattr(self, name) for name in _ARRAYS})

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """The mean of the whole mixture, float64 (16,)."""
        mean = self.weights @ self.means
        mean.setflags(write=False)
        return mean

    @functools.cached_property
    def covariance(self) -> np.ndarray:
        """The covariance of the whole mixture, float64 (16, 16)."""
        # What lies within the components, and what lies between their means.
        offsets = self.means - self.mean
        within = np.tensordot(self.weights, self.covariances, axes=1)
        covariance = within + (offsets * self.weights[:, np.newaxis]).T @ offsets
        covariance.setflags(write=False)
        return covariance

    def sample(self, n: int, seed: int, temperature: float = 1.0) -> np.ndarray:
        """Draw codes.

        Args:
            n: how many, 1 to `MAX_SAMPLES`.
            seed: equal seeds draw equal codes; a larger ``n`` only adds to them.
            temperature: factor of the spread of a code around its component's mean, 0 (the means
                themselves) to `MAX_TEMPERATURE`.

        Returns:
            float64 (n, 16).

        Raises:
            InputError: an argument out of its range.
        """
        if not emoji_codes.is_whole(n) or not 1 <= n <= MAX_SAMPLES:
            raise InputError(f"cannot draw {n} emojis; ask for 1 to {MAX_SAMPLES}")
        check_seed(seed)
        if not 0 <= temperature <= MAX_TEMPERATURE:
            raise InputError(
                f"{temperature} is no temperature; give a number from 0 to {MAX_TEMPERATURE}"
            )
        # Two streams, so that the first draws stay the same however many follow.
        of_components, of_noise = np.random.default_rng(seed).spawn(2)
        shares = self.weights / self.weights.sum()
        components = of_components.choice(len(shares), size=n, p=shares)
        noise = of_noise.standard_normal((n, emoji_codes.SIZE))
        factors = np.linalg.cholesky(self.covariances)
        draws = self.means[components]
        for component, factor in enumerate(factors):
            rows = components == component
            draws[rows] += temperature * noise[rows] @ factor.T
        return draws

    def log_density(self, codes: Any) -> np.ndarray:
        """Return the logarithm of the density at codes (n, 16): float64 (n,).

        Raises:
            InputError: no codes, see ``codes.check``.
        """
        codes = emoji_codes.check(codes).astype(np.float64)
        logs = []
        for weight, mean, factor in zip(
            self.weights, self.means, np.linalg.cholesky(self.covariances), strict=True
        ):
            # With the covariance L L^T, the squared Mahalanobis distance is |L^-1 (x - mean)|^2.
            whitened = np.linalg.solve(factor, (codes - mean).T)
            logs.append(
                math.log(weight)
                - 0.5 * np.square(whitened).sum(axis=0)
                - np.log(np.diag(factor)).sum()
                - 0.5 * len(mean) * math.log(2 * math.pi)
            )
        return np.logaddexp.reduce(logs, axis=0)

    def from_standard(self, values: Any) -> np.ndarray:
        """Map values of standard normal dimensions to codes: float32 (n, 16).

        Each dimension is moved to the mean and scaled to the standard deviation that it has in the
        mixture; how dimensions hang together is left out, so that a value means the same in each.

        Raises:
            InputError: not floats (n, 16).
        """
        values = emoji_codes.check(values)
        return emoji_codes.check(self.mean + values * np.sqrt(np.diag(self.covariance)))


def check_seed(seed: Any) -> None:
    """Raise `InputError` for a seed that is not a whole number of at least 0."""
    if not emoji_codes.is_whole(seed) or seed < 0:
        raise InputError(f"{seed!r:.60} is no seed; give a whole number of at least 0")


def _bad(what: str) -> InputError:
    return InputError(f"the prior is no mixture of Gaussians over codes: {what}; fit it again")
