"""Pixel formats: 1 to 4 channels, 8 and 16 bits, both methods."""

from typing import Any

import numpy as np
import pytest
from checks import check_round_trip, pixels_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import rnnic
from rnnic import reference
from rnnic.alpha import decode_alpha, encode_alpha, fill_hidden, quantised_alpha
from rnnic.container import parse, serialize
from rnnic.metrics import max_error, psnr
from rnnic.raster.depth import plan_depth

DTYPES = [np.uint8, np.uint16]
FORMATS = [(channels, dtype) for channels in range(1, 5) for dtype in DTYPES]
OPTIONS: list[dict[str, Any]] = [
    {"step": 2.0},
    {"step": 0.5, "effort": 1},
    {"error_threshold": 0},
    {"error_threshold": 0.4},
    {"error_threshold": 6},
]


def visible(image: np.ndarray) -> np.ndarray:
    """Return the image with zeros under alpha 0."""
    if image.ndim == 2 or image.shape[2] % 2:
        return image
    return np.where(image[:, :, -1:] > 0, image, 0)


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
def test_all_formats(channels: int, dtype: Any, options: dict[str, Any]) -> None:
    for size in ((1, 1), (1, 7), (9, 1), (41, 70)):
        image = pixels_of(*size, channels, dtype)
        check_round_trip(image, with_reference=True, tile_size=32, **options)


@pytest.mark.slow
@given(
    image=arrays.arrays(
        st.sampled_from(DTYPES),
        st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 4)),
    ),
    options=st.sampled_from(OPTIONS),
    tile_size=st.sampled_from([16, 32, 64]),
    keep_hidden=st.booleans(),
)
def test_any_pixels(
    image: np.ndarray, options: dict[str, Any], tile_size: int, keep_hidden: bool
) -> None:
    if "step" in options:
        tile_size = max(tile_size, 32)
    check_round_trip(
        image, with_reference=True, tile_size=tile_size, keep_hidden=keep_hidden, **options
    )


@pytest.mark.parametrize("method", ["pyramid", "raster"])
@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
def test_regions_reduction_threads_and_out(channels: int, dtype: Any, method: str) -> None:
    image = pixels_of(70, 90, channels, dtype)
    data = rnnic.encode(image, method=method, tile_size=32)
    assert data == rnnic.encode(image, method=method, tile_size=32, threads=1)
    for reduce in (0, 1, 3):
        whole = rnnic.decode(data, reduce=reduce, threads=1)
        assert whole.dtype == dtype
        np.testing.assert_array_equal(rnnic.decode(data, reduce=reduce), whole)
        for x, y, width, height in ((0, 0, 90, 70), (33, 7, 20, 40), (89, 69, 1, 1)):
            part = rnnic.decode(data, reduce=reduce, region=(x, y, width, height))
            right, lower = -(-(x + width) >> reduce), -(-(y + height) >> reduce)
            np.testing.assert_array_equal(part, whole[y >> reduce : lower, x >> reduce : right])
        for out in (np.zeros_like(whole), np.zeros_like(whole.T).T):
            assert rnnic.decode(data, reduce=reduce, out=out) is out
            np.testing.assert_array_equal(out, whole)
    wrong: Any = np.zeros(image.shape, np.uint8 if dtype is np.uint16 else np.uint16)
    with pytest.raises(rnnic.OptionError, match="out must be"):
        rnnic.decode(data, out=wrong)
    found = rnnic.info(data)
    assert (found.channels, found.alpha) == (channels, channels in (2, 4))
    assert found.bit_depth == 8 * np.dtype(dtype).itemsize


def test_byte_order_does_not_matter() -> None:
    image = pixels_of(20, 30, 3, np.uint16)
    assert rnnic.encode(image.astype(">u2")) == rnnic.encode(image.astype("<u2"))


def test_grey_is_smaller_than_rgb_with_alpha_and_16_bits() -> None:
    for dtype in DTYPES:
        image = pixels_of(60, 80, 2, dtype)
        as_rgb = np.concatenate([image[:, :, :1]] * 3 + [image[:, :, 1:]], axis=2)
        assert len(rnnic.encode(image)) < len(rnnic.encode(as_rgb))


# 16 bits


def test_16_bits_get_better_up_to_80_decibels() -> None:
    image = pixels_of(96, 128, 3, np.uint16)
    reached = [
        psnr(rnnic.decode(rnnic.encode(image, quality=quality)), image)
        for quality in (60, 80, 90, 95, 98, 99, 99.5, 99.8, 100)
    ]
    assert reached == sorted(reached)
    assert reached[-1] > 80
    found = psnr(rnnic.decode(rnnic.encode(image, target_psnr=75)), image)
    assert 75 <= found < 75.5


def test_means_of_16_bits_do_not_drift() -> None:
    for value in (0, 1, 999, 32768, 40000, 65535):
        image = np.full((100, 100), value, np.uint16)
        error = rnnic.decode(rnnic.encode(image, step=1 / 64)).astype(int) - value
        assert np.abs(error).max() <= 3
    image = pixels_of(128, 128, 1, np.uint16)
    error = rnnic.decode(rnnic.encode(image, step=0.05)).astype(float) - image
    assert abs(error.mean()) < 1


def test_steps_finer_than_a_format_has_are_refused() -> None:
    with pytest.raises(rnnic.OptionError, match=r"step is 0\.1; it must be at least 0\.25"):
        rnnic.encode(pixels_of(8, 8, 1), step=0.1)
    rnnic.encode(pixels_of(8, 8, 1, np.uint16), step=1 / 64)
    with pytest.raises(rnnic.OptionError, match="step"):
        rnnic.encode(pixels_of(8, 8, 1, np.uint16), step=0.01)


@pytest.mark.parametrize("threshold", [0, 0.005, 0.007, 0.01, 0.1, 0.5, 0.86, 0.87, 1, 2.5, 300])
def test_16_bit_bounds_hold(threshold: float) -> None:
    rng = np.random.default_rng(5)
    for image in (pixels_of(40, 50, 3, np.uint16), rng.integers(0, 65536, (30, 40), np.uint16)):
        decoded = rnnic.decode(rnnic.encode(image, error_threshold=threshold))
        assert max_error(decoded, image) <= threshold
    assert plan_depth(threshold).low_step == (1 if threshold <= 0.0067 else 257) or threshold > 0


def test_lossless_16_bits_are_no_larger_than_their_png() -> None:
    import zlib

    image = pixels_of(128, 160, 3, np.uint16)
    left = np.diff(image.astype(np.int64), axis=1, prepend=0).astype(np.uint16)
    png_like = zlib.compress(left.astype(">u2").tobytes(), 9)
    assert len(rnnic.encode(image, error_threshold=0)) < len(png_like)


# Alpha


@pytest.mark.parametrize("method", ["pyramid", "raster"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_alpha_costs_a_few_bytes(dtype: Any, method: str) -> None:
    colour = pixels_of(60, 80, 3, dtype)
    without = len(rnnic.encode(colour, method=method))
    for value in (1, np.iinfo(dtype).max):
        image = np.dstack([colour, np.full((60, 80), value, dtype)])
        assert len(rnnic.encode(image, method=method)) - without <= 1 + image.itemsize


def test_hidden_colours_are_kept_if_asked_for() -> None:
    rng = np.random.default_rng(1)
    image = pixels_of(64, 64, 4)
    image[20:50, 10:60, :3] = rng.integers(0, 256, (30, 50, 3))
    image[20:50, 10:60, 3] = 0
    short = rnnic.encode(image, error_threshold=0)
    long = rnnic.encode(image, error_threshold=0, keep_hidden=True)
    np.testing.assert_array_equal(rnnic.decode(long), image)
    assert len(short) < len(long) - 2500
    np.testing.assert_array_equal(visible(rnnic.decode(short)), visible(image))
    assert psnr(rnnic.decode(short), image) == np.inf
    assert rnnic.encode(image) != rnnic.encode(image, keep_hidden=True)
    before = image.copy()
    rnnic.encode(image)
    np.testing.assert_array_equal(image, before)


def test_all_hidden() -> None:
    for dtype in DTYPES:
        image = pixels_of(40, 40, 4, dtype)
        image[:, :, 3] = 0
        for method in ("pyramid", "raster"):
            data = rnnic.encode(image, method=method, tile_size=4096)
            assert len(data) < 300
            assert not rnnic.decode(data)[:, :, 3].any()


def test_targets_with_alpha_are_of_what_is_seen() -> None:
    image = pixels_of(96, 96, 4)
    found = psnr(rnnic.decode(rnnic.encode(image, target_psnr=45)), image)
    assert 45 <= found < 45.5
    assert len(rnnic.encode(image, target_bytes=6000)) <= 6000


def test_alpha_quality() -> None:
    image = pixels_of(64, 80, 4)
    sizes = []
    for quality in (0, 30, 70, 90, 100):
        data = rnnic.encode(image, alpha_quality=quality)
        sizes.append(len(data))
        alpha = rnnic.decode(data)[:, :, 3].astype(int)
        assert np.abs(alpha - image[:, :, 3]).max() <= (128 if quality == 0 else 128 - quality)
        assert {0, 255} <= set(alpha.ravel().tolist())
    assert sizes == sorted(sizes)
    assert rnnic.encode(image, alpha_quality=100) == rnnic.encode(image)
    for wrong in (-1, 101, float("nan")):
        with pytest.raises(rnnic.OptionError, match="alpha_quality"):
            rnnic.encode(image, alpha_quality=wrong)


@given(
    arrays.arrays(st.sampled_from(DTYPES), st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.floats(0, 100),
)
def test_alpha_planes(alpha: np.ndarray, quality: float) -> None:
    part = encode_alpha(alpha)
    height, width = alpha.shape
    np.testing.assert_array_equal(decode_alpha(part, height, width, alpha.dtype), alpha)
    coarse = quantised_alpha(alpha, quality)
    assert coarse.dtype == alpha.dtype
    np.testing.assert_array_equal(quantised_alpha(coarse, quality), coarse)
    np.testing.assert_array_equal(coarse[alpha == 0], 0)


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))),
    st.sampled_from(DTYPES),
)
def test_hidden_colours_are_between_those_that_are_seen(image: np.ndarray, dtype: Any) -> None:
    colour, alpha = image[:, :, :3].astype(dtype), image[:, :, 3] // 128
    filled = colour.copy()
    fill_hidden(filled, alpha)
    seen = alpha > 0
    np.testing.assert_array_equal(filled[seen], colour[seen])
    if seen.any():
        assert (filled >= colour[seen].min(axis=0)).all()
        assert (filled <= colour[seen].max(axis=0)).all()
    else:
        assert (filled == filled[0, 0, 0]).all()


@pytest.mark.parametrize(("channels", "dtype"), [(2, np.uint8), (4, np.uint8), (4, np.uint16)])
@pytest.mark.parametrize("options", [{"step": 3.0}, {"error_threshold": 0.5}])
def test_damage_is_a_typed_error_or_an_image(
    channels: int, dtype: Any, options: dict[str, Any]
) -> None:
    image = pixels_of(24, 40, channels, dtype)
    container = parse(memoryview(rnnic.encode(image, tile_size=32, **options)))
    model = rnnic.default_model().to_bytes()
    rng = np.random.default_rng(7)
    kinds = set()
    for turn in range(400):
        tiles = [bytearray(tile) for tile in container.tiles]
        tile = tiles[int(rng.integers(len(tiles)))]
        if turn % 4 == 0:
            del tile[int(rng.integers(len(tile))) :]
        else:
            tile[int(rng.integers(min(len(tile), 100)))] = int(rng.integers(256))
        data = serialize(container.header, [bytes(t) for t in tiles], container.metadata)
        try:
            found = rnnic.decode(data)
        except rnnic.FormatError as error:
            kinds.add(type(error).__name__)
            continue
        kinds.add("image")
        assert found.shape == image.shape
        if turn % 20 == 1:
            rows = np.array(reference.decode(data, model), dtype)
            np.testing.assert_array_equal(rows.reshape(found.shape), found)
    assert {"image", "TruncatedError"} <= kinds


def test_headers_of_other_formats_are_refused() -> None:
    from rnnic.container import Header

    for channels, depth in ((0, 8), (5, 8), (3, 12), (1, 0)):
        with pytest.raises(rnnic.FormatError, match="this version knows"):
            Header(0, channels, depth, 1, 1, 16, bytes(8))
