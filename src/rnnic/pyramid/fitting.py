"""Fits filters, activity weights and probability tables to samples (training)."""

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import PROBABILITY_SCALE, normalise
from rnnic.pyramid.features import PassSamples
from rnnic.pyramid.model import (
    ESCAPE_CLASSES,
    MAX_ACTIVITY_WEIGHT,
    MAX_TAP_SUM,
    REFINEMENTS,
    Quantiser,
    context_count,
)

__all__ = [
    "estimate_frequencies",
    "fit_activity",
    "fit_taps",
    "initial_frequencies",
    "residuals_of",
]

Floats = npt.NDArray[np.float64]
MAX_MAGNITUDE = 40.0
FLOOR = 0.85
SCALAR_FLOOR = 1.2
"""Symbols of fewer slots than this are left to the table of rare entries; fewer tables of one
codebook need fewer bytes in the model, and only the lowest efforts use them."""


def robust_filter(x: Floats, y: Floats, start: Floats) -> Floats:
    """Least squares with weights that forgive large errors; x is (taps, samples)."""
    taps = start
    for _ in range(4):
        weight = 1 / (0.4 + np.abs(y - taps @ x)) ** 1.25
        gram = (x * weight) @ x.T
        ridge = 2e-4 * np.diag(np.diag(gram)) + np.eye(len(x)) * (
            1e-4 * np.trace(gram) / len(x) + 1e-6
        )
        taps = np.linalg.solve(gram + ridge, (x * weight) @ y)
    return taps


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
            x = found["luma"].astype(np.float64)
            y = found["target"].astype(np.float64)
            luma[band, level] = to_taps(robust_filter(x, y[0], luma[band, level] / 2048))
            for c in range(1, samples.channels):
                x = found["chroma"][c - 1].astype(np.float64)
                start = chroma[band, level, c - 1] / 2048
                chroma[band, level, c - 1] = to_taps(robust_filter(x, y[c], start))
    return luma, chroma


def residuals_at(
    found: dict[str, npt.NDArray[np.float32]], luma: npt.NDArray[np.int16], chroma: npt.NDArray[np.int16]
) -> Floats:  # fmt: skip
    """Residuals in steps, (components, samples)."""
    rest = found["target"].astype(np.float64)
    rest[0] -= luma / 2048 @ found["luma"]
    for c in range(1, len(rest)):
        rest[c] -= chroma[c - 1] / 2048 @ found["chroma"][c - 1]
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
            rest = residuals_at(found, luma[band, level], chroma[band, level])
            rest = rest[:, rng.permutation(rest.shape[1])[: 120_000 >> (level // 2)]]
            parts.append(np.concatenate([rest, np.zeros((3 - len(rest), rest.shape[1]))]).T)
    return np.concatenate(parts)


def non_negative(x: Floats, y: Floats, start: Floats) -> Floats:
    """Weighted non-negative least squares by coordinate descent.

    Weights are 1 / estimate, so that small magnitudes count as much as large ones.
    """
    w = start.copy()
    for _ in range(5):
        scale = 1 / (np.maximum(w @ x, 0) + 0.12)
        xs = x * scale
        gram = xs @ xs.T + np.eye(len(x)) * 1e-6
        right = xs @ (y * scale)
        for _ in range(200):
            for i in range(len(w)):
                w[i] = max(0.0, w[i] + (right[i] - gram[i] @ w) / gram[i, i])
    return w


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
            rest = np.abs(residuals_at(found, luma[band, level], chroma[band, level]))
            for k in range(found["activity"].shape[0]):
                y = np.minimum(rest[0] if k == 0 else rest[1] + rest[2], MAX_MAGNITUDE)
                x = np.minimum(found["activity"][k].astype(np.float64), 200.0)
                # The constant steadies the fit; class edges take its place in the format.
                x = np.concatenate([x, np.ones((1, x.shape[1]))])
                w = non_negative(x, y, np.append(old[band, level, k] / 4096, 0.15))[:-1]
                activity[band, level, k] = np.minimum(np.rint(w * 4096), MAX_ACTIVITY_WEIGHT)
    return activity


def initial_frequencies(
    orbits: npt.NDArray[np.uint8],
    magnitudes: npt.NDArray[np.int16],
    luma_edges: npt.NDArray[np.uint16],
    chroma_edges: npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint16]:
    """Laplacian tables, (codebooks, contexts, entries + 1), to start from."""
    books, entries, _ = orbits.shape
    y = np.concatenate([[0.02], np.maximum(luma_edges / 64 * 1.2, 0.03)])
    c = np.concatenate([[0.02], np.maximum(chroma_edges / 64 * 1.4, 0.03)])
    out = np.zeros((books, context_count(len(y), len(c)), entries + 1), np.uint16)
    for book in range(books):
        size = magnitudes[book] / 64.0
        many = 2.0 ** (orbits[book] > 0).sum(axis=1)
        real = (orbits[book] > 0).any(axis=1)
        real[0] = True

        def table(
            mean_y: float,
            mean_c: float,
            size: Floats = size,
            many: Floats = many,
            real: npt.NDArray[np.bool_] = real,
        ) -> npt.NDArray[np.uint16]:
            cost = size[:, 0] / max(mean_y, 0.15) + 2 * (size[:, 1] + size[:, 2]) / max(
                mean_c, 0.15
            )
            p = np.where(real, many * np.exp(-cost), 0)
            p = p / p.sum() * 0.99 + np.where(real, 1e-6, 0)
            return normalise(np.append(p, 0.01), FLOOR)

        row = 0
        for mean_y in y:
            for mean_c in c:
                out[book, row] = table(mean_y, mean_c)
                row += 1
        broad = np.where(real, many, 0.0)
        broad = np.maximum(broad / broad.sum() * 0.95, np.where(real, 1.5 / 4096, 0))
        for _ in range(len(y) * (ESCAPE_CLASSES + 1) + REFINEMENTS):
            out[book, row] = keep_alive(np.append(broad, 0.05), np.append(real, True))
            row += 1
    return out


def keep_alive(p: Floats, real: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
    """Frequencies of at least one for all real symbols."""
    out = np.zeros(len(p), np.uint16)
    out[real] = normalise(np.maximum(p[real], 1e-9))
    return out


def estimate_frequencies(
    counts: Floats, quantiser: Quantiser, luma_classes: int, chroma_classes: int
) -> npt.NDArray[np.uint16]:
    """Smooth counts hierarchically and make frequencies.

    ``counts`` is (bands, codebooks, contexts, entries + 1). A class leans on all bands
    together, that on its luma class and its chroma class, those on all classes.
    """
    bands, books, contexts, symbols = counts.shape
    floor = SCALAR_FLOOR if books == 1 else FLOOR
    plain = luma_classes * chroma_classes
    out = np.zeros(counts.shape, np.uint16)
    for book in range(books):
        real = (quantiser.orbits[book] > 0).any(axis=1)
        real[0] = True
        real = np.append(real, True)
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
        rare = pooled[plain:].sum(axis=0) + 0.1 * real
        rare = 0.7 * rare / rare.sum() + 0.3 * total
        shared[plain:] = shrink(pooled[plain:], rare, 20)
        # What a class cannot code any more goes to its luma class's table of rare entries.
        left_over = np.zeros((luma_classes, symbols))
        for k in range(plain):
            p = shared[k] * real
            dropped = p / p.sum() * PROBABILITY_SCALE < floor
            left_over[k // chroma_classes] += np.where(dropped, pooled[k] + 1e-3 * p, 0)
        start = luma_classes * (chroma_classes + ESCAPE_CLASSES)
        shared[start : start + luma_classes] = shrink(
            pooled[start : start + luma_classes] + left_over, rare, 20
        )
        for band in range(bands):
            p = shrink(counts[band, book], shared, 60)
            for k in range(contexts):
                if k < plain:
                    out[band, book, k] = normalise(p[k] * real, floor)
                else:
                    out[band, book, k] = keep_alive(p[k], real)
    return out


def shrink(counts: Floats, prior: Floats, strength: float) -> Floats:
    """Posterior mean under a Dirichlet prior."""
    mean: Floats = (counts + strength * prior) / (counts.sum(axis=-1, keepdims=True) + strength)
    return mean
