"""Nearest palette entries, and the rate-distortion search along a row (encoder only)."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rnnic._jit import jit
from rnnic.entropy.rans import PROBABILITY_BITS, SYMBOL_BITS, decoding_tables
from rnnic.pyramid.format import branches
from rnnic.pyramid.model import Quantiser

__all__ = ["CandidateGrid", "ExactSearcher", "Searcher", "code_lengths"]

CELL = 0.25
LUMA_REACH = 20.0
CHROMA_REACH = 8.0
CANDIDATES = 7
LUMA_CELLS = int(LUMA_REACH / CELL) + 1
CHROMA_CELLS = int(CHROMA_REACH / CELL) + 1
UNREACHABLE = 1e9
ESCAPE = (1 << SYMBOL_BITS) - 1
"""The encoder's number of the escape in every table, whose entries end before it."""


class Searcher(Protocol):
    """A nearest-neighbour backend."""

    def fit(self, points: npt.NDArray[np.float32]) -> object:
        """Index ``points``, (entries, dimensions)."""

    def query(self, points: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """Return indices of the ``k`` nearest entries of each point, (points, k), nearest first."""


@jit
def _nearest(entries, points, k, out):
    """Exhaustive search with an insertion sort of the ``k`` best."""
    distance = np.empty(k, np.float32)
    for i in range(points.shape[0]):
        found = 0
        for j in range(entries.shape[0]):
            d = np.float32(0)
            for c in range(entries.shape[1]):
                t = points[i, c] - entries[j, c]
                d += t * t
            if found == k and d >= distance[k - 1]:
                continue
            if found < k:
                found += 1
            at = found - 1
            while at > 0 and distance[at - 1] > d:
                distance[at] = distance[at - 1]
                out[i, at] = out[i, at - 1]
                at -= 1
            distance[at] = d
            out[i, at] = j


class ExactSearcher:
    """Exhaustive nearest-neighbour search, the default backend."""

    def __init__(self) -> None:
        self._entries = np.zeros((1, 1), np.float32)

    def fit(self, points: npt.NDArray[np.float32]) -> "ExactSearcher":
        """Keep the points."""
        self._entries = np.ascontiguousarray(points, np.float32)
        return self

    def query(self, points: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """Return indices of the ``k`` nearest entries, the earlier entry first where they tie."""
        out = np.zeros((len(points), k), np.int64)
        _nearest(self._entries, np.ascontiguousarray(points, np.float32), k, out)
        return out


class CandidateGrid:
    """Nearest entries of every cell of the residual space, by codebook and branch.

    Signs cost the same whatever they are, so the octant of non-negative residuals is enough.

    Attributes
    ----------
    cells : int16 array, (codebooks, branches, luma, chroma, chroma, CANDIDATES)
        Entries nearest to a cell's centre; the last is the zero vector in branch 0.
    """

    def __init__(self, quantiser: Quantiser, channels: int, searcher: Searcher) -> None:
        codebooks = quantiser.orbits.shape[0]
        luma = np.arange(LUMA_CELLS) * CELL
        chroma = np.arange(CHROMA_CELLS) * CELL if channels == 3 else np.zeros(1)
        axes = np.meshgrid(luma, chroma, chroma, indexing="ij")
        centres = np.stack(axes, -1).reshape(-1, 3).astype(np.float32)
        split = 1 if codebooks == 1 else 2
        shape = (len(luma), len(chroma), len(chroma), CANDIDATES)
        self.cells = np.zeros((codebooks, split, *shape), np.int16)
        for book in range(codebooks):
            used = np.flatnonzero(
                (quantiser.magnitudes[book] > 0).any(axis=1)
                | (np.arange(quantiser.orbits.shape[1]) == 0)
            )
            branch = branches(quantiser.orbits[book][used])
            for side in range(split):
                members = used if split == 1 else used[branch == side]
                points = quantiser.magnitudes[book][members].astype(np.float32) / 64
                k = min(CANDIDATES, len(members))
                searcher.fit(points)
                found = members[searcher.query(centres, k)]
                if k < CANDIDATES:
                    found = np.concatenate([found] + [found[:, -1:]] * (CANDIDATES - k), axis=1)
                if side == 0:
                    found[:, -1] = 0
                self.cells[book, side] = found.reshape(shape)


def code_lengths(quantiser: Quantiser, band: int) -> npt.NDArray[np.float32]:
    """Bits of every symbol with its signs, (tables, 1 << SYMBOL_BITS); see `search_tables`."""
    codebooks = quantiser.orbits.shape[0]
    signs = (quantiser.orbits > 0).sum(axis=2)
    found = []
    for part in (quantiser.common, quantiser.rare):
        frequencies = part[band].astype(np.float64)
        contexts, symbols = frequencies.shape[1:]
        bits = np.full((codebooks, contexts, 1 << SYMBOL_BITS), UNREACHABLE, np.float32)
        possible = frequencies > 0
        ideal = PROBABILITY_BITS - np.log2(np.where(possible, frequencies, 1.0))
        ideal[:, :, : symbols - 1] += signs[:, None, : symbols - 1]
        ideal = np.where(possible, ideal, UNREACHABLE)
        bits[:, :, : symbols - 1], bits[:, :, ESCAPE] = ideal[:, :, :-1], ideal[:, :, -1]
        found.append(bits.reshape(codebooks * contexts, -1))
    return np.concatenate(found)


def coding_spans(quantiser: Quantiser, band: int) -> npt.NDArray[np.uint32]:
    """Frequency and start of every symbol, (tables << SYMBOL_BITS,), as decoders have them."""
    found = []
    for part in (quantiser.common, quantiser.rare):
        symbols = part.shape[-1]
        _, spans = decoding_tables(part[band].reshape(-1, symbols))
        rows = spans.reshape(-1, 1 << SYMBOL_BITS)
        rows[:, [symbols - 1, ESCAPE]] = rows[:, [ESCAPE, symbols - 1]]
        found.append(rows.reshape(-1))
    return np.concatenate(found)


def search_tables(quantiser: Quantiser, band: int, grid: CandidateGrid) -> tuple[Any, ...]:
    """Return what the search kernels read: cells, magnitudes in steps, code lengths, spans.

    The encoder numbers all tables in one row: those of the common entries, codebook after
    codebook, then those that an escape leads to.
    """
    codebooks, entries, _ = quantiser.orbits.shape
    magnitudes = np.zeros((codebooks, 1 << SYMBOL_BITS, 3), np.float32)
    magnitudes[:, :entries] = quantiser.magnitudes.astype(np.float32) / 64
    return (
        grid.cells.reshape(-1),
        magnitudes.reshape(-1, 3),
        code_lengths(quantiser, band).reshape(-1),
        coding_spans(quantiser, band),
    )
