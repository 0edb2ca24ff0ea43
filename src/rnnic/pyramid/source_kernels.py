"""Kernels that make the pyramid of an image: components, and means of pairs (encoder only)."""

import numpy as np
from numpy import float32

from rnnic._jit import jit
from rnnic.pyramid.clipping import crowding

__all__ = ["average_columns", "average_rows", "to_components"]

HALF = float32(0.5)


@jit
def to_components(pixels, matrix, middle, white, beyond, out):
    """Pixels (height, width, channels) to float32 components in 1/64 of an 8-bit sample about ``middle``.

    Samples that are 0 or ``white`` are taken to lie ``beyond`` by as much, less where few are; see
    `rnnic.pyramid.clipping`.
    """
    channels = matrix.shape[1]
    row = np.empty((channels, pixels.shape[1]), np.float32)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            for k in range(channels):
                v = float32(pixels[y, x, k])
                if beyond > 0 and (v == white or v == float32(0)):
                    away = beyond * crowding(pixels, y, x, k)
                    v += away if v == white else -away
                row[k, x] = v - middle
        for c in range(matrix.shape[0]):
            for x in range(pixels.shape[1]):
                s = float32(0)
                for k in range(channels):
                    s += matrix[c, k] * row[k, x]
                out[c, y, x] = s


@jit
def average_columns(a, out):
    """Means of pairs of columns; an odd last column stays."""
    width = a.shape[2]
    for c in range(a.shape[0]):
        for y in range(a.shape[1]):
            for x in range(width // 2):
                out[c, y, x] = (a[c, y, 2 * x] + a[c, y, 2 * x + 1]) * HALF
            if width % 2:
                out[c, y, width // 2] = a[c, y, width - 1]


@jit
def average_rows(a, out):
    """Means of pairs of rows; an odd last row stays."""
    height = a.shape[1]
    for c in range(a.shape[0]):
        for y in range((height + 1) // 2):
            other = min(2 * y + 1, height - 1)
            for x in range(a.shape[2]):
                out[c, y, x] = (a[c, 2 * y, x] + a[c, other, x]) * HALF
