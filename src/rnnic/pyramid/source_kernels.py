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
    width, channels = pixels.shape[1], matrix.shape[1]
    black, bright = -middle, white - middle
    row = np.empty(width, np.float32)
    for y in range(pixels.shape[0]):
        for k in range(channels):
            clipped = 0
            for x in range(width):
                v = float32(pixels[y, x, k]) - middle
                row[x] = v
                clipped += (v == black) | (v == bright)
            if beyond > 0 and clipped:
                for x in range(width):
                    if row[x] == black:
                        row[x] = black - beyond * crowding(pixels, y, x, k)
                    elif row[x] == bright:
                        row[x] = bright + beyond * crowding(pixels, y, x, k)
            for c in range(matrix.shape[0]):
                factor = matrix[c, k]
                if k == 0:
                    for x in range(width):
                        out[c, y, x] = factor * row[x]
                else:
                    for x in range(width):
                        out[c, y, x] += factor * row[x]


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
