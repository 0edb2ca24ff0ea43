"""Decoding of passes: what rows need, their residuals, their children."""

import numpy as np
from numpy import int32

from rnnic._jit import allocating, jit
from rnnic.pyramid.format import MAX_GRADIENT_WEIGHT, PACKED
from rnnic.pyramid.kernels import (
    copy_unpaired,
    extend_borders,
    row_context,
    row_energies,
    row_rebuild,
)
from rnnic.pyramid.pair_kernels import (
    decode_row_1,
    decode_row_2,
    decode_row_4,
    entry_weights,
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


@jit
def decode_rows(
    n, active, states, positions, ends, trellis, around, rows, escaped, reach, words, weights,
    left, sizes, top, tables, out,
):  # fmt: skip
    """Decode the residuals of one row of each of the first ``active`` lanes; False if one ends."""
    reach[:] = 0
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
    tables, around, rows, escaped, reach, gradients, base, activity, out, d, r, m, children, samples,
    final, colour, deep, pixels, stride,
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
    around, rows, escaped, reach, gradients, base, activity, out, d, r, m : arrays
        Row buffers, see `rnnic.pyramid.decoder.RowBuffers`; all but ``gradients`` are of lanes.
    children, samples : int16 (components, 2, width + 4) and uint8 (components, width)
        Room for two rows of children that become pixels.
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
    # What is behind the columns of this pass is not looked at.
    d[:, :, :, : n + 2] = 0
    r[:, :, :, : n + 2] = 0
    m[:, :, :, : n + 2] = 0
    if not coded:
        out[:, :, :n] = 0
    for i in range(share + (extra > 0)):
        up2, up, now = (i + 2) % 3, i % 3, (i + 1) % 3
        active = lanes if i < share else extra
        for k in range(active):
            y = k * share + min(k, extra) + i + 2
            row_context(
                p, e, y, n, along_x, luma, chroma, weights, d[k], r[k], m[k], up,
                up2, gradients, base[k], activity[k],
            )  # fmt: skip
            pack_activity(activity[k], n, around[k])
        if coded and not decode_rows(
            n, active, states, positions, ends, trellis, around, rows, escaped, reach, words,
            weights, left, sizes, top, tables, out,
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


@allocating
def decode_passes(
    width, height, samples, other_samples, energies, other_energies, plans, luma, chroma, activity,
    states, positions, ends, trellis, words, sizes, tables, around, rows, escaped, gradients, base,
    activities, out, d, r, m, colour, deep, pixels, stride,
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
    reach = np.zeros(states.shape[0], np.int64)
    widest = plans[-1, 1] if plans.shape[0] else 0
    two_rows = np.empty((components, 2, widest + 4), np.int16)
    row_samples = np.empty((components, widest), np.uint8)
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
            positions, ends, trellis, words, sizes, tables, around, rows, escaped, reach, gradients,
            base, activities, out, d, r, m, two_rows, row_samples, final, colour, deep, pixels,
            stride,
        ):  # fmt: skip
            return False
        p, e = children, spread
    if plans.shape[0] == 0:
        to_pixels(p, width, height, colour, deep, pixels, stride)
    return True
