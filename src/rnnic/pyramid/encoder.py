"""Encoder of a tile: chooses; what it means is written in `rnnic.pyramid.format`."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import encode_tokens, token_bits
from rnnic.pyramid.base import MAX_NUMBER_BITS, encode_base
from rnnic.pyramid.clipping import distance_beyond, relaxed_targets
from rnnic.pyramid.colour import choose_colour
from rnnic.pyramid.decoder import RowBuffers, table_sizes
from rnnic.pyramid.decoder_kernels import pass_weights
from rnnic.pyramid.encoder_kernels import encode_pass
from rnnic.pyramid.fit import MAX_FIT_BITS, Fit, model_fit, nearest_fit, tables_of, write_fit
from rnnic.pyramid.format import (
    MAX_SIDE,
    PASSES,
    STEP_SCALE,
    Pass,
    PyramidParams,
    base_step,
    derive,
    lane_rows,
    pass_step,
    passes,
    quantiser_of,
)
from rnnic.pyramid.kernels import start_planes
from rnnic.pyramid.levels import new_planes, pyramid_of, row_errors
from rnnic.pyramid.model import ACTIVITY_TERMS, ColourTables, PyramidModel
from rnnic.pyramid.pair_kernels import entry_weights
from rnnic.pyramid.pixel_kernels import to_pixels
from rnnic.pyramid.search import (
    CHROMA_CELLS,
    DEFAULT_LAMBDA,
    EXACT,
    CandidateGrid,
    search_tables,
)
from rnnic.pyramid.search_kernels import BACKTRACK, HUGE
from rnnic.pyramid.tuning import PassInput, fit_pass

__all__ = [
    "FEW_BITS",
    "FITS",
    "TileEncoder",
    "encode_tile",
    "fit_density",
    "states_for_effort",
    "with_own_colour",
]

TOKENS_PER_PAIR = 18
"""More than eight escapes and nine raw bytes need, let alone eight entries."""
FITS = (0.3, 0.3, 0.8)
"""Shares of the samples for one fit after the other: residuals above, which filters look at, change with the
filters. Textures that repeat from row to row, such as brick walls, gain 15 % by the first two."""
BITS_PER_FILTERS = 150.0
BITS_PER_ZERO = 0.001
"""What filters of a component take in a pass that has nothing else, and a pair there, about."""
FEW_BITS = 0.5
"""With more bits a pixel, lanes of the finest pass are enough to land, and other levels take too long."""
NO_COUNTS = np.zeros((0, 0), np.int64)
Pixels = npt.NDArray[Any]  # uint8 or uint16
Sink = Callable[[Pass, dict[str, Any]], None]
_PlanePair = tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]


def states_for_effort(effort: int) -> int:
    """Trellis states that suit an effort of 1 (fastest) to 9 (smallest)."""
    return 1 if effort <= 2 else (8 if effort <= 7 else 16)


def prune_for_effort(effort: int) -> float:
    """How much worse than the best a survivor may be, in squared steps."""
    return {3: 0.3, 4: 0.4, 5: 0.45, 6: 0.6, 7: 0.9}.get(effort, 1.5)


def fit_density(effort: int) -> float:
    """How many samples filters are fitted to; at zero they are the model's."""
    return 0.0 if effort <= 1 else (1.0 if effort <= 7 else 2.0)


def turns_for_effort(effort: int) -> int:
    """How often a pass is coded: a second time with filters fitted to what the first one left."""
    return 1 if effort <= 7 else 2


@lru_cache(maxsize=4)
def candidate_grid(
    tables: ColourTables, channels: int, states: int, neighbors: Any
) -> CandidateGrid:
    """Candidates, kept for the next tiles."""
    return CandidateGrid(quantiser_of(tables, states), channels, neighbors)


@lru_cache(maxsize=8)
def tables_to_search(
    tables: ColourTables, channels: int, states: int, band: int, neighbors: Any
) -> tuple[Any, ...]:
    """Tables of the search, kept for the next tiles."""
    grid = candidate_grid(tables, channels, min(states, 8), neighbors)
    return search_tables(quantiser_of(tables, states), band, grid)


def work_arrays(width: int, channels: int, states: int) -> tuple[npt.NDArray[Any], ...]:
    """Room for the search along a row.

    Differences; back pointers: state, choice, table, escape sequence; costs and survivors of two pairs; the
    order of survivors; residuals wanted and chosen; two escape sequences.
    """
    return (
        np.zeros((channels, width), np.float32),
        np.zeros((width, states), np.uint8),
        np.zeros((width, states), np.int32),
        np.zeros((width, states), np.int32),
        np.zeros((width, states, BACKTRACK), np.int64),
        np.zeros((2, states), np.float32),
        np.zeros((2, states, 5), np.int32),
        np.zeros(states + 1, np.int64),
        np.zeros(3, np.float32),
        np.zeros(3, np.int64),
        np.zeros(BACKTRACK, np.int64),
        np.zeros(BACKTRACK, np.int64),
    )


def encode_tile(
    pixels: Pixels,
    params: PyramidParams,
    model: PyramidModel,
    effort: int = 5,
    neighbors: Any = EXACT,
    *,
    tune: bool = True,
    weight: float = DEFAULT_LAMBDA,
    counts: npt.NDArray[np.int64] | None = None,
    sink: Sink | None = None,
) -> tuple[bytes, Pixels]:
    """Encode a tile.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (height, width, channels)
        Of the type that ``params.bit_depth`` says.
    params, model
        What the decoder will be given; ``params.states`` is not changed by ``effort``.
    effort : int
        1 to 9: how many survivors the trellis search keeps.
    neighbors : str or callable
        Search that finds the candidates, see `rnnic.search.make_search`.
    tune : bool
        Whether filters and weights may be fitted to the tile; the lowest efforts never do.
    weight : float
        Lagrange multiplier of bits, in squared steps.
    counts : int64 array, (codebooks * (classes + contexts), 1 << SYMBOL_BITS), optional
        Histogram of symbols to add to (training); tables as `rnnic.pyramid.search.search_tables`
        numbers them.
    sink : callable, optional
        Is given the state of every pass (training).

    Returns
    -------
    data : bytes
    reconstruction : array like ``pixels``
        Exactly what `rnnic.pyramid.decoder.decode_tile` returns for ``data``.
    """
    encoder = TileEncoder(
        pixels, params, model, effort, neighbors, tune=tune, counts=counts, sink=sink
    )
    return encoder.encode(weight)


class _Entered(NamedTuple):
    """What a pass begins with: its parents, and the tokens and trellis states of the lanes."""

    samples: npt.NDArray[np.int16]
    energies: npt.NDArray[np.int16]
    filled: npt.NDArray[np.int64]
    trellis: npt.NDArray[np.int64]


class TileEncoder:
    """Encodes a tile, and its finest passes again with another weight of bits.

    Parameters are those of `encode_tile`; ``fit`` is what is started from, or what is used where filters may
    not be fitted, ``shares`` those of the samples for one fit after the other, and ``targets`` are aimed at
    in place of the pixels, see `relaxed_targets`. With ``kept``, which takes more memory, there are `hints`,
    and passes other than the finest one can be coded again if these have few bits. With ``smooth``, and no
    ``fit``, it is coded as a smooth surface.
    """

    def __init__(
        self,
        pixels: Pixels,
        params: PyramidParams,
        model: PyramidModel,
        effort: int = 5,
        neighbors: Any = EXACT,
        *,
        tune: bool = True,
        fit: Fit | None = None,
        counts: npt.NDArray[np.int64] | None = None,
        sink: Sink | None = None,
        targets: npt.NDArray[np.float32] | None = None,
        shares: tuple[float, ...] = FITS,
        kept: bool = False,
        smooth: bool = False,
    ) -> None:
        height, width = pixels.shape[:2]
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise ValueError("tile size is out of range")
        self._size = width, height
        self._params, self._sink = params, sink
        self._steps = passes(width, height)[0]
        pixels = np.ascontiguousarray(pixels)
        self._density = fit_density(effort) if tune else 0.0
        self._shares = shares
        if fit is None:
            fit = start_fit(pixels, params, model, thorough=effort > 1, smooth=smooth)
        band = model.band(params.step)
        self._tables = tables_of(model, params, noisy=fit.noisy)
        self._shared = model_fit(self._tables, band, smooth=fit.smooth)
        self._fit = nearest_fit(fit, self._shared)
        # The lowest effort does not look for clipped samples, which would take it a tenth of its time.
        far = distance_beyond(params) if effort > 1 and targets is None else np.float32(0)
        *planes, coarsest = pyramid_of(
            pixels if targets is None else targets, params, self._fit, far
        )
        self._sources = {
            step.level: plane for step, plane in zip(self._steps[::-1], planes, strict=True)
        }
        self._base = np.rint(coarsest / base_step(params.step)).astype(np.int64)
        _, rows, columns = self._base.shape
        self._samples = np.empty((params.channels, rows + 4, columns + 4), np.int16)
        self._energies = np.empty((min(params.channels, 2), rows + 4, columns + 4), np.int16)
        start_planes(
            self._base, base_step(params.step), self._samples, self._energies, self._fit.smooth
        )
        quantiser = quantiser_of(self._tables, params.states)
        self._derived = derive(self._tables, params.states)
        self._search = tables_to_search(
            self._tables, params.channels, params.states, band, neighbors
        )
        # The search also needs the number of common tables, and the candidate grid's branches and
        # chroma cells.
        books = quantiser.orbits.shape[0]
        more = [books * self._tables.classes, books, CHROMA_CELLS if params.channels == 3 else 1]
        self._sizes = np.concatenate(
            [table_sizes(self._tables, params.states), np.array(more, np.int64)]
        )
        self._turns = turns_for_effort(effort) if tune else 1
        ring = 3 if sink is None and self._turns == 1 else height + 3
        self._rows = RowBuffers(params.lanes, width, ring)
        self._work = work_arrays(width, params.channels, params.states)
        self._filled = np.zeros(params.lanes, np.int64)
        self._trellis = np.zeros(params.lanes, np.int64)
        self._coded = 0
        # Of the latest pass: its lanes with a residual, tokens and states before it.
        self._coded_lanes = np.zeros(params.lanes, bool)
        self._before = self._filled.copy(), self._trellis.copy()
        self._streams: dict[int, tuple[int, bytes]] = {}
        # Room for the worst case; memory is taken up where tokens are written, which are far fewer.
        most = sum(self._room(step) for step in self._steps)
        self._queue = np.empty((params.lanes, most), np.int64)
        self._weights = np.zeros((2, ACTIVITY_TERMS), np.int32)
        self._left = np.zeros(len(self._derived.labels), np.uint32)
        self._histogram = NO_COUNTS if counts is None else counts
        self._prune = np.float32(prune_for_effort(effort))
        self._kept = kept
        self._entered: dict[int, _Entered] = {}
        self.hints = np.zeros((2, params.lanes))
        """Squared errors of the two levels before the finest, of the lanes' shares of the rows."""

    @property
    def fit(self) -> Fit:
        """The tile's own parameters."""
        return self._fit

    @property
    def finest_is_coded(self) -> bool:
        """Whether there is a finest pass that has residuals, or filters of its own."""
        return bool(self._steps) and bool(self._coded >> self._steps[-1].level & 1)

    def encode(self, weight: float = DEFAULT_LAMBDA) -> tuple[bytes, Pixels]:
        """Encode the tile; to be called once."""
        for step in self._steps:
            self._code_whole(step, weight)
        return self._finish()

    def begin(self) -> None:
        """Encode all but the finest pass, in place of `encode`; `again` is to code each of its lanes.

        There must be passes, which are coded in one turn.
        """
        for step in self._steps[:-1]:
            self._code_whole(step, DEFAULT_LAMBDA)
        finest = self._steps[-1]
        source, given, (samples, energies) = self._enter(finest)
        if self._density > 0:
            scaled = pass_step(self._params.step, finest.level)
            self._fit_pass(finest, PassInput(*given, source, scaled), again=False)
        # Filters of its own are sent with a coded pass alone.
        self._coded_lanes[:] = _has_own(self._fit, self._shared, finest.level)
        samples.fill(0)
        energies.fill(0)
        self._parents = self._samples, self._energies
        self._samples, self._energies = samples, energies

    def _enter(self, step: Pass) -> tuple[npt.NDArray[np.float32], _PlanePair, _PlanePair]:
        """Return what a pass codes, and its parents and children."""
        if self._kept and step is self._steps[-1] and step.level not in self._entered:
            bits = sum(token_bits(self._queue[k, :n]) for k, n in enumerate(self._filled))
            if bits > FEW_BITS * step.width * step.height:
                self._kept = False
                self._entered.clear()
        if not self._kept:
            # Those that are coded are of no more use; the finest one stays for `again`.
            self._sources = {
                level: plane for level, plane in self._sources.items() if level <= step.level
            }
        if not self._coded_lanes.any():
            self._filled, self._trellis = self._before
        self._before = self._filled.copy(), self._trellis.copy()
        self._coded_lanes[:] = False
        given = self._samples, self._energies
        if self._kept:
            filled, trellis = self._before
            self._entered[step.level] = _Entered(*given, filled.copy(), trellis.copy())
        return self._sources[step.level], given, new_planes(step, self._params.channels)

    def _code_whole(self, step: Pass, weight: float, *, fitted: bool = False) -> None:
        """Fit a pass, unless it is `fitted`, and code it."""
        source, given, children = self._enter(step)
        turns = 1 if fitted else self._turns
        for turn in range(turns):
            if self._density > 0 and not fitted:
                scaled = pass_step(self._params.step, step.level)
                self._fit_pass(step, PassInput(*given, source, scaled), again=turn > 0)
            counts = self._histogram if turn == turns - 1 else NO_COUNTS
            self._coded_lanes[:] = False
            self._code(step, source, children, weight, counts, (0, self._params.lanes))
        if not self._coded_lanes.any():
            self._without_residuals(step, source, children, weight)
        if self._kept and 1 <= step.level <= 2:
            rows = row_errors(children[0], source)
            for lane, own in enumerate(np.array_split(rows, self._params.lanes)):
                self.hints[step.level - 1, lane] = own.sum()
        if self._sink is not None:
            self._sink(step, self._state_of(step, source))
        self._parents = given
        self._samples, self._energies = children

    def _without_residuals(
        self,
        step: Pass,
        source: npt.NDArray[np.float32],
        children: tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]],
        weight: float,
    ) -> None:
        """Leave out filters of its own in a pass whose residuals are all zero, unless they are worth it."""
        level = step.level
        if not _has_own(self._fit, self._shared, level):
            return
        given = step, source, children, float(HUGE), NO_COUNTS, (0, self._params.lanes)
        groups = [numbers[level] for numbers in self._fit.passes]
        before = [numbers.copy() for numbers in groups]
        own = float(row_errors(children[0], source).sum())
        for numbers, shared in zip(groups, self._shared.passes, strict=True):
            numbers[...] = shared[level]
        self._code(*given)
        # Errors are in 1/64 sample; each stands for 2**level pixels.
        saved = (float(row_errors(children[0], source).sum()) - own) * 2.0**level / 4096
        bits = BITS_PER_FILTERS * len(source) + step.rows * step.columns * BITS_PER_ZERO
        if saved <= weight * bits * (self._params.step / STEP_SCALE) ** 2:
            return
        for numbers, kept in zip(groups, before, strict=True):
            numbers[...] = kept
        self._coded_lanes[:] = True
        self._code(*given)

    def _fit_pass(self, step: Pass, given: PassInput, *, again: bool) -> None:
        """Fit the filters and weights of a pass, once more if it was coded with some before."""
        if again:
            fit_pass(step, given, self._fit, self._density, self._rows)
            return
        for share in self._shares:
            fit_pass(step, given, self._fit, share * self._density)

    def again(self, weight: float, lane: int) -> tuple[bytes, Pixels]:
        """Encode one lane of the finest pass anew, from what `encode` made of the coarser passes.

        It takes little time, and PSNR and size follow the weight smoothly.
        """
        if self._steps:
            children = self._samples, self._energies
            self._samples, self._energies = self._parents
            finest = self._steps[-1]
            given = finest, self._sources[finest.level], children, weight
            self._code(*given, NO_COUNTS, (lane, lane + 1))
            self._samples, self._energies = children
        return self._finish()

    def from_level(self, weight: float, level: int) -> tuple[bytes, Pixels]:
        """Encode passes from a level on anew, with the filters there are; a tile of many bits stays."""
        steps = [step for step in self._steps if step.level <= level]
        if steps and self._kept:
            entered = self._entered[steps[0].level]
            self._samples, self._energies = entered.samples, entered.energies
            self._filled, self._trellis = entered.filled.copy(), entered.trellis.copy()
            self._coded &= -2 << level
            self._coded_lanes[:] = True  # of the pass before, as tokens are those after it
            for step in steps:
                self._code_whole(step, weight, fitted=True)
        return self._finish()

    def bits_of_levels(self) -> npt.NDArray[np.float64]:
        """Return about the bits of each level's residuals that `from_level` can change, finest first."""
        bits = np.zeros(PASSES)
        if not self._kept:
            return bits
        end = self._filled if self._coded_lanes.any() else self._before[0]
        for step in self._steps[::-1]:
            begin = self._entered[step.level].filled
            for lane, (first, last) in enumerate(zip(begin, end, strict=True)):
                bits[step.level] += token_bits(self._queue[lane, first:last])
            end = begin
        return bits

    def rows_of(self, lane: int) -> slice:
        """Return the rows of pixels that a lane of the finest pass is about."""
        height = self._size[1]
        if not self._steps:
            return slice(0, height if lane == 0 else 0)
        step = self._steps[-1]
        ends = np.cumsum([0, *lane_rows(step.rows, self._params.lanes)])
        if not step.along_x:
            ends = 2 * ends
        # An odd last row is on its own.
        last = ends[lane + 1] >= ends[-1] > ends[lane]
        return slice(int(ends[lane]), height if last else int(ends[lane + 1]))

    def relaxed(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Return targets for another encoder, after `encode`."""
        width, height = self._size
        planes = self._samples[:, 2 : height + 2, 2 : width + 2]
        return relaxed_targets(pixels, planes, self._fit.colour, self._params)

    def _room(self, step: Pass) -> int:
        """Return how many tokens a lane of a pass may have."""
        return TOKENS_PER_PAIR * step.columns * max(lane_rows(step.rows, self._params.lanes))

    def _state_of(self, step: Pass, source: npt.NDArray[np.float32]) -> dict[str, Any]:
        """Return the state of a pass that was just coded, for the sink."""
        rows = self._rows
        return {"parents": self._samples, "energies": self._energies, "source": source,
                "differences": rows.differences[0], "residuals": rows.residuals[0],
                "lanes": rows.residuals, "magnitudes": rows.magnitudes[0],
                "scaled": pass_step(self._params.step, step.level)}  # fmt: skip

    def _code(
        self,
        step: Pass,
        source: npt.NDArray[np.float32],
        children: tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]],
        weight: float,
        counts: npt.NDArray[np.int64],
        lanes: tuple[int, int],
    ) -> None:
        """Code lanes of a pass with the filters and weights there are."""
        chosen = slice(*lanes)
        for now, before in zip((self._filled, self._trellis), self._before, strict=True):
            now[chosen] = before[chosen]
        for lane in range(*lanes):
            self._streams.pop(lane, None)
        scaled = pass_step(self._params.step, step.level)
        pass_weights(self._fit.activity[step.level], scaled, self._weights)
        entry_weights(self._derived.vectors, self._weights, self._left)
        any_coded = encode_pass(
            self._samples, self._energies, *children, source, step.rows, step.columns,
            step.width, step.height, step.along_x,
            self._fit.luma[step.level], self._fit.chroma[step.level], self._fit.smooth,
            self._weights, self._left, np.int32(scaled), (1 << 29) // scaled,
            self._trellis, *lanes, np.float32(weight), self._prune, self._sizes,
            tuple(self._derived), *self._search, self._work, self._queue, self._filled,
            counts, self._rows.residual, self._rows.context(),
        )  # fmt: skip
        # Once its own filters are written, a pass stays coded.
        self._coded_lanes[chosen] |= any_coded
        coded = int(self._coded_lanes.any()) << step.level
        self._coded = self._coded & ~(1 << step.level) | coded

    def _finish(self) -> tuple[bytes, Pixels]:
        """Return the tile's bytes and the pixels that a decoder will make of them."""
        (width, height), channels = self._size, self._params.channels
        out = np.empty((height, width, channels), f"<u{self._params.bit_depth // 8}")
        deep, row = self._params.bit_depth > 8, out[0].nbytes
        to_pixels(
            self._samples,
            width,
            height,
            self._fit.colour,
            np.empty((channels, width), np.uint8),
            deep,
            out.reshape(-1).view(np.uint8),
            row,
        )
        bits = np.zeros(MAX_FIT_BITS + MAX_NUMBER_BITS * self._base.size, np.uint8)
        n = write_fit(self._fit, self._shared, self._params, self._coded, bits)
        head = np.packbits(bits[: encode_base(self._base, bits, n)]).tobytes()
        data = _assemble(self._coded, head, self._lane_streams() if self._coded else [])
        return data, out.astype(self._params.dtype, copy=False)

    def _lane_streams(self) -> list[bytes]:
        """Return the bytes of each lane; those known already are not made again."""
        filled = self._filled if self._coded_lanes.any() else self._before[0]
        words = np.empty(int(filled.max()) + 2, np.uint16)
        for lane, count in enumerate(map(int, filled)):
            if self._streams.get(lane, (-1, b""))[0] != count:
                first = encode_tokens(self._queue[lane], count, words)
                self._streams[lane] = count, words[first:].astype("<u2").tobytes()
        return [self._streams[lane][1] for lane in range(len(filled))]


def start_fit(
    pixels: Pixels, params: PyramidParams, model: PyramidModel, *, thorough: bool, smooth: bool
) -> Fit:
    """Return a tile's colour matrix with filters and weights to start from, to be changed by pass."""
    band, noisy = model.band(params.step), False
    if params.channels == 3:
        colour, noisy = choose_colour(pixels, params.step, thorough=thorough)
    fit = model_fit(tables_of(model, params, noisy=noisy), band, smooth=smooth)
    return fit._replace(colour=colour if params.channels == 3 else fit.colour, noisy=noisy)


def with_own_colour(fit: Fit, pixels: Pixels, params: PyramidParams) -> Fit:
    """Return a fit to another tile with the colour matrix of this one."""
    if params.channels != 3:
        return fit
    return fit._replace(colour=choose_colour(pixels, params.step).matrix)


def _has_own(fit: Fit, shared: Fit, level: int) -> bool:
    """Tell whether a level has other filters or weights than the model's."""
    pairs = zip(fit.passes, shared.passes, strict=True)
    return any(bool((own[level] != model[level]).any()) for own, model in pairs)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _assemble(coded: int, base: bytes, lanes: list[bytes]) -> bytes:
    """Mask of coded passes, lengths, base plane, lanes."""
    head = bytes([coded & 255, coded >> 8]) + _varint(len(base))
    head += b"".join(_varint(len(lane) // 2) for lane in lanes)
    return head + base + b"".join(lanes)
