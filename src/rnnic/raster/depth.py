"""Samples of 16 bits as samples of 8 bits, which the method codes, and low bytes (SPEC.md 4.5)."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.errors import FormatError
from rnnic.lossless import decode_lossless, encode_lossless
from rnnic.raster.rounding import eight_bits

__all__ = ["MAX_LOW_STEP", "Depth", "decode_low", "encode_low", "joined", "plan_depth"]

Pixels8 = npt.NDArray[np.uint8]
Pixels16 = npt.NDArray[np.uint16]
MAX_LOW_STEP = 256
SCALE = 257
"""A sample of 16 bits over one of 8 bits."""


class Depth(NamedTuple):
    """How samples of 16 bits are cut in two.

    Parameters
    ----------
    low_step : int
        Step of the low bytes; 0 where there are none and 8 bits suffice.
    threshold : float
        What is left of the error threshold for the 8 bits.
    """

    low_step: int
    threshold: float

    def high(self, pixels: Pixels16) -> Pixels8:
        """Return the 8 bits that the method codes."""
        if self.low_step == 0:
            return eight_bits(pixels)
        return (pixels >> 8).astype(np.uint8)


def _distance(error: int) -> float:
    """Return the greatest distance, in 8-bit RGB units, of pixels whose samples are off by `error`."""
    return math.sqrt(3 * error * error) / SCALE


def plan_depth(threshold: float) -> Depth:
    """Return how to cut samples so that no pixel is off by more than a threshold in 8-bit RGB units."""
    rounding = _distance(SCALE // 2)
    if threshold >= rounding:
        return Depth(0, threshold - rounding)
    allowed = int(threshold * SCALE / math.sqrt(3)) + 1
    while allowed > 0 and _distance(allowed) > threshold:
        allowed -= 1
    return Depth(min(2 * allowed + 1, MAX_LOW_STEP), 0.0)


def encode_low(pixels: Pixels16, low_step: int) -> bytes:
    """Encode the low bytes of a tile (h, w, c)."""
    return encode_lossless(((pixels & 255) // low_step).astype(np.uint8))


def decode_low(part: bytes, shape: tuple[int, int, int], low_step: int) -> Pixels8:
    """Decode what `encode_low` returned, in steps.

    Raises
    ------
    FormatError, TruncatedError
        If no encoder writes such data.
    """
    steps = decode_lossless(part, shape, np.uint8)
    if int(steps.max()) > 255 // low_step:
        raise FormatError("a low byte is beyond 255; the file is damaged")
    return steps.astype(np.uint8, copy=False)


def joined(high: Pixels8, low: Pixels8 | None, low_step: int) -> Pixels16:
    """Return samples of 16 bits."""
    deep = high.astype(np.uint16)
    if low is None:
        return deep * np.uint16(SCALE)
    fine = low.astype(np.uint16) * np.uint16(low_step) + np.uint16(low_step // 2)
    found: Pixels16 = (deep << 8) + np.minimum(fine, 255).astype(np.uint16)
    return found
