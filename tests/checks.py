"""The checks that every method goes through, and the images they are made on."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import rnnic
from rnnic import reference
from rnnic.metrics import max_error
from rnnic.options import EncodeOptions

Pixels = npt.NDArray[np.uint8]


def photo_like(height: int, width: int, channels: int = 3, seed: int = 1) -> Pixels:
    """Return smooth colours with edges and a little noise: what photos are made of."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    image = np.empty((height, width, channels))
    for c in range(channels):
        a, b, p, q = rng.uniform(0.02, 0.12, 4)
        image[:, :, c] = 128 + 60 * np.sin(a * x + p) + 50 * np.cos(b * y + q * x)
    image += 40 * (((x // 11) + (y // 7)) % 5 == 0)[:, :, None]
    image += rng.normal(0, 3, image.shape)
    found = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return found[:, :, 0] if channels == 1 else found


def extreme_images(height: int, width: int) -> Iterator[tuple[str, Pixels]]:
    """Yield images that no photo looks like, by name."""
    rng = np.random.default_rng(2)
    for channels in (1, 3):
        shape = (height, width) if channels == 1 else (height, width, 3)
        yield f"noise-{channels}", rng.integers(0, 256, shape).astype(np.uint8)
        yield f"black-{channels}", np.zeros(shape, np.uint8)
        yield f"white-{channels}", np.full(shape, 255, np.uint8)
        board = ((np.indices((height, width)).sum(axis=0) % 2) * 255).astype(np.uint8)
        yield f"board-{channels}", board if channels == 1 else np.repeat(board[:, :, None], 3, 2)
        yield f"two-values-{channels}", (rng.integers(0, 2, shape) * 255).astype(np.uint8)


def check_round_trip(image: Pixels, *, with_reference: bool, **options: Any) -> bytes:
    """Encode an image; check what comes back against the encoder and the reference decoder."""
    encoded = rnnic.encode_image(image, EncodeOptions(**options))
    decoded = rnnic.decode(encoded.data)
    assert decoded.shape == (image.shape[:2] if image.shape[2:] == (1,) else image.shape)
    np.testing.assert_array_equal(decoded.reshape(image.shape), encoded.reconstruction)
    if with_reference:
        rows = reference.decode(encoded.data, rnnic.default_model().to_bytes())
        np.testing.assert_array_equal(
            np.array(rows, np.uint8).reshape(image.shape), decoded.reshape(image.shape)
        )
    threshold = options.get("error_threshold")
    if threshold is not None:
        assert max_error(decoded.reshape(image.shape), image) <= threshold
    return encoded.data
