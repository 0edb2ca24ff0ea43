"""Write the conformance set again: ``python tests/make_conformance.py``.

Small files that together use every feature and limit of SPEC.md, with what decoding them comes to in
``manifest.json``. Expected pixels are those of the plain reference decoder; expected errors are written
down here. The fast decoder must agree with both.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from checks import Pixels, extreme_images, photo_like, pixels_of
from crafting import (
    BitWriter,
    LaneWriter,
    chunks_of,
    exact_payload,
    file_of,
    patched,
    pyramid_payload,
    varint,
    with_chunk,
)

import rnnic
from rnnic import reference
from rnnic.pyramid import method as pyramid
from rnnic.pyramid.model import PyramidModel

FOLDER = Path(__file__).parent / "conformance"
MODEL = rnnic.default_model()
F, T, C, L = "FormatError", "TruncatedError", "ChecksumError", "LimitError"


class Case(NamedTuple):
    """A file, what it uses, the error it must end in, if any, and options to decode it with too."""

    name: str
    data: bytes
    uses: str
    error: str | None = None
    options: tuple[dict[str, Any], ...] = ()


def sized(
    height: int, width: int, channels: int, parameters: bytes, payload: bytes, depth: int = 8
) -> bytes:
    """Return a pyramid file of one tile made by hand; `parameters` are those of `settings`."""
    grey = np.zeros((1, 1), np.uint8 if depth == 8 else np.uint16)
    colours = 1 if channels < 3 else 3
    data = rnnic.encode(grey, step=4)
    head = dict(chunks_of(data))["HEAD"]
    head = patched(head, 2, struct.pack("<BBIII", channels, depth, width, height, 4096))
    head = head[:33] + parameters + bytes([colours, depth])
    return file_of(
        data,
        [
            ("HEAD", head),
            ("TIDX", struct.pack("<I", len(payload))),
            ("TILE", payload),
            ("DONE", b""),
        ],
    )


def settings(step: int, states: int = 8, lanes: int = 1) -> bytes:
    return struct.pack("<IBB", step, states, lanes)


# ---------------------------------------------------------------- valid files


def encoded() -> Iterator[Case]:
    """Files as encoders write them."""
    both = ({"reduce": 1}, {"reduce": 3}, {"region": [5, 3, 20, 11]})
    for channels in range(1, 5):
        for dtype in (np.uint8, np.uint16):
            image = pixels_of(21, 38, channels, dtype)
            depth = 8 * np.dtype(dtype).itemsize
            kind = f"{channels}x{depth}"
            what = f"{channels} channels of {depth} bits"
            data = rnnic.encode(image, step=2, tile_size=32)
            yield Case(f"pyramid-{kind}", data, f"pyramid, {what}, two tiles", options=both)
            data = rnnic.encode(image, error_threshold=3, tile_size=16)
            yield Case(f"raster-{kind}", data, f"raster, {what}, tiles of 16", options=both)
    for height, width in ((1, 1), (1, 2), (2, 1), (1, 33), (33, 1), (2, 65), (31, 32)):
        controls: dict[str, dict[str, Any]]
        controls = {"pyramid": {"step": 3}, "raster": {"error_threshold": 2}}
        for name, control in controls.items():
            data = rnnic.encode(photo_like(height, width), tile_size=32, **control)
            yield Case(f"{name}-size-{width}x{height}", data, f"{name}, {width} x {height} pixels")
    photo = photo_like(48, 40)
    for effort, states in ((1, 1), (5, 8), (9, 16)):
        for lanes in (1, 2, 4):
            with mock.patch.object(pyramid, "LANES", lanes):
                data = rnnic.encode(photo, step=5, effort=effort)
            what = f"{states} states, {lanes} lanes"
            yield Case(f"pyramid-states-{states}-lanes-{lanes}", data, what)
    for step in (0.25, 0.3, 1, 20, 128):
        data = rnnic.encode(photo[:24], step=step)
        yield Case(f"pyramid-step-{step}", data, f"pyramid, step {step}")
    deep = pixels_of(16, 24, 3, np.uint16)
    data = rnnic.encode(deep, step=1 / 64)
    yield Case("pyramid-step-least", data, "pyramid, 16 bits, the least step")
    for threshold in (0, 0.3, 0.8, 0.9):
        data = rnnic.encode(deep[:8], error_threshold=threshold)
        yield Case(f"raster-low-{threshold}", data, f"raster, 16 bits, threshold {threshold}")
    for name, image in extreme_images(12, 14):
        if name[:5] in ("noise", "board", "two-v"):
            data = rnnic.encode(image, step=0.25)
            yield Case(f"pyramid-{name}", data, f"pyramid, {name}")
            data = rnnic.encode(image, error_threshold=0)
            yield Case(f"raster-{name}", data, f"raster, without loss, literals, {name}")
    data = rnnic.encode(photo_like(66, 70), error_threshold=8, tile_size=16)
    yield Case("raster-tiles", data, "25 tiles", options=({"region": [15, 15, 33, 18]},))
    data = rnnic.encode(photo_like(100, 70), step=9, tile_size=32)
    regions = ({"region": [31, 0, 34, 65]}, {"region": [33, 40, 1, 1], "reduce": 2})
    yield Case("pyramid-tiles", data, "12 tiles", options=(*regions, {"reduce": 5}))
    metadata = rnnic.Metadata(b"II*\0exif", b"profile", b"<x:xmpmeta/>", {"a": "b", "ä": "ö"})
    data = rnnic.encode(photo[:9, :9], step=8, metadata=metadata)
    yield Case("metadata", data, "all metadata chunks, two of text")
    chunks = chunks_of(data)
    more = [chunks[0], ("zZ09", b"unknown"), *chunks[1:]]
    yield Case("unknown-ancillary", file_of(data, more), "an unknown ancillary chunk")
    yield Case("bytes-after", data + b"anything", "bytes after DONE")


def exact() -> Iterator[Case]:
    """Pixels without loss, by hand: each way, filter, size of index, and kind of compressed block."""
    rng = np.random.default_rng(5)
    mark = struct.pack("<H", 32768)
    kinds = (
        ("stored", 0, zlib.Z_DEFAULT_STRATEGY),
        ("fixed", 9, zlib.Z_FIXED),
        ("dynamic", 9, zlib.Z_DEFAULT_STRATEGY),
        ("huffman", 9, zlib.Z_HUFFMAN_ONLY),
        ("runs", 9, zlib.Z_RLE),
    )
    for depth in (8, 16):
        dtype = f"uint{depth}"
        for channels, way in ((1, 0), (3, 0), (3, 1)):
            image = pixels_of(14, 11, channels, dtype).reshape(14, 11, channels)
            image[11:] = image[10]
            payload = mark + exact_payload(image, way)
            data = sized(14, 11, channels, settings(1024), payload, depth)
            what = f"without loss, way {way}, all filters, {channels} channels of {depth} bits"
            yield Case(f"exact-way-{way}-{channels}x{depth}", data, what, options=({"reduce": 2},))
        for colours in (1, 2, 3, 16, 17, 256):
            table = rng.integers(0, 1 << depth, (colours, 3)).astype(dtype)
            numbers = np.resize(np.arange(colours), 13 * 20).reshape(13, 20)
            numbers[8:11] = numbers[7]
            payload = mark + exact_payload(table[numbers], 2)
            data = sized(13, 20, 3, settings(1024), payload, depth)
            found = len(np.unique(table[numbers].reshape(-1, 3), axis=0))
            what = f"without loss, {found} colours of {depth} bits"
            yield Case(f"exact-{colours}-colours-{depth}", data, what)
    image = photo_like(20, 24).reshape(20, 24, 3)
    for name, level, strategy in kinds:
        payload = mark + exact_payload(image, 1, level=level, strategy=strategy)
        data = sized(20, 24, 3, settings(1024), payload)
        yield Case(f"exact-{name}", data, f"without loss, DEFLATE: {name}")


def alpha() -> Iterator[Case]:
    """Alpha by hand."""
    for depth in (8, 16):
        image = pixels_of(18, 19, 4, f"uint{depth}")
        data = rnnic.encode(image[:, :, :3].copy(), step=4)
        payload = dict(chunks_of(data))["TILE"]
        own = settings(4096, 8, 4)
        constant = b"\x80" if depth == 8 else b"\x80\x01"
        parts = {
            "constant": varint(len(constant)) + constant,
            "long-length": varint(len(constant), 5) + constant,
            "plain": exact_payload(image[:, :, 3:], 0),
            "palette": exact_payload(image[:, :, 3:] // (1 << depth - 2), 2),
        }
        for name, part in parts.items():
            whole = part if name in ("constant", "long-length") else varint(len(part)) + part
            found = sized(18, 19, 4, own, whole + payload, depth)
            what = f"alpha of {depth} bits: {name}"
            yield Case(f"alpha-{name}-{depth}", found, what, options=({"reduce": 1},))


def base_planes() -> Iterator[Case]:
    """Tiles without coded passes: own colours, base planes with numbers of all lengths, at the limits."""
    rng = np.random.default_rng(9)
    matrices = {
        "default": None,
        "swapped": [0, 0, 16384, 16384, 0, 0, 0, 16384, 0],
        "limits": [32767, -32768, 1, 1, 0, -16384, 0, 0, 16383],
    }
    for name, matrix in matrices.items():
        for step in (256, 131072):
            bits = BitWriter()
            bits.number(matrix is not None, 1)
            for value in matrix or ():
                bits.number(value, 16)
            for component in range(3):
                plane = rng.integers(-300, 300, (2, 3)) * (1 if component else 40)
                if step > 256:
                    plane //= 64
                if name == "limits":
                    plane[0] = (65535, -65535, 65535)
                bits.base(plane)
            payload = pyramid_payload(0, bits, ())
            data = sized(40, 70, 3, settings(step), payload)
            what = f"colours {name}, step {step / 1024:g}, no coded pass"
            yield Case(f"base-{name}-{step}", data, what, options=({"reduce": 4},))
    bits = BitWriter()
    bits.base(np.array([[0, 0, 0], [7, 7, 7], [7, 9, 7]]))
    data = sized(90, 80, 1, settings(1024), pyramid_payload(0, bits, ()))
    yield Case("base-silent-rows", data, "grey, rows without errors")
    bits = BitWriter()
    bits.number(65534, 18)
    bits.number(1, 1)
    data = sized(1, 1, 1, settings(131072, 1, 4), pyramid_payload(0, bits, ()))
    yield Case("base-wraps", data, "a base sample beyond 16 bits, stored modulo 2^16")


def pairs() -> Iterator[Case]:
    """A single pair, by hand: escapes of every depth, raw components, own filters and weights."""
    model = PyramidModel.from_bytes(MODEL.sections["PYRA"])
    for channels, depth, step, states in (
        (3, 8, 4096, 8),
        (1, 8, 300, 1),
        (3, 16, 16, 16),
        (1, 16, 131072, 8),
    ):
        tables = model.tables(channels)
        band = sum(step >= int(edge) for edge in model.band_edges)
        quantiser = tables.scalar if states == 1 else tables.trellis
        common = quantiser.common[band].tolist()[0][0]
        rare = quantiser.rare[band].tolist()[0]
        orbits = quantiser.orbits.tolist()[0]
        ny = len(tables.luma_edges) + 1
        escape = len(orbits)

        def choose(context: int, nth: int) -> tuple[int, int]:
            found = [s for s in range(escape) if rare[context][s] > 0]  # noqa: B023
            symbol = found[nth % len(found)]
            return symbol, sum(k > 0 for k in orbits[symbol])  # noqa: B023

        for z in range(8):
            lane = LaneWriter()
            lane.symbol(common, len(common) - 1)
            if z == 0:
                symbol, signs = choose(4 * ny, -1)
                lane.symbol(rare[4 * ny], symbol, signs, (1 << signs) - 1)
            else:
                lane.symbol(rare[4 * ny], escape)
            for depth_now in range(1, min(z, 7)):
                lane.symbol(rare[ny * (min(depth_now, 4) - 1)], escape)
            if z == 7:
                for value in (-70000, 8388607, 1):
                    for shift in (16, 8, 0):
                        lane.byte(value >> shift & 255)
            elif z > 0:
                symbol, signs = choose(ny * (min(z, 4) - 1), 3 * z)
                lane.symbol(rare[ny * (min(z, 4) - 1)], symbol, signs, 1 if signs else 0)
                for left in reversed(range(z)):
                    context = 5 * ny + min(left, 4)
                    symbol, signs = choose(context, 5 * left + 1)
                    if left == 1:  # in a refinement the escape stands for the zero vector
                        symbol, signs = escape, 0
                    lane.symbol(rare[context], symbol, signs, 0)
            bits = BitWriter()
            bits.number(0, 1 + 5 if channels == 3 else 2)
            for component in range(channels):
                bits.folded(11 * component - 5, 18)
                bits.number(1, 1)
            payload = pyramid_payload(1, bits, [lane.words()])
            data = sized(1, 2, channels, settings(step, states), payload, depth)
            ends = "raw components" if z == 7 else f"escape depth {z}"
            kind = f"{channels}x{depth}-{states}"
            yield Case(f"pair-{kind}-{z}", data, f"{ends}, {states} states, step {step / 1024:g}")
    yield from own_filters(model)


def own_filters(model: PyramidModel) -> Iterator[Case]:
    """A tile with filters and weights at their limits."""
    tables = model.tables(3)
    band = sum(int(edge) <= 4096 for edge in model.band_edges)
    lane = LaneWriter()
    common = tables.trellis.common[band].tolist()[0][0]
    lane.symbol(common, 0)
    bits = BitWriter()
    bits.number(0, 1)

    def limits(values: list[int], unit: int, ends: tuple[int, ...]) -> None:
        bits.number(1, 1)
        changes = [round((ends[i % len(ends)] - value) / unit) for i, value in enumerate(values)]
        bits.adaptive(changes, 4)

    limits(tables.luma_taps[band, 0].tolist(), 16, (1080, -1080))
    for component in range(2):
        limits(tables.chroma_taps[band, 0, component].tolist(), 16, (-2320, 2320))
    for group in range(2):
        limits(tables.activity[band, 0, group].tolist(), 32, (16368, 16))
    for component in range(3):
        plane = np.array([[900, -700, 300], [-20, 1000, -1000]]) // (component + 1)
        bits.folded(int(plane[0, 0]), 18)
        bits.number(1, 1)
    # One pair: what matters of the filters and weights is that they are read and within their limits.
    payload = pyramid_payload(1, bits, [lane.words()])
    yield Case("own-filters", sized(1, 2, 3, settings(4096), payload), "own filters and weights")


# ---------------------------------------------------------------- damaged files


def damaged() -> Iterator[Case]:
    """Files that must be refused, with the class of error."""
    pyramid_file = rnnic.encode(photo_like(20, 24), step=4, tile_size=32)
    raster_file = rnnic.encode(photo_like(20, 24), error_threshold=4, tile_size=32)
    alpha_file = rnnic.encode(pixels_of(20, 24, 4), step=4, tile_size=32)
    yield Case("bad-empty", b"", "no bytes", T)
    yield Case("bad-signature-cut", pyramid_file[:5], "cut in the signature", T)
    yield Case("bad-signature", b"\x89PNG\r\n\x1a\n" + pyramid_file[8:], "another signature", F)
    for at, what in ((20, "HEAD"), (70, "TIDX"), (len(pyramid_file) // 2, "a tile")):
        yield Case(f"bad-cut-{at}", pyramid_file[:at], f"cut in {what}", T)
    yield Case("bad-cut-done", pyramid_file[:-12], "no DONE", T)
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
        ("tile-size-15", 12, struct.pack("<I", 15), L),
        ("tile-size-4097", 12, struct.pack("<I", 4097), L),
        ("tiles", 4, struct.pack("<III", 2**24, 16, 16), F),
        ("tile-size-48-raster", 12, struct.pack("<I", 16), F),
        ("model", 16, bytes(16), "ModelMissingError"),
        ("parameters", 32, b"\x07", F),
    )
    for name, at, new, error in head_faults:
        data = with_chunk(pyramid_file, "HEAD", lambda head, at=at, new=new: patched(head, at, new))  # type: ignore[misc]
        yield Case(f"bad-head-{name}", data, f"HEAD: {name}", error)
    for name, at, new in (
        ("step-low", 33, struct.pack("<I", 255)),
        ("step-high", 33, struct.pack("<I", 131073)),
        ("states", 37, b"\x04"),
        ("lanes", 38, b"\x03"),
        ("other-channels", 39, b"\x01"),
        ("other-depth", 40, b"\x10"),
        ("tile-size", 12, struct.pack("<I", 40)),
    ):
        data = with_chunk(pyramid_file, "HEAD", lambda head, at=at, new=new: patched(head, at, new))  # type: ignore[misc]
        yield Case(f"bad-pyramid-{name}", data, f"pyramid: {name}", F)
    for name, scale in (("low", 255), ("high", 32769)):
        new = struct.pack("<H", scale)
        data = with_chunk(raster_file, "HEAD", lambda head, new=new: patched(head, 35, new))  # type: ignore[misc]
        yield Case(f"bad-raster-scale-{name}", data, f"raster: scale {scale}", F)
    yield from damaged_chunks(pyramid_file)
    yield from damaged_tiles(pyramid_file, raster_file, alpha_file)


def damaged_chunks(data: bytes) -> Iterator[Case]:
    chunks = chunks_of(data)
    head, index, tile, done = chunks
    orders: tuple[tuple[str, list[tuple[str, bytes]], str], ...] = (
        ("no-head", [index, tile, done], F),
        ("no-index", [head, done], F),
        ("two-heads", [head, head, index, tile, done], F),
        ("no-tile", [head, index, done], T),
        ("two-tiles", [head, index, tile, tile, done], F),
        ("ancillary-late", [head, index, ("teXt", b"late"), tile, done], F),
        ("critical", [head, ("Crit", b""), index, tile, done], F),
        ("exif-twice", [head, ("exif", b"a"), ("exif", b"b"), index, tile, done], F),
        ("text-no-key", [head, ("text", b"\0value"), index, tile, done], F),
        ("text-no-zero", [head, ("text", b"key"), index, tile, done], F),
        ("text-long-key", [head, ("text", b"k" * 80 + b"\0v"), index, tile, done], F),
        ("text-no-utf8", [head, ("text", b"k\0\xff\xfe"), index, tile, done], F),
        ("index-long", [head, ("TIDX", index[1] + bytes(4)), tile, done], F),
        ("index-other", [head, ("TIDX", struct.pack("<I", len(tile[1]) - 1)), tile, done], F),
    )
    for name, found, error in orders:
        yield Case(f"bad-chunks-{name}", file_of(data, found), f"chunks: {name}", error)
    kind = file_of(data, chunks)
    yield Case("bad-chunk-type", kind.replace(b"TIDX", b"TI X"), "a type that is none", F)
    digit = file_of(data, [head, ("9abc", b""), index, tile, done])
    yield Case("bad-chunk-digit", digit, "a type that starts with a digit", F)


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
    bits.number(0, 6)
    for _ in range(3):
        bits.folded(0, 18)
        bits.number(1, 1)
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
    much.number(1, 1)
    for value in (30000, 0, 0, 3000, 0, 0, 0, 0, 0):
        much.number(value, 16)
    much.number(0, 100)
    data = sized(1, 1, 3, settings(4096), pyramid_payload(0, much, ()))
    yield Case("bad-colours", data, "colours beyond their limit", F)
    for group, name in ((0, "taps"), (3, "weights")):
        wrong = BitWriter()
        wrong.number(0, 1 + group)
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
    low = with_chunk(deep, "HEAD", lambda found: patched(found, 37, struct.pack("<H", 257)))
    yield Case("bad-raster-low-step", low, "raster: step of low bytes 257", F)
    low = with_chunk(deep, "HEAD", lambda found: patched(found, 37, struct.pack("<H", 256)))
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


# ---------------------------------------------------------------- manifest


def cases() -> Iterator[Case]:
    """Yield all files."""
    for group in (encoded, exact, alpha, base_planes, pairs, damaged):
        yield from group()


def crc_of(pixels: Pixels) -> str:
    """Return the CRC-32 of samples row by row, the lower byte of 16 bits first."""
    plain = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<")))
    return f"{zlib.crc32(plain.tobytes()):08x}"


def outcome(case: Case) -> dict[str, Any]:
    """Return a case as the manifest has it, after checking that both decoders in Python agree."""
    entry: dict[str, Any] = {"file": f"{case.name}.rnnic", "uses": case.uses}
    if case.error is not None:
        for decode in (rnnic.decode, lambda data: reference.decode(data, MODEL.to_bytes())):
            try:
                decode(case.data)
            except rnnic.RnnicError as error:
                if decode is rnnic.decode and type(error).__name__ != case.error:
                    raise AssertionError(f"{case.name}: {error!r}, not {case.error}") from error
            except (IndexError, ValueError, zlib.error):
                if decode is rnnic.decode:
                    raise
            else:
                if decode is rnnic.decode:
                    raise AssertionError(f"{case.name} is decoded, not refused")
        return entry | {"error": case.error}
    pixels = rnnic.decode(case.data)
    slow = np.array(reference.decode(case.data, MODEL.to_bytes()), pixels.dtype)
    np.testing.assert_array_equal(slow.reshape(pixels.shape), pixels, case.name)
    found = rnnic.info(case.data)
    entry |= {
        "width": found.width,
        "height": found.height,
        "channels": found.channels,
        "bit_depth": found.bit_depth,
        "crc32": crc_of(pixels),
    }
    if case.options:
        entry["parts"] = [
            options | {"crc32": crc_of(rnnic.decode(case.data, **options))}
            for options in case.options
        ]
    return entry


def main() -> None:
    """Write everything."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.rnnic"):
        old.unlink()
    entries = []
    for case in cases():
        entries.append(outcome(case))
        (FOLDER / entries[-1]["file"]).write_bytes(case.data)
    names = [entry["file"] for entry in entries]
    assert len(set(names)) == len(names)
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    (FOLDER / "manifest.json").write_text(f'{{"version": 1, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
