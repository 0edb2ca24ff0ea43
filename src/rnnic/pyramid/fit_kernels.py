"""Bits of a tile's own colour matrix, filters and activity weights (SPEC.md 5.3)."""

import numpy as np

from rnnic._jit import jit
from rnnic.pyramid.base import BIT, get_bits, get_number, put_bits, put_number
from rnnic.pyramid.model import MAX_ACTIVITY_WEIGHT, MAX_TAP_SUM

__all__ = ["COLOUR_ONE", "TAP_UNIT", "WEIGHT_UNIT", "get_own", "put_own"]

TAP_UNIT = np.int64(16)
WEIGHT_UNIT = np.int64(32)
FIRST_TOTAL = np.int64(4)
COLOUR_BITS = np.int64(16)
COLOUR_ONE = 1 << 14
MAX_COLOUR_SUM = 2 * COLOUR_ONE


@jit
def put_group(values, start, unit, bits, n):
    """Write how a group of numbers differs from the model's: a bit, then the differences."""
    same = True
    for i in range(values.shape[0]):
        same = same and values[i] == start[i]
    n = put_bits(bits, n, np.int64(not same), BIT)
    if same:
        return n
    total, count = FIRST_TOTAL, np.int64(1)
    for i in range(values.shape[0]):
        difference = (np.int64(values[i]) - np.int64(start[i])) // unit
        n, total, count = put_number(bits, n, difference, total, count)
    return n


@jit
def get_group(values, unit, bits, n):
    """Add what `put_group` wrote to ``values``, int64; returns the position."""
    own = get_bits(bits, n, BIT)
    n += 1
    if own == 0:
        return n
    total, count = FIRST_TOTAL, np.int64(1)
    for i in range(values.shape[0]):
        difference, n, total, count = get_number(bits, n, total, count)
        values[i] += difference * unit
    return n


@jit
def put_own(colour, default, luma, chroma, activity, own, bits, coded, n):
    """Write everything; ``own`` are the luma, chroma and activity that are changed."""
    components = 3 if colour.shape[0] > 0 else 1
    if components == 3:
        same = True
        for i in range(9):
            same = same and colour[i] == default[i]
        n = put_bits(bits, n, np.int64(not same), BIT)
        if not same:
            for i in range(9):
                n = put_bits(bits, n, np.int64(colour[i] & 0xFFFF), COLOUR_BITS)
    for level in range(luma.shape[0]):
        if (coded >> level) & 1:
            n = put_group(luma[level], own[0][level], TAP_UNIT, bits, n)
            for c in range(components - 1):
                n = put_group(chroma[level, c], own[1][level, c], TAP_UNIT, bits, n)
            for k in range(min(components, 2)):
                n = put_group(activity[level, k], own[2][level, k], WEIGHT_UNIT, bits, n)
    return n


@jit
def within(colour, luma, chroma, activity):
    """Tell whether int64 colour matrix, filters and activity weights are inside the format's limits."""
    for i in range(3):
        if abs(colour[i]) + abs(colour[i + 3]) + abs(colour[i + 6]) > MAX_COLOUR_SUM:
            return False
    for level in range(luma.shape[0]):
        total = np.int64(0)
        for i in range(luma.shape[1]):
            total += abs(luma[level, i])
        if total > MAX_TAP_SUM:
            return False
        for c in range(2):
            total = np.int64(0)
            for i in range(chroma.shape[2]):
                total += abs(chroma[level, c, i])
            if total > MAX_TAP_SUM:
                return False
        for k in range(2):
            for i in range(activity.shape[2]):
                if not 0 <= activity[level, k, i] <= MAX_ACTIVITY_WEIGHT:
                    return False
    return True


@jit
def get_own(bits, components, coded, colour, luma, chroma, activity, n):
    """Read everything into int64 arrays that hold what the model has.

    Returns the position; minus one if what is read, all of it there, is outside the format's limits.
    """
    if components == 3:
        own = get_bits(bits, n, BIT)
        n += 1
        if own:
            for i in range(9):
                value = get_bits(bits, n, COLOUR_BITS)
                colour[i] = value - ((value >> 15) << 16)
                n += COLOUR_BITS
    for level in range(luma.shape[0]):
        if (coded >> level) & 1:
            n = get_group(luma[level], TAP_UNIT, bits, n)
            for c in range(components - 1):
                n = get_group(chroma[level, c], TAP_UNIT, bits, n)
            for k in range(min(components, 2)):
                n = get_group(activity[level, k], WEIGHT_UNIT, bits, n)
    # The model's own numbers are inside the limits, so this looks at what was read.
    if n <= bits.shape[0] and not within(colour, luma, chroma, activity):
        return -BIT
    return n
