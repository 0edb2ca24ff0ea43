"""Compare the searches on real queries: ``python -m rnnic.search.compare IMAGE [...]``.

The images are encoded with the exact search, and every other one is asked the same questions: how often it
names the same entry, or another one at the same distance, and how long it takes.
"""

import importlib.util
import sys
import time
from collections.abc import Sequence

import click
import numpy as np
import numpy.typing as npt

from rnnic.api import encode_image
from rnnic.files import load_image
from rnnic.options import EncodeOptions
from rnnic.search import SEARCH_NAMES, NeighborSearch, make_search
from rnnic.search.exact import ExactSearch

__all__ = ["Recorder", "main"]

Points = npt.NDArray[np.float32]
_LIBRARIES = {"exact": "numba", "ckdtree": "scipy"}
_MAX_QUERIES = 20_000


class Recorder:
    """The exact search, which keeps what it was asked."""

    def __init__(self) -> None:
        self.points: Points = np.zeros((0, 0), np.float32)
        self.asked: list[Points] = []
        self._search = ExactSearch()

    def fit(self, points: Points) -> None:
        """Take the points."""
        self.points = points
        self._search.fit(points)

    def query(self, points: Points) -> npt.NDArray[np.int64]:
        """Answer, and keep the queries."""
        self.asked.append(points)
        return self._search.query(points)


def _record(images: Sequence[str], threshold: float) -> list[tuple[Points, Points]]:
    """Return the palettes' points and a sample of the queries asked of each."""
    recorders: list[Recorder] = []

    def make() -> Recorder:
        recorders.append(Recorder())
        return recorders[-1]

    for name in images:
        pixels = load_image(name).pixels
        encode_image(pixels, EncodeOptions(error_threshold=threshold, neighbors=make))
    rng = np.random.default_rng(0)
    found = []
    for recorder in recorders:
        if recorder.asked:
            queries = np.concatenate(recorder.asked)
            share = min(len(queries), _MAX_QUERIES // len(images))
            found.append((recorder.points, rng.permutation(queries)[:share]))
    return found


def _measure(
    search: NeighborSearch, points: Points, queries: Points
) -> tuple[npt.NDArray[np.int64], float]:
    search.fit(points)
    search.query(queries[:1])
    started = time.perf_counter()
    found = search.query(queries)
    return found, time.perf_counter() - started


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--threshold", default=4.0, show_default=True, help="Error threshold.")
def main(images: Sequence[str], threshold: float) -> None:
    """Print a table of the searches that are installed."""
    recorded = _record(images, threshold)
    click.echo(f"{'search':<10} {'same entry':>10} {'as near':>8} {'time':>8}  (time of exact: 1)")
    base = 0.0
    for name in SEARCH_NAMES:
        if importlib.util.find_spec(_LIBRARIES.get(name, name)) is None:
            click.echo(f"{name:<10} not installed")
            continue
        same = near = count = 0
        seconds = 0.0
        for points, queries in recorded:
            expected, _ = _measure(ExactSearch(), points, queries)
            found, taken = _measure(make_search(name), points, queries)
            seconds += taken
            count += len(queries)
            same += int((found == expected).sum())
            best = ((points[expected].astype(np.float64) - queries) ** 2).sum(axis=1)
            own = ((points[found].astype(np.float64) - queries) ** 2).sum(axis=1)
            near += int((own <= best).sum())
        base = base or seconds
        click.echo(f"{name:<10} {same / count:>10.2%} {near / count:>8.2%} {seconds / base:>8.1f}")


if __name__ == "__main__":
    sys.exit(main())
