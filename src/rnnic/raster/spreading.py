"""From random draws of differences to a palette: four ways of spreading entries over the space.

All of them take points drawn at random from photos, in palette units, and return at most the number
of entries asked for, the most frequent or first drawn ones first. Arithmetic is element by element in
a fixed order, so that every machine finds the same palette.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rnnic.search.exact import ExactSearch

__all__ = ["SPREADERS", "basis", "coordinates"]

Points = npt.NDArray[np.float64]
Spreader = Callable[[Points, int, int, np.random.Generator], Points]

_COLOURS = {
    1: np.ones((1, 1)),
    3: np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3.0], [2.0], [6.0]]),
}
_WALSH = {
    1: np.ones((1, 1)),
    2: np.array([[1, 1], [1, -1]]) / np.sqrt(2.0),
    4: np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, 1], [1, -1, 1, -1]]) / 2.0,
}
_LLOYD_ROUNDS = 12
_LLOYD_POINTS = 200_000
_POISSON_RADIUS = 0.8
_LEAST_DRAWS = 2


def basis(pixels: int, channels: int) -> Points:
    """Return the orthonormal axes of the grid (d, d): Walsh functions times luma and two chroma axes."""
    return np.kron(_WALSH[pixels], _COLOURS[channels])


def coordinates(points: Points, axes: Points) -> Points:
    """Return the inner products of points (N, d) with axes (k, d), summed in a fixed order."""
    out = np.zeros((len(points), len(axes)))
    for row, axis in enumerate(axes):
        for column, weight in enumerate(axis):
            out[:, row] += points[:, column] * weight
    return out


def _grid(points: Points, count: int, pixels: int, rng: np.random.Generator) -> Points:
    """Round the draws to a cubic grid of one unit; keep the points drawn most often."""
    del rng
    axes = basis(pixels, points.shape[1] // pixels)
    cells = np.floor(coordinates(points, axes) + 0.5).astype(np.int16)
    cells = cells[np.abs(cells).max(axis=1) < 120].astype(np.int8)
    found, times = _unique_rows(cells)
    order = np.lexsort((np.abs(found.astype(np.int64)).sum(axis=1), -times))
    order = order[times[order] >= _LEAST_DRAWS][:count]
    return coordinates(found[order].astype(np.float64), axes.T)


def _unique_rows(rows: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Return the distinct rows in lexicographic order of their bytes, and how often each occurs."""
    rows = np.ascontiguousarray(rows)
    keys = rows.view(np.dtype((np.void, rows.shape[1]))).reshape(-1)
    found, times = np.unique(keys, return_counts=True)
    return found.view(np.int8).reshape(-1, rows.shape[1]), times


def _random(points: Points, count: int, pixels: int, rng: np.random.Generator) -> Points:
    """Keep the first draws, and no difference at all."""
    del pixels
    return np.concatenate([np.zeros((1, points.shape[1])), rng.permutation(points)[: count - 1]])


def _poisson(points: Points, count: int, pixels: int, rng: np.random.Generator) -> Points:
    """Keep draws, in their order, that are not within a radius of one kept before (Poisson disk)."""
    radius = _POISSON_RADIUS * np.sqrt(pixels)
    kept = np.zeros((count, points.shape[1]))
    number = 1
    for point in rng.permutation(points):
        gaps = kept[:number] - point
        if (gaps * gaps).sum(axis=1).min() >= radius * radius:
            kept[number] = point
            number += 1
            if number == count:
                break
    return kept[:number]


def _kmeans(points: Points, count: int, pixels: int, rng: np.random.Generator) -> Points:
    """Move random draws to the means of their Voronoi cells (Lloyd's algorithm)."""
    del pixels
    grain = 1 / 64  # the exact search compares whole numbers
    sample = np.floor(rng.permutation(points)[:_LLOYD_POINTS] / grain + 0.5).astype(np.float32)
    centres = np.unique(sample[: 4 * count], axis=0)
    centres = rng.permutation(centres)[:count]
    for _ in range(_LLOYD_ROUNDS):
        search = ExactSearch()
        search.fit(centres)
        owner = search.query(sample)
        size = np.bincount(owner, minlength=len(centres))
        for column in range(sample.shape[1]):
            total = np.bincount(owner, sample[:, column].astype(np.float64), len(centres))
            mean = np.floor(total / np.maximum(size, 1) + 0.5)
            centres[:, column] = np.where(size > 0, mean, centres[:, column])
    return centres.astype(np.float64) * grain


SPREADERS: dict[str, Spreader] = {
    "grid": _grid,
    "poisson": _poisson,
    "random": _random,
    "kmeans": _kmeans,
}
