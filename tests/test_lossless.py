"""Lossless coding of drawn content."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rnnic.errors import FormatError, RnnicError, TruncatedError
from rnnic.lossless import decode_lossless, encode_lossless, looks_drawn
from rnnic.lossless.reference import decode_exact


def drawing(height: int, width: int, channels: int, colours: int) -> np.ndarray:
    """Return blocks of few colours."""
    rng = np.random.default_rng(colours)
    palette = rng.integers(0, 256, (colours, channels), np.uint8)
    blocks = rng.integers(0, colours, (-(-height // 5), -(-width // 7)))
    return palette[np.repeat(np.repeat(blocks, 5, 0), 7, 1)[:height, :width]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("colours", [1, 2, 4, 5, 16, 17, 256, 900])
def test_drawings_come_back(channels: int, colours: int) -> None:
    image = drawing(61, 83, channels, colours)
    data = encode_lossless(image)
    np.testing.assert_array_equal(decode_lossless(data, image.shape, np.uint8), image)
    assert decode_exact(data, channels, 83, 61) == image.tolist()


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
    )
)
@settings(max_examples=80, deadline=None)
def test_any_pixels_come_back(image: np.ndarray) -> None:
    data = encode_lossless(image)
    found = decode_lossless(data, image.shape, image.dtype)
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image)
    height, width, channels = image.shape
    depth = 8 * image.itemsize
    assert decode_exact(data, channels, width, height, depth) == image.tolist()


@given(st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_damage_is_a_typed_error_or_an_image(at: int, value: int) -> None:
    image = drawing(12, 15, 3, 7 if at % 2 else 300)
    data = bytearray(encode_lossless(image))
    data[at % len(data)] = value
    try:
        found = decode_lossless(bytes(data), image.shape, np.uint8)
    except RnnicError:
        return
    assert found.shape == image.shape


def test_limits() -> None:
    image = drawing(12, 15, 3, 300)
    data = encode_lossless(image)
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            decode_lossless(data[:end], image.shape, np.uint8)
    with pytest.raises(FormatError, match="go on"):
        decode_lossless(data + b"x", image.shape, np.uint8)
    with pytest.raises(FormatError, match="go on"):
        decode_lossless(b"\0" + zlib.compress(b"\0" * 10**7), (4, 4, 3), np.uint8)
    with pytest.raises(FormatError, match="filter"):
        decode_lossless(b"\0" + zlib.compress(b"\5" * 52), (4, 4, 3), np.uint8)
    with pytest.raises(FormatError, match="way"):
        decode_lossless(b"\1" + zlib.compress(b"\0" * 20), (4, 4, 1), np.uint8)
    with pytest.raises(FormatError, match="palette"):
        decode_lossless(b"\2\2\0\1\2" + zlib.compress(b"\0\377"), (1, 4, 1), np.uint8)


def test_empty_screens_need_few_bytes() -> None:
    image = np.full((1000, 1000, 3), 240, np.uint8)
    image[500:520, 300:600] = 10
    assert looks_drawn(image)
    assert len(encode_lossless(image)) < 100
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert not looks_drawn(noise)
