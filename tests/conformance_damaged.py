"""The damaged files of the conformance set."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from checks import photo_like, pixels_of
from conformance_valid import MODEL, Case, settings, sized
from crafting import (
    BitWriter,
    LaneWriter,
    chunks_of,
    exact_payload,
    file_of,
    patched,
    pyramid_payload,
    with_chunk,
)

import rnnic
from rnnic.pyramid.model import PyramidModel

F, T, C, L = "FormatError", "TruncatedError", "ChecksumError", "LimitError"


def damaged() -> Iterator[Case]:
    """Files that must be refused, with the class of error."""
    pyramid_file = rnnic.encode(photo_like(20, 24), step=4, tile_size=32)
    raster_file = rnnic.encode(photo_like(20, 24), error_threshold=4, tile_size=32)
    alpha_file = rnnic.encode(pixels_of(20, 24, 4), step=4, tile_size=32)
    yield Case("bad-empty", b"", "no bytes", T)
    yield Case("bad-signature-cut", pyramid_file[:5], "cut in the signature", T)
    yield Case("bad-signature", b"\x89PNG\r\n\x1a\n" + pyramid_file[8:], "another signature", F)
    tiled_file = rnnic.encode(photo_like(20, 60), step=4, tile_size=32)
    for at, what in ((20, "HEAD"), (60, "TIDX"), (len(tiled_file) // 2, "a tile")):
        yield Case(f"bad-cut-{at}", tiled_file[:at], f"cut in {what}", T)
    yield Case("bad-cut-crc", pyramid_file[:-1], "cut in the last checksum", T)
    flipped = patched(pyramid_file, len(pyramid_file) - 40, bytes([pyramid_file[-40] ^ 4]))
    yield Case("bad-crc", flipped, "a changed byte in a tile", C)
    yield Case("bad-crc-head", patched(pyramid_file, 22, b"\xff"), "a changed byte in HEAD", C)
    head_faults: tuple[tuple[str, int, bytes, str], ...] = (
        ("version", 0, b"\x02", F),
        ("version-0", 0, b"\x00", F),
        ("method", 1, b"\x07", F),
        ("channels-0", 2, b"\x00", F),
        ("channels-5", 2, b"\x05", F),
        ("depth", 3, b"\x0c", F),
        ("width-0", 4, struct.pack("<I", 0), L),
        ("height-large", 8, struct.pack("<I", 2**24 + 1), L),
        ("pixels", 4, struct.pack("<II", 2**24, 2**24), L),
        ("tile-size-15", 12, struct.pack("<H", 15), L),
        ("tile-size-4097", 12, struct.pack("<H", 4097), L),
        ("tiles", 4, struct.pack("<IIH", 2**24, 16, 16), F),
        ("tile-size-48-raster", 12, struct.pack("<H", 16), F),
        ("model", 14, bytes(8), "ModelMissingError"),
    )
    for name, at, new, error in head_faults:
        data = with_chunk(pyramid_file, "HEAD", lambda head, at=at, new=new: patched(head, at, new))  # type: ignore[misc]
        yield Case(f"bad-head-{name}", data, f"HEAD: {name}", error)
    for name, at, new in (
        ("step-low", 22, struct.pack("<I", 255)),
        ("step-high", 22, struct.pack("<I", 524289)),
        ("states", 26, b"\x04"),
        ("lanes", 27, b"\x03"),
        ("tile-size", 12, struct.pack("<H", 40)),
    ):
        data = with_chunk(pyramid_file, "HEAD", lambda head, at=at, new=new: patched(head, at, new))  # type: ignore[misc]
        yield Case(f"bad-pyramid-{name}", data, f"pyramid: {name}", F)
    for name, file in (("pyramid", pyramid_file), ("raster", raster_file)):
        for what, change in (("few", lambda head: head[:-1]), ("many", lambda head: head + b"\0")):
            data = with_chunk(file, "HEAD", change)
            yield Case(f"bad-{name}-{what}", data, f"{name}: too {what} parameter bytes", F)
    data = with_chunk(pyramid_file, "HEAD", lambda head: head[:21])
    yield Case("bad-head-short", data, "HEAD: short", F)
    for name, scale in (("low", 255), ("high", 32769)):
        new = struct.pack("<H", scale)
        data = with_chunk(raster_file, "HEAD", lambda head, new=new: patched(head, 24, new))  # type: ignore[misc]
        yield Case(f"bad-raster-scale-{name}", data, f"raster: scale {scale}", F)
    yield from damaged_chunks(tiled_file)
    yield from damaged_order(pyramid_file)
    yield from damaged_tiles(pyramid_file, raster_file, alpha_file)


def damaged_chunks(data: bytes) -> Iterator[Case]:
    chunks = chunks_of(data)
    head, index, *tiles = chunks
    first, second = (len(payload) for _, payload in tiles)
    orders: tuple[tuple[str, list[tuple[str, bytes]], str], ...] = (
        ("no-head", [index, *tiles], F),
        ("no-index", [head, *tiles], F),
        ("two-heads", [head, head, index, *tiles], F),
        ("no-tile", [head, index, tiles[0]], T),
        ("ancillary-between", [head, index, tiles[0], ("teXt", b"late"), tiles[1]], F),
        ("critical", [head, ("Crit", b""), index, *tiles], F),
        ("exif-twice", [head, ("exif", b"a"), ("exif", b"b"), index, *tiles], F),
        ("text-no-key", [head, ("text", b"\0value"), index, *tiles], F),
        ("text-no-zero", [head, ("text", b"key"), index, *tiles], F),
        ("text-long-key", [head, ("text", b"k" * 80 + b"\0v"), index, *tiles], F),
        ("text-no-utf8", [head, ("text", b"k\0\xff\xfe"), index, *tiles], F),
        ("index-long", [head, ("TIDX", index[1] + bytes(4)), *tiles], F),
        ("index-other", [head, ("TIDX", struct.pack("<II", first - 1, second)), *tiles], F),
        ("index-beyond", [head, ("TIDX", struct.pack("<II", first, second + 1)), *tiles], T),
    )
    for name, found, error in orders:
        yield Case(f"bad-chunks-{name}", file_of(data, found), f"chunks: {name}", error)
    kind = file_of(data, chunks)
    yield Case("bad-chunk-type", kind.replace(b"TIDX", b"TI X"), "a type that is none", F)
    digit = file_of(data, [head, ("9abc", b""), index, *tiles])
    yield Case("bad-chunk-digit", digit, "a type that starts with a digit", F)


def damaged_order(data: bytes) -> Iterator[Case]:
    """Chunks of an image of one tile."""
    head, tile = chunks_of(data)
    index = ("TIDX", struct.pack("<I", len(tile[1])))
    for name, found, error in (
        ("index", [head, index, tile], F),
        ("two-heads", [head, head, tile], F),
        ("critical", [head, ("Crit", b""), tile], F),
        ("no-tile", [head], T),
    ):
        yield Case(f"bad-one-{name}", file_of(data, found), f"one tile, chunks: {name}", error)


def damaged_tiles(pyramid_file: bytes, raster_file: bytes, alpha_file: bytes) -> Iterator[Case]:
    def tile(data: bytes, payload: bytes) -> bytes:
        return with_chunk(data, "TILE", lambda _: payload)

    own = dict(chunks_of(pyramid_file))["TILE"]
    yield Case("bad-tile-short", tile(pyramid_file, own[:2]), "a tile below its minimum", T)
    yield Case("bad-tile-cut", tile(pyramid_file, own[:-2]), "a tile's lengths do not add up", T)
    yield Case("bad-tile-more", tile(pyramid_file, own + b"\0\0"), "a tile with more bytes", T)
    absent = patched(own, 0, struct.pack("<H", 1 << 10 | 1))
    yield Case("bad-tile-pass", tile(pyramid_file, absent), "a coded pass that is not there", F)
    five = own[:2] + b"\xff\xff\xff\xff\xff" + own[2:]
    yield Case("bad-tile-varint", tile(pyramid_file, five), "a length of more than five bytes", T)
    bits = BitWriter()
    bits.number(0, 2 + 6)
    for _ in range(3):
        bits.base(np.zeros((1, 1)))
    good = LaneWriter()
    model = PyramidModel.from_bytes(MODEL.sections["PYRA"])
    band = sum(int(edge) <= 4096 for edge in model.band_edges)
    common = model.tables(3).trellis.common[band].tolist()[0][0]
    good.symbol(common, 0)
    words = good.words()
    lane_faults = {
        "state-low": ([0, 1], F),
        "state-high": ([65535, 65535], F),
        "left-over": ([*words, 7], F),
        "needs-word": ([0, 32768], T),
        "other-end": ([2, 5], F),
        "one-word": ([1], F),
    }
    escaped = LaneWriter()
    escaped.symbol(common, len(common) - 1)
    lane_faults["escape-cut"] = (escaped.words()[:2], T)
    for name, (lane, error) in lane_faults.items():
        data = sized(1, 2, 3, settings(4096), pyramid_payload(1, bits, [lane]))
        yield Case(f"bad-lane-{name}", data, f"lane: {name}", error)
    few = BitWriter()
    few.number(0, 20)
    data = sized(40, 70, 3, settings(4096), pyramid_payload(0, few, ()))
    yield Case("bad-base-cut", data, "a base plane that ends early", T)
    much = BitWriter()
    much.number(1, 3)
    for value in (30000, 0, 0, 3000, 0, 0, 0, 0, 0):
        much.number(value, 16)
    much.number(0, 100)
    data = sized(1, 1, 3, settings(4096), pyramid_payload(0, much, ()))
    yield Case("bad-colours", data, "colours beyond their limit", F)
    for group, name in ((0, "taps"), (3, "weights")):
        wrong = BitWriter()
        wrong.number(0, 3 + group)
        wrong.number(1, 1)
        wrong.adaptive([4000] * 15, 4)
        wrong.number(0, 100)
        data = sized(1, 2, 3, settings(4096), pyramid_payload(1, wrong, [words]))
        yield Case(f"bad-own-{name}", data, f"own {name} beyond their limit", F)
    yield from damaged_exact(alpha_file)
    payload = dict(chunks_of(raster_file))["TILE"]
    yield Case("bad-raster-cut", tile(raster_file, payload[: len(payload) // 2]), "codes cut", T)
    yield Case("bad-raster-more", tile(raster_file, payload + b"\0"), "a byte too many", F)
    yield Case("bad-raster-short", tile(raster_file, payload[:5]), "below the minimum", T)
    deep = rnnic.encode(pixels_of(8, 8, 1, np.uint16), error_threshold=0.3)
    low = with_chunk(deep, "HEAD", lambda found: patched(found, 26, struct.pack("<H", 257)))
    yield Case("bad-raster-low-step", low, "raster: step of low bytes 257", F)
    low = with_chunk(deep, "HEAD", lambda found: patched(found, 26, struct.pack("<H", 256)))
    yield Case("bad-raster-low", low, "raster: a low byte beyond 255", F)


def damaged_exact(alpha_file: bytes) -> Iterator[Case]:
    """Faults of pixels without loss, and of alpha."""
    mark = struct.pack("<H", 32768)
    image = photo_like(9, 10).reshape(9, 10, 3)
    good = exact_payload(image, 0)
    table = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    palette = exact_payload(table[np.resize(np.arange(3), 90).reshape(9, 10)], 2)
    rows = zlib.decompress(good[1:])
    faults = {
        "way": (b"\x03" + good[1:], F),
        "filter": (good[:1] + zlib.compress(b"\x06" + rows[1:]), F),
        "first-filter-5": (good[:1] + zlib.compress(b"\x05" + rows[31:]), F),
        "rows-few": (good[:1] + zlib.compress(rows[:-1]), T),
        "rows-many": (good[:1] + zlib.compress(rows + b"\0"), F),
        "stream-cut": (good[:-5], T),
        "stream-more": (good + b"\0", F),
        "adler": (good[:-1] + bytes([good[-1] ^ 1]), F),
        "zlib-head": (good[:1] + b"\x00\x00" + good[3:], F),
        "index": (palette[:1] + b"\x01" + palette[2:8] + palette[11:], F),
        "palette-cut": (b"\x02\xff\x01\x02", T),
    }
    for name, (payload, error) in faults.items():
        data = sized(9, 10, 3, settings(4096), mark + payload)
        yield Case(f"bad-exact-{name}", data, f"without loss: {name}", error)
    grey = sized(9, 10, 1, settings(4096), mark + b"\x01" + good[1:])
    yield Case("bad-exact-way-grey", grey, "without loss: way 1 of a grey image", F)
    payload = dict(chunks_of(alpha_file))["TILE"]
    for name, new, error in (
        ("length", b"\xff\xff\x7f" + payload[1:], T),
        ("no-end", b"\xff\xff\xff\xff\xff" + payload, T),
        ("alone", b"\x01\x80\0\0", T),
        ("empty", b"\0" + payload[1:], T),
    ):
        data = with_chunk(alpha_file, "TILE", lambda _, new=new: new)  # type: ignore[misc]
        yield Case(f"bad-alpha-{name}", data, f"alpha: {name}", error)
