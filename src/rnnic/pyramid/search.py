"""Nearest palette entries, and the rate-distortion search along a row (encoder only)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic._jit import jit
from rnnic.entropy.rans import PROBABILITY_BITS, SYMBOL_BITS, symbol_spans
from rnnic.pyramid.format import branches
from rnnic.pyramid.model import Quantiser
from rnnic.search import nearest_entries

__all__ = ["DEFAULT_LAMBDA", "EXACT", "CandidateGrid", "code_lengths"]

EXACT = "exact"
"""The search that is used by default."""
NEIGHBOR_REACH = 32.0
"""Half a step, in the units of magnitudes."""
CELL = 0.25
LUMA_REACH = 20.0
CHROMA_REACH = 8.0
CANDIDATES = 7
LUMA_CELLS = int(LUMA_REACH / CELL) + 1
CHROMA_CELLS = int(CHROMA_REACH / CELL) + 1
UNREACHABLE = 1e9
DEFAULT_LAMBDA = 0.12
"""The usual Lagrange multiplier of bits, in squared steps."""
ESCAPE = (1 << SYMBOL_BITS) - 1
"""The encoder's number of the escape in every table, whose entries end before it."""


@jit
def _nearest(entries, numbers, points, k, distance, out):
    """Search outwards along the first coordinate, by which ``entries`` are sorted.

    ``out`` gets the ``k`` best ``numbers`` of each point, of equally near ones the lower first.
    ``distance`` is room for float32 (k,).
    """
    count = entries.shape[0]
    for i in range(points.shape[0]):
        right = np.searchsorted(entries[:, 0], points[i, 0])
        left = right - 1
        found = 0
        while left >= 0 or right < count:
            if right == count or (
                left >= 0 and points[i, 0] - entries[left, 0] < entries[right, 0] - points[i, 0]
            ):
                j = left
                left -= 1
            else:
                j = right
                right += 1
            gap = points[i, 0] - entries[j, 0]
            if found == k and gap * gap > distance[k - 1]:
                break
            d = np.float32(0)
            for c in range(entries.shape[1]):
                t = points[i, c] - entries[j, c]
                d += t * t
            number = numbers[j]
            last = k - 1
            if found < k:
                last = found
                found += 1
            elif d > distance[last] or (d == distance[last] and number > out[i, last]):
                continue
            at = last
            while at > 0 and (
                distance[at - 1] > d or (distance[at - 1] == d and out[i, at - 1] > number)
            ):
                distance[at] = distance[at - 1]
                out[i, at] = out[i, at - 1]
                at -= 1
            distance[at] = d
            out[i, at] = number


def _candidates(
    neighbors: Any, points: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], k: int
) -> npt.NDArray[np.int64]:
    """Return the numbers of the ``k`` nearest points, (queries, k); the earlier one first at ties."""
    if neighbors != EXACT:
        return nearest_entries(neighbors, points, queries, k, NEIGHBOR_REACH)
    out = np.zeros((len(queries), k), np.int64)
    order = np.argsort(points[:, 0], kind="stable")
    _nearest(points[order], order, queries, k, np.empty(k, np.float32), out)
    return out


class CandidateGrid:
    """Nearest entries of every cell of the residual space, by codebook and branch.

    Signs cost the same whatever they are, so the octant of non-negative residuals is enough.

    Parameters
    ----------
    quantiser : Quantiser
    channels : int
    neighbors : str or callable
        Search that finds them, as `rnnic.search.make_search` takes it. Points and queries are whole numbers.

    Attributes
    ----------
    cells : int16 array, (codebooks, branches, luma, chroma, chroma, CANDIDATES)
        Entries nearest to a cell's centre; the last is the zero vector in branch 0.
    """

    def __init__(self, quantiser: Quantiser, channels: int, neighbors: Any = EXACT) -> None:
        codebooks = quantiser.orbits.shape[0]
        luma = np.arange(LUMA_CELLS) * CELL
        chroma = np.arange(CHROMA_CELLS) * CELL if channels == 3 else np.zeros(1)
        axes = np.meshgrid(luma, chroma, chroma, indexing="ij")
        centres = (64 * np.stack(axes, -1).reshape(-1, 3)).astype(np.float32)
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
                points = quantiser.magnitudes[book][members].astype(np.float32)
                k = min(CANDIDATES, len(members))
                found = members[_candidates(neighbors, points, centres, k)]
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


def least_lengths(
    quantiser: Quantiser, lengths: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Fewest bits of any entry of a branch, or of the escape, in every common table: (tables * branches,)."""
    codebooks = len(quantiser.orbits)
    classes = quantiser.common.shape[2]
    sides = 1 if codebooks == 1 else 2
    least = np.empty((codebooks * classes, sides), np.float32)
    for book in range(codebooks):
        rows = slice(book * classes, (book + 1) * classes)
        branch = branches(quantiser.orbits[book])
        for side in range(sides):
            chosen = [*np.flatnonzero((sides == 1) | (branch == side)), ESCAPE]
            least[rows, side] = lengths[rows][:, chosen].min(axis=1)
    return least.reshape(-1)


def quiet_reaches(
    quantiser: Quantiser, lengths: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Length of residuals that the zero vector is the best entry for, in every common table: (tables,).

    In steps, with the usual weight of bits: a vector v of length l takes d bits more than the zero vector
    and is nearer by at most 2 l r - l**2 to a residual of length r. What an escape leads to has any length.
    Negative where zero is not likely.
    """
    classes = quantiser.common.shape[2]
    sizes = np.sqrt(np.square(quantiser.magnitudes.astype(np.float32) / 64).sum(axis=2))
    found = []
    for book in range(len(sizes)):
        bits = lengths[book * classes : (book + 1) * classes]
        more = DEFAULT_LAMBDA * (bits - bits[:, :1])
        used = np.flatnonzero(sizes[book])
        size = sizes[book][used]
        reach = (size / 2 + more[:, used] / (2 * size)).min(axis=1, initial=np.inf)
        found.append(np.minimum(reach, np.sqrt(np.maximum(more[:, ESCAPE], 0))))
    return np.concatenate(found)


def coding_spans(quantiser: Quantiser, band: int) -> npt.NDArray[np.uint32]:
    """Frequency and start of every symbol, (tables << SYMBOL_BITS,), as decoders have them."""
    found = []
    for part in (quantiser.common, quantiser.rare):
        symbols = part.shape[-1]
        spans = symbol_spans(part[band].reshape(-1, symbols))
        rows = spans.reshape(-1, 1 << SYMBOL_BITS)
        rows[:, [symbols - 1, ESCAPE]] = rows[:, [ESCAPE, symbols - 1]]
        found.append(rows.reshape(-1))
    return np.concatenate(found)


def search_tables(quantiser: Quantiser, band: int, grid: CandidateGrid) -> tuple[Any, ...]:
    """Return what search kernels read: cells, magnitudes in steps, code lengths, floors, reaches, spans.

    The encoder numbers all tables in one row: those of the common entries, codebook after
    codebook, then those that an escape leads to.
    """
    codebooks, entries, _ = quantiser.orbits.shape
    magnitudes = np.zeros((codebooks, 1 << SYMBOL_BITS, 3), np.float32)
    magnitudes[:, :entries] = quantiser.magnitudes.astype(np.float32) / 64
    lengths = code_lengths(quantiser, band)
    return (
        grid.cells.reshape(-1),
        magnitudes.reshape(-1, 3),
        lengths.reshape(-1),
        least_lengths(quantiser, lengths),
        quiet_reaches(quantiser, lengths),
        coding_spans(quantiser, band),
    )
