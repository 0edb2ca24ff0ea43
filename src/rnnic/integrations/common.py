"""What adapters of image libraries share: heads of files, and metadata under these libraries' names."""

import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

from rnnic.chunks import SIGNATURE_BYTES, Chunk, check_signature, iterate_chunks
from rnnic.container import MAX_SIDE, SIGNATURE, Header, parse_ancillary, parse_head
from rnnic.metadata import DPI_KEY, Metadata, format_dpi, parse_dpi

__all__ = ["EXTENSION", "METADATA_OPTIONS", "info_of", "metadata_of", "read_head"]

EXTENSION = ".rnnic"
METADATA_OPTIONS = ("icc_profile", "exif", "xmp", "dpi", "text")
"""Names of the options of a writer that become metadata."""

_EXIF_PREFIX = b"Exif\0\0"
_FRAME = struct.Struct("<4sI")
_CRC_BYTES = 4
_READ_BYTES = 2**20


def read_head(file: IO[bytes]) -> tuple[Header, Metadata]:
    """Read a file from its signature to its tiles, no further.

    Raises
    ------
    FormatError, TruncatedError, ChecksumError, LimitError
        If this part is not whole and undamaged.
    """
    check_signature(memoryview(_read(file, SIGNATURE_BYTES)), SIGNATURE, "RNNIC file")
    chunks = _chunks_of(file)
    header = parse_head(next(chunks), MAX_SIDE**2)
    metadata, _ = parse_ancillary(chunks, header)
    return header, metadata


def _chunks_of(file: IO[bytes]) -> Iterator[Chunk]:
    """Yield the chunks of a file one by one, reading no further than each one's end; tiles are not read."""
    while True:
        head = _read(file, _FRAME.size)
        kind, length = _FRAME.unpack(head) if len(head) == _FRAME.size else (b"", 0)
        if kind == b"TILE":
            yield Chunk("TILE", memoryview(b""), 0)
            return
        yield next(iterate_chunks(memoryview(head + _read(file, length + _CRC_BYTES)), 0))


def _read(file: IO[bytes], length: int) -> bytes:
    """Return up to so many bytes; never asks for much more memory than the file has bytes."""
    parts = []
    while length > 0 and (part := file.read(min(length, _READ_BYTES))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def info_of(metadata: Metadata) -> dict[str, Any]:
    r"""Return metadata as Pillow's formats have it: exif starts with ``Exif\0\0``, dpi is a pair.

    Entries of text stand under their keys, unless one of the other names is among these.
    """
    info: dict[str, Any] = {
        key: value
        for key, value in metadata.text.items()
        if key == DPI_KEY or key not in METADATA_OPTIONS
    }
    dpi = parse_dpi(info.pop(DPI_KEY, ""))
    if dpi:
        info["dpi"] = dpi
    if metadata.icc:
        info["icc_profile"] = metadata.icc
    if metadata.exif:
        info["exif"] = _EXIF_PREFIX + metadata.exif
    if metadata.xmp:
        info["xmp"] = metadata.xmp
    return info


def metadata_of(options: Mapping[str, Any]) -> Metadata:
    """Return the metadata that a writer's options ask for.

    Parameters
    ----------
    options : mapping
        Of `METADATA_OPTIONS`: ``icc_profile`` bytes; ``exif`` bytes or ``PIL.Image.Exif``; ``xmp`` bytes
        or str; ``dpi`` two numbers, without effect unless positive; ``text`` mapping of str to str.

    Raises
    ------
    OptionError
        If a key of the text is empty, too long, or contains a zero byte.
    """
    icc, exif, xmp, dpi, text = (options.get(name) for name in METADATA_OPTIONS)
    entries = {str(key): str(value) for key, value in dict(text or {}).items()}
    if dpi and min(dpi) > 0:
        entries[DPI_KEY] = format_dpi(*dpi)
    if exif is not None and hasattr(exif, "tobytes"):
        exif = exif.tobytes()
    if isinstance(xmp, str):
        xmp = xmp.encode()
    exif = bytes(exif or b"").removeprefix(_EXIF_PREFIX)
    return Metadata(exif or None, icc or None, xmp or None, entries)
