"""Least squares on features of pairs, for filters that fit an image or a training set.

All sums are in a fixed order: those of a library for linear algebra depend on the machine.
"""

import numpy as np
from numpy import float32, sqrt

from rnnic._jit import jit

__all__ = [
    "CHUNK",
    "LANES",
    "coding_cost",
    "expected",
    "expected_magnitude",
    "filter_cost",
    "robust_filter",
    "subtract_products",
]

ROBUST = float32(0.4)
STEADY = float32(0.12)
MAX_MAGNITUDE = float32(40.0)
MAX_TERM = float32(200.0)
CHUNK = 64
LANES = 16
SWEEPS = 60
MAX_FEEDBACK = 0.85
LEAST_SCALE = 0.25
QUIET = 0.3
BITS_PER_NAT = 1.4427
LARGE, SMALL = 1e100, 1e-100


@jit
def add_products(rows, sums, products):
    """Fill the sums of products of all pairs of ``rows``, float32 (rows, a multiple of ``CHUNK``).

    ``sums`` is room for float32 (rows, rows, LANES).
    Many sums side by side, each in a fixed order: for machine code that takes several numbers at once.
    """
    count, samples = rows.shape
    sums[:] = 0
    for s in range(0, samples, CHUNK):
        for i in range(count):
            a = rows[i, s : s + CHUNK]
            for j in range(i, count):
                b = rows[j, s : s + CHUNK]
                parts = sums[i, j]
                for k in range(LANES):
                    first = a[k] * b[k] + a[k + LANES] * b[k + LANES]
                    second = a[k + 2 * LANES] * b[k + 2 * LANES]
                    parts[k] += first + (second + a[k + 3 * LANES] * b[k + 3 * LANES])
    for i in range(count):
        for j in range(i, count):
            total = 0.0
            for k in range(LANES):
                total += sums[i, j, k]
            products[i, j] = total
            products[j, i] = total


@jit
def subtract_products(rows, factors, out):
    """Subtract the weighted sum of ``rows``, (terms, samples), from ``out``, float32 (samples,)."""
    for i in range(rows.shape[0]):
        factor = float32(factors[i])
        for s in range(out.shape[0]):
            out[s] -= factor * rows[i, s]


@jit
def filter_statistics(features, target, taps, room):
    """Weighted sums of products of a filter's features and, last, its target.

    ``features`` is (taps, samples); large errors of ``taps`` count less. ``room`` is as for `robust_filter`;
    its last part gets the sums, (taps + 1) squared.
    """
    count, samples = features.shape
    rows, sums, weight, products = room
    for s in range(samples):
        weight[s] = target[s]
    subtract_products(features, taps, weight)
    for s in range(samples):
        away = ROBUST + abs(weight[s])
        weight[s] = sqrt(float32(1) / (away * sqrt(sqrt(away))))
    for i in range(count):
        for s in range(samples):
            rows[i, s] = features[i, s] * weight[s]
    for s in range(samples):
        rows[count, s] = target[s] * weight[s]
    add_products(rows, sums, products)


@jit
def solve(a, b, count):
    """Solve the first ``count`` positive definite equations in place by elimination, in a fixed order."""
    for i in range(count):
        for k in range(i + 1, count):
            f = a[k, i] / a[i, i]
            for j in range(i, count):
                a[k, j] -= f * a[i, j]
            b[k] -= f * b[i]
    for i in range(count - 1, -1, -1):
        for j in range(i + 1, count):
            b[i] -= a[i, j] * b[j]
        b[i] /= a[i, i]


@jit
def fill_equations(products, start, trust, a, b):
    """Fill the equations of a filter's taps from sums of products; ``trust`` is that in ``start``."""
    count = start.shape[0]
    trace = 0.0
    for i in range(count):
        trace += products[i, i]
    for i in range(count):
        prior = products[i, i] * trust + 1e-4 * trace / count + 1e-6
        for j in range(count):
            a[i, j] = products[i, j]
        a[i, i] += prior
        b[i] = products[i, count] + prior * start[i]


@jit
def robust_filter(features, target, start, loops, rounds, trust, room, equations, taps):
    """Least squares with weights that forgive large errors.

    Parameters
    ----------
    features, target : float32 arrays, (taps, samples) and (samples,)
    start : float64 array, (taps,)
        A first guess, in which as much as in ``trust`` of the samples is believed.
    loops : tuple of pairs of int
        The first of some taps, and that behind them, which feed back: the sums of their absolute values are
        held below one, or else they could grow from row to row without end. No tap follows the last ones.
    rounds : int
        How often to weigh anew.
    trust : float
    room : tuple of arrays
        Zeros for rows of `add_products`, of features and target; for its sums, (rows, rows, LANES); for a
        float32 a sample; and for float64 sums, (rows, rows).
    equations : tuple of float64 arrays, (taps, taps) and (taps,)
        Room for these.
    taps : float64 array, (taps,)
        The filter.
    """
    products, (a, b) = room[3], equations
    count, free = start.shape[0], loops[0][0]
    for i in range(count):
        taps[i] = start[i]
    for _ in range(rounds):
        filter_statistics(features, target, taps, room)
        fill_equations(products, start, trust, a, b)
        solve(a, b, count)
        too_much = False
        for first, end in loops:
            total = 0.0
            for i in range(first, end):
                total += abs(b[i])
            too_much |= total > MAX_FEEDBACK
            for i in range(first, end):
                taps[i] = b[i] * (MAX_FEEDBACK / max(total, MAX_FEEDBACK))
        if too_much:
            fill_equations(products, start, trust, a, b)
            for i in range(free):
                for j in range(free, count):
                    b[i] -= a[i, j] * taps[j]
            solve(a, b, free)
        for i in range(free):
            taps[i] = b[i]


@jit
def expected(features, weights, out):
    """Magnitudes that weighted ``features``, (terms, samples), expect; all float32.

    The last of ``weights`` is that of a constant.
    """
    count = features.shape[0]
    constant = float32(weights[count])
    for s in range(out.shape[0]):
        out[s] = constant
    for i in range(count):
        weight = float32(weights[i])
        for s in range(out.shape[0]):
            out[s] += weight * min(features[i, s], MAX_TERM)


@jit
def magnitude_statistics(features, magnitudes, weights, room):
    """Weighted sums of products of features, a constant and, last, the magnitude they predict.

    The weights are 1 / estimate squared, so that small magnitudes count as much as large ones.
    The last of ``weights`` is that of the constant, which is not among ``features``. ``room`` is as for
    `expected_magnitude`; its last part gets the sums, (terms + 2) squared.
    """
    count, samples = features.shape
    rows, sums, share, products = room
    expected(features, weights, share)
    for s in range(samples):
        share[s] = float32(1) / (STEADY + share[s])
    for i in range(count):
        for s in range(samples):
            rows[i, s] = min(features[i, s], MAX_TERM) * share[s]
    for s in range(samples):
        rows[count, s] = share[s]
        rows[count + 1, s] = min(magnitudes[s], MAX_MAGNITUDE) * share[s]
    add_products(rows, sums, products)


@jit
def non_negative(gram, right, weights):
    """Least squares with non-negative ``weights``, improved in place by coordinate descent."""
    for _ in range(SWEEPS):
        for i in range(weights.shape[0]):
            change = right[i]
            for j in range(weights.shape[0]):
                change -= gram[i, j] * weights[j]
            weights[i] = max(0.0, weights[i] + change / gram[i, i])


@jit
def expected_magnitude(features, magnitudes, start, rounds, trust, room, right, weights):
    """Non-negative weights of the expected magnitude.

    Parameters are those of `robust_filter`, but for ``start`` and ``weights``, which end in a constant's;
    ``room`` is for rows of features, the constant and magnitudes, ``right`` for a float64 a weight.
    """
    products, count = room[3], start.shape[0]
    for i in range(count):
        weights[i] = start[i]
    for _ in range(rounds):
        magnitude_statistics(features, magnitudes, weights, room)
        for i in range(count):
            prior = products[i, i] * trust + 1e-6
            products[i, i] += prior
            right[i] = products[i, count] + prior * start[i]
        non_negative(products, right, weights)


@jit
def coding_cost(magnitudes, scales):
    """Mean bits of residuals of some magnitudes under Laplacians of the expected ones, in steps.

    Those of less than ``QUIET`` are hardly ever coded: what they cost is their square.
    """
    total, product = 0.0, 1.0
    for s in range(magnitudes.shape[0]):
        scale = max(np.float64(scales[s]), LEAST_SCALE)
        size = np.float64(magnitudes[s])
        if size < QUIET:
            size *= size / QUIET
        total += BITS_PER_NAT * size / scale
        # One logarithm of many: they take more time than all the rest.
        product *= scale
        if product > LARGE or product < SMALL:
            total += np.log2(product)
            product = 1.0
    return (total + np.log2(product)) / magnitudes.shape[0]


@jit
def filter_cost(features, target, taps, scales, rest):
    """Return `coding_cost` of what a filter leaves; ``rest`` gets its magnitudes."""
    for s in range(rest.shape[0]):
        rest[s] = target[s]
    subtract_products(features, taps, rest)
    for s in range(rest.shape[0]):
        rest[s] = abs(rest[s])
    return coding_cost(rest, scales)
