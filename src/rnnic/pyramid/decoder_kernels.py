"""Parsing of residuals: activity class, symbol, signs, escapes, trellis state."""

import numpy as np
from numpy import int16, int32

from rnnic._jit import forced, jit
from rnnic.entropy.rans import SYMBOL_BITS, decode_raw, decode_symbol
from rnnic.pyramid.kernels import copy_unpaired, extend_borders, row_context, row_rebuild

__all__ = ["WORDS_PER_PAIR", "decode_pass", "to_grey", "to_rgb"]

MAX_ESCAPES = 7
TOP_ACTIVITY = 4095
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
    escape, luma_classes, chroma_classes, contexts = sizes[0], sizes[1], sizes[2], sizes[3]
    book = trellis & 1
    depth = 1
    symbol, raw = 0, 0
    while depth < MAX_ESCAPES:
        table = luma_classes * (chroma_classes + min(depth, 4) - 1) + luma_class
        symbol, raw, state, position = decode_symbol(
            state, position, words, slots, spans, table, labels, 0
        )
        if symbol != escape:
            break
        depth += 1
    branch = np.int64(0)
    if depth == MAX_ESCAPES:
        r0, state, position = decode_wide(state, position, words, top)
        r1, state, position = decode_wide(state, position, words, top)
        r2, state, position = decode_wide(state, position, words, top)
    else:
        at = (symbol << 3) | raw
        r0 = min(max(np.int64(vectors[at, 0]), -top), top)
        r1 = min(max(np.int64(vectors[at, 1]), -top), top)
        r2 = min(max(np.int64(vectors[at, 2]), -top), top)
        while depth > 0:
            depth -= 1
            used = book if depth == 0 else 0
            table = used * contexts + contexts - 5 + min(depth, 4)
            symbol, raw, state, position = decode_symbol(
                state, position, words, slots, spans, table, labels, used
            )
            at = (((used << SYMBOL_BITS) | symbol) << 3) | raw
            branch = np.int64(labels[(used << SYMBOL_BITS) | symbol]) >> 2
            r0 = min(max(r0 * 4 + np.int64(vectors[at, 0]), -top), top)
            r1 = min(max(r1 * 4 + np.int64(vectors[at, 1]), -top), top)
            r2 = min(max(r2 * 4 + np.int64(vectors[at, 2]), -top), top)
    out[0, x], out[1, x], out[2, x] = r0, r1, r2
    e = min((min(abs(r0) >> 2, 4095) * np.int64(weights[0, 9])) >> 8, 16383)
    g = min((min((abs(r1) + abs(r2)) >> 2, 4095) * np.int64(weights[1, 9])) >> 8, 16383)
    return state, position, np.int64(next_state[(trellis << 1) | branch]), e, g


@forced
def decode_pair(
    x, state, position, trellis, e, g, activity, out, words, left, escape, contexts, slots,
    spans, labels, vectors, luma_class, chroma_class, next_state,
):  # fmt: skip
    """Decode pair ``x`` of a row into ``out[:, x]`` unless it is escaped.

    Takes the tables one by one and calls nothing else, so that no references are counted.

    Returns
    -------
    tuple
        State, position, trellis state, activities passed to the right neighbour, and -1, or
        the luma class (times the chroma classes) of an escaped pair.
    """
    luma = np.int64(luma_class[min((activity[0, x] + e) >> 2, TOP_ACTIVITY)])
    chroma = np.int64(chroma_class[min((activity[1, x] + g) >> 2, TOP_ACTIVITY)])
    book = trellis & 1
    symbol, raw, state, position = decode_symbol(
        state, position, words, slots, spans, book * contexts + luma + chroma, labels, book
    )
    if symbol == escape:
        return state, position, trellis, e, g, luma
    entry = (book << SYMBOL_BITS) | symbol
    at = (entry << 3) | raw
    out[0, x] = vectors[at, 0]
    out[1, x] = vectors[at, 1]
    out[2, x] = vectors[at, 2]
    both = np.int64(left[entry])
    branch = np.int64(labels[entry]) >> 2
    trellis = np.int64(next_state[(trellis << 1) | branch])
    return state, position, trellis, both & 0xFFFF, both >> 16, np.int64(-1)


@forced
def decode_rare(
    x, state, position, trellis, e, g, luma_class, out, words, left, escape, contexts, rare,
    slots, spans, labels, vectors, next_state,
):  # fmt: skip
    """Decode a pair whose entry is too rare for the table of its class.

    Takes and returns what `decode_pair` does, but for the luma class itself.
    """
    book = trellis & 1
    symbol, raw, state, position = decode_symbol(
        state, position, words, slots, spans, book * contexts + rare + luma_class, labels, book
    )
    if symbol == escape:
        return state, position, trellis, e, g, luma_class
    entry = (book << SYMBOL_BITS) | symbol
    at = (entry << 3) | raw
    out[0, x] = vectors[at, 0]
    out[1, x] = vectors[at, 1]
    out[2, x] = vectors[at, 2]
    both = np.int64(left[entry])
    branch = np.int64(labels[entry]) >> 2
    trellis = np.int64(next_state[(trellis << 1) | branch])
    return state, position, trellis, both & 0xFFFF, both >> 16, np.int64(-1)


@jit
def decode_row_1(
    k, n, states, positions, trellis, activity, out, words, weights, left, sizes, top, tables
):
    """Decode a row of lane ``k`` alone."""
    slots, spans, labels, vectors, luma_class, chroma_class, next_state = tables
    escape, contexts, chroma_classes = sizes[0], sizes[3], sizes[2]
    rare = sizes[1] * (chroma_classes + 4)
    s0, p0, t0 = states[k], positions[k], trellis[k]
    e0, g0, a0, o0 = np.int64(0), np.int64(0), activity[k], out[k]
    for x in range(n):
        s0, p0, t0, e0, g0, far0 = decode_pair(
            x, s0, p0, t0, e0, g0, a0, o0, words, left, escape, contexts, slots,
            spans, labels, vectors, luma_class, chroma_class, next_state,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, e0, g0, far0 = decode_rare(
                x, s0, p0, t0, e0, g0, far0 // chroma_classes, o0, words, left, escape,
                contexts, rare, slots, spans, labels, vectors, next_state,
            )  # fmt: skip
            if far0 >= 0:
                s0, p0, t0, e0, g0 = decode_escaped(
                    x, s0, p0, t0, far0, o0, words, weights, sizes, top, slots, spans,
                    labels, vectors, next_state,
                )  # fmt: skip
    states[k], positions[k], trellis[k] = s0, p0, t0


@jit
def decode_row_2(
    k, n, states, positions, trellis, activity, out, words, weights, left, sizes, top, tables
):
    """Decode a row of lanes ``k`` and ``k + 1`` in turns, which hides latencies."""
    slots, spans, labels, vectors, luma_class, chroma_class, next_state = tables
    escape, contexts, chroma_classes = sizes[0], sizes[3], sizes[2]
    rare = sizes[1] * (chroma_classes + 4)
    s0, p0, t0 = states[k], positions[k], trellis[k]
    e0, g0, a0, o0 = np.int64(0), np.int64(0), activity[k], out[k]
    s1, p1, t1 = states[k + 1], positions[k + 1], trellis[k + 1]
    e1, g1, a1, o1 = np.int64(0), np.int64(0), activity[k + 1], out[k + 1]
    for x in range(n):
        s0, p0, t0, e0, g0, far0 = decode_pair(
            x, s0, p0, t0, e0, g0, a0, o0, words, left, escape, contexts, slots,
            spans, labels, vectors, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s1, p1, t1, e1, g1, far1 = decode_pair(
            x, s1, p1, t1, e1, g1, a1, o1, words, left, escape, contexts, slots,
            spans, labels, vectors, luma_class, chroma_class, next_state,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, e0, g0, far0 = decode_rare(
                x, s0, p0, t0, e0, g0, far0 // chroma_classes, o0, words, left, escape,
                contexts, rare, slots, spans, labels, vectors, next_state,
            )  # fmt: skip
            if far0 >= 0:
                s0, p0, t0, e0, g0 = decode_escaped(
                    x, s0, p0, t0, far0, o0, words, weights, sizes, top, slots, spans,
                    labels, vectors, next_state,
                )  # fmt: skip
        if far1 >= 0:
            s1, p1, t1, e1, g1, far1 = decode_rare(
                x, s1, p1, t1, e1, g1, far1 // chroma_classes, o1, words, left, escape,
                contexts, rare, slots, spans, labels, vectors, next_state,
            )  # fmt: skip
            if far1 >= 0:
                s1, p1, t1, e1, g1 = decode_escaped(
                    x, s1, p1, t1, far1, o1, words, weights, sizes, top, slots, spans,
                    labels, vectors, next_state,
                )  # fmt: skip
    states[k], positions[k], trellis[k] = s0, p0, t0
    states[k + 1], positions[k + 1], trellis[k + 1] = s1, p1, t1


@jit
def decode_row_4(
    n, states, positions, trellis, activity, out, words, weights, left, sizes, top, tables
):
    """Decode a row of all four lanes in turns."""
    slots, spans, labels, vectors, luma_class, chroma_class, next_state = tables
    escape, contexts, chroma_classes = sizes[0], sizes[3], sizes[2]
    rare = sizes[1] * (chroma_classes + 4)
    s0, p0, t0 = states[0], positions[0], trellis[0]
    e0, g0, a0, o0 = np.int64(0), np.int64(0), activity[0], out[0]
    s1, p1, t1 = states[1], positions[1], trellis[1]
    e1, g1, a1, o1 = np.int64(0), np.int64(0), activity[1], out[1]
    s2, p2, t2 = states[2], positions[2], trellis[2]
    e2, g2, a2, o2 = np.int64(0), np.int64(0), activity[2], out[2]
    s3, p3, t3 = states[3], positions[3], trellis[3]
    e3, g3, a3, o3 = np.int64(0), np.int64(0), activity[3], out[3]
    for x in range(n):
        s0, p0, t0, e0, g0, far0 = decode_pair(
            x, s0, p0, t0, e0, g0, a0, o0, words, left, escape, contexts, slots,
            spans, labels, vectors, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s1, p1, t1, e1, g1, far1 = decode_pair(
            x, s1, p1, t1, e1, g1, a1, o1, words, left, escape, contexts, slots,
            spans, labels, vectors, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s2, p2, t2, e2, g2, far2 = decode_pair(
            x, s2, p2, t2, e2, g2, a2, o2, words, left, escape, contexts, slots,
            spans, labels, vectors, luma_class, chroma_class, next_state,
        )  # fmt: skip
        s3, p3, t3, e3, g3, far3 = decode_pair(
            x, s3, p3, t3, e3, g3, a3, o3, words, left, escape, contexts, slots,
            spans, labels, vectors, luma_class, chroma_class, next_state,
        )  # fmt: skip
        if far0 >= 0:
            s0, p0, t0, e0, g0, far0 = decode_rare(
                x, s0, p0, t0, e0, g0, far0 // chroma_classes, o0, words, left, escape,
                contexts, rare, slots, spans, labels, vectors, next_state,
            )  # fmt: skip
            if far0 >= 0:
                s0, p0, t0, e0, g0 = decode_escaped(
                    x, s0, p0, t0, far0, o0, words, weights, sizes, top, slots, spans,
                    labels, vectors, next_state,
                )  # fmt: skip
        if far1 >= 0:
            s1, p1, t1, e1, g1, far1 = decode_rare(
                x, s1, p1, t1, e1, g1, far1 // chroma_classes, o1, words, left, escape,
                contexts, rare, slots, spans, labels, vectors, next_state,
            )  # fmt: skip
            if far1 >= 0:
                s1, p1, t1, e1, g1 = decode_escaped(
                    x, s1, p1, t1, far1, o1, words, weights, sizes, top, slots, spans,
                    labels, vectors, next_state,
                )  # fmt: skip
        if far2 >= 0:
            s2, p2, t2, e2, g2, far2 = decode_rare(
                x, s2, p2, t2, e2, g2, far2 // chroma_classes, o2, words, left, escape,
                contexts, rare, slots, spans, labels, vectors, next_state,
            )  # fmt: skip
            if far2 >= 0:
                s2, p2, t2, e2, g2 = decode_escaped(
                    x, s2, p2, t2, far2, o2, words, weights, sizes, top, slots, spans,
                    labels, vectors, next_state,
                )  # fmt: skip
        if far3 >= 0:
            s3, p3, t3, e3, g3, far3 = decode_rare(
                x, s3, p3, t3, e3, g3, far3 // chroma_classes, o3, words, left, escape,
                contexts, rare, slots, spans, labels, vectors, next_state,
            )  # fmt: skip
            if far3 >= 0:
                s3, p3, t3, e3, g3 = decode_escaped(
                    x, s3, p3, t3, far3, o3, words, weights, sizes, top, slots, spans,
                    labels, vectors, next_state,
                )  # fmt: skip
    states[0], positions[0], trellis[0] = s0, p0, t0
    states[1], positions[1], trellis[1] = s1, p1, t1
    states[2], positions[2], trellis[2] = s2, p2, t2
    states[3], positions[3], trellis[3] = s3, p3, t3


@jit
def decode_pass(
    p, e, c, f, rows, n, width, height, along_x, coded, luma, chroma, weights, left, step, top,
    states, positions, ends, trellis, words, sizes, tables, base, activity, out, d, r, m,
):  # fmt: skip
    """Decode a pass.

    Parameters
    ----------
    p, e : int16 planes
        Parents and their energies.
    c, f : int16 planes
        Output: children, ``width`` x ``height``, and their energies.
    rows, n : int
        Rows of pairs, and pairs in a row.
    along_x, coded : bool
        Direction; whether the pass has coded residuals at all.
    luma, chroma, weights : arrays
        See `rnnic.pyramid.kernels.row_context`.
    left : uint32 array
        See `rnnic.pyramid.format.entry_weights`.
    step, top : int
        Step size in 1/1024 sample; largest residual in 1/64 step.
    states, positions, ends, trellis : arrays, (lanes,)
        Coder states, next words, ends of the lanes' words, trellis states.
    words : uint16 array
        Bit streams, then at least ``WORDS_PER_PAIR * n`` of padding.
    sizes : int64 array
        Escape symbol, luma classes, chroma classes, contexts.
    tables : tuple
        `rnnic.pyramid.format.Derived`.
    base, activity, out, d, r, m : int32 arrays
        Row buffers with a leading axis of lanes.

    Returns
    -------
    bool
        False if a lane ended too early.
    """
    lanes = states.shape[0] if rows >= 4 * states.shape[0] else 1
    share, extra = rows // lanes, rows % lanes
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
        if coded:
            at = 0
            if active == 4:
                decode_row_4(
                    n, states, positions, trellis, activity, out, words, weights, left, sizes,
                    top, tables,
                )  # fmt: skip
                at = 4
            if active - at >= 2:
                decode_row_2(
                    at, n, states, positions, trellis, activity, out, words, weights, left,
                    sizes, top, tables,
                )  # fmt: skip
                at += 2
            if active - at == 1:
                decode_row_1(
                    at, n, states, positions, trellis, activity, out, words, weights, left,
                    sizes, top, tables,
                )  # fmt: skip
            for k in range(active):
                if positions[k] > ends[k]:
                    return False
        for k in range(active):
            y = k * share + min(k, extra) + i + 2
            row_rebuild(
                out[k], p, e, y, n, along_x, luma, chroma, step, base[k], d[k], r[k], m[k],
                now, c, f,
            )  # fmt: skip
    copy_unpaired(p, c, width, height, along_x)
    copy_unpaired(e, f, width, height, along_x)
    extend_borders(c, width, height)
    extend_borders(f, width, height)
    return True


@jit
def to_rgb(p, width, height, colour, out):
    """Turn component planes into RGB8 pixels; ``colour`` is int32 (3, 3) in 1/16384."""
    top = int32(255)
    half = int32((1 << 19) + (128 << 20))
    a0, a1, a2 = int32(colour[0, 0]), int32(colour[0, 1]), int32(colour[0, 2])
    b0, b1, b2 = int32(colour[1, 0]), int32(colour[1, 1]), int32(colour[1, 2])
    c0, c1, c2 = int32(colour[2, 0]), int32(colour[2, 1]), int32(colour[2, 2])
    for y in range(height):
        for x in range(width):
            a, b, c = (
                int32(p[0, y + 2, x + 2]),
                int32(p[1, y + 2, x + 2]),
                int32(p[2, y + 2, x + 2]),
            )
            red = int32(int32(int32(a0 * a) + int32(b0 * b)) + int32(int32(c0 * c) + half)) >> 20
            green = int32(int32(int32(a1 * a) + int32(b1 * b)) + int32(int32(c1 * c) + half)) >> 20
            blue = int32(int32(int32(a2 * a) + int32(b2 * b)) + int32(int32(c2 * c) + half)) >> 20
            out[y, x, 0] = max(min(red, top), int32(0))
            out[y, x, 1] = max(min(green, top), int32(0))
            out[y, x, 2] = max(min(blue, top), int32(0))


@jit
def to_grey(p, width, height, out):
    """Turn the plane of a grey tile into 8-bit pixels."""
    top = int32(255)
    for y in range(height):
        for x in range(width):
            v = int32(int32(int16(p[0, y + 2, x + 2])) + int32(32 + (128 << 6))) >> 6
            out[y, x, 0] = max(min(v, top), int32(0))
