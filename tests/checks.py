"""The checks that every method goes through, and the images they are made on."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import rnnic
from rnnic import reference
from rnnic.metrics import max_error
from rnnic.options import EncodeOptions

Pixels = npt.NDArray[Any]  # uint8 or uint16


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


def waves(height: int, width: int, channels: int = 3, *, period: float = 31.0) -> Pixels:
    """Return waves without noise, which need few bits and may need none for the finest pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    found = np.rint(100 + 60 * np.sin((x + y / 3) * 2 * np.pi / period)).astype(np.uint8)
    return found if channels == 1 else np.stack([found, found // 2, 255 - found], axis=-1)


def blurred(height: int, width: int, channels: int = 3, *, cells: int) -> Pixels:
    """Return soft spots, so many down and across, with a little noise."""
    rng = np.random.default_rng(cells)
    image = rng.uniform(60, 200, (cells, cells, channels))
    for axis, side in enumerate((height, width)):
        at = np.linspace(0, cells - 1, side)
        before = np.minimum(at.astype(int), cells - 2)
        share = (at - before).reshape((-1,) + (1,) * (2 - axis))
        share = share**2 * (3 - 2 * share)
        first, second = image.take(before, axis), image.take(before + 1, axis)
        image = first + share * (second - first)
    found = np.rint(image + rng.normal(0, 1.5, image.shape)).clip(0, 255).astype(np.uint8)
    return found[:, :, 0] if channels == 1 else found


def pixels_of(
    height: int, width: int, channels: int, dtype: npt.DTypeLike = np.uint8, seed: int = 1
) -> Pixels:
    """Return what photos are made of with 1 … 4 channels, (H, W) or (H, W, c); some of alpha is 0."""
    rng = np.random.default_rng(seed)
    image: Pixels = photo_like(height, width, 1 if channels < 3 else 3, seed).reshape(
        height, width, -1
    )
    deep = np.dtype(dtype) == np.uint16
    if deep:
        noise = rng.integers(-128, 129, image.shape)
        image = np.clip(image.astype(np.int64) * 257 + noise, 0, 65535).astype(np.uint16)
    if channels % 2 == 0:
        y, x = np.mgrid[0:height, 0:width]
        alpha = np.clip(300 - 9 * np.hypot(y - height / 3, x - width / 2), 0, 255)
        alpha[: height // 4] = 255
        alpha = np.rint(alpha * (257 if deep else 1)).astype(dtype)
        image = np.concatenate([image, alpha[:, :, None]], axis=2)
    return image[:, :, 0] if channels == 1 else image


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
    """Encode an image; check what comes back against the encoder and the reference decoder.

    Alpha comes back as it was, and with an error threshold so do colours, nearly.
    """
    encoded = rnnic.encode_image(image, EncodeOptions(**options))
    decoded = rnnic.decode(encoded.data)
    assert decoded.shape == (image.shape[:2] if image.shape[2:] == (1,) else image.shape)
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded.reshape(image.shape), encoded.reconstruction)
    if image.ndim == 3 and image.shape[2] % 2 == 0:
        np.testing.assert_array_equal(decoded[:, :, -1], image[:, :, -1])
    if with_reference:
        rows = reference.decode(encoded.data, rnnic.default_model().to_bytes())
        np.testing.assert_array_equal(
            np.array(rows, image.dtype).reshape(image.shape), decoded.reshape(image.shape)
        )
    threshold = options.get("error_threshold")
    if threshold is not None:
        assert max_error(decoded.reshape(image.shape), image) <= threshold
    return encoded.data
