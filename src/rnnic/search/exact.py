"""The default search: exact, compiled, and the same on every machine.

Points are rotated to their principal axes and cut into boxes by a k-d tree (Bentley 1975), whose
leaves alone are kept. A query bounds its distance to all boxes in one vectorised pass, and compares
itself with the points of those boxes that can hold a nearer point than the best so far. Rotated
distances are rounded; they only decide which points are looked at. Those are compared in the
coordinates given, whole numbers, whose squared distances are exact, so that the axes, which depend on the
machine's linear algebra, never change the result.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic._jit import inlined, jit
from rnnic.errors import OptionError

__all__ = ["ExactIndex", "ExactSearch", "build_index", "nearest", "scratch_for"]

Floats = npt.NDArray[np.float32]
MAX_DIMENSIONS = 12
"""Coordinates of a string of four RGB pixels. All points are filled up to it: loops of fixed length
are what the compiler turns into vector instructions."""
LEAF = 32
_FAR = 1e15
_EVERYWHERE = 1e30


class ExactIndex(NamedTuple):
    """Points (K, d), prepared: kernels take it as a plain tuple. D is `MAX_DIMENSIONS`.

    ``points`` float32 (K, d) as given; ``axes`` float32 (D, D), a principal axis a column; ``low`` and
    ``high`` float32 (G, D, LEAF), bounds of B boxes in G groups; ``blocks`` float32 (B, D, LEAF), their
    points, rotated, and ``owners`` int32 (B, LEAF) the points' numbers, -1 where a box is not full;
    ``rounding`` float32 (1,), a bound of the error of a rotated distance, over the sum of that distance
    and the query's largest coordinate.
    """

    points: Floats
    axes: Floats
    low: Floats
    high: Floats
    blocks: Floats
    owners: npt.NDArray[np.int32]
    rounding: Floats


def build_index(points: Floats) -> ExactIndex:
    """Prepare points for `nearest`.

    Parameters
    ----------
    points : float32 (K, d)
        At least one, of at most `MAX_DIMENSIONS` coordinates; whole numbers below 2**20 in magnitude.

    Raises
    ------
    OptionError
        If they have more coordinates, or there is none.
    """
    points = np.array(points, np.float32, order="C")  # of its own, whatever becomes of the caller's
    if points.ndim != 2 or not points.size:
        raise OptionError(f"points have the shape {points.shape}; (K, d) with K, d >= 1 is needed")
    count, dimensions = points.shape
    if dimensions > MAX_DIMENSIONS:
        raise OptionError(
            f"the exact search takes up to {MAX_DIMENSIONS} coordinates, not {dimensions};"
            " choose another search"
        )
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = np.zeros((MAX_DIMENSIONS, MAX_DIMENSIONS), np.float32)
    axes[:dimensions, :dimensions] = vectors[:, ::-1]
    rotated = points @ axes[:dimensions]
    leaves = _split(rotated, np.arange(count))
    groups = -(-len(leaves) // LEAF)
    blocks = np.full((len(leaves), MAX_DIMENSIONS, LEAF), _FAR, np.float32)
    owners = np.full((len(leaves), LEAF), -1, np.int32)
    low = np.full((groups, MAX_DIMENSIONS, LEAF), _FAR, np.float32)
    high = np.full_like(low, _FAR)
    for number, leaf in enumerate(leaves):
        blocks[number, :, : len(leaf)] = rotated[leaf].T
        owners[number, : len(leaf)] = leaf
        group, place = divmod(number, LEAF)
        low[group, :, place] = rotated[leaf].min(axis=0)
        high[group, :, place] = rotated[leaf].max(axis=0)
    # With u = 2**-24, rotating v errs by at most d sqrt(d) u |v|, |v| <= sqrt(d) max |v_i|, in both terms
    # of a difference; axes, squares, sums and roots in float32 err by less than 12 d u of the distance.
    rounding = np.array([2 * (dimensions + 3) ** 2 * 2.0**-24], np.float32)
    return ExactIndex(points, axes, low, high, blocks, owners, rounding)


def _split(rotated: Floats, members: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Halve the members along the axis of their widest spread until they fit a leaf."""
    if len(members) <= LEAF:
        return [members]
    own = rotated[members]
    axis = int(np.argmax(own.max(axis=0) - own.min(axis=0)))
    order = members[np.argsort(own[:, axis], kind="stable")]
    # Whole leaves on one side keep the boxes full.
    half = -(-len(order) // (2 * LEAF)) * LEAF
    return _split(rotated, order[:half]) + _split(rotated, order[half:])


def scratch_for(indexes: Iterable[ExactIndex]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return working memory for `nearest` in any of the indexes, one for each thread.

    Arrays of their own, since the compiler must see that they do not overlap.
    """
    boxes = LEAF * max(len(index.low) for index in indexes)
    asked, turned = np.zeros((2, MAX_DIMENSIONS), np.float32)
    return asked, turned.copy(), np.zeros(boxes, np.float32), np.zeros(LEAF, np.float32)


@inlined
def nearest(index, query, radius, scratch):
    """Return the number of the nearest point, -1 where none is within a squared distance.

    Parameters
    ----------
    index : ExactIndex, as a tuple
    query : float32 (d,)
        Whole numbers below 2**20 in magnitude.
    radius : float
        Greatest squared distance.
    scratch : tuple of float32 arrays
        Of `scratch_for`.

    Returns
    -------
    int
        The lowest number among the nearest points.
    """
    points, axes, low, high, blocks, owners, rounding = index
    asked, turned, bounds, distances = scratch
    dimensions = points.shape[1]
    boxes = blocks.shape[0]
    size = np.float32(0)
    for i in range(MAX_DIMENSIONS):
        value = query[i] if i < dimensions else np.float32(0)
        asked[i] = value
        size = max(size, abs(value))
    for j in range(MAX_DIMENSIONS):
        total = np.float32(0)
        for i in range(MAX_DIMENSIONS):
            total += asked[i] * axes[i, j]
        turned[j] = total
    for group in range(low.shape[0]):
        for k in range(LEAF):
            total = np.float32(0)
            for j in range(MAX_DIMENSIONS):
                at = turned[j]
                outside = max(max(low[group, j, k] - at, at - high[group, j, k]), np.float32(0))
                total += outside * outside
            bounds[group * LEAF + k] = total
    # A point within reach can be larger than the query by the reach itself, and be rounded as such.
    share = np.float32(1) + rounding[0]
    slack = rounding[0] * (size + np.float32(1))
    reach = np.float32(np.sqrt(radius)) * share + slack
    limit = reach * reach
    best = np.float64(radius)
    found = np.int64(-1)
    first = np.int64(0)
    least = bounds[0]
    for other in range(1, boxes):
        if bounds[other] < least:
            least = bounds[other]
            first = np.int64(other)
    if least > limit:
        return found
    box = first
    following = np.int64(0)
    while True:
        if bounds[box] <= limit:
            close = 0
            for k in range(LEAF):
                total = np.float32(0)
                for j in range(MAX_DIMENSIONS):
                    step = blocks[box, j, k] - turned[j]
                    total += step * step
                close += total <= limit
            if close > 0:
                for k in range(LEAF):
                    total = np.float32(0)
                    for j in range(MAX_DIMENSIONS):
                        step = blocks[box, j, k] - turned[j]
                        total += step * step
                    distances[k] = total
                for k in range(LEAF):
                    if distances[k] > limit:
                        continue
                    number = np.int64(owners[box, k])
                    exact = np.float64(0)
                    for i in range(dimensions):
                        gap = np.float64(points[number, i]) - np.float64(asked[i])
                        exact += gap * gap
                    if exact < best or (exact == best and (found < 0 or number < found)):
                        best = exact
                        found = number
                        reach = np.float32(np.sqrt(best)) * share + slack
                        limit = reach * reach
        if following == first:
            following += 1
        if following >= boxes:
            break
        box = following
        following += 1
    return found


@jit
def _query_all(index, queries, out, scratch):
    for i in range(queries.shape[0]):
        out[i] = nearest(index, queries[i], _EVERYWHERE, scratch)


class ExactSearch:
    """The exact search behind the protocol of all searches."""

    def __init__(self) -> None:
        self._index: ExactIndex | None = None

    def fit(self, points: Floats) -> None:
        """Take the points (K, d)."""
        self._index = build_index(points)

    def query(self, points: Floats) -> npt.NDArray[np.int64]:
        """Return the number of the nearest point for each of the queries (N, d)."""
        if self._index is None:
            raise ValueError("fit before query")
        queries = np.ascontiguousarray(points, np.float32)
        dimensions = self._index.points.shape[1]
        if queries.ndim != 2 or queries.shape[1] != dimensions:
            raise OptionError(
                f"queries have the shape {queries.shape}; (N, {dimensions}) is needed"
            )
        out = np.empty(len(queries), np.int64)
        _query_all(tuple(self._index), queries, out, scratch_for([self._index]))
        return out
