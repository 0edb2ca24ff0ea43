"""Canonical Huffman codes of bounded length (SPEC.md 4.2).

A *code book* is a set of tables over one alphabet; the caller chooses the table symbol by symbol.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.errors import FormatError

__all__ = [
    "LENGTH_BITS",
    "MAX_LENGTH",
    "PRIMARY_BITS",
    "DecoderBook",
    "EncoderBook",
    "code_lengths",
    "decoder_book",
    "encoder_book",
    "pack_lengths",
    "packed_size",
    "stack_books",
    "unpack_lengths",
]

MAX_LENGTH = 20
LENGTH_BITS = 5
PRIMARY_BITS = 13

Lengths = npt.NDArray[np.uint8]


class EncoderBook(NamedTuple):
    """Codes of T tables over S symbols.

    ``codes`` (T, S) uint32 hold a code in their low bits, ``lengths`` (T, S) uint8 its length.
    """

    codes: npt.NDArray[np.uint32]
    lengths: Lengths


class DecoderBook(NamedTuple):
    """Look-up tables of T codes over S symbols.

    ``primary`` (T, 2**bits) int32 maps the next bits to ``symbol << 5 | length``, or to 0 where
    the code is longer. Then the canonical order serves: a code of length l, seen as the top bits
    of `MAX_LENGTH` bits, is below ``limit[t, l]`` (int32), and its symbol is
    ``ranked[t, (bits >> (MAX_LENGTH - l)) + offset[t, l]]``.
    """

    primary: npt.NDArray[np.int32]
    limit: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int32]
    ranked: npt.NDArray[np.int32]


def code_lengths(frequencies: npt.NDArray[np.int64]) -> Lengths:
    """Return optimal code lengths of at most `MAX_LENGTH` bits.

    A Huffman code where that is short enough, else the package-merge algorithm (Larmore and
    Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", 1990).

    Parameters
    ----------
    frequencies : int64 (S,)
        How often each symbol occurs, at least 1; 2 <= S <= 2**MAX_LENGTH.

    Returns
    -------
    uint8 (S,)
        Lengths of a complete prefix code.
    """
    count = len(frequencies)
    if count < 2 or int(frequencies.min()) < 1:
        raise ValueError("a code needs two symbols or more, each of frequency 1 or more")
    lengths = _unbounded_lengths(frequencies)
    if int(lengths.max()) <= MAX_LENGTH:
        return lengths.astype(np.uint8)
    return _package_merge(frequencies)


def _unbounded_lengths(frequencies: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the lengths of a Huffman code, ties broken by the order of the symbols."""
    count = len(frequencies)
    heap = [(int(f), i) for i, f in enumerate(frequencies)]
    heapq.heapify(heap)
    parent = np.zeros(2 * count - 1, np.int64)
    for node in range(count, 2 * count - 1):
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        parent[first[1]] = parent[second[1]] = node
        heapq.heappush(heap, (first[0] + second[0], node))
    depth = np.zeros(2 * count - 1, np.int64)
    for node in range(2 * count - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    return depth[:count]


def _package_merge(frequencies: npt.NDArray[np.int64]) -> Lengths:
    """Return optimal lengths under the bound."""
    count = len(frequencies)
    order = np.argsort(frequencies, kind="stable")
    leaves = frequencies[order]
    weights = leaves
    is_leaf = [np.ones(count, bool)]
    for _ in range(MAX_LENGTH - 1):
        pairs = len(weights) // 2
        packages = weights[0 : 2 * pairs : 2] + weights[1 : 2 * pairs : 2]
        merged = np.concatenate([leaves, packages])
        rank = np.argsort(merged, kind="stable")
        weights = merged[rank]
        is_leaf.append(rank < count)
    lengths = np.zeros(count, np.uint8)
    # The cheapest 2 (count - 1) items of the last list, opened list by list: the leaves among them
    # are always the lightest ones, and each package stands for two items of the list before.
    take = 2 * (count - 1)
    for leaf in reversed(is_leaf):
        chosen = int(np.count_nonzero(leaf[:take]))
        lengths[order[:chosen]] += 1
        take = 2 * (take - chosen)
    return lengths


def check_complete(lengths: Lengths) -> None:
    """Check that each row of `lengths` (T, S) belongs to a complete prefix code.

    Raises
    ------
    FormatError
        If a length is out of range or a row's Kraft sum is not 1.
    """
    if lengths.size and not 1 <= int(lengths.min()) <= int(lengths.max()) <= MAX_LENGTH:
        raise FormatError(f"a code length outside 1 … {MAX_LENGTH}")
    kraft = (np.int64(1) << (MAX_LENGTH - lengths.astype(np.int64))).sum(axis=1)
    if (kraft != 1 << MAX_LENGTH).any():
        raise FormatError("a table of code lengths that is not complete")


def _first_codes(lengths: Lengths) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return number and first code of each length of one table, arrays of MAX_LENGTH + 1."""
    numbers = np.bincount(lengths, minlength=MAX_LENGTH + 1)
    first = np.zeros(MAX_LENGTH + 1, np.int64)
    for length in range(1, MAX_LENGTH + 1):
        first[length] = (first[length - 1] + numbers[length - 1]) << 1
    return numbers, first


def encoder_book(lengths: Lengths) -> EncoderBook:
    """Return the canonical codes of tables of lengths (T, S)."""
    check_complete(lengths)
    codes = np.zeros(lengths.shape, np.uint32)
    for row, own in zip(codes, lengths, strict=True):
        numbers, first = _first_codes(own)
        ranked = np.argsort(own, kind="stable")
        rank_of_first = np.cumsum(numbers) - numbers
        by_rank = own[ranked].astype(np.int64)
        row[ranked] = first[by_rank] + np.arange(len(own)) - rank_of_first[by_rank]
    return EncoderBook(codes, np.ascontiguousarray(lengths))


def decoder_book(lengths: Lengths) -> DecoderBook:
    """Return the look-up tables for tables of lengths (T, S)."""
    check_complete(lengths)
    tables, symbols = lengths.shape
    primary = np.zeros((tables, 1 << PRIMARY_BITS), np.int32)
    limit = np.zeros((tables, MAX_LENGTH + 1), np.int32)
    offset = np.zeros((tables, MAX_LENGTH + 1), np.int32)
    ranked = np.zeros((tables, symbols), np.int32)
    for table, own in enumerate(lengths):
        numbers, first = _first_codes(own)
        order = np.argsort(own, kind="stable")
        ranked[table] = order
        shift = MAX_LENGTH - np.arange(MAX_LENGTH + 1)
        limit[table] = (first + numbers) << shift
        offset[table] = np.cumsum(numbers) - numbers - first
        # Codes in rank order fill the look-up table from its start without a gap.
        short = order[own[order] <= PRIMARY_BITS]
        filled = np.repeat(
            short.astype(np.int32) << LENGTH_BITS | own[short],
            np.int64(1) << (PRIMARY_BITS - own[short].astype(np.int64)),
        )
        primary[table, : len(filled)] = filled
    return DecoderBook(primary, limit, offset, ranked)


def stack_books(books: Sequence[DecoderBook]) -> DecoderBook:
    """Return one book of all tables of several, one after the other; alphabets may differ."""
    symbols = max(book.ranked.shape[1] for book in books)
    padded = [np.pad(b.ranked, ((0, 0), (0, symbols - b.ranked.shape[1]))) for b in books]
    return DecoderBook(
        np.concatenate([book.primary for book in books]),
        np.concatenate([book.limit for book in books]),
        np.concatenate([book.offset for book in books]),
        np.concatenate(padded),
    )


def packed_size(tables: int, symbols: int) -> int:
    """Return the number of bytes that `pack_lengths` makes of (tables, symbols) lengths."""
    return tables * -(-symbols * LENGTH_BITS // 8)


def pack_lengths(lengths: Lengths) -> bytes:
    """Return lengths (T, S) in `LENGTH_BITS` bits each, every table padded to whole bytes."""
    bits = np.unpackbits(lengths[:, :, None], axis=2)[:, :, 8 - LENGTH_BITS :]
    return np.packbits(bits.reshape(len(lengths), -1), axis=1).tobytes()


def unpack_lengths(data: memoryview, tables: int, symbols: int) -> Lengths:
    """Return the lengths (tables, symbols) that `pack_lengths` wrote.

    Raises
    ------
    FormatError
        If they are not those of complete codes.
    """
    raw = np.frombuffer(data, np.uint8).reshape(tables, -1)
    bits = np.unpackbits(raw, axis=1)[:, : symbols * LENGTH_BITS]
    weights = (1 << np.arange(LENGTH_BITS - 1, -1, -1)).astype(np.uint8)
    digits = bits.reshape(tables, symbols, LENGTH_BITS) * weights
    lengths: Lengths = digits.sum(axis=2, dtype=np.uint8)
    check_complete(lengths)
    return lengths
