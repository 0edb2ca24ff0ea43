"""A sample of an image, which is quick to encode and tells what the whole image will have."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.metrics import DB

__all__ = ["Sample"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
_Floats = npt.NDArray[np.float32]

_BLOCK, _BORDER = 56, 4
_CELL = 128
_MAX_CELLS = 256
_MIN_CELLS, _FEW_CELLS = 4, 12
_SOME = 32
"""A few blocks of a sample are about so many, or half of them."""
_LOOKED_AT = 1 << 15
"""About so many pixels of an image are compared with their neighbours."""
_RESPONSE = 8.0
"""A squared error is so many times a squared difference from the neighbours, or that of rounding if less.
So the PSNR of training crops is foreseen with a standard deviation of 0.07 dB at a step of 3, 0.16 at 32.
"""
_BITS_RESPONSE, _MORE_BITS, _MORE_WITH_STEP = 64.0, 0.05, 0.04
"""Bits follow the logarithm of 1 and so many times a squared difference in squared steps; samples have more
of them a pixel, by these logarithms. So sizes are foreseen within 6 to 15 % (training crops).
"""
_LEAST_CONTROL = 1.0


class Sample:
    """Blocks from all over an image, side by side; a small image is its own sample.

    Parameters
    ----------
    pixels : uint8 or uint16 (H, W, c)
        The image, c = 1 … 4.
    """

    def __init__(self, pixels: Pixels) -> None:
        height, width = pixels.shape[:2]
        cell = max(_CELL, math.ceil(math.sqrt(height * width / _MAX_CELLS)))
        down, across = height // cell, width // cell
        self.whole = down * across < _MIN_CELLS
        self.pixels = pixels
        self.share = 1.0
        """The share of the image's pixels that are in the sample."""
        self._cells = pixels, down, across
        if self.whole:
            return
        self.pixels = _side_by_side(_blocks_of(*self._cells))
        self.share = self.pixels.size / pixels.size
        by = max(1, math.isqrt(height * width // _LOOKED_AT))
        self._of_image = _squared_differences(pixels, by)
        squares = np.zeros((*self.pixels.shape[:2], self._of_image.shape[2]), np.float32)
        squares[1:-1, 1:-1] = _squared_differences(self.pixels, 1)
        self._of_sample = self.inner(squares)

    @cached_property
    def some(self) -> Pixels | None:
        """A few of the blocks, None for the smallest images."""
        _, down, across = self._cells
        return _some_of(_blocks_of(*self._cells)) if down * across else None

    def inner(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an image like the sample without the borders of blocks, which have more errors."""
        if self.whole:
            return image
        down, across = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
        kept = slice(_BORDER, _BLOCK - _BORDER)
        blocks = image.reshape(down, _BLOCK, across, _BLOCK, -1)[:, kept, :, kept]
        size = _BLOCK - 2 * _BORDER
        return blocks.reshape(down * size, across * size, -1)

    def psnr_beyond(self, control: float) -> float:
        """Return the usual PSNR of the image beyond that of the sample's inner pixels, in dB.

        Flat areas have less error than others. How many there are in the whole image is known from
        differences of neighbouring pixels.

        Parameters
        ----------
        control : float
            The step size.
        """
        if self.whole:
            return 0.0
        rounding = max(control, _LEAST_CONTROL) ** 2 / 12
        image, sample = self._means(lambda squares: np.minimum(_RESPONSE * squares, rounding))
        return DB * math.log(sample / image) if image > 0 and sample > 0 else 0.0

    def bits_beyond(self, control: float) -> float:
        """Return the logarithm of the image's usual bits a pixel, as multiple of the sample's."""
        if self.whole:
            return 0.0
        step = max(control, _LEAST_CONTROL)
        image, sample = self._means(lambda squares: np.log1p(_BITS_RESPONSE / step**2 * squares))
        more = _MORE_BITS + _MORE_WITH_STEP * max(math.log(step / 3), 0.0)
        return (math.log(image / sample) if image > 0 and sample > 0 else 0.0) - more

    def _means(self, of: Callable[[_Floats], _Floats]) -> tuple[float, float]:
        """Return the means of a function of squared differences, in the image and in the sample."""
        return float(of(self._of_image).mean()), float(of(self._of_sample).mean())


def _blocks_of(pixels: Pixels, down: int, across: int) -> Pixels:
    """Return blocks, (`down`, `across`, height, width, c), from the middle of equal cells."""
    height, width, channels = pixels.shape
    blocks = np.empty((down, across, _BLOCK, _BLOCK, channels), pixels.dtype)
    for row in range(down):
        for column in range(across):
            # At even coordinates, as the pyramid's passes look at rows and columns by turns.
            y = ((2 * row + 1) * height // (2 * down) - _BLOCK // 2) & ~1
            x = ((2 * column + 1) * width // (2 * across) - _BLOCK // 2) & ~1
            blocks[row, column] = pixels[y : y + _BLOCK, x : x + _BLOCK]
    return blocks


def _side_by_side(blocks: Pixels) -> Pixels:
    """Make an image of blocks."""
    down, across, height, width, channels = blocks.shape
    return blocks.swapaxes(1, 2).reshape(down * height, across * width, channels)


def _some_of(blocks: Pixels) -> Pixels:
    """Make an image of some of the blocks, from all over: half of them, or fewer of many."""
    count = blocks.shape[0] * blocks.shape[1]
    every = 1 if count < _FEW_CELLS else max(2, math.ceil(count / _SOME))
    columns = math.ceil(math.sqrt(every))
    return _side_by_side(blocks[:: math.ceil(every / columns), ::columns])


def _squared_differences(pixels: Pixels, by: int) -> _Floats:
    """Return how far pixels are from the mean of their four neighbours, squared.

    Of ``by`` rows and columns, one each is looked at, and none at the ends.

    Returns
    -------
    float32 (n, m, 1 or 3)
        In 8-bit samples, of a luma and two differences of colours.
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.shape[2] < 3 else 3
    unit = np.float32(255 / np.iinfo(pixels.dtype).max)

    def shifted(down: int, right: int) -> _Floats:
        at = np.s_[1 + down : height - 1 + down : by, 1 + right : width - 1 + right : by, :channels]
        return pixels[at].astype(np.float32) * unit

    differences = (
        shifted(0, 0) - (shifted(-1, 0) + shifted(1, 0) + shifted(0, -1) + shifted(0, 1)) / 4
    )
    if channels == 3:
        red, green, blue = (differences[:, :, k].copy() for k in range(3))
        differences = np.stack([(red + 2 * green + blue) / 4, red - green, blue - green], axis=2)
    return np.square(differences)
