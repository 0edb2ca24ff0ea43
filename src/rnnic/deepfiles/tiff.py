"""TIFF with 16 bits a sample: read by the package tifffile, written without compression (TIFF 6.0)."""

import io
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffTags
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from rnnic.errors import LimitError, MissingDependencyError, RnnicError, UnsupportedImageError

__all__ = ["is_tiff", "read_deep_tiff", "tiff_tags", "write_deep_tiff"]

Pixels16 = npt.NDArray[np.uint16]
_GREY, _RGB = 1, 2
_UNASSOCIATED = 2
_INCH = 2


def is_tiff(data: bytes) -> bool:
    """Return whether data begins as a TIFF file does."""
    return data[:4] in (b"II*\0", b"MM\0*")


def tiff_tags(data: bytes) -> Image.Exif:
    """Return the tags of a TIFF file that Pillow does not know the pixels of."""
    tags = Image.Exif()
    tags.load(data)
    return tags


def read_deep_tiff(data: bytes, max_pixels: int | None) -> Pixels16:
    """Return the pixels of a TIFF file of 16 bits a sample, (H, W) or (H, W, 2 … 4).

    Raises
    ------
    MissingDependencyError
        If the package tifffile is not installed.
    UnsupportedImageError
        If the colours are not grey or RGB, or multiplied by alpha.
    LimitError
        If there are more than `max_pixels` pixels.
    RnnicError
        If the file is damaged.
    """
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError(
            "TIFF files of 16 bits need the package tifffile;"
            ' install it with `pip install "rnnic[tiff]"`'
        ) from error
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            photometric = int(page.photometric)
            extra = tuple(map(int, page.extrasamples))
            size = int(page.imagewidth) * int(page.imagelength)
            if max_pixels is not None and size > max_pixels:
                raise LimitError(
                    f"{size} pixels, more than the limit of {max_pixels}; scale it down"
                )
            pixels = np.asarray(page.asarray())
            planar = int(page.planarconfig) == 2
    except RnnicError:
        raise
    except Exception as error:  # what tifffile raises on damaged files knows no limits
        raise RnnicError(f"damaged TIFF file: {error}") from error
    if planar and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    colours = 1 if photometric in (0, _GREY) else 3
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if photometric not in (0, _GREY, _RGB) or pixels.dtype != np.uint16 or pixels.ndim > 3:
        raise UnsupportedImageError("neither grey nor RGB of 16 bits; convert it to RGB first")
    if channels not in (colours, colours + 1) or (channels > colours and extra != (_UNASSOCIATED,)):
        raise UnsupportedImageError(
            "samples beside grey or RGB that are not plain alpha; flatten it onto a background first"
        )
    if photometric == 0:
        pixels = pixels.copy()
        grey = pixels if pixels.ndim == 2 else pixels[:, :, 0]
        np.subtract(65535, grey, out=grey)
    found: Pixels16 = pixels
    return found


def write_deep_tiff(
    file: BinaryIO,
    pixels: Pixels16,
    tags: Image.Exif,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
) -> None:
    """Write uint16 (H, W) or (H, W, 1 … 4) as TIFF in one strip.

    Parameters
    ----------
    tags : PIL.Image.Exif
        Those that describe the image; none of the layout.
    icc : bytes, optional
        ICC profile.
    dpi : tuple of float, optional
        Resolution.
    """
    deep = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, channels = deep.shape
    directory = ImageFileDirectory_v2(prefix=b"II")
    for tag in tags:
        grouped = tag in TiffTags.TAGS_V2_GROUPS
        directory[tag] = tags.get_ifd(tag) if grouped else tags.get(tag)
    samples = deep.astype("<u2").tobytes()
    layout: dict[int, Any] = {
        Base.ImageWidth: width,
        Base.ImageLength: height,
        Base.BitsPerSample: (16,) * channels,
        Base.Compression: 1,
        Base.PhotometricInterpretation: _GREY if channels < 3 else _RGB,
        Base.SamplesPerPixel: channels,
        Base.RowsPerStrip: height,
        Base.StripByteCounts: len(samples),
        Base.StripOffsets: (0,),  # counted from the directory's end by Pillow's writer
        Base.PlanarConfiguration: 1,
    }
    if channels % 2 == 0:
        layout[Base.ExtraSamples] = _UNASSOCIATED
    if icc:
        layout[Base.InterColorProfile] = icc
    if dpi:
        layout |= {Base.XResolution: dpi[0], Base.YResolution: dpi[1], Base.ResolutionUnit: _INCH}
    for tag, value in layout.items():
        directory[int(tag)] = value
    directory.save(file)
    file.write(samples)
