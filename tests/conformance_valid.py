"""The valid files of the conformance set."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from checks import extreme_images, photo_like, pixels_of
from crafting import (
    BitWriter,
    LaneWriter,
    chunks_of,
    exact_payload,
    file_of,
    patched,
    pyramid_payload,
    varint,
)

import rnnic
from rnnic.pyramid import tiles
from rnnic.pyramid.model import PyramidModel

MODEL = rnnic.default_model()


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
    data = rnnic.encode(grey, step=4)
    head = dict(chunks_of(data))["HEAD"]
    head = patched(head, 2, struct.pack("<BBIIH", channels, depth, width, height, 4096))
    return file_of(data, [("HEAD", head[:22] + parameters), ("TILE", payload)])


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
    noisy = np.stack(3 * [photo_like(33, 64, channels=1)], axis=2)
    noisy[:, 32:] ^= np.random.default_rng(8).integers(0, 16, (33, 32, 3), np.uint8)
    for effort in (5, 9):
        data = rnnic.encode(noisy, step=2, effort=effort, tile_size=32)
        what = f"a tile without noise, then one with, two of a row each, effort {effort}"
        yield Case(f"pyramid-noisy-{effort}", data, what, options=({"reduce": 2},))
    photo = photo_like(48, 40)
    for effort, states in ((1, 1), (5, 8), (9, 16)):
        for lanes in (1, 2, 4):
            with mock.patch.object(tiles, "LANES", lanes):
                data = rnnic.encode(photo, step=5, effort=effort)
            what = f"{states} states, {lanes} lanes"
            yield Case(f"pyramid-states-{states}-lanes-{lanes}", data, what)
    for step in (0.25, 0.3, 1, 20, 128, 512):
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
    yield Case("bytes-after", data + b"anything", "bytes after the last tile")


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
        for step in (256, 524288):
            bits = BitWriter()
            bits.number(0, 2)
            bits.number(matrix is not None, 1)
            for value in matrix or ():
                bits.number(value, 16)
            for component in range(3):
                plane = rng.integers(-300, 300, (2, 3)) * (1 if component else 40)
                if step > 256:
                    plane //= 64
                if name == "limits":
                    plane[0] = (65535, -65535, 65535)
                bits.base(plane, slopes=component == 1)
            payload = pyramid_payload(0, bits, ())
            data = sized(140, 270, 3, settings(step), payload)
            what = f"colours {name}, step {step / 1024:g}, no coded pass"
            yield Case(f"base-{name}-{step}", data, what, options=({"reduce": 4},))
    bits = BitWriter()
    bits.number(0, 1)
    bits.base(np.array([[0, 0, 0], [7, 7, 7], [7, 9, 7]]))
    data = sized(360, 320, 1, settings(1024), pyramid_payload(0, bits, ()))
    yield Case("base-silent-rows", data, "grey, rows without errors")
    bits = BitWriter()
    bits.number(0, 1)
    bits.base(np.add.outer([0, 9, 18, 27], [5, 2, -1]) + np.eye(4, 3, dtype=int), slopes=True)
    data = sized(260, 400, 1, settings(1024), pyramid_payload(0, bits, ()))
    yield Case("base-slopes", data, "grey, a base plane that is nearly a plane")
    bits = BitWriter()
    bits.number(0, 1)
    bits.number(65534, 18)
    bits.number(1, 2)
    data = sized(1, 1, 1, settings(524288, 1, 4), pyramid_payload(0, bits, ()))
    yield Case("base-wraps", data, "a base sample beyond 16 bits, stored modulo 2^16")


def borders() -> Iterator[Case]:
    """Tiles without coded passes, whose borders matter, smooth and not."""
    sizes = ((130, 140), (129, 300), (300, 1), (1, 300), (1, 2), (5, 9))
    for smooth in (0, 1):
        for height, width in sizes:
            bits = BitWriter()
            bits.number(smooth, 1)
            bits.number(0, 2)
            y, x = np.mgrid[: -(-height // 128), : -(-width // 128)]
            for plane in (60 * x - 90 * y - 200, 40 * y, 90 - 20 * x):
                bits.base(plane)
            data = sized(height, width, 3, settings(4096), pyramid_payload(0, bits, ()))
            what = f"{('no ', '')[smooth]}smooth tile, {width} x {height}"
            yield Case(f"borders-{smooth}-{width}x{height}", data, what, options=({"reduce": 1},))
        bits = BitWriter()
        bits.number(smooth, 1)
        bits.base(np.array([[16000, -16000], [-16000, 16000]]))
        data = sized(256, 256, 1, settings(1024), pyramid_payload(0, bits, ()))
        yield Case(f"borders-{smooth}-limits", data, "slopes that lead beyond 16 bits on a border")


def pairs() -> Iterator[Case]:
    """A single pair, by hand: escapes of every depth, raw components, own filters and weights."""
    model = PyramidModel.from_bytes(MODEL.sections["PYRA"])
    for channels, depth, step, states, noisy in (
        (3, 8, 4096, 8, False),
        (3, 8, 1024, 8, True),
        (1, 8, 300, 1, False),
        (3, 16, 16, 16, False),
        (1, 16, 524288, 8, False),
    ):
        tables = model.tables(channels, noisy=noisy)
        band = sum(step >= int(edge) for edge in model.band_edges)
        quantiser = tables.scalar if states == 1 else tables.trellis
        assert quantiser is not None
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
            bits.number(0, 1)
            bits.number(noisy, int(channels == 3 and states > 1))
            bits.number(0, 1 + 5 if channels == 3 else 2)
            for component in range(channels):
                bits.base(np.array([[11 * component - 5]]))
            payload = pyramid_payload(1, bits, [lane.words()])
            data = sized(1, 2, channels, settings(step, states), payload, depth)
            ends = "raw components" if z == 7 else f"escape depth {z}"
            kind = f"{channels}x{depth}-{states}" + "-noisy" * noisy
            yield Case(f"pair-{kind}-{z}", data, f"{ends}, {states} states, step {step / 1024:g}")
    for smooth in (False, True):
        for noisy in (False, True):
            yield from own_filters(model, smooth=smooth, noisy=noisy)


def own_filters(model: PyramidModel, *, smooth: bool, noisy: bool) -> Iterator[Case]:
    """A tile with filters and weights at their limits."""
    tables = model.tables(3, noisy=noisy)
    band = sum(int(edge) <= 4096 for edge in model.band_edges)
    lane = LaneWriter()
    common = tables.trellis.common[band].tolist()[0][0]
    lane.symbol(common, 0)
    bits = BitWriter()
    bits.number(smooth, 1)
    bits.number(noisy, 1)
    bits.number(0, 1)

    def limits(values: list[int], unit: int, ends: tuple[int, ...]) -> None:
        bits.number(1, 1)
        changes = [round((ends[i % len(ends)] - value) / unit) for i, value in enumerate(values)]
        bits.adaptive(changes, 4)

    luma, chroma = tables.luma_taps[band, 0].tolist(), tables.chroma_taps[band, 0].tolist()
    if smooth:
        luma, chroma = [704, -96] + [0] * 13, 2 * [[704, -96] + [0] * 5]
    limits(luma, 16, (1080, -1080))
    for taps in chroma:
        limits(taps, 16, (-2320, 2320))
    for group in range(2):
        limits(tables.activity[band, 0, group].tolist(), 32, (16368, 16))
    for component in range(3):
        bits.base(np.array([[900]]) // (component + 1))
    # One pair: what matters of the filters and weights is that they are read and within their limits.
    payload = pyramid_payload(1, bits, [lane.words()])
    name = "-smooth" * smooth + "-noisy" * noisy
    what = ", from smooth ones" * smooth + ", in a noisy tile" * noisy
    data = sized(1, 2, 3, settings(4096), payload)
    yield Case(f"own-filters{name}", data, f"own filters and weights{what}")
