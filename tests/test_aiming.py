"""Targets of method pyramid: where they land, what is out of reach, what does not matter."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import Pixels, blurred, photo_like, waves
from hypothesis import given
from hypothesis import strategies as st

import rnnic
from rnnic.aiming import PsnrGoal, SizeGoal
from rnnic.metrics import psnr
from rnnic.options import EncodeOptions
from rnnic.pyramid import method as pyramid_method
from rnnic.pyramid import tiles
from rnnic.pyramid.decoder import decode_tile
from rnnic.pyramid.encoder import TileEncoder
from rnnic.pyramid.format import PyramidParams
from rnnic.pyramid.method import SECTION
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.search import DEFAULT_LAMBDA
from rnnic.sampling import Sample

pytestmark = pytest.mark.slow
PHOTO = photo_like(280, 330)


@pytest.mark.parametrize("effort", [1, 2, 5, 9])
@pytest.mark.parametrize("goal", [31.0, 38.0, 44.5, 52.0])
def test_psnr_lands(goal: float, effort: int) -> None:
    found = psnr(rnnic.decode(rnnic.encode(PHOTO, target_psnr=goal, effort=effort)), PHOTO)
    assert goal <= found <= goal + 0.02


@pytest.mark.parametrize("effort", [1, 5])
@pytest.mark.parametrize("goal", [8_000, 30_000, 90_000])
def test_size_lands(goal: int, effort: int) -> None:
    size = len(rnnic.encode(PHOTO, target_bytes=goal, effort=effort))
    assert 0.985 * goal <= size <= goal


def test_grey_lands() -> None:
    image = PHOTO[:, :, 1]
    found = psnr(rnnic.decode(rnnic.encode(image, target_psnr=41)), image)
    assert 41 <= found <= 41.02


def test_groups_of_tiles_land(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large image, whose encoders are not kept."""
    monkeypatch.setattr(tiles, "_KEPT_PIXELS", 0)
    image = photo_like(512, 768)
    for goal in (35.0, 45.0):
        data = rnnic.encode(image, target_psnr=goal, tile_size=128, effort=4)
        assert goal <= psnr(rnnic.decode(data), image) <= goal + 0.02


def test_threads_do_not_change_the_bytes() -> None:
    made = [rnnic.encode(PHOTO, target_psnr=40, tile_size=64, threads=n) for n in (1, 2, 3)]
    assert len(set(made)) == 1
    again = rnnic.encode(PHOTO, target_bytes=20_000, threads=2)
    assert again == rnnic.encode(PHOTO, target_bytes=20_000, threads=1)


@pytest.mark.parametrize("goal", [5, 12.5])
def test_a_psnr_below_reach_names_the_range(goal: float) -> None:
    with pytest.raises(rnnic.OptionError, match=r"out of reach.*\d\d\.\d\d dB to no loss"):
        rnnic.encode(PHOTO, target_psnr=goal)


@pytest.mark.parametrize("goal", [60, 10**7])
def test_sizes_out_of_reach_name_the_range(goal: int) -> None:
    smallest, largest = (len(rnnic.encode(PHOTO, step=step)) for step in (512.0, 0.25))
    if goal < smallest:
        with pytest.raises(rnnic.OptionError, match=rf"{smallest} bytes to {largest} bytes"):
            rnnic.encode(PHOTO, target_bytes=goal)
    else:
        # More bytes than pixels without loss need are no reason to fail.
        data = rnnic.encode(PHOTO, target_bytes=goal)
        np.testing.assert_array_equal(rnnic.decode(data), PHOTO)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 3), (1, 9, 3), (300, 1), (5, 4, 3), (600, 520, 3)]
)
@pytest.mark.parametrize("target", [{"target_psnr": 99.0}, {"target_bytes": 5000}])
def test_flat_images_come_back(shape: tuple[int, ...], target: dict[str, Any]) -> None:
    image = np.full(shape, 77, np.uint8)
    np.testing.assert_array_equal(rnnic.decode(rnnic.encode(image, **target)), image)


@pytest.mark.parametrize("step", [6.0, 20.0, 60.0])
@pytest.mark.parametrize("tune", [False, True])
def test_lanes_without_residuals_decode(step: float, tune: bool) -> None:
    """What was fitted at a finer step is of use to no finest pass that has no residuals."""
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    image = waves(120, 90)
    fine = TileEncoder(image, PyramidParams(2 * 1024), model, 5)
    fine.encode()
    params = PyramidParams(round(step * 1024))
    parts = TileEncoder(image, params, model, 5, tune=tune, fit=fine.fit)
    parts.begin()
    for lane in range(4):
        data, rebuilt = parts.again(DEFAULT_LAMBDA, lane)
    np.testing.assert_array_equal(decode_tile(data, 90, 120, params, model), rebuilt)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 9),
    goal=st.floats(15, 60),
)
def test_tiny_images_meet_the_target_or_say_what_they_can(
    height: int, width: int, channels: int, seed: int, goal: float
) -> None:
    image = photo_like(height, width, channels, seed)
    try:
        data = rnnic.encode(image, target_psnr=goal, effort=3)
    except rnnic.OptionError as error:
        assert "out of reach" in str(error)  # noqa: PT017  # both outcomes are right
    else:
        assert psnr(rnnic.decode(data), image) >= goal


def test_result_says_what_a_decoder_gives() -> None:
    for target in ({"target_psnr": 36.5}, {"target_bytes": 9000}):
        made = rnnic.encode_image(PHOTO, EncodeOptions(**target))
        np.testing.assert_array_equal(rnnic.decode(made.data), made.reconstruction)
        assert len(made.traces()) == 1
        assert made.touch is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("cells", [9, 12])
@pytest.mark.parametrize("goal", [37.0, 40.0])
def test_images_without_fine_residuals_land(goal: float, cells: int, channels: int) -> None:
    """PSNR goes in jumps where hardly any residual is left in the finest pass."""
    image = blurred(144, 144, channels, cells=cells)
    data = rnnic.encode(image, target_psnr=goal)
    assert goal <= psnr(rnnic.decode(data), image) <= goal + 0.02


@pytest.mark.parametrize("period", [31, 52, 200, 900])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("goal", [42.0, 48.0, 55.0])
def test_smooth_images_land_and_decode(period: float, channels: int, goal: float) -> None:
    image = waves(200, 110, channels, period=period)
    made = rnnic.encode_image(image, EncodeOptions(target_psnr=goal))
    np.testing.assert_array_equal(rnnic.decode(made.data), made.reconstruction)
    assert psnr(made.reconstruction, image) >= goal


def _encoder_and_decoder(
    shape: tuple[int, int], channels: int, step: float, effort: int
) -> tuple[TileEncoder, Callable[[bytes], Pixels]]:
    """Return an encoder that has encoded an image, and what decodes its tiles."""
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    states = {1: 1, 5: 8, 9: 16}[effort]
    params = PyramidParams(round(step * 1024), states, 4, channels)
    image = photo_like(*shape, channels).reshape(*shape, channels)
    encoder = TileEncoder(image, params, model, effort, kept=True)
    encoder.encode()
    return encoder, lambda data: decode_tile(data, *shape[::-1], params, model)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 3), (15, 40), (16, 33), (70, 61)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("step", "effort"), [(3.0, 5), (20.0, 1), (512.0, 5), (9.0, 9)])
def test_lanes_coded_again_decode(
    shape: tuple[int, int], channels: int, step: float, effort: int
) -> None:
    encoder, decoded = _encoder_and_decoder(shape, channels, step, effort)
    for weight, lane in ((0.01, 0), (3.0, 2), (0.02, 3), (3.0, 0), (3.0, 1), (3.0, 3), (0.05, 1)):
        data, rebuilt = encoder.again(weight, lane)
        np.testing.assert_array_equal(decoded(data), rebuilt)


@pytest.mark.parametrize("shape", [(64, 64), (65, 90), (97, 71)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [8, 16])
def test_lanes_that_were_left_make_the_same_bytes(
    shape: tuple[int, int], channels: int, depth: int
) -> None:
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    image = photo_like(*shape, channels).reshape(*shape, channels)
    if depth == 16:
        image = image.astype(np.uint16) * 257
    params = PyramidParams(9 * 1024 if depth == 8 else 90_000, 8, 4, channels, depth)
    fit = TileEncoder(image, params, model, 2)
    fit.encode()
    whole = TileEncoder(image, params, model, tune=False, fit=fit.fit, kept=True)
    data, rebuilt = whole.encode()
    parts = TileEncoder(image, params, model, tune=False, fit=fit.fit, kept=True)
    parts.begin()
    covered = np.zeros(shape[0], int)
    for lane in (2, 0, 3, 1):
        found = parts.again(DEFAULT_LAMBDA, lane)
        rows = parts.rows_of(lane)
        covered[rows] += 1
        np.testing.assert_array_equal(found[1][rows], rebuilt[rows])
    assert found[0] == data
    np.testing.assert_array_equal(found[1], rebuilt)
    np.testing.assert_array_equal(covered, 1)
    np.testing.assert_array_equal(parts.hints, whole.hints)
    assert (parts.hints > 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 3), (300, 2), (16, 33), (70, 61)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("step", "effort"), [(3.0, 5), (20.0, 1), (120.0, 5), (9.0, 9)])
def test_levels_coded_again_decode(
    shape: tuple[int, int], channels: int, step: float, effort: int
) -> None:
    """With lanes in between, and with what was fitted to passes that have residuals no more."""
    encoder, decoded = _encoder_and_decoder(shape, channels, step, effort)
    for weight, level in ((0.01, 0), (3.0, 2), (0.02, 13), (50.0, 1), (0.01, 3), (3.0, 6)):
        data, rebuilt = encoder.from_level(weight, level)
        np.testing.assert_array_equal(decoded(data), rebuilt)
        data, rebuilt = encoder.again(0.01, 1)
        np.testing.assert_array_equal(decoded(data), rebuilt)


def test_levels_coded_again_are_what_they_were() -> None:
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    image = photo_like(300, 400)
    encoder = TileEncoder(image, PyramidParams(60 * 1024, 8, 4, 3), model, kept=True)
    usual, rebuilt = encoder.encode()
    bits = encoder.bits_of_levels()
    assert bits.sum() == pytest.approx(8 * len(usual), rel=0.1)
    assert (bits[1:8] > 0).all()
    more, _ = encoder.from_level(0.01, 2)
    assert len(more) > len(usual)
    assert encoder.bits_of_levels()[0] > bits[0]
    assert encoder.bits_of_levels()[3] == bits[3]
    for level in (2, 13):
        data, found = encoder.from_level(DEFAULT_LAMBDA, level)
        assert data == usual
        np.testing.assert_array_equal(found, rebuilt)


def test_levels_of_many_bits_stay() -> None:
    """Lanes are enough there, and to keep the other passes takes memory."""
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    encoder = TileEncoder(PHOTO, PyramidParams(3 * 1024, 8, 4, 3), model, kept=True)
    usual, _ = encoder.encode()
    assert not encoder.bits_of_levels().any()
    assert encoder.from_level(3.0, 4)[0] == usual


@pytest.mark.parametrize(
    ("image", "step"),
    [(photo_like(90, 120), 80), (waves(90, 120, period=9.0), 80), (blurred(90, 120, cells=20), 20)],
)
def test_a_lane_gets_residuals_where_no_lane_had_any(image: Pixels, step: int) -> None:
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    params = PyramidParams(step * 1024)
    encoder = TileEncoder(image, params, model, 5)
    encoder.encode()
    coded = [encoder.finest_is_coded]
    data, rebuilt = encoder.again(0.0001, 2)
    coded.append(encoder.finest_is_coded)
    assert coded == [False, True]
    np.testing.assert_array_equal(decode_tile(data, 120, 90, params, model), rebuilt)


def test_files_of_few_bits_land() -> None:
    """They jump by more than what a target allows: few bits are changed at a time."""
    image = waves(300, 200)
    for goal in (32.0, 36.5, 41.0):
        data = rnnic.encode(image, target_psnr=goal)
        assert len(data) < 3000
        assert goal <= psnr(rnnic.decode(data), image) <= goal + 0.02


def test_another_weight_moves_size_and_error() -> None:
    model = PyramidModel.from_bytes(rnnic.default_model().sections[SECTION])
    encoder = TileEncoder(PHOTO, PyramidParams(6000, 8, 4, 3), model)
    usual = encoder.encode()
    for lane in range(4):
        less = encoder.again(0.2, lane)
    for lane in range(4):
        more = encoder.again(0.05, lane)
    assert len(less[0]) < len(usual[0]) < len(more[0])
    assert psnr(less[1], PHOTO) < psnr(usual[1], PHOTO) < psnr(more[1], PHOTO)
    for lane in range(4):
        same = encoder.again(DEFAULT_LAMBDA, lane)
    assert same[0] == usual[0]


def test_samples_are_blocks_from_all_over() -> None:
    tiny = PHOTO[:250]
    small = Sample(tiny)
    assert small.pixels is tiny
    assert small.some is not None
    assert small.some.shape == (56, 2 * 56, 3)
    assert Sample(PHOTO).share < 1 / 6
    assert Sample(PHOTO[:120]).some is None
    image = np.zeros((1100, 1600, 3), np.uint8)
    image[:, :, 0] = np.arange(1100)[:, None] // 5
    image[:, :, 1] = np.arange(1600) // 8
    sample = Sample(image)
    assert sample.share == sample.pixels.size / image.size < 1 / 4
    for part in (sample.pixels, sample.inner(sample.pixels)):
        assert part[:, :, 0].max() > 170
        assert part[:, :, 0].min() < 40
        assert part[:, :, 1].max() > 160
    assert sample.some is not None
    assert sample.some.size <= sample.pixels.size / 2
    assert np.ptp(sample.some[:, :, 0]) > 100
    assert np.ptp(sample.some[:, :, 1]) > 100
    large = Sample(np.zeros((3000, 40_000, 1), np.uint8))
    assert large.pixels.size <= 64 * 112 * 112
    assert large.some is not None
    assert large.some.size <= 48 * 56 * 56
    assert large.psnr_beyond(4.0) == 0


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_a_sample_lacks_is_known_from_differences(
    channels: int, dtype: type[np.uint8] | type[np.uint16]
) -> None:
    """The blocks of one image are flat, and nothing else in it; those of another are not."""
    noise = np.random.default_rng(1).integers(0, 40, (600, 700, channels))
    flat = np.full_like(noise, 20)
    there = Sample(noise.astype(dtype))
    middles = np.zeros(noise.shape[:2], bool)
    for y in range(4):
        for x in range(5):
            top, left = (2 * y + 1) * 600 // 8, (2 * x + 1) * 700 // 10
            middles[top - 30 : top + 30, left - 30 : left + 30] = True
    scale = 1 if dtype is np.uint8 else 257
    few = np.where(middles[:, :, None], flat + (noise > 37), noise) * scale
    many = np.where(middles[:, :, None], noise, flat) * scale
    assert abs(there.psnr_beyond(8.0)) < 0.3
    assert Sample(few.astype(dtype)).psnr_beyond(8.0) < -3
    assert Sample(many.astype(dtype)).psnr_beyond(8.0) > 3
    assert abs(there.bits_beyond(8.0)) < 0.3
    assert Sample(few.astype(dtype)).bits_beyond(8.0) > 1
    assert Sample(many.astype(dtype)).bits_beyond(8.0) < -1


@pytest.mark.parametrize("goal", [PsnrGoal(40.0), SizeGoal(1000)])
def test_guesses_are_step_sizes(goal: PsnrGoal | SizeGoal) -> None:
    assert 0.25 <= goal.guess(PHOTO, pyramid_method.METHOD.photos) <= 512
