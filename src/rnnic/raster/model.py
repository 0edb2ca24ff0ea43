"""What the raster method shares between images: the section ``RAST`` (SPEC.md 4.2)."""

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.entropy.huffman import check_complete, pack_lengths, packed_size, unpack_lengths
from rnnic.errors import FormatError, TruncatedError

__all__ = [
    "LITERAL_SYMBOLS",
    "NEIGHBOURS",
    "SECTION",
    "STRING_LENGTHS",
    "CodeLengths",
    "RasterModel",
    "RasterPart",
]

SECTION = "RAST"
STRING_LENGTHS = (4, 2, 1, 1)
"""Pixels of an entry of each palette, in the order in which the palettes are tried."""
NEIGHBOURS = 7
LITERAL_SYMBOLS = 256
_MAX_CLASSES = 64
_MAX_SYMBOLS = 65535
_HEAD = struct.Struct(f"<BB{NEIGHBOURS}B")
_COUNTS = struct.Struct("<4H")

Palette = npt.NDArray[np.int16]
Lengths = npt.NDArray[np.uint8]


class CodeLengths(NamedTuple):
    """Huffman code lengths, uint8: ``main`` (C, S), ``large`` (1, KL), ``first`` and ``others`` (C, 256)."""

    main: Lengths
    large: Lengths
    first: Lengths
    others: Lengths


@dataclass(frozen=True, eq=False)
class RasterPart:
    """Palettes and code lengths for images of one number of channels.

    Parameters
    ----------
    channels : int
        1 or 3.
    weights : uint8 (7,)
        Weights of the neighbours' magnitudes in the activity.
    boundaries : uint16 (C - 1,)
        Not decreasing; the class of an activity is the number of boundaries that it reaches.
    palettes : tuple of four int16 arrays
        Entries of the strings of 4, the strings of 2, the small and the large palette, each
        (K, n * channels), in 1/16 unit. Those of strings lie in -128 … 127.
    lengths : CodeLengths
        Of complete codes.
    """

    channels: int
    weights: npt.NDArray[np.uint8]
    boundaries: npt.NDArray[np.uint16]
    palettes: tuple[Palette, Palette, Palette, Palette]
    lengths: CodeLengths

    @property
    def classes(self) -> int:
        """Number of activity classes."""
        return len(self.boundaries) + 1

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Number of entries of each palette."""
        four, two, small, large = (len(palette) for palette in self.palettes)
        return four, two, small, large

    @property
    def main_symbols(self) -> int:
        """Size of the main alphabet."""
        return sum(self.sizes[:3]) + 2

    def to_bytes(self) -> bytes:
        """Return the part as SPEC.md 4.2 lays it out."""
        four, two, small, large = self.palettes
        parts = [
            _HEAD.pack(self.channels, self.classes, *self.weights.tolist()),
            self.boundaries.astype("<u2").tobytes(),
            _COUNTS.pack(*self.sizes),
            four.astype("i1").tobytes(),
            two.astype("i1").tobytes(),
            small.astype("<i2").tobytes(),
            large.astype("<i2").tobytes(),
            pack_lengths(self.lengths.main),
            pack_lengths(self.lengths.large),
            pack_lengths(self.lengths.first),
        ]
        if self.channels > 1:
            parts.append(pack_lengths(self.lengths.others))
        return b"".join(parts)


class _Reader:
    """Takes arrays off the front of a buffer."""

    def __init__(self, data: memoryview) -> None:
        self.data = data

    def bytes(self, count: int) -> memoryview:
        if len(self.data) < count:
            raise TruncatedError("the section RAST of the model ends too early")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def palette(self, count: int, samples: int, dtype: str) -> Palette:
        raw = self.bytes(count * samples * np.dtype(dtype).itemsize)
        return np.frombuffer(raw, dtype).astype(np.int16).reshape(count, samples)

    def lengths(self, tables: int, symbols: int) -> Lengths:
        return unpack_lengths(self.bytes(packed_size(tables, symbols)), tables, symbols)


def _read_part(reader: _Reader, expected_channels: int) -> RasterPart:
    channels, classes, *weights = _HEAD.unpack(reader.bytes(_HEAD.size))
    if channels != expected_channels or not 1 <= classes <= _MAX_CLASSES:
        raise FormatError(f"a part of {channels} channels and {classes} classes in section RAST")
    boundaries = np.frombuffer(reader.bytes(2 * (classes - 1)), "<u2").astype(np.uint16)
    if (np.diff(boundaries.astype(np.int32)) < 0).any():
        raise FormatError("class boundaries that decrease in section RAST")
    sizes = _COUNTS.unpack(reader.bytes(_COUNTS.size))
    symbols = sum(sizes[:3]) + 2
    if symbols > _MAX_SYMBOLS or min(sizes[2:]) < 2:
        raise FormatError(f"palettes of {sizes} entries in section RAST")
    kinds = zip(sizes, STRING_LENGTHS, ("i1", "i1", "<i2", "<i2"), strict=True)
    four, two, small, large = (
        reader.palette(size, n * channels, dtype) for size, n, dtype in kinds
    )
    main = reader.lengths(classes, symbols)
    large_lengths = reader.lengths(1, sizes[3])
    first = reader.lengths(classes, LITERAL_SYMBOLS)
    others = reader.lengths(classes, LITERAL_SYMBOLS) if channels > 1 else first
    lengths = CodeLengths(main, large_lengths, first, others)
    weight_array = np.array(weights, np.uint8)
    return RasterPart(channels, weight_array, boundaries, (four, two, small, large), lengths)


@dataclass(frozen=True, eq=False)
class RasterModel:
    """The section ``RAST``: a part for grey images and one for RGB images."""

    grey: RasterPart
    rgb: RasterPart

    def part(self, channels: int) -> RasterPart:
        """Return the part for images of 1 or 3 channels."""
        return self.grey if channels == 1 else self.rgb

    def to_bytes(self) -> bytes:
        """Return the payload of the section."""
        for part in (self.grey, self.rgb):
            for table in part.lengths:
                check_complete(table)
        return self.grey.to_bytes() + self.rgb.to_bytes()

    @classmethod
    def from_bytes(cls, payload: bytes) -> "RasterModel":
        """Read the payload of the section.

        Raises
        ------
        FormatError, TruncatedError
            If it breaks a rule of SPEC.md 4.2.
        """
        reader = _Reader(memoryview(payload))
        model = cls(_read_part(reader, 1), _read_part(reader, 3))
        if len(reader.data):
            raise FormatError(f"{len(reader.data)} bytes too many in section RAST of the model")
        return model
