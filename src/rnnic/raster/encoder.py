"""Encoder of the raster method: which entry codes which pixels. Only SPEC.md 4 binds it."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnic.container import TileBox
from rnnic.parallel import map_threads
from rnnic.raster import planning, writing
from rnnic.raster.kernels import row_room
from rnnic.raster.model import STRING_LENGTHS, RasterPart
from rnnic.raster.tables import (
    MAX_SCALE,
    MAX_THRESHOLD,
    MIN_SCALE,
    EntryTables,
    RasterParameters,
    encoder_books,
    entry_tables,
)
from rnnic.search import NeighborSearch, checked_query
from rnnic.search.exact import ExactIndex, build_index, scratch_for

__all__ = [
    "Plan",
    "palette_points",
    "parameters_for",
    "plan_image",
    "write_tiles",
]

_THRESHOLD_PER_UNIT = 0.8
"""Threshold over palette unit that costs the fewest bytes at equal PSNR on the training photos."""
_MATCH_MARGIN = 1.0
"""Slack, in samples, between a string's distance in reconstruction space and its pixels' errors."""

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Plan:
    """What the encoder chose for an image.

    ``symbols`` and ``extras`` int32 (H, W) as in :mod:`rnnic.raster.planning`; ``reconstruction``
    uint8 (H, W, c) is what the decoder will give.
    """

    symbols: npt.NDArray[np.int32]
    extras: npt.NDArray[np.int32]
    reconstruction: npt.NDArray[np.uint8]


def parameters_for(error_threshold: float) -> RasterParameters:
    """Return the header's parameters for a bound of every pixel's error.

    Parameters
    ----------
    error_threshold : float
        Euclidean distance in 8-bit RGB units, not negative; rounded down to 1/64.
    """
    threshold = min(int(error_threshold * 64), MAX_THRESHOLD)
    scale = round(256 * threshold / 64 / _THRESHOLD_PER_UNIT)
    return RasterParameters(threshold, min(max(scale, MIN_SCALE), MAX_SCALE))


def palette_points(entries: EntryTables, channels: int) -> list[npt.NDArray[np.float32]]:
    """Return each palette's points in reconstruction space, float32 (K, n * c) in 1/16 sample.

    A string's difference at one pixel moves the next one's prediction by half of it, and so on:
    the nearest string is then the one at the smallest Euclidean distance.
    """
    points = []
    for palette, count in enumerate(STRING_LENGTHS):
        first, last = entries.bases[palette : palette + 2]
        values = entries.differences[first:last, : count * channels].astype(np.int32)
        values = values.reshape(-1, count, channels) * planning.POINT_UNIT
        for pixel in range(1, count):
            values[:, pixel] += values[:, pixel - 1] >> 1
        points.append(values.reshape(len(values), count * channels).astype(np.float32))
    return points


@functools.lru_cache(maxsize=8)
def _exact_indexes(part: RasterPart, scale: int) -> tuple[ExactIndex, ...]:
    points = palette_points(entry_tables(part, scale), part.channels)
    width = part.channels
    # An empty palette is never searched, but the kernel wants an index of every one.
    filled = (
        p if len(p) else np.zeros((1, n * width), np.float32)
        for p, n in zip(points, STRING_LENGTHS, strict=True)
    )
    return tuple(build_index(p) for p in filled)


def _limits(threshold: int) -> tuple[int, npt.NDArray[np.int64]]:
    """Return the greatest squared error of a pixel, and of a match in each palette."""
    reach = math.ceil((threshold / 64 + _MATCH_MARGIN) * planning.POINT_UNIT)
    radii = [count * reach * reach for count in STRING_LENGTHS]
    return threshold * threshold // 4096, np.array(radii, np.int64)


def plan_image(
    pixels: npt.NDArray[np.uint8],
    boxes: Sequence[TileBox],
    part: RasterPart,
    parameters: RasterParameters,
    search: Callable[[], NeighborSearch] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Plan:
    """Choose what codes each pixel.

    Parameters
    ----------
    pixels : uint8 (H, W, c)
        The image, C-contiguous.
    boxes : sequence of TileBox
        Its tiles.
    part : RasterPart
        Of the model, for c channels.
    parameters : RasterParameters
        Threshold and scale.
    search : callable, optional
        Makes an empty nearest-neighbour search; called once a palette. The default is the exact
        search, compiled into the planner. Any other one is asked in batches.
    threads : int
        Tiles planned at once, with the exact search.
    progress : callable, optional
        Receives the fraction done.
    """
    entries = entry_tables(part, parameters.scale)
    shape = pixels.shape[:2]
    plan = Plan(np.full(shape, -1, np.int32), np.zeros(shape, np.int32), np.zeros_like(pixels))
    if search is not None:
        _plan_in_wavefronts(pixels, boxes, part, parameters, plan, search, progress)
        return plan
    indexes = _exact_indexes(part, parameters.scale)
    limits = _limits(parameters.threshold)
    done = 0

    def plan_tile(box: TileBox) -> None:
        nonlocal done
        arrays = (plan.reconstruction, plan.symbols, plan.extras)
        tables = (tuple(entries), tuple(map(tuple, indexes)), scratch_for(indexes))
        query = np.empty(STRING_LENGTHS[0] * part.channels, np.float32)
        planning.plan_exact(pixels, *arrays, tuple(box), *tables, query, limits)
        done += 1
        if progress is not None:
            progress(done / len(boxes))

    map_threads(plan_tile, boxes, threads)
    return plan


def _lanes(boxes: Sequence[TileBox]) -> npt.NDArray[np.int32]:
    """Return the rows of all tiles as lanes: y, x0, top, x1."""
    return np.array(
        [(y, b.x, b.y, b.x + b.width) for b in boxes for y in range(b.y, b.y + b.height)],
        np.int32,
    )


def _plan_in_wavefronts(
    pixels: npt.NDArray[np.uint8],
    boxes: Sequence[TileBox],
    part: RasterPart,
    parameters: RasterParameters,
    plan: Plan,
    search: Callable[[], NeighborSearch],
    progress: Progress | None,
) -> None:
    """Plan all tiles at once: each row may advance once the row above is a string ahead.

    A step asks the search about up to half of all rows in one call.
    """
    entries = entry_tables(part, parameters.scale)
    limit, radii = _limits(parameters.threshold)
    points = palette_points(entries, part.channels)
    searches = []
    for own in points:
        searches.append(search())
        if len(own):
            searches[-1].fit(own)
    lanes = _lanes(boxes)
    positions = lanes[:, 1].copy()
    ready = np.empty(len(lanes), np.int32)
    arrays = (pixels, plan.reconstruction)
    total = pixels.shape[0] * pixels.shape[1]
    step = 0
    while count := planning.ready_lanes(positions, lanes, ready):
        active = ready[:count].copy()
        for palette, length in enumerate(STRING_LENGTHS):
            fits = positions[active] + length <= lanes[active, 3]
            chosen = active[fits]
            if not len(chosen) or not len(points[palette]):
                continue
            queries = np.empty((len(chosen), length * part.channels), np.float32)
            planning.fill_queries(*arrays, lanes, positions, chosen, length, queries)
            found = checked_query(searches[palette], queries, len(points[palette]))
            left = np.empty(len(chosen), np.int32)
            rejected = planning.accept_batch(
                *arrays, plan.symbols, plan.extras, lanes, positions, chosen, found, queries,
                points[palette], tuple(entries), palette, limit, radii[palette], left,
            )  # fmt: skip
            active = np.concatenate([left[:rejected], active[~fits]])
        literal = int(entries.bases[3]) + 1
        planning.write_literals(
            *arrays, plan.symbols, plan.extras, lanes, positions, active, literal
        )
        step += 1
        if progress is not None and step % 64 == 0:
            progress(float((positions - lanes[:, 1]).sum(dtype=np.int64)) / total)


def write_tiles(
    plan: Plan,
    boxes: Sequence[TileBox],
    part: RasterPart,
    parameters: RasterParameters,
    threads: int = 1,
) -> list[bytes]:
    """Return the payloads of the tiles of a plan."""
    entries = entry_tables(part, parameters.scale)
    books = tuple(tuple(book) for book in encoder_books(part))
    channels = part.channels

    def write(box: TileBox) -> bytes:
        place = tuple(box)
        activities = np.zeros((box.height, box.width), np.int32)
        arrays = (plan.symbols, plan.extras, place)
        scale, room = parameters.scale, row_room(box.width)
        writing.tile_activities(*arrays, tuple(entries), channels, scale, room, activities)
        classes = entries.activity_class[activities]
        out = np.empty(writing.MAX_PIXEL_BYTES * box.width * box.height + 8, np.uint8)
        state = np.zeros(3, np.int64)
        size = writing.write_tile(*arrays, classes, books, entries.bases[3], channels, state, out)
        return out[:size].tobytes()

    return map_threads(write, boxes, threads)
