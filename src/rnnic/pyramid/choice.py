"""Chooses how a tile is coded: fitted or not, or without loss (encoder only)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.lossless import MAX_COLOURS, encode_lossless, looks_drawn, merge_colours
from rnnic.pyramid.clipping import clipped_share
from rnnic.pyramid.colour import DEPTH_SCALE
from rnnic.pyramid.encoder import DEFAULT_LAMBDA, TileEncoder, fit_density
from rnnic.pyramid.format import EXACT, STEP_SCALE, PyramidParams
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.search import EXACT as EXACT_SEARCH

__all__ = ["BestTile", "cost_of"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
FLAT_BITS = 0.125
"""Below as many bits a pixel, a tile's own filters may cost more than they save."""
LEAST_RELAXED = 8
"""Efforts from this one on encode tiles with clipped samples more than once."""
MUCH_CLIPPED = 0.01
RELAXATIONS = 2
BITS_PER_COLOUR = 150.0
"""What a colour less saves in drawings, about: its place in the palette, and more even statistics."""


def cost_of(pixels: Pixels, rebuilt: Pixels, step: float, size: int) -> float:
    """Return squared errors in steps plus weighted bits; ``step`` in samples, ``size`` in bytes."""
    # Row by row, since floats take four times the room.
    error = sum(
        float(np.square(own.astype(np.float32) - other).sum(dtype=np.float64))
        for own, other in zip(pixels, rebuilt, strict=True)
    )
    return error / step**2 + DEFAULT_LAMBDA * 8 * size


class BestTile:
    """Encodes a tile in the way that costs least.

    Drawn tiles are tried without loss too, and with fewer colours: few colours and sharp edges often need
    fewer bytes so.
    Parameters are those of `rnnic.pyramid.encoder.encode_tile`, and whether it may be without loss.
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
    ) -> None:
        self._pixels, self._params, self._model, self._effort = pixels, params, model, effort
        self._neighbors = neighbors
        self._try_exact = exact and looks_drawn(pixels)
        self._chosen: TileEncoder | None = None

    def encode(self, weight: float = DEFAULT_LAMBDA) -> tuple[bytes, Pixels]:
        """Encode the tile."""
        pixels, params = self._pixels, self._params
        step = params.step / STEP_SCALE * DEPTH_SCALE[params.bit_depth]
        given = pixels, params, self._model, self._effort, self._neighbors

        def cost(coded: tuple[bytes, Pixels]) -> float:
            data, rebuilt = coded
            return cost_of(pixels, rebuilt, step, len(data))

        self._chosen = TileEncoder(*given)
        best = self._chosen.encode(weight)
        if self._effort >= LEAST_RELAXED and clipped_share(pixels) > MUCH_CLIPPED:
            for _ in range(RELAXATIONS):
                again = TileEncoder(*given, like=self._chosen)
                other = again.encode(weight)
                if cost(other) >= cost(best):
                    break
                best, self._chosen = other, again
        if fit_density(self._effort) > 0 and 8 * len(best[0]) < FLAT_BITS * pixels[:, :, 0].size:
            plain = TileEncoder(*given, tune=False)
            other = plain.encode(weight)
            if cost(other) < cost(best):
                best, self._chosen = other, plain
        if self._try_exact:
            limit = BITS_PER_COLOUR * DEFAULT_LAMBDA * step**2
            merged = merge_colours(pixels, limit, MAX_COLOURS)
            for drawn in (pixels,) if merged is pixels else (pixels, merged):
                data = EXACT.to_bytes(2, "little") + encode_lossless(np.ascontiguousarray(drawn))
                if cost((data, drawn)) < cost(best):
                    best, self._chosen = (data, drawn), None
        self._best = best
        return best

    def again(self, weight: float, lane: int) -> tuple[bytes, Pixels]:
        """Encode a lane of the finest pass anew; a tile without loss stays as it is."""
        if self._chosen is not None:
            self._best = self._chosen.again(weight, lane)
        return self._best
