"""Merges colours that are near and rare, so that a drawing needs fewer of them (encoder only)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic._jit import jit

__all__ = ["merge_colours"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
MOST_CANDIDATES = 2048
"""Beyond as many colours those of a cell are one, before they are looked at in pairs."""


def merge_colours(pixels: Pixels, limit: float, most: int) -> Pixels:
    """Replace colours by near ones while that costs little.

    The colour whose pixels change least in squares goes first; those of its pixels become the nearest
    colour that is left. So edges lose a few of their shades, and what is common stays as it is.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (height, width, channels)
    limit : float
        Colours go while that changes pixels by at most as much, in squared samples summed.
    most : int
        Colours go in any case until so many are left.

    Returns
    -------
    array like ``pixels``
        ``pixels`` itself if there is nothing to merge.
    """
    colours, inverse, counts = distinct_colours(pixels)
    cells, owner = _cells(colours, counts)
    weights = np.bincount(owner, counts, len(cells))
    chosen = colours[cells].astype(np.float32)
    kept = np.ones(len(cells), np.bool_)
    remove_colours(chosen, weights, limit, most, kept)
    if kept.all() and len(cells) == len(colours):
        return pixels
    cells = cells[kept]
    nearest = np.empty(len(colours), np.int64)
    nearest_colours(colours.astype(np.float32), chosen[kept], nearest)
    total = np.bincount(nearest, counts, len(cells))
    # A colour of most of its pixels stays, such as a white background; others become the mean.
    common = 2 * counts[cells] >= total
    means = colours[cells]
    for c in range(pixels.shape[2]):
        sums = np.bincount(nearest, counts * colours[:, c].astype(np.float64), len(cells))
        means[:, c] = np.where(common, means[:, c], np.rint(sums / np.maximum(total, 1)))
    merged: Pixels = means[nearest][inverse].reshape(pixels.shape)
    return merged


def distinct_colours(
    pixels: Pixels,
) -> tuple[Pixels, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the colours, rising, (colours, channels), each pixel's number, and how many pixels have them."""
    whole = np.zeros(pixels.shape[:2], np.uint64)
    for c in range(pixels.shape[2]):
        whole = (whole << np.uint64(8 * pixels.itemsize)) | pixels[:, :, c].astype(np.uint64)
    _, first, inverse, counts = np.unique(
        whole, return_index=True, return_inverse=True, return_counts=True
    )
    return pixels.reshape(-1, pixels.shape[2])[first], inverse.reshape(-1), counts


def _cells(
    colours: Pixels, counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the most common colour of every cell of a cubic grid, and each colour's cell."""
    by_count = np.argsort(-counts, kind="stable")
    shift = 0
    while True:
        whole = np.zeros(len(colours), np.uint64)
        for c in range(colours.shape[1]):
            whole = (whole << np.uint64(16)) | (colours[by_count, c] >> shift).astype(np.uint64)
        _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
        if len(first) <= MOST_CANDIDATES:
            owner = np.empty(len(colours), np.int64)
            owner[by_count] = inverse.reshape(-1)
            return by_count[first], owner
        shift += 1


@jit
def squared_distance(a, i, b, j):
    """Return the squared distance of two rows."""
    d = np.float32(0)
    for c in range(a.shape[1]):
        e = a[i, c] - b[j, c]
        d += e * e
    return d


@jit
def nearest_left(colours, kept, i):
    """Return the nearest other colour that is kept, the first of them at ties, and its distance."""
    best, at = np.float32(np.inf), -1
    for j in range(colours.shape[0]):
        if kept[j] and j != i:
            d = squared_distance(colours, i, colours, j)
            if d < best:
                best, at = d, j
    return at, best


@jit
def remove_colours(colours, weights, limit, most, kept):
    """Clear ``kept`` of colours that others may stand for; ``weights``, their pixels, move along."""
    n = colours.shape[0]
    near = np.zeros(n, np.int64)
    away = np.zeros(n, np.float32)
    for i in range(n):
        near[i], away[i] = nearest_left(colours, kept, i)
    left = n
    while left > 1:
        worst, at = np.inf, 0
        for i in range(n):
            if kept[i] and weights[i] * away[i] < worst:
                worst, at = weights[i] * away[i], i
        if worst > limit and left <= most:
            break
        kept[at] = False
        weights[near[at]] += weights[at]
        left -= 1
        for i in range(n):
            if kept[i] and near[i] == at:
                near[i], away[i] = nearest_left(colours, kept, i)


@jit
def nearest_colours(colours, kept, out):
    """Write the number of each colour's nearest row of ``kept``, the first of them at ties."""
    for i in range(colours.shape[0]):
        best = np.float32(np.inf)
        for j in range(kept.shape[0]):
            d = squared_distance(colours, i, kept, j)
            if d < best:
                best = d
                out[i] = j
