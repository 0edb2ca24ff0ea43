import contextlib
import errno
import io
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from rnnic.errors import LimitError, OptionError, RnnicError, UnsupportedImageError
from rnnic.files import IMAGE_SUFFIXES, load_image, save_image
from rnnic.metadata import Metadata
from rnnic.output import OutputExistsError, atomic_output, check_output

Pixels = npt.NDArray[np.uint8]

WINDOWS = sys.platform == "win32"


@pytest.fixture(name="rgb")
def _rgb() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)


@pytest.fixture(name="metadata")
def _metadata() -> Metadata:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif[0x0100] = 4000  # an image width that is not this file's
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00"}
    exif[0x8825] = {1: "N"}
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>é</x:xmpmeta>".encode()
    text = {"Author": "Zoë", "dpi": "300,300", "Ключ": "not in a PNG"}
    return Metadata(exif.tobytes().removeprefix(b"Exif\0\0"), icc, xmp, text)


def _save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


# Reading


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".webp", ".tif"])
def test_rgb_is_read_exactly(tmp_path: Path, rgb: Pixels, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    path = _save(tmp_path / f"a{suffix}", Image.fromarray(rgb), **options)
    loaded = load_image(path)
    np.testing.assert_array_equal(loaded.pixels, rgb)
    assert loaded.format == IMAGE_SUFFIXES[suffix]
    assert loaded.name == str(path)


def test_grey_stays_grey(tmp_path: Path, rgb: Pixels) -> None:
    grey = rgb[:, :, 0].copy()
    loaded = load_image(_save(tmp_path / "a.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(loaded.pixels, grey)


def test_one_bit_becomes_grey(tmp_path: Path) -> None:
    bits = np.eye(5, dtype=bool)
    loaded = load_image(_save(tmp_path / "a.png", Image.fromarray(bits)))
    np.testing.assert_array_equal(loaded.pixels, bits * np.uint8(255))


def test_palette_becomes_rgb(tmp_path: Path, rgb: Pixels) -> None:
    indexed = Image.fromarray(rgb).quantize(16)
    loaded = load_image(_save(tmp_path / "a.png", indexed))
    np.testing.assert_array_equal(loaded.pixels, np.asarray(indexed.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept(tmp_path: Path, rgb: Pixels, mode: str, suffix: str) -> None:
    image = Image.fromarray(rgb).convert(mode)
    image.putalpha(Image.fromarray(rgb[:, :, 0]))
    if suffix == ".webp" and mode == "LA":
        pytest.skip("WebP has no grey")
    loaded = load_image(_save(tmp_path / "a.png", image))
    np.testing.assert_array_equal(loaded.pixels, np.asarray(image))
    save_image(tmp_path / f"b{suffix}", loaded.pixels)
    np.testing.assert_array_equal(load_image(tmp_path / f"b{suffix}").pixels, np.asarray(image))


@pytest.mark.parametrize(("mode", "channels"), [("P", 4), ("L", 2), ("RGB", 4)])
def test_a_transparent_colour_becomes_alpha(tmp_path: Path, mode: str, channels: int) -> None:
    image = Image.new("RGB", (4, 4), (7, 7, 7)).convert(mode)
    key: Any = (7, 7, 7) if mode == "RGB" else image.getpixel((0, 0))
    loaded = load_image(_save(tmp_path / "clear.png", image, transparency=key))
    assert loaded.pixels.shape == (4, 4, channels)
    assert loaded.pixels[0, 0, -1] == 0


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", ".tif"), ("LAB", ".tif"), ("I", ".tif"), ("F", ".tif")],
)
def test_other_colours_and_depths_are_refused(tmp_path: Path, mode: str, suffix: str) -> None:
    path = _save(tmp_path / f"odd{suffix}", Image.new(mode, (4, 4)))
    with pytest.raises(UnsupportedImageError, match=r"odd\.\w+: mode .*convert it to"):
        load_image(path)


def test_cmyk_jpeg_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "print.jpg", Image.new("CMYK", (8, 8)))
    with pytest.raises(UnsupportedImageError, match=r"CMYK.*convert it to RGB"):
        load_image(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pnm"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_kept(tmp_path: Path, metadata: Metadata, channels: int, suffix: str) -> None:
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 65536, (9, 7, channels), np.uint16)
    pixels = pixels[:, :, 0] if channels == 1 else pixels
    path = tmp_path / f"deep{suffix}"
    if suffix == ".pnm" and channels in (2, 4):
        with pytest.raises(OptionError, match=r"deep\.pnm: PPM keeps no alpha"):
            save_image(path, pixels)
        assert not path.exists()
        return
    save_image(path, pixels, metadata)
    loaded = load_image(path)
    assert loaded.pixels.dtype == np.uint16
    np.testing.assert_array_equal(loaded.pixels, pixels)
    if suffix != ".pnm":
        assert loaded.metadata.icc == metadata.icc
        exif = Image.Exif()
        exif.load(loaded.metadata.exif or b"")
        assert exif[0x0112] == 6


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_files_agree_with_another_library(tmp_path: Path, channels: int) -> None:
    import imagecodecs

    pixels = np.random.default_rng(9).integers(0, 65536, (23, 31, channels), np.uint16)
    pixels = pixels[:, :, 0] if channels == 1 else pixels
    path = tmp_path / "theirs.png"
    path.write_bytes(imagecodecs.png_encode(pixels))
    np.testing.assert_array_equal(load_image(path).pixels, pixels)
    save_image(tmp_path / "ours.png", pixels)
    theirs = imagecodecs.png_decode((tmp_path / "ours.png").read_bytes())
    np.testing.assert_array_equal(theirs, pixels)


def test_a_transparent_colour_of_16_bits_becomes_alpha(tmp_path: Path) -> None:
    import struct
    import zlib

    pixels = np.zeros((3, 3, 3), np.uint16)
    pixels[1, 1] = 1000, 2000, 3000
    save_image(tmp_path / "a.png", pixels)
    data = (tmp_path / "a.png").read_bytes()
    key = b"tRNS" + struct.pack(">3H", 1000, 2000, 3000)
    at = data.index(b"IDAT") - 4
    chunk = struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key))
    (tmp_path / "b.png").write_bytes(data[:at] + chunk + data[at:])
    found = load_image(tmp_path / "b.png").pixels
    assert found.shape == (3, 3, 4)
    assert found[1, 1].tolist() == [1000, 2000, 3000, 0]
    assert found[0, 0].tolist() == [0, 0, 0, 65535]


def test_pnm_of_other_depths_is_scaled() -> None:
    found = load_image(io.BytesIO(b"P6 2 1 1023\n" + bytes([3, 255, 0, 0, 2, 0] * 2))).pixels
    assert found.dtype == np.uint16
    assert found[0, 0].tolist() == [65535, 0, round(512 * 65535 / 1023)]


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_16_bits_are_not_cut_off_silently(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OptionError, match="keeps 8 bits a sample, these have 16"):
        save_image(tmp_path / f"a{suffix}", np.zeros((3, 3), np.uint16))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_damaged_deep_images_are_refused_or_read(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / f"a{suffix}"
    save_image(path, rng.integers(0, 65536, (8, 9, 3), np.uint16))
    data = path.read_bytes()
    for _ in range(300):
        changed = bytearray(data)
        if rng.integers(3) == 0:
            del changed[int(rng.integers(len(data))) :]
        else:
            changed[int(rng.integers(len(data)))] = int(rng.integers(256))
        with contextlib.suppress(RnnicError):
            load_image(io.BytesIO(bytes(changed)))


def test_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 100, 200)]
    path = tmp_path / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImageError, match=r"moving\.gif: 3 frames"):
        load_image(path)


def test_second_picture_of_a_camera_file_is_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(path, "MPO", save_all=True, append_images=[second])
    assert load_image(path).pixels.shape == (16, 16, 3)


def test_huge_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(tmp_path / "huge.png", Image.new("L", (50, 50)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(LimitError, match=r"huge\.png: more than 2000 pixels"):
        load_image(path)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "note.png"
    path.write_bytes(content)
    with pytest.raises(RnnicError, match=r"note\.png: "):
        load_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".gif", ".ppm"])
def test_damaged_images_are_refused_or_read(tmp_path: Path, rgb: Pixels, suffix: str) -> None:
    whole = _save(tmp_path / f"whole{suffix}", Image.fromarray(rgb)).read_bytes()
    rng = np.random.default_rng(3)
    path = tmp_path / f"damaged{suffix}"
    for _ in range(150):
        damaged = bytearray(whole[: int(rng.integers(len(whole) + 1))])
        for place in rng.integers(0, max(1, len(damaged)), 2).tolist():
            damaged[place : place + 1] = rng.bytes(1)
        path.write_bytes(damaged)
        try:
            load_image(path)
        except RnnicError as error:
            assert str(path) in str(error)  # noqa: PT017  most damage is noticed, not all


def test_missing_files_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "missing.png")
    with pytest.raises(OSError, match=r"directory|denied"):
        load_image(tmp_path)


# Metadata


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".tif"])
def test_metadata_survives(tmp_path: Path, rgb: Pixels, metadata: Metadata, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_image(path, rgb, metadata)
    loaded = load_image(path)
    assert loaded.metadata.icc == metadata.icc
    assert loaded.metadata.xmp == metadata.xmp
    exif = Image.Exif()
    exif.load(loaded.metadata.exif or b"")
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
    assert exif.get_ifd(0x8825)[1] == "N"
    assert exif[0x0112] == 6
    if suffix != ".jpg":
        np.testing.assert_array_equal(loaded.pixels, rgb)
    if suffix != ".tif":
        assert loaded.metadata.exif == metadata.exif
    if suffix != ".webp":
        x, y = map(float, loaded.metadata.text["dpi"].split(","))
        assert (round(x), round(y)) == (300, 300)
    if suffix == ".png":
        assert loaded.metadata.text["Author"] == "Zoë"
        assert "Ключ" not in loaded.metadata.text


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".tif"])
def test_resolution_goes_through_webp(tmp_path: Path, rgb: Pixels, suffix: str) -> None:
    save_image(tmp_path / "a.webp", rgb, Metadata(None, None, None, {"dpi": "300,150"}))
    loaded = load_image(tmp_path / "a.webp").metadata
    save_image(tmp_path / f"b{suffix}", rgb, loaded)
    x, y = map(float, load_image(tmp_path / f"b{suffix}").metadata.text["dpi"].split(","))
    assert (round(x), round(y)) == (300, 150)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_format_is_written(
    tmp_path: Path, rgb: Pixels, metadata: Metadata, suffix: str
) -> None:
    plain = Metadata(None, metadata.icc, metadata.xmp, metadata.text)
    path = tmp_path / f"a{suffix}"
    save_image(path, rgb, plain)
    loaded = load_image(path)
    assert loaded.format == IMAGE_SUFFIXES[suffix]
    if loaded.format == "JPEG":
        assert loaded.pixels.shape == rgb.shape
    else:
        np.testing.assert_array_equal(loaded.pixels, rgb)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg", ".bmp", ".ppm"])
def test_damaged_metadata_does_not_stop_writing(tmp_path: Path, suffix: str) -> None:
    odd = Metadata(b"no TIFF structure", b"no profile", b"\xff\xfe", {"dpi": "many", "k": "v\0w"})
    path = tmp_path / f"a{suffix}"
    save_image(path, np.zeros((2, 3), np.uint8), odd)
    assert load_image(path).pixels.shape[:2] == (2, 3)


def test_jpeg_comment_travels(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.jpg", Image.new("L", (8, 8)), comment="by the sea")
    metadata = load_image(path).metadata
    assert metadata.text["Comment"] == "by the sea"
    save_image(tmp_path / "b.jpg", np.zeros((8, 8), np.uint8), metadata)
    assert load_image(tmp_path / "b.jpg").metadata.text["Comment"] == "by the sea"


def test_unknown_suffixes_are_refused(tmp_path: Path) -> None:
    for name in ("a.xyz", "a"):
        with pytest.raises(OptionError, match="suffix"):
            save_image(tmp_path / name, np.zeros((2, 2), np.uint8))


# Whole or not at all


def test_output_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_output(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208  the names alone


def test_existing_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="out: exists already"), atomic_output(path):
        pytest.fail("not reached")
    assert issubclass(OutputExistsError, FileExistsError)
    with atomic_output(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_output_that_came_to_exist_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(OutputExistsError), atomic_output(path) as file:  # noqa: PT012
        file.write(b"mine")
        path.write_bytes(b"another's")
    assert path.read_bytes() == b"another's"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("unnamed", [False, True])
def test_no_links_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, unnamed: bool
) -> None:
    def no_link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links on this file system")

    monkeypatch.setattr(os, "link", no_link)
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    with atomic_output(tmp_path / "out", overwrite) as file:
        file.write(b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"x"


def test_no_unnamed_files_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "out"
    for content in (b"first", b"second"):
        with atomic_output(path, overwrite=True) as file:
            file.write(content)
            assert len([p for p in tmp_path.iterdir() if p.suffix == ".part"]) == 1
        assert path.read_bytes() == content
        assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without names are Linux's")
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_kill_leaves_nothing(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "out"
    if old is not None:
        path.write_bytes(old)
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        pytest.skip("a file system without such files")
    killed = (
        "import os, signal, sys; from rnnic.output import atomic_output\n"
        "with atomic_output(sys.argv[1], overwrite=True) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", killed, path], check=False)
    assert result.returncode == -signal.SIGKILL
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError, SystemExit, MemoryError])
@pytest.mark.parametrize("old", [None, b"old"])
def test_nothing_is_left_behind(
    tmp_path: Path, failure: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "out"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(failure), atomic_output(path, overwrite=True) as file:  # noqa: PT012
        file.write(b"half")
        raise failure
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["out"])
    if old is not None:
        assert path.read_bytes() == old


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "out"
    with pytest.raises(OSError, match="No space left") as caught, atomic_output(path) as file:
        file.write(b"much")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(WINDOWS, reason="modes of files are Unix's")
def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "out"
    mask = os.umask(0o027)
    try:
        with atomic_output(path) as file:
            file.write(b"x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    with atomic_output(path, overwrite=True) as file:
        file.write(b"y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(WINDOWS, reason="links need rights there")
def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to(real)
    with atomic_output(link) as file:
        file.write(b"1")
    assert link.is_symlink()
    assert real.read_bytes() == b"1"
    with pytest.raises(OutputExistsError):
        check_output(link)
    with atomic_output(link, overwrite=True) as file:
        file.write(b"2")
    assert link.is_symlink()
    assert real.read_bytes() == b"2"


def test_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RnnicError, match="is a folder"):
        check_output(tmp_path, overwrite=True)
    with pytest.raises(RnnicError, match="there is no folder"):
        check_output(tmp_path / "missing" / "out")


def test_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RnnicError, match="no permission"):
        check_output(tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_devices_are_written_to() -> None:
    with atomic_output("/dev/null") as file:
        file.write(b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with (
        pytest.raises(OSError, match="No space left"),
        atomic_output("/dev/full") as file,
    ):
        file.write(b"x")


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with atomic_output("-") as file:
        file.write(b"abc")
    assert capfdbinary.readouterr().out == b"abc"
    with pytest.raises(RuntimeError), atomic_output("-") as file:  # noqa: PT012
        file.write(b"half")
        raise RuntimeError
    assert capfdbinary.readouterr().out == b""
