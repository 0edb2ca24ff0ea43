"""Kernels of the raster decoder (SPEC.md 4.4).

A row is decoded in two steps. Parsing needs magnitudes only: it turns symbols into differences.
Reconstruction then adds them to the predictions. A difference of a literal, which is added modulo
256 instead of being clipped, is stored with `LITERAL_MARK` added.
"""

import numpy as np
import numpy.typing as npt

from rnnic._jit import inlined, jit
from rnnic.entropy.bits import read_symbol
from rnnic.raster.tables import OUTSIDE_MAGNITUDE

__all__ = [
    "DAMAGED",
    "LITERAL_MARK",
    "OK",
    "PAD_LEFT",
    "PAD_RIGHT",
    "TRUNCATED",
    "activity_above",
    "decode_tile",
    "literal_magnitude",
    "reconstruct_row",
    "row_room",
]

OK, TRUNCATED, DAMAGED = 0, 1, 2
LITERAL_MARK = 1024
PAD_LEFT, PAD_RIGHT = 2, 3
"""Columns of a row of magnitudes before its first and after its last pixel."""


def row_room(
    width: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Return the magnitudes of two rows, as before the first one, and room for `activity_above`."""
    magnitudes = np.full((2, width + PAD_LEFT + PAD_RIGHT), OUTSIDE_MAGNITUDE, np.uint8)
    return magnitudes, np.zeros(width, np.int32)


@jit
def activity_above(above, weights, out):
    """Write the upper row's share of the activity of each pixel.

    ``above`` uint8 (w + 5,) are padded magnitudes of the row above, ``out`` int32 (w,).
    """
    for x in range(out.shape[0]):
        out[x] = (
            weights[2] * above[x + 1]
            + weights[3] * above[x + 2]
            + weights[4] * above[x + 3]
            + weights[5] * above[x + 4]
            + weights[6] * above[x + 5]
        )


@jit
def literal_magnitude(total, channels, scale):
    """Return the magnitude of a literal whose differences sum up to `total` in absolute value."""
    return min(255, (3 // channels * total * 1024) // scale)


@inlined
def _sample(difference, left, out, y, x, x0, top, c):
    """Return a sample, given its difference and the sample to the left."""
    if y > top:
        above = np.int32(out[y - 1, x0 + x, c])
        prediction = (left + above + 1) >> 1 if x > 0 else above
    else:
        prediction = left if x > 0 else np.int32(128)
    value = prediction + np.int32(difference)
    if difference >= LITERAL_MARK // 2:
        return value & 255
    return min(max(value, 0), 255)


@jit
def reconstruct_row(differences, out, y, x0, top, width):
    """Add a row's differences to its predictions.

    ``differences`` int16 (w * c or more,); ``out`` uint8 (H, W, c) is the image, the row is row `y` of it,
    from column `x0`; `top` is the first row of its tile.
    """
    channels = out.shape[2]
    if channels == 3:
        # The three samples' chains of additions run side by side.
        red = green = blue = np.int32(0)
        for x in range(width):
            red = _sample(differences[3 * x], red, out, y, x, x0, top, 0)
            green = _sample(differences[3 * x + 1], green, out, y, x, x0, top, 1)
            blue = _sample(differences[3 * x + 2], blue, out, y, x, x0, top, 2)
            out[y, x0 + x, 0] = red
            out[y, x0 + x, 1] = green
            out[y, x0 + x, 2] = blue
    else:
        grey = np.int32(0)
        for x in range(width):
            grey = _sample(differences[x], grey, out, y, x, x0, top, 0)
            out[y, x0 + x, 0] = grey


@jit
def decode_tile(words, bit_count, entries, book, scale, out, box, differences, room):
    """Decode a tile into its place in the image.

    Parameters
    ----------
    words : int64 (n,)
        Of `words_of`, with the bits of a row of literals to spare.
    bit_count : int
        Bits of the payload.
    entries : EntryTables, as a tuple
    book : DecoderBook, as a tuple
        Of `decoder_tables`.
    scale : int
        Palette scale in 1/256 sample.
    out : uint8 (H, W, c)
        The image.
    box : tuple of 4 int
        x, y, width, height of the tile in `out`.
    differences : int16 ((width + 3) * c,)
        Room for a row of them.
    room : tuple
        Of `row_room`.

    Returns
    -------
    int
        `OK`, `TRUNCATED` or `DAMAGED`.
    """
    x0, top, width, height = box
    channels = out.shape[2]
    primary, limit, offset, ranked = book
    classes = primary.shape[0] // 3
    entry_differences, entry_magnitudes, _, bases, activity_class, weights, links = entries
    nearer, farther = np.int64(weights[0]), np.int64(weights[1])
    position = np.int64(0)
    magnitudes, above = room
    green = 1 if channels == 3 else 0
    large_base = np.int64(bases[3])
    for row in range(height):
        now = magnitudes[row & 1]
        activity_above(magnitudes[1 - (row & 1)], weights, above)
        last = np.int64(OUTSIDE_MAGNITUDE)
        share = (nearer + farther) * OUTSIDE_MAGNITUDE
        x = np.int64(0)
        while x < width:
            table = np.int64(activity_class[above[x] + share])
            symbol, position = read_symbol(words, primary, limit, offset, ranked, table, position)
            if symbol > large_base:
                first = classes + 1 + table
                e, position = read_symbol(words, primary, limit, offset, ranked, first, position)
                f = e - 256 if e > 127 else e
                total = abs(f)
                differences[x * channels + green] = f + LITERAL_MARK
                if channels == 3:
                    for c in (0, 2):
                        other = first + classes
                        f, position = read_symbol(
                            words, primary, limit, offset, ranked, other, position
                        )
                        f = (f + e) & 255
                        f = f - 256 if f > 127 else f
                        total += abs(f)
                        differences[x * channels + c] = f + LITERAL_MARK
                magnitude = literal_magnitude(total, channels, scale)
                now[x + PAD_LEFT] = magnitude
                share = nearer * magnitude + farther * last
                last = magnitude
                x += 1
            else:
                if symbol == large_base:
                    index, position = read_symbol(
                        words, primary, limit, offset, ranked, classes, position
                    )
                    symbol += index
                link = np.int64(links[symbol])
                length = link & 7
                if x + length > width:
                    return DAMAGED
                # Always four pixels, in loops of fixed length: what is too much is overwritten.
                for i in range(4):
                    now[x + PAD_LEFT + i] = entry_magnitudes[symbol, i]
                if channels == 3:
                    for i in range(12):
                        differences[x * 3 + i] = entry_differences[symbol, i]
                else:
                    for i in range(4):
                        differences[x + i] = entry_differences[symbol, i]
                share = link >> 11
                if length == 1:
                    share += farther * last
                last = (link >> 3) & 255
                x += length
        # The spill behind the row's end is what the next row takes for the magnitudes outside.
        now[width + PAD_LEFT :] = OUTSIDE_MAGNITUDE
        if position > bit_count:
            return TRUNCATED
        reconstruct_row(differences, out, top + row, x0, top, width)
    return OK if position > bit_count - 8 else DAMAGED
