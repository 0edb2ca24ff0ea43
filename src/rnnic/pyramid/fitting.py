"""Fits filters, activity weights and probability tables to samples (training)."""

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import PROBABILITY_SCALE, normalise
from rnnic.pyramid import fitting_kernels as kernels
from rnnic.pyramid.features import PassSamples
from rnnic.pyramid.model import (
    ESCAPE_CLASSES,
    LUMA_TAPS,
    MAX_ACTIVITY_WEIGHT,
    MAX_COMMON,
    MAX_TAP_SUM,
    Quantiser,
    rare_contexts,
)

__all__ = [
    "estimate_frequencies",
    "fit_activity",
    "fit_taps",
    "initial_frequencies",
    "residuals_of",
]

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[np.float32]
FIRST_CONSTANT = 0.15
FLOOR = 0.85
SCALAR_FLOOR = 1.2
"""Symbols of fewer slots than this are left to the table of rare entries; fewer tables of one
codebook need fewer bytes in the model, and only the lowest efforts use them."""


def robust_filter(x: Array, y: Array, start: Floats, rounds: int, trust: float) -> Floats:
    """Return a filter's taps; see `rnnic.pyramid.fitting_kernels.robust_filter`.

    ``trust`` is the number of samples that ``start`` counts for.
    """
    loops = ((9, 12), (12, 15)) if len(x) == LUMA_TAPS else ((4, 5), (5, 7))
    taps, equations = np.empty(len(x)), (np.empty((len(x), len(x))), np.empty(len(x)))
    room = _room(len(x) + 1, len(y))
    kernels.robust_filter(x, y, start, loops, rounds, trust / len(y), room, equations, taps)
    return taps


def _room(count: int, samples: int) -> tuple[Array, Array, Array, Floats]:
    """Return room for statistics of ``count`` features and targets."""
    rows = np.zeros((count, -(-samples // kernels.CHUNK) * kernels.CHUNK), np.float32)
    sums = np.empty((count, count, kernels.LANES), np.float32)
    return rows, sums, np.empty(samples, np.float32), np.empty((count, count))


def to_taps(taps: Floats) -> npt.NDArray[np.int16]:
    """Round to 1/2048 within the limit on the sum of absolute values."""
    total = np.abs(taps).sum() * 2048
    limit = MAX_TAP_SUM - len(taps)
    scale = 2048 * min(1.0, limit / max(total, 1.0))
    rounded: npt.NDArray[np.int16] = np.rint(taps * scale).astype(np.int16)
    return rounded


def fit_taps(
    samples: PassSamples, luma: npt.NDArray[np.int16], chroma: npt.NDArray[np.int16]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Prediction filters of every band and level; those without samples stay."""
    luma, chroma = luma.copy(), chroma.copy()
    for band in range(samples.bands):
        for level in samples.levels():
            found = samples.get(band, level)
            if not found:
                continue
            x, y = found["luma"], found["target"]
            trust = 2e-4 * x.shape[1]
            start = luma[band, level] / 2048
            luma[band, level] = to_taps(robust_filter(x, y[0], start, 4, trust))
            for c in range(1, samples.channels):
                start = chroma[band, level, c - 1] / 2048
                taps = robust_filter(found["chroma"][c - 1], y[c], start, 4, trust)
                chroma[band, level, c - 1] = to_taps(taps)
    return luma, chroma


def all_residuals(
    found: dict[str, Array], luma: npt.NDArray[np.int16], chroma: npt.NDArray[np.int16]
) -> Array:
    """Residuals of all components in steps, (components, samples)."""
    target = found["target"]
    features = [found["luma"], *found.get("chroma", ())]
    taps = [luma, *chroma]
    rest = target.copy()
    for own, *of in zip(rest, features, taps, strict=False):
        kernels.subtract_products(of[0], of[1] / 2048, own)
    return rest


def residuals_of(
    samples: PassSamples, luma: npt.NDArray[np.int16], chroma: npt.NDArray[np.int16]
) -> Floats:
    """Residuals of all samples, (n, 3), the levels weighted by their number of pairs."""
    parts = []
    rng = np.random.default_rng(0)
    for band in range(samples.bands):
        for level in samples.levels():
            found = samples.get(band, level)
            if not found:
                continue
            rest = all_residuals(found, luma[band, level], chroma[band, level])
            rest = rest[:, rng.permutation(rest.shape[1])[: 120_000 >> (level // 2)]]
            parts.append(np.concatenate([rest, np.zeros((3 - len(rest), rest.shape[1]))]).T)
    return np.concatenate(parts)


def expected_magnitude(x: Array, y: Array, start: Floats, rounds: int, trust: float) -> Floats:
    """Return non-negative weights of the expected magnitude; parameters as for `robust_filter`.

    Fitted with a constant, which steadies the others; class edges take its place in the format.
    """
    first = np.append(start, FIRST_CONSTANT)
    weights, right = np.empty_like(first), np.empty_like(first)
    room = _room(len(x) + 2, len(y))
    kernels.expected_magnitude(x, y, first, rounds, trust / len(y), room, right, weights)
    return weights[:-1]


def fit_activity(
    samples: PassSamples,
    luma: npt.NDArray[np.int16],
    chroma: npt.NDArray[np.int16],
    old: npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint16]:
    """Weights of the expected magnitudes of luma and of chroma."""
    activity = old.copy()
    for band in range(samples.bands):
        for level in samples.levels():
            found = samples.get(band, level)
            if not found:
                continue
            rest = np.abs(all_residuals(found, luma[band, level], chroma[band, level]))
            for k in range(found["activity"].shape[0]):
                y = (rest[0] if k == 0 else rest[1] + rest[2]).astype(np.float32)
                w = expected_magnitude(found["activity"][k], y, old[band, level, k] / 4096, 5, 0)
                activity[band, level, k] = np.minimum(np.rint(w * 4096), MAX_ACTIVITY_WEIGHT)
    return activity


def initial_frequencies(
    orbits: npt.NDArray[np.uint8],
    magnitudes: npt.NDArray[np.int16],
    luma_edges: npt.NDArray[np.uint16],
    chroma_edges: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Laplacian tables of the common and of the rare entries of one band, to start from."""
    books, entries, _ = orbits.shape
    y = np.concatenate([[0.02], np.maximum(luma_edges / 64 * 1.2, 0.03)])
    c = np.concatenate([[0.02], np.maximum(chroma_edges / 64 * 1.4, 0.03)])
    common = np.zeros((books, len(y) * len(c), min(entries, MAX_COMMON) + 1), np.uint16)
    rare = np.zeros((books, rare_contexts(len(y)), entries + 1), np.uint16)
    for book in range(books):
        size = magnitudes[book] / 64.0
        many = 2.0 ** (orbits[book] > 0).sum(axis=1)
        real = real_symbols(orbits[book])
        for row, (mean_y, mean_c) in enumerate((a, b) for a in y for b in c):
            cost = size[:, 0] / max(mean_y, 0.15)
            cost += 2 * (size[:, 1] + size[:, 2]) / max(mean_c, 0.15)
            p = np.where(real[:-1], many * np.exp(-cost), 0)
            p = p / p.sum() * 0.99 + np.where(real[:-1], 1e-6, 0)
            common[book, row] = common_frequencies(np.append(p, 0.01), FLOOR)
        broad = np.where(real[:-1], many, 0.0)
        broad = np.maximum(broad / broad.sum() * 0.95, np.where(real[:-1], 1.5 / 4096, 0))
        rare[book, :] = keep_alive(np.append(broad, 0.05), real)
    return common, rare


def real_symbols(orbits: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Tell the symbols of a codebook, (entries, 3), that mean something from padding."""
    return np.concatenate([[True], orbits[1:].max(axis=1) > 0, [True]])


def common_frequencies(p: Floats, floor: float) -> npt.NDArray[np.uint16]:
    """Frequencies of the common entries and the escape, which stands for all the others."""
    first = min(len(p) - 1, MAX_COMMON)
    return normalise(np.append(p[:first], p[first:].sum()), floor)


def keep_alive(p: Floats, real: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
    """Frequencies of at least one for all real symbols."""
    out = np.zeros(len(p), np.uint16)
    out[real] = normalise(np.maximum(p[real], 1e-9))
    return out


def estimate_frequencies(
    counts: Floats, quantiser: Quantiser, luma_classes: int, chroma_classes: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Smooth counts hierarchically and make frequencies of common and of rare entries.

    ``counts`` is (bands, codebooks, classes + contexts, entries + 1). A class leans on all bands
    together, that on its luma class and its chroma class, those on all classes.
    """
    bands, books, contexts, symbols = counts.shape
    floor = SCALAR_FLOOR if books == 1 else FLOOR
    plain = luma_classes * chroma_classes
    first = min(symbols - 1, MAX_COMMON)
    common = np.zeros((bands, books, plain, first + 1), np.uint16)
    rare = np.zeros((bands, books, contexts - plain, symbols), np.uint16)
    for book in range(books):
        real = real_symbols(quantiser.orbits[book])
        pooled = counts[:, book].sum(axis=0)
        total = pooled[:plain].sum(axis=0) + 0.05 * real
        total /= total.sum()
        grid = pooled[:plain].reshape(luma_classes, chroma_classes, symbols)
        by_luma = shrink(grid.sum(axis=1), total, 20)
        by_chroma = shrink(grid.sum(axis=0), total, 20)
        prior = by_luma[:, None] * by_chroma[None] / np.maximum(total, 1e-12) * real
        prior /= prior.sum(axis=2, keepdims=True)
        prior = 0.75 * prior + 0.25 * by_luma[:, None]
        shared = np.empty((contexts, symbols))
        shared[:plain] = shrink(grid, prior, 60).reshape(plain, symbols)
        all_rare = pooled[plain:].sum(axis=0) + 0.1 * real
        all_rare = 0.7 * all_rare / all_rare.sum() + 0.3 * total
        shared[plain:] = shrink(pooled[plain:], all_rare, 20)
        # What a class cannot code any more goes to its luma class's table of rare entries.
        left_over = np.zeros((luma_classes, symbols))
        for k in range(plain):
            p = shared[k] * real
            dropped = p / p.sum() * PROBABILITY_SCALE < floor
            dropped = np.concatenate([dropped[:first], np.ones(symbols - 1 - first, bool), [False]])
            left_over[k // chroma_classes] += np.where(dropped, pooled[k] + 1e-3 * p, 0)
        start = plain + luma_classes * ESCAPE_CLASSES
        shared[start : start + luma_classes] = shrink(
            pooled[start : start + luma_classes] + left_over, all_rare, 20
        )
        for band in range(bands):
            p = shrink(counts[band, book], shared, 60)
            for k in range(contexts):
                if k < plain:
                    common[band, book, k] = common_frequencies(p[k] * real, floor)
                else:
                    rare[band, book, k - plain] = keep_alive(p[k], real)
    return common, rare


def shrink(counts: Floats, prior: Floats, strength: float) -> Floats:
    """Posterior mean under a Dirichlet prior."""
    mean: Floats = (counts + strength * prior) / (counts.sum(axis=-1, keepdims=True) + strength)
    return mean
