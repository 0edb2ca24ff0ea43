"""Row filters: each byte less a guess from its neighbours (PNG, ISO/IEC 15948, section 9).

One more filter stands for a row like the one above, which then has no bytes: deflate alone cannot make
less than a thousandth of an empty screen.
"""

import numpy as np

from rnnic._jit import forced, inlined, jit

__all__ = ["FILTERS", "filter_rows", "unfilter_rows"]

FILTERS = 5
"""None, left, upper, mean of both, Paeth."""
REPEATED = 5


@forced
def guess(kind, left, upper, corner):
    """Return a filter's guess of a byte."""
    if kind == 1:
        return left
    if kind == 2:
        return upper
    if kind == 3:
        return (left + upper) >> 1
    if kind == 4:
        p = left + upper - corner
        a, b, c = abs(p - left), abs(p - upper), abs(p - corner)
        if a <= b and a <= c:
            return left
        return upper if b <= c else corner
    return 0


@inlined
def neighbours(rows, y, x, distance):
    """Return the bytes to the left, above, and above that to the left; zero outside."""
    left = np.int64(rows[y, x - distance]) if x >= distance else np.int64(0)
    upper = np.int64(rows[y - 1, x]) if y > 0 else np.int64(0)
    corner = np.int64(0)
    if y > 0 and x >= distance:
        corner = np.int64(rows[y - 1, x - distance])
    return left, upper, corner


@jit
def filter_rows(data, distance, only, sums, out):
    """Filter rows.

    Parameters
    ----------
    data : uint8 array, (height, bytes)
    distance : int
        Bytes of a pixel.
    only : int
        Filter of all rows, or -1: that whose bytes, taken as signed, are smallest in sum.
    sums : int64 array, (FILTERS,)
        Room.
    out : uint8 array, (height * (1 + bytes),)
        Number of the filter, then the filtered row unless it repeats the one above; row by row.

    Returns
    -------
    int
        How much of ``out`` is filled.
    """
    height, width = data.shape
    n = 0
    for y in range(height):
        repeated = y > 0
        for x in range(width):
            if not repeated:
                break
            repeated = data[y, x] == data[y - 1, x]
        if repeated:
            out[n] = REPEATED
            n += 1
            continue
        kind = only
        if only < 0:
            sums[:] = 0
            for x in range(width):
                left, upper, corner = neighbours(data, y, x, distance)
                for k in range(FILTERS):
                    value = (np.int64(data[y, x]) - guess(k, left, upper, corner)) & 255
                    sums[k] += min(value, 256 - value)
            kind = 0
            for k in range(1, FILTERS):
                if sums[k] < sums[kind]:
                    kind = k
        out[n] = kind
        n += 1
        for x in range(width):
            left, upper, corner = neighbours(data, y, x, distance)
            out[n] = (np.int64(data[y, x]) - guess(kind, left, upper, corner)) & 255
            n += 1
    return n


@jit
def unfilter_rows(data, distance, rows):
    """Undo `filter_rows` into ``rows``, uint8 (height, bytes).

    Returns how many bytes of ``data`` that took; -1 if they end early, -2 if a filter is not known.
    """
    height, width = rows.shape
    n = 0
    for y in range(height):
        if n >= data.shape[0]:
            return -1
        kind = np.int64(data[n])
        n += 1
        if kind == REPEATED and y > 0:
            for x in range(width):
                rows[y, x] = rows[y - 1, x]
            continue
        if kind >= FILTERS:
            return -2
        if n + width > data.shape[0]:
            return -1
        for x in range(width):
            left, upper, corner = neighbours(rows, y, x, distance)
            rows[y, x] = (np.int64(data[n]) + guess(kind, left, upper, corner)) & 255
            n += 1
    return n
