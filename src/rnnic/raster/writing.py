"""Kernels that turn a plan into classes, and classes and symbols into bits (SPEC.md 4.4)."""

from rnnic._jit import jit
from rnnic.entropy.bits import put_code
from rnnic.raster.kernels import PAD_LEFT, activity_above, literal_magnitude

__all__ = ["MAX_PIXEL_BYTES", "tile_activities", "write_tile"]

MAX_PIXEL_BYTES = 10
"""A literal with the longest codes: four symbols of 20 bits."""


@jit
def _signed(e):
    return e - 256 if e > 127 else e


@jit
def _literal_total(packed, channels):
    """Return the sum of the absolute differences of a literal, given its packed symbols."""
    first = packed & 255
    total = abs(_signed(first))
    if channels == 3:
        total += abs(_signed((((packed >> 8) & 255) + first) & 255))
        total += abs(_signed((((packed >> 16) & 255) + first) & 255))
    return total


@jit
def tile_activities(symbols, extras, box, entries, channels, scale, room, activities):
    """Write the activity at the first pixel of each symbol of a tile into ``activities`` int32 (h, w).

    ``room`` is that of `rnnic.raster.kernels.row_room`.
    """
    x0, top, width, height = box
    magnitudes, above = room
    _, entry_magnitudes, entry_pixels, bases, _, weights, _ = entries
    large = bases[3]
    for row in range(height):
        now = magnitudes[row & 1]
        activity_above(magnitudes[1 - (row & 1)], weights, above)
        for x in range(width):
            symbol = symbols[top + row, x0 + x]
            if symbol < 0:
                continue
            activities[row, x] = above[x] + weights[0] * now[x + 1] + weights[1] * now[x]
            extra = extras[top + row, x0 + x]
            if symbol > large:
                total = _literal_total(extra, channels)
                now[x + PAD_LEFT] = literal_magnitude(total, channels, scale)
            else:
                entry = symbol + extra if symbol == large else symbol
                for i in range(entry_pixels[entry]):
                    now[x + PAD_LEFT + i] = entry_magnitudes[entry, i]


@jit
def write_tile(symbols, extras, box, classes, books, large, channels, state, out):
    """Write a tile's codes.

    Parameters
    ----------
    symbols, extras : int32 (H, W)
        The plan of the image.
    box : tuple of 4 int
        x, y, width, height of the tile.
    classes : uint8 (h, w)
        Class at the first pixel of each symbol of the tile.
    books : EncoderBooks, as a tuple of tuples
    large : int
        The symbol that announces an entry of the large palette.
    channels : int
    state : int64 (3,)
        Zeros; see `rnnic.entropy.bits.put_code`.
    out : uint8 (n,)
        At least `MAX_PIXEL_BYTES` bytes a pixel.

    Returns
    -------
    int
        Number of bytes written.
    """
    x0, top, width, height = box
    main_codes, main_lengths = books[0]
    large_codes, large_lengths = books[1]
    first_codes, first_lengths = books[2]
    other_codes, other_lengths = books[3]
    for row in range(height):
        for x in range(width):
            symbol = symbols[top + row, x0 + x]
            if symbol < 0:
                continue
            table = classes[row, x]
            put_code(state, out, main_codes[table, symbol], main_lengths[table, symbol])
            if symbol < large:
                continue
            extra = extras[top + row, x0 + x]
            if symbol == large:
                put_code(state, out, large_codes[0, extra], large_lengths[0, extra])
                continue
            e = extra & 255
            put_code(state, out, first_codes[table, e], first_lengths[table, e])
            if channels == 3:
                e = (extra >> 8) & 255
                put_code(state, out, other_codes[table, e], other_lengths[table, e])
                e = (extra >> 16) & 255
                put_code(state, out, other_codes[table, e], other_lengths[table, e])
    if state[1] > 0:
        out[state[2]] = (state[0] << (8 - state[1])) & 255
        state[2] += 1
    return state[2]
