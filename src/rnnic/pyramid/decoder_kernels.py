"""Parsing of residuals: activity class, symbol, signs, escapes, trellis state."""

import numpy as np
from numpy import int32, uint64

from rnnic._jit import forced, jit
from rnnic.entropy.rans import (
    U_PROBABILITY_BITS,
    U_SLOT_MASK,
    U_SYMBOL_BITS,
    decode_raw,
    decode_symbol,
    refill,
)
from rnnic.pyramid.format import (
    BRANCH_SHIFT,
    BUCKET_BITS,
    COMMON_BITS,
    FREQUENCY_MASK,
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
GRADIENTS = 4
GRADIENT_LIMIT = np.int64(MAX_GRADIENT_WEIGHT)
TOP_ACTIVITY = 4095
TOP_LEVEL = uint64(TOP_ACTIVITY)
ONE = uint64(1)
U_COMMON_BITS = uint64(COMMON_BITS)
U_BUCKET_BITS = uint64(BUCKET_BITS)
U_FREQUENCY_MASK = uint64(FREQUENCY_MASK)
U_SIGNS_SHIFT = uint64(SIGNS_SHIFT)
U_BRANCH_SHIFT = uint64(BRANCH_SHIFT)
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
    labels, vectors, next_state,
):  # fmt: skip
    """Decode the rest of a pair that is in neither table of its class.

    Takes and returns what `decode_pair` does; ``sizes`` and ``top`` are those of `decode_pass`.
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
    trellis = uint64(next_state[(trellis << ONE) | branch])
    return state, position, trellis, uint64(e), uint64(g)


@forced
def place(x, entry, raw, packed, left, out):
    """Put the vector of an entry and its signs; returns what it adds to activities further right."""
    vector = packed[(entry << uint64(3)) | raw]
    out[0, x] = (vector << 48) >> 48
    out[1, x] = (vector << 32) >> 48
    out[2, x] = (vector << 16) >> 48
    both = uint64(left[entry])
    return both & uint64(0xFFFF), both >> uint64(16)


@forced
def decode_pair(
    x, state, position, trellis, e, g, activity, out, words, left, escape, classes, slots, spans,
    packed, luma_class, chroma_class, next_state,
):  # fmt: skip
    """Decode pair ``x`` of a row into ``out[:, x]`` unless it is escaped.

    Takes the tables one by one, so that no references are counted, and numbers as uint64, so
    that no index can be negative.

    Returns
    -------
    tuple
        State, position, trellis state, activities passed to the right neighbour, and -1, or
        the luma class (times the chroma classes) of an escaped pair.
    """
    a = min((uint64(activity[0, x]) + e) >> uint64(2), TOP_LEVEL)
    b = min((uint64(activity[1, x]) + g) >> uint64(2), TOP_LEVEL)
    luma = uint64(luma_class[a])
    book = trellis & ONE
    table = luma + uint64(chroma_class[b]) + (classes if book else uint64(0))
    slot = state & U_SLOT_MASK
    symbol = uint64(slots[((table << U_PROBABILITY_BITS) | slot) >> U_BUCKET_BITS])
    span = uint64(spans[(table << U_COMMON_BITS) | symbol])
    frequency = (span >> U_PROBABILITY_BITS) & U_FREQUENCY_MASK
    # Nearly always it is the bucket's first symbol.
    while slot - (span & U_SLOT_MASK) >= frequency:
        symbol += ONE
        span = uint64(spans[(table << U_COMMON_BITS) | symbol])
        frequency = (span >> U_PROBABILITY_BITS) & U_FREQUENCY_MASK
    state = frequency * (state >> U_PROBABILITY_BITS) + slot - (span & U_SLOT_MASK)
    bits = (span >> U_SIGNS_SHIFT) & uint64(3)
    raw = state & ((ONE << bits) - ONE)
    state, position = refill(state >> bits, position, words)
    if symbol == escape:
        return state, position, trellis, e, g, np.int64(luma)
    e, g = place(x, (book << U_SYMBOL_BITS) | symbol, raw, packed, left, out)
    trellis = uint64(next_state[(trellis << ONE) | (span >> U_BRANCH_SHIFT)])
    return state, position, trellis, e, g, np.int64(-1)


@forced
def decode_rare(
    x, state, position, trellis, e, g, luma_class, out, words, left, escape, contexts, rare,
    slots, spans, labels, packed, next_state,
):  # fmt: skip
    """Decode a pair whose entry is too rare for the table of its class.

    Takes and returns what `decode_pair` does, but for the luma class itself.
    """
    book = trellis & ONE
    table = book * contexts + rare + uint64(luma_class)
    symbol, raw, state, position = decode_symbol(
        state, position, words, slots, spans, table, labels, book
    )
    if symbol == escape:
        return state, position, trellis, e, g, luma_class
    entry = (book << U_SYMBOL_BITS) | symbol
    e, g = place(x, entry, raw, packed, left, out)
    branch = uint64(labels[entry]) >> uint64(2)
    trellis = uint64(next_state[(trellis << ONE) | branch])
    return state, position, trellis, e, g, np.int64(-1)


@jit
def decode_row_1(
    k, n, states, positions, trellis, activity, out, words, weights, left, sizes, top, tables
):
    """Decode a row of lane ``k`` alone."""
    (
        slots, spans, far_slots, far_spans, labels, vectors, packed, luma_class, chroma_class,
        next_state,
    ) = tables  # fmt: skip
    common, escape, classes = uint64(sizes[0]), uint64(sizes[1]), uint64(sizes[5])
    contexts, rare, chroma_classes = uint64(sizes[4]), uint64(sizes[2] * 4), sizes[3]
    s0, p0, t0 = uint64(states[k]), positions[k], uint64(trellis[k])
    e0, g0, a0, o0 = uint64(0), uint64(0), activity[k], out[k]
    for x in range(n):
        s0, p0, t0, e0, g0, far0 = decode_pair(
            x, s0, p0, t0, e0, g0, a0, o0, words, left, common, classes, slots,
            spans, packed, luma_class, chroma_class, next_state,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, e0, g0, far0 = decode_rare(
                x, s0, p0, t0, e0, g0, far0 // chroma_classes, o0, words, left, escape,
                contexts, rare, far_slots, far_spans, labels, packed, next_state,
            )  # fmt: skip
            if far0 >= 0:
                s0, p0, t0, e0, g0 = decode_escaped(
                    x, s0, p0, t0, uint64(far0), o0, words, weights, sizes, top, far_slots,
                    far_spans, labels, vectors, next_state,
                )  # fmt: skip
    states[k], positions[k], trellis[k] = s0, p0, t0


@jit
def decode_row_2(
    k, n, states, positions, trellis, activity, out, words, weights, left, sizes, top, tables
):
    """Decode a row of lanes ``k`` and ``k + 1`` in turns, which hides latencies."""
    (
        slots, spans, far_slots, far_spans, labels, vectors, packed, luma_class, chroma_class,
        next_state,
    ) = tables  # fmt: skip
    common, escape, classes = uint64(sizes[0]), uint64(sizes[1]), uint64(sizes[5])
    contexts, rare, chroma_classes = uint64(sizes[4]), uint64(sizes[2] * 4), sizes[3]
    s0, p0, t0 = uint64(states[k]), positions[k], uint64(trellis[k])
    e0, g0, a0, o0 = uint64(0), uint64(0), activity[k], out[k]
    s1, p1, t1 = uint64(states[k + 1]), positions[k + 1], uint64(trellis[k + 1])
    e1, g1, a1, o1 = uint64(0), uint64(0), activity[k + 1], out[k + 1]
    for x in range(n):
        s0, p0, t0, e0, g0, far0 = decode_pair(
            x, s0, p0, t0, e0, g0, a0, o0, words, left, common, classes, slots,
            spans, packed, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s1, p1, t1, e1, g1, far1 = decode_pair(
            x, s1, p1, t1, e1, g1, a1, o1, words, left, common, classes, slots,
            spans, packed, luma_class, chroma_class, next_state,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, e0, g0, far0 = decode_rare(
                x, s0, p0, t0, e0, g0, far0 // chroma_classes, o0, words, left, escape,
                contexts, rare, far_slots, far_spans, labels, packed, next_state,
            )  # fmt: skip
            if far0 >= 0:
                s0, p0, t0, e0, g0 = decode_escaped(
                    x, s0, p0, t0, uint64(far0), o0, words, weights, sizes, top, far_slots,
                    far_spans, labels, vectors, next_state,
                )  # fmt: skip
        if far1 >= 0:
            s1, p1, t1, e1, g1, far1 = decode_rare(
                x, s1, p1, t1, e1, g1, far1 // chroma_classes, o1, words, left, escape,
                contexts, rare, far_slots, far_spans, labels, packed, next_state,
            )  # fmt: skip
            if far1 >= 0:
                s1, p1, t1, e1, g1 = decode_escaped(
                    x, s1, p1, t1, uint64(far1), o1, words, weights, sizes, top, far_slots,
                    far_spans, labels, vectors, next_state,
                )  # fmt: skip
    states[k], positions[k], trellis[k] = s0, p0, t0
    states[k + 1], positions[k + 1], trellis[k + 1] = s1, p1, t1


@jit
def decode_row_4(
    n, states, positions, trellis, activity, out, words, weights, left, sizes, top, tables
):
    """Decode a row of all four lanes in turns."""
    (
        slots, spans, far_slots, far_spans, labels, vectors, packed, luma_class, chroma_class,
        next_state,
    ) = tables  # fmt: skip
    common, escape, classes = uint64(sizes[0]), uint64(sizes[1]), uint64(sizes[5])
    contexts, rare, chroma_classes = uint64(sizes[4]), uint64(sizes[2] * 4), sizes[3]
    s0, p0, t0 = uint64(states[0]), positions[0], uint64(trellis[0])
    e0, g0, a0, o0 = uint64(0), uint64(0), activity[0], out[0]
    s1, p1, t1 = uint64(states[1]), positions[1], uint64(trellis[1])
    e1, g1, a1, o1 = uint64(0), uint64(0), activity[1], out[1]
    s2, p2, t2 = uint64(states[2]), positions[2], uint64(trellis[2])
    e2, g2, a2, o2 = uint64(0), uint64(0), activity[2], out[2]
    s3, p3, t3 = uint64(states[3]), positions[3], uint64(trellis[3])
    e3, g3, a3, o3 = uint64(0), uint64(0), activity[3], out[3]
    for x in range(n):
        s0, p0, t0, e0, g0, far0 = decode_pair(
            x, s0, p0, t0, e0, g0, a0, o0, words, left, common, classes, slots,
            spans, packed, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s1, p1, t1, e1, g1, far1 = decode_pair(
            x, s1, p1, t1, e1, g1, a1, o1, words, left, common, classes, slots,
            spans, packed, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s2, p2, t2, e2, g2, far2 = decode_pair(
            x, s2, p2, t2, e2, g2, a2, o2, words, left, common, classes, slots,
            spans, packed, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s3, p3, t3, e3, g3, far3 = decode_pair(
            x, s3, p3, t3, e3, g3, a3, o3, words, left, common, classes, slots,
            spans, packed, luma_class, chroma_class, next_state,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, e0, g0, far0 = decode_rare(
                x, s0, p0, t0, e0, g0, far0 // chroma_classes, o0, words, left, escape,
                contexts, rare, far_slots, far_spans, labels, packed, next_state,
            )  # fmt: skip
            if far0 >= 0:
                s0, p0, t0, e0, g0 = decode_escaped(
                    x, s0, p0, t0, uint64(far0), o0, words, weights, sizes, top, far_slots,
                    far_spans, labels, vectors, next_state,
                )  # fmt: skip
        if far1 >= 0:
            s1, p1, t1, e1, g1, far1 = decode_rare(
                x, s1, p1, t1, e1, g1, far1 // chroma_classes, o1, words, left, escape,
                contexts, rare, far_slots, far_spans, labels, packed, next_state,
            )  # fmt: skip
            if far1 >= 0:
                s1, p1, t1, e1, g1 = decode_escaped(
                    x, s1, p1, t1, uint64(far1), o1, words, weights, sizes, top, far_slots,
                    far_spans, labels, vectors, next_state,
                )  # fmt: skip
        if far2 >= 0:
            s2, p2, t2, e2, g2, far2 = decode_rare(
                x, s2, p2, t2, e2, g2, far2 // chroma_classes, o2, words, left, escape,
                contexts, rare, far_slots, far_spans, labels, packed, next_state,
            )  # fmt: skip
            if far2 >= 0:
                s2, p2, t2, e2, g2 = decode_escaped(
                    x, s2, p2, t2, uint64(far2), o2, words, weights, sizes, top, far_slots,
                    far_spans, labels, vectors, next_state,
                )  # fmt: skip
        if far3 >= 0:
            s3, p3, t3, e3, g3, far3 = decode_rare(
                x, s3, p3, t3, e3, g3, far3 // chroma_classes, o3, words, left, escape,
                contexts, rare, far_slots, far_spans, labels, packed, next_state,
            )  # fmt: skip
            if far3 >= 0:
                s3, p3, t3, e3, g3 = decode_escaped(
                    x, s3, p3, t3, uint64(far3), o3, words, weights, sizes, top, far_slots,
                    far_spans, labels, vectors, next_state,
                )  # fmt: skip
    states[0], positions[0], trellis[0] = s0, p0, t0
    states[1], positions[1], trellis[1] = s1, p1, t1
    states[2], positions[2], trellis[2] = s2, p2, t2
    states[3], positions[3], trellis[3] = s3, p3, t3


@jit
def entry_weights(packed, weights, left):
    """Fill what entries add to their right neighbour's activities: luma + (chroma << 16).

    ``left`` is uint32, (codebooks << SYMBOL_BITS,).
    """
    for i in range(left.shape[0]):
        vector = packed[8 * i]
        luma = min(abs((vector << 48) >> 48) >> 2, 4095)
        chroma = min((abs((vector << 32) >> 48) + abs((vector << 16) >> 48)) >> 2, 4095)
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
    n, active, states, positions, ends, trellis, activity, out, words, weights, left, sizes, top,
    tables,
):  # fmt: skip
    """Decode the residuals of one row of each of the first ``active`` lanes; False if one ends."""
    at = 0
    if active == 4:
        decode_row_4(
            n, states, positions, trellis, activity, out, words, weights, left, sizes, top, tables
        )
        at = 4
    if active - at >= 2:
        decode_row_2(
            at, n, states, positions, trellis, activity, out, words, weights, left, sizes, top,
            tables,
        )  # fmt: skip
        at += 2
    if active - at == 1:
        decode_row_1(
            at, n, states, positions, trellis, activity, out, words, weights, left, sizes, top,
            tables,
        )  # fmt: skip
    complete = True
    for k in range(active):
        complete = complete and positions[k] <= ends[k]
    return complete


@jit
def decode_pass(
    p, e, c, f, plan, luma, chroma, weights, left, states, positions, ends, trellis, words, sizes,
    tables, base, activity, out, d, r, m, final, colour, pixels,
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
        pairs of classes.
    tables : tuple
        `rnnic.pyramid.format.Derived`.
    base, activity, out, d, r, m : int32 arrays
        Row buffers with a leading axis of lanes.
    final : bool
        Whether children become pixels at once, without a plane: memory is what takes the time.
    colour, pixels : arrays
        See `row_pixels`; (height, width, channels).

    Returns
    -------
    bool
        False if a lane ended too early.
    """
    along_x, width, height = plan[0] % 2 == 0, plan[1], plan[2]
    coded, step = plan[3] > 0, int32(plan[4])
    top = (1 << 29) // plan[4]
    rows, n = (height, width // 2) if along_x else (height // 2, width)
    lanes = states.shape[0] if rows >= 4 * states.shape[0] else 1
    share, extra = rows // lanes, rows % lanes
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
        if coded and not decode_rows(
            n, active, states, positions, ends, trellis, activity, out, words, weights, left,
            sizes, top, tables,
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
            row_pixels(children, 0, width, colour, samples, pixels[first])
            if not along_x:
                row_pixels(children, 1, width, colour, samples, pixels[first + 1])
    if final:
        if not along_x and height % 2:
            row_pixels(p, height // 2 + 2, width, colour, samples, pixels[height - 1])
        return True
    copy_unpaired(p, c, width, height, along_x)
    copy_unpaired(e, f, width, height, along_x)
    extend_borders(c, width, height)
    extend_borders(f, width, height)
    return True


@jit
def decode_passes(
    width, height, samples, other_samples, energies, other_energies, plans, luma, chroma, activity,
    states, positions, ends, trellis, words, sizes, tables, base, activities, out, d, r, m, colour,
    pixels,
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
    left = np.zeros(tables[PACKED].shape[0] >> 3, np.uint32)
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
        rows, columns = (0, 0) if final else (high + 4, wide + 4)
        children = c.reshape(components, rows, columns)
        spread = f.reshape(groups, rows, columns)
        if not decode_pass(
            p, e, children, spread, plans[i], luma[level], chroma[level], weights, left, states,
            positions, ends, trellis, words, sizes, tables, base, activities, out, d, r, m, final,
            colour, pixels,
        ):  # fmt: skip
            return False
        p, e = children, spread
    if plans.shape[0] == 0:
        to_pixels(p, width, height, colour, pixels)
    return True
