"""What comes before a tile's codes: byte strings, each after its length (SPEC.md 2.3)."""

from rnnic.errors import TruncatedError

__all__ = ["pack_part", "split_part"]

_MOST_LENGTH_BYTES = 5


def pack_part(part: bytes) -> bytes:
    """Return a part after its length: seven bits a byte, lowest first, bit 7 if another one follows."""
    length = len(part)
    head = bytearray()
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + part


def split_part(payload: memoryview) -> tuple[memoryview, memoryview]:
    """Return the first part of a payload, and what follows it.

    Raises
    ------
    TruncatedError
        If the payload ends before the part does.
    """
    length = 0
    for index, byte in enumerate(payload[:_MOST_LENGTH_BYTES]):
        length |= (byte & 127) << (7 * index)
        if byte < 128:
            start = index + 1
            if length > len(payload) - start:
                break
            return payload[start : start + length], payload[start + length :]
    raise TruncatedError("a tile ends within what comes before its codes; the file is damaged")
