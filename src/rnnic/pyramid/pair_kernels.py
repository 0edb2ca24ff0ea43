"""Parsing of residuals: activity class, symbol, signs, escapes, trellis state."""

import numpy as np
from numpy import int16, int32, uint64

from rnnic._jit import forced, jit
from rnnic.entropy.rans import (
    PROBABILITY_SCALE,
    SYMBOL_BITS,
    U_PROBABILITY_BITS,
    U_SLOT_MASK,
    U_SYMBOL_BITS,
    decode_raw,
    decode_symbol,
    find_symbol,
    refill,
    search_symbol,
)
from rnnic.pyramid.format import (
    BUCKET_BITS,
    BUCKETS_BITS,
    COMMON_BITS,
    SIGNS_PLACE,
    STATE_PLACE,
)

__all__ = [
    "MAX_ESCAPES",
    "decode_row_1",
    "decode_row_2",
    "decode_row_4",
    "entry_effects",
    "entry_weights",
    "left_part",
    "pack_activity",
    "unpack_row",
]

MAX_ESCAPES = 7
TOP_ACTIVITY = int32(16383)
ONE = uint64(1)
U_LOW = uint64(0xFFFF)
U_LEFT = uint64(0xFFFFFFFF)
U_COMMON_BITS = uint64(COMMON_BITS)
U_BUCKET_BITS = uint64(BUCKET_BITS)
U_BUCKETS_BITS = uint64(BUCKETS_BITS)
U_BUCKETS = uint64(1 << BUCKETS_BITS)
U_BOOK_SHIFT = uint64(SYMBOL_BITS - BUCKETS_BITS)
U_SCALE = uint64(PROBABILITY_SCALE)
U_SIGNS_PLACE = uint64(SIGNS_PLACE)
U_STATE_PLACE = uint64(STATE_PLACE)


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


@forced
def half_state(passed):
    """Return the trellis state in ``passed``, see `decode_pair`, without its lowest bit, in place."""
    return (passed >> (U_STATE_PLACE + ONE)) << U_STATE_PLACE


@jit
def decode_escaped(
    x, state, position, passed, luma_class, lane, words, weights, sizes, top, slots, ends, labels,
    vectors,
):  # fmt: skip
    """Decode the rest of a pair that is in neither table of its class.

    The state is that behind both escapes, ``slots`` and ``ends`` are the far ones; other parameters are
    those of `decode_pair`. Returns the coder.
    """
    row, escaped, reach = lane
    escape, luma_classes, contexts = sizes[1], sizes[2], sizes[4]
    book = (passed >> U_STATE_PLACE) & ONE
    depth = 1
    symbol, raw = uint64(0), uint64(0)
    while depth < MAX_ESCAPES:
        table = uint64(luma_classes * (min(depth, 4) - 1)) + luma_class
        symbol, raw, state, position = decode_symbol(
            state, position, words, slots, ends, table, labels, uint64(0)
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
                state, position, words, slots, ends, table, labels, used
            )
            entry = (used << U_SYMBOL_BITS) | symbol
            at = (entry << uint64(3)) | raw
            branch = uint64(labels[entry]) >> uint64(2)
            r0 = min(max(r0 * 4 + np.int64(vectors[at, 0]), -top), top)
            r1 = min(max(r1 * 4 + np.int64(vectors[at, 1]), -top), top)
            r2 = min(max(r2 * 4 + np.int64(vectors[at, 2]), -top), top)
    escaped[0, x], escaped[1, x], escaped[2, x] = r0, r1, r2
    row[x] = reach[0]
    reach[0] = x + 1
    flips = (book * uint64(sizes[6])) ^ (branch << ONE)
    passed = half_state(passed) ^ (flips << U_STATE_PLACE)
    return state, position, passed | uint64(left_part(r0, r1, r2, weights))


@forced
def decode_pair(x, coder, lane, words, weights, effects, sizes, top, tables):
    """Decode pair ``x`` of a lane's row.

    Parameters
    ----------
    x : int
        Which one.
    coder : tuple of uint64
        State; position; what the left neighbour passes on: what it adds to activities, and the trellis
        state ``<< STATE_PLACE``. No index can be negative.
    lane : tuple
        Packed activities around, each replaced by packed residuals; where residuals go that are out of
        reach; the place behind the last one of these, in whose stead the row holds that of the one before.

    Other parameters are those of `decode_row_4`. Returns the coder.
    """
    (
        buckets, ends, far_slots, far_ends, labels, vectors, signed, _, luma_table, chroma_table,
    ) = tables  # fmt: skip
    state, position, passed = coder
    row, _, _ = lane
    activity = uint64(row[x]) + (passed & U_LEFT)
    luma = uint64(luma_table[(activity & U_LOW) >> uint64(2)])
    chroma = uint64(chroma_table[activity >> uint64(18)])
    book = (passed >> (U_STATE_PLACE - U_BUCKETS_BITS)) & U_BUCKETS
    table = luma + chroma + book
    slot = state & U_SLOT_MASK
    bucket = uint64(buckets[table + (slot >> U_BUCKET_BITS)])
    second = bucket >> uint64(32)
    if slot >= (second >> uint64(8)) & U_SLOT_MASK:
        bucket = second
    symbol = bucket & uint64(255)
    into = slot - ((bucket >> uint64(8)) & U_SLOT_MASK)
    frequency = (bucket >> uint64(20)) & U_SLOT_MASK
    if into >= frequency:
        which = table >> U_BUCKETS_BITS
        if frequency == uint64(0):
            # It is the escape, whose slots are a table's last.
            frequency = U_SCALE - (slot - into)
        else:
            symbol, frequency, into = search_symbol(
                slot, symbol + ONE, which << U_COMMON_BITS, ends
            )
        if symbol == uint64(sizes[0]):
            # Too rare for the table of its class.
            state = frequency * (state >> U_PROBABILITY_BITS) + into
            state, position = refill(state, position, words)
            luma_class = (which >> ONE) // uint64(sizes[3])
            which = (which & ONE) * uint64(sizes[4]) + uint64(sizes[2] * 4) + luma_class
            symbol, frequency, into = find_symbol(state & U_SLOT_MASK, which, far_slots, far_ends)
            if symbol == uint64(sizes[1]):
                state = frequency * (state >> U_PROBABILITY_BITS) + into
                state, position = refill(state, position, words)
                return decode_escaped(
                    x, state, position, passed, luma_class, lane, words, weights,
                    sizes, top, far_slots, far_ends, labels, vectors,
                )  # fmt: skip
    entry = (book << U_BOOK_SHIFT) | symbol
    effect = uint64(effects[entry])
    state = frequency * (state >> U_PROBABILITY_BITS) + into
    row[x] = signed[(entry << uint64(3)) | (state & uint64(7))]
    signs = (effect >> U_SIGNS_PLACE) & uint64(63)
    state, position = refill(state >> signs, position, words)
    return state, position, half_state(passed) ^ effect


@forced
def coder_of(k, states, positions, trellis):
    """Return a lane's coder at the start of a row, see `decode_pair`."""
    return uint64(states[k]), uint64(positions[k]), uint64(trellis[k]) << U_STATE_PLACE


@forced
def lane_of(k, rows, escaped, reach):
    """Return a lane's row, see `decode_pair`."""
    return rows[k], escaped[k], reach[k:]


@forced
def keep_coder(k, coder, states, positions, trellis):
    """Keep a lane's coder for its next row."""
    states[k], positions[k], trellis[k] = coder[0], coder[1], coder[2] >> U_STATE_PLACE


@jit
def decode_row_1(
    k, n, states, positions, trellis, rows, escaped, reach, words, weights, effects, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lane ``k`` alone."""
    own = words, weights, effects, sizes, top, tables
    a = coder_of(k, states, positions, trellis)
    lane_a = lane_of(k, rows, escaped, reach)
    for x in range(n):
        a = decode_pair(x, a, lane_a, *own)
    keep_coder(k, a, states, positions, trellis)


@jit
def decode_row_2(
    k, n, states, positions, trellis, rows, escaped, reach, words, weights, effects, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lanes ``k`` and ``k + 1`` in turns, which hides latencies."""
    own = words, weights, effects, sizes, top, tables
    a = coder_of(k, states, positions, trellis)
    b = coder_of(k + 1, states, positions, trellis)
    lane_a = lane_of(k, rows, escaped, reach)
    lane_b = lane_of(k + 1, rows, escaped, reach)
    for x in range(n):
        a = decode_pair(x, a, lane_a, *own)
        b = decode_pair(x, b, lane_b, *own)
    keep_coder(k, a, states, positions, trellis)
    keep_coder(k + 1, b, states, positions, trellis)


@jit
def decode_row_4(
    k, n, states, positions, trellis, rows, escaped, reach, words, weights, effects, sizes,
    top, tables,
):  # fmt: skip
    """Decode a row of lanes ``k`` to ``k + 3`` in turns."""
    own = words, weights, effects, sizes, top, tables
    a = coder_of(k, states, positions, trellis)
    b = coder_of(k + 1, states, positions, trellis)
    c = coder_of(k + 2, states, positions, trellis)
    d = coder_of(k + 3, states, positions, trellis)
    lane_a = lane_of(k, rows, escaped, reach)
    lane_b = lane_of(k + 1, rows, escaped, reach)
    lane_c = lane_of(k + 2, rows, escaped, reach)
    lane_d = lane_of(k + 3, rows, escaped, reach)
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
def pack_activity(activity, n, row):
    """Put luma and chroma activities, int32 (2, n), into one number: luma + (chroma << 16).

    Larger ones are cut off; with what `decode_pair` adds, they are in the highest class anyway.
    """
    luma, chroma = activity[0], activity[1]
    for x in range(n):
        row[x] = min(luma[x], TOP_ACTIVITY) | (min(chroma[x], TOP_ACTIVITY) << 16)


@forced
def unpack_row(row, n, end, escaped, out):
    """Fill residuals ``out`` from packed ones and, from before ``end``, ``escaped``; see `decode_pair`."""
    first, second, third = out[0], out[1], out[2]
    for x in range(n):
        low, high = int32(row[x] & 0xFFFFFFFF), int32(row[x] >> 32)
        first[x] = int16(low)
        second[x] = low >> int32(16)
        third[x] = int16(high)
    while end > 0:
        x = end - 1
        first[x], second[x], third[x] = escaped[0, x], escaped[1, x], escaped[2, x]
        end = row[x]


@jit
def entry_weights(vectors, weights, left):
    """Fill what entries add to their right neighbour's activities: luma + (chroma << 16).

    ``left`` is uint32, (codebooks << SYMBOL_BITS,).
    """
    for i in range(left.shape[0]):
        r0, r1, r2 = vectors[8 * i, 0], vectors[8 * i, 1], vectors[8 * i, 2]
        left[i] = left_part(np.int64(r0), np.int64(r1), np.int64(r2), weights)


@jit
def entry_effects(signed, static, weights, effects):
    """Fill what entries pass on to their right neighbours: ``static`` and what they add to activities.

    ``signed`` and ``static`` are those of `rnnic.pyramid.format.Parsing`; uint64 ``effects`` are of the size
    of ``static``.
    """
    for i in range(static.shape[0]):
        numbers = signed[8 * i]
        effects[i] = static[i] | uint64(
            left_part(numbers & 0xFFFF, (numbers >> 16) & 0xFFFF, (numbers >> 32) & 0xFFFF, weights)
        )
