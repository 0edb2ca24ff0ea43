import math

import numpy as np
import pytest

from rnnic.metrics import max_error, psnr


def test_psnr_of_equal_images_is_infinite() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert psnr(image, image.copy()) == math.inf


def test_psnr_does_not_wrap() -> None:
    dark, light = np.zeros((4, 5), np.uint8), np.full((4, 5), 255, np.uint8)
    assert psnr(dark, light) == pytest.approx(0.0)
    assert psnr(light, dark) == pytest.approx(0.0)


def test_psnr_counts_all_channels_and_rows() -> None:
    first = np.zeros((700, 3, 3), np.uint8)
    second = first.copy()
    second[-1, -1, -1] = 10
    expected = 10 * math.log10(255**2 * first.size / 100)
    assert psnr(first, second) == pytest.approx(expected)


def test_max_error_is_euclidean_in_rgb() -> None:
    first = np.full((600, 2, 3), 100, np.uint8)
    second = first.copy()
    second[599, 1] = [103, 96, 100]
    assert max_error(first, second) == pytest.approx(5.0)


def test_max_error_of_grey_counts_three_channels() -> None:
    first = np.full((2, 2), 7, np.uint8)
    second = first.copy()
    second[0, 0] = 3
    assert max_error(first, second) == pytest.approx(4 * math.sqrt(3))
    assert max_error(first[:, :, None], second[:, :, None]) == pytest.approx(4 * math.sqrt(3))


def test_images_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
