"""What a tile has of its own: colour matrix, prediction filters, activity weights (SPEC.md 5.3)."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.errors import FormatError, TruncatedError
from rnnic.pyramid.base import MAX_NUMBER_BITS
from rnnic.pyramid.fit_kernels import TAP_UNIT, WEIGHT_UNIT, get_own, put_own
from rnnic.pyramid.format import PyramidParams, uses_noisy
from rnnic.pyramid.model import (
    ACTIVITY_TERMS,
    CHROMA_TAPS,
    LUMA_TAPS,
    MAX_ACTIVITY_WEIGHT,
    MAX_TAP_SUM,
    PASSES,
    ColourTables,
    PyramidModel,
)

__all__ = [
    "DEFAULT_COLOUR",
    "TAP_UNIT",
    "WEIGHT_UNIT",
    "Fit",
    "model_fit",
    "nearest_fit",
    "read_fit",
    "tables_of",
    "write_fit",
]

DEFAULT_COLOUR = (9459, 9459, 9459, 11585, 0, -11585, 6689, -13377, 6689)
"""Luma and two colour differences, orthonormal, in 1/16384; rows are components."""
_NUMBERS = LUMA_TAPS + 2 * CHROMA_TAPS + 2 * ACTIVITY_TERMS
MAX_FIT_BITS = 3 + 9 * 16 + PASSES * (5 + MAX_NUMBER_BITS * _NUMBERS)
"""Room that a fit needs at most: five groups of numbers a pass, with a bit each."""


SMOOTH_TAPS = 704, -96
"""Of the first two slopes, in 1/2048: what undoes the halving of a cubic."""


class Fit(NamedTuple):
    """A tile's own parameters.

    Attributes
    ----------
    colour : int32 array, (3, 3)
        Rows are the components, columns R, G, B, in 1/16384; not used for grey.
    luma, chroma, activity : arrays by level
        As in `rnnic.pyramid.model.ColourTables`, of one band.
    smooth : bool
        Whether the tile is coded as a smooth surface: filters are given by what they differ from those for
        one, not from the model's, and planes go on with their slopes beyond their borders.
    noisy : bool
        Whether the tile is coded with the tables for noisy images, where a file can have these.
    """

    colour: npt.NDArray[np.int32]
    luma: npt.NDArray[np.int16]
    chroma: npt.NDArray[np.int16]
    activity: npt.NDArray[np.uint16]
    smooth: bool = False
    noisy: bool = False

    @property
    def passes(self) -> tuple[npt.NDArray[Any], ...]:
        """What each pass has its own of."""
        return self.luma, self.chroma, self.activity


def model_fit(tables: ColourTables, band: int, *, smooth: bool = False) -> Fit:
    """Return the parameters of a tile that has none of its own; not to be changed."""
    colour = np.array(DEFAULT_COLOUR, np.int32).reshape(3, 3)
    luma, chroma = tables.luma_taps[band], tables.chroma_taps[band]
    if smooth:
        luma, chroma = np.zeros_like(luma), np.zeros_like(chroma)
        luma[..., :2] = chroma[..., :2] = SMOOTH_TAPS
    return Fit(colour, luma, chroma, tables.activity[band], smooth)


def nearest_fit(fit: Fit, model: Fit) -> Fit:
    """Return what comes nearest to a fit among those that can be sent with `model_fit`'s."""

    def nearest(own: npt.NDArray[Any], start: npt.NDArray[Any], unit: int) -> npt.NDArray[np.int64]:
        first = start.astype(np.int64)
        return first + unit * np.rint((own - first) / unit).astype(np.int64)

    def taps(own: npt.NDArray[np.int16], start: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        moved = nearest(own, start, int(TAP_UNIT))
        fits = np.abs(moved).sum(axis=-1, keepdims=True) <= MAX_TAP_SUM
        return np.where(fits, moved, start).astype(np.int16)

    weights = nearest(fit.activity, model.activity, int(WEIGHT_UNIT))
    valid = (weights >= 0) & (weights <= MAX_ACTIVITY_WEIGHT)
    activity = np.where(valid, weights, model.activity).astype(np.uint16)
    luma, chroma = taps(fit.luma, model.luma), taps(fit.chroma, model.chroma)
    return Fit(fit.colour.copy(), luma, chroma, activity, fit.smooth, fit.noisy)


def tables_of(model: PyramidModel, params: PyramidParams, *, noisy: bool) -> ColourTables:
    """Return the tables of a tile, those for noisy images if it is one and the file can have them."""
    return model.tables(params.channels, noisy=noisy and uses_noisy(params))


def write_fit(
    fit: Fit, model: Fit, params: PyramidParams, coded: int, bits: npt.NDArray[np.uint8]
) -> int:
    """Write a fit into ``bits`` (uint8, one bit each), which has room for it.

    ``model`` is `model_fit`'s. ``coded`` tells the coded passes; filters of others are not written. Returns
    how many bits.
    """
    colour = fit.colour.reshape(-1) if params.channels == 3 else np.zeros(0, np.int32)
    bits[0], at = fit.smooth, 1
    if uses_noisy(params):
        bits[1], at = fit.noisy, 2
    written: int = put_own(
        colour, model.colour.reshape(-1), *fit.passes, model.passes, bits, coded, at
    )
    return written


def read_fit(
    bits: npt.NDArray[np.uint8], model: PyramidModel, params: PyramidParams, coded: int
) -> tuple[Fit, int]:
    """Read a fit; returns it and the number of bits read.

    Raises
    ------
    FormatError, TruncatedError
        If it is outside the limits of the format, or ``bits`` end too early.
    """
    if len(bits) < 2:  # there is a byte, or none
        raise TruncatedError("a tile's own parameters are truncated")
    smooth, noisy = bool(bits[0]), uses_noisy(params) and bool(bits[1])
    tables = tables_of(model, params, noisy=noisy)
    start = model_fit(tables, model.band(params.step), smooth=smooth)
    colour = start.colour.reshape(-1).astype(np.int64)
    luma, chroma = start.luma.astype(np.int64), start.chroma.astype(np.int64)
    activity = start.activity.astype(np.int64)
    at = 2 if uses_noisy(params) else 1
    n: int = get_own(bits, params.channels, coded, colour, luma, chroma, activity, at)
    if n > len(bits):
        raise TruncatedError("a tile's own parameters are truncated")
    if n < 0:
        raise FormatError("a tile's own parameters are out of range")
    fit = Fit(
        colour.reshape(3, 3).astype(np.int32),
        luma.astype(np.int16),
        chroma.astype(np.int16),
        activity.astype(np.uint16),
        smooth,
        noisy,
    )
    return fit, n
