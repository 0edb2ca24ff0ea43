"""Clipped samples: what lies beyond black and white is free."""

import numpy as np
import pytest
from checks import photo_like

import rnnic
from rnnic.pyramid.choice import BestTile, cost_of
from rnnic.pyramid.clipping import clipped_share, crowding, relaxed_targets
from rnnic.pyramid.decoder import decode_tile
from rnnic.pyramid.encoder import TileEncoder
from rnnic.pyramid.format import PyramidParams
from rnnic.pyramid.method import SECTION
from rnnic.pyramid.model import PyramidModel


def overexposed(bit_depth: int = 8, seed: int = 3) -> np.ndarray:
    """Noise of one channel where the two others are white, beside something dark."""
    noise = np.random.default_rng(seed).normal(0, 15, (98, 90))
    smooth = sum(noise[i : i + 96, j : j + 88] for i in range(3) for j in range(3)) / 3
    image = photo_like(96, 128).astype(np.int64)
    image[:, 40:, :2] = 255
    image[:, 40:, 2] = 240 + smooth
    image[:20, :20] -= 120
    clipped = np.clip(image, 0, 255)
    return clipped.astype(np.uint8) if bit_depth == 8 else (clipped * 257).astype(np.uint16)


def test_crowding_is_of_equal_samples_in_the_image() -> None:
    image = np.zeros((7, 9, 1), np.uint8)
    assert crowding(image, 0, 0, 0) == 1
    image[3, 4] = 255
    assert crowding(image, 3, 4, 0) == pytest.approx((1 / 25) ** 2)
    image[:, 5:] = 255
    assert crowding(image, 6, 8, 0) == 1
    assert crowding(image, 6, 5, 0) == pytest.approx((9 / 15) ** 2)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_only_clipped_samples_are_relaxed(bit_depth: int) -> None:
    image = overexposed(bit_depth)
    params = PyramidParams(8192, 8, 4, 3, bit_depth)
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    encoder = TileEncoder(image, params, model)
    encoder.encode()
    planes = encoder._samples[:, 2:98, 2:130]
    targets = relaxed_targets(image, planes, encoder._fit.colour, params)
    white = image == np.iinfo(image.dtype).max
    black = image == 0
    assert white.any()
    assert black.any()
    np.testing.assert_array_equal(targets[~white & ~black], image[~white & ~black])
    most = 3.0 * 8 * (1 if bit_depth == 8 else 257)
    above, below = targets[white] - image[white], -targets[black]
    assert above.min() >= 0
    assert below.min() >= 0
    assert 0 < above.max() <= most
    assert below.max() <= most


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_clipped_samples_cost_less(bit_depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [overexposed(bit_depth, seed) for seed in range(4)]
    params = PyramidParams(6144, 8, 4, 3, bit_depth)
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])

    def cost(encoder: TileEncoder, image: np.ndarray) -> float:
        data, rebuilt = encoder.encode()
        np.testing.assert_array_equal(decode_tile(data, 128, 96, params, model), rebuilt)
        return cost_of(image, rebuilt, 6.0 * (1 if bit_depth == 8 else 257), len(data))

    usual = 0.0
    for image in images:
        first = TileEncoder(image, params, model)
        once = cost(first, image)
        usual += once
        again = TileEncoder(image, params, model, fit=first.fit, targets=first.relaxed(image))
        assert cost(again, image) < 1.005 * once
    monkeypatch.setattr("rnnic.pyramid.encoder.distance_beyond", lambda _params: np.float32(0))
    assert usual < 0.997 * sum(cost(TileEncoder(one, params, model), one) for one in images)


def test_high_efforts_encode_again_where_much_is_clipped() -> None:
    image = overexposed()
    assert clipped_share(image) > 0.3
    params = PyramidParams(6144, 16, 4, 3)
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    best, rebuilt = BestTile(image, params, model, 9).encode()
    once, other = TileEncoder(image, params, model, 9).encode()
    assert cost_of(image, rebuilt, 6.0, len(best)) <= cost_of(image, other, 6.0, len(once))


def test_a_flat_clipped_image_is_exact() -> None:
    for value in (0, 255):
        image = np.full((40, 50, 3), value, np.uint8)
        np.testing.assert_array_equal(rnnic.decode(rnnic.encode(image, step=30.0)), image)
