from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnic._jit import jit
from rnnic.entropy.bits import put_code, read_symbol, words_of
from rnnic.entropy.huffman import (
    MAX_LENGTH,
    code_lengths,
    decoder_book,
    encoder_book,
    pack_lengths,
    packed_size,
    stack_books,
    unpack_lengths,
)
from rnnic.errors import FormatError

frequencies = st.lists(st.integers(1, 2**40), min_size=2, max_size=200).map(
    lambda found: np.array(found, np.int64)
)


def optimal_cost(counts: list[int]) -> int:
    """The cost of a Huffman code: the sum of all inner nodes."""
    counts = sorted(counts)
    total = 0
    while len(counts) > 1:
        merged = counts[0] + counts[1]
        total += merged
        counts = sorted([*counts[2:], merged])
    return total


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=60))
def test_lengths_are_optimal_where_the_bound_does_not_matter(counts: list[int]) -> None:
    lengths = code_lengths(np.array(counts, np.int64))
    assert int((lengths.astype(np.int64) * counts).sum()) == optimal_cost(counts)


@given(frequencies)
def test_lengths_are_bounded_and_complete(counts: np.ndarray) -> None:
    lengths = code_lengths(counts)
    assert 1 <= lengths.min() <= lengths.max() <= MAX_LENGTH
    assert sum(2.0 ** -int(length) for length in lengths) == 1.0


def test_fibonacci_frequencies_need_the_bound() -> None:
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    lengths = code_lengths(np.array(counts, np.int64))
    assert lengths.max() == MAX_LENGTH
    assert (np.diff(lengths.astype(int)) <= 0).all()
    # The bound costs little: the unbounded code is a lower limit.
    assert (lengths * np.array(counts)).sum() < 1.001 * optimal_cost(counts)


@given(
    st.lists(frequencies, min_size=1, max_size=3).filter(lambda f: len({len(x) for x in f}) == 1)
)
def test_packed_lengths_come_back(tables: list[np.ndarray]) -> None:
    lengths = np.stack([code_lengths(counts) for counts in tables])
    packed = pack_lengths(lengths)
    assert len(packed) == packed_size(*lengths.shape)
    np.testing.assert_array_equal(unpack_lengths(memoryview(packed), *lengths.shape), lengths)


@pytest.mark.parametrize("lengths", [[1, 1, 1], [1, 2], [0, 1], [21, 1], [2, 2, 2]])
def test_codes_that_are_not_complete_are_refused(lengths: list[int]) -> None:
    array = np.array([lengths], np.uint8)
    with pytest.raises(FormatError):
        unpack_lengths(memoryview(pack_lengths(array)), *array.shape)


@jit
def put_symbols(state: Any, out: Any, codes: Any, lengths: Any, tables: Any, symbols: Any) -> None:
    for i in range(symbols.shape[0]):
        table, symbol = tables[i], symbols[i]
        put_code(state, out, codes[table, symbol], lengths[table, symbol])


@jit
def get_symbols(words: Any, book: Any, tables: Any, symbols: Any) -> Any:
    position = np.int64(0)
    primary, limit, offset, ranked = book
    for i in range(symbols.shape[0]):
        symbols[i], position = read_symbol(
            words, primary, limit, offset, ranked, tables[i], position
        )
    return position


@given(frequencies, st.data())
def test_symbols_come_back(counts: np.ndarray, data: st.DataObject) -> None:
    lengths = np.stack([code_lengths(counts), code_lengths(counts[::-1].copy())])
    drawn = data.draw(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, len(counts) - 1)), max_size=100)
    )
    tables, symbols = np.array(drawn, np.int64).reshape(-1, 2).T.copy()
    book = encoder_book(lengths)
    out = np.zeros(3 * len(symbols) + 8, np.uint8)
    state = np.zeros(3, np.int64)
    put_symbols(state, out, book.codes, book.lengths, tables, symbols)
    if state[1]:
        out[state[2]] = (state[0] << (8 - state[1])) & 255
    size = int(state[2] + (state[1] > 0))
    words = words_of(memoryview(out[:size].tobytes()), 0)
    # Behind a table of another alphabet, as the raster method stacks them.
    other = decoder_book(code_lengths(np.ones(3, np.int64))[None])
    stacked = stack_books([other, decoder_book(lengths)])
    found = np.empty_like(symbols)
    position = get_symbols(words, tuple(stacked), tables + 1, found)
    np.testing.assert_array_equal(found, symbols)
    assert size * 8 - 8 < position <= size * 8 or not len(symbols)


def test_too_few_symbols_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two symbols"):
        code_lengths(np.array([5], np.int64))
