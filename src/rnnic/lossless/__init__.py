"""Lossless coding of drawn content and masks: filtered rows or palette indices, deflated (SPEC.md 6)."""

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.errors import FormatError, TruncatedError
from rnnic.lossless.filters import FILTERS, filter_rows, unfilter_rows
from rnnic.lossless.merging import Colours, distinct_colours

__all__ = ["MAX_COLOURS", "decode_lossless", "encode_lossless", "encode_within", "looks_drawn"]

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
DIRECT, LESS_GREEN, PALETTE = 0, 1, 2
MAX_COLOURS = 256
"""More have no palette."""
PLAIN, UPPER, ADAPTIVE = 0, 2, -1
HOPELESS, SPARE = 2.0, 512
"""What the fastest deflating makes so many times larger than what is worth it, the best cannot save."""
DRAWN_SHARE = 0.35
DRAWN_ROWS = 256
"""At least so many rows are looked at, if there are so many."""


def looks_drawn(pixels: Pixels) -> bool:
    """Tell whether many pixels equal their left neighbours, as in drawings and hardly in photos."""
    height, width, channels = pixels.shape
    if width < 2:
        return False
    rows = pixels[:: max(1, height // DRAWN_ROWS)]
    same = rows[:, 1:, 0] == rows[:, :-1, 0]
    for c in range(1, channels):
        same &= rows[:, 1:, c] == rows[:, :-1, c]
    return float(same.mean()) >= DRAWN_SHARE


def encode_lossless(pixels: Pixels) -> bytes:
    """Encode an image in the smallest of several ways.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (height, width, channels)

    Returns
    -------
    bytes
    """
    data = encode_within(distinct_colours(pixels), math.inf, pixels)
    assert data is not None
    return data


def encode_within(colours: Colours, most: float, pixels: Pixels | None = None) -> bytes | None:
    """Encode an image of known colours, unless quick trials tell that it needs far more than ``most`` bytes.

    Parameters
    ----------
    colours : Colours
    most : float
    pixels : uint8 or uint16 array, (height, width, channels), optional
        The image, where it is at hand.

    Returns
    -------
    bytes
        May be more than ``most``; None after such a trial.
    """
    best: bytes | None = None
    for head, rows, distance in _representations(colours, pixels):
        for only in (PLAIN, UPPER, ADAPTIVE):
            filtered = np.empty(rows.shape[0] * (rows.shape[1] + 1), np.uint8)
            count = filter_rows(rows, distance, only, np.zeros(FILTERS, np.int64), filtered)
            raw = filtered[:count].tobytes()
            enough = most if best is None else min(most, len(best))
            if math.isfinite(enough) and len(zlib.compress(raw, 1)) > HOPELESS * enough + SPARE:
                continue
            data = head + zlib.compress(raw, 9)
            if best is None or len(data) < len(best):
                best = data
    return best


def _representations(
    colours: Colours, pixels: Pixels | None
) -> Iterator[tuple[bytes, npt.NDArray[np.uint8], int]]:
    """Yield ways to write an image as rows of bytes: what comes before, rows, bytes of a pixel."""
    table = colours.table
    if len(table) <= MAX_COLOURS:
        head = bytes([PALETTE, len(table) - 1]) + _bytes(table).tobytes()
        yield head, _packed(colours.numbers.astype(np.uint8), _index_bits(len(table))), 1
        return
    if pixels is None:
        pixels = colours.pixels()
    height, _, channels = pixels.shape
    distance = channels * pixels.itemsize
    yield bytes([DIRECT]), _bytes(pixels).reshape(height, -1), distance
    if channels >= 3:
        less = pixels.copy()
        less[:, :, 0] -= pixels[:, :, 1]
        less[:, :, 2] -= pixels[:, :, 1]
        yield bytes([LESS_GREEN]), _bytes(less).reshape(height, -1), distance


def _bytes(samples: Pixels) -> npt.NDArray[np.uint8]:
    """Return samples as bytes, the higher one first."""
    big = np.ascontiguousarray(samples.astype(samples.dtype.newbyteorder(">")))
    return big.view(np.uint8)


def _index_bits(colours: int) -> int:
    """Return the bits of an index: 1, 2, 4 or 8."""
    return next(bits for bits in (1, 2, 4, 8) if colours <= 1 << bits)


def _packed(indices: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Pack indices, the first one in the highest bits; rows begin with a byte."""
    share = 8 // bits
    padded = np.pad(indices, ((0, 0), (0, -indices.shape[1] % share)))
    out = np.zeros((len(indices), padded.shape[1] // share), np.uint8)
    for k in range(share):
        out |= padded[:, k::share] << np.uint8(8 - bits * (k + 1))
    return out


def _unpacked(rows: npt.NDArray[np.uint8], bits: int, width: int) -> npt.NDArray[np.uint8]:
    """Undo `_packed`."""
    share = 8 // bits
    out = np.empty((len(rows), rows.shape[1] * share), np.uint8)
    for k in range(share):
        out[:, k::share] = (rows >> np.uint8(8 - bits * (k + 1))) & np.uint8((1 << bits) - 1)
    return out[:, :width]


def decode_lossless(data: bytes, shape: tuple[int, int, int], dtype: npt.DTypeLike) -> Pixels:
    """Decode what `encode_lossless` returned.

    Parameters
    ----------
    data : bytes
    shape : tuple of int
        Height, width, channels.
    dtype : numpy.uint8 or numpy.uint16

    Returns
    -------
    array of that shape and type

    Raises
    ------
    FormatError, TruncatedError
        If no encoder writes such data. Never more is inflated than the shape needs.
    """
    height, width, channels = shape
    kind: np.dtype[Any] = np.dtype(dtype)
    pixel = channels * kind.itemsize
    if not data:
        raise TruncatedError("lossless pixels are truncated")
    if data[0] == PALETTE:
        if len(data) < 2 or len(data) < 2 + (data[1] + 1) * pixel:
            raise TruncatedError("a palette is truncated")
        count = data[1] + 1
        start = 2 + count * pixel
        colours = _samples(np.frombuffer(data, np.uint8, count * pixel, 2), kind)
        bits = _index_bits(count)
        indices = _unpacked(_rows(data[start:], height, -(-width * bits // 8), 1), bits, width)
        if int(indices.max()) >= count:
            raise FormatError("a pixel has a colour beyond its palette")
        table: Pixels = colours.reshape(count, channels)
        return table[indices]
    if data[0] not in (DIRECT, LESS_GREEN) or (data[0] == LESS_GREEN and channels < 3):
        raise FormatError(f"no way {data[0]} of coding lossless pixels")
    rows = _rows(data[1:], height, width * pixel, pixel)
    pixels: Pixels = _samples(rows.reshape(-1), kind).reshape(shape)
    if data[0] == LESS_GREEN:
        pixels[:, :, 0] += pixels[:, :, 1]
        pixels[:, :, 2] += pixels[:, :, 1]
    return pixels


def _samples(data: npt.NDArray[np.uint8], kind: np.dtype[Any]) -> Pixels:
    """Return samples whose higher byte comes first."""
    samples: Pixels = np.ascontiguousarray(data).view(kind.newbyteorder(">")).astype(kind)
    return samples


def _rows(data: bytes, height: int, size: int, distance: int) -> npt.NDArray[np.uint8]:
    """Inflate and unfilter rows of ``size`` bytes."""
    inflater = zlib.decompressobj()
    most = height * (size + 1)
    try:
        raw = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise FormatError("lossless pixels are damaged") from error
    if not inflater.eof and len(raw) <= most:
        raise TruncatedError("lossless pixels are truncated")
    rows = np.empty((height, size), np.uint8)
    used = unfilter_rows(np.frombuffer(raw, np.uint8), distance, rows)
    if used == -1:
        raise TruncatedError("lossless pixels are truncated")
    if used < 0:
        raise FormatError("a row has an unknown filter")
    if used < len(raw) or inflater.unused_data:
        raise FormatError("lossless pixels go on after their end")
    return rows
