"""Image files in and out, through Pillow."""

import contextlib
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

from rnnic.errors import LimitError, OptionError, RnnicError, UnsupportedImageError
from rnnic.metadata import MAX_KEY_BYTES, Metadata
from rnnic.output import STANDARD, OutputExistsError, atomic_output, check_output

__all__ = [
    "DPI_KEY",
    "IMAGE_SUFFIXES",
    "LoadedImage",
    "OutputExistsError",
    "atomic_output",
    "check_output",
    "image_format",
    "load_image",
    "read_bytes",
    "save_image",
]

Pixels = npt.NDArray[np.uint8]
PathLike = str | os.PathLike[str]

DPI_KEY = "dpi"
"""Key of the text entry that carries the resolution, as ``x,y`` in dots per inch."""
_COMMENT_KEY = "Comment"
_XMP_KEY = "XML:com.adobe.xmp"
_XMP_TAG = 700
_EXIF_PREFIX = b"Exif\0\0"
_MAX_TEXT_BYTES = 2**16

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

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "TIFF": {"compression": "raw"},  # libtiff, which compresses, cannot write EXIF directories
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 95, "subsampling": 0},
}

# Tags that describe the photo; the others of a TIFF file's directory describe that file's layout.
_DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Orientation,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Copyright,
)


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image file's content.

    Parameters
    ----------
    pixels : uint8 (H, W) or (H, W, 3)
        Grey or RGB, not turned by the orientation tag.
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
    """Return a file's content; ``-`` is standard input.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if os.fspath(source) == STANDARD:
        return sys.stdin.buffer.read()
    return Path(source).read_bytes()


def load_image(source: PathLike | BinaryIO) -> LoadedImage:
    """Read an image of any format that Pillow knows; nothing is lost, or it is refused.

    Parameters
    ----------
    source : path or binary file
        ``-`` is standard input.

    Raises
    ------
    UnsupportedImageError
        If the pixels are not 8-bit grey or RGB without transparency, or there are several frames.
    LimitError
        If the image has more pixels than Pillow takes for safe.
    RnnicError
        If it is not a whole image. All messages name the file.
    OSError
        If the file cannot be read.
    """
    name = _name_of(source)
    file: Any = source
    if isinstance(source, (str, os.PathLike)) and os.fspath(source) == STANDARD:
        file = io.BytesIO(sys.stdin.buffer.read())
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images and of odd metadata; only its refusals matter here.
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                return _convert(image, name)
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise LimitError(
            f"{name}: more than {limit} pixels, the limit for image files; scale it down or cut it"
        ) from error
    except UnidentifiedImageError as error:
        raise RnnicError(f"{name}: not an image of a known format, or damaged") from error
    except (RnnicError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise RnnicError(f"{name}: damaged image: {error}") from error
    except Exception as error:  # what Pillow's readers raise on damaged files knows no limits
        raise RnnicError(f"{name}: damaged image: {error}") from error


def _convert(image: Image.Image, name: str) -> LoadedImage:
    """Return pixels and metadata of an opened image."""
    frames = getattr(image, "n_frames", 1)
    # The further pictures of an MPO file, the JPEG of many cameras, are previews and gain maps.
    if frames > 1 and image.format != "MPO":
        raise UnsupportedImageError(
            f"{name}: {frames} frames, one can be compressed; save the frame you want on its own"
        )
    if _has_deep_samples(image):
        raise _refusal(name, image.mode, "more than 8 bits per sample", "convert it to 8 bits")
    format_name = image.format or "unknown"
    image.load()
    flat = _opaque(image, name)
    if flat.mode == "1":
        flat = flat.convert("L")
    elif flat.mode in ("P", "RGBX"):
        flat = flat.convert("RGB")
    if flat.mode in ("I", "F") or flat.mode.startswith("I;"):
        raise _refusal(name, flat.mode, "more than 8 bits per sample", "convert it to 8 bits")
    if flat.mode not in ("L", "RGB"):
        raise _refusal(name, flat.mode, "neither grey nor RGB", "convert it to RGB")
    if 0 in flat.size:
        raise UnsupportedImageError(f"{name}: an image without pixels")
    pixels = np.array(flat, np.uint8)
    return LoadedImage(pixels, _metadata_of(image), format_name, name)


def _refusal(name: str, mode: str, why: str, remedy: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"{name}: mode {mode}, {why}; this version compresses 8-bit grey and RGB: {remedy} first"
    )


def _has_deep_samples(image: Image.Image) -> bool:
    """Return whether the file has more than 8 bits a sample; Pillow may cut them off silently."""
    for entry in getattr(image, "tile", ()):
        codec, arguments = entry[0], entry[3]
        parts = arguments if isinstance(arguments, tuple) else (arguments,)
        if any(isinstance(part, str) and ";16" in part for part in parts):
            return True
        if codec.startswith("ppm") and any(isinstance(p, int) and p > 255 for p in parts):
            return True
    return False


def _opaque(image: Image.Image, name: str) -> Image.Image:
    """Return the image without its alpha channel, which must be opaque throughout."""
    if not image.has_transparency_data:
        return image
    with_alpha = image if image.mode in ("LA", "RGBA") else None
    if with_alpha is None:
        with_alpha = image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    if with_alpha.getchannel("A").getextrema() != (255, 255):
        raise _refusal(name, image.mode, "transparent pixels", "flatten it onto a background")
    return with_alpha.convert("L" if with_alpha.mode == "LA" else "RGB")


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
    dpi = info.get("dpi")
    if dpi and min(dpi) > 0:
        text[DPI_KEY] = ",".join(f"{float(value):.8g}" for value in dpi)
    kept = {
        key: value
        for key, value in text.items()
        if 1 <= len(key.encode()) <= MAX_KEY_BYTES
        and "\0" not in key
        and len(value.encode("utf-8", "replace")) <= _MAX_TEXT_BYTES
    }
    return Metadata(_exif_of(image), info.get("icc_profile") or None, xmp or None, kept)


def _exif_of(image: Image.Image) -> bytes | None:
    """Return the EXIF block without its prefix."""
    raw = image.info.get("exif")
    if not raw:
        try:
            found = image.getexif()
        except (SyntaxError, ValueError, TypeError, OSError):
            return None  # a damaged block of metadata is no reason to refuse the photo
        chosen = _descriptive(found)
        raw = chosen.tobytes() if len(chosen) else b""
    return bytes(raw).removeprefix(_EXIF_PREFIX) or None


def _descriptive(found: Image.Exif) -> Image.Exif:
    """Return what describes the photo, without the tags that describe its file's layout."""
    chosen = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS:
        if tag in found:
            chosen[tag] = found[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if values := found.get_ifd(ifd):
            chosen[ifd] = dict(values)
    return chosen


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


def save_image(
    target: PathLike, pixels: Pixels, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write an image file, whole or not at all; its suffix says the format.

    Parameters
    ----------
    target : path
        ``-`` is standard output, which gets PNG.
    pixels : uint8 (H, W) or (H, W, 3)
        Grey or RGB.
    metadata : Metadata, optional
        Written as far as the format has a place for it.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    OptionError
        If the suffix is not known.
    OutputExistsError
        If the file exists and is not to be replaced.
    OSError
        If it cannot be written.
    """
    format_name = image_format(target)
    options = _SAVE_OPTIONS.get(format_name, {}) | _metadata_options(
        format_name, metadata or Metadata()
    )
    image = Image.fromarray(pixels)
    with atomic_output(target, overwrite=overwrite) as file:
        try:
            image.save(file, format_name, **options)
        except (ValueError, TypeError, SyntaxError, OverflowError, struct.error) as error:
            raise RnnicError(f"{target}: {error}") from error


def _metadata_options(format_name: str, metadata: Metadata) -> dict[str, Any]:
    """Return the arguments of Pillow's writer that carry the metadata."""
    text = dict(metadata.text)
    dpi = _parse_dpi(text.pop(DPI_KEY, ""))
    options: dict[str, Any] = {}
    if format_name in ("PNG", "TIFF", "JPEG", "BMP") and dpi:
        options["dpi"] = dpi
    if format_name in ("PNG", "TIFF", "JPEG", "WEBP"):
        if metadata.exif and format_name != "TIFF":
            prefix = b"" if format_name == "WEBP" else _EXIF_PREFIX
            options["exif"] = prefix + metadata.exif
        if metadata.icc:
            options["icc_profile"] = metadata.icc
    if format_name in ("JPEG", "WEBP") and metadata.xmp:
        options["xmp"] = metadata.xmp
    if format_name == "PNG":
        options["pnginfo"] = _png_text(text, metadata.xmp)
    if format_name == "TIFF":
        options["exif"] = _tiff_tags(metadata)
    if format_name == "JPEG" and _COMMENT_KEY in text:
        options["comment"] = text[_COMMENT_KEY]
    return options


def _tiff_tags(metadata: Metadata) -> Image.Exif:
    """Return EXIF and XMP as tags of a TIFF file, whose layout they must not touch."""
    tags = Image.Exif()
    if metadata.exif:
        with contextlib.suppress(SyntaxError, ValueError, TypeError, struct.error):
            found = Image.Exif()
            found.load(_EXIF_PREFIX + metadata.exif)
            # Pillow's writer follows offsets into a block of bytes, so there has to be one.
            tags.load(_descriptive(found).tobytes())
    if metadata.xmp:
        tags[_XMP_TAG] = metadata.xmp
    return tags


def _parse_dpi(text: str) -> tuple[float, float] | None:
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


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
