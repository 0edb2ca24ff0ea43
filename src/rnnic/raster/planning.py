"""Kernels with which the raster encoder chooses entries: queries, checks, and the exact planner.

Encoding is planned on whole images. A *lane* is a row of a tile: its row `y` of the image, its
columns from `x0` up to and without `x1`, and `top`, the first row of its tile. A plan is two int32
arrays of the image's size: ``symbols``, the main symbol at the first pixel of what it codes and -1
elsewhere, and ``extras``, what follows the symbol (index in the large palette, or the literal's
three symbols in 8 bits each).
"""

import numpy as np

from rnnic._jit import inlined, jit
from rnnic.search.exact import nearest

__all__ = [
    "POINT_UNIT",
    "accept_batch",
    "fill_queries",
    "plan_exact",
    "ready_lanes",
    "write_literals",
]

POINT_UNIT = 16
"""Palette points and queries are in 1/16 sample, so that halving a prediction four times is exact."""


@inlined
def _prediction(rec, y, x, x0, top, c):
    if x > x0:
        left = np.int32(rec[y, x - 1, c])
        if y > top:
            return (left + np.int32(rec[y - 1, x, c]) + 1) >> 1
        return left
    if y > top:
        return np.int32(rec[y - 1, x, c])
    return np.int32(128)


@inlined
def _write_query(pixels, rec, lane, x, count, query):
    """Write what a string's entry should look like in reconstruction space.

    ``query`` float32 (count * c,): each pixel less what it would be predicted as if all the string's
    differences were zero, in units of 1 / `POINT_UNIT`.
    """
    y, x0, top = lane
    channels = pixels.shape[2]
    for c in range(channels):
        if x > x0:
            chain = np.int32(rec[y, x - 1, c]) * POINT_UNIT
        elif y > top:
            chain = np.int32(rec[y - 1, x, c]) * POINT_UNIT
        else:
            chain = np.int32(128 * POINT_UNIT)
        for i in range(count):
            if y > top:
                chain = (chain + np.int32(rec[y - 1, x + i, c]) * POINT_UNIT) >> 1
            query[i * channels + c] = np.int32(pixels[y, x + i, c]) * POINT_UNIT - chain


@inlined
def _try_entry(pixels, rec, lane, x, count, differences, limit):
    """Reconstruct a string from an entry's differences; say if every pixel is within `limit`.

    What is left in `rec` where it is not is overwritten before it is read.
    """
    y, x0, top = lane
    channels = pixels.shape[2]
    weight = 3 // channels
    for i in range(count):
        error = 0
        for c in range(channels):
            value = _prediction(rec, y, x + i, x0, top, c)
            value += differences[i * channels + c]
            value = min(max(value, 0), 255)
            rec[y, x + i, c] = value
            delta = value - np.int32(pixels[y, x + i, c])
            error += weight * delta * delta
        if error > limit:
            return False
    return True


@inlined
def _write_literal(pixels, rec, lane, x, symbols, extras, symbol):
    """Code the pixel at `x` of the lane exactly."""
    y, x0, top = lane
    channels = pixels.shape[2]
    green = 1 if channels == 3 else 0
    first = (np.int32(pixels[y, x, green]) - _prediction(rec, y, x, x0, top, green)) & 255
    packed = first
    if channels == 3:
        for c in (0, 2):
            e = np.int32(pixels[y, x, c]) - _prediction(rec, y, x, x0, top, c)
            packed |= ((e - first) & 255) << (8 if c == 0 else 16)
    for c in range(channels):
        rec[y, x, c] = pixels[y, x, c]
    symbols[y, x] = symbol
    extras[y, x] = packed


@inlined
def _write_entry(symbols, extras, y, x, palette, index, bases):
    """Note in the plan that entry number `index` of a palette codes from (y, x) on."""
    if palette == 3:
        symbols[y, x] = bases[3]
        extras[y, x] = index
    else:
        symbols[y, x] = bases[palette] + index


@jit
def plan_exact(pixels, rec, symbols, extras, box, entries, indexes, scratch, query, limits):
    """Plan a tile with the exact search, pixel by pixel.

    Parameters
    ----------
    pixels, rec : uint8 (H, W, c)
        The image, and what the decoder will make of it.
    symbols, extras : int32 (H, W)
        The plan.
    box : tuple of 4 int
        x, y, width, height of the tile.
    entries : EntryTables, as a tuple
    indexes : tuple of 4 ExactIndex, as tuples
        Of the palettes' points.
    scratch : tuple of arrays
        Working memory of the search.
    query : float32 (4 * c,)
        Room for what it is asked.
    limits : tuple (int, int64 array (4,))
        Greatest squared error of a pixel, and greatest squared distance of a match in each palette.
    """
    x0, top, width, height = box
    limit, radii = limits
    differences, _, _, bases, _, _, _ = entries
    x1 = x0 + width
    for y in range(top, top + height):
        lane = (y, x0, top)
        x = x0
        while x < x1:
            coded = 0
            for palette in range(4):
                count = 4 >> palette if palette < 3 else 1
                if x + count > x1 or bases[palette + 1] == bases[palette]:
                    continue
                if palette != 3:
                    _write_query(pixels, rec, lane, x, count, query)
                index = nearest(indexes[palette], query, radii[palette], scratch)
                if index < 0:
                    continue
                entry = differences[bases[palette] + index]
                if _try_entry(pixels, rec, lane, x, count, entry, limit):
                    _write_entry(symbols, extras, y, x, palette, index, bases)
                    coded = count
                    break
            if coded == 0:
                _write_literal(pixels, rec, lane, x, symbols, extras, bases[3] + 1)
                coded = 1
            x += coded


@jit
def ready_lanes(positions, lanes, ready):
    """List the lanes that can advance by a string of four; return how many there are.

    ``positions`` int32 (L,): next column of each lane; ``lanes`` int32 (L, 4): y, x0, top, x1, rows of
    a tile one after the other; ``ready`` int32 (L,) receives the numbers.
    """
    count = 0
    for number in range(lanes.shape[0]):
        x = positions[number]
        if x >= lanes[number, 3]:
            continue
        below = lanes[number, 0] > lanes[number, 2]
        if below and positions[number - 1] < min(x + 4, lanes[number, 3]):
            continue
        ready[count] = number
        count += 1
    return count


@jit
def fill_queries(pixels, rec, lanes, positions, chosen, count, queries):
    """Write the queries of the lanes numbered in ``chosen`` into ``queries`` float32 (N, count * c)."""
    for i in range(chosen.shape[0]):
        lane = lanes[chosen[i]]
        place = (lane[0], lane[1], lane[2])
        _write_query(pixels, rec, place, positions[chosen[i]], count, queries[i])


@jit
def accept_batch(
    pixels,
    rec,
    symbols,
    extras,
    lanes,
    positions,
    chosen,
    found,
    queries,
    points,
    entries,
    palette,
    limit,
    radius,
    left,
):
    """Take the entries found for a batch of lanes where they are good.

    ``found`` int64 (N,) are indices of ``points`` float32 (K, d); ``left`` int32 (N,) receives the lanes
    whose entry is too far off. Returns their number.
    """
    rejected = 0
    differences, _, entry_pixels, bases, _, _, _ = entries
    for i in range(chosen.shape[0]):
        lane = lanes[chosen[i]]
        x = positions[chosen[i]]
        distance = 0.0
        for k in range(points.shape[1]):
            step = np.float64(points[found[i], k]) - np.float64(queries[i, k])
            distance += step * step
        good = False
        if distance <= radius:
            place = (lane[0], lane[1], lane[2])
            number = bases[palette] + found[i]
            count = np.int64(entry_pixels[number])
            good = _try_entry(pixels, rec, place, x, count, differences[number], limit)
            if good:
                _write_entry(symbols, extras, lane[0], x, palette, found[i], bases)
                positions[chosen[i]] += count
        if not good:
            left[rejected] = chosen[i]
            rejected += 1
    return rejected


@jit
def write_literals(pixels, rec, symbols, extras, lanes, positions, chosen, symbol):
    """Code the next pixel of each lane numbered in ``chosen`` exactly."""
    for i in range(chosen.shape[0]):
        lane = lanes[chosen[i]]
        place = (lane[0], lane[1], lane[2])
        _write_literal(pixels, rec, place, positions[chosen[i]], symbols, extras, symbol)
        positions[chosen[i]] += 1
