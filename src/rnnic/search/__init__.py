"""Nearest-neighbour search behind one small protocol.

Whatever finds the neighbours, a file decodes identically: only the choice of entries depends on it.
"""

import importlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rnnic.errors import OptionError, RnnicError

__all__ = ["SEARCH_NAMES", "NeighborSearch", "checked_query", "make_search"]

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
    if found.shape != (len(queries),) or not np.issubdtype(found.dtype, np.integer):
        raise RnnicError(
            f"the search {type(search).__name__} returned {found.dtype} {found.shape}"
            f" for {len(queries)} queries; one integer each is needed"
        )
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < count:
        raise RnnicError(
            f"the search {type(search).__name__} returned numbers outside 0 … {count - 1}"
        )
    return np.ascontiguousarray(found, np.int64)
