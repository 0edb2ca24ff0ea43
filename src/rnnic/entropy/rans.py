"""Static range asymmetric numeral systems (rANS, Duda 2013) with 12-bit frequencies.

The state lives in ``[2**15, 2**31)`` and is refilled by 16-bit words, so every product fits
31 bits. A symbol may carry up to three raw bits, which share its refill; longer raw fields are
moved a byte at a time.

A *token* is what the encoder queues per symbol: ``frequency | start << 13 | raw << 26 | bits << 34``
in an int64, frequency zero meaning "raw bits only".
"""

import numpy as np
import numpy.typing as npt

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
    "normalise",
]

PROBABILITY_BITS = 12
PROBABILITY_SCALE = 1 << PROBABILITY_BITS
SLOT_MASK = PROBABILITY_SCALE - 1
LOWER_BOUND = 1 << 15
SYMBOL_BITS = 9
"""Tables have room for ``2**SYMBOL_BITS`` symbols, so that an index is made by shifting."""


@forced
def decode_symbol(state, position, words, slots, spans, table, raw_bits, group):
    """Decode one symbol and its raw bits.

    Parameters
    ----------
    state : int
        Coder state.
    position : uint64
        Index of the next word.
    words : uint16 array
        Bit stream; padded by the caller, who checks ``position`` from time to time.
    slots : uint16 array, (tables << 12,)
        Symbol of every slot.
    spans : uint32 array, (tables << SYMBOL_BITS,)
        ``frequency << 16 | start`` of every symbol.
    table : int
        Which table.
    raw_bits : uint8 array, (groups << SYMBOL_BITS,)
        Two low bits: how many raw bits follow the symbol.
    group : int
        Which group of ``raw_bits``.

    Returns
    -------
    tuple
        Symbol, raw bits, state, position.
    """
    slot = state & SLOT_MASK
    symbol = np.int64(slots[(table << PROBABILITY_BITS) | slot])
    span = np.int64(spans[(table << SYMBOL_BITS) | symbol])
    state = (span >> 16) * (state >> PROBABILITY_BITS) + slot - (span & 0xFFFF)
    bits = np.int64(raw_bits[(group << SYMBOL_BITS) | symbol]) & 3
    raw = state & ((1 << bits) - 1)
    state >>= bits
    refill = state < LOWER_BOUND
    word = np.int64(words[position])
    state = ((state << 16) | word) if refill else state
    position = position + np.uint64(refill)
    return symbol, raw, state, position


@jit
def decode_raw(state, position, words):
    """Decode a raw byte; returns it, the state and the position."""
    raw = state & 255
    state >>= 8
    if state < LOWER_BOUND:
        state = (state << 16) | np.int64(words[position])
        position = position + np.uint64(1)
    return raw, state, position


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


def decoding_tables(
    frequencies: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
    """Build the slot and span tables.

    Parameters
    ----------
    frequencies : uint16 array, (tables, symbols)
        Each row sums to ``PROBABILITY_SCALE``.

    Returns
    -------
    slots : uint16 array, (tables << 12,)
    spans : uint32 array, (tables << SYMBOL_BITS,)
    """
    tables, symbols = frequencies.shape
    wide = frequencies.astype(np.uint32)
    start = np.cumsum(wide, axis=1, dtype=np.uint32) - wide
    spans = np.zeros((tables, 1 << SYMBOL_BITS), np.uint32)
    spans[:, :symbols] = (wide << 16) | start
    names = np.tile(np.arange(symbols, dtype=np.uint16), tables)
    slots = np.repeat(names, frequencies.reshape(-1))
    return slots, spans.reshape(-1)
