"""Pillow opens and saves RNNIC files."""

import io
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

import rnnic
import rnnic.integrations.pillow as plugin
from rnnic.integrations.pillow import RnnicImageFile
from rnnic.raster.rounding import eight_bits

LOSSLESS: dict[str, Any] = {"method": "raster", "error_threshold": 0, "keep_hidden": True}
ARRAYS = {
    "L": ("uint8", ()),
    "LA": ("uint8", (2,)),
    "RGB": ("uint8", (3,)),
    "RGBA": ("uint8", (4,)),
    "I;16": ("uint16", ()),
}


def _array(mode: str, width: int = 23, height: int = 17, seed: int = 0) -> Any:
    dtype, channels = ARRAYS[mode]
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, high, (height, width, *channels), dtype)


def _smooth(width: int = 96, height: int = 64) -> Any:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack((x, y, (x + y) // 2), 2).astype(np.uint8)


def _image(mode: str, **size: int) -> Image.Image:
    pixels = _array(mode, **size)
    if mode == "I;16":
        height, width = pixels.shape
        return Image.frombytes(mode, (width, height), pixels.astype("<u2").tobytes())
    return Image.fromarray(pixels, mode)


def _saved(image: Image.Image, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, "RNNIC", **options)
    file.seek(0)
    return file


def _opened(image: Image.Image, **options: Any) -> RnnicImageFile:
    found = Image.open(_saved(image, **options))
    assert isinstance(found, RnnicImageFile)
    return found


def test_registration_happens_once() -> None:
    before = list(Image.ID), dict(Image.EXTENSION)
    plugin.register()
    assert (list(Image.ID), dict(Image.EXTENSION)) == before
    assert Image.ID.count("RNNIC") == 1
    assert Image.registered_extensions()[".rnnic"] == "RNNIC"
    assert Image.MIME["RNNIC"] == "image/x-rnnic"


@given(
    mode=st.sampled_from(sorted(ARRAYS)),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_every_native_mode_survives_lossless(mode: str, width: int, height: int, seed: int) -> None:
    pixels = _array(mode, width, height, seed)
    data = rnnic.encode(pixels, **LOSSLESS)
    opened = Image.open(io.BytesIO(data))
    assert (opened.mode, opened.size, opened.format) == (mode, (width, height), "RNNIC")
    assert np.array_equal(np.asarray(opened), pixels)
    assert _saved(opened, **LOSSLESS).getvalue() == data


def test_a_path_is_saved_by_its_extension(tmp_path: Path) -> None:
    image, path = _image("RGB"), tmp_path / "a.rnnic"
    image.save(path, **LOSSLESS)
    with Image.open(path) as opened:
        assert opened.get_format_mimetype() == "image/x-rnnic"
        assert np.array_equal(np.asarray(opened), np.asarray(image))
        # An opened file may be overwritten by itself.
        opened.save(path, **LOSSLESS)
    assert np.array_equal(rnnic.read(path), np.asarray(image))


def test_open_reads_head_and_metadata_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            self.most = max(self.most, self.tell())
            return found

    data = _saved(_image("RGB", width=300, height=200)).getvalue()
    file = Counting(data)
    with monkeypatch.context() as context:
        context.setattr(rnnic, "decode", None)
        opened = Image.open(file)
        assert (opened.mode, opened.size) == ("RGB", (300, 200))
    assert file.most < 150
    assert np.array_equal(np.asarray(opened), rnnic.decode(data))
    assert file.most == len(data)


def test_opening_does_not_load_numba(tmp_path: Path) -> None:
    path = tmp_path / "a.rnnic"
    _image("L").save(path)
    code = (
        "import sys, rnnic.integrations.pillow; from PIL import Image;"
        f"Image.open({str(path)!r}).close(); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_begins_within_another_is_read() -> None:
    file = io.BytesIO(b"before" + _saved(_image("L")).getvalue())
    file.seek(6)
    assert RnnicImageFile(file).load() is not None


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colour_and_alpha_of_16_bits_are_rounded(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 40, channels), np.uint16)
    pixels[:, :, -1] |= 1  # nothing is hidden
    data = rnnic.encode(pixels, **LOSSLESS)
    opened = Image.open(io.BytesIO(data))
    assert opened.mode == {2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    expected = np.rint(rnnic.decode(data).astype(float) * 255 / 65535)
    assert np.array_equal(np.asarray(opened), expected)


def test_rounding_to_8_bits_is_exact_everywhere() -> None:
    every = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(eight_bits(every), np.rint(every / 257))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("1", "L"),
        ("P", "RGB"),
        ("PA", "RGBA"),
        ("La", "LA"),
        ("RGBa", "RGBA"),
        ("RGBX", "RGB"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("HSV", "RGB"),
    ],
)
def test_other_modes_are_converted_as_pillow_does(mode: str, expected: str) -> None:
    source = {"PA": "L", "La": "LA", "RGBa": "RGBA", "1": "L"}.get(mode, "RGB")
    image = _image(source).convert(mode)
    opened = _opened(image, **LOSSLESS)
    assert opened.mode == expected
    assert np.array_equal(np.asarray(opened), np.asarray(image.convert(expected)))


@pytest.mark.parametrize(("mode", "transparent", "expected"), [("P", 3, "RGBA"), ("L", 9, "LA")])
def test_a_transparent_colour_becomes_alpha(mode: str, transparent: int, expected: str) -> None:
    image = _image("L").convert(mode)
    image.info["transparency"] = transparent
    opened = _opened(image, **LOSSLESS)
    assert opened.mode == expected
    assert np.array_equal(np.asarray(opened), np.asarray(image.convert(expected)))


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bit_grey_of_any_byte_order(mode: str) -> None:
    pixels = _array("I;16")
    order = ">u2" if mode.endswith("B") else "<u2"
    image = Image.frombytes(mode, pixels.shape[::-1], pixels.astype(order).tobytes())
    assert np.array_equal(np.asarray(_opened(image, **LOSSLESS)), pixels)


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_other_modes_are_refused(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rnnic"
    with pytest.raises(OSError, match=f"cannot write mode {mode} as RNNIC"):
        Image.new(mode, (4, 4)).save(path)
    assert not path.exists()


def test_one_frame_is_written_and_several_are_refused(tmp_path: Path) -> None:
    image, path = _image("L"), tmp_path / "a.rnnic"
    image.save(path, save_all=True, **LOSSLESS)
    assert path.read_bytes() == _saved(image, **LOSSLESS).getvalue()
    path.unlink()
    with pytest.raises(OSError, match="2 frames"):
        image.save(path, save_all=True, append_images=[image])
    assert not path.exists()


def test_all_options_reach_the_encoder() -> None:
    pixels = _smooth()
    image = Image.fromarray(pixels)
    options: list[dict[str, Any]] = [
        {"quality": 40},
        {"step": 7.5, "effort": 2, "threads": 1, "tile_size": 64},
        {"target_psnr": 45, "effort": 1},
        {"target_bytes": 1500, "effort": 1},
        {"method": "raster", "quality": 70},
        {"error_threshold": 4, "tile_size": 32},
    ]
    for given_options in options:
        expected = rnnic.encode(pixels, **given_options)
        assert _saved(image, **given_options).getvalue() == expected
    rgba = Image.fromarray(_array("RGBA"))
    coarse = _saved(rgba, alpha_quality=0, keep_hidden=True).getvalue()
    assert coarse == rnnic.encode(np.asarray(rgba), alpha_quality=0, keep_hidden=True)


def test_options_that_are_not_known_are_ignored_and_none_is_not_given() -> None:
    image = _image("L")
    plain = _saved(image).getvalue()
    assert _saved(image, optimize=True, progressive=3, effort=None).getvalue() == plain


@pytest.mark.parametrize(
    "options", [{"quality": 101}, {"quality": "high"}, {"method": 6}, {"quality": 1, "step": 2}]
)
def test_wrong_options_are_value_errors(options: dict[str, Any]) -> None:
    with pytest.raises(rnnic.OptionError):
        _saved(_image("L"), **options)


def test_metadata_survives() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Software] = "test"
    options: dict[str, Any] = {
        "icc_profile": b"profile",
        "exif": exif,
        "xmp": "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        "dpi": (300, 72.5),
        "text": {"Title": "grey", "exif": "only text"},
    }
    opened = _opened(_image("L"), **options)
    assert opened.info == {
        "icc_profile": b"profile",
        "exif": exif.tobytes(),
        "xmp": options["xmp"].encode(),
        "dpi": (300, 72.5),
        "Title": "grey",
    }
    assert opened.text == {"Title": "grey", "exif": "only text", "dpi": "300,72.5"}
    assert dict(opened.getexif()) == dict(exif)
    assert opened.getexif()[ExifTags.Base.Orientation] == 6
    assert opened.size == (23, 17)  # orientation stays a tag


def test_metadata_is_written_on_request_and_the_profile_always() -> None:
    opened = _opened(_image("L"), icc_profile=b"p", exif=b"Exif\0\0MM", xmp=b"<x/>", dpi=(9, 9))
    again = _opened(opened)
    assert again.info == {"icc_profile": b"p"}
    assert _opened(opened, icc_profile=None).info == {}
    given_back = _opened(opened, **{str(key): value for key, value in opened.info.items()})
    assert given_back.info == opened.info


def test_other_formats_take_the_metadata() -> None:
    opened = _opened(_image("RGB"), exif=Image.Exif().tobytes(), dpi=(200, 200))
    jpeg = io.BytesIO()
    opened.save(jpeg, "JPEG", exif=opened.info["exif"], dpi=opened.info["dpi"])
    jpeg.seek(0)
    found = Image.open(jpeg)
    assert found.info["dpi"] == (200, 200)
    assert found.info["exif"] == opened.info["exif"]


@pytest.mark.parametrize("method", ["pyramid", "raster"])
def test_draft_decodes_at_a_fraction(method: str) -> None:
    data = rnnic.encode(_smooth(97, 65), method=method)
    for size, reduce in [((97, 65), 0), ((49, 1), 0), ((48, 32), 1), ((12, 8), 3), ((1, 1), 5)]:
        opened = Image.open(io.BytesIO(data))
        found = opened.draft("L", size)
        expected = rnnic.decode(data, reduce=reduce)
        if reduce == 0:
            assert found is None
        else:
            assert found == ("RGB", (0, 0, 97 / 2**reduce, 65 / 2**reduce))
        assert opened.size == expected.shape[1::-1]
        assert np.array_equal(np.asarray(opened), expected)
        assert opened.draft(None, (1, 1)) is None  # loaded: no effect


def test_draft_without_a_size_and_a_second_draft() -> None:
    opened = _opened(Image.fromarray(_smooth()))
    assert opened.draft("L", None) is None
    assert opened.draft(None, (48, 32)) is not None
    assert opened.draft(None, (48, 32)) is None
    assert opened.draft(None, (24, 16)) == ("RGB", (0, 0, 24, 16))
    assert np.asarray(opened).shape == (16, 24, 3)


def test_thumbnail_is_near_to_that_of_all_pixels() -> None:
    data = _saved(Image.fromarray(_smooth(256, 160)))
    small = Image.open(data)
    small.thumbnail((40, 40))
    assert small.size == (40, 25)
    whole = Image.fromarray(rnnic.decode(data.getvalue()))
    whole.thumbnail((40, 40))
    difference = np.asarray(small).astype(int) - np.asarray(whole)
    assert np.abs(difference).max() <= 4


def test_the_parser_takes_a_file_in_pieces() -> None:
    data = _saved(_image("RGB")).getvalue()
    with ImageFile.Parser() as parser:
        for start in range(0, len(data), 100):
            parser.feed(data[start : start + 100])
        image = parser.close()
    assert np.array_equal(np.asarray(image), rnnic.decode(data))


def test_the_parser_says_when_a_file_is_cut_off() -> None:
    data = _saved(_image("RGB")).getvalue()
    parser = ImageFile.Parser()
    parser.feed(data[:-20])
    with pytest.raises(OSError, match="cut off"):
        parser.close()


def test_cut_off_files_are_not_identified_or_do_not_load() -> None:
    data = _saved(_image("L", width=40), exif=b"MM").getvalue()
    tile = data.index(b"TILE")
    for length in range(len(data)):
        file = io.BytesIO(data[:length])
        if length < tile + 8:
            with pytest.raises(UnidentifiedImageError):
                Image.open(file)
        else:
            with pytest.raises(OSError, match=r"cut off|ends") as caught:
                Image.open(file).load()
            assert isinstance(caught.value.__cause__, rnnic.TruncatedError)


def test_a_cut_off_file_gives_what_is_there_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = _smooth(256, 160)
    data = rnnic.encode(pixels, tile_size=64)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    cut = data[: data.index(b"TIDX") + 2 * len(data) // 3]
    for file, whole in ((data, True), (cut, False)):
        opened = Image.open(io.BytesIO(file))
        assert np.array_equal(np.asarray(opened), rnnic.decode_report(file).pixels)
        assert np.array_equal(np.asarray(opened)[:64], rnnic.decode(data)[:64])
        assert np.array_equal(np.asarray(opened), rnnic.decode(data)) is whole
    small = Image.open(io.BytesIO(cut))
    small.draft(None, (64, 40))
    assert np.array_equal(np.asarray(small), rnnic.decode_report(cut, reduce=2).pixels)
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data[:80]))


@given(position=st.integers(8, 10_000), change=st.integers(1, 255))
def test_damage_is_an_os_error(position: int, change: int) -> None:
    data = bytearray(_saved(_image("L")).getvalue())
    data[position % (len(data) - 8) + 8] ^= change
    with pytest.raises(OSError):  # noqa: PT011  # UnidentifiedImageError is one
        Image.open(io.BytesIO(data)).load()
    with pytest.raises(OSError):  # noqa: PT011
        Image.open(io.BytesIO(data)).verify()


def test_an_image_can_be_loaded_again_after_a_failure() -> None:
    data = _saved(_image("L")).getvalue()
    file = io.BytesIO(data[:-1])
    opened = Image.open(file)
    with pytest.raises(OSError, match="cut off"):
        opened.load()
    file.seek(0, io.SEEK_END)
    file.write(data[-1:])
    assert np.array_equal(np.asarray(opened), rnnic.decode(data))


def test_verify_accepts_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.rnnic"
    _image("L").save(path)
    with Image.open(path) as opened:
        opened.verify()
        with pytest.raises(ValueError, match="closed"):
            opened.load()


def test_bombs_are_found_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _saved(_image("L", width=20, height=20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 199)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(data)


def test_pillows_limit_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def decode(data: bytes, **options: Any) -> Any:
        seen.update(options)
        return decoded(data, **options)

    decoded = rnnic.decode
    monkeypatch.setattr(rnnic, "decode", decode)
    _opened(_image("L", width=20, height=20)).load()
    assert seen["max_pixels"] == 400


def test_files_are_closed_after_loading_and_images_stay_usable(tmp_path: Path) -> None:
    path = tmp_path / "a.rnnic"
    _image("RGB").save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        opened = Image.open(path)
        opened.load()
        path.unlink()
        changed = opened.copy()
        changed.putpixel((0, 0), (1, 2, 3))
        opened.putpixel((0, 0), (1, 2, 3))
        assert np.array_equal(np.asarray(opened), np.asarray(changed))
        del opened


def test_changing_pixels_that_share_memory_is_possible() -> None:
    opened = _opened(_image("L"), **LOSSLESS)
    opened.load()
    opened.paste(7, (0, 0, 23, 17))
    assert set(opened.tobytes()) == {7}


def test_pickling() -> None:
    opened = _opened(_image("RGBA"), **LOSSLESS)
    again = pickle.loads(pickle.dumps(opened))
    assert np.array_equal(np.asarray(again), np.asarray(opened))


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(rnnic.UnsupportedImageError):
        _saved(Image.new("L", (0, 3)))


def test_not_an_rnnic_file() -> None:
    with pytest.raises(SyntaxError, match="RNNIC file"):
        RnnicImageFile(io.BytesIO(b"something else"))
