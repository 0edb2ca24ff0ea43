"""Nearest-neighbour search behind one small protocol.

Whatever finds the neighbours, a file decodes identically: only the choice of entries depends on it.
"""

import importlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rnnic.errors import OptionError, RnnicError

__all__ = ["SEARCH_NAMES", "NeighborSearch", "checked_query", "make_search", "nearest_entries"]

_HOMES = {
    "exact": ("rnnic.search.exact", "ExactSearch"),
    "ckdtree": ("rnnic.search.backends", "ScipySearch"),
    "faiss": ("rnnic.search.backends", "FaissSearch"),
    "annoy": ("rnnic.search.backends", "AnnoySearch"),
    "hnswlib": ("rnnic.search.backends", "HnswlibSearch"),
    "voyager": ("rnnic.search.backends", "VoyagerSearch"),
}
SEARCH_NAMES = tuple(_HOMES)


@runtime_checkable
class NeighborSearch(Protocol):
    """What a search must offer; one object serves one palette."""

    def fit(self, points: npt.NDArray[np.float32]) -> None:
        """Take the points (K, d), K >= 1; they are whole numbers."""

    def query(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return, for each of the queries (N, d), the number of the nearest point, int64 (N,)."""


def make_search(spec: Any) -> NeighborSearch:
    """Return a new, empty search.

    Parameters
    ----------
    spec : str or callable
        One of `SEARCH_NAMES`, or a class or function that makes an object with the methods of
        `NeighborSearch`.

    Raises
    ------
    OptionError
        If the name is unknown, or what is made lacks a method, or cannot be made without arguments.

    Notes
    -----
    A library that is not installed is missed by `fit`, with a MissingDependencyError that says how to
    install it.
    """
    if isinstance(spec, str):
        if spec not in _HOMES:
            raise OptionError(f"no search {spec!r}; there is {', '.join(SEARCH_NAMES)}")
        module, name = _HOMES[spec]
        spec = getattr(importlib.import_module(module), name)
    try:
        made = spec() if callable(spec) else None
    except TypeError as error:
        raise OptionError(f"neighbors is {spec!r}, which cannot be made: {error}") from error
    if not isinstance(made, NeighborSearch):
        raise OptionError(
            f"neighbors is {spec!r}; it must be one of {', '.join(SEARCH_NAMES)}, or a class with"
            " the methods fit(points) and query(points)"
        )
    return made


def checked_query(
    search: NeighborSearch, queries: npt.NDArray[np.float32], count: int
) -> npt.NDArray[np.int64]:
    """Return a search's answers, after a look whether they are numbers of its `count` points.

    Raises
    ------
    RnnicError
        If they are not.
    """
    found = np.asarray(search.query(queries))
    if found.shape != (len(queries),):
        raise RnnicError(
            f"the search {type(search).__name__} returned {found.dtype} {found.shape}"
            f" for {len(queries)} queries; one integer each is needed"
        )
    return checked_numbers(search, found, count)


def checked_numbers(
    search: NeighborSearch, found: npt.NDArray[Any], count: int
) -> npt.NDArray[np.int64]:
    """Return a search's answers, whatever their shape, after a look at their values.

    Raises
    ------
    RnnicError
        If they are not numbers of its `count` points.
    """
    if not np.issubdtype(found.dtype, np.integer):
        raise RnnicError(
            f"the search {type(search).__name__} returned {found.dtype}; one integer each is needed"
        )
    if found.size and not 0 <= int(found.min()) <= int(found.max()) < count:
        raise RnnicError(
            f"the search {type(search).__name__} returned numbers outside 0 … {count - 1}"
        )
    return np.ascontiguousarray(found, np.int64)


_AROUND = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]).astype(np.float32)


def nearest_entries(
    spec: Any,
    points: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    k: int,
    reach: float,
) -> npt.NDArray[np.int64]:
    """Return the numbers of `k` points near to each query, (N, k), the nearest one first.

    Parameters
    ----------
    spec : str or callable
        As `make_search` takes it. A search with a method ``query_many(points, k) -> (N, k)`` is asked for
        the `k` nearest; another one for the nearest to the query and to what is `reach` away from it
        along each axis, up and down, one after the other, as often as needed.
    points : float32 (K, 3)
        With K >= k.
    queries : float32 (N, 3)
    k : int
    reach : float
    """
    search = make_search(spec)
    search.fit(points)
    many = getattr(search, "query_many", None)
    if many is None:
        moved = (queries + reach * _AROUND[i % len(_AROUND)] for i in range(k))
        return np.stack([checked_query(search, where, len(points)) for where in moved], axis=1)
    found = np.asarray(many(queries, k))
    if found.shape != (len(queries), k):
        raise RnnicError(
            f"the search {type(search).__name__} returned {found.shape} for {len(queries)} queries"
            f" of the {k} nearest"
        )
    return checked_numbers(search, found, len(points))
