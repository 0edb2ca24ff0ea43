"""The base plane: two predictors and adaptive Golomb-Rice codes."""

import numpy as np

from rnnic._jit import forced, jit

__all__ = ["BIT", "decode_base", "encode_base", "get_bits", "get_number", "put_bits", "put_number"]

MAX_UNARY = 24
RAW_BITS = np.int64(18)
BIT = np.int64(1)
"""Of a type, unlike literals: those would have kernels compiled once more for each of their values."""
MAX_NUMBER_BITS = 48
"""More than any number needs: 24 ones, and 18 bits."""
LARGEST = 65535
"""Real values have 16 bits; the limit keeps garbage from growing."""


@forced
def prediction(q, c, y, x, slopes):
    """Median of left, upper and left + upper - upper-left (LOCO-I, Weinberger et al. 2000), or the last.

    With ``slopes`` what lies on a plane is met, on the borders too.
    """
    if y == 0:
        if x == 0:
            return q[c, 0, 0]
        return 2 * q[c, 0, x - 1] - q[c, 0, x - 2] if slopes and x > 1 else q[c, 0, x - 1]
    if x == 0:
        return 2 * q[c, y - 1, 0] - q[c, y - 2, 0] if slopes and y > 1 else q[c, y - 1, 0]
    a, b = q[c, y, x - 1], q[c, y - 1, x]
    both = a + b - q[c, y - 1, x - 1]
    return both if slopes else max(min(a, b), min(max(a, b), both))


@forced
def rice_parameter(total, count):
    """Smallest k with ``count << k >= total``, at most 16."""
    k = 0
    while k < 16 and (count << k) < total:
        k += 1
    return k


@jit
def put_bits(bits, n, value, length):
    """Write the low ``length`` bits of ``value``, highest first; returns the new position."""
    for i in range(length - 1, -1, -1):
        bits[n] = (value >> i) & 1
        n += 1
    return n


@jit
def get_bits(bits, n, length):
    """Read a number; bits beyond the end are zero."""
    value = np.int64(0)
    for i in range(n, n + length):
        value = 2 * value + (np.int64(bits[i]) if i < bits.shape[0] else np.int64(0))
    return value


@jit
def put_number(bits, n, number, total, count):
    """Write a number with an adaptive Golomb-Rice code.

    Returns the new position, and the sum and count that the next number's code depends on.
    """
    value = 2 * number if number >= 0 else -2 * number - 1
    k = rice_parameter(total, count)
    ones = min(value >> k, MAX_UNARY)
    for _ in range(ones):
        n = put_bits(bits, n, BIT, BIT)
    if ones < MAX_UNARY:
        n = put_bits(bits, n, BIT - BIT, BIT)
        n = put_bits(bits, n, value, k)
    else:
        n = put_bits(bits, n, value, RAW_BITS)
    total += value
    count += 1
    if count == 32:
        total >>= 1
        count >>= 1
    return n, total, count


@jit
def get_number(bits, n, total, count):
    """Read what `put_number` wrote; returns the number, position, sum and count."""
    k = rice_parameter(total, count)
    ones = 0
    while n < bits.shape[0] and ones < MAX_UNARY and bits[n] == 1:
        ones += 1
        n += 1
    if ones == MAX_UNARY:
        value = get_bits(bits, n, RAW_BITS)
        n += RAW_BITS
    else:
        value = (ones << k) + get_bits(bits, n + 1, k)
        n += k + 1
    total += value
    count += 1
    if count == 32:
        total >>= 1
        count >>= 1
    return (value >> 1) if value & 1 == 0 else -((value + 1) >> 1), n, total, count


@jit
def encode_component(q, c, slopes, bits, n):
    """Encode a component of ``q`` with one of the two predictions; returns the new position."""
    height, width = q.shape[1], q.shape[2]
    value = 2 * q[c, 0, 0] if q[c, 0, 0] >= 0 else -2 * q[c, 0, 0] - 1
    n = put_bits(bits, n, value, RAW_BITS)
    n = put_bits(bits, n, np.int64(slopes), BIT)
    total, count = np.int64(16), np.int64(1)
    for y in range(height):
        first = 1 if y == 0 else 0
        same = True
        for x in range(first, width):
            same = same and q[c, y, x] == prediction(q, c, y, x, slopes)
        n = put_bits(bits, n, np.int64(same), BIT)
        if same:
            continue
        for x in range(first, width):
            error = q[c, y, x] - prediction(q, c, y, x, slopes)
            n, total, count = put_number(bits, n, error, total, count)
    return n


@jit
def encode_base(q, bits, n):
    """Encode int64 (components, height, width) into ``bits`` (uint8, one bit each) from ``n`` on.

    Returns the new position; ``MAX_NUMBER_BITS`` for each number are always enough.
    """
    for c in range(q.shape[0]):
        ends = np.int64(0), np.int64(0)
        for trial in range(2):
            ends = encode_component(q, c, trial == 0, bits, n), ends[0]
        without, with_slopes = ends
        slopes = with_slopes < without
        n = encode_component(q, c, slopes, bits, n) if slopes else without
    return n


@jit
def decode_base(bits, n, q):
    """Decode into ``q``; returns False if ``bits`` (uint8, one bit each) end too early."""
    end = bits.shape[0]
    height, width = q.shape[1], q.shape[2]
    for c in range(q.shape[0]):
        total, count = np.int64(16), np.int64(1)
        slopes = False
        for y in range(height):
            first = 1 if y == 0 else 0
            if y == 0:
                value = get_bits(bits, n, RAW_BITS)
                value = (value >> 1) if value & 1 == 0 else -((value + 1) >> 1)
                q[c, 0, 0] = min(max(value, -LARGEST), LARGEST)
                slopes = get_bits(bits, n + RAW_BITS, BIT) == 1
                n += RAW_BITS + 1
            same = get_bits(bits, n, BIT) == 1
            n += 1
            for x in range(first, width):
                error = np.int64(0)
                if not same:
                    error, n, total, count = get_number(bits, n, total, count)
                guess = prediction(q, c, y, x, slopes) + error
                q[c, y, x] = min(max(guess, -LARGEST), LARGEST)
            if n > end:
                return False
    return True
