"""What travels with the pixels: EXIF, ICC profile, XMP, key-value text."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from rnnic.errors import OptionError

__all__ = ["DPI_KEY", "MAX_KEY_BYTES", "METADATA_KINDS", "Metadata", "format_dpi", "parse_dpi"]

METADATA_KINDS = ("exif", "icc", "xmp", "text")
MAX_KEY_BYTES = 79
DPI_KEY = "dpi"
"""Key of the text entry that carries the resolution, as ``x,y`` in dots per inch."""


@dataclass(frozen=True)
class Metadata:
    r"""Metadata of an image; nothing in it changes how pixels are decoded.

    Parameters
    ----------
    exif : bytes, optional
        A TIFF structure, without a leading ``Exif\0\0``.
    icc : bytes, optional
        An ICC profile.
    xmp : bytes, optional
        An XMP packet, UTF-8.
    text : mapping of str to str
        Key-value pairs; a key is 1 to 79 bytes of UTF-8 without a zero byte.

    Raises
    ------
    OptionError
        If a key is empty, too long, or contains a zero byte.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    text: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in self.text:
            if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or "\0" in key:
                raise OptionError(
                    f"metadata key {key!r} must be 1 to {MAX_KEY_BYTES} bytes of UTF-8"
                    " without a zero byte; shorten or rename it"
                )

    def chosen(self, kinds: str) -> Self:
        """Return what ``all``, ``none`` or names of kinds, with commas between, ask for."""
        if kinds == "all":
            return self
        names = set() if kinds == "none" else {kind.strip() for kind in kinds.split(",")}
        return self.only(names)

    def only(self, kinds: frozenset[str] | set[str]) -> Self:
        """Return the metadata of the given kinds (see `METADATA_KINDS`) alone."""
        unknown = sorted(set(kinds) - set(METADATA_KINDS))
        if unknown:
            raise OptionError(
                f"unknown kind of metadata {unknown[0]!r}; known are {', '.join(METADATA_KINDS)}"
            )
        return replace(
            self,
            exif=self.exif if "exif" in kinds else None,
            icc=self.icc if "icc" in kinds else None,
            xmp=self.xmp if "xmp" in kinds else None,
            text=self.text if "text" in kinds else {},
        )

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of each kind that is present."""
        found = {
            kind: len(value)
            for kind, value in (("exif", self.exif), ("icc", self.icc), ("xmp", self.xmp))
            if value is not None
        }
        if self.text:
            found["text"] = sum(len(k.encode()) + len(v.encode()) for k, v in self.text.items())
        return found


def format_dpi(x: float, y: float) -> str:
    """Return a resolution in dots per inch as the text of the entry `DPI_KEY`."""
    return f"{float(x):.8g},{float(y):.8g}"


def parse_dpi(text: str) -> tuple[float, float] | None:
    """Return the resolution of the entry `DPI_KEY` in dots per inch; None if it says nothing sensible."""
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None
