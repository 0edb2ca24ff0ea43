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
from rnnic.pyramid.format import (
    COMMON_BITS,
    MAX_GRADIENT_WEIGHT,
    PACKED,
    SIGNS_SHIFT,
)
from rnnic.pyramid.kernels import (
    copy_unpaired,
    extend_borders,
    row_context,
    row_energies,
    row_rebuild,
)
from rnnic.pyramid.pixel_kernels import row_pixels, to_pixels

__all__ = ["WORDS_PER_PAIR", "decode_passes", "entry_weights", "pass_weights"]

MAX_ESCAPES = 7
SIGNS_PLACE = 52
U_SIGNS_PLACE = uint64(SIGNS_PLACE)
ESCAPED = np.int64(-1 << 63)
"""In the place of packed residuals: those of the pair are elsewhere."""
GRADIENTS = 4
GRADIENT_LIMIT = np.int64(MAX_GRADIENT_WEIGHT)
TOP_ACTIVITY = int32(16383)
ONE = uint64(1)
U_LOW = uint64(0xFFFF)
U_COMMON_BITS = uint64(COMMON_BITS)
U_SIGNS_SHIFT = uint64(SIGNS_SHIFT)
WORDS_PER_PAIR = 32
"""More words than any pair can consume; rows are checked for overrun when they end."""


@forced
def decode_wide(state, position, words, top):
    """Decode a raw component: 24 bits, two's complement, in steps; returned in 1/64 step."""
    value = 0
    for _ in range(3):
        raw, state, position = decode_raw(state, position, words)
        value = (value << 8) | raw
    value -= (value >> 23) << 24
    return min(max(value * 64, -top), top), state, position


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
    e = min((min(abs(r0) >> 2, 4095) * np.int64(weights[0, 9])) >> 8, 16383)
    g = min((min((abs(r1) + abs(r2)) >> 2, 4095) * np.int64(weights[1, 9])) >> 8, 16383)
    trellis = (trellis >> ONE) ^ (book * uint64(sizes[6])) ^ (branch << ONE)
    return state, position, trellis, uint64(e | (g << 16))


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
    entry = (book << U_SYMBOL_BITS) | symbol
    magnitudes = uint64(packed[entry])
    row[x] = magnitudes | (raw << U_SIGNS_PLACE)
    trellis = (trellis >> ONE) ^ (magnitudes >> uint64(48))
    return state, position, trellis, uint64(left[entry]), np.int64(-1)


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
    entry = (book << U_SYMBOL_BITS) | symbol
    magnitudes = uint64(packed[entry])
    row[x] = magnitudes | (raw << U_SIGNS_PLACE)
    trellis = (trellis >> ONE) ^ (magnitudes >> uint64(48))
    return state, position, trellis, uint64(left[entry])


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
        luma = min((packed[i] & 0xFFFF) >> 2, 4095)
        chroma = min((((packed[i] >> 16) & 0xFFFF) + ((packed[i] >> 32) & 0xFFFF)) >> 2, 4095)
        e = min((luma * np.int64(weights[0, 9])) >> 8, 16383)
        g = min((chroma * np.int64(weights[1, 9])) >> 8, 16383)
        left[i] = e | (g << 16)


@jit
def pass_weights(activity, step, weights):
    """Activity weights of a pass, int32 (2, 12): gradients fitted to its step, others as stored."""
    for k in range(2):
        for i in range(activity.shape[1]):
            weights[k, i] = activity[k, i]
            if i < GRADIENTS:
                weights[k, i] = min(np.int64(activity[k, i]) * 4096 // step, GRADIENT_LIMIT)


@jit
def decode_rows(
    n, active, states, positions, ends, trellis, around, rows, escaped, words, weights, left,
    sizes, top, tables, out,
):  # fmt: skip
    """Decode the residuals of one row of each of the first ``active`` lanes; False if one ends."""
    reach = np.zeros(states.shape[0], np.int64)
    at = 0
    if active == 4:
        decode_row_4(
            n, states, positions, trellis, around, rows, escaped, reach, words, weights, left,
            sizes, top, tables,
        )  # fmt: skip
        at = 4
    if active - at >= 2:
        decode_row_2(
            at, n, states, positions, trellis, around, rows, escaped, reach, words, weights, left,
            sizes, top, tables,
        )  # fmt: skip
        at += 2
    if active - at == 1:
        decode_row_1(
            at, n, states, positions, trellis, around, rows, escaped, reach, words, weights, left,
            sizes, top, tables,
        )  # fmt: skip
    complete = True
    for k in range(active):
        unpack_row(rows[k], n, reach[k], escaped[k], out[k])
        complete = complete and positions[k] <= ends[k]
    return complete


@jit
def decode_pass(
    p, e, c, f, plan, luma, chroma, weights, left, states, positions, ends, trellis, words, sizes,
    tables, around, rows, escaped, base, activity, out, d, r, m, final, colour, deep, pixels, stride,
):  # fmt: skip
    """Decode a pass.

    Parameters
    ----------
    p, e : int16 planes
        Parents and their energies.
    c, f : int16 planes
        Output: children and their energies, unless ``final``.
    plan : int64 array
        Level, width and height of the children, whether residuals are coded, step size in 1/1024
        sample.
    luma, chroma, weights : arrays
        See `rnnic.pyramid.kernels.row_context`.
    left : uint32 array
        See `entry_weights`.
    states, positions, ends, trellis : arrays, (lanes,)
        Coder states, next words, ends of the lanes' words, trellis states.
    words : uint16 array
        Bit streams, then at least ``WORDS_PER_PAIR * n`` of padding.
    sizes : int64 array
        Escape symbols of the common and of the rare tables, luma classes, chroma classes, contexts,
        pairs of classes, feedback of the trellis.
    tables : tuple
        `rnnic.pyramid.format.Derived`.
    around, rows, escaped, base, activity, out, d, r, m : arrays
        Row buffers with a leading axis of lanes, see `rnnic.pyramid.decoder.RowBuffers`.
    final : bool
        Whether children become pixels at once, without a plane: memory is what takes the time.
    colour, deep, pixels, stride : arrays, bool and int
        See `row_pixels`; all rows, and the bytes from one to the next.

    Returns
    -------
    bool
        False if a lane ended too early.
    """
    along_x, width, height = plan[0] % 2 == 0, plan[1], plan[2]
    coded, step = plan[3] > 0, int32(plan[4])
    top = (1 << 29) // plan[4]
    count, n = (height, width // 2) if along_x else (height // 2, width)
    lanes = states.shape[0] if count >= 4 * states.shape[0] else 1
    share, extra = count // lanes, count % lanes
    components = p.shape[0]
    children = np.empty((components, 2, width + 4 if final else 1), np.int16)
    samples = np.empty((components, width), np.uint8)
    d[:] = 0
    r[:] = 0
    m[:] = 0
    if not coded:
        out[:] = 0
    for i in range(share + (extra > 0)):
        up2, up, now = (i + 2) % 3, i % 3, (i + 1) % 3
        active = lanes if i < share else extra
        for k in range(active):
            y = k * share + min(k, extra) + i + 2
            row_context(
                p, e, y, n, along_x, luma, chroma, weights, d[k], r[k], m[k], up,
                up2, base[k], activity[k],
            )  # fmt: skip
            pack_activity(activity[k], n, around[k])
        if coded and not decode_rows(
            n, active, states, positions, ends, trellis, around, rows, escaped, words, weights,
            left, sizes, top, tables, out,
        ):  # fmt: skip
            return False
        for k in range(active):
            y = k * share + min(k, extra) + i
            first = y if along_x else 2 * y
            # One call for both: its code is compiled into each place that calls it.
            row_rebuild(
                out[k], p, y + 2, n, along_x, luma, chroma, step, base[k], d[k], r[k], m[k], now,
                children if final else c, 0 if final else first + 2,
            )  # fmt: skip
            if not final:
                row_energies(e, y + 2, n, along_x, m[k], now, f, first + 2)
                continue
            if along_x and width % 2:
                # Element by element: for shapes that disagree, Numba would compile texts of an error.
                for component in range(components):
                    children[component, 0, width + 1] = p[component, y + 2, width // 2 + 2]
            row_pixels(children, 0, width, colour, samples, deep, pixels[first * stride :])
            if not along_x:
                row_pixels(
                    children, 1, width, colour, samples, deep, pixels[(first + 1) * stride :]
                )
    if final:
        if not along_x and height % 2:
            row_pixels(
                p, height // 2 + 2, width, colour, samples, deep, pixels[(height - 1) * stride :]
            )
        return True
    copy_unpaired(p, c, width, height, along_x)
    copy_unpaired(e, f, width, height, along_x)
    extend_borders(c, width, height)
    extend_borders(f, width, height)
    return True


@jit
def decode_passes(
    width, height, samples, other_samples, energies, other_energies, plans, luma, chroma, activity,
    states, positions, ends, trellis, words, sizes, tables, around, rows, escaped, base, activities,
    out, d, r, m, colour, deep, pixels, stride,
):  # fmt: skip
    """Decode passes, coarse to fine, and turn the last one's children into ``pixels``.

    Parameters
    ----------
    width, height : int
        Size of the base plane, which is in ``samples``.
    samples, other_samples, energies, other_energies : int16 arrays, (components | groups, area)
        Room for the planes of the largest pass but the last; used in turn.
    plans : int64 array, (passes, 5)
        See `decode_pass`.
    luma, chroma, activity : arrays, (levels, ...)
        Filters and activity weights by level.

    The other parameters are those of `decode_pass`.

    Returns
    -------
    bool
        False if a lane ended too early.
    """
    components, groups = samples.shape[0], energies.shape[0]
    weights = np.zeros((2, activity.shape[2]), np.int32)
    left = np.zeros(tables[PACKED].shape[0], np.uint32)
    p = samples.reshape(-1)[: components * (height + 4) * (width + 4)]
    p = p.reshape(components, height + 4, width + 4)
    e = energies.reshape(-1)[: groups * (height + 4) * (width + 4)]
    e = e.reshape(groups, height + 4, width + 4)
    for i in range(plans.shape[0]):
        level, wide, high = plans[i, 0], plans[i, 1], plans[i, 2]
        pass_weights(activity[level], plans[i, 4], weights)
        entry_weights(tables[PACKED], weights, left)
        final = i == plans.shape[0] - 1
        area = 0 if final else (high + 4) * (wide + 4)
        c = (samples if i % 2 else other_samples).reshape(-1)[: components * area]
        f = (energies if i % 2 else other_energies).reshape(-1)[: groups * area]
        shape = (0, 0) if final else (high + 4, wide + 4)
        children = c.reshape(components, shape[0], shape[1])
        spread = f.reshape(groups, shape[0], shape[1])
        if not decode_pass(
            p, e, children, spread, plans[i], luma[level], chroma[level], weights, left, states,
            positions, ends, trellis, words, sizes, tables, around, rows, escaped, base, activities,
            out, d, r, m, final, colour, deep, pixels, stride,
        ):  # fmt: skip
            return False
        p, e = children, spread
    if plans.shape[0] == 0:
        to_pixels(p, width, height, colour, deep, pixels, stride)
    return True
