"""What decoder and encoder derive from model and parameters before the first pixel (SPEC.md 4.1-4.4)."""

import functools
import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.entropy.huffman import (
    DecoderBook,
    EncoderBook,
    decoder_book,
    encoder_book,
    stack_books,
)
from rnnic.errors import FormatError
from rnnic.raster.depth import MAX_LOW_STEP
from rnnic.raster.model import STRING_LENGTHS, RasterModel, RasterPart

__all__ = [
    "MAX_SCALE",
    "MIN_SCALE",
    "OUTSIDE_MAGNITUDE",
    "EncoderBooks",
    "EntryTables",
    "RasterParameters",
    "decoder_tables",
    "encoder_books",
    "entry_tables",
    "load_model",
]

MIN_SCALE = 256
MAX_SCALE = 32768
MAX_THRESHOLD = 65535
OUTSIDE_MAGNITUDE = 8
_PARAMETERS = struct.Struct("<HH")
_LOW_STEP = struct.Struct("<H")


@dataclass(frozen=True)
class RasterParameters:
    """Parameters of the method in the header.

    Parameters
    ----------
    threshold : int
        Bound of every pixel's error in 1/64 of an 8-bit RGB unit; 0 is lossless.
    scale : int
        What one palette unit is, in 1/256 of a sample value; 256 … 32768.
    low_step : int, optional
        Step of the low bytes of samples of 16 bits, 0 … 256; None where samples have 8 bits.

    Raises
    ------
    FormatError
        If one is out of range.
    """

    threshold: int
    scale: int
    low_step: int | None = None

    def __post_init__(self) -> None:
        if not MIN_SCALE <= self.scale <= MAX_SCALE:
            raise FormatError(f"palette scale {self.scale} is outside {MIN_SCALE} … {MAX_SCALE}")
        if not 0 <= self.threshold <= MAX_THRESHOLD:
            raise FormatError(f"threshold {self.threshold} is outside 0 … {MAX_THRESHOLD}")
        if self.low_step is not None and self.low_step > MAX_LOW_STEP:
            raise FormatError(f"step {self.low_step} of low bytes is outside 0 … {MAX_LOW_STEP}")

    def to_bytes(self) -> bytes:
        """Return the parameter bytes of the header."""
        low = b"" if self.low_step is None else _LOW_STEP.pack(self.low_step)
        return _PARAMETERS.pack(self.threshold, self.scale) + low

    @classmethod
    def from_bytes(cls, data: bytes, bit_depth: int) -> "RasterParameters":
        """Read the parameter bytes of the header."""
        needed = _PARAMETERS.size + (_LOW_STEP.size if bit_depth == 16 else 0)
        if len(data) != needed:
            raise FormatError(f"{len(data)} parameter bytes for method raster, {needed} are needed")
        low = _LOW_STEP.unpack_from(data, _PARAMETERS.size)[0] if bit_depth == 16 else None
        threshold, scale = _PARAMETERS.unpack_from(data)
        return cls(threshold, scale, low)

    def describe(self) -> dict[str, float]:
        """Return the parameters in the units that users know."""
        found = {"error_threshold": self.threshold / 64, "palette_scale": self.scale / 256}
        return found if self.low_step is None else found | {"low_step": self.low_step}


class EntryTables(NamedTuple):
    """The palettes at one scale, one after the other: 4-strings, 2-strings, small, large.

    ``differences`` int16 (E, 4 * c) in sample values and ``magnitudes`` uint8 (E, 4), zero where an
    entry has fewer than four pixels; ``pixels`` uint8 (E,), their number; ``bases`` int32 (5,), the first
    entry of each palette; ``activity_class`` uint8 (activities,); ``weights`` int32 (7,).

    ``links`` int32 (E,) is all that the symbol after an entry needs of it, in one word: 3 bits number
    of pixels, 8 bits magnitude of the last one, then the entry's share of the next activity.

    Kernels take it as a plain tuple.
    """

    differences: npt.NDArray[np.int16]
    magnitudes: npt.NDArray[np.uint8]
    pixels: npt.NDArray[np.uint8]
    bases: npt.NDArray[np.int32]
    activity_class: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.int32]
    links: npt.NDArray[np.int32]


class EncoderBooks(NamedTuple):
    """The four kinds of code of a part."""

    main: EncoderBook
    large: EncoderBook
    first: EncoderBook
    others: EncoderBook


@functools.lru_cache(maxsize=8)
def load_model(payload: bytes) -> RasterModel:
    """Return the model of a section's payload; a cache spares reading it for every image."""
    return RasterModel.from_bytes(payload)


@functools.lru_cache(maxsize=8)
def decoder_tables(part: RasterPart) -> DecoderBook:
    """Return the part's codes as one book of look-up tables.

    With C classes its tables are: main 0 … C-1, large C, literal first C+1 … 2C, literal others
    2C+1 … 3C.
    """
    return stack_books([decoder_book(lengths) for lengths in part.lengths])


@functools.lru_cache(maxsize=8)
def encoder_books(part: RasterPart) -> EncoderBooks:
    """Return the part's codes."""
    return EncoderBooks(*map(encoder_book, part.lengths))


@functools.lru_cache(maxsize=32)
def entry_tables(part: RasterPart, scale: int) -> EntryTables:
    """Return the part's palettes at a scale (SPEC.md 4.3)."""
    padded = [
        np.pad(palette, ((0, 0), (0, 4 * part.channels - palette.shape[1])))
        for palette in part.palettes
    ]
    values = np.concatenate(padded).astype(np.int32)
    differences = np.clip((values * np.int32(scale) + 2048) >> 12, -255, 255).astype(np.int16)
    sums = np.abs(values).reshape(len(values), 4, part.channels).sum(axis=2)
    magnitudes = np.minimum(255, (3 // part.channels * sums) >> 2).astype(np.uint8)
    pixels = np.repeat(STRING_LENGTHS, part.sizes).astype(np.uint8)
    bases = np.concatenate([[0], np.cumsum(part.sizes)]).astype(np.int32)
    weights = part.weights.astype(np.int32)
    activities = np.arange(255 * int(weights.sum()) + 1)
    activity_class = np.searchsorted(part.boundaries, activities, side="right").astype(np.uint8)
    own = magnitudes.astype(np.int32)
    rows, last = np.arange(len(own)), pixels.astype(np.int64) - 1
    share = weights[0] * own[rows, last]
    share += np.where(last > 0, weights[1] * own[rows, np.maximum(last - 1, 0)], 0)
    links = pixels | own[rows, last] << 3 | share << 11
    return EntryTables(
        differences, magnitudes, pixels, bases, activity_class, weights, links.astype(np.int32)
    )
