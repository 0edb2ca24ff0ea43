"""Chooses how a tile is coded: fitted or not, or without loss (encoder only)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.lossless import MAX_COLOURS, encode_within, looks_drawn
from rnnic.lossless.merging import Colours, colours_to_keep, distinct_colours, merged
from rnnic.metrics import squared_error
from rnnic.pyramid.clipping import clipped_share
from rnnic.pyramid.colour import DEPTH_SCALE
from rnnic.pyramid.encoder import (
    FITS,
    TileEncoder,
    fit_density,
    states_for_effort,
    with_own_colour,
)
from rnnic.pyramid.fit import Fit
from rnnic.pyramid.format import EXACT, PASSES, STEP_SCALE, PyramidParams
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.search import DEFAULT_LAMBDA
from rnnic.pyramid.search import EXACT as EXACT_SEARCH

__all__ = ["BestTile", "TileMemory", "cost_of"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
FLAT_BITS = 0.125
"""Below as many bits a pixel, a tile's own filters may cost more than they save."""
SMOOTH_BITS, SMALL = 0.4, 1500
"""Below as many, or in all below so many bytes, it is tried as a smooth surface."""
LEAST_RELAXED = 8
"""Efforts from this one on encode tiles with clipped samples more than once."""
MUCH_CLIPPED = 0.01
RELAXATIONS = 2
LEAST_IN_PARTS = 64
"""Smaller tiles are quick, and may not have all lanes."""
NEAR_STEPS, NEAR_STEPS_SAMPLE = 0.25, 0.5
"""Filters fitted at a step serve others whose logarithm differs by at most so much; in samples, which need
not be coded well, by more, since another kind of tables would mislead a search."""
SAME_WAY_STEPS = 0.7
"""The same of the way that was best. Without this, files of a few kilobytes with a target would take more
than twice as long as one encode."""
SAME_STEPS = 0.05
"""Beyond this difference, they are fitted once more, from what they are: brick walls gain 3 %."""
HOPE = 0.5
"""The least effort makes a tile hardly more than twice as costly as the others."""
MUCH_MORE = 1.25
"""A tile that was hopeless without loss is tried again when so many times the bytes are worth it."""
BITS_PER_COLOUR = 150.0
"""What a colour less saves in drawings, about: its place in the palette, and more even statistics."""


def cost_of(pixels: Pixels, rebuilt: Pixels, step: float, size: int) -> float:
    """Return squared errors in steps plus weighted bits; ``step`` in samples, ``size`` in bytes."""
    return squared_error(pixels, rebuilt)[0] / step**2 + DEFAULT_LAMBDA * 8 * size


class _Way(NamedTuple):
    """A way to code a tile as a pyramid: with filters fitted to it or not, as a smooth surface or not."""

    tune: bool
    smooth: bool


PLAIN = _Way(tune=True, smooth=False)


class _Fitted(NamedTuple):
    """What was fitted to a tile, with what, and the way that was best where several were tried."""

    fit: Fit
    density: float
    step: int
    way: _Way | None


@dataclass
class _Tried:
    """Pixels to be coded without loss, unless that needs far more bytes than were ever worth it.

    ``key`` tells which of a tile's colours they have.
    """

    pixels: Pixels
    key: bytes = b""
    data: bytes | None = None
    hopeless: float = 0.0
    """The most bytes that it was tried for in vain."""

    def code(self, colours: Callable[[], Colours], most: float) -> bytes | None:
        """Return the data; None where far more than ``most`` bytes are needed."""
        if self.data is None and most > MUCH_MORE * self.hopeless:
            self.data = encode_within(colours(), most, self.pixels)
            self.hopeless = most
        return self.data


class TileMemory:
    """What encodes of the same tile at several steps share.

    That is what depends on its pixels alone, and filters fitted at a step that is near; at first those of
    a ``usual`` tile, of another image. Those of a ``sample`` need not be good.
    """

    def __init__(self, pixels: Pixels, *, sample: bool = False) -> None:
        self._pixels, self._sample = pixels, sample
        self._near = NEAR_STEPS_SAMPLE if sample else NEAR_STEPS
        self.usual: TileMemory | None = None
        self._exact = _Tried(pixels)
        self._merged = _Tried(pixels)
        self._own: _Fitted | None = None
        self.flat = False
        """Whether the tile once needed so few bits that its finest pass may have none."""

    @cached_property
    def drawn(self) -> bool:
        """Whether the tile may need few bytes without loss."""
        return looks_drawn(self._pixels)

    @property
    def may_pay(self) -> bool:
        """Whether the tile was coded without loss before, and needed not far more bytes than it was worth."""
        return self._exact.data is not None or self._merged.data is not None

    @cached_property
    def _colours(self) -> Colours:
        return distinct_colours(self._pixels)

    def exact(self, limit: float, most: float) -> Iterator[tuple[bytes, Pixels]]:
        """Yield the tile without loss, and merged, unless far more than ``most`` bytes are needed.

        ``limit`` is that of `rnnic.lossless.merging.colours_to_keep`.
        """
        data = self._exact.code(lambda: self._colours, most)
        if data is not None:
            yield data, self._pixels
        kept = colours_to_keep(self._colours, limit, MAX_COLOURS)
        if len(kept) == len(self._colours.table):
            return
        key, fresh = kept.tobytes(), None
        if self._merged.key != key:
            fresh = merged(self._colours, kept)
            self._merged = _Tried(fresh.pixels(), key)
        data = self._merged.code(lambda: fresh or merged(self._colours, kept), most)
        if data is not None:
            yield data, self._merged.pixels

    def _last(self, step: int, effort: int, farthest: float) -> _Fitted | None:
        """Return what was fitted last, unless with other samples or at a step too far away."""
        last = self.usual._own if self._own is None and self.usual is not None else self._own
        if last is None or last.density != fit_density(effort):
            return None
        return last if abs(math.log(step / last.step)) <= farthest else None

    def knows(self, step: int, effort: int) -> bool:
        """Tell whether what was fitted last suits."""
        return self._last(step, effort, self._near) is not None

    def fit_near(self, params: PyramidParams, effort: int) -> Fit | None:
        """Return what was fitted last, if that suits; what was fitted to another tile, with own colours."""
        last = self._last(params.step, effort, self._near)
        if last is None:
            return None
        theirs = self._own is None and not self._sample
        return with_own_colour(last.fit, self._pixels, params) if theirs else last.fit

    def way_near(self, step: int, effort: int) -> _Way | None:
        """Return the way that was best when several were tried, if it will be again."""
        last = self._last(step, effort, SAME_WAY_STEPS)
        return None if last is None else last.way

    def fits(self, step: int, effort: int) -> bool:
        """Tell whether what was fitted last is as good as what would be fitted at a step, or good enough."""
        if self._sample:
            return self.knows(step, effort)
        return self._own is not None and abs(math.log(step / self._own.step)) <= SAME_STEPS

    def shares(self, step: int, effort: int) -> tuple[float, ...]:
        """Return shares of the samples for the fits at a step, one after the other."""
        if self._sample:
            return FITS[:1]
        return FITS[-1:] if self._own is not None and self.knows(step, effort) else FITS

    def keep_fit(self, fit: Fit, step: int, effort: int, way: _Way | None) -> None:
        """Keep what was fitted."""
        self._own = _Fitted(fit, fit_density(effort), step, way)


class BestTile:
    """Encodes a tile in the way that costs least.

    Drawn tiles are tried without loss too, and with fewer colours: few colours and sharp edges often need
    fewer bytes so.

    Parameters
    ----------
    pixels, params, model, effort, neighbors
        Those of `rnnic.pyramid.encoder.encode_tile`.
    exact : bool
        Whether it may be without loss.
    kept : bool
        Whether there are to be `hints`, and `from_level`.
    memory : TileMemory, optional
        What encodes before found; changed.
    """

    def __init__(
        self,
        pixels: Pixels,
        params: PyramidParams,
        model: PyramidModel,
        effort: int,
        neighbors: Any = EXACT_SEARCH,
        *,
        exact: bool = True,
        kept: bool = False,
        memory: TileMemory | None = None,
    ) -> None:
        self._pixels, self._params, self._model, self._effort = pixels, params, model, effort
        self._neighbors, self._kept = neighbors, kept
        self._memory = TileMemory(pixels) if memory is None else memory
        self._try_exact = exact and self._memory.drawn
        self._chosen: TileEncoder | None = None

    def encode(self, weight: float = DEFAULT_LAMBDA) -> tuple[bytes, Pixels]:
        """Encode the tile."""
        pixels, params = self._pixels, self._params
        step = params.step / STEP_SCALE * DEPTH_SCALE[params.bit_depth]

        def cost(coded: tuple[bytes, Pixels]) -> float:
            data, rebuilt = coded
            return cost_of(pixels, rebuilt, step, len(data))

        limit = BITS_PER_COLOUR * DEFAULT_LAMBDA * step**2

        def without_loss(most: float) -> Iterator[tuple[bytes, Pixels]]:
            for payload, drawn in self._memory.exact(limit, most):
                yield EXACT.to_bytes(2, "little") + payload, drawn

        if self._try_exact and self._memory.may_pay:
            # Where the least effort is much worse, fitted filters are not worth trying.
            enough = HOPE * cost(self._quick(weight))
            found = min(without_loss(enough / (8 * DEFAULT_LAMBDA)), key=cost, default=None)
            if found is not None and cost(found) < enough:
                self._chosen, self._best = None, found
                return found
        best = self._lossy(weight, cost)
        if self._try_exact:
            most = cost(best) / (8 * DEFAULT_LAMBDA)
            found = min(without_loss(most), key=cost, default=None)
            if found is not None and cost(found) < cost(best):
                best, self._chosen = found, None
        self._best = best
        return best

    def _quick(self, weight: float) -> tuple[bytes, Pixels]:
        """Encode the tile as a pyramid with the least effort."""
        params = replace(self._params, states=states_for_effort(1))
        return TileEncoder(self._pixels, params, self._model, 1, self._neighbors).encode(weight)

    def _lossy(
        self, weight: float, cost: Callable[[tuple[bytes, Pixels]], float]
    ) -> tuple[bytes, Pixels]:
        """Encode the tile as a pyramid."""
        pixels, params, effort = self._pixels, self._params, self._effort
        given = pixels, params, self._model, effort, self._neighbors
        known = self._memory.fit_near(params, effort)
        before = self._memory.way_near(params.step, effort)
        way = PLAIN if before is None else before
        tune = way.tune and not (known and self._memory.fits(params.step, effort))
        shares = self._memory.shares(params.step, effort)
        self._chosen = TileEncoder(
            *given, tune=tune, fit=known, shares=shares, kept=self._kept, smooth=way.smooth
        )
        best = self._chosen.encode(weight)
        if effort >= LEAST_RELAXED and clipped_share(pixels) > MUCH_CLIPPED:
            for _ in range(RELAXATIONS):
                fit, targets = self._chosen.fit, self._chosen.relaxed(pixels)
                again = TileEncoder(*given, tune=tune, fit=fit, targets=targets, kept=self._kept)
                other = again.encode(weight)
                if cost(other) >= cost(best):
                    break
                best, self._chosen = other, again
        size = len(best[0])
        bits = 8 * size / pixels[:, :, 0].size
        if known is None and before is None and fit_density(effort) > 0:
            ways = [_Way(tune=False, smooth=False)] if bits < FLAT_BITS else []
            ways += [_Way(tune=True, smooth=True)] if bits < SMOOTH_BITS or size < SMALL else []
            for one in ways:
                trial = TileEncoder(*given, tune=one.tune, smooth=one.smooth, kept=self._kept)
                other = trial.encode(weight)
                if cost(other) < cost(best):
                    best, self._chosen, way = other, trial, one
            before = way if ways else None
        self._memory.flat |= bits < FLAT_BITS or not self._chosen.finest_is_coded
        if tune:
            self._memory.keep_fit(self._chosen.fit, params.step, effort, before)
        return best

    @property
    def may_be_exact(self) -> bool:
        """Whether `encode` tries the tile without loss."""
        return self._try_exact

    @property
    def has_parts(self) -> bool:
        """Whether `begin` may take the place of `encode`: there is only one way worth trying."""
        memory = self._memory
        return (
            memory.knows(self._params.step, self._effort)
            and fit_density(self._effort) > 0
            and self._effort < LEAST_RELAXED
            and not (self._try_exact or memory.flat)
            and min(self._pixels.shape[:2]) >= LEAST_IN_PARTS
        )

    @property
    def hints(self) -> npt.NDArray[np.float64]:
        """`TileEncoder.hints`; zero for a tile without loss."""
        return np.zeros((2, self._params.lanes)) if self._chosen is None else self._chosen.hints

    def begin(self) -> None:
        """Encode the tile but for its finest pass, whose lanes `again` is to code."""
        step, memory = self._params.step, self._memory
        given = self._pixels, self._params, self._model, self._effort, self._neighbors
        known = memory.fit_near(self._params, self._effort)
        tune, shares = not memory.fits(step, self._effort), memory.shares(step, self._effort)
        self._chosen = TileEncoder(*given, tune=tune, fit=known, shares=shares, kept=self._kept)
        self._chosen.begin()
        if tune:
            way = memory.way_near(step, self._effort)
            memory.keep_fit(self._chosen.fit, step, self._effort, way)

    def rows_of(self, lane: int) -> slice:
        """Return the rows of pixels that a lane is about; a tile without loss has none."""
        return slice(0, 0) if self._chosen is None else self._chosen.rows_of(lane)

    def again(self, weight: float, lane: int) -> tuple[bytes, Pixels]:
        """Encode a lane of the finest pass anew; a tile without loss stays as it is."""
        if self._chosen is not None:
            self._best = self._chosen.again(weight, lane)
        return self._best

    def from_level(self, weight: float, level: int) -> tuple[bytes, Pixels]:
        """Encode passes from a level on anew; a tile without loss stays as it is."""
        if self._chosen is not None:
            self._best = self._chosen.from_level(weight, level)
        return self._best

    def bits_of_levels(self) -> npt.NDArray[np.float64]:
        """Return what `TileEncoder.bits_of_levels` does; zero for a tile without loss."""
        return np.zeros(PASSES) if self._chosen is None else self._chosen.bits_of_levels()
