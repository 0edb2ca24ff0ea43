"""Static range asymmetric numeral systems (rANS, Duda 2013) with 12-bit frequencies.

The state lives in ``[2**15, 2**31)`` and is refilled by 16-bit words, so every product fits
31 bits. A symbol may carry up to three raw bits, which share its refill; longer raw fields are
moved a byte at a time.

A *token* is what the encoder queues per symbol: ``frequency | start << 13 | raw << 26 | bits << 34``
in an int64, frequency zero meaning "raw bits only".
"""

import numpy as np
import numpy.typing as npt
from numpy import uint64

from rnnic._jit import forced, jit

__all__ = [
    "LOWER_BOUND",
    "PROBABILITY_BITS",
    "PROBABILITY_SCALE",
    "SYMBOL_BITS",
    "decode_raw",
    "decode_symbol",
    "decoding_tables",
    "encode_tokens",
    "find_symbol",
    "normalise",
    "refill",
    "search_symbol",
    "symbol_ends",
    "symbol_spans",
    "token_bits",
]

PROBABILITY_BITS = 12
PROBABILITY_SCALE = 1 << PROBABILITY_BITS
SLOT_MASK = PROBABILITY_SCALE - 1
LOWER_BOUND = 1 << 15
SYMBOL_BITS = 9
"""Tables have room for ``2**SYMBOL_BITS`` symbols, so that an index is made by shifting."""
BUCKET_BITS = 3
"""Slots are looked up by so many bits less, then along the symbols: caches hold more tables."""
ONE = uint64(1)
U_BUCKET_BITS = uint64(BUCKET_BITS)
U_BUCKET_SHIFT = uint64(PROBABILITY_BITS - BUCKET_BITS)
U_PROBABILITY_BITS = uint64(PROBABILITY_BITS)
U_SLOT_MASK = uint64(SLOT_MASK)
U_LOWER_BOUND = uint64(LOWER_BOUND)
U_SYMBOL_BITS = uint64(SYMBOL_BITS)


@forced
def search_symbol(slot, symbol, first, ends):
    """Find the symbol of a slot from ``symbol`` on, whose table's ends begin behind ``first``.

    Returns what `find_symbol` does.
    """
    at = first + symbol
    end = uint64(ends[at + ONE])
    while slot >= end:
        at += ONE
        end = uint64(ends[at + ONE])
    start = uint64(ends[at]) & U_SLOT_MASK
    return at - first, end - start, slot - start


@forced
def find_symbol(slot, table, slots, ends):
    """Find the symbol of a slot.

    Parameters
    ----------
    slot, table : uint64
    slots, ends : uint16 arrays
        See `decoding_tables`.

    Returns
    -------
    tuple of uint64
        Symbol; its frequency; how far into it the slot is.
    """
    # Nearly always it is the bucket's first symbol.
    symbol = uint64(slots[(table << U_BUCKET_SHIFT) + (slot >> U_BUCKET_BITS)])
    return search_symbol(slot, symbol, table << U_SYMBOL_BITS, ends)


@forced
def decode_symbol(state, position, words, slots, ends, table, raw_bits, group):
    """Decode one symbol and its raw bits.

    All numbers are uint64: an index that could be negative costs three instructions more.

    Parameters
    ----------
    state : uint64
        Coder state.
    position : uint64
        Index of the next word.
    words : uint16 array
        Bit stream; padded by the caller, who checks ``position`` from time to time.
    slots, ends : uint16 arrays
        See `decoding_tables`.
    table : uint64
        Which table.
    raw_bits : uint8 array, (groups << SYMBOL_BITS,)
        Two low bits: how many raw bits follow the symbol.
    group : uint64
        Which group of ``raw_bits``.

    Returns
    -------
    tuple
        Symbol, raw bits, state, position.
    """
    symbol, frequency, into = find_symbol(state & U_SLOT_MASK, table, slots, ends)
    state = frequency * (state >> U_PROBABILITY_BITS) + into
    bits = uint64(raw_bits[(group << U_SYMBOL_BITS) | symbol]) & uint64(3)
    raw = state & ((ONE << bits) - ONE)
    state, position = refill(state >> bits, position, words)
    return symbol, raw, state, position


@forced
def refill(state, position, words):
    """Take a word into a state that is below its range."""
    low = state < U_LOWER_BOUND
    word = uint64(words[position])
    state = ((state << uint64(16)) | word) if low else state
    return state, position + uint64(low)


@jit
def decode_raw(state, position, words):
    """Decode a raw byte; returns it, the state and the position."""
    raw = np.int64(state & uint64(255))
    state, position = refill(state >> uint64(8), position, words)
    return raw, state, position


def token_bits(tokens: npt.NDArray[np.int64]) -> float:
    """Return about the bits that tokens are encoded in."""
    counts = np.bincount(tokens & 0x1FFF, minlength=2)[1:]
    lengths = PROBABILITY_BITS - np.log2(np.arange(1, len(counts) + 1))
    return float(counts @ lengths + (tokens >> 34).sum())


@jit
def encode_tokens(tokens, count, words):
    """Encode ``tokens[:count]``, last to first, into the end of ``words``.

    Parameters
    ----------
    tokens : int64 array
        Queue of tokens in decoding order.
    count : int
        How many of them.
    words : uint16 array
        Output, filled from its end; ``count + 2`` entries are always enough.

    Returns
    -------
    int
        Index of the first word: two words of state (high half first), then the refills.
    """
    state = LOWER_BOUND
    at = words.shape[0]
    for i in range(count - 1, -1, -1):
        token = tokens[i]
        frequency = token & 0x1FFF
        start = (token >> 13) & 0x1FFF
        raw = (token >> 26) & 0xFF
        bits = token >> 34
        limit = (frequency << (19 - bits)) if frequency > 0 else (1 << (31 - bits))
        if state >= limit:
            at -= 1
            words[at] = state & 0xFFFF
            state >>= 16
        state = (state << bits) | raw
        if frequency > 0:
            state = ((state // frequency) << PROBABILITY_BITS) + state % frequency + start
    words[at - 1] = state & 0xFFFF
    words[at - 2] = state >> 16
    return at - 2


def normalise(probabilities: npt.NDArray[np.float64], floor: float = 0.0) -> npt.NDArray[np.uint16]:
    """Turn probabilities into integer frequencies that sum to ``PROBABILITY_SCALE``.

    Parameters
    ----------
    probabilities : float64 array, (n,)
        Non-negative, not all zero.
    floor : float
        Symbols below ``floor / PROBABILITY_SCALE`` get frequency zero (they cannot be coded),
        the others at least one. The last symbol always keeps at least one.

    Returns
    -------
    uint16 array, (n,)
    """
    scaled = probabilities / probabilities.sum() * PROBABILITY_SCALE
    alive = (scaled >= floor) if floor > 0 else np.ones(len(scaled), bool)
    alive[-1] = True
    frequency = np.where(alive, np.maximum(1, np.rint(scaled)), 0).astype(np.int64)
    excess = int(frequency.sum()) - PROBABILITY_SCALE
    while excess != 0:
        if excess < 0:
            frequency[int(np.argmax(frequency))] -= excess
            break
        order = np.argsort(-frequency, kind="stable")
        order = order[frequency[order] > 1][: min(excess, 16)]
        frequency[order] -= 1
        excess -= len(order)
    return frequency.astype(np.uint16)


def symbol_spans(
    frequencies: npt.NDArray[np.uint16], symbol_bits: int = SYMBOL_BITS
) -> npt.NDArray[np.uint32]:
    """Build the span table.

    Parameters
    ----------
    frequencies : uint16 array, (tables, symbols)
        Each row sums to ``PROBABILITY_SCALE``.
    symbol_bits : int
        Room for ``2**symbol_bits`` symbols a table.

    Returns
    -------
    uint32 array, (tables << symbol_bits,)
        ``frequency << 12 | start``
    """
    tables, symbols = frequencies.shape
    wide = frequencies.astype(np.uint32)
    start = np.cumsum(wide, axis=1, dtype=np.uint32) - wide
    spans = np.zeros((tables, 1 << symbol_bits), np.uint32)
    # A symbol that cannot occur may start beyond the last slot.
    spans[:, :symbols] = np.where(wide > 0, (wide << PROBABILITY_BITS) | start, 0)
    return spans.reshape(-1)


def symbol_ends(
    frequencies: npt.NDArray[np.uint16], symbol_bits: int = SYMBOL_BITS
) -> npt.NDArray[np.uint16]:
    """Build the table of the ends of symbols: half the room of spans, for decoders' caches.

    Parameters
    ----------
    frequencies, symbol_bits
        Those of `symbol_spans`.

    Returns
    -------
    uint16 array, (1 + (tables << symbol_bits),)
        What a symbol's slots end before, which its neighbour's start at; in front another table's last.
    """
    tables, symbols = frequencies.shape
    ends = np.full((tables, 1 << symbol_bits), PROBABILITY_SCALE, np.uint16)
    ends[:, :symbols] = np.cumsum(frequencies, axis=1)
    return np.append(np.uint16(PROBABILITY_SCALE), ends)


def decoding_tables(
    frequencies: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Build the tables of slots and ends.

    Parameters
    ----------
    frequencies : uint16 array, (tables, symbols)
        Each row sums to ``PROBABILITY_SCALE``.

    Returns
    -------
    slots : uint16 array, (tables << 12 - BUCKET_BITS,)
        Symbol of the first slot of every bucket.
    ends : uint16 array, (1 + (tables << SYMBOL_BITS),)
        See `symbol_ends`.
    """
    tables, symbols = frequencies.shape
    names = np.tile(np.arange(symbols, dtype=np.uint16), tables)
    slots = np.repeat(names, frequencies.reshape(-1))
    return slots[:: 1 << BUCKET_BITS].copy(), symbol_ends(frequencies)
