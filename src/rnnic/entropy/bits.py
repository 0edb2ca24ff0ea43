"""Kernels that read and write canonical Huffman codes, most significant bit first."""

import numpy as np
import numpy.typing as npt

from rnnic._jit import inlined
from rnnic.entropy.huffman import LENGTH_BITS, MAX_LENGTH

__all__ = ["put_code", "read_symbol", "words_of"]

_PRIMARY_SHIFT = 8
_LENGTH_MASK = (1 << LENGTH_BITS) - 1
_PEEK_MASK = (1 << MAX_LENGTH) - 1


def words_of(data: memoryview) -> npt.NDArray[np.uint32]:
    """Return a stream as words in native order; the last one is filled with zeros."""
    padded = np.zeros(4 * -(-len(data) // 4), np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    return padded.view(">u4").astype(np.uint32)


@inlined
def read_symbol(words, primary, limit, offset, ranked, table, ahead, count, position):
    """Read the next symbol of table number `table`; past the end all bits are zero.

    The four arrays are those of a `DecoderBook`, tables of several.

    The reader is ``ahead``, the bits read ahead, ``count``, their number, and ``position``, the index
    of the next word; all start at 0. Returns the symbol and the three of them moved on. So many bits have
    been taken: ``32 * position - count``.
    """
    if count < MAX_LENGTH:
        word = np.int64(0)
        if position < words.shape[0]:
            word = np.int64(words[position])
        ahead = (ahead << 32) | word
        count += 32
        position += 1
    peek = (ahead >> (count - MAX_LENGTH)) & _PEEK_MASK
    entry = np.int64(primary[table, peek >> _PRIMARY_SHIFT])
    if entry != 0:
        length = entry & _LENGTH_MASK
        symbol = entry >> LENGTH_BITS
    else:
        length = np.int64(MAX_LENGTH - _PRIMARY_SHIFT + 1)
        while peek >= limit[table, length]:
            length += 1
        rank = (peek >> (MAX_LENGTH - length)) + offset[table, length]
        symbol = np.int64(ranked[table, rank])
    count -= length
    return symbol, ahead & ((np.int64(1) << count) - 1), count, position


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
