"""Merging of near colours in drawings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import rnnic
from rnnic.lossless.merging import MOST_CANDIDATES, merge_colours
from rnnic.metrics import psnr

SHADES = np.array([[255, 255, 255], [250, 250, 250], [20, 20, 20], [19, 20, 21]], np.uint8)


def page(counts: list[int]) -> np.ndarray:
    """Return a row of pixels with as many of each shade."""
    return SHADES[np.repeat(np.arange(len(counts)), counts)][None]


def colours_of(image: np.ndarray) -> int:
    return len(np.unique(image.reshape(-1, image.shape[2]), axis=0))


def test_the_cheapest_colour_goes_first_and_common_ones_stay() -> None:
    image = page([90, 4, 60, 5])
    # The last shade is 5 pixels at a squared distance of 2, the second 4 pixels at 75.
    np.testing.assert_array_equal(merge_colours(image, 10, 256), page([90, 4, 65]))
    np.testing.assert_array_equal(merge_colours(image, 300, 256), page([94, 0, 65]))


def test_nothing_to_merge_is_the_same_array() -> None:
    image = page([9, 4, 6, 5])
    assert merge_colours(image, 9, 4) is image


def test_without_a_common_colour_the_mean_is_taken() -> None:
    shades = [10, 11, 13, 30, 31, 33, 50, 51, 53]
    image = np.repeat(np.array(shades, np.uint8), 3)[None, :, None]
    merged = merge_colours(image, 0, 3)
    assert np.unique(merged).tolist() == [11, 31, 51]


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    ),
    st.floats(0, 1e6),
    st.integers(1, 20),
)
@settings(max_examples=80, deadline=None)
def test_colours_are_at_most_as_many_as_asked(image: np.ndarray, limit: float, most: int) -> None:
    before = image.copy()
    merged = merge_colours(image, limit, most)
    np.testing.assert_array_equal(image, before)
    assert merged.dtype == image.dtype
    assert merged.shape == image.shape
    assert colours_of(merged) <= most
    np.testing.assert_array_equal(merge_colours(image, limit, most), merged)


def test_many_colours_are_binned_first() -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (80, 80, 3), np.uint8)
    assert colours_of(image) > MOST_CANDIDATES
    merged = merge_colours(image, 0, 64)
    assert colours_of(merged) <= 64
    assert psnr(merged, image) > 17  # 64 colours of a cube: a fourth of its side apart


@pytest.mark.parametrize("goal", [40, 50])
def test_shaded_drawings_need_few_bytes(goal: float) -> None:
    """Soft edges have more shades than a palette has room for."""
    y, x = np.mgrid[:200, :240]
    image = np.full((200, 240, 3), 255, np.uint8)
    for k in range(12):
        near = np.hypot(y - 100, x - 20 * k) - 15 - 5 * k
        shade = np.clip(1.5 - np.abs(near), 0, 1)[..., None]
        colour = np.array([20 * k, 255 - 20 * k, 90], float)
        image = np.rint(image * (1 - shade) + colour * shade).astype(np.uint8)
    assert colours_of(image) > 256
    exact = rnnic.encode(image, target_psnr=80)
    data = rnnic.encode(image, target_psnr=goal)
    assert psnr(rnnic.decode(data), image) >= goal
    assert len(data) < 0.6 * len(exact)
    assert (rnnic.decode(data)[0, 0] == 255).all()
