import sys
from typing import Any

import numpy as np
import pytest
from checks import photo_like
from conftest import INTERPRETED
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rnnic
from rnnic._jit import jit
from rnnic.raster.encoder import palette_points
from rnnic.raster.tables import entry_tables, load_model
from rnnic.search import SEARCH_NAMES, NeighborSearch, checked_query, make_search
from rnnic.search.exact import ExactSearch, build_index, nearest, scratch_for

LIBRARY = {
    "exact": "numba",
    "ckdtree": "scipy",
    "faiss": "faiss",
    "annoy": "annoy",
    "hnswlib": "hnswlib",
    "voyager": "voyager",
}
EXACT = ("exact", "ckdtree", "faiss")
FEW = INTERPRETED


@pytest.fixture(params=SEARCH_NAMES)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(LIBRARY[request.param])
    return str(request.param)


def squared_distances(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    gaps = queries[:, None].astype(np.float64) - points[None]
    found: np.ndarray = (gaps * gaps).sum(axis=2)
    return found


def answer(name: str, points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    search = make_search(name)
    search.fit(points)
    return checked_query(search, queries, len(points))


def clouds() -> list[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(7)
    count = 60 if FEW else 1500
    normal = np.round(rng.normal(0, 300, (count, 12)))
    lines = np.round(np.outer(rng.normal(0, 500, count // 2), [3, 1, -2]))
    clusters = np.round(rng.normal(0, 20, (count, 6)) + 2000 * rng.integers(-1, 2, (count, 6)))
    grid = np.stack(np.meshgrid(*[np.arange(-80, 81, 40)] * 3), -1).reshape(-1, 3)
    named = {"normal": normal, "line": lines, "clusters": clusters, "grid": grid}
    return [(kind, points.astype(np.float32)) for kind, points in named.items()]


@pytest.mark.parametrize(("kind", "points"), clouds())
def test_nearest_of_many(name: str, kind: str, points: np.ndarray) -> None:
    rng = np.random.default_rng(8)
    near = points[rng.integers(len(points), size=40 if FEW else 400)]
    queries = np.round(near + rng.normal(0, 30, near.shape)).astype(np.float32)
    distances = squared_distances(points, queries)
    found = answer(name, points, queries)
    reached = distances[np.arange(len(queries)), found]
    right = reached <= distances.min(axis=1)
    assert right.mean() >= (1.0 if name in EXACT else 0.95), kind


@pytest.mark.slow
@pytest.mark.parametrize("palette", range(4))
def test_agreement_on_palettes(name: str, palette: int) -> None:
    part = load_model(rnnic.default_model().sections["RAST"]).rgb
    points = palette_points(entry_tables(part, 5 * 256), 3)[palette]
    rng = np.random.default_rng(9)
    near = points[rng.integers(min(len(points), 300), size=500)]
    queries = np.round(near + rng.normal(0, 40, near.shape)).astype(np.float32)
    distances = squared_distances(points, queries)
    found = answer(name, points, queries)
    right = distances[np.arange(len(queries)), found] <= distances.min(axis=1)
    assert right.mean() >= (1.0 if name in EXACT else 0.95)


def test_few_points_and_no_queries(name: str) -> None:
    for count in (1, 2, 3):
        points = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
        np.testing.assert_array_equal(answer(name, points, points), np.arange(count))
        empty = answer(name, points, np.zeros((0, 3), np.float32))
        assert empty.shape == (0,)
        assert empty.dtype == np.int64


def test_same_points_and_queries_give_the_same_answers(name: str) -> None:
    _, points = clouds()[0]
    queries = np.round(points[:30] + 11)
    np.testing.assert_array_equal(answer(name, points, queries), answer(name, points, queries))


@given(
    hnp.arrays(np.int8, st.tuples(st.integers(1, 70), st.just(3)), elements=st.integers(-3, 3)),
    hnp.arrays(np.int8, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(-4, 4)),
)
def test_ties_go_to_the_lowest_number(points: np.ndarray, queries: np.ndarray) -> None:
    points, queries = points.astype(np.float32), queries.astype(np.float32)
    expected = squared_distances(points, queries).argmin(axis=1)
    np.testing.assert_array_equal(answer("exact", points, queries), expected)


@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 90), st.integers(1, 12))), st.data())
def test_exact_search_is_exact(points: np.ndarray, data: st.DataObject) -> None:
    points = points.astype(np.float32)
    shape = (3, points.shape[1])
    queries = data.draw(hnp.arrays(np.int16, shape)).astype(np.float32)
    expected = squared_distances(points, queries).argmin(axis=1)
    np.testing.assert_array_equal(answer("exact", points, queries), expected)


@pytest.mark.parametrize("dimensions", [3, 6, 12])
@pytest.mark.parametrize("magnitude", [300, 32767])
def test_ties_far_away_go_to_the_lowest_number(dimensions: int, magnitude: int) -> None:
    """The query is nothing beside the distance, whose rounding differs from point to point."""
    rng = np.random.default_rng(dimensions)
    query = np.zeros((1, dimensions), np.float32)
    for _ in range(3 if FEW else 40):
        base = rng.integers(0, magnitude, dimensions)
        turned = [rng.permutation(base) * rng.choice([-1, 1], dimensions) for _ in range(300)]
        assert answer("exact", np.array(turned, np.float32), query) == [0]


@jit
def nearest_within(index: Any, query: Any, radius: float, scratch: Any) -> Any:
    return nearest(index, query, radius, scratch)


@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 90), st.integers(1, 12))), st.data())
def test_radius_is_inclusive(points: np.ndarray, data: st.DataObject) -> None:
    points = points.astype(np.float32)
    query = data.draw(hnp.arrays(np.int16, points.shape[1])).astype(np.float32)
    distances = squared_distances(points, query[None])[0]
    index = build_index(points)
    scratch = scratch_for([index])
    least = distances.min()
    assert nearest_within(tuple(index), query, least, scratch) == distances.argmin()
    if least > 0:
        assert nearest_within(tuple(index), query, least - 1, scratch) == -1


def test_exact_search_keeps_its_points() -> None:
    points = np.arange(9, dtype=np.float32).reshape(3, 3)
    search = ExactSearch()
    search.fit(points)
    queries = points.copy()
    points[:] = 0
    np.testing.assert_array_equal(search.query(queries), [0, 1, 2])


def test_exact_search_takes_any_layout() -> None:
    _, points = clouds()[1]
    expected = answer("exact", points, points[:20])
    wide = np.asfortranarray(points.astype(np.float64))
    np.testing.assert_array_equal(answer("exact", wide, wide[:20]), expected)


def test_exact_search_says_its_limit() -> None:
    with pytest.raises(rnnic.OptionError, match="12 coordinates"):
        build_index(np.zeros((3, 13), np.float32))
    for wrong in (np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(3)):
        with pytest.raises(rnnic.OptionError, match="shape"):
            build_index(wrong.astype(np.float32))
    search = ExactSearch()
    search.fit(np.zeros((4, 12), np.float32))
    for asked in (np.zeros((2, 3)), np.zeros((2, 13)), np.zeros(12)):
        with pytest.raises(rnnic.OptionError, match=r"\(N, 12\) is needed"):
            search.query(asked.astype(np.float32))
    with pytest.raises(ValueError, match="fit before query"):
        ExactSearch().query(np.zeros((1, 3), np.float32))


class Slow:
    """A search of one's own."""

    def fit(self, points: np.ndarray) -> None:
        self.points = points

    def query(self, points: np.ndarray) -> np.ndarray:
        nearest: np.ndarray = squared_distances(self.points, points).argmin(axis=1)
        return nearest


def test_own_search_makes_the_same_file() -> None:
    image = photo_like(12, 20)
    assert isinstance(Slow(), NeighborSearch)
    expected = rnnic.encode(image, error_threshold=5)
    assert rnnic.encode(image, error_threshold=5, neighbors=Slow) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        lambda queries: np.zeros((len(queries), 1), np.int64),
        lambda queries: np.zeros(len(queries)),
        lambda queries: np.full(len(queries), -1),
        lambda queries: np.full(len(queries), 10**6),
    ],
)
def test_wrong_answers_are_caught(wrong: Any) -> None:
    class Broken(Slow):
        def query(self, points: np.ndarray) -> np.ndarray:
            found: np.ndarray = wrong(points)
            return found

    # The model of the tests without the JIT serves method raster alone.
    for method in ("raster",) if INTERPRETED else ("raster", "pyramid"):
        with pytest.raises(rnnic.RnnicError, match="Broken"):
            rnnic.encode(photo_like(8, 8), method=method, neighbors=Broken)


class Needy(Slow):
    def __init__(self, argument: int) -> None:
        raise AssertionError(argument)


@pytest.mark.parametrize("spec", ["kdtree", 5, dict, Slow(), Needy])
def test_what_is_no_search_is_refused(spec: Any) -> None:
    with pytest.raises(rnnic.OptionError):
        make_search(spec)


def test_missing_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("scipy.spatial", "faiss", "voyager", "annoy", "hnswlib"):
        monkeypatch.setitem(sys.modules, module, None)
    points = np.zeros((2, 3), np.float32)
    from rnnic.search import backends

    for search, extra in (
        (backends.ScipySearch(), "search"),
        (backends.FaissSearch(), "search"),
        (backends.VoyagerSearch(), "search"),
        (backends.AnnoySearch(), "annoy"),
        (backends.HnswlibSearch(), "hnswlib"),
    ):
        with pytest.raises(rnnic.MissingDependencyError, match=rf"rnnic\[{extra}\]"):
            search.fit(points)


@pytest.mark.slow
def test_backends_agree_on_an_image(name: str) -> None:
    """Nearly all pixels are coded by the same entry, and the file decodes to what was encoded."""
    image = photo_like(64, 96)
    expected = rnnic.encode_image(image, rnnic.EncodeOptions(method="raster"))
    encoded = rnnic.encode_image(image, rnnic.EncodeOptions(method="raster", neighbors=name))
    np.testing.assert_array_equal(rnnic.decode(encoded.data), encoded.reconstruction)
    (one,), (two,) = expected.traces(), encoded.traces()
    same = (one.labels == two.labels) & (one.entries == two.entries)
    if name == "exact":
        assert same.all()
    # A tie decided otherwise changes what comes after it; see docs/neighbors.md for photos.
    assert abs(len(encoded.data) - len(expected.data)) < 0.02 * len(expected.data)


@pytest.mark.slow
def test_pyramid_takes_candidates_from_every_search(name: str) -> None:
    image = photo_like(60, 80)
    expected = rnnic.encode(image, step=4.0)
    for effort in (1, 5):
        data = rnnic.encode(image, step=4.0, effort=effort, neighbors=name)
        made = rnnic.encode_image(
            image, rnnic.EncodeOptions(step=4.0, effort=effort, neighbors=name)
        )
        assert data == made.data
        np.testing.assert_array_equal(rnnic.decode(data), made.reconstruction)
    assert len(data) == pytest.approx(len(expected), rel=0.01)


@pytest.mark.slow
def test_pyramid_takes_a_search_of_the_nearest_alone() -> None:
    from scipy.spatial import cKDTree

    class Nearest:
        def fit(self, points: np.ndarray) -> None:
            self.tree = cKDTree(points)

        def query(self, points: np.ndarray) -> np.ndarray:
            found: np.ndarray = self.tree.query(points)[1]
            return found

    image = photo_like(60, 80)
    data = rnnic.encode(image, step=4.0, neighbors=Nearest)
    assert len(data) == pytest.approx(len(rnnic.encode(image, step=4.0)), rel=0.05)
    assert rnnic.decode(data).shape == image.shape
