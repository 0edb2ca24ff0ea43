"""What a decoder must derive, in integers: parameters, passes, weights and tables."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.entropy.rans import PROBABILITY_BITS, SYMBOL_BITS, decoding_tables, symbol_ends
from rnnic.errors import FormatError
from rnnic.pyramid.model import PASSES, ColourTables, Quantiser

__all__ = [
    "PASSES",
    "Derived",
    "Parsing",
    "Pass",
    "PyramidParams",
    "derive",
    "feedback",
    "lane_rows",
    "parsing",
    "passes",
    "quantiser_of",
    "uses_noisy",
]

STEP_SCALE = 1024
MIN_STEP = {8: STEP_SCALE // 4, 16: STEP_SCALE // 64}
"""By bits of a sample. The finest passes have steps of at least 16, so that products stay in 32 bits."""
MAX_STEP = 512 * STEP_SCALE
"""An entry of the palette times the step of the finest pass stays in 32 bits."""
MAX_SIDE = 1 << 12
EXACT = 1 << 15
"""In the place of the coded passes of a tile that is coded without loss."""
ACTIVITY_LEVELS = 8192
"""Of tables of classes: sums of two activities that are limited need not be limited again."""
TOP_LEVEL = 4095
MAX_GRADIENT_WEIGHT = 8191
COMMON_BITS = 8
"""Tables of common entries have room for ``2**COMMON_BITS`` symbols."""
BUCKET_BITS = 6
"""Their slots are looked up by so many bits less: caches hold more tables."""
BUCKETS_BITS = PROBABILITY_BITS - BUCKET_BITS
SIGNS_PLACE = 32
STATE_PLACE = 60
"""Where `Parsing.effects` hold numbers of signs and trellis states, above the activities."""

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


@lru_cache(maxsize=64)
def passes(width: int, height: int) -> tuple[tuple[Pass, ...], int, int]:
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
    return tuple(found[::-1]), width, height


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
    return max(step >> 11, 1)


class Derived(NamedTuple):
    """Tables that kernels of encoder and decoder read, for one quantiser.

    Attributes
    ----------
    labels : uint8 array, (codebooks << SYMBOL_BITS,)
        Number of raw sign bits, plus ``branch << 2``; no branches without a trellis.
    vectors : int16 array, (codebooks << SYMBOL_BITS + 3, 3)
        Residual of every entry and sign pattern in 1/64 step.
    luma_class : uint16 array, (ACTIVITY_LEVELS,)
        Class times the number of chroma classes.
    chroma_class : uint16 array, (ACTIVITY_LEVELS,)
    next_state : uint8 array, (states << 1,)
    """

    labels: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.int16]
    luma_class: npt.NDArray[np.uint16]
    chroma_class: npt.NDArray[np.uint16]
    next_state: npt.NDArray[np.uint8]


class Parsing(NamedTuple):
    """Tables that only a decoder reads, for one band and quantiser.

    Attributes
    ----------
    buckets : uint64 array, (2 * classes << BUCKETS_BITS,)
        The first symbol in every ``1 << BUCKET_BITS`` slots of a table of common entries, ``frequency << 20 |
        start << 8 | symbol``, then the second, or the first again, ``<< 32``. The escape's frequency is
        given as 0. The two codebooks of a class stand side by side, a single one twice.
    ends : uint16 array, (1 + (2 * classes << COMMON_BITS),)
        See `rnnic.entropy.rans.symbol_ends`, of the same tables.
    far_slots, far_ends : uint16 arrays
        See `rnnic.entropy.rans.decoding_tables`, of the tables that an escape leads to.
    labels, vectors : arrays
        See `Derived`.
    signed : int64 array, (codebooks << SYMBOL_BITS + 3,)
        Vectors, 16 bits a component, lowest first.
    effects : uint64 array, (codebooks << SYMBOL_BITS,)
        Number of sign bits of every entry ``<< SIGNS_PLACE``, and what the next trellis state differs in
        from half the state ``<< STATE_PLACE``; `rnnic.pyramid.pair_kernels.entry_effects` adds the rest.
    luma_table, chroma_table : uint32 arrays, (ACTIVITY_LEVELS,)
        Where the buckets of an activity's class begin: the sum of both.
    """

    buckets: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.uint16]
    far_slots: npt.NDArray[np.uint16]
    far_ends: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.int16]
    signed: npt.NDArray[np.int64]
    effects: npt.NDArray[np.uint64]
    luma_table: npt.NDArray[np.uint32]
    chroma_table: npt.NDArray[np.uint32]


def feedback(states: int) -> int:
    """Feedback of the trellis: the next state is ``state >> 1 ^ feedback * (state & 1) ^ branch << 1``."""
    return TRELLIS[states][2] if states > 1 else 0


def quantiser_of(tables: ColourTables, states: int) -> Quantiser:
    """Quantiser for a number of trellis states; tables for noisy images have none for a single one."""
    if states > 1:
        return tables.trellis
    assert tables.scalar is not None
    return tables.scalar


def uses_noisy(params: PyramidParams) -> bool:
    """Whether tiles say if they use the tables for noisy images."""
    return params.channels == 3 and params.states > 1


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
def derive(tables: ColourTables, states: int) -> Derived:
    """Tables for a quantiser; the last few are kept."""
    quantiser = quantiser_of(tables, states)
    codebooks, entries, _ = quantiser.orbits.shape
    labels = np.zeros((codebooks, 1 << SYMBOL_BITS), np.uint8)
    signs = (quantiser.orbits > 0).sum(axis=2, dtype=np.uint8)
    branch = branches(quantiser.orbits) if states > 1 else np.zeros_like(signs)
    labels[:, :entries] = signs | (branch << 2)
    levels = np.minimum(np.arange(ACTIVITY_LEVELS), TOP_LEVEL)
    luma = np.searchsorted(tables.luma_edges, levels, side="right") * tables.chroma_classes
    chroma = np.searchsorted(tables.chroma_edges, levels, side="right")
    return Derived(
        labels.reshape(-1),
        sign_vectors(quantiser),
        luma.astype(np.uint16),
        chroma.astype(np.uint16),
        np.array(TRELLIS[states], np.uint8),
    )


@lru_cache(maxsize=8)
def parsing(tables: ColourTables, band: int, states: int) -> Parsing:
    """Tables of a band for a decoder; the last few are kept."""
    quantiser = quantiser_of(tables, states)
    derived = derive(tables, states)
    codebooks, entries, _ = quantiser.orbits.shape
    common, rare = quantiser.common[band], quantiser.rare[band]
    by_class = np.broadcast_to(common, (2, *common.shape[1:])).transpose(1, 0, 2)
    by_class = by_class.reshape(-1, common.shape[-1])
    far_slots, far_ends = decoding_tables(rare.reshape(-1, entries + 1))
    labels = derived.labels.reshape(codebooks, -1).astype(np.uint64)
    books = np.arange(codebooks, dtype=np.uint64)[:, None]
    flips = (labels >> 2 << 1) ^ (books * np.uint64(feedback(states)))
    effects = (labels & 3) << SIGNS_PLACE | flips << STATE_PLACE
    signed = np.zeros((len(derived.vectors), 4), "<i2")
    signed[:, :3] = derived.vectors
    return Parsing(
        _buckets(by_class),
        symbol_ends(by_class, COMMON_BITS),
        far_slots,
        far_ends,
        derived.labels,
        derived.vectors,
        signed.view("<i8").reshape(-1).astype(np.int64),
        effects.reshape(-1).astype(np.uint64),
        derived.luma_class.astype(np.uint32) * np.uint32(2 << BUCKETS_BITS),
        derived.chroma_class.astype(np.uint32) * np.uint32(2 << BUCKETS_BITS),
    )


def _buckets(frequencies: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint64]:
    """Buckets of tables, see `Parsing`; of uint16 (tables, symbols), the escape's last."""
    tables, symbols = frequencies.shape
    wide = frequencies.astype(np.uint32)
    ends = np.cumsum(wide, axis=1, dtype=np.uint32)
    # All but the escape's have at most 12 bits, as it always has a slot.
    known = wide * (np.arange(symbols) < symbols - 1)
    numbers = (known << 20) | ((ends - wide) << 8) | np.arange(symbols, dtype=np.uint32)
    names = np.tile(np.arange(symbols, dtype=np.uint8), tables)
    slots = np.repeat(names, frequencies.reshape(-1)).reshape(tables, -1)
    first = slots[:, :: 1 << BUCKET_BITS]
    behind = np.take_along_axis(ends, first, axis=1)
    last = np.arange(1, first.shape[1] + 1, dtype=np.uint32) * (1 << BUCKET_BITS) - 1
    second = np.take_along_axis(slots, np.minimum(behind, last), axis=1)
    pairs = [np.take_along_axis(numbers, which, axis=1) for which in (first, second)]
    both: npt.NDArray[np.uint64] = pairs[0] | (pairs[1].astype(np.uint64) << 32)
    return both.reshape(-1)
