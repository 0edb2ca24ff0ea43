"""Clipped samples: what decodes to beyond black or white is cut off, so it costs nothing (encoder only).

A sample that is black or white need not be met, only reached. Where many are, as in overexposed skies,
they are coded as if they lay a little beyond, which rids them of half of their errors and more. A second
encode can let them lie wherever the first one put them: a projection onto the set of images that are cut
off to the same pixels.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy import float32

from rnnic._jit import forced, jit
from rnnic.pyramid.colour import DEPTH_SCALE
from rnnic.pyramid.format import STEP_SCALE, PyramidParams

__all__ = ["clipped_share", "crowding", "distance_beyond", "relaxed_targets", "white_of"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
BEYOND = 0.3
"""How far beyond black and white clipped samples are taken to lie, in steps, where all around are
clipped; chosen on training photos. Single ones, raised, would be specks to code."""
FARTHEST = 3.0
"""The same, at most, for a second encode."""
REACH = 2


def white_of(bit_depth: int) -> float32:
    """Return the largest sample."""
    return np.float32((1 << bit_depth) - 1)


def distance_beyond(params: PyramidParams, steps: float = BEYOND) -> float32:
    """Return a number of steps in samples."""
    return np.float32(steps * params.step / STEP_SCALE * DEPTH_SCALE[params.bit_depth])


def clipped_share(pixels: Pixels) -> float:
    """Return the share of samples that are black or white."""
    white = int(white_of(8 * pixels.itemsize))
    return (np.count_nonzero(pixels == white) + np.count_nonzero(pixels == 0)) / pixels.size


def relaxed_targets(
    pixels: Pixels,
    planes: npt.NDArray[np.int16],
    colour: npt.NDArray[np.int32],
    params: PyramidParams,
) -> npt.NDArray[np.float32]:
    """Return what another encode may aim at after one that decodes to ``planes``.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (height, width, channels)
    planes : int16 array, (channels, height, width)
        Components in 1/64 of an 8-bit sample.
    colour : int32 array, (3, 3)
    params : PyramidParams

    Returns
    -------
    float32 array, (height, width, channels)
        The pixels; clipped samples where the first encode put them, within some steps beyond.
    """
    scale = DEPTH_SCALE[params.bit_depth]
    matrix = np.ones((1, 1)) if params.channels == 1 else colour / 16384
    out = np.empty(pixels.shape, np.float32)
    _relax(
        pixels, planes, (matrix * scale / 64).astype(np.float32), np.float32(128 * scale),
        white_of(params.bit_depth), distance_beyond(params), distance_beyond(params, FARTHEST), out,
    )  # fmt: skip
    return out


@forced
def crowding(pixels, y, x, k):
    """Square of the share of samples around one, in a window of 5 x 5, that are equal to it."""
    top, bottom = max(y - REACH, 0), min(y + REACH + 1, pixels.shape[0])
    first, end = max(x - REACH, 0), min(x + REACH + 1, pixels.shape[1])
    equal = 0
    for i in range(top, bottom):
        for j in range(first, end):
            equal += pixels[i, j, k] == pixels[y, x, k]
    share = float32(equal) / float32((bottom - top) * (end - first))
    return share * share


@jit
def _relax(pixels, planes, matrix, middle, white, least, most, out):
    """Fill ``out``; ``matrix`` is (components, channels), distances are in samples."""
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            for k in range(pixels.shape[2]):
                v = float32(pixels[y, x, k])
                if v == white or v == float32(0):
                    s = middle
                    for c in range(matrix.shape[0]):
                        s += matrix[c, k] * float32(planes[c, y, x])
                    own = least * crowding(pixels, y, x, k)
                    high, low = min(max(s, v + own), v + most), max(min(s, -own), -most)
                    v = high if v == white else low
                out[y, x, k] = v
