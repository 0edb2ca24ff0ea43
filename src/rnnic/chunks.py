"""Framing of files: a signature, then chunks with type, length and CRC-32 (SPEC.md 2.1)."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from rnnic.errors import ChecksumError, FormatError, LimitError, TruncatedError

__all__ = [
    "CRC_BYTES",
    "FRAME_BYTES",
    "HEAD_BYTES",
    "MAX_CHUNK_BYTES",
    "SIGNATURE_BYTES",
    "Chunk",
    "check_signature",
    "checksum",
    "iterate_chunks",
    "pack_chunk",
]

SIGNATURE_BYTES = 8
HEAD_BYTES = 8
CRC_BYTES = 4
FRAME_BYTES = HEAD_BYTES + CRC_BYTES
MAX_CHUNK_BYTES = 2**32 - 1

_FRAME = struct.Struct("<4sI")
_CRC = struct.Struct("<I")


class Chunk(NamedTuple):
    """A chunk whose CRC has been found right."""

    kind: str
    payload: memoryview
    end: int
    """Offset of the byte after the chunk."""

    @property
    def critical(self) -> bool:
        """Whether a reader that does not know the chunk must give up."""
        return self.kind[0].isupper()


def checksum(kind: str, payload: bytes | memoryview) -> int:
    """Return the CRC-32 of a chunk."""
    return zlib.crc32(payload, zlib.crc32(kind.encode("ascii")))


def pack_chunk(kind: str, payload: bytes) -> bytes:
    """Return the bytes of a chunk.

    Raises
    ------
    LimitError
        If the payload is too long for its length field.
    """
    if len(payload) > MAX_CHUNK_BYTES:
        raise LimitError(
            f"a chunk of type {kind} would have {len(payload)} bytes;"
            f" at most {MAX_CHUNK_BYTES} are possible"
        )
    head = _FRAME.pack(kind.encode("ascii"), len(payload))
    return b"".join((head, payload, _CRC.pack(checksum(kind, payload))))


def check_signature(data: memoryview, signature: bytes, what: str) -> None:
    """Check that `data` starts with `signature`.

    Raises
    ------
    TruncatedError
        If the data is empty or ends within the signature.
    FormatError
        If it starts with anything else.
    """
    found = bytes(data[:SIGNATURE_BYTES])
    if found == signature:
        return
    if signature.startswith(found):
        raise TruncatedError(
            f"{'empty' if not found else 'ends within its signature'}: not a whole {what};"
            " fetch or copy it again"
        )
    raise FormatError(f"not an {what} (its first bytes are {found.hex(' ')})")


def iterate_chunks(data: memoryview, start: int = SIGNATURE_BYTES) -> Iterator[Chunk]:
    """Yield the chunks of `data` from offset `start` on; who reads them knows which is the last.

    Raises
    ------
    TruncatedError
        If the data ends where another one is asked for.
    FormatError
        If a type is not four ASCII letters or digits that start with a letter.
    ChecksumError
        If a CRC does not match.
    """
    offset = start
    while True:
        if len(data) - offset < FRAME_BYTES:
            raise TruncatedError(
                f"the data ends at byte {len(data)}, within or before a chunk; the file is cut off"
            )
        raw, length = _FRAME.unpack_from(data, offset)
        if not (raw.isalnum() and raw[:1].isalpha()):
            raise FormatError(f"byte {offset}: {raw!r} is not a chunk type; the file is damaged")
        kind = raw.decode("ascii")
        begin = offset + _FRAME.size
        if len(data) - begin - _CRC.size < length:
            raise TruncatedError(
                f"chunk {kind} at byte {offset} needs {length} bytes,"
                f" the data ends after {max(0, len(data) - begin)}; the file is cut off or damaged"
            )
        payload = data[begin : begin + length]
        (crc,) = _CRC.unpack_from(data, begin + length)
        if checksum(kind, payload) != crc:
            raise ChecksumError(
                f"chunk {kind} at byte {offset} is damaged (its CRC-32 does not match)"
            )
        offset = begin + length + _CRC.size
        yield Chunk(kind, payload, offset)
