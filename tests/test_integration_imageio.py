"""imageio reads and writes RNNIC files."""

import builtins
import importlib
import io
import sys
from pathlib import Path
from typing import Any

import imageio.v2
import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imageio.config import known_plugins
from imageio.config.extensions import extension_list, known_extensions

import rnnic
import rnnic.integrations.imageio as plugin

LOSSLESS: dict[str, Any] = {"method": "raster", "error_threshold": 0, "keep_hidden": True}


def _pixels(shape: tuple[int, ...] = (9, 12, 3), dtype: str = "uint8", seed: int = 0) -> Any:
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, high, shape, dtype)


def test_registration_happens_once() -> None:
    count = len(extension_list)
    plugin.register()
    assert len(extension_list) == count
    assert len(known_extensions[".rnnic"]) == 1
    found: object = known_plugins["rnnic"].plugin_class
    assert found is plugin.RnnicPlugin


@given(
    side=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    channels=st.sampled_from([(), (2,), (3,), (4,)]),
    dtype=st.sampled_from(["uint8", "uint16"]),
    seed=st.integers(0, 9),
)
def test_every_array_survives_lossless(
    side: tuple[int, int], channels: tuple[int, ...], dtype: str, seed: int
) -> None:
    pixels = _pixels((*side, *channels), dtype, seed)
    data = iio.imwrite("<bytes>", pixels, extension=".rnnic", **LOSSLESS)
    expected = rnnic.decode(rnnic.encode(pixels, **LOSSLESS))
    found = iio.imread(data, extension=".rnnic")
    assert (found.dtype, found.shape) == (pixels.dtype, pixels.shape)
    assert np.array_equal(found, expected)
    properties = iio.improps(data, extension=".rnnic")
    assert (properties.shape, properties.dtype) == (found.shape, found.dtype)
    assert not properties.is_batch


def test_a_path_is_known_by_its_extension(tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.rnnic", _pixels()
    assert iio.imwrite(path, pixels, quality=60) is None
    assert path.read_bytes() == rnnic.encode(pixels, quality=60)
    assert np.array_equal(iio.imread(path), rnnic.read(path))


def test_bytes_without_an_extension_are_read_by_the_plugins_name() -> None:
    data = rnnic.encode(_pixels())
    assert np.array_equal(iio.imread(data, plugin="rnnic"), rnnic.decode(data))


def test_a_file_object_is_written_and_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    iio.imwrite(file, _pixels(), extension=".rnnic")
    file.seek(6)
    assert np.array_equal(iio.imread(file, extension=".rnnic"), rnnic.decode(file.getvalue()[6:]))


def test_version_2_of_the_interface(tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.rnnic", _pixels()
    imageio.v2.imwrite(path, pixels, **LOSSLESS)
    assert np.array_equal(imageio.v2.imread(path), pixels)


def test_region_and_reduction() -> None:
    data = rnnic.encode(_pixels((40, 60, 3)))
    found = iio.imread(data, extension=".rnnic", region=(8, 4, 20, 16), reduce=1, threads=1)
    assert np.array_equal(found, rnnic.decode(data, region=(8, 4, 20, 16), reduce=1))
    with pytest.raises(rnnic.OptionError, match="region"):
        iio.imread(data, extension=".rnnic", region=(50, 0, 20, 4))


def test_one_image_and_a_batch_of_one() -> None:
    data = rnnic.encode(_pixels())
    image = rnnic.decode(data)
    assert [frame.shape for frame in iio.imiter(data, extension=".rnnic")] == [image.shape]
    assert np.array_equal(iio.imread(data, index=0, extension=".rnnic"), image)
    every: Any = ...  # imageio's annotations lack what its documentation has
    assert np.array_equal(iio.imread(data, index=every, extension=".rnnic"), image[None])
    properties = iio.improps(data, index=every, extension=".rnnic")
    assert (properties.shape, properties.n_images) == ((1, *image.shape), 1)
    assert properties.is_batch
    for ask in (iio.imread, iio.improps, iio.immeta):
        with pytest.raises(IndexError, match="index 1 "):
            ask(data, index=1, extension=".rnnic")
    for batch in ([image], image[None]):
        assert iio.imwrite("<bytes>", batch, extension=".rnnic") == rnnic.encode(image)
    grey = image[None, :, :, 0]
    written = iio.imwrite("<bytes>", grey, extension=".rnnic", is_batch=True)
    assert written == rnnic.encode(grey[0])


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.rnnic", _pixels()
    attempts: list[tuple[Any, dict[str, Any]]] = [
        ([pixels, pixels], {}),
        (np.stack((pixels, pixels)), {}),
        (pixels.astype(float), {}),
        (pixels, {"quality": 101}),
        (pixels, {"colour": "red"}),
    ]
    for image, options in attempts:
        with pytest.raises((rnnic.UnsupportedImageError, rnnic.OptionError)):
            iio.imwrite(path, image, **options)
        assert not path.exists()


def test_metadata() -> None:
    options: dict[str, Any] = {
        "icc_profile": b"profile",
        "exif": b"MM\0*",
        "xmp": "<x/>",
        "dpi": (300, 300),
        "text": {"Title": "noise"},
    }
    data = iio.imwrite("<bytes>", _pixels(), extension=".rnnic", **options)
    assert iio.immeta(data, extension=".rnnic") == {
        "icc_profile": b"profile",
        "exif": b"Exif\0\0MM\0*",
        "xmp": b"<x/>",
        "dpi": (300, 300),
        "Title": "noise",
    }
    assert iio.improps(data, extension=".rnnic").spacing == (300, 300)


def test_nothing_is_decoded_for_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rnnic.encode(_pixels())
    monkeypatch.setattr(rnnic, "decode", None)
    assert iio.improps(data, extension=".rnnic").shape == (9, 12, 3)
    assert iio.immeta(data, extension=".rnnic") == {}


def test_other_files_are_left_to_other_plugins(tmp_path: Path) -> None:
    path = tmp_path / "png.rnnic"
    iio.imwrite(path.with_suffix(".png"), _pixels())
    path.with_suffix(".png").rename(path)
    assert np.array_equal(iio.imread(path), _pixels())
    with pytest.raises(OSError, match="rnnic"):
        iio.imwrite(tmp_path / "a.png", _pixels(), plugin="rnnic")


@pytest.mark.parametrize("length", [20, 100, -1])
def test_cut_off_files_are_os_errors(length: int) -> None:
    data = rnnic.encode(_pixels())[:length]
    with pytest.raises(OSError, match="cut off") as caught:
        iio.imread(data, extension=".rnnic")
    assert isinstance(caught.value.__cause__, rnnic.TruncatedError)


def test_without_imageio_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("imageio"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "rnnic.integrations.imageio")
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(rnnic.MissingDependencyError, match=r"rnnic\[imageio\]"):
        importlib.import_module("rnnic.integrations.imageio")
