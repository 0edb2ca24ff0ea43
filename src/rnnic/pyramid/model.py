"""What images share: palettes, prediction filters, activity weights, probability tables."""

import struct
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import PROBABILITY_SCALE, SYMBOL_BITS
from rnnic.errors import FormatError

__all__ = [
    "CHROMA_TAPS",
    "LUMA_TAPS",
    "PASSES",
    "ColourTables",
    "PyramidModel",
    "Quantiser",
]

PASSES = 14
"""Halvings of a tile: seven in x and seven in y."""
LUMA_TAPS = 15
CHROMA_TAPS = 7
ACTIVITY_TERMS = 12
ESCAPE_CLASSES = 4
REFINEMENTS = 5
MAX_COMMON = 255
"""Symbols of a class table but the escape: a byte names each, so that the tables fit the caches."""
MAX_TAP_SUM = (1 << 14) - 1
MAX_ACTIVITY_WEIGHT = 1 << 14
MAX_RECONSTRUCTION = 2047
MAX_SERIALISED = 1 << 24

MAGIC = b"RNPY"
VERSION = 4


@dataclass(frozen=True)
class Quantiser:
    """One palette with its probability tables.

    Attributes
    ----------
    orbits : uint8 array, (codebooks, entries, 3)
        Absolute grid coordinates; entry 0 is the zero vector.
    magnitudes : int16 array, (codebooks, entries, 3)
        Absolute reconstruction in 1/64 of the step size; zero where the coordinate is.
    common : uint16 array, (bands, codebooks, classes, min(entries, 255) + 1)
        Frequencies of the first entries in every pair of classes. Sums to 4096 along the last
        axis; the last symbol is the escape.
    rare : uint16 array, (bands, codebooks, contexts, entries + 1)
        The same for what an escape leads to.
    """

    orbits: npt.NDArray[np.uint8]
    magnitudes: npt.NDArray[np.int16]
    common: npt.NDArray[np.uint16]
    rare: npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class ColourTables:
    """Everything for one kind of images.

    Attributes
    ----------
    luma_taps : int16 array, (bands, PASSES, LUMA_TAPS)
        Prediction filters in 1/2048.
    chroma_taps : int16 array, (bands, PASSES, 2, CHROMA_TAPS)
        Prediction filters of the second and third component in 1/2048.
    activity : uint16 array, (bands, PASSES, 2, ACTIVITY_TERMS)
        Weights of the expected magnitude of luma and of chroma, in 1/4096.
    luma_edges, chroma_edges : uint16 array, (classes - 1,)
        First activity, in 1/64 step, of every class but the first.
    scalar : Quantiser or None
        With one codebook (one state); there is none for noisy images.
    trellis : Quantiser
        With two codebooks (8 or 16 states).
    """

    luma_taps: npt.NDArray[np.int16]
    chroma_taps: npt.NDArray[np.int16]
    activity: npt.NDArray[np.uint16]
    luma_edges: npt.NDArray[np.uint16]
    chroma_edges: npt.NDArray[np.uint16]
    scalar: Quantiser | None
    trellis: Quantiser

    @property
    def luma_classes(self) -> int:
        """Number of luma activity classes."""
        return len(self.luma_edges) + 1

    @property
    def chroma_classes(self) -> int:
        """Number of chroma activity classes."""
        return len(self.chroma_edges) + 1

    @property
    def classes(self) -> int:
        """Number of pairs of classes, which is that of a codebook's tables of common entries."""
        return self.luma_classes * self.chroma_classes

    @property
    def contexts(self) -> int:
        """Number of a codebook's tables of rare entries."""
        return rare_contexts(self.luma_classes)


def rare_contexts(luma_classes: int) -> int:
    """Tables for what an escape leads to: coarse and rare entries by luma class; refinements."""
    return luma_classes * (ESCAPE_CLASSES + 1) + REFINEMENTS


@dataclass(frozen=True, eq=False)
class PyramidModel:
    """The shared part of method ``pyramid``.

    Attributes
    ----------
    band_edges : uint32 array, (bands - 1,)
        First step size, in 1/1024 sample, of every band but the first. A band of step sizes
        has filters and tables of its own.
    grey, rgb, noisy : ColourTables
        For grey images, for those in colours, and for those whose channels have noise of their own.
    """

    band_edges: npt.NDArray[np.uint32]
    grey: ColourTables
    rgb: ColourTables
    noisy: ColourTables

    def tables(self, channels: int, *, noisy: bool = False) -> ColourTables:
        """Tables for 1 or 3 channels; only for 3 there are some for noisy images."""
        if channels == 1:
            return self.grey
        return self.noisy if noisy else self.rgb

    def band(self, step: int) -> int:
        """Band of a step size given in 1/1024 sample."""
        return bisect_right(self.band_edges, step)

    def to_bytes(self) -> bytes:
        """Serialise; the same model always gives the same bytes."""
        body = _pack(self.band_edges)
        for tables in (self.grey, self.rgb, self.noisy):
            for name in ("luma_taps", "chroma_taps", "activity", "luma_edges", "chroma_edges"):
                body += _pack(getattr(tables, name))
            for quantiser in (tables.scalar, tables.trellis):
                if quantiser is None:
                    continue
                body += _pack(quantiser.orbits) + _pack(quantiser.magnitudes)
                # The bands of a symbol resemble each other, so they are stored side by side.
                body += _pack(np.moveaxis(quantiser.common, 0, 3))
                body += _pack(np.moveaxis(quantiser.rare, 0, 3))
        return MAGIC + struct.pack("<BI", VERSION, len(body)) + zlib.compress(body, 9)

    @classmethod
    def from_bytes(cls, data: bytes) -> "PyramidModel":
        """Read a serialised model and check it against the limits of the format.

        Raises
        ------
        FormatError
            If anything is damaged or out of range.
        """
        if len(data) < 9 or data[:4] != MAGIC:
            raise FormatError("not a pyramid model")
        version, size = struct.unpack_from("<BI", data, 4)
        if version != VERSION:
            raise FormatError(f"pyramid model of unknown version {version}")
        if size > MAX_SERIALISED:
            raise FormatError("pyramid model is too large")
        inflater = zlib.decompressobj()
        try:
            body = inflater.decompress(data[9:], size)
        except zlib.error as error:
            raise FormatError("pyramid model is damaged") from error
        if len(body) != size or not inflater.eof:
            raise FormatError("pyramid model is truncated")
        reader = _Reader(body)
        edges = reader.array(np.uint32, 1)
        bands = len(edges) + 1
        grey, rgb = (_read_tables(reader, bands) for _ in range(2))
        noisy = _read_tables(reader, bands, with_scalar=False)
        if reader.at != size or np.any(np.diff(edges.astype(np.int64)) <= 0):
            raise FormatError("pyramid model is damaged")
        return cls(edges, grey, rgb, noisy)


_KINDS = {"uint8": 0, "uint16": 1, "int16": 2, "uint32": 3}


def _pack(array: npt.NDArray[np.generic]) -> bytes:
    """Kind, rank, sides, then the bytes of the elements, lowest bytes first."""
    head = struct.pack("<BB", _KINDS[array.dtype.name], array.ndim)
    head += struct.pack(f"<{array.ndim}I", *array.shape)
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    planes = little.view(np.uint8).reshape(-1, array.itemsize).T
    return head + planes.tobytes()


class _Reader:
    """Reads the arrays that ``_pack`` wrote."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def array(self, kind: type[np.generic], rank: int) -> npt.NDArray[Any]:
        """Read the next array, which must have this element type and rank."""
        dtype = np.dtype(kind)
        head = 2 + 4 * rank
        if self.at + head > len(self.body):
            raise FormatError("pyramid model is truncated")
        found = struct.unpack_from("<BB", self.body, self.at)
        if found != (_KINDS[dtype.name], rank):
            raise FormatError("pyramid model is damaged")
        shape = struct.unpack_from(f"<{rank}I", self.body, self.at + 2)
        size = dtype.itemsize
        for side in shape:
            size *= side
        start = self.at + head
        if start + size > len(self.body):
            raise FormatError("pyramid model is truncated")
        self.at = start + size
        planes = np.frombuffer(self.body, np.uint8, size, start).reshape(dtype.itemsize, -1)
        flat = np.ascontiguousarray(planes.T).reshape(-1).view(dtype.newbyteorder("<"))
        values: npt.NDArray[Any] = flat.astype(dtype).reshape(shape)
        return values


def _require(condition: object) -> None:
    if not condition:
        raise FormatError("pyramid model is outside the limits of the format")


def _read_tables(reader: _Reader, bands: int, *, with_scalar: bool = True) -> ColourTables:
    luma = reader.array(np.int16, 3)
    chroma = reader.array(np.int16, 4)
    activity = reader.array(np.uint16, 4)
    edges = (reader.array(np.uint16, 1), reader.array(np.uint16, 1))
    _require(luma.shape == (bands, PASSES, LUMA_TAPS))
    _require(chroma.shape == (bands, PASSES, 2, CHROMA_TAPS))
    _require(activity.shape == (bands, PASSES, 2, ACTIVITY_TERMS))
    _require(np.abs(luma.astype(np.int64)).sum(2).max() <= MAX_TAP_SUM)
    _require(np.abs(chroma.astype(np.int64)).sum(3).max() <= MAX_TAP_SUM)
    _require(activity.max() <= MAX_ACTIVITY_WEIGHT)
    for edge in edges:
        _require(len(edge) < 64 and np.all(np.diff(edge.astype(np.int64)) > 0))
        _require(len(edge) == 0 or edge[0] > 0)
    sizes = (len(edges[0]) + 1) * (len(edges[1]) + 1), rare_contexts(len(edges[0]) + 1)
    scalar = _read_quantiser(reader, bands, 1, sizes) if with_scalar else None
    trellis = _read_quantiser(reader, bands, 2, sizes)
    return ColourTables(luma, chroma, activity, edges[0], edges[1], scalar, trellis)


def _read_quantiser(
    reader: _Reader, bands: int, codebooks: int, sizes: tuple[int, int]
) -> Quantiser:
    orbits = reader.array(np.uint8, 3)
    magnitudes = reader.array(np.int16, 3)
    entries = orbits.shape[1]
    _require(orbits.shape == (codebooks, entries, 3) and magnitudes.shape == orbits.shape)
    _require(1 <= entries < 1 << SYMBOL_BITS)
    _require(magnitudes.min() >= 0 and magnitudes.max() <= MAX_RECONSTRUCTION)
    _require(np.all((orbits == 0) <= (magnitudes == 0)) and np.all(orbits[:, 0] == 0))
    found = []
    for contexts, symbols in zip(sizes, (min(entries, MAX_COMMON), entries), strict=True):
        frequencies = np.ascontiguousarray(np.moveaxis(reader.array(np.uint16, 4), 3, 0))
        _require(frequencies.shape == (bands, codebooks, contexts, symbols + 1))
        _require(np.all(frequencies.sum(3, dtype=np.int64) == PROBABILITY_SCALE))
        _require(np.all(frequencies[..., -1] >= 1) and frequencies.max() <= PROBABILITY_SCALE)
        found.append(frequencies)
    return Quantiser(orbits, magnitudes, found[0], found[1])
