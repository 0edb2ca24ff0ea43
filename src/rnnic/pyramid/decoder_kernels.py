"""Decoding of passes: what rows need, their residuals, their children."""

import numpy as np
from numpy import int32

from rnnic._jit import inlined, jit, reshaped
from rnnic.pyramid.format import MAX_GRADIENT_WEIGHT
from rnnic.pyramid.kernels import (
    copy_unpaired,
    extend_borders,
    repeat_borders,
    row_activity,
    row_energies,
    row_predictions,
    row_rebuild,
    start_planes,
)
from rnnic.pyramid.pair_kernels import (
    decode_row_1,
    decode_row_2,
    decode_row_4,
    entry_effects,
    pack_activity,
    unpack_row,
)
from rnnic.pyramid.pixel_kernels import row_pixels, to_pixels

__all__ = ["WORDS_PER_PAIR", "decode_passes", "pass_weights"]

GRADIENTS = 4
GRADIENT_LIMIT = np.int64(MAX_GRADIENT_WEIGHT)
WORDS_PER_PAIR = 32
"""More words than any pair can consume; rows are checked for overrun when they end."""


@jit
def pass_weights(activity, step, weights):
    """Activity weights of a pass, int32 (2, 12): gradients fitted to its step, others as stored."""
    for k in range(2):
        for i in range(activity.shape[1]):
            weights[k, i] = activity[k, i]
            if i < GRADIENTS:
                weights[k, i] = min(np.int64(activity[k, i]) * 4096 // step, GRADIENT_LIMIT)


@inlined
def decode_rows(n, active, lanes, rows, filters, sizes, top, tables):
    """Decode the residuals of one row of each of the first ``active`` lanes; False if one ends."""
    states, positions, ends, trellis, words = lanes
    parsed, escaped, reach, _ = rows
    _, _, weights, effects = filters
    reach[:] = 0
    at = 0
    if active == 4:
        decode_row_4(
            at, n, states, positions, trellis, parsed, escaped, reach, words, weights, effects,
            sizes, top, tables,
        )  # fmt: skip
        at = 4
    if active - at >= 2:
        decode_row_2(
            at, n, states, positions, trellis, parsed, escaped, reach, words, weights, effects,
            sizes, top, tables,
        )  # fmt: skip
        at += 2
    if active - at == 1:
        decode_row_1(
            at, n, states, positions, trellis, parsed, escaped, reach, words, weights, effects,
            sizes, top, tables,
        )  # fmt: skip
    complete = True
    for k in range(active):
        complete = complete and positions[k] <= ends[k]
    return complete


@inlined
def decode_pass(
    planes, plan, filters, smooth, lanes, sizes, tables, rows, buffers, final, picture
):  # fmt: skip
    """Decode a pass.

    Parameters
    ----------
    planes : tuple of int16 planes
        Parents and their energies; room for children and their energies, unless ``final``.
    plan : int64 array
        Level, width and height of the children, whether residuals are coded, step size in 1/1024
        sample.
    filters : tuple
        Luma and chroma filters and the activity weights, see `rnnic.pyramid.kernels.row_context`; what
        `entry_effects` gives.
    smooth : bool
        Whether planes go on with their slopes beyond their borders.
    lanes : tuple
        Coder states, next words, ends of the lanes' words, trellis states, (lanes,) each; uint16 bit
        streams, then at least ``WORDS_PER_PAIR * n`` of padding.
    sizes : int64 array
        Escape symbols of the common and of the rare tables, luma classes, chroma classes, contexts,
        pairs of classes, feedback of the trellis.
    tables : tuple
        `rnnic.pyramid.format.Parsing`.
    rows, buffers : tuples
        Row buffers, see `rnnic.pyramid.decoder.RowBuffers`: those that `decode_pair` writes, and those of
        `row_context`.
    final : bool
        Whether children become pixels at once, without a plane: memory is what takes the time.
    picture : tuple
        Room for two rows of children, int16 (components, 2, width + 4), and for the samples of a row;
        the other parameters of `row_pixels`; all rows, and the bytes from one to the next.

    Returns
    -------
    bool
        False if a lane ended too early.
    """
    p, e, c, f = planes
    luma, chroma, weights, _ = filters
    parsed, escaped, reach, residuals = rows
    gradients, base, activity, d, r, m = buffers
    ring, own_ring = m.shape[2], d.shape[2]
    children, samples, colour, deep, pixels, stride = picture
    along_x, width, height = plan[0] % 2 == 0, plan[1], plan[2]
    coded, step = plan[3] > 0, int32(plan[4])
    top = (1 << 29) // plan[4]
    count, n = (height, width // 2) if along_x else (height // 2, width)
    parts = len(lanes[0]) if count >= 4 * len(lanes[0]) else 1
    share, extra = count // parts, count % parts
    components = p.shape[0]
    # What is behind the columns of this pass is not looked at.
    d[:, :, :, : n + 2] = 0
    r[:, :, :, : n + 2] = 0
    m[:, :, :, : n + 2] = 0
    if not coded:
        residuals[0, :, :n] = 0
    for i in range(share + (extra > 0)):
        up2, up, now = (i + ring - 1) % ring, i % ring, (i + 1) % ring
        before, here = i % own_ring, (i + 1) % own_ring
        active = parts if i < share else extra
        for k in range(active):
            y = k * share + min(k, extra) + i + 2
            row_activity(p, e, y, n, along_x, weights, m[k], up, up2, gradients, activity[0])
            pack_activity(activity[0], n, parsed[k])
        if coded and not decode_rows(n, active, lanes, rows, filters, sizes, top, tables):
            return False
        for k in range(active):
            y = k * share + min(k, extra) + i
            first = y if along_x else 2 * y
            if coded:
                unpack_row(parsed[k], n, reach[k], escaped[k], residuals[0])
            row_predictions(p, y + 2, n, along_x, luma, chroma, d[k], r[k], before, base[0])
            # One call for both: its code is compiled into each place that calls it.
            row_rebuild(
                residuals[0], p, y + 2, n, along_x, luma, chroma, step, base[0], d[k], r[k], m[k],
                here, now, children if final else c, 0 if final else first + 2,
            )  # fmt: skip
            if not final:
                row_energies(e, y + 2, n, along_x, m[k], now, f, first + 2)
                continue
            if along_x and width % 2:
                # Element by element: for shapes that disagree, Numba would compile texts of an error.
                for component in range(components):
                    children[component, 0, width + 1] = p[component, y + 2, width // 2 + 2]
            for half in range(1 if along_x else 2):
                row_pixels(
                    children, half, width, colour, samples, deep, pixels[(first + half) * stride :]
                )
    if final:
        if not along_x and height % 2:
            row_pixels(
                p, height // 2 + 2, width, colour, samples, deep, pixels[(height - 1) * stride :]
            )
        return True
    copy_unpaired(p, c, width, height, along_x)
    copy_unpaired(e, f, width, height, along_x)
    extend_borders(c, width, height, smooth)
    repeat_borders(f, width, height)
    return True


@jit
def decode_passes(
    base, step, samples, energies, plans, filters, smooth, lanes, sizes, tables, rows, buffers,
    room, picture,
):  # fmt: skip
    """Decode passes, coarse to fine, and turn the last one's children into pixels.

    Parameters
    ----------
    base, step : int64 array, int
        See `start_planes`.
    samples, energies : pairs of int16 arrays, (components | groups, area)
        Room for the planes of the largest pass but the last; used in turn.
    plans : int64 array, (passes, 5)
        See `decode_pass`.
    filters : tuple of arrays, (levels, ...)
        Luma and chroma filters and activity weights by level.
    room : tuple of arrays
        For the weights and the uint32 array of a pass.

    The other parameters are those of `decode_pass`.

    Returns
    -------
    bool
        False if a lane ended too early.
    """
    components, groups = samples[0].shape[0], energies[0].shape[0]
    luma, chroma, activity = filters
    weights, effects = room
    _, _, _, _, _, _, signed, own_effects, _, _ = tables
    _, height, width = base.shape
    p = reshaped(samples[0], (components, height + 4, width + 4))
    e = reshaped(energies[0], (groups, height + 4, width + 4))
    start_planes(base, step, p, e, smooth)
    for i in range(plans.shape[0]):
        level, wide, high = plans[i, 0], plans[i, 1], plans[i, 2]
        pass_weights(activity[level], plans[i, 4], weights)
        entry_effects(signed, own_effects, weights, effects)
        final = i == plans.shape[0] - 1
        rows_high, columns = (0, 0) if final else (high + 4, wide + 4)
        c = reshaped(samples[(i + 1) % 2], (components, rows_high, columns))
        f = reshaped(energies[(i + 1) % 2], (groups, rows_high, columns))
        own = luma[level], chroma[level], weights, effects
        if not decode_pass(
            (p, e, c, f),
            plans[i],
            own,
            smooth,
            lanes,
            sizes,
            tables,
            rows,
            buffers,
            final,
            picture,
        ):
            return False
        p, e = c, f
    if plans.shape[0] == 0:
        _, row_samples, colour, deep, pixels, stride = picture
        to_pixels(p, width, height, colour, row_samples, deep, pixels, stride)
    return True
