"""What a decoder must derive, in integers: parameters, passes, weights and tables."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import SYMBOL_BITS, decoding_tables
from rnnic.errors import FormatError, TruncatedError
from rnnic.pyramid.model import PASSES, ColourTables, PyramidModel, Quantiser

__all__ = [
    "Derived",
    "Pass",
    "PyramidParams",
    "derive",
    "pass_weights",
    "passes",
]

STEP_SCALE = 1024
MIN_STEP = STEP_SCALE // 4
MAX_STEP = 128 * STEP_SCALE
COLOUR_SHIFT = 14
MAX_SIDE = 1 << 13
ACTIVITY_LEVELS = 4096
MAX_GRADIENT_WEIGHT = 8191

# Next state for (state << 1 | branch). Ungerboeck's parity checks 13, 4 (8 states) and
# 23, 4 (16 states), octal; bit 0 of a state names its codebook.
# fmt: off
TRELLIS = {
    1: (0, 0),
    8: (0, 2, 7, 5, 1, 3, 6, 4, 2, 0, 5, 7, 3, 1, 4, 6),
    16: (
        0, 2, 11, 9, 1, 3, 10, 8, 2, 0, 9, 11, 3, 1, 8, 10,
        4, 6, 15, 13, 5, 7, 14, 12, 6, 4, 13, 15, 7, 5, 12, 14,
    ),
}
# fmt: on


@dataclass(frozen=True)
class PyramidParams:
    """Parameters of a file, kept in its header.

    Attributes
    ----------
    step : int
        Step size in 1/1024 sample.
    states : int
        Trellis states: 1, 8 or 16.
    lanes : int
        Interleaved bit streams (row strips): 1, 2 or 4.
    channels : int
        1 (grey) or 3 (RGB).
    bit_depth : int
        Bits per sample; 8.
    colour : tuple of nine int
        Rows are the components, columns R, G, B, in 1/16384. Empty for grey.
    """

    step: int
    states: int = 8
    lanes: int = 4
    channels: int = 3
    bit_depth: int = 8
    colour: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not MIN_STEP <= self.step <= MAX_STEP:
            raise ValueError(f"step {self.step} is outside {MIN_STEP}..{MAX_STEP}")
        if self.states not in TRELLIS or self.lanes not in (1, 2, 4):
            raise ValueError("unknown number of trellis states or lanes")
        if self.channels not in (1, 3) or self.bit_depth != 8:
            raise ValueError("unsupported number of channels or bit depth")
        if len(self.colour) != (9 if self.channels == 3 else 0):
            raise ValueError("a colour matrix has nine numbers, a grey image none")
        columns = [sum(abs(c) for c in self.colour[i::3]) for i in range(3)]
        if max(columns) > 2 << COLOUR_SHIFT or any(abs(c) > 32767 for c in self.colour):
            raise ValueError("colour matrix is out of range")

    def to_bytes(self) -> bytes:
        """Serialise in 8 bytes, or 26 with a colour matrix."""
        head = (self.step, self.states, self.lanes, self.channels, self.bit_depth)
        return struct.pack("<IBBBB", *head) + struct.pack(f"<{len(self.colour)}h", *self.colour)

    @classmethod
    def from_bytes(cls, data: bytes) -> "PyramidParams":
        """Read ``to_bytes``; raises ``FormatError`` if out of limits, ``TruncatedError`` if short."""
        if len(data) < 8:
            raise TruncatedError("pyramid parameters are truncated")
        head = struct.unpack_from("<IBBBB", data)
        count = 9 if head[3] == 3 else 0
        if len(data) < 8 + 2 * count:
            raise TruncatedError("pyramid parameters are truncated")
        colour = struct.unpack_from(f"<{count}h", data, 8)
        try:
            return cls(head[0], head[1], head[2], head[3], head[4], colour)
        except ValueError as error:
            raise FormatError(str(error)) from error


class Pass(NamedTuple):
    """One halving, undone by one coding pass.

    ``level`` counts from the finest (0); ``width`` and ``height`` are of the children.
    """

    level: int
    along_x: bool
    width: int
    height: int

    @property
    def columns(self) -> int:
        """Pairs in a row."""
        return self.width // 2 if self.along_x else self.width

    @property
    def rows(self) -> int:
        """Rows of pairs."""
        return self.height if self.along_x else self.height // 2


def passes(width: int, height: int) -> tuple[list[Pass], int, int]:
    """List the passes of a tile, coarse to fine, and the size of the base plane.

    Halving keeps an odd last sample as it is; a side of one sample is not halved.
    """
    found = []
    for level in range(PASSES):
        along_x = level % 2 == 0
        if (width if along_x else height) < 2:
            continue
        found.append(Pass(level, along_x, width, height))
        if along_x:
            width = (width + 1) // 2
        else:
            height = (height + 1) // 2
    return found[::-1], width, height


def pass_step(step: int, level: int) -> int:
    """Step size of a level's differences, ``step * sqrt(2 / 2**level)``, in 1/1024 sample."""
    half = level // 2
    scaled = step >> half if level % 2 else (step * 181) >> (7 + half)
    return max(scaled, 16)


def base_step(step: int) -> int:
    """Step size of the base plane in 1/64 sample."""
    return max(step >> 9, 1)


def pass_weights(tables: ColourTables, band: int, level: int, scaled: int) -> npt.NDArray[np.int32]:
    """Activity weights of a pass, (2, 12): gradients fitted to its step, magnitudes as stored."""
    weights = tables.activity[band, level].astype(np.int32)
    gradient = np.minimum((weights[:, :4] << 12) // scaled, MAX_GRADIENT_WEIGHT)
    return np.concatenate([gradient, weights[:, 4:]], axis=1).astype(np.int32)


class Derived(NamedTuple):
    """Tables that kernels read, for one band and quantiser.

    Attributes
    ----------
    slots, spans
        See `rnnic.entropy.rans.decoding_tables`; codebook after codebook.
    labels : uint8 array, (codebooks << SYMBOL_BITS,)
        Number of raw sign bits, plus ``branch << 2``.
    vectors : int16 array, (codebooks << SYMBOL_BITS + 3, 3)
        Residual of every entry and sign pattern in 1/64 step.
    luma_class : uint16 array, (ACTIVITY_LEVELS,)
        Class times the number of chroma classes.
    chroma_class : uint16 array, (ACTIVITY_LEVELS,)
    next_state : uint8 array, (states << 1,)
    """

    slots: npt.NDArray[np.uint16]
    spans: npt.NDArray[np.uint32]
    labels: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.int16]
    luma_class: npt.NDArray[np.uint16]
    chroma_class: npt.NDArray[np.uint16]
    next_state: npt.NDArray[np.uint8]


def quantiser_of(tables: ColourTables, states: int) -> Quantiser:
    """Quantiser for a number of trellis states."""
    return tables.scalar if states == 1 else tables.trellis


def branches(orbits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Trellis branch of entries, any leading shape: (((k0 + 1) div 2) + k1 + k2) mod 2."""
    k = orbits.astype(np.int64)
    return (((k[..., 0] + 1) // 2 + k[..., 1] + k[..., 2]) & 1).astype(np.uint8)


def sign_vectors(quantiser: Quantiser) -> npt.NDArray[np.int16]:
    """Residuals by (codebook, entry, sign pattern), padded to ``1 << SYMBOL_BITS`` entries.

    Bit j of the pattern, if set, makes the j-th non-zero coordinate negative.
    """
    codebooks, entries, _ = quantiser.orbits.shape
    vectors = np.zeros((codebooks, 1 << SYMBOL_BITS, 8, 3), np.int16)
    nonzero = quantiser.orbits > 0
    rank: npt.NDArray[np.int64] = np.cumsum(nonzero, axis=2) - nonzero
    for pattern in range(8):
        negative = nonzero & (((pattern >> rank) & 1) == 1)
        signed = np.where(negative, -quantiser.magnitudes, quantiser.magnitudes)
        vectors[:, :entries, pattern] = signed
    return vectors.reshape(-1, 3)


@lru_cache(maxsize=8)
def _derive(model: PyramidModel, channels: int, band: int, states: int) -> Derived:
    tables = model.tables(channels)
    quantiser = quantiser_of(tables, states)
    codebooks, entries, _ = quantiser.orbits.shape
    symbols = entries + 1
    slots, spans = decoding_tables(quantiser.frequencies[band].reshape(-1, symbols))
    labels = np.zeros((codebooks, 1 << SYMBOL_BITS), np.uint8)
    signs = (quantiser.orbits > 0).sum(axis=2)
    labels[:, :entries] = signs + (branches(quantiser.orbits) << 2)
    levels = np.arange(ACTIVITY_LEVELS)
    luma = np.searchsorted(tables.luma_edges, levels, side="right") * tables.chroma_classes
    chroma = np.searchsorted(tables.chroma_edges, levels, side="right")
    return Derived(
        slots,
        spans,
        labels.reshape(-1),
        sign_vectors(quantiser),
        luma.astype(np.uint16),
        chroma.astype(np.uint16),
        np.array(TRELLIS[states], np.uint8),
    )


def derive(model: PyramidModel, channels: int, step: int, states: int) -> Derived:
    """Tables for a file's parameters; those of the last few files are kept."""
    return _derive(model, channels, model.band(step), states)


def entry_weights(derived: Derived, weights: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
    """Return what an entry adds to its right neighbour's activities: luma + (chroma << 16)."""
    absolute = np.abs(derived.vectors[::8].astype(np.int64))
    luma = np.minimum(absolute[:, 0] >> 2, 4095)
    chroma = np.minimum((absolute[:, 1] + absolute[:, 2]) >> 2, 4095)
    e = np.minimum((luma * int(weights[0, 9])) >> 8, 16383)
    g = np.minimum((chroma * int(weights[1, 9])) >> 8, 16383)
    packed: npt.NDArray[np.uint32] = (e | (g << 16)).astype(np.uint32)
    return packed
