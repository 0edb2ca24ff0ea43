"""Images at a fraction of their size, for what cannot be decoded at it."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["block_means"]

Pixels = npt.NDArray[Any]  # uint8 or uint16


def block_means(pixels: Pixels, size: int) -> Pixels:
    """Return the means of blocks of size x size pixels, those on the border of what is there.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (height, width, channels)
    size : int
    """
    height, width, channels = pixels.shape
    out: Pixels = np.empty((-(-height // size), -(-width // size), channels), pixels.dtype)
    starts = np.arange(0, width, size)
    widths = np.diff(np.append(starts, width))[:, None]
    for row, y in enumerate(range(0, height, size)):
        block = pixels[y : y + size].sum(axis=0, dtype=np.int64)
        area = widths * len(pixels[y : y + size])
        out[row] = (np.add.reduceat(block, starts, axis=0) + area // 2) // area
    return out
