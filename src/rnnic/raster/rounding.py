"""Samples of 16 bits as samples of 8 bits."""

import numpy as np
import numpy.typing as npt

from rnnic._jit import jit

__all__ = ["eight_bits"]


@jit
def _round(samples: npt.NDArray[np.uint16], out: npt.NDArray[np.uint8]) -> None:
    for i in range(samples.size):
        # The shift gives the nearest of all 8-bit samples for every x of 16 bits.
        out[i] = (np.uint32(samples[i]) * np.uint32(255) + np.uint32(32895)) >> np.uint32(16)


def eight_bits(pixels: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Return samples of 16 bits as round(x * 255 / 65535); an array of the same shape."""
    out = np.empty(pixels.size, np.uint8)
    _round(np.ascontiguousarray(pixels).reshape(-1), out)
    return out.reshape(pixels.shape)
