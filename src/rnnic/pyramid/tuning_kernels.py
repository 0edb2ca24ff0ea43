"""Features of pairs, for filters that fit an image or a training set."""

from numpy import float32, int32, uint64

from rnnic._jit import forced, jit, reshaped
from rnnic.pyramid.kernels import row_context, row_rebuild

__all__ = ["gather_features", "quantise_rows"]

THREE, FOUR = uint64(3), uint64(4)
DEAD_ZONE = float32(0.62)


@forced
def minmod(a, b):
    """Return the smaller of two numbers of the same sign, else zero."""
    return max(min(a, b), float32(0)) + min(max(a, b), float32(0))


@forced
def at(plane, place, i, j):
    """Sample of a flat plane; all numbers are uint64, so that no index can be negative."""
    return float32(plane[place + i + j])


@jit
def gather_features(
    parents, energies, source, d, r, m, first, chosen, columns, along_x, scale, luma, chroma,
    activity, target,
):  # fmt: skip
    """Compute what `rnnic.pyramid.kernels.row_context` sees of some pairs.

    Parameters
    ----------
    parents, energies : int16 planes
    source : float32 array, (components, height, width)
        True children in 1/64 sample.
    d, r, m : int32 arrays, (components | groups, rows + 3, columns + 2)
        Differences, residuals and magnitudes of rows from ``first`` on, row y at y + 1 - first.
    first : int
    chosen : int64 array, (count,)
        Numbers of pairs, row by row.
    columns : int
        Pairs in a row.
    along_x : bool
    scale : float32
        Turns 1/64 sample into steps.
    luma, chroma, activity, target : float32 arrays
        Outputs in steps: (15, count), (components - 1, 7, count), (groups, 12, count),
        (components, count).
    """
    components, width = parents.shape[0], parents.shape[2]
    small = float32(1 / 16)
    # Across the halving, and along it.
    i1, j1 = (uint64(width), uint64(1)) if along_x else (uint64(1), uint64(width))
    i2, i3, i4, j2, j3, j4 = i1 + i1, i1 * THREE, i1 * FOUR, j1 + j1, j1 * THREE, j1 * FOUR
    i0, j0 = uint64(0), uint64(0)
    activity[:] = 0
    for c in range(components):
        p = reshaped(parents[c], (parents.shape[1] * width,))
        g = min(c, 1)
        for i in range(chosen.shape[0]):
            y, x = chosen[i] // columns, chosen[i] % columns
            z = y - first
            q = uint64(y * width + x)
            v, a, b = at(p, q, i2, j2), at(p, q, i2, j1), at(p, q, i2, j3)
            u, ul, ur = at(p, q, i1, j2), at(p, q, i1, j1), at(p, q, i1, j3)
            e, dl, dr = at(p, q, i3, j2), at(p, q, i3, j1), at(p, q, i3, j3)
            if along_x:
                target[c, i] = (source[c, y, 2 * x] - source[c, y, 2 * x + 1]) * scale
            else:
                target[c, i] = (source[c, 2 * y, x] - source[c, 2 * y + 1, x]) * scale
            near, bend = (a - b) * scale, minmod(a - v, v - b) * scale
            far = (at(p, q, i2, j0) - at(p, q, i2, j4)) * scale
            before, after = (ul - ur) * scale, (dl - dr) * scale
            up, side = d[c, z, x + 1] * scale, r[c, z, x + 1] * scale
            if c == 0:
                luma[0, i], luma[1, i], luma[2, i], luma[3, i] = near, far, before, after
                luma[4, i] = scale * (
                    at(p, q, i1, j0) - at(p, q, i1, j4) + at(p, q, i3, j0) - at(p, q, i3, j4)
                )
                luma[5, i] = scale * (
                    at(p, q, i0, j1) - at(p, q, i0, j3) + at(p, q, i4, j1) - at(p, q, i4, j3)
                )
                luma[6, i] = bend
                luma[7, i] = minmod(ul - v, v - dr) * scale
                luma[8, i] = minmod(dl - v, v - ur) * scale
                luma[9, i] = up
                luma[10, i], luma[11, i] = d[c, z, x] * scale, d[c, z, x + 2] * scale
                luma[12, i], luma[13, i] = side, r[c, z, x] * scale
                luma[14, i] = r[c, z + 1, x] * scale
            else:
                k = c - 1
                chroma[k, 0, i], chroma[k, 1, i], chroma[k, 2, i] = near, far, before + after
                chroma[k, 3, i], chroma[k, 4, i], chroma[k, 5, i] = bend, up, side
                chroma[k, 6, i] = r[c, z + 1, x] * scale
            activity[g, 0, i] += (abs(a - v) + abs(v - b)) * scale
            activity[g, 1, i] += (abs(ul - u) + abs(ur - u) + abs(dl - e) + abs(dr - e)) * scale
            activity[g, 2, i] += (abs(u - v) + abs(e - v)) * scale
            activity[g, 3, i] += abs(a - v - v + b) * scale
    for i in range(chosen.shape[0]):
        y, x = chosen[i] // columns, chosen[i] % columns
        z = y - first
        for g in range(energies.shape[0]):
            activity[g, 4, i] = energies[g, y + 2, x + 2] * small
            activity[g, 5, i] = small * (
                energies[g, y + 1, x + 2] + energies[g, y + 3, x + 2]
                + energies[g, y + 2, x + 1] + energies[g, y + 2, x + 3]
            )  # fmt: skip
            activity[g, 6, i] = m[g, z, x + 1] * small
            activity[g, 7, i] = m[g, z, x] * small
            activity[g, 8, i] = m[g, z, x + 2] * small
            activity[g, 9, i] = m[g, z + 1, x] * small
            activity[g, 10, i] = m[g, z - 1, x + 1] * small if z > 0 else float32(0)
            activity[g, 11, i] = m[1 - g, z, x + 1] * small


@jit
def quantise_rows(
    p, e, source, first, rows, n, along_x, luma, chroma, weights, step, base, activity, residual, d,
    r, m, children, gradients, target,
):  # fmt: skip
    """Code rows of a pass roughly, by rounding, to see what neighbours will look like.

    Parameters are those of `rnnic.pyramid.kernels.row_context` and `row_rebuild`; ``d``, ``r`` and
    ``m`` have room for all rows, row y at y + 1 - first, and are filled. ``target`` is room for float32 (n,).
    """
    components = p.shape[0]
    inverse = float32(16) / float32(step)
    d[:, :2] = 0
    r[:, :2] = 0
    m[:, :2] = 0
    for i in range(rows):
        y = first + i
        up2 = max(i - 1, 0)
        row_context(
            p,
            e,
            y + 2,
            n,
            along_x,
            luma,
            chroma,
            weights,
            d,
            r,
            m,
            i,
            up2,
            gradients,
            base,
            activity,
        )
        for c in range(components):
            for x in range(n):
                if along_x:
                    target[x] = source[c, y, 2 * x] - source[c, y, 2 * x + 1]
                else:
                    target[x] = source[c, 2 * y, x] - source[c, 2 * y + 1, x]
            tap = int32(luma[14]) if c == 0 else int32(chroma[c - 1, 6])
            left = int32(0)
            for x in range(n):
                guess = int32(int32(base[c, x] + int32(tap * left)) + int32(1024)) >> 11
                u = (target[x] - float32(guess)) * inverse
                k = int32(0)
                if abs(u) > DEAD_ZONE:
                    k = int32(
                        min(max(u, float32(-30000)), float32(30000)) * 1.0
                        + (0.5 if u > 0 else -0.5)
                    )
                residual[c, x] = int32(k * int32(64))
                left = int32(int32(residual[c, x] * step) + int32(512)) >> 10
        row_rebuild(
            residual, p, y + 2, n, along_x, luma, chroma, step, base, d, r, m, i + 1, i + 1,
            children, 0,
        )  # fmt: skip
