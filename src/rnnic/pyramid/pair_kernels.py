"""Parsing of residuals: activity class, symbol, signs, escapes, trellis state."""

import numpy as np
from numpy import int32, uint64

from rnnic._jit import forced, jit, sub
from rnnic.entropy.rans import (
    U_PROBABILITY_BITS,
    U_SLOT_MASK,
    U_SYMBOL_BITS,
    decode_raw,
    decode_symbol,
    find_symbol,
    refill,
)
from rnnic.pyramid.format import COMMON_BITS, SIGNS_SHIFT

__all__ = [
    "MAX_ESCAPES",
    "decode_row_1",
    "decode_row_2",
    "decode_row_4",
    "entry_weights",
    "left_part",
    "pack_activity",
    "unpack_row",
]

MAX_ESCAPES = 7
SIGNS_PLACE = 52
U_SIGNS_PLACE = uint64(SIGNS_PLACE)
ESCAPED = np.int64(-1 << 63)
"""In the place of packed residuals: those of the pair are elsewhere."""
TOP_ACTIVITY = int32(16383)
ONE = uint64(1)
U_LOW = uint64(0xFFFF)
U_COMMON_BITS = uint64(COMMON_BITS)
U_SIGNS_SHIFT = uint64(SIGNS_SHIFT)


@forced
def decode_wide(state, position, words, top):
    """Decode a raw component: 24 bits, two's complement, in steps; returned in 1/64 step."""
    value = 0
    for _ in range(3):
        raw, state, position = decode_raw(state, position, words)
        value = (value << 8) | raw
    value -= (value >> 23) << 24
    return min(max(value * 64, -top), top), state, position


@forced
def left_part(r0, r1, r2, weights):
    """Return what a pair adds to its right neighbour's activities: luma + (chroma << 16).

    The residuals, or their magnitudes, are in 1/64 step.
    """
    e = min((min(abs(r0) >> 2, 4095) * np.int64(weights[0, 9])) >> 8, 16383)
    g = min((min((abs(r1) + abs(r2)) >> 2, 4095) * np.int64(weights[1, 9])) >> 8, 16383)
    return e | (g << 16)


@jit
def decode_escaped(
    x, state, position, trellis, luma_class, out, words, weights, sizes, top, slots, spans,
    labels, vectors,
):  # fmt: skip
    """Decode the rest of a pair that is in neither table of its class, into ``out[:, x]``.

    ``sizes`` and ``top`` are those of `decode_pass`. Returns what `decode_pair` does.
    """
    escape, luma_classes, contexts = sizes[1], sizes[2], sizes[4]
    book = trellis & ONE
    depth = 1
    symbol, raw = uint64(0), uint64(0)
    while depth < MAX_ESCAPES:
        table = uint64(luma_classes * (min(depth, 4) - 1)) + luma_class
        symbol, raw, state, position = decode_symbol(
            state, position, words, slots, spans, table, labels, uint64(0)
        )
        if symbol != uint64(escape):
            break
        depth += 1
    branch = uint64(0)
    if depth == MAX_ESCAPES:
        r0, state, position = decode_wide(state, position, words, top)
        r1, state, position = decode_wide(state, position, words, top)
        r2, state, position = decode_wide(state, position, words, top)
    else:
        at = (symbol << uint64(3)) | raw
        r0 = min(max(np.int64(vectors[at, 0]), -top), top)
        r1 = min(max(np.int64(vectors[at, 1]), -top), top)
        r2 = min(max(np.int64(vectors[at, 2]), -top), top)
        while depth > 0:
            depth -= 1
            used = book if depth == 0 else uint64(0)
            table = used * uint64(contexts) + uint64(contexts - 5 + min(depth, 4))
            symbol, raw, state, position = decode_symbol(
                state, position, words, slots, spans, table, labels, used
            )
            entry = (used << U_SYMBOL_BITS) | symbol
            at = (entry << uint64(3)) | raw
            branch = uint64(labels[entry]) >> uint64(2)
            r0 = min(max(r0 * 4 + np.int64(vectors[at, 0]), -top), top)
            r1 = min(max(r1 * 4 + np.int64(vectors[at, 1]), -top), top)
            r2 = min(max(r2 * 4 + np.int64(vectors[at, 2]), -top), top)
    out[0, x], out[1, x], out[2, x] = r0, r1, r2
    trellis = (trellis >> ONE) ^ (book * uint64(sizes[6])) ^ (branch << ONE)
    return state, position, trellis, uint64(left_part(r0, r1, r2, weights))


@forced
def place(x, symbol, raw, trellis, row, left, packed):
    """Put an entry and its signs into ``row[x]``.

    Returns the next trellis state and what the entry adds to activities further right.
    """
    entry = ((trellis & ONE) << U_SYMBOL_BITS) | symbol
    magnitudes = uint64(packed[entry])
    row[x] = magnitudes | (raw << U_SIGNS_PLACE)
    return (trellis >> ONE) ^ (magnitudes >> uint64(48)), uint64(left[entry])


@forced
def decode_pair(x, coder, lane, words, weights, left, sizes, top, tables):
    """Decode pair ``x`` of a lane's row.

    Parameters
    ----------
    x : int
        Which one.
    coder : tuple of uint64
        State, position, trellis state, activities passed on by the left neighbour. No index can be negative.
    lane : tuple
        Packed activities around, where packed residuals go, where residuals go that are out of reach, where
        the place behind the last one of these goes: those in the row are marked.

    Other parameters are those of `decode_row_4`. Returns the coder.
    """
    slots, spans, far_slots, far_spans, labels, vectors, packed, luma_class, chroma_class, _ = (
        tables
    )
    state, position, trellis, near = coder
    around, row, escaped, reach = lane
    activity = uint64(around[x]) + near
    luma = uint64(luma_class[(activity & U_LOW) >> uint64(2)])
    chroma = uint64(chroma_class[activity >> uint64(18)])
    book = trellis & ONE
    table = ((luma + chroma) << ONE) | book
    symbol, span, frequency, into = find_symbol(
        state & U_SLOT_MASK, table, U_COMMON_BITS, slots, spans
    )
    state = frequency * (state >> U_PROBABILITY_BITS) + into
    bits = span >> U_SIGNS_SHIFT
    raw = state & ((ONE << bits) - ONE)
    state, position = refill(state >> bits, position, words)
    if symbol == uint64(sizes[0]):
        # Too rare for the table of its class.
        luma //= uint64(sizes[3])
        table = book * uint64(sizes[4]) + uint64(sizes[2] * 4) + luma
        symbol, raw, state, position = decode_symbol(
            state, position, words, far_slots, far_spans, table, labels, book
        )
        if symbol == uint64(sizes[1]):
            row[x] = ESCAPED
            reach[0] = x + 1
            return decode_escaped(
                x, state, position, trellis, luma, escaped, words, weights, sizes, top, far_slots,
                far_spans, labels, vectors,
            )  # fmt: skip
    trellis, near = place(x, symbol, raw, trellis, row, left, packed)
    return state, position, trellis, near


@forced
def coder_of(k, states, positions, trellis):
    """Return a lane's coder at the start of a row, see `decode_pair`."""
    return uint64(states[k]), uint64(positions[k]), uint64(trellis[k]), uint64(0)


@forced
def lane_of(k, around, rows, escaped, reach):
    """Return a lane's row, see `decode_pair`."""
    return around[k], rows[k], escaped[k], reach[k:]


@forced
def keep_coder(k, coder, states, positions, trellis):
    """Keep a lane's coder for its next row."""
    states[k], positions[k], trellis[k] = coder[0], coder[1], coder[2]


@jit
def decode_row_1(
    k, n, states, positions, trellis, around, rows, escaped, reach, words, weights, left, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lane ``k`` alone."""
    own = words, weights, left, sizes, top, tables
    a = coder_of(k, states, positions, trellis)
    lane_a = lane_of(k, around, rows, escaped, reach)
    for x in range(n):
        a = decode_pair(x, a, lane_a, *own)
    keep_coder(k, a, states, positions, trellis)


@jit
def decode_row_2(
    k, n, states, positions, trellis, around, rows, escaped, reach, words, weights, left, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lanes ``k`` and ``k + 1`` in turns, which hides latencies."""
    own = words, weights, left, sizes, top, tables
    a = coder_of(k, states, positions, trellis)
    b = coder_of(k + 1, states, positions, trellis)
    lane_a = lane_of(k, around, rows, escaped, reach)
    lane_b = lane_of(k + 1, around, rows, escaped, reach)
    for x in range(n):
        a = decode_pair(x, a, lane_a, *own)
        b = decode_pair(x, b, lane_b, *own)
    keep_coder(k, a, states, positions, trellis)
    keep_coder(k + 1, b, states, positions, trellis)


@jit
def decode_row_4(
    k, n, states, positions, trellis, around, rows, escaped, reach, words, weights, left, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lanes ``k`` to ``k + 3`` in turns."""
    own = words, weights, left, sizes, top, tables
    a = coder_of(k, states, positions, trellis)
    b = coder_of(k + 1, states, positions, trellis)
    c = coder_of(k + 2, states, positions, trellis)
    d = coder_of(k + 3, states, positions, trellis)
    lane_a = lane_of(k, around, rows, escaped, reach)
    lane_b = lane_of(k + 1, around, rows, escaped, reach)
    lane_c = lane_of(k + 2, around, rows, escaped, reach)
    lane_d = lane_of(k + 3, around, rows, escaped, reach)
    for x in range(n):
        a = decode_pair(x, a, lane_a, *own)
        b = decode_pair(x, b, lane_b, *own)
        c = decode_pair(x, c, lane_c, *own)
        d = decode_pair(x, d, lane_d, *own)
    keep_coder(k, a, states, positions, trellis)
    keep_coder(k + 1, b, states, positions, trellis)
    keep_coder(k + 2, c, states, positions, trellis)
    keep_coder(k + 3, d, states, positions, trellis)


@forced
def pack_activity(activity, n, around):
    """Put luma and chroma activities, int32 (2, n), into one number: luma + (chroma << 16).

    Larger ones are cut off; with what `decode_pair` adds, they are in the highest class anyway.
    """
    luma, chroma = activity[0], activity[1]
    for x in range(n):
        around[x] = min(luma[x], TOP_ACTIVITY) | (min(chroma[x], TOP_ACTIVITY) << 16)


@forced
def signed(magnitude, sign):
    """Return a magnitude, negated where the lowest bit of ``sign`` is set."""
    mask = sub(int32(0), sign & int32(1))
    return sub(magnitude ^ mask, mask)


@forced
def unpack_row(row, n, end, escaped, out):
    """Fill residuals ``out`` from packed ones; those before ``end`` that are marked, from ``escaped``."""
    first, second, third = out[0], out[1], out[2]
    for x in range(n):
        low, high = int32(row[x] & 0xFFFFFFFF), int32(row[x] >> 32)
        m0, m1, m2 = low & int32(0xFFFF), low >> int32(16), high & int32(0xFFFF)
        # Only components that are not zero have a sign.
        signs = high >> int32(SIGNS_PLACE - 32)
        first[x] = signed(m0, signs)
        signs >>= int32(m0 != 0)
        second[x] = signed(m1, signs)
        third[x] = signed(m2, signs >> int32(m1 != 0))
    for x in range(end):
        if row[x] == ESCAPED:
            first[x], second[x], third[x] = escaped[0, x], escaped[1, x], escaped[2, x]


@jit
def entry_weights(packed, weights, left):
    """Fill what entries add to their right neighbour's activities: luma + (chroma << 16).

    ``left`` is uint32, (codebooks << SYMBOL_BITS,).
    """
    for i in range(left.shape[0]):
        numbers = packed[i]
        left[i] = left_part(
            numbers & 0xFFFF, (numbers >> 16) & 0xFFFF, (numbers >> 32) & 0xFFFF, weights
        )
