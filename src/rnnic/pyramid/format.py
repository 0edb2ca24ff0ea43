"""What a decoder must derive, in integers: parameters, passes, weights and tables."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import SYMBOL_BITS, decoding_tables
from rnnic.errors import FormatError
from rnnic.pyramid.model import PASSES, ColourTables, PyramidModel, Quantiser

__all__ = [
    "Derived",
    "Pass",
    "PyramidParams",
    "derive",
    "feedback",
    "lane_rows",
    "passes",
]

STEP_SCALE = 1024
MIN_STEP = {8: STEP_SCALE // 4, 16: STEP_SCALE // 64}
"""By bits of a sample. The finest passes have steps of at least 16, so that products stay in 32 bits."""
MAX_STEP = 128 * STEP_SCALE
MAX_SIDE = 1 << 12
EXACT = 1 << 15
"""In the place of the coded passes of a tile that is coded without loss."""
ACTIVITY_LEVELS = 8192
"""Of tables of classes: sums of two activities that are limited need not be limited again."""
TOP_LEVEL = 4095
MAX_GRADIENT_WEIGHT = 8191
COMMON_BITS = 8
SIGNS_SHIFT = 26

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


_PARAMETERS = struct.Struct("<IBB")


@dataclass(frozen=True)
class PyramidParams:
    """Parameters of a file; step, states and lanes are those of the method in its header.

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
        Bits per sample; 8 or 16.
    """

    step: int
    states: int = 8
    lanes: int = 4
    channels: int = 3
    bit_depth: int = 8

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or self.bit_depth not in MIN_STEP:
            raise ValueError("unsupported number of channels or bit depth")
        least = MIN_STEP[self.bit_depth]
        if not least <= self.step <= MAX_STEP:
            raise ValueError(f"step {self.step} is outside {least}..{MAX_STEP}")
        if self.states not in TRELLIS or self.lanes not in (1, 2, 4):
            raise ValueError("unknown number of trellis states or lanes")

    @property
    def dtype(self) -> str:
        """NumPy's name of the type of samples."""
        return f"uint{self.bit_depth}"

    def to_bytes(self) -> bytes:
        """Serialise what the header does not say by itself, in 6 bytes."""
        return _PARAMETERS.pack(self.step, self.states, self.lanes)

    @classmethod
    def from_bytes(cls, data: bytes, channels: int, bit_depth: int) -> "PyramidParams":
        """Read ``to_bytes``; raises ``FormatError`` if it is of another length or out of limits."""
        if len(data) != _PARAMETERS.size:
            raise FormatError(
                f"method pyramid has {_PARAMETERS.size} parameter bytes, not {len(data)}"
            )
        try:
            step, states, lanes = _PARAMETERS.unpack(data)
            return cls(step, states, lanes, channels, bit_depth)
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


def lane_rows(rows: int, lanes: int) -> list[int]:
    """Return how many of a pass's rows each lane has (SPEC.md 5.5)."""
    if rows < 4 * lanes:
        return [rows] + [0] * (lanes - 1)
    return [rows // lanes + (lane < rows % lanes) for lane in range(lanes)]


def pass_step(step: int, level: int) -> int:
    """Step size of a level's differences, ``step * sqrt(2 / 2**level)``, in 1/1024 sample."""
    half = level // 2
    scaled = step >> half if level % 2 else (step * 181) >> (7 + half)
    return max(scaled, 16)


def base_step(step: int) -> int:
    """Step size of the base plane in 1/64 sample."""
    return max(step >> 9, 1)


class Derived(NamedTuple):
    """Tables that kernels read, for one band and quantiser.

    Attributes
    ----------
    slots, spans : uint8 and uint32 arrays
        See `rnnic.entropy.rans.decoding_tables`, of the common entries; the two codebooks of a class
        stand side by side, a single one twice. Spans also hold ``signs << SIGNS_SHIFT``.
    far_slots, far_spans : uint16 and uint32 arrays
        The same of the tables that an escape leads to, without labels.
    labels : uint8 array, (codebooks << SYMBOL_BITS,)
        Number of raw sign bits, plus ``branch << 2``; no branches without a trellis.
    vectors : int16 array, (codebooks << SYMBOL_BITS + 3, 3)
        Residual of every entry and sign pattern in 1/64 step.
    packed : int64 array, (codebooks << SYMBOL_BITS,)
        Magnitudes of every entry in one number, 16 bits each, lowest first; then what the next trellis
        state differs in from half the state.
    luma_class : uint16 array, (ACTIVITY_LEVELS,)
        Class times the number of chroma classes.
    chroma_class : uint16 array, (ACTIVITY_LEVELS,)
    next_state : uint8 array, (states << 1,)
    """

    slots: npt.NDArray[np.unsignedinteger[Any]]
    spans: npt.NDArray[np.uint32]
    far_slots: npt.NDArray[np.unsignedinteger[Any]]
    far_spans: npt.NDArray[np.uint32]
    labels: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.int16]
    packed: npt.NDArray[np.int64]
    luma_class: npt.NDArray[np.uint16]
    chroma_class: npt.NDArray[np.uint16]
    next_state: npt.NDArray[np.uint8]


def feedback(states: int) -> int:
    """Feedback of the trellis: the next state is ``state >> 1 ^ feedback * (state & 1) ^ branch << 1``."""
    return TRELLIS[states][2] if states > 1 else 0


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


PACKED = Derived._fields.index("packed")


@lru_cache(maxsize=8)
def _derive(model: PyramidModel, channels: int, band: int, states: int) -> Derived:
    tables = model.tables(channels)
    quantiser = quantiser_of(tables, states)
    codebooks, entries, _ = quantiser.orbits.shape
    labels = np.zeros((codebooks, 1 << SYMBOL_BITS), np.uint8)
    signs = (quantiser.orbits > 0).sum(axis=2, dtype=np.uint8)
    branch = branches(quantiser.orbits) if states > 1 else np.zeros_like(signs)
    labels[:, :entries] = signs | (branch << 2)
    common, rare = quantiser.common[band], quantiser.rare[band]
    by_class = np.broadcast_to(common, (2, *common.shape[1:])).transpose(1, 0, 2)
    slots, spans = decoding_tables(by_class.reshape(-1, common.shape[-1]), COMMON_BITS)
    far_slots, far_spans = decoding_tables(rare.reshape(-1, entries + 1))
    known = np.zeros((codebooks, 1 << COMMON_BITS), np.uint32)
    known[:, : common.shape[-1] - 1] = signs[:, : common.shape[-1] - 1]
    labelled = spans.reshape(-1, 2, 1 << COMMON_BITS) | (known << np.uint32(SIGNS_SHIFT))
    vectors = sign_vectors(quantiser)
    packed = np.zeros(labels.shape, np.int64)
    flips = (branch << 1) ^ (np.arange(codebooks)[:, None] * feedback(states))
    fields = [*np.moveaxis(quantiser.magnitudes, 2, 0), flips]
    packed[:, :entries] = sum(field.astype(np.int64) << (16 * i) for i, field in enumerate(fields))
    levels = np.minimum(np.arange(ACTIVITY_LEVELS), TOP_LEVEL)
    luma = np.searchsorted(tables.luma_edges, levels, side="right") * tables.chroma_classes
    chroma = np.searchsorted(tables.chroma_edges, levels, side="right")
    return Derived(
        slots,
        labelled.reshape(-1),
        far_slots,
        far_spans,
        labels.reshape(-1),
        vectors,
        packed.reshape(-1),
        luma.astype(np.uint16),
        chroma.astype(np.uint16),
        np.array(TRELLIS[states], np.uint8),
    )


def derive(model: PyramidModel, channels: int, step: int, states: int) -> Derived:
    """Tables for a file's parameters; those of the last few files are kept."""
    return _derive(model, channels, model.band(step), states)
