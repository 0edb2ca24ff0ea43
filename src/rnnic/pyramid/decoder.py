"""Decoder of a tile."""

import contextlib
import threading
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import LOWER_BOUND
from rnnic.errors import FormatError, TruncatedError
from rnnic.lossless import decode_lossless
from rnnic.pyramid.base import decode_base
from rnnic.pyramid.decoder_kernels import WORDS_PER_PAIR, decode_passes
from rnnic.pyramid.fit import read_fit, tables_of
from rnnic.pyramid.format import (
    EXACT,
    MAX_SIDE,
    PyramidParams,
    base_step,
    feedback,
    lane_rows,
    parsing,
    pass_step,
    passes,
    quantiser_of,
)
from rnnic.pyramid.model import ACTIVITY_TERMS, PASSES, ColourTables, PyramidModel
from rnnic.reduction import block_means

__all__ = ["Planes", "decode_prefix", "decode_tile", "finest_residuals", "table_sizes"]

Pixels = npt.NDArray[Any]  # uint8 or uint16


class Planes:
    """Two pairs of plane buffers, which the passes use in turn.

    Attributes
    ----------
    samples, energies : pairs of int16 arrays, (components | groups, area)
    """

    def __init__(self, width: int, height: int, channels: int) -> None:
        area = (width + 4) * (height + 4)
        groups = min(channels, 2)
        self.samples = [np.zeros((channels, area), np.int16) for _ in range(2)]
        self.energies = [np.zeros((groups, area), np.int16) for _ in range(2)]


@lru_cache(maxsize=8)
def table_sizes(tables: ColourTables, states: int) -> npt.NDArray[np.int64]:
    """Escape symbols, numbers of classes and contexts, feedback of the trellis; see `decode_pass`."""
    quantiser = quantiser_of(tables, states)
    return np.array(
        [
            quantiser.common.shape[-1] - 1,
            quantiser.orbits.shape[1],
            tables.luma_classes,
            tables.chroma_classes,
            tables.contexts,
            tables.classes,
            feedback(states),
        ],
        np.int64,
    )


class _Tile(NamedTuple):
    coded: int
    base: bytes
    words: npt.NDArray[np.uint16]
    ends: list[int]
    """Of lanes, which follow one another in the words."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 28:
            raise TruncatedError("tile header is truncated")
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


class _Head(NamedTuple):
    coded: int
    base_size: int
    counts: list[int]
    """Words of each lane; empty without residuals."""
    end: int


def _read_head(data: bytes, lanes: int) -> _Head:
    """Read what comes before the base plane."""
    if len(data) < 2:
        raise TruncatedError("tile header is truncated")
    coded = data[0] | (data[1] << 8)
    base_size, at = _varint(data, 2)
    counts = []
    if coded:
        for _ in range(lanes):
            count, at = _varint(data, at)
            if count < 2:
                raise FormatError("a lane has at least two words")
            counts.append(count)
    return _Head(coded, base_size, counts, at)


def _split(data: bytes, lanes: int, padding: int) -> _Tile:
    """Cut a tile into its parts; every length is checked before anything is allocated."""
    head = _read_head(data, lanes)
    base_end = head.end + head.base_size
    total = sum(head.counts)
    if base_end + 2 * total != len(data):
        raise TruncatedError("tile length and lane lengths disagree")
    base = data[head.end : base_end]
    if not head.counts:
        return _Tile(head.coded, base, *_idle_lanes(lanes, padding))
    words = np.empty(total + padding, np.uint16)
    words[:total] = np.frombuffer(data, "<u2", total, base_end)
    words[total:] = 0
    return _Tile(head.coded, base, words, list(accumulate(head.counts)))


def _idle_lanes(lanes: int, padding: int) -> tuple[npt.NDArray[np.uint16], list[int]]:
    """Return words and ends of lanes without residuals: rows above end where a lane begins."""
    words = np.zeros(2 * lanes + padding, np.uint16)
    words[: 2 * lanes] = [LOWER_BOUND >> 16, LOWER_BOUND & 0xFFFF] * lanes
    return words, [2 * lane + 2 for lane in range(lanes)]


def decode_tile(
    data: bytes,
    width: int,
    height: int,
    params: PyramidParams,
    model: PyramidModel,
    reduce: int = 0,
    out: Pixels | None = None,
) -> Pixels:
    """Decode a tile.

    Parameters
    ----------
    data : bytes
        What `rnnic.pyramid.encoder.encode_tile` returned.
    width, height : int
        Size of the tile in pixels.
    params, model
        Those it was encoded with.
    reduce : int
        Stop this many levels early: the sides are divided by ``2**reduce``, rounding up.
    out : uint8 or uint16 array, (height, width, channels), optional
        Where to put the pixels.

    Returns
    -------
    uint8 or uint16 array, (height, width, channels)

    Raises
    ------
    FormatError, TruncatedError
        If no encoder writes such data. Both are ValueErrors.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and 0 <= reduce <= 5):
        raise ValueError("tile size or reduction is out of range")
    if data[:2] == EXACT.to_bytes(2, "little"):
        shape = (height, width, params.channels)
        return _decode_exact(data[2:], shape, params.dtype, reduce, out)
    tile = _split(data, params.lanes, WORDS_PER_PAIR * width)
    return _decode(tile, (width, height), params, model, reduce, out)


def finest_residuals(
    data: bytes, width: int, height: int, params: PyramidParams, model: PyramidModel
) -> npt.NDArray[np.int32]:
    """Return what a tile's finest pass codes.

    Parameters and errors are those of `decode_tile`.

    Returns
    -------
    int32 array, (channels, rows, columns)
        The residual of each pair of pixels, none where there is no pass. Pairs lie along x unless the tile is
        one pixel wide; an odd last column has none.
    """
    steps, _, _ = passes(width, height)
    if not steps:
        return np.zeros((params.channels, 0, 0), np.int32)
    rows = RowBuffers(params.lanes, width, height + 3)
    tile = _split(data, params.lanes, WORDS_PER_PAIR * width)
    _decode(tile, (width, height), params, model, 0, None, rows=rows)
    finest = steps[-1]
    counts = lane_rows(finest.rows, params.lanes)
    strips = [lane[:, 1 : 1 + n] for lane, n in zip(rows.residuals, counts, strict=True)]
    return np.concatenate(strips, axis=1)[: params.channels, :, 1 : 1 + finest.columns]


def decode_prefix(
    data: bytes,
    width: int,
    height: int,
    params: PyramidParams,
    model: PyramidModel,
    reduce: int = 0,
    out: Pixels | None = None,
) -> Pixels:
    """Decode what the beginning of a tile gives, enlarged.

    That is its base plane and the coarsest passes, which have but the first lane, as far as this goes.
    Parameters and errors are those of `decode_tile`.
    """
    if data[:2] == EXACT.to_bytes(2, "little"):
        raise TruncatedError("a tile without loss is truncated")
    head = _read_head(data, params.lanes)
    base = data[head.end : head.end + head.base_size]
    if len(base) < head.base_size:
        raise TruncatedError("base plane is truncated")
    words, ends = _idle_lanes(params.lanes, WORDS_PER_PAIR * width)
    start = head.end + head.base_size
    there = min(sum(head.counts[:1]), (len(data) - start) // 2)
    alone = []
    if there > 2:
        # The first lane as far as it goes, in place of an idle one.
        words = np.concatenate([np.frombuffer(data, "<u2", there, start), words[2:]])
        ends = [end + there - 2 for end in ends]
        alone = [
            step.level
            for step in passes(width, height)[0]
            if head.coded >> step.level & 1 and lane_rows(step.rows, params.lanes)[0] == step.rows
        ]
    given = _Tile(head.coded, base, words, ends), (width, height), params, model, reduce, out
    for count in range(len(alone), 0, -1):
        with contextlib.suppress(FormatError):  # it ends before so many passes do
            return _decode(*given, coded=sum(1 << level for level in alone[:count]))
    return _decode(*given, coded=0)


def _decode(
    tile: _Tile,
    size: tuple[int, int],
    params: PyramidParams,
    model: PyramidModel,
    reduce: int,
    out: Pixels | None,
    *,
    coded: int | None = None,
    rows: "RowBuffers | None" = None,
) -> Pixels:
    """Decode the parts of a tile; only the ``coded`` of its passes, if given, with residuals.

    Rows of residuals stay in ``rows``, if given, as long as there is room.
    """
    width, height = size
    steps, base_width, base_height = passes(width, height)
    if tile.coded >> PASSES or tile.coded & ~sum(1 << s.level for s in steps):
        raise FormatError("a pass is coded that the tile does not have")
    bits = np.unpackbits(np.frombuffer(tile.base, np.uint8))
    fit, at = read_fit(bits, model, params, tile.coded)
    shared = tables_of(model, params, noisy=fit.noisy)
    base = np.zeros((params.channels, base_height, base_width), np.int64)
    if not decode_base(bits, at, base):
        raise TruncatedError("base plane is truncated")
    # Lists: NumPy takes longer for a few numbers than Python.
    starts = [0, *tile.ends[:-1]]
    heads = [tile.words[at : at + 2].tolist() for at in starts]
    begins = [(high << 16) | low for high, low in heads]
    if not all(LOWER_BOUND <= state < 1 << 31 for state in begins):
        raise FormatError("a lane starts in an impossible state")
    final = -(-width >> reduce), -(-height >> reduce)
    out = _output(out, (final[1], final[0], params.channels), params.dtype)
    lanes = len(starts)
    whole = coded is None and reduce == 0 and tile.coded > 0
    coded = tile.coded if coded is None else coded
    steps = tuple(step for step in steps if step.level >= 2 * reduce)
    plans = np.array(
        [
            (s.level, s.width, s.height, (coded >> s.level) & 1, pass_step(params.step, s.level))
            for s in steps
        ],
        np.int64,
    ).reshape(-1, 5)
    # The children of the last pass have no planes.
    largest = (base_width, base_height)
    if len(steps) > 1:
        largest = (steps[-2].width, steps[-2].height)
    planes, own = borrow_scratch(final[0], largest, params.channels, lanes)
    rows = own if rows is None else rows
    states = np.array(begins, np.int64)
    positions = np.array([at + 2 for at in starts], np.uint64)
    written = out if _rows_are_contiguous(out) else np.empty(out.shape, out.dtype.newbyteorder("<"))
    tables = parsing(shared, model.band(params.step), params.states)
    complete = decode_passes(
        base, base_step(params.step), tuple(planes.samples), tuple(planes.energies), plans,
        fit.passes, fit.smooth,
        (states, positions, np.array(tile.ends, np.uint64), np.zeros(lanes, np.int64), tile.words),
        table_sizes(shared, params.states), tuple(tables), rows.parsed(), rows.context(),
        (np.zeros((2, ACTIVITY_TERMS), np.int32), np.zeros(len(tables.effects), np.uint64)),
        (
            np.empty((params.channels, 2, final[0] + 4), np.int16),
            np.empty((params.channels, final[0]), np.uint8),
            fit.colour, params.bit_depth > 8, _bytes_of_rows(written), written.strides[0],
        ),
    )  # fmt: skip
    if not complete:
        raise TruncatedError("a lane is truncated")
    ended = states.tolist() == [LOWER_BOUND] * lanes and positions.tolist() == tile.ends
    if whole and not ended:
        raise FormatError("a lane does not end as its encoder left it")
    if written is not out:
        out[:] = written
    return out


def _rows_are_contiguous(pixels: Pixels) -> bool:
    """Whether kernels, which write the lower byte first, can write pixels row by row."""
    (_, width, channels), size = pixels.shape, pixels.itemsize
    below, right, next_channel = pixels.strides
    return (
        below >= width * channels * size
        and (width == 1 or right == channels * size)
        and (channels == 1 or next_channel == size)
        and pixels.dtype == pixels.dtype.newbyteorder("<")
    )


def _bytes_of_rows(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """Return all bytes from an image's first to its last, those between its rows included."""
    if pixels.flags.c_contiguous:
        return pixels.reshape(-1).view(np.uint8)
    height, width, channels = pixels.shape
    size = pixels.itemsize
    first = np.lib.stride_tricks.as_strided(pixels, (1,), (size,)).view(np.uint8)
    count = (height - 1) * pixels.strides[0] + width * channels * size
    return np.lib.stride_tricks.as_strided(first, (count,), (1,))


def _decode_exact(
    data: bytes, shape: tuple[int, int, int], dtype: str, reduce: int, out: Pixels | None
) -> Pixels:
    """Decode a tile that was coded without loss."""
    pixels = decode_lossless(data, shape, dtype)
    if reduce:
        pixels = block_means(pixels, 1 << reduce)
    out = _output(out, pixels.shape, dtype)
    out[:] = pixels
    return out


def _output(out: Pixels | None, shape: tuple[int, ...], dtype: str) -> Pixels:
    """Return an array to decode into: the one given, which must have that shape, or a new one."""
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape:
        raise ValueError("out has the wrong shape")
    return out


class RowBuffers:
    """Row buffers of a pass for every lane, see `rnnic.pyramid.kernels.row_context`.

    Attributes
    ----------
    coded : int64 array, (lanes, width)
        Packed activities, then residuals, see `rnnic.pyramid.pair_kernels.decode_pair`.
    escaped, reach : int32 array, (lanes, 3, width), and int64 array, (lanes,)
        Residuals that have no vector, and the place behind the last of these.
    gradients : int16 array, (3, width)
        Those of parents, for one row at a time.
    differences, residuals, magnitudes : int32 arrays, (lanes, 3 | 2, ring, width + 2)
        Of recent rows; a decoder needs but the last one, and two of magnitudes.
    """

    def __init__(self, lanes: int, width: int, ring: int) -> None:
        self.coded = np.zeros((lanes, width), np.int64)
        self.escaped = np.zeros((lanes, 3, width), np.int32)
        self.reach = np.zeros(lanes, np.int64)
        self.gradients = np.zeros((3, width), np.int16)
        self.base = np.zeros((lanes, 3, width), np.int32)
        self.activity = np.zeros((lanes, 2, width), np.int32)
        self.residual = np.zeros((lanes, 3, width), np.int32)
        self.differences = np.zeros((lanes, 3, ring, width + 2), np.int32)
        self.residuals = np.zeros((lanes, 3, ring, width + 2), np.int32)
        self.magnitudes = np.zeros((lanes, 2, max(ring, 2), width + 2), np.int32)

    def parsed(self) -> tuple[npt.NDArray[Any], ...]:
        """Buffers that residuals are parsed into."""
        return self.coded, self.escaped, self.reach, self.residual

    def context(self) -> tuple[npt.NDArray[Any], ...]:
        """Buffers that encoder and decoder share, in the order that kernels take them."""
        return (
            self.gradients,
            self.base,
            self.activity,
            self.differences,
            self.residuals,
            self.magnitudes,
        )


_scratch = threading.local()


def borrow_scratch(
    row: int, largest: tuple[int, int], channels: int, lanes: int
) -> tuple[Planes, RowBuffers]:
    """Buffers for a tile, kept by each thread for its next tiles that need no larger ones.

    Fresh memory costs a page fault every 4 kB, a tenth of the decoding time.
    """
    kind = channels, lanes
    area = (largest[0] + 4) * (largest[1] + 4)
    if getattr(_scratch, "kind", None) != kind or _scratch.area < area:
        _scratch.planes = Planes(*largest, channels)
        _scratch.area = area
        _scratch.width = 0
    if _scratch.width < row:
        _scratch.rows = RowBuffers(lanes, row, 1)
        _scratch.width = row
    _scratch.kind = kind
    planes: Planes = _scratch.planes
    rows: RowBuffers = _scratch.rows
    return planes, rows
