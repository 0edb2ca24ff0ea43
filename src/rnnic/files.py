"""Image files in and out, through Pillow."""

import dataclasses
import io
import os
import struct
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from rnnic.deepfiles import (
    is_deep_png,
    is_deep_pnm,
    is_tiff,
    read_deep_png,
    read_deep_pnm,
    read_deep_tiff,
    tiff_tags,
    write_deep_png,
    write_deep_pnm,
    write_deep_tiff,
)
from rnnic.errors import LimitError, OptionError, RnnicError, UnsupportedImageError
from rnnic.exif import PREFIX, XMP_TAG, block_of, block_with_dpi, descriptive, dpi_of, tags_for_tiff
from rnnic.metadata import DPI_KEY, MAX_KEY_BYTES, Metadata, format_dpi, parse_dpi
from rnnic.output import STANDARD, OutputExistsError, atomic_output, check_output
from rnnic.stores import is_url, read_url

__all__ = [
    "IMAGE_SUFFIXES",
    "LoadedImage",
    "OutputExistsError",
    "atomic_output",
    "check_format",
    "check_output",
    "image_format",
    "load_image",
    "read_bytes",
    "save_image",
]

Pixels = npt.NDArray[Any]  # uint8 or uint16
PathLike = str | os.PathLike[str]

_COMMENT_KEY = "Comment"
_XMP_KEY = "XML:com.adobe.xmp"
_MAX_TEXT_BYTES = 2**16
_BAND_ROWS = 256

IMAGE_SUFFIXES = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".webp": "WEBP",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}
"""Format by suffix of the files that `save_image` writes; all but JPEG keep every pixel."""
_WITH_ALPHA = ("PNG", "TIFF", "WEBP")
_WITH_16_BITS = ("PNG", "TIFF", "PPM")

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "TIFF": {"compression": "raw"},  # libtiff, which compresses, cannot write EXIF directories
    "WEBP": {"lossless": True, "exact": True},
    "JPEG": {"quality": 95, "subsampling": 0},
}

# Tags that describe the photo; the others of a TIFF file's directory describe that file's layout.


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image file's content.

    Parameters
    ----------
    pixels : uint8 or uint16 (H, W) or (H, W, 2 … 4)
        Grey, grey and alpha, RGB, or RGB and alpha; not turned by the orientation tag.
    metadata : Metadata
        What travels with the pixels.
    format : str
        Pillow's name of the format, for example ``"PNG"``.
    name : str
        The file's name, for messages.
    """

    pixels: Pixels
    metadata: Metadata
    format: str
    name: str


def _name_of(source: PathLike | BinaryIO) -> str:
    if isinstance(source, (str, os.PathLike)):
        return "standard input" if os.fspath(source) == STANDARD else os.fspath(source)
    return str(getattr(source, "name", "image"))


def read_bytes(source: PathLike) -> bytes:
    """Return a file's content; ``-`` is standard input, a URL is read through fsspec.

    Raises
    ------
    OSError
        If it cannot be read.
    MissingDependencyError
        If what a URL needs is not installed.
    """
    if os.fspath(source) == STANDARD:
        return sys.stdin.buffer.read()
    if is_url(source):
        return read_url(os.fspath(source))
    return Path(source).read_bytes()


def load_image(source: PathLike | BinaryIO) -> LoadedImage:
    """Read an image of any format that Pillow knows; nothing is lost, or it is refused.

    Parameters
    ----------
    source : path, URL or binary file
        ``-`` is standard input.

    Raises
    ------
    UnsupportedImageError
        If the pixels are neither grey nor RGB, have more than 16 bits a sample, or there are several
        frames.
    MissingDependencyError
        If another package is needed to read them.
    LimitError
        If the image has more pixels than Pillow takes for safe.
    RnnicError
        If it is not a whole image. All messages name the file.
    OSError
        If the file cannot be read.
    """
    name = _name_of(source)
    data = read_bytes(source) if isinstance(source, (str, os.PathLike)) else source.read()
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images and of odd metadata; only its refusals matter here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return _convert(image, data, name)
    except Image.DecompressionBombError as error:
        raise LimitError(
            f"{name}: more than {_pixel_limit()} pixels, the limit for image files; scale it down or cut it"
        ) from error
    except UnidentifiedImageError as error:
        if is_tiff(data):
            return _other_tiff(data, name)
        raise RnnicError(f"{name}: not an image of a known format, or damaged") from error
    except MemoryError:
        raise
    except RnnicError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # what Pillow's readers raise on damaged files knows no limits
        raise RnnicError(f"{name}: damaged image: {error}") from error


def _convert(image: Image.Image, data: bytes, name: str) -> LoadedImage:
    """Return pixels and metadata of an opened image."""
    frames = getattr(image, "n_frames", 1)
    # The further pictures of an MPO file, the JPEG of many cameras, are previews and gain maps.
    if frames > 1 and image.format != "MPO":
        raise UnsupportedImageError(
            f"{frames} frames, one can be compressed; save the frame you want on its own"
        )
    format_name = image.format or "unknown"
    # Pillow turns TIFF files as their tag says when it loads them, and drops the tag.
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) if format_name == "TIFF" else 1
    exif = block_of(image) if format_name == "TIFF" else None
    pixels = _deep_pixels(image, data)
    if pixels is None or format_name == "PNG":
        image.load()  # of a PNG file some metadata comes behind the pixels
    if pixels is None:
        pixels = _turned_back(_array_of(_grey_or_rgb(image)), turned)
    if 0 in pixels.shape:
        raise UnsupportedImageError("an image without pixels")
    metadata = _metadata_of(image)
    if exif is not None:
        metadata = dataclasses.replace(metadata, exif=exif)
    return LoadedImage(pixels, metadata, format_name, name)


def _deep_pixels(image: Image.Image, data: bytes) -> Pixels | None:
    """Return the pixels of a file with 16 bits a sample in grey or in colour that Pillow would cut off."""
    if is_deep_png(data):
        return read_deep_png(data)
    if is_deep_pnm(data):
        return read_deep_pnm(data)
    bits = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (8,))
    if max(bits) == 16 and not image.mode.startswith("I;16"):
        return read_deep_tiff(data, _pixel_limit())
    return None


def _pixel_limit() -> int | None:
    """Return how many pixels Pillow takes for safe."""
    return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def _other_tiff(data: bytes, name: str) -> LoadedImage:
    """Return a TIFF file of a kind that Pillow does not know, as grey of 16 bits with alpha."""
    try:
        pixels, tags = read_deep_tiff(data, _pixel_limit()), tiff_tags(data)
    except RnnicError as error:
        raise type(error)(f"{name}: {error}") from error
    chosen = descriptive(tags)
    exif = chosen.tobytes().removeprefix(PREFIX) if len(chosen) else None
    icc, xmp = tags.get(ExifTags.Base.InterColorProfile), tags.get(XMP_TAG)
    return LoadedImage(pixels, Metadata(exif, icc, xmp), "TIFF", name)


def _turned_back(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the turn that an orientation tag asks for."""
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    """Return a loaded image as grey or RGB, with alpha where it has any, nothing being lost.

    Raises
    ------
    UnsupportedImageError
        If it cannot be had so.
    """
    mode = image.mode
    if mode.startswith("I;16"):
        return image.convert("I;16") if mode != "I;16" else image
    if mode in ("I", "F"):
        raise UnsupportedImageError(f"mode {mode}, 32 bits per sample; convert it to 16 or 8 bits")
    if image.has_transparency_data:
        wanted = "LA" if mode in ("1", "L", "LA", "La") else "RGBA"
    elif mode in ("1", "L"):
        wanted = "L"
    elif mode in ("P", "RGB", "RGBX", "YCbCr", "HSV"):
        wanted = "RGB"
    else:
        raise UnsupportedImageError(f"mode {mode}, neither grey nor RGB; convert it to RGB first")
    return image if mode == wanted else image.convert(wanted)


def _array_of(image: Image.Image) -> Pixels:
    """Return a loaded image's pixels; by bands, or else Pillow makes further copies of them all."""
    width, height = image.size
    first = np.asarray(image.crop((0, 0, width, min(1, height))))
    pixels = np.empty((height, *first.shape[1:]), first.dtype)
    for y in range(0, height, _BAND_ROWS):
        bottom = min(y + _BAND_ROWS, height)
        pixels[y:bottom] = np.asarray(image.crop((0, y, width, bottom)))
    return pixels


def _metadata_of(image: Image.Image) -> Metadata:
    """Return the metadata of a loaded image."""
    info = image.info
    xmp = info.get("xmp") or info.get(_XMP_KEY)
    if isinstance(xmp, str):
        xmp = xmp.encode()
    text = {}
    for key, value in getattr(image, "text", {}).items():
        if key != _XMP_KEY and not key.startswith("Raw profile type"):
            text[key] = str(value)
    comment = info.get("comment")
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    if comment:
        text.setdefault(_COMMENT_KEY, comment)
    dpi = info.get("dpi") or dpi_of(image)
    if dpi and min(dpi) > 0:
        text[DPI_KEY] = format_dpi(*dpi)
    kept = {
        key: value
        for key, value in text.items()
        if 1 <= len(key.encode()) <= MAX_KEY_BYTES
        and "\0" not in key
        and len(value.encode("utf-8", "replace")) <= _MAX_TEXT_BYTES
    }
    return Metadata(block_of(image), info.get("icc_profile") or None, xmp or None, kept)


def image_format(target: PathLike) -> str:
    """Return the format that a target's suffix stands for; standard output gets PNG.

    Raises
    ------
    OptionError
        If there is none.
    """
    if os.fspath(target) == STANDARD:
        return "PNG"
    suffix = Path(target).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        known = ", ".join(IMAGE_SUFFIXES)
        raise OptionError(f"{target}: no image format has the suffix {suffix!r}; use {known}")
    return IMAGE_SUFFIXES[suffix]


def check_format(target: PathLike, *, alpha: bool, bit_depth: int) -> str:
    """Return a target's format, if it has a place for alpha and for all bits of a sample.

    Raises
    ------
    OptionError
        If it has not, or if the suffix is not known.
    """
    format_name = image_format(target)
    fits = [name for name in _WITH_ALPHA if bit_depth == 8 or name in _WITH_16_BITS]
    if alpha and format_name not in fits:
        raise OptionError(f"{target}: {format_name} keeps no alpha here; write {' or '.join(fits)}")
    if bit_depth > 8 and format_name not in _WITH_16_BITS:
        raise OptionError(
            f"{target}: {format_name} keeps 8 bits a sample, these have {bit_depth};"
            f" write {' or '.join(_WITH_16_BITS)}"
        )
    return format_name


def save_image(
    target: PathLike, pixels: Pixels, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write an image file, whole or not at all; its suffix says the format.

    Parameters
    ----------
    target : path or URL
        ``-`` is standard output, which gets PNG.
    pixels : uint8 or uint16 (H, W) or (H, W, 2 … 4)
        Grey, grey and alpha, RGB, or RGB and alpha.
    metadata : Metadata, optional
        Written as far as the format has a place for it.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    OptionError
        If the suffix is not known, or its format cannot keep alpha or 16 bits.
    OutputExistsError
        If the file exists and is not to be replaced.
    OSError
        If it cannot be written.
    """
    deep = pixels.dtype == np.uint16
    alpha = pixels.ndim == 3 and pixels.shape[2] % 2 == 0
    format_name = check_format(target, alpha=alpha, bit_depth=16 if deep else 8)
    options = _SAVE_OPTIONS.get(format_name, {}) | _metadata_options(
        format_name, metadata or Metadata()
    )
    with atomic_output(target, overwrite=overwrite) as file:
        try:
            if deep:
                _save_deep(file, format_name, pixels, options)
            else:
                Image.fromarray(pixels).save(file, format_name, **options)
        except (ValueError, TypeError, SyntaxError, OverflowError, struct.error) as error:
            raise RnnicError(f"{target}: {error}") from error


def _save_deep(file: Any, format_name: str, pixels: Pixels, options: dict[str, Any]) -> None:
    """Write samples of 16 bits; options are those of Pillow's writer of 8 bits."""
    if format_name == "PPM":
        write_deep_pnm(file, pixels)
    elif format_name == "TIFF":
        tags, icc, dpi = (options.get(key) for key in ("exif", "icc_profile", "dpi"))
        write_deep_tiff(file, pixels, tags or Image.Exif(), icc, dpi)
    else:
        small = io.BytesIO()
        Image.new("L" if pixels.ndim == 2 or pixels.shape[2] < 3 else "RGB", (1, 1)).save(
            small, format_name, **options
        )
        write_deep_png(file, pixels, small.getvalue())


def _metadata_options(format_name: str, metadata: Metadata) -> dict[str, Any]:
    """Return the arguments of Pillow's writer that carry the metadata."""
    text = dict(metadata.text)
    dpi = parse_dpi(text.pop(DPI_KEY, ""))
    options: dict[str, Any] = {}
    if format_name in ("PNG", "TIFF", "JPEG", "BMP") and dpi:
        options["dpi"] = dpi
    if format_name in ("PNG", "TIFF", "JPEG", "WEBP"):
        exif = metadata.exif
        if format_name == "WEBP" and dpi and not exif:
            exif = block_with_dpi(dpi)
        if exif and format_name != "TIFF":
            prefix = b"" if format_name == "WEBP" else PREFIX
            options["exif"] = prefix + exif
        if metadata.icc:
            options["icc_profile"] = metadata.icc
    if format_name in ("JPEG", "WEBP") and metadata.xmp:
        options["xmp"] = metadata.xmp
    if format_name == "PNG":
        options["pnginfo"] = _png_text(text, metadata.xmp)
    if format_name == "TIFF":
        options["exif"] = tags_for_tiff(metadata)
    if format_name == "JPEG" and _COMMENT_KEY in text:
        options["comment"] = text[_COMMENT_KEY]
    return options


def _png_text(text: dict[str, str], xmp: bytes | None) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    if xmp:
        chunks.add_itxt(_XMP_KEY, xmp.decode("utf-8", "replace"))
    for key, value in text.items():
        try:
            key.encode("latin-1")
        except UnicodeEncodeError:
            continue  # PNG keys are Latin-1
        chunks.add_text(key, value)
    return chunks
