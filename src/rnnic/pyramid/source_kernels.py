"""Kernels that make the pyramid of an image: components, and means of pairs (encoder only)."""

from numpy import float32, int32

from rnnic._jit import add, forced, jit, reshaped
from rnnic.pyramid.clipping import crowding

__all__ = ["average_columns", "average_rows", "to_components"]

HALF = float32(0.5)


@forced
def split_channels(line, width, middle, rows):
    """Fill ``rows``, float32 (1 | 3, width), from a row of pixels."""
    if rows.shape[0] == 1:
        only = rows[0]
        for x in range(width):
            only[x] = float32(line[x]) - middle
    else:
        first, second, third = rows[0], rows[1], rows[2]
        for x in range(width):
            first[x] = float32(line[3 * x]) - middle
            second[x] = float32(line[3 * x + 1]) - middle
            third[x] = float32(line[3 * x + 2]) - middle


@jit
def to_components(pixels, matrix, middle, white, beyond, rows, out):
    """Turn pixels, contiguous (height, width, channels), into components about ``middle``.

    Components are float32, in 1/64 of an 8-bit sample. Samples that are 0 or ``white`` are taken to lie
    ``beyond`` by as much, less where few are; see `rnnic.pyramid.clipping`. ``rows`` is room for float32
    (channels, width).
    """
    width, channels = pixels.shape[1], pixels.shape[2]
    for y in range(pixels.shape[0]):
        line = reshaped(pixels[y], (width * channels,))
        split_channels(line, width, middle, rows)
        if beyond > 0:
            clipped = int32(0)
            for i in range(width * channels):
                clipped = add(clipped, int32((line[i] == 0) | (line[i] == white)))
            for i in range(width * channels if clipped else 0):
                if line[i] == 0 or line[i] == white:
                    x, k = i // channels, i % channels
                    away = beyond * crowding(pixels, y, x, k)
                    rows[k, x] += away if line[i] == white else -away
        for c in range(channels):
            target = out[c, y]
            if channels == 1:
                factor, only = matrix[0, 0], rows[0]
                for x in range(width):
                    target[x] = factor * only[x]
            else:
                a, b, e = matrix[c, 0], matrix[c, 1], matrix[c, 2]
                first, second, third = rows[0], rows[1], rows[2]
                for x in range(width):
                    target[x] = a * first[x] + b * second[x] + e * third[x]


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
