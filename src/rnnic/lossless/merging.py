"""Merges colours that are near and rare, so that a drawing needs fewer of them (encoder only)."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic._jit import jit

__all__ = ["Colours", "colours_to_keep", "distinct_colours", "merge_colours", "merged"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
MOST_CANDIDATES = 2048
"""Beyond as many colours those of a cell are one, before they are looked at in pairs."""


class Colours(NamedTuple):
    """The colours of an image.

    Attributes
    ----------
    table : uint8 or uint16 array, (colours, channels)
        Rising.
    numbers : uint32 array, (height, width)
        Which one each pixel has.
    counts : int64 array, (colours,)
        How many pixels have each.
    """

    table: Pixels
    numbers: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.int64]

    def pixels(self) -> Pixels:
        """Return the image."""
        return self.table[self.numbers]


def distinct_colours(pixels: Pixels) -> Colours:
    """Return the colours of an image, uint8 or uint16 (height, width, channels)."""
    whole = _whole(pixels, 8 * pixels.itemsize)
    _, first, inverse, counts = np.unique(
        whole, return_index=True, return_inverse=True, return_counts=True
    )
    table = pixels.reshape(-1, pixels.shape[2])[first]
    return Colours(table, inverse.astype(np.uint32).reshape(whole.shape), counts)


def merge_colours(pixels: Pixels, limit: float, most: int) -> Pixels:
    """Replace colours by near ones while that costs little, see `colours_to_keep`.

    Returns
    -------
    array like ``pixels``
        ``pixels`` itself if there is nothing to merge.
    """
    colours = distinct_colours(pixels)
    kept = colours_to_keep(colours, limit, most)
    return pixels if len(kept) == len(colours.table) else merged(colours, kept).pixels()


def colours_to_keep(colours: Colours, limit: float, most: int) -> npt.NDArray[np.int64]:
    """Choose colours that others may become.

    The colour whose pixels change least in squares goes first; those of its pixels become the nearest
    colour that is left. So edges lose a few of their shades, and what is common stays as it is.

    Parameters
    ----------
    colours : Colours
    limit : float
        Colours go while that changes pixels by at most as much, in squared samples summed.
    most : int
        Colours go in any case until so many are left.

    Returns
    -------
    int64 array
        Rows of the table.
    """
    table, counts = colours.table, colours.counts
    cells, owner = _cells(table, counts)
    weights = np.bincount(owner, counts, len(cells))
    kept = np.ones(len(cells), np.bool_)
    room = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.float32)
    remove_colours(table[cells].astype(np.float32), weights, limit, most, kept, *room)
    return cells[kept]


def merged(colours: Colours, kept: npt.NDArray[np.int64]) -> Colours:
    """Give all pixels one of the colours kept (rows of the table), or the mean of what becomes one."""
    table, counts = colours.table, colours.counts
    nearest = np.empty(len(table), np.int64)
    nearest_colours(table.astype(np.float32), table[kept].astype(np.float32), nearest)
    total = np.bincount(nearest, counts, len(kept))
    # A colour of most of its pixels stays, such as a white background; others become the mean.
    common = 2 * counts[kept] >= total
    means = table[kept]
    for c in range(table.shape[1]):
        sums = np.bincount(nearest, counts * table[:, c].astype(np.float64), len(kept))
        means[:, c] = np.where(common, means[:, c], np.rint(sums / np.maximum(total, 1)))
    # Means may be equal.
    whole = _whole(means[None, nearest], 8 * table.itemsize)[0]
    _, first, number = np.unique(whole, return_index=True, return_inverse=True)
    number = number.reshape(-1)
    size = np.bincount(number, counts, len(first)).astype(np.int64)
    return Colours(means[nearest[first]], number.astype(np.uint32)[colours.numbers], size)


def _whole(pixels: Pixels, bits: int) -> npt.NDArray[np.uint64]:
    """Return pixels, (height, width, channels), as one number each, the first channel in its highest bits."""
    whole = np.zeros(pixels.shape[:2], np.uint64)
    for c in range(pixels.shape[2]):
        whole = (whole << np.uint64(bits)) | pixels[:, :, c].astype(np.uint64)
    return whole


def _cells(
    colours: Pixels, counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the most common colour of every cell of a cubic grid, and each colour's cell."""
    by_count = np.argsort(-counts, kind="stable")
    shift = 0
    while True:
        whole = _whole(colours[None, by_count] >> shift, 16)[0]
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
def remove_colours(colours, weights, limit, most, kept, near, away):
    """Clear ``kept`` of colours that others may stand for; ``weights``, their pixels, move along.

    ``near`` and ``away``, int64 and float32, are room for a number of each colour.
    """
    n = colours.shape[0]
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
