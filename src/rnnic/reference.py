"""A decoder that reads like SPEC.md: plain Python, obvious, slow. The oracle of every fast path.

It shares no code with the fast paths but the classes of errors and, for method pyramid, the reading of
parameters and model, so that a mistake is made twice or found.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from rnnic.errors import (
    ChecksumError,
    FormatError,
    LimitError,
    ModelMissingError,
    TruncatedError,
)
from rnnic.lossless.reference import decode_exact
from rnnic.pyramid.format import PyramidParams
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.reference import decode_reference, varint

__all__ = ["decode"]

Rows = list[list[list[int]]]
TileDecoder = Callable[[bytes, int, int], Rows]
Table = dict[tuple[int, int], int]


def decode(data: bytes, model: bytes, max_pixels: int = 2**28) -> Rows:
    """Decode a file.

    Parameters
    ----------
    data : bytes
        The file (SPEC.md 2).
    model : bytes
        A model file (SPEC.md 3).
    max_pixels : int
        Limit of width times height.

    Returns
    -------
    list of list of list of int
        Rows of pixels of samples.
    """
    header, payloads = read_container(data, max_pixels)
    decode_payload = tile_decoder(header, model)
    size, width, height = header["tile_size"], header["width"], header["height"]
    image: Rows = [[[] for _ in range(width)] for _ in range(height)]
    places = [(x, y) for y in range(0, height, size) for x in range(0, width, size)]
    for (x0, y0), payload in zip(places, payloads, strict=True):
        w, h = min(size, width - x0), min(size, height - y0)
        tile = decode_payload(payload, w, h)
        for y in range(h):
            image[y0 + y][x0 : x0 + w] = tile[y]
    return image


def tile_decoder(header: dict[str, Any], model: bytes) -> TileDecoder:
    """Return what decodes a payload of the header's method, given the tile's width and height."""
    parameters = header["parameters"]
    if header["method"] == 1:
        params = PyramidParams.from_bytes(parameters, colours(header), header["bit_depth"])
        if header["tile_size"] % 32:
            raise FormatError("tile size not a multiple of 32")
        section = find_section(model, "PYRA", header["model_id"])
        pyramid = PyramidModel.from_bytes(section)

        def halvings(payload: bytes, w: int, h: int) -> Rows:
            return decode_reference(payload, w, h, params, pyramid)

        return with_alpha(halvings, header)
    if header["method"] != 0:
        raise FormatError(f"method {header['method']} is not known")
    deep = header["bit_depth"] == 16
    if len(parameters) != (6 if deep else 4):
        raise FormatError("wrong number of parameter bytes")
    _, scale = struct.unpack_from("<HH", parameters)
    if not 256 <= scale <= 32768:
        raise FormatError("scale out of range")
    part = read_raster(find_section(model, "RAST", header["model_id"]))[colours(header)]
    if not deep:
        return with_alpha(lambda payload, w, h: decode_tile(payload, w, h, part, scale), header)
    (low_step,) = struct.unpack_from("<H", parameters, 4)
    if low_step > 256:
        raise FormatError("step of low bytes out of range")

    def deep_tile(payload: bytes, w: int, h: int) -> Rows:
        if low_step == 0:
            high = decode_tile(payload, w, h, part, scale)
            return [[[257 * v for v in samples] for samples in row] for row in high]
        low_part, payload = take_part(payload)
        low = decode_exact(low_part, part["channels"], w, h)
        high = decode_tile(payload, w, h, part, scale)
        return [
            [join(*samples) for samples in zip(*rows, strict=True)]
            for rows in zip(high, low, strict=True)
        ]

    def join(high: list[int], low: list[int]) -> list[int]:
        if max(low) > 255 // low_step:
            raise FormatError("a low byte beyond 255")
        return [
            256 * a + min(b * low_step + low_step // 2, 255) for a, b in zip(high, low, strict=True)
        ]

    return with_alpha(deep_tile, header)


def colours(header: dict[str, Any]) -> int:
    """Return the number of channels without alpha."""
    return 3 if header["channels"] >= 3 else 1


def take_part(payload: bytes) -> tuple[bytes, bytes]:
    """Return a byte string that comes after its length, and what follows it (2.3)."""
    size, at = varint(payload, 0)
    if at + size > len(payload):
        raise TruncatedError("a tile ends within what comes before its codes")
    return payload[at : at + size], payload[at + size :]


def with_alpha(decode_colour: TileDecoder, header: dict[str, Any]) -> TileDecoder:
    """Return what also decodes alpha, if the image has it (2.3)."""
    if header["channels"] % 2:
        return decode_colour
    depth = header["bit_depth"]

    def decode_both(payload: bytes, w: int, h: int) -> Rows:
        part, payload = take_part(payload)
        if len(part) == depth // 8:
            alpha = [[[int.from_bytes(part, "big")]] * w] * h
        else:
            alpha = decode_exact(part, 1, w, h, depth)
        pixels = decode_colour(payload, w, h)
        return [
            [colour + own for colour, own in zip(*rows, strict=True)]
            for rows in zip(pixels, alpha, strict=True)
        ]

    return decode_both


# Section 2: container


def read_chunks(data: bytes, signature: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield type and payload of chunk after chunk (2, 2.1)."""
    if data[:8] != signature:
        if signature.startswith(data[:8]):
            raise TruncatedError("ends within the signature")
        raise FormatError("wrong signature")
    offset = 8
    while True:
        if len(data) < offset + 12:
            raise TruncatedError("ends before a chunk")
        raw, length = struct.unpack_from("<4sI", data, offset)
        if not (raw.isalnum() and raw[:1].isalpha()):
            raise FormatError("not a chunk type")
        if len(data) < offset + 12 + length:
            raise TruncatedError("ends within a chunk")
        payload = data[offset + 8 : offset + 8 + length]
        (crc,) = struct.unpack_from("<I", data, offset + 8 + length)
        if crc != zlib.crc32(raw + payload):
            raise ChecksumError("damaged chunk")
        offset += 12 + length
        yield raw.decode("ascii"), payload


def read_container(data: bytes, max_pixels: int) -> tuple[dict[str, Any], list[bytes]]:
    """Return the header's fields and the tiles' payloads (2.2 to 2.4)."""
    chunks = read_chunks(data, b"\x8aRNNIC\r\n")
    kind, payload = next(chunks)
    if kind != "HEAD":
        raise FormatError("HEAD is not first")
    header = read_header(payload, max_pixels)
    columns = -(-header["width"] // header["tile_size"])
    rows = -(-header["height"] // header["tile_size"])
    tiles = columns * rows
    while True:
        kind, payload = next(chunks)
        if kind[0].isupper():
            break
    if kind != ("TIDX" if tiles > 1 else "TILE"):
        raise FormatError("neither TIDX nor the only tile after the ancillary chunks")
    if tiles == 1:
        return header, [payload]
    if len(payload) != 4 * tiles:
        raise FormatError("wrong length of TIDX")
    lengths = struct.unpack(f"<{tiles}I", payload)
    payloads = []
    for length in lengths:
        kind, payload = next(chunks)
        if kind != "TILE" or len(payload) != length:
            raise FormatError("not the tile that TIDX says")
        payloads.append(payload)
    return header, payloads


def read_header(payload: bytes, max_pixels: int) -> dict[str, Any]:
    """Return the fields of HEAD (2.2)."""
    if payload[:1] != b"\x01":
        raise FormatError("unknown version")
    if len(payload) < 22:
        raise FormatError("HEAD is too short")
    names = ("version", "method", "channels", "bit_depth", "width", "height", "tile_size")
    header: dict[str, Any] = dict(
        zip(names, struct.unpack_from("<BBBBIIH", payload, 0), strict=True)
    )
    header["model_id"] = payload[14:22]
    header["parameters"] = payload[22:]
    if header["channels"] not in (1, 2, 3, 4) or header["bit_depth"] not in (8, 16):
        raise FormatError("unknown pixel format")
    for name, low, high in (
        ("width", 1, 2**24),
        ("height", 1, 2**24),
        ("tile_size", 16, 4096),
    ):
        if not low <= header[name] <= high:
            raise LimitError(f"{name} out of range")
    tiles = -(-header["width"] // header["tile_size"]) * -(-header["height"] // header["tile_size"])
    if tiles > 2**20 or header["width"] * header["height"] > max_pixels:
        raise LimitError("too many tiles or pixels")
    return header


# Section 3 and 4.2: model


def find_section(data: bytes, kind: str, model_id: bytes) -> bytes:
    """Return the section of a model file that has an id (3)."""
    for found, payload in read_chunks(data, b"\x8aRNNMD\r\n"):
        if found == kind and hashlib.sha256(kind.encode() + payload).digest()[:8] == model_id:
            return payload
        if found == "DONE":
            break
    raise ModelMissingError(f"model {model_id.hex()} is not at hand")


def read_raster(payload: bytes) -> dict[int, dict[str, Any]]:
    """Return the parts of the section RAST by their number of channels (4.2)."""
    grey, offset = read_part(payload, 0)
    rgb, _ = read_part(payload, offset)
    return {1: grey, 3: rgb}


def read_part(data: bytes, offset: int) -> tuple[dict[str, Any], int]:
    """Return a part that begins at `offset`, and where it ends."""
    c, classes = data[offset], data[offset + 1]
    weight = list(data[offset + 2 : offset + 9])
    offset += 9
    boundary = list(struct.unpack_from(f"<{classes - 1}H", data, offset))
    offset += 2 * (classes - 1)
    sizes = struct.unpack_from("<4H", data, offset)
    offset += 8
    palettes = []
    for count, pixels, code in zip(sizes, (4, 2, 1, 1), "bbhh", strict=True):
        entries = []
        layout = struct.Struct(f"<{pixels * c}{code}")
        for _ in range(count):
            entries.append(list(layout.unpack_from(data, offset)))
            offset += layout.size
        palettes.append(entries)
    symbols = sizes[0] + sizes[1] + sizes[2] + 2
    tables: dict[str, list[Table]] = {}
    kinds = [("main", classes, symbols), ("large", 1, sizes[3]), ("first", classes, 256)]
    if c > 1:
        kinds.append(("others", classes, 256))
    for name, count, alphabet in kinds:
        tables[name] = []
        for _ in range(count):
            size = -(-5 * alphabet // 8)
            tables[name].append(read_table(data[offset : offset + size], alphabet))
            offset += size
    part = {
        "channels": c,
        "weight": weight,
        "boundary": boundary,
        "palettes": palettes,
        "tables": tables,
    }
    return part, offset


def read_table(packed: bytes, alphabet: int) -> Table:
    """Return a canonical code as a map from (length, code) to symbol."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    lengths = [int(bits[5 * i : 5 * i + 5], 2) for i in range(alphabet)]
    table: Table = {}
    code = 0
    before = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths)):
        if not 1 <= length <= 20:
            raise FormatError("code length out of range")
        if table:
            code = (code + 1) << (length - before)
        before = length
        table[length, code] = symbol
    if code != (1 << before) - 1:
        raise FormatError("incomplete code")
    return table


# Section 4.3 and 4.4: pixels


class Bits:
    """The bits of a payload, most significant first; past the end all are zero."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.position = 0

    def symbol(self, table: Table) -> int:
        """Return the next symbol."""
        length = code = 0
        while (length, code) not in table or length == 0:
            byte = self.position >> 3
            value = self.payload[byte] if byte < len(self.payload) else 0
            code = code << 1 | value >> (7 - (self.position & 7)) & 1
            length += 1
            self.position += 1
        return table[length, code]


def clip(value: int, low: int, high: int) -> int:
    """Return the nearest value in low … high."""
    return max(low, min(value, high))


def entry_pixels(entry: list[int], c: int, scale: int) -> list[tuple[list[int], int]]:
    """Return the differences and the magnitude of each pixel of an entry (4.3)."""
    pixels = []
    for start in range(0, len(entry), c):
        values = entry[start : start + c]
        differences = [clip((v * scale + 2048) >> 12, -255, 255) for v in values]
        pixels.append((differences, min(255, 3 // c * sum(map(abs, values)) >> 2)))
    return pixels


def decode_tile(payload: bytes, width: int, height: int, part: dict[str, Any], scale: int) -> Rows:
    """Decode a tile (4.4)."""
    c = part["channels"]
    four, two, small, large = part["palettes"]
    tables = part["tables"]
    bits = Bits(payload)
    rows: Rows = []
    magnitudes: dict[tuple[int, int], int] = {}

    def m(y: int, x: int) -> int:
        return magnitudes.get((y, x), 8)

    def prediction(y: int, x: int, i: int) -> int:
        if x > 0 and y > 0:
            return (rows[y][x - 1][i] + rows[y - 1][x][i] + 1) >> 1
        if x > 0:
            return rows[y][x - 1][i]
        return rows[y - 1][x][i] if y > 0 else 128

    for y in range(height):
        rows.append([])
        x = 0
        while x < width:
            neighbours = (
                (y, x - 1), (y, x - 2),
                (y - 1, x - 1), (y - 1, x), (y - 1, x + 1), (y - 1, x + 2), (y - 1, x + 3),
            )  # fmt: skip
            activity = sum(
                weight * m(*place) for weight, place in zip(part["weight"], neighbours, strict=True)
            )
            k = sum(boundary <= activity for boundary in part["boundary"])
            symbol = bits.symbol(tables["main"][k])
            entries = four + two + small
            if symbol <= len(entries):
                escaped = symbol == len(entries)
                entry = large[bits.symbol(tables["large"][0])] if escaped else entries[symbol]
                pixels = entry_pixels(entry, c, scale)
                if x + len(pixels) > width:
                    raise FormatError("a string beyond the end of its row")
                for differences, magnitude in pixels:
                    rows[y].append(
                        [clip(prediction(y, x, i) + differences[i], 0, 255) for i in range(c)]
                    )
                    magnitudes[y, x] = magnitude
                    x += 1
            else:
                g = 1 if c == 3 else 0
                e = {g: bits.symbol(tables["first"][k])}
                for i in range(c):
                    if i != g:
                        e[i] = (bits.symbol(tables["others"][k]) + e[g]) % 256
                rows[y].append([(prediction(y, x, i) + e[i]) % 256 for i in range(c)])
                total = sum(abs(f - 256 if f > 127 else f) for f in e.values())
                magnitudes[y, x] = min(255, 3 // c * total * 1024 // scale)
                x += 1
        if bits.position > 8 * len(payload):
            raise TruncatedError("the tile ends too early")
    if bits.position <= 8 * len(payload) - 8:
        raise FormatError("bytes after the last symbol")
    return rows
