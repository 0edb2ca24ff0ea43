"""How far one image is from another."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DB", "max_error", "psnr", "squared_error"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
DB = 10 / math.log(10)
"""Decibels of a factor e."""

_ROWS_AT_ONCE = 256


def _squares(first: Pixels, second: Pixels) -> Iterator[npt.NDArray[Any]]:
    """Yield squared differences of colours, (pixels, c), of a few rows at once.

    Pixels whose alpha is 0 in both images are left out.
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        raise ValueError(
            f"images of shapes {first.shape} and {second.shape}, types {first.dtype} and"
            f" {second.dtype} cannot be compared"
        )
    channels = 1 if first.ndim == 2 else first.shape[2]
    colours = 1 if channels < 3 else 3
    for y in range(0, first.shape[0], _ROWS_AT_ONCE):
        a = first[y : y + _ROWS_AT_ONCE].reshape(-1, channels)
        b = second[y : y + _ROWS_AT_ONCE].reshape(-1, channels)
        if channels % 2 == 0:
            seen = (a[:, -1] | b[:, -1]) > 0
            a, b = a[seen], b[seen]
        a, b = a[:, :colours], b[:, :colours]
        if first.itemsize == 1:
            short = a.astype(np.int16) - b
            yield (short * short).view(np.uint16)
        else:
            difference = a.astype(np.float64) - b
            yield difference * difference


def psnr(first: Pixels, second: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB, over all colour channels; the peak is 255 or 65535.

    Parameters
    ----------
    first, second : uint8 or uint16 (H, W) or (H, W, c), c = 1 … 4
        Images of the same shape and type. Alpha is not compared, and pixels whose alpha is 0 in both
        images do not count.

    Returns
    -------
    float
        Infinity where the colours are equal.
    """
    total, count = squared_error(first, second)
    peak = float(np.iinfo(first.dtype).max)
    return math.inf if total == 0 else 10 * math.log10(peak**2 * count / total)


def squared_error(first: Pixels, second: Pixels) -> tuple[float, int]:
    """Return the sum of squared differences of colours, and how many samples it is of.

    Parameters
    ----------
    first, second : uint8 or uint16 (H, W) or (H, W, c), c = 1 … 4
        As for :func:`psnr`.
    """
    total, count = 0.0, 0
    for squares in _squares(first, second):
        total += float(squares.sum())
        count += squares.size
    return total, count


def max_error(first: Pixels, second: Pixels) -> float:
    """Return the greatest Euclidean distance of two pixels, in 8-bit RGB units.

    A grey pixel v counts as the RGB pixel v, v, v; 257 is the unit of samples of 16 bits.

    Parameters
    ----------
    first, second : uint8 or uint16 (H, W) or (H, W, c), c = 1 … 4
        As for :func:`psnr`.
    """
    worst = 0.0
    for squares in _squares(first, second):
        if squares.size:
            worst = max(worst, 3 / squares.shape[1] * float(squares.sum(axis=1).max()))
    return math.sqrt(worst) / (1 if first.itemsize == 1 else 257)
