"""What travels with the pixels: EXIF, ICC profile, XMP, key-value text."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from rnnic.errors import OptionError

__all__ = ["MAX_KEY_BYTES", "METADATA_KINDS", "Metadata"]

METADATA_KINDS = ("exif", "icc", "xmp", "text")
MAX_KEY_BYTES = 79


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
