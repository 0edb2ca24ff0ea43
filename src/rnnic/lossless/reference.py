"""A plain-Python decoder that reads like SPEC.md section 6; the oracle of the tests."""

import zlib

from rnnic.errors import FormatError, TruncatedError

__all__ = ["decode_exact"]


def decode_exact(
    data: bytes, channels: int, width: int, height: int, depth: int = 8
) -> list[list[list[int]]]:
    """Decode a tile that is coded without loss (SPEC.md 6)."""
    size = depth // 8

    def samples_of(raw: list[int]) -> list[int]:
        return [int.from_bytes(raw[i : i + size], "big") for i in range(0, len(raw), size)]

    distance = channels * size
    if not data:
        raise TruncatedError("no pixels")
    kind, at, bits, colours = data[0], 1, 8 * distance, [[0]]
    if kind == 2:
        if len(data) < 2 or len(data) < 2 + (data[1] + 1) * distance:
            raise TruncatedError("palette is truncated")
        at = 2 + (data[1] + 1) * distance
        colours = [samples_of(list(data[i : i + distance])) for i in range(2, at, distance)]
        bits = min(b for b in (1, 2, 4, 8) if 1 << b >= len(colours))
    elif kind > 2 or (kind == 1 and channels < 3):
        raise FormatError("unknown way of coding pixels")
    stride = (width * bits + 7) // 8
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data[at:], height * (stride + 1) + 1)
    except zlib.error as error:
        raise FormatError("damaged pixels") from error
    if not inflater.eof and len(raw) <= height * (stride + 1):
        raise TruncatedError("pixels are truncated")
    rows, end = unfilter(raw, height, stride, 1 if kind == 2 else distance)
    if end < len(raw) or inflater.unused_data:
        raise FormatError("pixels go on after their end")
    image = []
    for row in rows:
        line = []
        for x in range(width):
            if kind == 2:
                index = row[x * bits // 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1)
                if index >= len(colours):
                    raise FormatError("colour beyond the palette")
                line.append(list(colours[index]))
            else:
                samples = samples_of(row[x * distance : (x + 1) * distance])
                if kind == 1:
                    samples[0] = (samples[0] + samples[1]) % (1 << depth)
                    samples[2] = (samples[2] + samples[1]) % (1 << depth)
                line.append(samples)
        image.append(line)
    return image


def unfilter(raw: bytes, height: int, size: int, distance: int) -> tuple[list[list[int]], int]:
    """Undo the filters of rows; returns them and how many bytes that took."""
    rows: list[list[int]] = []
    at = 0
    for y in range(height):
        if at >= len(raw):
            raise TruncatedError("pixels are truncated")
        kind = raw[at]
        at += 1
        above = rows[-1] if rows else [0] * size
        if kind == 5 and y > 0:
            rows.append(list(above))
            continue
        if kind > 4:
            raise FormatError("unknown filter")
        if at + size > len(raw):
            raise TruncatedError("pixels are truncated")
        row: list[int] = []
        for x in range(size):
            a = row[x - distance] if x >= distance else 0
            b = above[x]
            c = above[x - distance] if x >= distance else 0
            nearest = min((a, b, c), key=lambda v: abs(a + b - c - v))
            row.append((raw[at + x] + (0, a, b, (a + b) // 2, nearest)[kind]) % 256)
        at += size
        rows.append(row)
    return rows, at
