"""Reconstruction of one row of pairs, shared by decoder and encoder.

Planes are int16 in 1/64 sample with a border of two, (components, height + 4, width + 4).
Row buffers hold a ring of rows with a border of one; ``up`` and ``now`` are its indices.
Everything is int32 and cannot overflow: filters are bounded by the model's limits, residuals
and differences are clamped to 17 bits.
"""

from numpy import int16, int32

from rnnic._jit import add, forced, jit, mul, sub

LIMIT = 65535
TOP_16 = int32(32767)


@forced
def minmod(a, b):
    """Return the smaller of two numbers of the same sign, else zero."""
    return add(max(min(a, b), int32(0)), min(max(a, b), int32(0)))


@forced
def predict_luma_x(p, y, n, t, out):
    """Predict luma differences along x from the parents of rows y-2..y+2."""
    t0, t1, t2, t3 = int32(t[0]), int32(t[1]), int32(t[2]), int32(t[3])
    t4, t5, t6, t7, t8 = int32(t[4]), int32(t[5]), int32(t[6]), int32(t[7]), int32(t[8])
    for x in range(n):
        a, v, b = p[y, x + 1], p[y, x + 2], p[y, x + 3]
        ul, ur = p[y - 1, x + 1], p[y - 1, x + 3]
        dl, dr = p[y + 1, x + 1], p[y + 1, x + 3]
        f1 = sub(p[y, x], p[y, x + 4])
        f4 = add(sub(p[y - 1, x], p[y - 1, x + 4]), sub(p[y + 1, x], p[y + 1, x + 4]))
        f5 = add(sub(p[y - 2, x + 1], p[y - 2, x + 3]), sub(p[y + 2, x + 1], p[y + 2, x + 3]))
        s = add(mul(t0, sub(a, b)), mul(t1, f1))
        s = add(s, add(mul(t2, sub(ul, ur)), mul(t3, sub(dl, dr))))
        s = add(s, add(mul(t4, f4), mul(t5, f5)))
        s = add(s, mul(t6, minmod(sub(a, v), sub(v, b))))
        s = add(s, mul(t7, minmod(sub(ul, v), sub(v, dr))))
        out[x] = add(s, mul(t8, minmod(sub(dl, v), sub(v, ur))))


@forced
def predict_luma_y(p, y, n, t, out):
    """Predict luma differences along y; `predict_luma_x` transposed."""
    t0, t1, t2, t3 = int32(t[0]), int32(t[1]), int32(t[2]), int32(t[3])
    t4, t5, t6, t7, t8 = int32(t[4]), int32(t[5]), int32(t[6]), int32(t[7]), int32(t[8])
    for x in range(n):
        a, v, b = p[y - 1, x + 2], p[y, x + 2], p[y + 1, x + 2]
        ul, dl = p[y - 1, x + 1], p[y + 1, x + 1]
        ur, dr = p[y - 1, x + 3], p[y + 1, x + 3]
        f1 = sub(p[y - 2, x + 2], p[y + 2, x + 2])
        f4 = add(sub(p[y - 2, x + 1], p[y + 2, x + 1]), sub(p[y - 2, x + 3], p[y + 2, x + 3]))
        f5 = add(sub(p[y - 1, x], p[y + 1, x]), sub(p[y - 1, x + 4], p[y + 1, x + 4]))
        s = add(mul(t0, sub(a, b)), mul(t1, f1))
        s = add(s, add(mul(t2, sub(ul, dl)), mul(t3, sub(ur, dr))))
        s = add(s, add(mul(t4, f4), mul(t5, f5)))
        s = add(s, mul(t6, minmod(sub(a, v), sub(v, b))))
        s = add(s, mul(t7, minmod(sub(ul, v), sub(v, dr))))
        out[x] = add(s, mul(t8, minmod(sub(ur, v), sub(v, dl))))


@forced
def predict_chroma_x(p, y, n, t, out):
    """Predict chroma differences along x from 3 x 5 parents."""
    t0, t1, t2, t3 = int32(t[0]), int32(t[1]), int32(t[2]), int32(t[3])
    for x in range(n):
        a, v, b = p[y, x + 1], p[y, x + 2], p[y, x + 3]
        f1 = sub(p[y, x], p[y, x + 4])
        f2 = add(sub(p[y - 1, x + 1], p[y - 1, x + 3]), sub(p[y + 1, x + 1], p[y + 1, x + 3]))
        s = add(add(mul(t0, sub(a, b)), mul(t1, f1)), mul(t2, f2))
        out[x] = add(s, mul(t3, minmod(sub(a, v), sub(v, b))))


@forced
def predict_chroma_y(p, y, n, t, out):
    """Predict chroma differences along y; `predict_chroma_x` transposed."""
    t0, t1, t2, t3 = int32(t[0]), int32(t[1]), int32(t[2]), int32(t[3])
    for x in range(n):
        a, v, b = p[y - 1, x + 2], p[y, x + 2], p[y + 1, x + 2]
        f1 = sub(p[y - 2, x + 2], p[y + 2, x + 2])
        f2 = add(sub(p[y - 1, x + 1], p[y + 1, x + 1]), sub(p[y - 1, x + 3], p[y + 1, x + 3]))
        s = add(add(mul(t0, sub(a, b)), mul(t1, f1)), mul(t2, f2))
        out[x] = add(s, mul(t3, minmod(sub(a, v), sub(v, b))))


@forced
def add_upper_luma(d, r, n, t, out):
    """Add what the differences ``d`` and residuals ``r`` of the row above predict."""
    t9, t10, t11, t12, t13 = int32(t[9]), int32(t[10]), int32(t[11]), int32(t[12]), int32(t[13])
    for x in range(n):
        s = add(mul(t9, d[x + 1]), mul(t10, d[x]))
        s = add(s, add(mul(t11, d[x + 2]), mul(t12, r[x + 1])))
        out[x] = add(out[x], add(s, mul(t13, r[x])))


@forced
def add_upper_chroma(d, r, n, t, out):
    """Chroma counterpart of `add_upper_luma`, straight up only."""
    t4, t5 = int32(t[4]), int32(t[5])
    for x in range(n):
        out[x] = add(out[x], add(mul(t4, d[x + 1]), mul(t5, r[x + 1])))


@forced
def sum_16(a, b):
    """Return the sum of two numbers of 16 bits, or the nearest number of 16 bits."""
    return int16(max(min(add(a, b), TOP_16), int32(-32768)))


@forced
def distance_16(a, b):
    """Return the distance of two numbers of 16 bits, at most 32767."""
    first = int16(max(min(sub(a, b), TOP_16), int32(-32768)))
    second = int16(max(min(sub(b, a), TOP_16), int32(-32768)))
    return max(first, second)


@forced
def gradients_x(p, y, n, g):
    """Sum distances of parents for a pass along x, each sum at most 32767, into three rows.

    Those along x in the parent's row; those in the rows beside; those across. The loop is of 16 bits alone,
    for vectors of twice as many numbers.
    """
    g0, g1, g2 = g[0], g[1], g[2]
    for x in range(n):
        a, v, b = p[y, x + 1], p[y, x + 2], p[y, x + 3]
        u, d = p[y - 1, x + 2], p[y + 1, x + 2]
        g0[x] = sum_16(distance_16(a, v), distance_16(v, b))
        above = sum_16(distance_16(p[y - 1, x + 1], u), distance_16(p[y - 1, x + 3], u))
        below = sum_16(distance_16(p[y + 1, x + 1], d), distance_16(p[y + 1, x + 3], d))
        g1[x] = sum_16(above, below)
        g2[x] = sum_16(distance_16(u, v), distance_16(d, v))


@forced
def gradients_y(p, y, n, g):
    """`gradients_x` transposed, for a pass along y."""
    g0, g1, g2 = g[0], g[1], g[2]
    for x in range(n):
        a, v, b = p[y - 1, x + 2], p[y, x + 2], p[y + 1, x + 2]
        u, d = p[y, x + 1], p[y, x + 3]
        g0[x] = sum_16(distance_16(a, v), distance_16(v, b))
        left = sum_16(distance_16(p[y - 1, x + 1], u), distance_16(p[y + 1, x + 1], u))
        right = sum_16(distance_16(p[y - 1, x + 3], d), distance_16(p[y + 1, x + 3], d))
        g1[x] = sum_16(left, right)
        g2[x] = sum_16(distance_16(u, v), distance_16(d, v))


@forced
def add_gradients(first, second, third, n, w, g, out):
    """Add a component's weighted parent gradients to an activity row.

    ``g`` is what `gradients_x` gave; ``first`` to ``third`` are rows with the pair's parent in the
    middle of what the pass goes along, whose curvature counts too.
    """
    w0, w1, w2, w3 = int32(w[0]), int32(w[1]), int32(w[2]), int32(w[3])
    g0, g1, g2 = g[0], g[1], g[2]
    for x in range(n):
        g3 = min(abs(sub(sub(first[x], second[x]), sub(second[x], third[x]))), TOP_16)
        s = add(add(mul(w0, g0[x]), mul(w1, g1[x])), add(mul(w2, g2[x]), mul(w3, g3)))
        out[x] = add(out[x], s >> 12)


@forced
def add_gradients_x(p, y, n, w, g, out):
    """Add the weighted parent gradients of a component to an activity row (pass along x)."""
    gradients_x(p, y, n, g)
    add_gradients(p[y, 1:], p[y, 2:], p[y, 3:], n, w, g, out)


@forced
def add_gradients_y(p, y, n, w, g, out):
    """`add_gradients_x` for a pass along y."""
    gradients_y(p, y, n, g)
    add_gradients(p[y - 1, 2:], p[y, 2:], p[y + 1, 2:], n, w, g, out)


@forced
def start_activity(e, m, above, other, y, n, w, out):
    """Set an activity row from the parents' energies and from magnitudes.

    ``m`` is the row above, ``above`` the row above that, ``other`` the row above of the other
    group of components.
    """
    w4, w5, w6, w7, w8 = int32(w[4]), int32(w[5]), int32(w[6]), int32(w[7]), int32(w[8])
    w10, w11 = int32(w[10]), int32(w[11])
    for x in range(n):
        e4 = add(add(e[y - 1, x + 2], e[y + 1, x + 2]), add(e[y, x + 1], e[y, x + 3]))
        s = add(mul(w4, e[y, x + 2]), mul(w5, e4))
        s = add(s, add(mul(w6, m[x + 1]), add(mul(w7, m[x]), mul(w8, m[x + 2]))))
        s = add(s, add(mul(w10, above[x + 1]), mul(w11, other[x + 1])))
        out[x] = s >> 8


@forced
def row_activity(p, e, y, n, along_x, weights, m, up, up2, gradients, activity):
    """Compute activities of a row; parameters are those of `row_context`."""
    for k in range(e.shape[0]):
        start_activity(e[k], m[k, up], m[k, up2], m[1 - k, up], y, n, weights[k], activity[k])
    for c in range(p.shape[0]):
        k = min(c, 1)
        if along_x:
            add_gradients_x(p[c], y, n, weights[k], gradients, activity[k])
        else:
            add_gradients_y(p[c], y, n, weights[k], gradients, activity[k])


@forced
def row_predictions(p, y, n, along_x, luma, chroma, d, r, up, base):
    """Compute predictions of a row; parameters are those of `row_context`."""
    if along_x:
        predict_luma_x(p[0], y, n, luma, base[0])
    else:
        predict_luma_y(p[0], y, n, luma, base[0])
    add_upper_luma(d[0, up], r[0, up], n, luma, base[0])
    for c in range(1, p.shape[0]):
        if along_x:
            predict_chroma_x(p[c], y, n, chroma[c - 1], base[c])
        else:
            predict_chroma_y(p[c], y, n, chroma[c - 1], base[c])
        add_upper_chroma(d[c, up], r[c, up], n, chroma[c - 1], base[c])


@forced
def row_context(
    p, e, y, n, along_x, luma, chroma, weights, d, r, m, up, up2, gradients, base, activity
):
    """Compute all of a row that needs finished rows only.

    Parameters
    ----------
    p, e : int16 planes
        Parents and their energies.
    y, n : int
        Row (border included) and number of pairs.
    along_x : bool
        Direction of the pass.
    luma, chroma : int16 arrays
        Filters of the pass, (15,) and (2, 7).
    weights : int32 array, (2, 12)
        See `rnnic.pyramid.format.pass_weights`.
    d, r, m : int32 arrays, (components | 2, ring, width + 2)
        Differences, residuals and magnitudes of recent rows.
    up, up2 : int
        Ring indices of the row above and of the row above that.
    gradients : int16 array, (3, n)
        Room for those of parents.
    base : int32 array, (components, n)
        Output: predictions in 1/2048, without the left neighbour's part.
    activity : int32 array, (2, n)
        Output: activities in 1/256 step, without the left neighbour's part.
    """
    row_activity(p, e, y, n, along_x, weights, m, up, up2, gradients, activity)
    row_predictions(p, y, n, along_x, luma, chroma, d, r, up, base)


@forced
def scale_residual(residual, step):
    """From 1/64 step to 1/64 sample; ``step`` in 1/1024 sample."""
    top = int32(LIMIT)
    return max(min(add(mul(residual, step), int32(512)) >> 10, top), int32(-top))


@forced
def scale_row(residual, n, step, out):
    """Scale a row of residuals into a bordered row."""
    for x in range(n):
        out[x + 1] = scale_residual(residual[x], step)


@forced
def rebuild_differences(r, left, n, base, d):
    """Fill the bordered row ``d`` from bordered residuals ``r``."""
    top = int32(LIMIT)
    for x in range(n):
        s = add(add(base[x], mul(left, r[x])), int32(1024)) >> 11
        d[x + 1] = max(min(add(r[x + 1], s), top), int32(-top))


@forced
def rebuild_x(p, d, n, c, y):
    """Rebuild a row of children from bordered rows ``p`` (parents) and ``d`` (differences)."""
    for x in range(n):
        a = add(p[x + 2], add(d[x + 1], int32(1)) >> 1)
        c[y, 2 * x + 2] = int16(a)
        c[y, 2 * x + 3] = int16(sub(a, d[x + 1]))


@forced
def rebuild_y(p, d, n, c, y):
    """Rebuild two rows of children."""
    for x in range(n):
        a = add(p[x + 2], add(d[x + 1], int32(1)) >> 1)
        c[y, x + 2] = int16(a)
        c[y + 1, x + 2] = int16(sub(a, d[x + 1]))


@forced
def magnitudes_luma(r, n, out):
    """Magnitudes in 1/16 step of a row of luma residuals."""
    for x in range(n):
        out[x + 1] = min(abs(r[x]) >> 2, int32(4095))


@forced
def magnitudes_chroma(r1, r2, n, out):
    """Magnitudes in 1/16 step of a row of chroma residuals, both components together."""
    for x in range(n):
        out[x + 1] = min(add(abs(r1[x]), abs(r2[x])) >> 2, int32(4095))


@forced
def spread_energy(e, m, n, along_x, f, y):
    """Give both children the pair's magnitude plus half of the parent's energy."""
    if along_x:
        for x in range(n):
            v = int16(add(m[x + 1], int32(e[x + 2]) >> 1))
            f[y, 2 * x + 2] = v
            f[y, 2 * x + 3] = v
    else:
        for x in range(n):
            v = int16(add(m[x + 1], int32(e[x + 2]) >> 1))
            f[y, x + 2] = v
            f[y + 1, x + 2] = v


@forced
def row_rebuild(residual, p, y, n, along_x, luma, chroma, step, base, d, r, m, here, now, c, row):
    """Rebuild the children of a row from its residuals.

    ``residual`` is int32, (components, n), in 1/64 step; ``c`` are the planes of the children and
    ``row`` where their first row goes; ``here`` and ``now`` are ring indices of this row, the one in ``d``
    and ``r``, the other in ``m``. The other parameters are those of `row_context`.
    """
    components = p.shape[0]
    for k in range(components):
        scale_row(residual[k], n, step, r[k, here])
        left = int32(luma[14]) if k == 0 else int32(chroma[k - 1, 6])
        rebuild_differences(r[k, here], left, n, base[k], d[k, here])
        if along_x:
            rebuild_x(p[k, y], d[k, here], n, c[k], row)
        else:
            rebuild_y(p[k, y], d[k, here], n, c[k], row)
    magnitudes_luma(residual[0], n, m[0, now])
    if components > 1:
        magnitudes_chroma(residual[1], residual[2], n, m[1, now])


@forced
def row_energies(e, y, n, along_x, m, now, f, row):
    """Hand the energies of a row down to its children; ``row`` is where the first row goes."""
    for k in range(e.shape[0]):
        spread_energy(e[k, y], m[k, now], n, along_x, f[k], row)


@jit
def copy_unpaired(p, c, width, height, along_x):
    """Copy the parents of an odd last column or row to the children."""
    for k in range(p.shape[0]):
        if along_x and width % 2:
            for y in range(2, height + 2):
                c[k, y, width + 1] = p[k, y, width // 2 + 2]
        elif not along_x and height % 2:
            for x in range(2, width + 2):
                c[k, height + 1, x] = p[k, height // 2 + 2, x]


@jit
def repeat_borders(c, width, height):
    """Repeat the outermost samples of planes into their border of two."""
    for k in range(c.shape[0]):
        for y in range(2, height + 2):
            for b in range(2):
                c[k, y, b] = c[k, y, 2]
                c[k, y, width + 2 + b] = c[k, y, width + 1]
        for x in range(width + 4):
            for b in range(2):
                c[k, b, x] = c[k, 2, x]
                c[k, height + 2 + b, x] = c[k, height + 1, x]


@jit
def start_planes(base, step, samples, energies, smooth):
    """Fill the coarsest planes and their energies from the base plane.

    ``base`` is int64, (components, height, width), in steps of ``step`` / 64.
    """
    components, height, width = base.shape
    for k in range(components):
        for y in range(height):
            for x in range(width):
                samples[k, y + 2, x + 2] = int16(base[k, y, x] * step)
    energies[:] = 0
    extend_borders(samples, width, height, smooth)


@forced
def beyond(last, before):
    """Return the sample that comes after two int16 ones at the same slope."""
    return min(max(sub(mul(int32(2), int32(last)), int32(before)), int32(-32768)), int32(32767))


@jit
def extend_borders(c, width, height, smooth):
    """Fill the border of two of planes: repeat the outermost samples, or go on with their slopes."""
    repeat_borders(c, width, height)
    for k in range(c.shape[0] if smooth else 0):
        for y in range(2, height + 2 if width > 1 else 2):
            for b in range(2):
                x = width + 2 + b
                c[k, y, 1 - b] = beyond(c[k, y, 2 - b], c[k, y, 3 - b])
                c[k, y, x] = beyond(c[k, y, x - 1], c[k, y, x - 2])
        for b in range(2):
            y = height + 2 + b
            for x in range(width + 4):
                if height > 1:
                    c[k, 1 - b, x] = beyond(c[k, 2 - b, x], c[k, 3 - b, x])
                    c[k, y, x] = beyond(c[k, y - 1, x], c[k, y - 2, x])
                else:
                    c[k, b, x] = c[k, y, x] = c[k, 2, x]
