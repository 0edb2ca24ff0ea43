"""How far one image is from another."""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["max_error", "psnr"]

Pixels = npt.NDArray[np.uint8]
_ROWS_AT_ONCE = 256


def _row_blocks(first: Pixels, second: Pixels) -> list[slice]:
    if first.shape != second.shape:
        raise ValueError(f"images of shapes {first.shape} and {second.shape} cannot be compared")
    return [slice(y, y + _ROWS_AT_ONCE) for y in range(0, first.shape[0], _ROWS_AT_ONCE)]


def psnr(first: Pixels, second: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB, over all channels, peak 255.

    Parameters
    ----------
    first, second : uint8 (H, W) or (H, W, c)
        Images of the same shape.

    Returns
    -------
    float
        Infinity where the images are equal.
    """
    total = 0.0
    for rows in _row_blocks(first, second):
        difference = first[rows].astype(np.float64) - second[rows]
        total += float((difference * difference).sum())
    return math.inf if total == 0 else 10 * math.log10(255.0**2 * first.size / total)


def max_error(first: Pixels, second: Pixels) -> float:
    """Return the greatest Euclidean distance of two pixels, in 8-bit RGB units.

    A grey pixel v counts as the RGB pixel v, v, v.

    Parameters
    ----------
    first, second : uint8 (H, W) or (H, W, c)
        Images of the same shape.
    """
    worst = 0.0
    for rows in _row_blocks(first, second):
        difference = first[rows].astype(np.float64) - second[rows]
        squares = difference * difference
        if squares.ndim == 3 and squares.shape[2] == 3:
            worst = max(worst, float(squares.sum(axis=2).max()))
        else:
            worst = max(worst, 3 * float(squares.max()))
    return math.sqrt(worst)
