"""Alpha: coded without loss, tile by tile; and what takes the place of colours that nobody sees."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.lossless import decode_lossless, encode_lossless

__all__ = ["decode_alpha", "encode_alpha", "fill_hidden", "quantised_alpha"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Floats = npt.NDArray[np.float32]
LOSSLESS_QUALITY = 100.0
MID_GREY = {"uint8": 128, "uint16": 128 * 257}
"""What both methods predict where nothing is known yet."""


def encode_alpha(alpha: Pixels) -> bytes:
    """Encode the alpha of a tile, uint8 or uint16 (h, w); one sample stands for a constant."""
    first = alpha[0, 0]
    if bool((alpha == first).all()):
        return int(first).to_bytes(alpha.itemsize, "big")
    return encode_lossless(np.ascontiguousarray(alpha[:, :, None]))


def decode_alpha(part: bytes, height: int, width: int, dtype: npt.DTypeLike) -> Pixels:
    """Decode what `encode_alpha` returned, into (h, w).

    Raises
    ------
    FormatError, TruncatedError
        If no encoder writes such data.
    """
    kind: np.dtype[Any] = np.dtype(dtype)
    if len(part) == kind.itemsize:
        return np.full((height, width), int.from_bytes(part, "big"), kind)
    return decode_lossless(part, (height, width, 1), kind)[:, :, 0]


def quantised_alpha(alpha: Pixels, quality: float) -> Pixels:
    """Return alpha with fewer levels; the least and the greatest one are always among them.

    Parameters
    ----------
    alpha : uint8 or uint16 (H, W)
    quality : float
        0 … 100: 2 levels at 0, 16 at 70, 256 just below 100, where nothing is changed.
    """
    if quality == LOSSLESS_QUALITY:
        return alpha
    steps = round(1 + quality / 5) if quality <= 70 else round(15 + (quality - 70) * 8)
    top = int(np.iinfo(alpha.dtype).max)
    values = np.arange(top + 1, dtype=np.int64)
    index = (2 * values * steps + top) // (2 * top)
    table = ((2 * index * top + steps) // (2 * steps)).astype(alpha.dtype)
    found: Pixels = table[alpha]
    return found


def fill_hidden(colour: Pixels, alpha: Pixels) -> None:
    """Replace the colours under alpha 0, in place, by what is smooth and meets those beside it.

    Parameters
    ----------
    colour : uint8 or uint16 (h, w, c)
    alpha : (h, w)
    """
    hidden = alpha == 0
    if not hidden.any():
        return
    if hidden.all():
        colour[:] = MID_GREY[colour.dtype.name]
        return
    filled = _pull_push(colour.astype(np.float32), ~hidden)
    colour[hidden] = np.rint(filled[hidden]).astype(colour.dtype)


def _pull_push(values: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """Fill unknown values from means at ever coarser scales (Gortler et al. 1996, section 3.4)."""
    if known.all():
        return values
    height, width = known.shape
    odd = ((0, height % 2), (0, width % 2))
    weights = np.pad(known, odd).astype(np.float32)
    masked = np.pad(values * known[:, :, None], (*odd, (0, 0)))
    counts = _sum_blocks(weights[:, :, None])
    means = _sum_blocks(masked) / np.maximum(counts, 1)
    coarse = _pull_push(means.astype(np.float32), counts[:, :, 0] > 0)
    smooth = _smooth_rows(_smooth_rows(coarse.repeat(2, 0)).swapaxes(0, 1).repeat(2, 0))
    smooth = smooth.swapaxes(0, 1)[:height, :width]
    found: Floats = np.where(known[:, :, None], values, smooth)
    return found


def _sum_blocks(values: Floats) -> Floats:
    """Return the sums of blocks of 2 x 2."""
    total: Floats = (
        values[0::2, 0::2] + values[1::2, 0::2] + values[0::2, 1::2] + values[1::2, 1::2]
    )
    return total


def _smooth_rows(values: Floats) -> Floats:
    """Return rows averaged with those above and below, weights 1, 2, 1."""
    padded = np.pad(values, ((1, 1), (0, 0), (0, 0)), mode="edge")
    mean: Floats = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) * np.float32(0.25)
    return mean
