"""Image files whose samples have 16 bits, which Pillow cuts down to 8 bits or does not read."""

from rnnic.deepfiles.png import is_deep_png, read_deep_png, write_deep_png
from rnnic.deepfiles.pnm import is_deep_pnm, read_deep_pnm, write_deep_pnm
from rnnic.deepfiles.tiff import is_tiff, read_deep_tiff, tiff_tags, write_deep_tiff

__all__ = [
    "is_deep_png",
    "is_deep_pnm",
    "is_tiff",
    "read_deep_png",
    "read_deep_pnm",
    "read_deep_tiff",
    "tiff_tags",
    "write_deep_png",
    "write_deep_pnm",
    "write_deep_tiff",
]
