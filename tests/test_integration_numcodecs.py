import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from checks import photo_like, pixels_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import rnnic

common = pytest.importorskip("numcodecs.tests.common")
numcodecs = pytest.importorskip("numcodecs")

from rnnic.integrations.numcodecs import Rnnic  # noqa: E402  # needs numcodecs

Pixels = npt.NDArray[Any]


def stack_of(
    count: int, channels: int, dtype: str = "uint8", size: tuple[int, int] = (9, 14)
) -> Pixels:
    return np.stack([pixels_of(*size, channels, dtype, seed) for seed in range(count)])


ARRAYS = [
    pytest.param(pixels_of(17, 23, 1), id="grey"),
    pytest.param(pixels_of(17, 23, 2), id="grey-alpha"),
    pytest.param(pixels_of(17, 23, 3), id="rgb"),
    pytest.param(pixels_of(17, 23, 4), id="rgba"),
    pytest.param(pixels_of(17, 23, 1, "uint16"), id="grey-16"),
    pytest.param(pixels_of(17, 23, 4, "uint16"), id="rgba-16"),
    pytest.param(pixels_of(17, 23, 1)[:, :, None], id="one-channel"),
    pytest.param(stack_of(5, 1), id="stack"),
    pytest.param(stack_of(3, 3), id="rgb-stack"),
    pytest.param(stack_of(4, 1, "uint16"), id="volume-16"),
    pytest.param(stack_of(1, 1), id="stack-of-one"),
    pytest.param(stack_of(6, 1).reshape(2, 3, 9, 14), id="stack-of-stacks"),
    pytest.param(np.zeros((1, 1), np.uint8), id="pixel"),
]


@pytest.mark.parametrize("array", ARRAYS)
def test_checks_of_numcodecs_without_loss(array: Pixels) -> None:
    codec = Rnnic(error_threshold=0, shape=array.shape, dtype=array.dtype.name)
    common.check_encode_decode(array, codec)
    common.check_encode_decode_array(array, Rnnic(error_threshold=0))


@pytest.mark.parametrize("options", [{}, {"quality": 95}, {"error_threshold": 3, "effort": 2}])
def test_checks_of_numcodecs_with_loss(options: dict[str, Any]) -> None:
    grey = photo_like(32, 40, channels=1)
    codec = Rnnic(shape=grey.shape, **options)
    common.check_encode_decode(grey, codec, precision=-1)  # no pixel off by 15


@pytest.mark.parametrize(
    "codec",
    [
        Rnnic(),
        Rnnic(quality=83.5, effort=2, tile_size=64),
        Rnnic(error_threshold=0, neighbors="ckdtree", method="raster"),
        Rnnic(layout="HWC", shape=(3, 4, 3), dtype="uint16", threads=1, keep_hidden=False),
    ],
)
def test_configuration(codec: Rnnic) -> None:
    common.check_config(codec)
    again = Rnnic.from_config({k: v for k, v in codec.get_config().items() if k != "id"})
    assert again == codec == pickle.loads(pickle.dumps(codec))
    assert again.get_config() == json.loads(json.dumps(codec.get_config()))
    assert "threads" not in codec.get_config()


@pytest.mark.parametrize("text", ["Rnnic()", "Rnnic(effort=2, layout='HW', quality=90)"])
def test_repr(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "Rnnic", Rnnic, raising=False)
    common.check_repr(text)


def test_backwards_compatibility(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [stack_of(2, 3), pixels_of(9, 11, 1, "uint16")]
    codecs = [Rnnic(error_threshold=0), Rnnic(quality=90)]
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # makes files, then reads them
        common.check_backwards_compatibility("rnnic", arrays, codecs, precision=[None, -3])


def test_entry_point_needs_no_import() -> None:
    code = (
        "import numcodecs, sys; c = numcodecs.get_codec({'id': 'rnnic', 'quality': 80});"
        "print(c); assert 'rnnic.integrations.numcodecs' in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "Rnnic(quality=80)\n"


def test_one_image_is_a_file() -> None:
    image = pixels_of(20, 30, 3)
    data = Rnnic(quality=80).encode(image)
    assert data == rnnic.encode(image, quality=80, keep_hidden=True)


def test_a_stack_is_a_frame_of_files() -> None:
    stack = stack_of(3, 3)
    data = Rnnic(quality=80).encode(stack)
    assert data[:8] == b"\x8aRNNST\r\n"
    assert struct.unpack_from("<I", data, 8) == (3,)
    lengths = struct.unpack_from("<3I", data, 12)
    start = 24
    for image, length in zip(stack, lengths, strict=True):
        assert data[start : start + length] == rnnic.encode(image, quality=80)
        start += length
    assert start == len(data)
    assert (
        data
        == Rnnic(quality=80, threads=3).encode(stack)
        == Rnnic(quality=80, threads=1).encode(stack)
    )


def test_layout() -> None:
    array = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    as_image, as_stack = (Rnnic(error_threshold=0, layout=name) for name in ("HWC", "HW"))
    assert rnnic.info(as_image.encode(array)).channels == 3
    assert Rnnic(error_threshold=0).encode(array) == as_image.encode(array)
    assert as_stack.encode(array)[:8] == b"\x8aRNNST\r\n"
    np.testing.assert_array_equal(as_stack.decode(as_stack.encode(array)), array)
    five = np.zeros((4, 6, 5), np.uint8)
    assert as_stack.encode(five) == Rnnic(error_threshold=0).encode(five)
    with pytest.raises(rnnic.UnsupportedImageError, match="layout 'HWC'"):
        as_image.encode(five)
    with pytest.raises(rnnic.UnsupportedImageError, match="layout 'HWC'"):
        as_image.encode(five[0])


@given(
    array=npst.arrays(
        st.sampled_from(["u1", "<u2"]),
        st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple),
        elements=st.integers(0, 255),
    ),
    layout=st.sampled_from(["auto", "HW", "HWC"]),
)
def test_any_array_comes_back_or_is_refused(array: Pixels, layout: str) -> None:
    codec = Rnnic(error_threshold=0, layout=layout)
    try:
        data = codec.encode(array)
    except rnnic.UnsupportedImageError:
        assert layout == "HWC"
        assert array.ndim < 3 or array.shape[-1] > 4
        return
    decoded = codec.decode(data)
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded.reshape(array.shape), array)


def test_hidden_colours_are_kept_unless_said() -> None:
    image = pixels_of(60, 40, 4)
    assert (image[:, :, 3] == 0).any()
    kept = Rnnic(error_threshold=0)
    np.testing.assert_array_equal(kept.decode(kept.encode(image)), image)
    other = Rnnic(error_threshold=0, keep_hidden=False)
    assert (other.decode(other.encode(image)) != image).any()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.int16),
        np.zeros((4, 4), np.uint32),
        np.zeros((4, 4), float),
        np.zeros((4, 4), bool),
        np.zeros((4, 4), object),
        np.zeros((4, 4), "M8[s]"),
        np.zeros((4, 4), ">u2"),
        np.zeros(16, np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((3, 0, 4), np.uint8),
        np.asfortranarray(photo_like(5, 7)),
        bytes(16),
        "text",
        None,
        [[1, 2], [3, 4]],
    ],
)
def test_what_is_no_image_is_refused(array: Any) -> None:
    with pytest.raises(rnnic.UnsupportedImageError):
        Rnnic().encode(array)


@pytest.mark.parametrize("buffer", [bytes(11), bytes(13), np.zeros(12, object), "text"])
def test_flat_buffers_that_do_not_fit_are_refused(buffer: Any) -> None:
    with pytest.raises(rnnic.UnsupportedImageError):
        Rnnic(shape=(3, 4)).encode(buffer)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 101},
        {"quality": 80, "step": 1},
        {"colour": "red"},
        {"layout": "CHW"},
        {"dtype": "float32"},
        {"neighbors": object},
        {"quality": float("nan")},
        {"threads": 0},
        {"model": Path("own.rnnm")},
    ],
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(rnnic.OptionError):
        Rnnic(**options)


def test_decode_in_place() -> None:
    for array in (pixels_of(9, 14, 3), stack_of(3, 1, "uint16")):
        codec = Rnnic(error_threshold=0)
        data = codec.encode(array)
        out = np.zeros_like(array)
        assert codec.decode(data, out=out) is out
        np.testing.assert_array_equal(out, array)
        strided = np.zeros((2, *array.shape), array.dtype).swapaxes(0, 1)[:, 0]
        columns = np.zeros_like(array, order="F")
        for other in (strided, columns):
            codec.decode(data, out=other)
            np.testing.assert_array_equal(other, array)
        flat = bytearray(array.nbytes)
        codec.decode(data, out=flat)
        assert flat == array.tobytes()


@pytest.mark.parametrize(
    "out",
    [
        bytearray(11),
        bytes(12),
        np.zeros(12, object),
        np.zeros((4, 3), np.uint16),
        np.zeros((4, 6), np.uint8)[:, ::2],
    ],
)
def test_out_that_does_not_fit(out: Any) -> None:
    data = Rnnic().encode(np.zeros((3, 4), np.uint8))
    with pytest.raises(rnnic.OptionError, match="out"):
        Rnnic().decode(data, out=out)


def test_damaged_stacks() -> None:
    data = Rnnic().encode(stack_of(3, 1))
    for end in range(len(data)):
        with pytest.raises(rnnic.TruncatedError):
            Rnnic().decode(data[:end])
    with pytest.raises(rnnic.FormatError, match="files need"):
        Rnnic().decode(data + b"x")
    with pytest.raises(rnnic.FormatError, match="no images"):
        Rnnic().decode(data[:8] + bytes(4))
    with pytest.raises(rnnic.TruncatedError, match="lengths"):
        Rnnic().decode(data[:8] + b"\xff" * 4 + data[12:])
    one, other = (rnnic.encode(np.zeros((4, width), np.uint8)) for width in (4, 5))
    mixed = data[:8] + struct.pack("<3I", 2, len(one), len(other)) + one + other
    with pytest.raises(rnnic.FormatError, match=r"image 1 of the stack is \(5, 4, 1, 8\)"):
        Rnnic().decode(mixed)


@given(st.data())
def test_damage_gives_typed_errors_or_an_array(data: st.DataObject) -> None:
    intact = Rnnic(error_threshold=0).encode(stack_of(2, 1))
    place = data.draw(st.integers(0, len(intact) - 1))
    value = data.draw(st.integers(0, 255))
    damaged = intact[:place] + bytes([value]) + intact[place + 1 :]
    try:
        found = Rnnic().decode(damaged)
    except rnnic.RnnicError:
        return
    assert found.shape == (2, 9, 14)


def test_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Rnnic().encode(stack_of(3, 1))
    monkeypatch.setattr("rnnic.integrations.stacks.DEFAULT_MAX_PIXELS", 2 * 9 * 14)
    with pytest.raises(rnnic.LimitError, match="smaller chunks"):
        Rnnic().encode(stack_of(3, 1))
    with pytest.raises(rnnic.LimitError, match="pixels in a stack"):
        Rnnic().decode(data)
