"""Chooses how a tile is coded: fitted or not, or without loss (encoder only)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.lossless import encode_lossless, looks_drawn
from rnnic.pyramid.colour import DEPTH_SCALE
from rnnic.pyramid.encoder import DEFAULT_LAMBDA, encode_tile, fit_density
from rnnic.pyramid.format import EXACT, STEP_SCALE, PyramidParams
from rnnic.pyramid.model import PyramidModel

__all__ = ["encode_best"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
FLAT_BITS = 0.125
"""Below as many bits a pixel, a tile's own filters may cost more than they save."""


def encode_best(
    pixels: Pixels, params: PyramidParams, model: PyramidModel, effort: int
) -> tuple[bytes, Pixels]:
    """Encode a tile in the way that costs least, as `rnnic.pyramid.encoder.encode_tile` does.

    Drawn tiles are tried without loss too: few colours and sharp edges often need fewer bytes so.
    """
    step = params.step / STEP_SCALE * DEPTH_SCALE[params.bit_depth]

    def cost(coded: tuple[bytes, Pixels]) -> float:
        data, rebuilt = coded
        error = np.square(pixels.astype(np.float32) - rebuilt).sum(dtype=np.float64)
        return float(error / step**2 + DEFAULT_LAMBDA * 8 * len(data))

    best = encode_tile(pixels, params, model, effort)
    if fit_density(effort) > 0 and 8 * len(best[0]) < FLAT_BITS * pixels[:, :, 0].size:
        best = min(best, encode_tile(pixels, params, model, effort, tune=False), key=cost)
    if looks_drawn(pixels):
        exact = EXACT.to_bytes(2, "little") + encode_lossless(np.ascontiguousarray(pixels))
        best = min(best, (exact, pixels), key=cost)
    return best
