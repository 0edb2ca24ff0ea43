"""Training of the raster method's part of a model from photos outside any benchmark.

A first look draws strings of differences at random and makes palettes of them; a second look encodes
windows of the photos with these palettes and counts symbols for the Huffman codes. Both take equal
shares of all photos, whose number changes neither the memory nor, much, the time needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.container import TileBox
from rnnic.entropy.huffman import code_lengths
from rnnic.errors import OptionError
from rnnic.mapping import Mapper, Photos, ThreadMapper
from rnnic.raster import writing
from rnnic.raster.encoder import parameters_for, plan_image
from rnnic.raster.kernels import row_room
from rnnic.raster.model import LITERAL_SYMBOLS, STRING_LENGTHS, CodeLengths, RasterModel, RasterPart
from rnnic.raster.spreading import SPREADERS
from rnnic.raster.tables import entry_tables

__all__ = ["PartSettings", "RasterSettings", "train"]

Pixels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]
Progress = Callable[[float, str], None]

_WEIGHTS = np.array([6, 3, 4, 8, 6, 3, 3], np.uint8)
"""Of the magnitudes at left, left's left, upper left, upper, and three to the upper right."""
_BINS = 64
_UNIT_RANGE = (1.5, 12.0)
_THRESHOLD_RANGE = (0.75, 22.0)
_LOSSLESS_SHARE = 8
_PRIOR = 60.0
_ONE = 1 << 30


@dataclass(frozen=True)
class PartSettings:
    """Sizes of one part's palettes: strings of 4, of 2, small, large; and the number of classes."""

    sizes: tuple[int, int, int, int]
    classes: int = 12


@dataclass(frozen=True)
class RasterSettings:
    """How to train.

    Parameters
    ----------
    seed : int
        Of all random choices.
    spread : str
        How entries are spread over the space: ``grid``, ``poisson``, ``random`` or ``kmeans``.
    draws : int
        Strings drawn for each palette, over all photos.
    window : int
        Side of the windows that the second look encodes, in pixels.
    windows : int
        Windows that the second look encodes, over all photos; at least one a photo.
    rgb, grey : PartSettings
        Of the two parts.
    """

    seed: int = 0
    spread: str = "grid"
    draws: int = 3_000_000
    window: int = 256
    windows: int = 800
    rgb: PartSettings = field(default_factory=lambda: PartSettings((2000, 1500, 1000, 3000)))
    grey: PartSettings = field(default_factory=lambda: PartSettings((1200, 160, 60, 400)))

    def __post_init__(self) -> None:
        if self.spread not in SPREADERS:
            raise OptionError(f"no way to spread {self.spread!r}; there is {', '.join(SPREADERS)}")


def train(
    photos: Photos,
    settings: RasterSettings,
    progress: Progress | None = None,
    mapper: Mapper | None = None,
) -> RasterModel:
    """Train both parts.

    Parameters
    ----------
    photos : Photos
        At least one.
    settings : RasterSettings
        Same settings and photos give the same model.
    progress : callable, optional
        Receives the fraction done and what is being done.
    mapper : Mapper, optional
        Where photos are worked on.
    """
    told = progress or (lambda _done, _what: None)
    used = mapper or ThreadMapper()
    points = _draw_all(photos, settings, told, used)
    parts = []
    for channels, own in ((1, settings.grey), (3, settings.rgb)):
        palettes = _make_palettes(points[channels], own, settings)
        empty = _uncoded_part(channels, palettes)
        counter = _Counter(empty)
        share = 0.3 + 0.2 * (channels == 3)
        width = 0.2 if channels == 1 else 0.5
        what = f"counting symbols, {channels} channel(s)"
        told(share, what)
        count = partial(_count, photos, settings, empty)
        for done, counts in enumerate(used.map(count, range(len(photos)), photos.name), 1):
            counter.extend(counts)
            told(share + width * done / len(photos), what)
        parts.append(counter.finish(own.classes))
    told(1.0, "done")
    return RasterModel(*parts)


def _count(photos: Photos, settings: RasterSettings, part: RasterPart, index: int) -> "_Counts":
    """Encode a photo's windows and count their symbols."""
    counter = _Counter(part)
    rng = np.random.default_rng([settings.seed, 2, part.channels, index])
    photo = _as_channels(photos.load(index), part.channels)
    for _ in range(max(1, round(settings.windows / len(photos)))):
        counter.add(_random_window(photo, settings.window, rng), rng)
    return counter.counts


def _as_channels(photo: Pixels, channels: int) -> Pixels:
    """Return the photo as (H, W, channels); grey is the luma of Rec. 601."""
    if channels == 3:
        return photo
    red, green, blue = (photo[:, :, c].astype(np.int32) for c in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)[:, :, None]


def _random_window(photo: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    height, width = (min(side, n) for n in photo.shape[:2])
    y = int(rng.integers(photo.shape[0] - height + 1))
    x = int(rng.integers(photo.shape[1] - width + 1))
    return np.ascontiguousarray(photo[y : y + height, x : x + width])


def _draw_all(
    photos: Photos, settings: RasterSettings, told: Progress, mapper: Mapper
) -> dict[int, list[npt.NDArray[np.float64]]]:
    """Return, for 1 and 3 channels, draws of strings of 4, 2 and 1 pixels in palette units."""
    drawn: dict[tuple[int, int], list[npt.NDArray[np.float32]]] = {
        (channels, length): [] for channels in (1, 3) for length in STRING_LENGTHS[:3]
    }
    what = "drawing differences"
    told(0.0, what)
    draw = partial(_draw_photo, photos, settings)
    for done, found in enumerate(mapper.map(draw, range(len(photos)), photos.name), 1):
        for kind, strings in found.items():
            drawn[kind].append(strings)
        told(0.2 * done / len(photos), what)
    if not drawn[3, STRING_LENGTHS[0]]:
        raise OptionError("no photo is large enough to draw differences from; 5 x 2 pixels is")
    return {
        channels: [
            np.concatenate(drawn[channels, length]).astype(np.float64)
            for length in STRING_LENGTHS[:3]
        ]
        for channels in (1, 3)
    }


def _draw_photo(
    photos: Photos, settings: RasterSettings, index: int
) -> dict[tuple[int, int], npt.NDArray[np.float32]]:
    """Return draws from a photo by channels and length."""
    rng = np.random.default_rng([settings.seed, 1, index])
    photo = photos.load(index)
    each = -(-settings.draws // len(photos))
    drawn = {}
    for channels in (1, 3):
        pixels = _as_channels(photo, channels)
        for length in STRING_LENGTHS[:3]:
            if pixels.shape[0] > 1 and pixels.shape[1] > length:
                drawn[channels, length] = _draw(pixels, length, each, rng)
    return drawn


def _draw(
    pixels: Pixels, length: int, count: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Draw strings at random places, in reconstruction space and random units.

    A little noise stands for the errors that the reconstructed neighbours will have.
    """
    height, width, channels = pixels.shape
    y = rng.integers(1, height, count)
    x = rng.integers(1, width - length + 1, count)
    low, high = np.log2(_UNIT_RANGE)
    unit = np.exp2(low + (high - low) * rng.integers(0, 1025, (count, 1)) / 1024)
    noise = rng.integers(-256, 257, (2, count, length, channels)).sum(axis=0) / 1024
    chain = pixels[y, x - 1].astype(np.float64)
    out = np.empty((count, length, channels), np.float32)
    for i in range(length):
        chain = (chain + pixels[y - 1, x + i]) / 2
        out[:, i] = (pixels[y, x + i] - chain) / unit + noise[:, i]
    return out.reshape(count, length * channels)


def _make_palettes(
    points: list[npt.NDArray[np.float64]], own: PartSettings, settings: RasterSettings
) -> list[npt.NDArray[np.int16]]:
    """Return the four palettes in 1/16 unit."""
    spread = SPREADERS[settings.spread]
    rng = np.random.default_rng([settings.seed, 3])
    palettes = []
    for length, count, drawn in zip((4, 2), own.sizes[:2], points[:2], strict=True):
        found = spread(drawn, count + count // 8, length, rng)
        palettes.append(_to_entries(found, length, 127)[:count])
    singles = spread(points[2], own.sizes[2] + own.sizes[3], 1, rng)
    entries = _to_entries(singles, 1, 32767)
    palettes += [entries[: own.sizes[2]], entries[own.sizes[2] :]]
    if min(map(len, palettes[2:])) < 2:
        raise OptionError(
            "too few photos, or too plain ones: the palettes of single pixels are empty"
        )
    return palettes


def _to_entries(points: npt.NDArray[np.float64], length: int, limit: int) -> npt.NDArray[np.int16]:
    """Return points of reconstruction space as distinct entries of differences in 1/16 unit."""
    differences = points.reshape(len(points), length, -1).copy()
    for pixel in range(length - 1, 0, -1):
        differences[:, pixel] -= differences[:, pixel - 1] / 2
    values = np.floor(16 * differences + 0.5).astype(np.int32).reshape(len(points), -1)
    values = values[np.abs(values).max(axis=1) <= limit].astype(np.int16)
    _, first = np.unique(values, axis=0, return_index=True)
    distinct: npt.NDArray[np.int16] = values[np.sort(first)]
    return distinct


def _flat_lengths(tables: int, symbols: int) -> npt.NDArray[np.uint8]:
    return np.tile(code_lengths(np.ones(symbols, np.int64)), (tables, 1))


def _uncoded_part(channels: int, palettes: list[npt.NDArray[np.int16]]) -> RasterPart:
    """Return a part with one class and codes of equal lengths; choices do not depend on codes."""
    four, two, small, large = palettes
    symbols = len(four) + len(two) + len(small) + 2
    literal = _flat_lengths(1, LITERAL_SYMBOLS)
    lengths = CodeLengths(_flat_lengths(1, symbols), _flat_lengths(1, len(large)), literal, literal)
    no_boundaries = np.zeros(0, np.uint16)
    return RasterPart(channels, _WEIGHTS, no_boundaries, (four, two, small, large), lengths)


class _Counts(NamedTuple):
    """Numbers of symbols, by bins of activity all but the large ones."""

    main: Counts
    large: Counts
    first: Counts
    others: Counts


class _Counter:
    """Counts symbols by activity, in bins that are merged into classes at the end."""

    def __init__(self, part: RasterPart) -> None:
        self.part = part
        top = 255 * int(_WEIGHTS.sum())
        # Activities grow in proportion from a few units on; integers, so that no machine differs.
        edges = {int(8 * 2 ** (i // 8) * (1 + i % 8 / 8)) for i in range(_BINS - 1)}
        self.edges = np.array(sorted(edge for edge in edges if edge <= top), np.int64)
        bins = len(self.edges) + 1
        self.counts = _Counts(
            np.zeros((bins, part.main_symbols), np.int64),
            np.zeros(part.sizes[3], np.int64),
            np.zeros((bins, LITERAL_SYMBOLS), np.int64),
            np.zeros((bins, LITERAL_SYMBOLS), np.int64),
        )

    def extend(self, counts: _Counts) -> None:
        """Add what another one counted."""
        for own, other in zip(self.counts, counts, strict=True):
            own += other

    def add(self, pixels: Pixels, rng: np.random.Generator) -> None:
        """Encode a window at a random threshold and count."""
        low, high = np.log2(_THRESHOLD_RANGE)
        threshold = float(np.exp2(low + (high - low) * rng.integers(0, 1025) / 1024))
        if rng.integers(_LOSSLESS_SHARE) == 0:
            threshold = 0.0
        parameters = parameters_for(threshold)
        box = TileBox(0, 0, pixels.shape[1], pixels.shape[0])
        plan = plan_image(pixels, [box], self.part, parameters)
        entries = entry_tables(self.part, parameters.scale)
        activities = np.zeros(plan.symbols.shape, np.int32)
        arrays = (plan.symbols, plan.extras, tuple(box), tuple(entries))
        scale, room = parameters.scale, row_room(box.width)
        writing.tile_activities(*arrays, self.part.channels, scale, room, activities)
        start = plan.symbols >= 0
        bins = np.searchsorted(self.edges, activities[start], side="right")
        symbols, extras = plan.symbols[start], plan.extras[start]
        np.add.at(self.counts.main, (bins, symbols), 1)
        literal = self.part.main_symbols - 1
        np.add.at(self.counts.large, extras[symbols == literal - 1], 1)
        exact, bins = extras[symbols == literal], bins[symbols == literal]
        np.add.at(self.counts.first, (bins, exact & 255), 1)
        if self.part.channels == 3:
            np.add.at(self.counts.others, (bins, exact >> 8 & 255), 1)
            np.add.at(self.counts.others, (bins, exact >> 16 & 255), 1)

    def finish(self, classes: int) -> RasterPart:
        """Return the part with classes and codes."""
        found = self.counts
        starts = merge_bins(found.main, classes)
        main, first, others = (
            np.add.reduceat(counts, starts, axis=0)
            for counts in (found.main, found.first, found.others)
        )
        lengths = CodeLengths(
            _lengths(main), _lengths(found.large[None]), _lengths(first), _lengths(others)
        )
        boundaries = self.edges[starts[1:] - 1].astype(np.uint16)
        part = self.part
        return RasterPart(part.channels, _WEIGHTS, boundaries, part.palettes, lengths)


def _code_size(counts: Counts) -> float:
    """Return the entropy of counts times their number, in bits."""
    seen = counts[counts > 0].astype(np.float64)
    return (
        float(seen.sum() * np.log2(seen.sum()) - (seen * np.log2(seen)).sum()) if len(seen) else 0.0
    )


def merge_bins(counts: Counts, classes: int) -> npt.NDArray[np.intp]:
    """Merge neighbouring bins, the cheapest merger first; return each class's first bin."""
    groups = [counts[i].copy() for i in range(len(counts))]
    starts = list(range(len(counts)))
    sizes = [_code_size(group) for group in groups]
    losses = [
        _code_size(groups[i] + groups[i + 1]) - sizes[i] - sizes[i + 1]
        for i in range(len(groups) - 1)
    ]
    while len(groups) > classes:
        i = int(np.argmin(losses))
        groups[i] += groups.pop(i + 1)
        starts.pop(i + 1)
        sizes[i] = _code_size(groups[i])
        sizes.pop(i + 1)
        losses.pop(i)
        for j in (i - 1, i):
            if 0 <= j < len(losses):
                losses[j] = _code_size(groups[j] + groups[j + 1]) - sizes[j] - sizes[j + 1]
    return np.array(starts)


def _lengths(counts: Counts) -> npt.NDArray[np.uint8]:
    """Return code lengths for counts (tables, symbols), each table leaning on all of them together."""
    total = counts.sum(axis=0) + 1
    prior = total / total.sum()
    tables = []
    for row in counts:
        share = (row + _PRIOR * prior) / (row.sum() + _PRIOR)
        tables.append(code_lengths(np.maximum(1, np.floor(share * _ONE)).astype(np.int64)))
    return np.stack(tables)
