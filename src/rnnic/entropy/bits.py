"""Kernels that read and write canonical Huffman codes, most significant bit first."""

import numpy as np
import numpy.typing as npt

from rnnic._jit import inlined
from rnnic.entropy.huffman import LENGTH_BITS, MAX_LENGTH, PRIMARY_BITS

__all__ = ["put_code", "read_symbol", "words_of"]

_PRIMARY_SHIFT = MAX_LENGTH - PRIMARY_BITS
_WINDOW = MAX_LENGTH
"""Bits behind a word that a code which begins in it can reach into."""
_LENGTH_MASK = (1 << LENGTH_BITS) - 1
_PEEK_MASK = (1 << MAX_LENGTH) - 1


def words_of(data: memoryview, spare_bits: int) -> npt.NDArray[np.int64]:
    """Return a stream as 32-bit words, followed by at least `spare_bits` zero bits.

    Readers look at the bits up to `MAX_LENGTH` behind their position without a check.
    """
    count = -(-len(data) // 4) + -(-spare_bits // 32) + 2
    padded = np.zeros(4 * count, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    return padded.view(">u4").astype(np.int64)


@inlined
def read_symbol(words, primary, limit, offset, ranked, table, position):
    """Return the symbol at a bit position of a stream, and the position behind it.

    The four arrays are those of a `DecoderBook`, ``table`` is the number of the table in it.
    """
    word = position >> 5
    window = (words[word] << _WINDOW) | (words[word + 1] >> (32 - _WINDOW))
    peek = (window >> (32 - (position & 31))) & _PEEK_MASK
    entry = np.int64(primary[table, peek >> _PRIMARY_SHIFT])
    if entry != 0:
        length = entry & _LENGTH_MASK
        symbol = entry >> LENGTH_BITS
    else:
        length = np.int64(PRIMARY_BITS + 1)
        while peek >= limit[table, length]:
            length += 1
        rank = (peek >> (MAX_LENGTH - length)) + offset[table, length]
        symbol = np.int64(ranked[table, rank])
    return symbol, position + length


@inlined
def put_code(state, out, code, length):
    """Append a code; ``state`` int64 (3,) is pending bits, their number, bytes written."""
    pending = (state[0] << length) | np.int64(code)
    count = state[1] + length
    written = state[2]
    while count >= 8:
        count -= 8
        out[written] = (pending >> count) & 255
        written += 1
    state[0] = pending & ((np.int64(1) << count) - 1)
    state[1] = count
    state[2] = written
