"""Method pyramid as users meet it: through the API, the container and both decoders."""

import dataclasses
from typing import Any
from unittest import mock

import numpy as np
import pytest
from checks import check_round_trip, extreme_images, photo_like

import rnnic
from rnnic import reference
from rnnic.container import parse, serialize
from rnnic.metrics import psnr
from rnnic.pyramid import colour
from rnnic.pyramid.decoder import decode_prefix, finest_residuals
from rnnic.pyramid.encoder import encode_tile
from rnnic.pyramid.format import Pass, PyramidParams, lane_rows
from rnnic.pyramid.method import SECTION
from rnnic.pyramid.model import PyramidModel
from rnnic.reduction import block_means

SIZES = [(1, 1), (1, 2), (2, 1), (1, 37), (41, 1), (5, 7), (32, 32), (33, 65), (70, 33)]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("step", "effort"), [(1.0, 5), (6.0, 1), (6.0, 9), (40.0, 5)])
def test_every_size_comes_back(
    size: tuple[int, int], channels: int, step: float, effort: int
) -> None:
    image = photo_like(*size, channels)
    check_round_trip(
        image, with_reference=True, method="pyramid", step=step, effort=effort, tile_size=32
    )


@pytest.mark.parametrize(("name", "image"), list(extreme_images(19, 26)))
@pytest.mark.parametrize("step", [0.25, 4.0, 512.0])
def test_extreme_images(name: str, image: np.ndarray, step: float) -> None:
    del name
    check_round_trip(image, with_reference=True, method="pyramid", step=step)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_need_few_bytes(channels: int) -> None:
    y, x = np.mgrid[:96, :160]
    ramps = np.stack([(x + y) / 1.01, 255 - (x + 2 * y) / 1.4, (2 * x + y) / 1.7], -1)
    image = np.rint(ramps).astype(np.uint8)[:, :, :channels]
    check_round_trip(image, with_reference=True, method="pyramid", step=4.0, tile_size=64)
    data = rnnic.encode(image, method="pyramid", step=8.0)
    assert len(data) < 250 + 170 * channels
    assert psnr(rnnic.decode(data).reshape(image.shape), image) > 42


def test_quality_degrades_gracefully() -> None:
    image = photo_like(96, 128)
    found = [rnnic.encode(image, method="pyramid", quality=q) for q in (0, 25, 50, 75, 90, 100)]
    sizes = [len(data) for data in found]
    assert sizes == sorted(sizes)
    quality = [psnr(rnnic.decode(data), image) for data in found]
    assert quality == sorted(quality)
    assert quality[-1] > 50


def test_threads_do_not_change_the_bytes() -> None:
    image = photo_like(100, 130)
    encode = [rnnic.encode(image, method="pyramid", tile_size=32, threads=n) for n in (1, 2, 5)]
    assert len(set(encode)) == 1
    one = rnnic.decode(encode[0], threads=1)
    np.testing.assert_array_equal(rnnic.decode(encode[0], threads=4), one)


def test_what_was_encoded_before_does_not_matter() -> None:
    images = [photo_like(40, 50, seed=seed) for seed in range(4)]
    first = [rnnic.encode(image, method="pyramid") for image in images]
    assert [rnnic.encode(image, method="pyramid") for image in reversed(images)] == first[::-1]


@pytest.mark.parametrize("shape", [(96, 128, 3), (70, 90, 3), (45, 33)])
def test_reduced_size_is_the_mean_of_blocks(shape: tuple[int, ...]) -> None:
    height, width = shape[:2]
    image = photo_like(height, width, 3 if len(shape) == 3 else 1)
    data = rnnic.encode(image, method="pyramid", quality=95, tile_size=32)
    for reduce in range(1, 6):
        size = 1 << reduce
        small = rnnic.decode(data, reduce=reduce)
        assert small.shape[:2] == (-(-shape[0] // size), -(-shape[1] // size))
        block = image[:size, :size].mean(axis=(0, 1))
        assert np.abs(small[0, 0] - block).max() <= 3
        part = rnnic.decode(data, reduce=reduce, region=(10, 20, 20, 13))
        right, lower = -(-30 >> reduce), -(-33 >> reduce)
        np.testing.assert_array_equal(part, small[20 >> reduce : lower, 10 >> reduce : right])


def test_flat_images_cost_next_to_nothing() -> None:
    for value in (0, 77, 255):
        for channels in (1, 3):
            shape = (600, 700) if channels == 1 else (600, 700, 3)
            data = rnnic.encode(np.full(shape, value, np.uint8), method="pyramid")
            assert len(data) < 400
            assert np.abs(rnnic.decode(data).astype(int) - value).max() <= 1


def test_damaged_tiles_end_in_the_same_errors() -> None:
    container = parse(memoryview(rnnic.encode(photo_like(40, 50), method="pyramid", step=5.0)))
    payload = bytes(container.tiles[0])
    model = rnnic.default_model().to_bytes()
    rng = np.random.default_rng(5)
    for turn in range(60):
        broken = bytearray(payload)
        if turn % 3 == 0:
            broken = broken[: int(rng.integers(3, len(broken)))]
        for _ in range(int(rng.integers(1, 5))):
            broken[int(rng.integers(len(broken)))] ^= int(rng.integers(1, 256))
        data = serialize(container.header, [bytes(broken)], container.metadata)
        try:
            decoded = rnnic.decode(data)
        except rnnic.FormatError:
            with pytest.raises(rnnic.FormatError):
                reference.decode(data, model)
        else:
            rows = reference.decode(data, model)
            np.testing.assert_array_equal(np.array(rows, np.uint8), decoded)


def test_trace_says_what_the_finest_pass_codes() -> None:
    image = photo_like(40, 70)
    encoded = rnnic.encode_image(image, rnnic.EncodeOptions(method="pyramid", tile_size=32))
    traces = encoded.traces()
    assert sum(trace.labels.size for trace in traces) == 40 * 70
    assert {int(v) for trace in traces for v in np.unique(trace.labels)} <= {0, 1, 2, 3}
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    (trace,) = rnnic.encode_image(noise, rnnic.EncodeOptions(step=1.0)).traces()
    # Residuals everywhere, in every lane's strip.
    assert (trace.labels > 0).mean(axis=1).min() > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 9, 3), (9, 1, 3), (7, 5)])
def test_any_shape_has_a_trace(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    (trace,) = rnnic.encode_image(image, rnnic.EncodeOptions(step=1.0, exact_tiles=False)).traces()
    assert trace.labels.shape == trace.entries.shape == shape[:2]
    if max(shape[:2]) > 1:
        assert trace.labels.any()


@pytest.mark.parametrize("size", [(40, 70), (3, 33), (65, 64)])
def test_traces_are_what_the_encoder_coded(size: tuple[int, int]) -> None:
    image = photo_like(*size)
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    params = PyramidParams(6 * 1024, 8, 4, 3)
    coded: list[np.ndarray] = []

    def look(step: Pass, state: dict[str, Any]) -> None:
        strips = lane_rows(step.rows, params.lanes)
        lanes = [lane[:, 1 : 1 + n] for lane, n in zip(state["lanes"], strips, strict=True)]
        coded.append(np.concatenate(lanes, axis=1)[:, :, 1 : 1 + step.columns])

    data, _ = encode_tile(image, params, model, sink=look)
    found = finest_residuals(data, *size[::-1], params, model)
    assert found.any()
    np.testing.assert_array_equal(found, coded[-1])


def test_traces_are_of_the_file_whatever_made_it() -> None:
    """What a target, or an effort that codes tiles more than once, has chosen is not made again."""
    image = photo_like(160, 200)
    image[:40] = 255
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    targeted = rnnic.EncodeOptions(target_psnr=41.0)
    for options in (targeted, rnnic.EncodeOptions(step=9.0, effort=9)):
        made = rnnic.encode_image(image, options)
        container = parse(memoryview(made.data))
        params = PyramidParams.from_bytes(container.header.parameters, 3, 8)
        (trace,) = made.traces()
        residuals = finest_residuals(bytes(container.tiles[0]), 200, 160, params, model)
        np.testing.assert_array_equal((trace.labels[:, ::2] & 1) > 0, residuals[0] != 0)


@pytest.mark.parametrize(
    "options",
    [
        {"error_threshold": 3.0},
        {"tile_size": 48},
        {"neighbors": "guess"},
        {"effort": 0},
        {"step": 0.1},
        {"step": 600.0},
        {"step": float("nan")},
        {"step": 3.0, "quality": 50},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(rnnic.OptionError):
        rnnic.encode(photo_like(8, 8), method="pyramid", **options)
    with pytest.raises(rnnic.OptionError):
        rnnic.encode(photo_like(8, 8), method="raster", step=3.0)


def test_drawn_tiles_are_coded_without_loss() -> None:
    image = np.full((70, 90, 3), 250, np.uint8)
    image[10:30:2, 20:60:3] = (200, 30, 10)
    for effort in (1, 5):
        data = check_round_trip(
            image, with_reference=True, method="pyramid", quality=80, effort=effort, tile_size=32
        )
        np.testing.assert_array_equal(rnnic.decode(data), image)
    half = rnnic.decode(data, reduce=1)
    assert half.shape == (35, 45, 3)
    np.testing.assert_array_equal(half, block_means(image, 2))
    trace = rnnic.encode_image(image, rnnic.EncodeOptions(quality=80)).traces()[0]
    assert (trace.labels == 4).all()


def test_filters_that_feed_back_stay_stable() -> None:
    # Chroma that fades slowly invites a filter that repeats the row above, and a little more.
    y, x = np.mgrid[0:256, 0:256]
    noise = np.random.default_rng(5).normal(0, 25, (256, 256))
    luma = 128 + noise + 30 * np.sin(x / 3)
    fade = 1.02 ** (y / 2)
    image = np.stack([luma + fade, luma, luma - fade], -1).clip(0, 255).astype(np.uint8)
    sizes = [len(rnnic.encode(image, step=step)) for step in (4.0, 8.0, 16.0, 32.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert psnr(rnnic.decode(rnnic.encode(image, step=16.0)), image) > 32


@pytest.mark.parametrize("step", [20.0, 45.0, 75.4611, 128.0, 512.0])
@pytest.mark.parametrize("effort", [1, 5, 9])
def test_passes_without_residuals(step: float, effort: int) -> None:
    check_round_trip(photo_like(96, 128), with_reference=True, step=step, effort=effort)


def test_a_gradient_without_any_residual() -> None:
    height, width = 600, 900
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)]
    check_round_trip(np.stack(planes, -1).astype(np.uint8), with_reference=False, step=512.0)


@pytest.mark.parametrize("count", [0, 5, 7])
def test_parameters_of_another_length_are_refused(count: int) -> None:
    container = parse(memoryview(rnnic.encode(photo_like(8, 8))))
    parameters = (container.header.parameters + b"\0")[:count]
    header = dataclasses.replace(container.header, parameters=parameters)
    data = serialize(header, [bytes(tile) for tile in container.tiles], container.metadata)
    with pytest.raises(rnnic.FormatError, match=f"6 parameter bytes, not {count}") as caught:
        rnnic.decode(data)
    assert type(caught.value) is rnnic.FormatError


@pytest.mark.parametrize("effort", [3, 5, 9])
@pytest.mark.parametrize("step", [1.5, 3.0])
def test_noise_in_every_channel_has_tables_of_its_own(step: float, effort: int) -> None:
    noise = np.random.default_rng(7).normal(0, 3, (96, 80, 3))
    image = np.clip(np.rint(photo_like(96, 80) * 0.8 + 20 + noise), 0, 255).astype(np.uint8)
    data = check_round_trip(image, with_reference=True, step=step, effort=effort)
    with mock.patch.object(colour, "NOISE", np.inf):
        usual = rnnic.encode(image, step=step, effort=effort)
    assert len(data) < 0.98 * len(usual)
    assert psnr(rnnic.decode(data), image) > psnr(rnnic.decode(usual), image)


def test_noise_of_a_tile_is_its_own() -> None:
    image = np.stack(3 * [photo_like(64, 128, channels=1)], axis=2)
    image[:, 64:] ^= np.random.default_rng(8).integers(0, 16, (64, 64, 3), np.uint8)
    clean, noisy = (rnnic.encode(image[:, half], step=2) for half in (np.s_[:64], np.s_[64:]))
    data = check_round_trip(image, with_reference=True, step=2.0, tile_size=64)
    alone = [bytes(parse(memoryview(part)).tiles[0]) for part in (clean, noisy)]
    assert [bytes(tile) for tile in parse(memoryview(data)).tiles] == alone
    with mock.patch.object(colour, "NOISE", np.inf):
        usual = rnnic.encode(image, step=2, tile_size=64)
    first, second = parse(memoryview(usual)).tiles
    assert bytes(first) == alone[0]
    assert bytes(second) != alone[1]


def two_textures() -> np.ndarray:
    """Return stripes across beside stripes along, each with noise: one filter does not suit both."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:384, :768]
    waves = np.where(x < 384, np.sin(x / 1.7) * (y % 3), np.sin(y / 1.7) * (x % 3))
    image = 128 + 30 * waves[..., None] + rng.normal(0, 3, (384, 768, 3))
    pixels: np.ndarray = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return pixels


def test_high_efforts_choose_the_tile_size() -> None:
    image = two_textures()
    assert rnnic.info(rnnic.encode(image, effort=7)).tile_size == 1024
    data = rnnic.encode(image, effort=8)
    chosen = rnnic.info(data).tile_size
    assert chosen < 1024
    assert rnnic.encode(image, effort=8, tile_size=chosen) == data
    assert len(data) < len(rnnic.encode(image, effort=8, tile_size=1024))


@pytest.mark.parametrize("options", [{"target_psnr": 36}, {"target_bytes": 9000}])
def test_tile_sizes_are_chosen_for_targets_too(options: dict[str, Any]) -> None:
    image = two_textures()[:, 200:584]
    data = rnnic.encode(image, effort=8, **options)
    assert rnnic.info(data).tile_size in (1024, 512, 384)
    if "target_psnr" in options:
        assert psnr(rnnic.decode(data), image) >= options["target_psnr"]
    else:
        assert len(data) <= options["target_bytes"]


def test_small_images_are_one_tile_at_any_effort() -> None:
    image = two_textures()[:64, :96]
    assert rnnic.info(rnnic.encode(image, effort=9)).tile_size == 1024


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(70, 90), (70, 90, 3), (70, 90, 4), (1, 50), (50, 1, 3)])
def test_out_may_lie_in_memory_as_it_likes(shape: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    walk = np.cumsum(rng.normal(0, 1, shape), axis=0) * top / 40 + top / 2
    data = rnnic.encode(walk.clip(0, top).astype(dtype), step=3.0, tile_size=64)
    expected = rnnic.decode(data)
    room = np.zeros((2 * shape[0], shape[1] + 5, *shape[2:]), dtype)
    for out in (room[::2, 2:-3], np.zeros(shape[::-1], dtype).T, np.zeros(shape, dtype)[::-1]):
        rnnic.decode(data, out=out)
        np.testing.assert_array_equal(out, expected)
    for around in (room[1::2], room[:, :2], room[:, -3:]):
        assert not around.any()


def test_the_beginning_of_a_tile_gives_more_the_longer_it_is() -> None:
    image = photo_like(96, 128)
    params = PyramidParams(6 * 1024)
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    data, rebuilt = encode_tile(image, params, model)
    lengths = [200, 350, 600, len(data) // 2, len(data)]
    found = [psnr(decode_prefix(data[:n], 128, 96, params, model), image) for n in lengths]
    assert found[0] + 3 < found[1] < found[2] < found[3] == found[4]
    assert found[4] > 25
    assert psnr(rebuilt, image) > 40
    with pytest.raises(rnnic.FormatError):
        decode_prefix(data[:20], 128, 96, params, model)
