"""Rate-distortion search: Viterbi over the trellis states along each row (encoder only)."""

import numpy as np
from numpy import float32, int32, uint64

from rnnic._jit import add, jit, mul
from rnnic.entropy.rans import SYMBOL_BITS, U_SYMBOL_BITS
from rnnic.pyramid.format import TOP_LEVEL
from rnnic.pyramid.kernels import (
    copy_unpaired,
    extend_borders,
    repeat_borders,
    row_context,
    row_energies,
    row_rebuild,
    scale_residual,
)
from rnnic.pyramid.pair_kernels import left_part
from rnnic.pyramid.search import DEFAULT_LAMBDA, ESCAPE
from rnnic.pyramid.search_kernels import (
    BACKTRACK,
    HUGE,
    NONE,
    REACH_0,
    REACH_1,
    cell_of,
    nearest,
    put,
    put_escaped,
    search_far,
    sign_pattern,
    vector_of,
)

__all__ = ["encode_pass"]

UNREACHED = float32(1e6)
"""Less than entries cost that a table does not have."""
FAR_BITS = float32(8.0)
"""Rare and coarse entries are tried when they could win with this many bits."""
USUAL = float32(DEFAULT_LAMBDA)
ONE = uint64(1)
U_ESCAPE = uint64(ESCAPE)


@jit
def search_row(
    target, n, base, activity, luma, chroma, weights, left, step, top, start, weight, prune,
    sizes, tables, cells, magnitudes, lengths, floors, spans, work, out, tokens, count, counts,
):  # fmt: skip
    """Choose the residuals of a row, with a trellis.

    Parameters
    ----------
    target : float32 array, (components, n)
        Differences to code, in 1/64 sample.
    base, activity, luma, chroma, weights, left, step, top
        As for `rnnic.pyramid.decoder_kernels.decode_pass`, of one lane.
    start : int
        Trellis state at the start of the row.
    weight, prune : float32
        Lagrange multiplier; survivors worse than the best by more than ``prune`` are dropped.
    floors : float32 array, (tables * sides,)
        See `rnnic.pyramid.search.least_lengths`.
    work : tuple of arrays
        See `rnnic.pyramid.encoder.work_arrays`.
    out : int32 array, (3, n)
        Output: chosen residuals in 1/64 step.
    tokens, count : int64 array, int
        Queue, and its length.
    counts : int64 array, (tables, symbols) or (0, 0)
        Histogram to add to.

    Returns
    -------
    tuple of int
        New length of the queue, and the trellis state at the end of the row.
    """
    labels, vectors, luma_class, chroma_class, next_state = tables
    (
        _, back, chosen, row_of, chain, costs, survivors, order, u, vector, sequence, trial,
    ) = work  # fmt: skip
    states = next_state.shape[0] >> 1
    components = target.shape[0]
    chroma_classes, classes = sizes[3], sizes[5]
    sides, chroma_cells = sizes[8], sizes[9]
    inverse = float32(16.0) / float32(step)
    cost, new_cost = costs[0], costs[1]
    survivor, new_survivor = survivors[0], survivors[1]
    cost[:] = HUGE
    survivor[:] = 0
    u[:] = 0
    cost[start] = float32(0)
    for x in range(n):
        least, first = HUGE, np.int64(0)
        for s in range(states):
            new_cost[s] = HUGE
            if cost[s] < least:
                least, first = cost[s], np.int64(s)
        # The cheapest first, so that many of the others need not be looked at.
        order[0] = first
        alive = np.int64(1)
        for s in range(states):
            order[alive] = s
            alive += (cost[s] <= least + prune) & (s != first)
        for i in range(alive):
            s = uint64(order[i])
            for c in range(components):
                tap = int32(luma[14]) if c == 0 else int32(chroma[c - 1, 6])
                guess = add(add(base[c, x], mul(tap, survivor[s, c])), int32(1024)) >> 11
                u[c] = (target[c, x] - float32(guess)) * inverse
            level = min(add(activity[0, x], survivor[s, 3]) >> 2, TOP_LEVEL)
            y_class = np.int64(luma_class[uint64(level)])
            level = min(add(activity[1, x], survivor[s, 4]) >> 2, TOP_LEVEL)
            table = y_class + np.int64(chroma_class[uint64(level)])
            book = np.int64(s & ONE)
            table += book * classes
            a0, a1, a2 = abs(u[0]), abs(u[1]), abs(u[2])
            near = a0 <= REACH_0 and a1 <= REACH_1 and a2 <= REACH_1
            far = weight * (lengths[(uint64(table) << U_SYMBOL_BITS) + U_ESCAPE] + FAR_BITS)
            for p in range(sides):
                goal = uint64(next_state[(s << ONE) | uint64(p)])
                limit = new_cost[goal] - cost[s]
                if limit <= weight * floors[uint64(table * sides + p)]:
                    continue
                best, entry = min(limit, UNREACHED), np.int64(-1)
                if near:
                    best, entry = nearest(
                        a0, a1, a2, cells,
                        cell_of(a0, a1, a2, book * sides + p, chroma_cells),
                        magnitudes, book << SYMBOL_BITS, lengths, table, weight, best,
                    )  # fmt: skip
                escaped = False
                if best > far:
                    if entry >= 0:
                        limit = best
                    other = search_far(
                        u, p, book, table, y_class // chroma_classes, cells, magnitudes, lengths,
                        vectors, weight, sizes, limit, sequence, trial,
                    )  # fmt: skip
                    escaped = other < limit
                    if escaped:
                        best = other
                if entry < 0 and not escaped:
                    continue
                new_cost[goal] = cost[s] + best
                back[x, goal] = s
                row_of[x, goal] = table
                if escaped:
                    chosen[x, goal] = -1
                    # A whole row would make Numba compile the text of an error about its shape.
                    for k in range(BACKTRACK):
                        chain[x, goal, k] = sequence[k]
                    vector_of(sequence, book, vectors, top, vector)
                    v0, v1, v2 = int32(vector[0]), int32(vector[1]), int32(vector[2])
                    both = left_part(vector[0], vector[1], vector[2], weights)
                else:
                    which = uint64((book << SYMBOL_BITS) | entry)
                    signs, _ = sign_pattern(u[0], u[1], u[2], magnitudes, which)
                    chosen[x, goal] = (entry << 3) | signs
                    row = (which << uint64(3)) | uint64(signs)
                    v0, v1 = int32(vectors[row, 0]), int32(vectors[row, 1])
                    v2 = int32(vectors[row, 2])
                    both = np.int64(left[which])
                new_survivor[goal, 3] = both & 0xFFFF
                new_survivor[goal, 4] = both >> 16
                new_survivor[goal, 0] = scale_residual(v0, step)
                if components > 1:
                    new_survivor[goal, 1] = scale_residual(v1, step)
                    new_survivor[goal, 2] = scale_residual(v2, step)
        for s in range(states):
            cost[s] = new_cost[s]
            for c in range(5):
                survivor[s, c] = new_survivor[s, c]
    end = np.int64(0)
    for s in range(states):
        if cost[s] < cost[end]:
            end = np.int64(s)
    at = end
    for x in range(n - 1, -1, -1):
        # From here on, entry 0 of a column tells which state the path goes through.
        previous = np.int64(back[x, at])
        back[x, 0] = at
        at = previous
    book = np.int64(start) & 1
    for x in range(n):
        at = np.int64(back[x, 0])
        table = np.int64(row_of[x, at])
        pick = np.int64(chosen[x, at])
        if pick < 0:
            luma_index = (table - book * classes) // chroma_classes
            vector_of(chain[x, at], book, vectors, top, vector)
            for c in range(3):
                out[c, x] = vector[c]
            count = put_escaped(
                tokens, count, spans, chain[x, at], book, table, luma_index, labels, sizes, counts
            )
        else:
            for c in range(3):
                out[c, x] = vectors[(book << (SYMBOL_BITS + 3)) | pick, c]
            bits = np.int64(labels[(book << SYMBOL_BITS) | (pick >> 3)]) & 3
            count = put(tokens, count, spans, table, pick >> 3, pick & 7, bits, counts)
        book = at & 1
    return count, end


@jit
def greedy_row(
    target, n, base, activity, luma, chroma, weights, left, step, top, weight, sizes, tables,
    cells, magnitudes, lengths, spans, work, out, tokens, count, counts,
):  # fmt: skip
    """Choose the residuals of a row one after the other: what `search_row` does without a trellis."""
    labels, vectors, luma_class, chroma_class, _ = tables
    components, chroma_classes, chroma_cells = target.shape[0], sizes[3], sizes[9]
    inverse = float32(16.0) / float32(step)
    _, _, _, _, _, _, _, _, u, vector, sequence, trial = work
    left0, left1, left2, e, g = int32(0), int32(0), int32(0), int32(0), int32(0)
    tap0 = int32(luma[14])
    tap1 = int32(chroma[0, 6]) if components > 1 else int32(0)
    tap2 = int32(chroma[1, 6]) if components > 1 else int32(0)
    for x in range(n):
        guess = add(add(base[0, x], mul(tap0, left0)), int32(1024)) >> 11
        u0, u1, u2 = (target[0, x] - float32(guess)) * inverse, float32(0), float32(0)
        if components > 1:
            guess = add(add(base[1, x], mul(tap1, left1)), int32(1024)) >> 11
            u1 = (target[1, x] - float32(guess)) * inverse
            guess = add(add(base[2, x], mul(tap2, left2)), int32(1024)) >> 11
            u2 = (target[2, x] - float32(guess)) * inverse
        level = min(add(activity[0, x], e) >> 2, TOP_LEVEL)
        y_class = np.int64(luma_class[uint64(level)])
        level = min(add(activity[1, x], g) >> 2, TOP_LEVEL)
        table = y_class + np.int64(chroma_class[uint64(level)])
        far = weight * (lengths[(uint64(table) << U_SYMBOL_BITS) + U_ESCAPE] + FAR_BITS)
        a0, a1, a2 = abs(u0), abs(u1), abs(u2)
        best, entry, both = UNREACHED, np.int64(-1), np.int64(0)
        if a0 <= REACH_0 and a1 <= REACH_1 and a2 <= REACH_1:
            best, entry = nearest(
                a0, a1, a2, cells, cell_of(a0, a1, a2, NONE, chroma_cells), magnitudes, NONE,
                lengths, table, weight, best,
            )  # fmt: skip
        if best > far:
            u[0], u[1], u[2] = u0, u1, u2
            limit = best if entry >= 0 else HUGE
            other = search_far(
                u, NONE, NONE, table, y_class // chroma_classes, cells, magnitudes, lengths, vectors,
                weight, sizes, limit, sequence, trial,
            )  # fmt: skip
            if other < limit:
                vector_of(sequence, NONE, vectors, top, vector)
                out[0, x], out[1, x], out[2, x] = vector[0], vector[1], vector[2]
                both = left_part(vector[0], vector[1], vector[2], weights)
                count = put_escaped(
                    tokens, count, spans, sequence, NONE, table, y_class // chroma_classes, labels,
                    sizes, counts,
                )  # fmt: skip
                entry = np.int64(-1)
        if entry >= 0:
            signs, bits = sign_pattern(u0, u1, u2, magnitudes, entry)
            row = uint64((entry << 3) | signs)
            for c in range(3):
                out[c, x] = vectors[row, c]
            both = np.int64(left[entry])
            count = put(tokens, count, spans, table, entry, signs, bits, counts)
        e, g = int32(both & 0xFFFF), int32(both >> 16)
        left0 = scale_residual(out[0, x], step)
        left1 = scale_residual(out[1, x], step)
        left2 = scale_residual(out[2, x], step)
    return count


@jit
def quiet_row(
    target, n, base, activity, step, start, weight, sizes, tables, reaches, spans, work, tokens,
    count, counts,
):  # fmt: skip
    """Queue the tokens of a row of zeros, if no other entry is worth its bits anywhere.

    Parameters are those of `search_row`, with one more.

    Parameters
    ----------
    reaches : float32 array, (tables,)
        See `rnnic.pyramid.search.quiet_reaches`.

    Returns
    -------
    tuple of int
        New length of the queue, -1 if there is to be another search; trellis state at the end of the row.
    """
    _, _, luma_class, chroma_class, next_state = tables
    row_of = work[3]
    components, classes = target.shape[0], sizes[5]
    inverse = float32(16.0) / float32(step)
    scale = min(weight / USUAL, float32(1.0))
    state = np.int64(start)
    for x in range(n):
        table = np.int64(luma_class[uint64(min(activity[0, x] >> 2, TOP_LEVEL))])
        table += np.int64(chroma_class[uint64(min(activity[1, x] >> 2, TOP_LEVEL))])
        table += (state & 1) * classes
        square = float32(0)
        for c in range(components):
            guess = add(base[c, x], int32(1024)) >> 11
            u = (target[c, x] - float32(guess)) * inverse
            square += u * u
        reach = scale * reaches[table]
        if weight < HUGE and (reach < 0 or square > reach * reach):
            return np.int64(-1), state
        row_of[x, 0] = table
        state = np.int64(next_state[state << 1])
    for x in range(n):
        count = put(tokens, count, spans, np.int64(row_of[x, 0]), 0, 0, 0, counts)
    return count, state


@jit
def encode_pass(
    p, e, c, f, source, rows, n, width, height, along_x, luma, chroma, smooth, weights, left, step,
    top, trellis, begin, end, weight, prune, sizes, tables, cells, magnitudes, lengths, floors, reaches,
    spans, work, tokens, counts_of, counts, out, buffers,
):  # fmt: skip
    """Encode a pass; the counterpart of `rnnic.pyramid.decoder_kernels.decode_pass`.

    ``source`` holds the children's true values, float32 (components, height, width) in 1/64
    sample; ``tokens`` is (lanes, capacity) and ``counts_of`` (lanes,) its lengths. Lanes
    ``begin`` … ``end`` - 1 are coded, rows of others are left as they are. With a weight of ``HUGE`` all
    residuals are zero.

    Returns
    -------
    bool
        Whether any residual of these lanes is not zero.
    """
    lanes = trellis.shape[0] if rows >= 4 * trellis.shape[0] else 1
    share, extra = rows // lanes, rows % lanes
    components = p.shape[0]
    gradients, base, activity, d, r, m = buffers
    target = work[0]
    d[:, :, :, : n + 2] = 0
    r[:, :, :, : n + 2] = 0
    m[:, :, :, : n + 2] = 0
    ring = d.shape[2]
    any_coded = False
    single = work[1].shape[1] == 1
    for k in range(begin, min(end, lanes)):
        first = k * share + min(k, extra)
        for i in range(share + (k < extra)):
            y = first + i
            up2, up, now = (i - 1) % ring, i % ring, (i + 1) % ring
            row_context(
                p, e, y + 2, n, along_x, luma, chroma, weights, d[k], r[k], m[k], up,
                up2, gradients, base[k], activity[k],
            )  # fmt: skip
            for q in range(components):
                for x in range(n):
                    if along_x:
                        target[q, x] = source[q, y, 2 * x] - source[q, y, 2 * x + 1]
                    else:
                        target[q, x] = source[q, 2 * y, x] - source[q, 2 * y + 1, x]
            filled, state = quiet_row(
                target, n, base[k], activity[k], step, trellis[k], weight, sizes, tables, reaches,
                spans, work, tokens[k], counts_of[k], counts,
            )  # fmt: skip
            if filled >= 0:
                counts_of[k], trellis[k] = filled, state
                out[k, :, :n] = 0
            elif single:
                counts_of[k] = greedy_row(
                    target, n, base[k], activity[k], luma, chroma, weights, left, step, top, weight,
                    sizes, tables, cells, magnitudes, lengths, spans, work, out[k], tokens[k],
                    counts_of[k], counts,
                )  # fmt: skip
            else:
                counts_of[k], trellis[k] = search_row(
                    target, n, base[k], activity[k], luma, chroma, weights, left, step, top,
                    trellis[k], weight, prune, sizes, tables, cells, magnitudes, lengths, floors,
                    spans, work, out[k], tokens[k], counts_of[k], counts,
                )  # fmt: skip
            for x in range(n):
                if out[k, 0, x] != 0 or out[k, 1, x] != 0 or out[k, 2, x] != 0:
                    any_coded = True
            row = y + 2 if along_x else 2 * y + 2
            row_rebuild(
                out[k], p, y + 2, n, along_x, luma, chroma, step, base[k], d[k], r[k], m[k], now,
                now, c, row,
            )  # fmt: skip
            row_energies(e, y + 2, n, along_x, m[k], now, f, row)
    copy_unpaired(p, c, width, height, along_x)
    copy_unpaired(e, f, width, height, along_x)
    extend_borders(c, width, height, smooth)
    repeat_borders(f, width, height)
    return any_coded
