"""Searches of other libraries behind the protocol; each library is imported when it is asked for.

The approximate ones are built and asked with fixed seeds and one thread where they take a seed, so that the
same image gives the same file, and generously enough to agree with the exact search on nearly all queries.
"""

import numpy as np
import numpy.typing as npt

from rnnic.extras import require

__all__ = ["AnnoySearch", "FaissSearch", "HnswlibSearch", "ScipySearch", "VoyagerSearch"]

Points = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


class ScipySearch:
    """SciPy's k-d tree; exact."""

    def fit(self, points: Points) -> None:
        """Build the tree."""
        self._tree = require("scipy.spatial", "the library scipy", "search").cKDTree(points)

    def query(self, points: Points) -> Numbers:
        """Return the nearest points' numbers."""
        return self.query_many(points, 1)[:, 0]

    def query_many(self, points: Points, k: int) -> Numbers:
        """Return the numbers of the `k` nearest points, (N, k), nearest first."""
        return np.asarray(self._tree.query(points, range(1, k + 1))[1], np.int64)


class FaissSearch:
    """FAISS, brute force; exact up to the rounding of its float32 distances."""

    def fit(self, points: Points) -> None:
        """Store the points."""
        self._faiss = require("faiss", "the library faiss", "search")
        self._index = self._faiss.IndexFlatL2(points.shape[1])
        self._index.add(np.ascontiguousarray(points, np.float32))

    def query(self, points: Points) -> Numbers:
        """Return the nearest points' numbers."""
        return self.query_many(points, 1)[:, 0]

    def query_many(self, points: Points, k: int) -> Numbers:
        """Return the numbers of the `k` nearest points, (N, k), nearest first."""
        # Its threads take longer to meet than a wavefront's few queries take to answer.
        threads = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(1)
        try:
            _, found = self._index.search(np.ascontiguousarray(points, np.float32), k)
        finally:
            self._faiss.omp_set_num_threads(threads)
        return np.asarray(found, np.int64)


class AnnoySearch:
    """Annoy, a forest of random projection trees; approximate, a call for each query."""

    _TREES = 24
    _NODES = 1500

    def fit(self, points: Points) -> None:
        """Build the forest."""
        self._index = require("annoy", "the library annoy", "annoy").AnnoyIndex(
            points.shape[1], "euclidean"
        )
        self._index.set_seed(1)
        for number, point in enumerate(points):
            self._index.add_item(number, point)
        self._index.build(self._TREES, n_jobs=1)

    def query(self, points: Points) -> Numbers:
        """Return the nearest points' numbers."""
        return self.query_many(points, 1)[:, 0]

    def query_many(self, points: Points, k: int) -> Numbers:
        """Return the numbers of the `k` nearest points, (N, k), nearest first."""
        near = self._index.get_nns_by_vector
        return np.array([near(point, k, self._NODES) for point in points], np.int64).reshape(-1, k)


class HnswlibSearch:
    """hnswlib, a hierarchical small-world graph; approximate."""

    _LINKS = 24
    _BUILD_BREADTH = 200
    _QUERY_BREADTH = 64

    def fit(self, points: Points) -> None:
        """Build the graph."""
        self._index = require("hnswlib", "the library hnswlib", "hnswlib").Index(
            "l2", points.shape[1]
        )
        self._index.init_index(len(points), self._LINKS, self._BUILD_BREADTH, random_seed=1)
        self._index.add_items(points, np.arange(len(points)), num_threads=1)
        self._index.set_ef(self._QUERY_BREADTH)

    def query(self, points: Points) -> Numbers:
        """Return the nearest points' numbers."""
        return self.query_many(points, 1)[:, 0]

    def query_many(self, points: Points, k: int) -> Numbers:
        """Return the numbers of the `k` nearest points, (N, k), nearest first."""
        if not len(points):
            return np.zeros((0, k), np.int64)
        found, _ = self._index.knn_query(points, k, num_threads=1)
        return np.asarray(found, np.int64)


class VoyagerSearch:
    """Voyager, a hierarchical small-world graph; approximate."""

    _LINKS = 24
    _BUILD_BREADTH = 200
    _QUERY_BREADTH = 64

    def fit(self, points: Points) -> None:
        """Build the graph."""
        voyager = require("voyager", "the library voyager", "search")
        self._index = voyager.Index(
            voyager.Space.Euclidean,
            points.shape[1],
            self._LINKS,
            self._BUILD_BREADTH,
            random_seed=1,
        )
        self._index.add_items(points, np.arange(len(points)), num_threads=1)

    def query(self, points: Points) -> Numbers:
        """Return the nearest points' numbers."""
        return self.query_many(points, 1)[:, 0]

    def query_many(self, points: Points, k: int) -> Numbers:
        """Return the numbers of the `k` nearest points, (N, k), nearest first."""
        if not len(points):
            return np.zeros((0, k), np.int64)
        found, _ = self._index.query(points, k, num_threads=1, query_ef=self._QUERY_BREADTH)
        return np.asarray(found, np.int64)
