"""EXIF blocks: what of them travels, and what they tell (Exif 2.3, JEITA CP-3451C)."""

import contextlib
import struct

from PIL import ExifTags, Image

from rnnic.metadata import Metadata

__all__ = [
    "PREFIX",
    "XMP_TAG",
    "block_of",
    "block_with_dpi",
    "descriptive",
    "dpi_of",
    "tags_for_tiff",
]

PREFIX = b"Exif\0\0"
XMP_TAG = 700
_INCH, _CENTIMETRE = 2, 3
_UNITS = {_INCH: 1.0, _CENTIMETRE: 2.54}
"""Dots per inch that one of EXIF's units of resolution stands for."""
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


def dpi_of(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution that EXIF tells, in dots per inch; WebP has no other place for it."""
    with contextlib.suppress(SyntaxError, ValueError, TypeError, OSError, ZeroDivisionError):
        tags = image.getexif()
        unit = _UNITS.get(tags.get(ExifTags.Base.ResolutionUnit, _INCH), 0.0)
        if ExifTags.Base.XResolution in tags and ExifTags.Base.YResolution in tags:
            return float(tags[ExifTags.Base.XResolution]) * unit, float(
                tags[ExifTags.Base.YResolution]
            ) * unit
    return None


def block_of(image: Image.Image) -> bytes | None:
    """Return the EXIF block without its prefix."""
    raw = image.info.get("exif")
    if not raw:
        try:
            found = image.getexif()
        except (SyntaxError, ValueError, TypeError, OSError):
            return None  # a damaged block of metadata is no reason to refuse the photo
        chosen = descriptive(found)
        raw = chosen.tobytes() if len(chosen) else b""
    return bytes(raw).removeprefix(PREFIX) or None


def descriptive(found: Image.Exif) -> Image.Exif:
    """Return what describes the photo, without the tags that describe its file's layout."""
    chosen = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS:
        if tag in found:
            chosen[tag] = found[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if values := found.get_ifd(ifd):
            chosen[ifd] = dict(values)
    return chosen


def tags_for_tiff(metadata: Metadata) -> Image.Exif:
    """Return EXIF and XMP as tags of a TIFF file, whose layout they must not touch."""
    tags = Image.Exif()
    if metadata.exif:
        with contextlib.suppress(SyntaxError, ValueError, TypeError, struct.error):
            found = Image.Exif()
            found.load(PREFIX + metadata.exif)
            # Pillow's writer follows offsets into a block of bytes, so there has to be one.
            tags.load(descriptive(found).tobytes())
    if metadata.xmp:
        tags[XMP_TAG] = metadata.xmp
    return tags


def block_with_dpi(dpi: tuple[float, float]) -> bytes:
    """Return an EXIF block that tells a resolution and nothing else."""
    tags = Image.Exif()
    tags[ExifTags.Base.XResolution], tags[ExifTags.Base.YResolution] = dpi
    tags[ExifTags.Base.ResolutionUnit] = _INCH
    return tags.tobytes().removeprefix(PREFIX)
