"""Colour matrix of an image, found in milliseconds and sent in fixed point."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic._jit import jit
from rnnic.pyramid.fit import DEFAULT_COLOUR
from rnnic.pyramid.fit_kernels import COLOUR_ONE

__all__ = ["DEPTH_SCALE", "choose_colour", "forward_matrix"]

Pixels = npt.NDArray[Any]  # uint8 or uint16


def to_fixed(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Nine numbers in 1/16384, (3, 3)."""
    return np.rint(matrix * COLOUR_ONE).astype(np.int32)


def forward_matrix(
    colour: npt.NDArray[np.int32], channels: int, bit_depth: int = 8
) -> npt.NDArray[np.float32]:
    """Return what turns pixels into components in 1/64 of an 8-bit sample: the decoder's matrix inverted."""
    unit = 64 / DEPTH_SCALE[bit_depth]
    if channels == 1:
        return np.full((1, 1), unit, np.float32)
    return (np.linalg.inv(colour.T.astype(np.float64) / COLOUR_ONE) * unit).astype(np.float32)


DEPTH_SCALE = {8: 1, 16: 257}
"""Samples over those of 8 bits, by their bits."""
SAMPLES = 3000
LEVELS = 6
NOISE, NOISE_BESIDE = 0.28, 0.08
"""The least median of the last component in steps, and the share of the first's that is added to it."""
BANDS, BAND_ROWS = 4, 32


class Colour(NamedTuple):
    """How a tile's colours are coded.

    Attributes
    ----------
    matrix : int32 array, (3, 3)
        ``rnnic.pyramid.fit.Fit.colour``.
    noisy : bool
        Whether all components differ from pixel to pixel so much that the tables for noisy images suit.
    """

    matrix: npt.NDArray[np.int32]
    noisy: bool


def choose_colour(pixels: Pixels, step: int, *, thorough: bool = True) -> Colour:
    """Find the rotation whose components cost the least, and look for noise in the last of them.

    The cost of a matrix is the sum of ``log2(1 + (r / s)**2)`` over a sample of residuals of a
    cheap Haar pyramid; ``s`` is the step size seen by those residuals. A pattern search starts
    from the fixed matrix and from the Karhunen-Loeve transform.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (height, width, 3)
    step : int
        Step size in 1/1024 sample.
    thorough : bool
        Whether all rows are looked at; otherwise a few bands of rows stand for a large image.

    Returns
    -------
    Colour
    """
    residuals = sample_residuals(pixels if thorough else banded(pixels))
    fixed = np.array(DEFAULT_COLOUR, np.float64).reshape(3, 3) / COLOUR_ONE
    if len(residuals) < 16 or not residuals.any():
        return Colour(to_fixed(fixed), noisy=False)
    scaled = (residuals / (step / 1024 * 0.7)).astype(np.float32)
    _, vectors = np.linalg.eigh(scaled.T.astype(np.float64) @ scaled)
    best_cost, best = np.inf, fixed
    for start in (fixed, vectors[:, ::-1].T):
        matrix = np.array(start, order="C")  # a copy: the search turns it in place
        cost = pattern_search(scaled, matrix, np.empty((3, 3)))
        if cost < best_cost:
            best_cost, best = cost, matrix
    best = best[np.argsort(-np.abs(residuals @ best.T).sum(axis=0), kind="stable")]
    signs = np.where((fixed * best).sum(axis=1) < 0, -1.0, 1.0)
    matrix = best * signs[:, None]
    first, _, last = np.median(np.abs(residuals @ matrix.T), axis=0) / (step / 1024)
    return Colour(to_fixed(matrix), noisy=bool(last > NOISE + NOISE_BESIDE * first))


def banded(pixels: Pixels) -> Pixels:
    """Return a few bands of rows, of not too many columns."""
    height = len(pixels)
    if height > BANDS * BAND_ROWS:
        starts = np.linspace(0, height - BAND_ROWS, BANDS).astype(int) & ~1
        pixels = np.concatenate([pixels[s : s + BAND_ROWS] for s in starts])
    return pixels[:, :1024]


def sample_residuals(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Residuals of a Haar pyramid, (samples, 3), in orthonormal units of 8 bits; the finest weigh most."""
    plane = pixels.astype(np.float32) / np.float32(DEPTH_SCALE[8 * pixels.itemsize])
    found = []
    count = SAMPLES
    for level in range(LEVELS):
        if level % 2:
            plane = plane.transpose(1, 0, 2)
        even = plane.shape[1] & ~1
        if even < 2:
            break
        mean = (plane[:, 0:even:2] + plane[:, 1:even:2]) * np.float32(0.5)
        difference = plane[:, 0:even:2] - plane[:, 1:even:2]
        if mean.shape[1] > 2:
            difference[:, 1:-1] -= np.float32(0.25) * (mean[:, :-2] - mean[:, 2:])
        flat = difference.reshape(-1, 3)
        count = max(count // 2, 100)
        # An odd stride walks through all columns.
        stride = max(len(flat) // count, 1) | 1
        found.append(flat[::stride] * np.float32(2 ** ((level - 1) / 2)))
        plane = mean.transpose(1, 0, 2) if level % 2 else mean
    if not found:
        return np.zeros((0, 3))
    return np.concatenate(found).astype(np.float64)


@jit
def spread_cost(residuals, matrix):
    """Mean of ``log2(1 + z**2)`` over all components of ``residuals @ matrix.T``."""
    total, product = 0.0, 1.0
    for i in range(residuals.shape[0]):
        for c in range(3):
            z = 0.0
            for k in range(3):
                z += matrix[c, k] * residuals[i, k]
            product *= 1.0 + z * z
        # One logarithm of four: they take more time than all the rest.
        if i % 4 == 3:
            total += math.log2(product)
            product = 1.0
    return (total + math.log2(product)) / residuals.shape[0]


@jit
def pattern_search(residuals, matrix, trial):
    """Turn ``matrix`` about its own axes while that lowers the cost, which is returned.

    ``trial`` is room for a matrix.
    """
    cost = spread_cost(residuals, matrix)
    angle = 0.2
    while angle > 0.01:
        improved = False
        for axis in range(3):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            for sign in (1.0, -1.0):
                c, s = math.cos(angle), sign * math.sin(angle)
                for k in range(3):
                    # Element by element: whole rows would double the time to compile.
                    trial[axis, k] = matrix[axis, k]
                    trial[i, k] = c * matrix[i, k] - s * matrix[j, k]
                    trial[j, k] = s * matrix[i, k] + c * matrix[j, k]
                found = spread_cost(residuals, trial)
                if found < cost - 1e-5:
                    cost = found
                    for k in range(3):
                        matrix[i, k], matrix[j, k] = trial[i, k], trial[j, k]
                    improved = True
                    break
        if not improved:
            angle *= 0.5
    return cost
