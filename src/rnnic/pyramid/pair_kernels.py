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
def decode_pair(
    x, state, position, trellis, near, around, row, words, left, escape, slots, spans, packed,
    luma_class, chroma_class,
):  # fmt: skip
    """Decode pair ``x`` of a row into ``row[x]``, unless its entry is not in the table of its class.

    Takes the tables one by one, so that no references are counted, and numbers as uint64, so
    that no index can be negative.

    Returns
    -------
    tuple
        State, position, trellis state, activities passed to the right neighbour, and -1, or
        the luma class (times the chroma classes) of a pair that `decode_far` is to decode.
    """
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
    if symbol == escape:
        return state, position, trellis, near, np.int64(luma)
    trellis, near = place(x, symbol, raw, trellis, row, left, packed)
    return state, position, trellis, near, np.int64(-1)


@forced
def decode_far(
    x, state, position, trellis, luma_class, row, escaped, words, weights, left, sizes, top, slots,
    spans, labels, vectors, packed, reach, k,
):  # fmt: skip
    """Decode a pair whose entry is too rare for the table of its class, or out of reach.

    What is out of reach goes to ``escaped[:, x]``; ``row[x]`` is marked, ``reach[k]`` put behind it.

    Returns
    -------
    tuple
        State, position, trellis state, activities passed to the right neighbour.
    """
    book = trellis & ONE
    table = book * uint64(sizes[4]) + uint64(sizes[2] * 4 + luma_class)
    symbol, raw, state, position = decode_symbol(
        state, position, words, slots, spans, table, labels, book
    )
    if symbol == uint64(sizes[1]):
        row[x] = ESCAPED
        reach[k] = x + 1
        return decode_escaped(
            x, state, position, trellis, uint64(luma_class), escaped, words, weights, sizes, top,
            slots, spans, labels, vectors,
        )  # fmt: skip
    trellis, near = place(x, symbol, raw, trellis, row, left, packed)
    return state, position, trellis, near


@jit
def decode_row_1(
    k, n, states, positions, trellis, around, rows, escaped, reach, words, weights, left, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lane ``k`` alone."""
    (
        slots, spans, far_slots, far_spans, labels, vectors, packed, luma_class, chroma_class, _,
    ) = tables  # fmt: skip
    common, chroma_classes = uint64(sizes[0]), sizes[3]
    s0, p0, t0, w0 = uint64(states[k]), positions[k], uint64(trellis[k]), uint64(0)
    a0, r0, e0 = around[k], rows[k], escaped[k]
    for x in range(n):
        s0, p0, t0, w0, far0 = decode_pair(
            x, s0, p0, t0, w0, a0, r0, words, left, common, slots, spans, packed, luma_class,
            chroma_class,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, w0 = decode_far(
                x, s0, p0, t0, far0 // chroma_classes, r0, e0, words, weights, left, sizes, top,
                far_slots, far_spans, labels, vectors, packed, reach, k,
            )  # fmt: skip
    states[k], positions[k], trellis[k] = s0, p0, t0


@jit
def decode_row_2(
    k, n, states, positions, trellis, around, rows, escaped, reach, words, weights, left, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lanes ``k`` and ``k + 1`` in turns, which hides latencies."""
    (
        slots, spans, far_slots, far_spans, labels, vectors, packed, luma_class, chroma_class, _,
    ) = tables  # fmt: skip
    common, chroma_classes = uint64(sizes[0]), sizes[3]
    s0, p0, t0, w0 = uint64(states[k]), positions[k], uint64(trellis[k]), uint64(0)
    a0, r0, e0 = around[k], rows[k], escaped[k]
    s1, p1, t1, w1 = uint64(states[k + 1]), positions[k + 1], uint64(trellis[k + 1]), uint64(0)
    a1, r1, e1 = around[k + 1], rows[k + 1], escaped[k + 1]
    for x in range(n):
        s0, p0, t0, w0, far0 = decode_pair(
            x, s0, p0, t0, w0, a0, r0, words, left, common, slots, spans, packed, luma_class,
            chroma_class,
        )  # fmt: skip
        s1, p1, t1, w1, far1 = decode_pair(
            x, s1, p1, t1, w1, a1, r1, words, left, common, slots, spans, packed, luma_class,
            chroma_class,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, w0 = decode_far(
                x, s0, p0, t0, far0 // chroma_classes, r0, e0, words, weights, left, sizes, top,
                far_slots, far_spans, labels, vectors, packed, reach, k,
            )  # fmt: skip
        if far1 >= 0:
            s1, p1, t1, w1 = decode_far(
                x, s1, p1, t1, far1 // chroma_classes, r1, e1, words, weights, left, sizes, top,
                far_slots, far_spans, labels, vectors, packed, reach, k + 1,
            )  # fmt: skip
    states[k], positions[k], trellis[k] = s0, p0, t0
    states[k + 1], positions[k + 1], trellis[k + 1] = s1, p1, t1


@jit
def decode_row_4(
    n, states, positions, trellis, around, rows, escaped, reach, words, weights, left, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of all four lanes in turns."""
    (
        slots, spans, far_slots, far_spans, labels, vectors, packed, luma_class, chroma_class, _,
    ) = tables  # fmt: skip
    common, chroma_classes = uint64(sizes[0]), sizes[3]
    s0, p0, t0, w0 = uint64(states[0]), positions[0], uint64(trellis[0]), uint64(0)
    a0, r0, e0 = around[0], rows[0], escaped[0]
    s1, p1, t1, w1 = uint64(states[1]), positions[1], uint64(trellis[1]), uint64(0)
    a1, r1, e1 = around[1], rows[1], escaped[1]
    s2, p2, t2, w2 = uint64(states[2]), positions[2], uint64(trellis[2]), uint64(0)
    a2, r2, e2 = around[2], rows[2], escaped[2]
    s3, p3, t3, w3 = uint64(states[3]), positions[3], uint64(trellis[3]), uint64(0)
    a3, r3, e3 = around[3], rows[3], escaped[3]
    for x in range(n):
        s0, p0, t0, w0, far0 = decode_pair(
            x, s0, p0, t0, w0, a0, r0, words, left, common, slots, spans, packed, luma_class,
            chroma_class,
        )  # fmt: skip
        s1, p1, t1, w1, far1 = decode_pair(
            x, s1, p1, t1, w1, a1, r1, words, left, common, slots, spans, packed, luma_class,
            chroma_class,
        )  # fmt: skip
        s2, p2, t2, w2, far2 = decode_pair(
            x, s2, p2, t2, w2, a2, r2, words, left, common, slots, spans, packed, luma_class,
            chroma_class,
        )  # fmt: skip
        s3, p3, t3, w3, far3 = decode_pair(
            x, s3, p3, t3, w3, a3, r3, words, left, common, slots, spans, packed, luma_class,
            chroma_class,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, w0 = decode_far(
                x, s0, p0, t0, far0 // chroma_classes, r0, e0, words, weights, left, sizes, top,
                far_slots, far_spans, labels, vectors, packed, reach, 0,
            )  # fmt: skip
        if far1 >= 0:
            s1, p1, t1, w1 = decode_far(
                x, s1, p1, t1, far1 // chroma_classes, r1, e1, words, weights, left, sizes, top,
                far_slots, far_spans, labels, vectors, packed, reach, 1,
            )  # fmt: skip
        if far2 >= 0:
            s2, p2, t2, w2 = decode_far(
                x, s2, p2, t2, far2 // chroma_classes, r2, e2, words, weights, left, sizes, top,
                far_slots, far_spans, labels, vectors, packed, reach, 2,
            )  # fmt: skip
        if far3 >= 0:
            s3, p3, t3, w3 = decode_far(
                x, s3, p3, t3, far3 // chroma_classes, r3, e3, words, weights, left, sizes, top,
                far_slots, far_spans, labels, vectors, packed, reach, 3,
            )  # fmt: skip
    states[0], positions[0], trellis[0] = s0, p0, t0
    states[1], positions[1], trellis[1] = s1, p1, t1
    states[2], positions[2], trellis[2] = s2, p2, t2
    states[3], positions[3], trellis[3] = s3, p3, t3


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
