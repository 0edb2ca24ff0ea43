"""What a residual is coded as: candidates of a cell, escapes, tokens (encoder only)."""

import numpy as np
from numpy import float32, uint64

from rnnic._jit import forced, jit
from rnnic.entropy.rans import PROBABILITY_BITS, SLOT_MASK, SYMBOL_BITS, U_SYMBOL_BITS
from rnnic.pyramid.pair_kernels import MAX_ESCAPES
from rnnic.pyramid.search import CANDIDATES, CELL, CHROMA_REACH, ESCAPE, LUMA_CELLS, LUMA_REACH

__all__ = [
    "BACKTRACK",
    "HUGE",
    "NONE",
    "REACH_0",
    "REACH_1",
    "cell_of",
    "nearest",
    "put",
    "put_escaped",
    "search_far",
    "sign_pattern",
    "vector_of",
]

PER_CELL = float32(1 / CELL)
HALF = float32(0.5)
REACH_0 = float32(LUMA_REACH)
REACH_1 = float32(CHROMA_REACH)
HUGE = float32(1e30)
COARSE_LAMBDA = float32(0.02)
COARSE_BITS = float32(14.0)
BACKTRACK = MAX_ESCAPES + 2
NONE = np.int64(0)
ESCAPE_SYMBOL = np.int64(ESCAPE)
"""Of a type: for each literal, kernels would be compiled once more."""


@forced
def nearest(a0, a1, a2, cells, cell, magnitudes, first, lengths, row, weight, limit):
    """Entry of least squared distance + weight * bits below ``limit`` among the candidates of a cell.

    Returns ``limit`` and -1 if there is none.
    """
    best, entry = limit, np.int64(-1)
    # Unsigned, so that no index can be negative.
    begin, offset, bits = uint64(cell), uint64(first), uint64(row) << U_SYMBOL_BITS
    for t in range(CANDIDATES):
        j = uint64(cells[begin + uint64(t)])
        d0 = a0 - magnitudes[offset + j, 0]
        d1 = a1 - magnitudes[offset + j, 1]
        d2 = a2 - magnitudes[offset + j, 2]
        d = d0 * d0 + d1 * d1 + d2 * d2 + weight * lengths[bits + j]
        if d < best:
            best, entry = d, np.int64(j)
    return best, entry


@forced
def cell_of(a0, a1, a2, side, chroma_cells):
    """Index of a cell's first candidate; ``side`` counts codebooks and branches together."""
    c = side * LUMA_CELLS + np.int64(a0 * PER_CELL + HALF)
    c = c * chroma_cells + np.int64(a1 * PER_CELL + HALF)
    return (c * chroma_cells + np.int64(a2 * PER_CELL + HALF)) * CANDIDATES


@forced
def sign_pattern(u0, u1, u2, magnitudes, at):
    """Bit j is set if the j-th non-zero component is negative; also the number of bits."""
    pattern, bits = 0, 0
    if magnitudes[at, 0] > 0:
        pattern |= u0 < 0
        bits += 1
    if magnitudes[at, 1] > 0:
        pattern |= (u1 < 0) << bits
        bits += 1
    if magnitudes[at, 2] > 0:
        pattern |= (u2 < 0) << bits
        bits += 1
    return pattern, bits


@forced
def level_row(z, depth, used, luma_class, sizes):
    """Return the table that an entry at scale ``4**z`` of a pair of ``depth`` escapes is coded with.

    ``used`` is its codebook.
    """
    luma_classes, contexts, far = sizes[2], sizes[4], sizes[7]
    if z < depth:
        return far + used * contexts + contexts - 5 + min(z, 4)
    if z == 0:
        return far + used * contexts + luma_classes * 4 + luma_class
    return far + luma_classes * (min(z, 4) - 1) + luma_class


@jit
def search_escaped(
    u, depth, side, book, table, luma_class, cells, magnitudes, lengths, vectors, weight, sizes,
    sequence,
):  # fmt: skip
    """Code ``u`` with ``depth`` escapes; returns the cost, ``HUGE`` if that does not reach.

    ``sequence[1 + z]`` becomes ``entry << 3 | signs`` at scale ``4**z``; cost includes bits.
    """
    sides, chroma_cells = sizes[8], sizes[9]
    rate = lengths[(table << SYMBOL_BITS) + ESCAPE]
    if depth > 0:
        rare = level_row(NONE, NONE, book, luma_class, sizes)
        rate += lengths[(rare << SYMBOL_BITS) + ESCAPE]
    for z in range(1, depth):
        row = level_row(z, z, NONE, luma_class, sizes)
        rate += lengths[(row << SYMBOL_BITS) + ESCAPE]
    o0, o1, o2 = float32(0), float32(0), float32(0)
    g = float32(4.0**depth)
    for z in range(depth, -1, -1):
        v0, v1, v2 = (u[0] - o0) / g, (u[1] - o1) / g, (u[2] - o2) / g
        if abs(v0) > REACH_0 or abs(v1) > REACH_1 or abs(v2) > REACH_1:
            return HUGE
        used = book if z == 0 else 0
        row = level_row(z, depth, used, luma_class, sizes)
        best, entry = HUGE, np.int64(0)
        for p in range(sides):
            if z > 0 or p == side:
                cell = cell_of(abs(v0), abs(v1), abs(v2), used * sides + p, chroma_cells)
                best, found = nearest(
                    abs(v0), abs(v1), abs(v2), cells, cell, magnitudes, used << SYMBOL_BITS,
                    lengths, row, weight if z == 0 else COARSE_LAMBDA, best,
                )  # fmt: skip
                if found >= 0:
                    entry = found
        at = (used << SYMBOL_BITS) | entry
        signs, _ = sign_pattern(v0, v1, v2, magnitudes, at)
        sequence[1 + z] = (entry << 3) | signs
        rate += lengths[(row << SYMBOL_BITS) + entry]
        at = (at << 3) | signs
        o0 += g * float32(vectors[at, 0]) / float32(64)
        o1 += g * float32(vectors[at, 1]) / float32(64)
        o2 += g * float32(vectors[at, 2]) / float32(64)
        g /= float32(4)
    e0, e1, e2 = u[0] - o0, u[1] - o1, u[2] - o2
    sequence[0] = depth
    return e0 * e0 + e1 * e1 + e2 * e2 + weight * rate


@jit
def search_far(
    u, side, book, table, luma_class, cells, magnitudes, lengths, vectors, weight, sizes, limit,
    sequence, trial,
):  # fmt: skip
    """Try escapes, then raw numbers; the best is left in ``sequence`` if below ``limit``.

    ``trial`` is room for another one.
    """
    need = max(abs(u[0]) / REACH_0, max(abs(u[1]), abs(u[2])) / REACH_1)
    depth = 0
    while depth < MAX_ESCAPES and need > float32(4.0**depth):
        depth += 1
    best = limit
    enough = weight * (lengths[(table << SYMBOL_BITS) + ESCAPE] + COARSE_BITS)
    for z in range(depth, min(depth + 2, MAX_ESCAPES)):
        if best < enough and z > depth:
            break
        cost = search_escaped(
            u, z, side, book, table, luma_class, cells, magnitudes, lengths, vectors, weight,
            sizes, trial,
        )  # fmt: skip
        if cost < best:
            best = cost
            for i in range(sequence.shape[0]):
                sequence[i] = trial[i]
    if best >= HUGE and side == 0:
        best = float32(1e6)
        sequence[0] = MAX_ESCAPES
        for c in range(3):
            value = min(max(float(u[c]), -8388607.0), 8388607.0)
            sequence[1 + c] = int(np.floor(value + 0.5))
    return best


@jit
def vector_of(sequence, book, vectors, top, out):
    """Residual in 1/64 step of an escaped pair, as a decoder computes it."""
    depth = sequence[0]
    for c in range(3):
        if depth == MAX_ESCAPES:
            out[c] = min(max(sequence[1 + c] * 64, -top), top)
        else:
            value = np.int64(0)
            for z in range(depth, -1, -1):
                used = book if z == 0 else 0
                entry = np.int64(vectors[(used << (SYMBOL_BITS + 3)) | sequence[1 + z], c])
                value = min(max(value * 4 + entry, -top), top)
            out[c] = value


@forced
def put(tokens, count, spans, row, symbol, raw, bits, counts):
    """Queue a token; returns the new number of tokens."""
    span = np.int64(spans[(row << SYMBOL_BITS) | symbol])
    tokens[count] = (
        (span >> PROBABILITY_BITS) | ((span & SLOT_MASK) << 13) | (raw << 26) | (bits << 34)
    )
    if counts.shape[0] > 0:
        counts[row, symbol] += 1
    return count + 1


@jit
def put_escaped(tokens, count, spans, sequence, book, table, luma_class, labels, sizes, counts):
    """Queue the tokens of an escaped pair."""
    depth = sequence[0]
    count = put(tokens, count, spans, table, ESCAPE_SYMBOL, NONE, NONE, counts)
    if depth > 0:
        rare = level_row(NONE, NONE, book, luma_class, sizes)
        count = put(tokens, count, spans, rare, ESCAPE_SYMBOL, NONE, NONE, counts)
    for z in range(1, depth):
        row = level_row(z, z, NONE, luma_class, sizes)
        count = put(tokens, count, spans, row, ESCAPE_SYMBOL, NONE, NONE, counts)
    if depth == MAX_ESCAPES:
        for c in range(3):
            for shift in (16, 8, 0):
                raw = (sequence[1 + c] >> shift) & 255
                tokens[count] = (raw << 26) | (np.int64(8) << 34)
                count += 1
        return count
    for z in range(depth, -1, -1):
        used = book if z == 0 else 0
        row = level_row(z, depth, used, luma_class, sizes)
        entry = sequence[1 + z] >> 3
        bits = np.int64(labels[(used << SYMBOL_BITS) | entry]) & 3
        count = put(tokens, count, spans, row, entry, sequence[1 + z] & 7, bits, counts)
    return count
