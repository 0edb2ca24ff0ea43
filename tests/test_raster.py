import functools
import itertools

import numpy as np
import pytest
from checks import check_round_trip, extreme_images, photo_like
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rnnic
from rnnic.container import parse
from rnnic.errors import FormatError, TruncatedError
from rnnic.metrics import psnr
from rnnic.options import EncodeOptions
from rnnic.raster.encoder import parameters_for
from rnnic.raster.model import RasterModel
from rnnic.raster.tables import MAX_SCALE, MIN_SCALE, RasterParameters
from rnnic.search.exact import ExactSearch

SIZES = [(1, 1), (1, 2), (2, 1), (1, 5), (5, 1), (3, 4), (7, 9), (16, 16), (17, 33), (40, 21)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("threshold", [0, 1.5, 6, 20])
def test_every_size_comes_back(size: tuple[int, int], channels: int, threshold: float) -> None:
    image = photo_like(*size, channels)
    check_round_trip(image, with_reference=True, error_threshold=threshold, tile_size=16)


@pytest.mark.parametrize(("name", "image"), list(extreme_images(19, 26)))
@pytest.mark.parametrize("threshold", [0, 3, 442])
def test_extreme_images(name: str, image: np.ndarray, threshold: float) -> None:
    del name
    check_round_trip(image, with_reference=True, error_threshold=threshold, tile_size=16)


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3])),
    ),
    st.floats(0, 60),
)
def test_any_image_keeps_the_bound(image: np.ndarray, threshold: float) -> None:
    check_round_trip(image, with_reference=True, error_threshold=threshold)


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0, 0.5, 1, 2, 3.3, 5, 8, 13, 20])
def test_bound_on_a_larger_image(threshold: float) -> None:
    for channels in (1, 3):
        image = photo_like(160, 210, channels)
        check_round_trip(image, with_reference=False, error_threshold=threshold, tile_size=64)


def test_quality_degrades_gracefully() -> None:
    image = photo_like(48, 64)
    found = [
        rnnic.encode_image(image, EncodeOptions(error_threshold=t)) for t in (0, 1, 2, 4, 8, 16, 32)
    ]
    sizes = [len(encoded.data) for encoded in found]
    assert sizes == sorted(sizes, reverse=True)
    quality = [psnr(encoded.reconstruction, image) for encoded in found]
    assert quality == sorted(quality, reverse=True)


def test_wavefronts_choose_what_the_planner_chooses() -> None:
    for channels, tile_size in itertools.product((1, 3), (16, 32)):
        image = photo_like(45, 70, channels)
        encode = functools.partial(rnnic.encode, image, error_threshold=4.0, tile_size=tile_size)
        assert encode(neighbors=ExactSearch) == encode()


def test_threads_do_not_change_the_bytes() -> None:
    image = photo_like(50, 60)
    files = {rnnic.encode(image, method="raster", tile_size=16, threads=n) for n in (1, 2, 5)}
    assert len(files) == 1
    (data,) = files
    one = rnnic.decode(data, threads=1)
    np.testing.assert_array_equal(rnnic.decode(data, threads=4), one)


def test_trace_says_what_codes_each_pixel() -> None:
    image = photo_like(20, 40)
    encoded = rnnic.encode_image(image, EncodeOptions(error_threshold=5, tile_size=16))
    traces = encoded.traces()
    assert len(traces) == 6
    assert sum(trace.labels.size for trace in traces) == 800
    part = RasterModel.from_bytes(rnnic.default_model().sections["RAST"]).rgb
    for trace in traces:
        assert trace.labels.max() <= 4
        assert ((trace.entries == -1) == (trace.labels == 4)).all()
        for palette, count in enumerate(part.sizes):
            assert (trace.entries[trace.labels == palette] < count).all()


def test_strings_are_runs_in_the_trace() -> None:
    encoded = rnnic.encode_image(np.full((8, 64, 3), 90, np.uint8), EncodeOptions(method="raster"))
    (trace,) = encoded.traces()
    # Below its first row, a flat image is nothing but one string of four after the other.
    assert (trace.labels[1:] == 0).all()
    strings = trace.entries.reshape(8, 16, 4)[1:]
    assert (strings == strings[:, :, :1]).all()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0, 4.53, 60.0, 442.0])
def test_parameters_keep_within_the_format(threshold: float) -> None:
    parameters = parameters_for(threshold)
    assert MIN_SCALE <= parameters.scale <= MAX_SCALE
    assert threshold - 1 / 64 < parameters.threshold / 64 <= threshold
    assert RasterParameters.from_bytes(parameters.to_bytes(), 8) == parameters


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\xff\0", b"\0\0\xff\xff", b"12345"])
def test_wrong_parameters_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        RasterParameters.from_bytes(data, 8)


def test_model_section_comes_back() -> None:
    payload = rnnic.default_model().sections["RAST"]
    model = RasterModel.from_bytes(payload)
    assert model.to_bytes() == payload
    with pytest.raises(FormatError, match="too many"):
        RasterModel.from_bytes(payload + b"\0")
    for size in range(0, len(payload), 997):
        with pytest.raises(TruncatedError):
            RasterModel.from_bytes(payload[:size])


def test_damaged_sections_are_refused() -> None:
    payload = bytearray(rnnic.default_model().sections["RAST"])
    for place, value in ((0, 3), (1, 0), (1, 65), (len(payload) - 1, 0xFF)):
        broken = payload.copy()
        broken[place] = value
        with pytest.raises(FormatError):
            RasterModel.from_bytes(bytes(broken))


def test_tile_payload_must_end_where_its_last_symbol_does() -> None:
    from rnnic.raster.decoder import decode_tile
    from rnnic.raster.tables import load_model

    image = photo_like(16, 16)
    container = parse(memoryview(rnnic.encode(image, method="raster")))
    part = load_model(rnnic.default_model().sections["RAST"]).rgb
    parameters = RasterParameters.from_bytes(container.header.parameters, 8)
    payload = bytes(container.tiles[0])
    box = container.header.tile_box(0)
    out = np.zeros_like(image)
    for wrong in (payload[:-1], payload + b"\0"):
        with pytest.raises(FormatError):
            decode_tile(memoryview(wrong), box, part, parameters, out)
    for size in range(len(payload) // 2):
        with pytest.raises(FormatError):
            decode_tile(memoryview(payload[:size]), box, part, parameters, out)
