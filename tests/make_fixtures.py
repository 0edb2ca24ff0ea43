"""Write the fixtures again: files that every later version must decode to the same pixels.

Run ``python tests/make_fixtures.py`` after a change of the format or of the default model, and commit
what it writes: the files, and ``checksums.txt`` with the CRC-32 of the decoded samples of each.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from checks import Pixels, extreme_images, photo_like, pixels_of, waves
from PIL import Image

import rnnic
from rnnic.model import Model
from rnnic.photos import LoadedPhotos
from rnnic.raster.training import PartSettings, RasterSettings, train

FOLDER = Path(__file__).parent / "fixtures"
VERSION = "v1"
SMALL = RasterSettings(
    seed=3,
    draws=3000,
    window=24,
    windows=3,
    rgb=PartSettings((20, 15, 12, 30), classes=3),
    grey=PartSettings((12, 8, 6, 8), classes=2),
)


def small_model() -> Model:
    """Return a model so small that kernels can run as plain Python with it."""
    photos = [photo_like(60, 70, seed=seed) for seed in range(3)]
    section = train(LoadedPhotos(photos), SMALL)
    return Model({"RAST": section.to_bytes()}, {"photos": len(photos)})


def fixtures() -> Iterator[tuple[str, bytes]]:
    """Yield the fixtures by name."""
    for channels in (1, 3):
        kind = "grey" if channels == 1 else "rgb"
        for size in ((1, 1), (1, 40), (37, 1), (23, 50)):
            for threshold in (0, 4.5, 20):
                name = f"raster-{kind}-{size[1]}x{size[0]}-{threshold:g}"
                image = photo_like(*size, channels)
                yield name, rnnic.encode(image, error_threshold=threshold, tile_size=16)
    for name, image in extreme_images(20, 24):
        yield f"raster-{name}", rnnic.encode(image, error_threshold=3)
    photo = np.array(Image.open(Path(__file__).parent.parent / "examples" / "kodim23.png"))
    yield "raster-photo", rnnic.encode(photo[200:296, 300:460], error_threshold=4, tile_size=64)
    yield from pyramid_fixtures()
    yield from pixel_fixtures()
    metadata = rnnic.Metadata(b"II*\0exif", b"profile", b"<x:xmpmeta/>", {"Title": "fixture"})
    yield "raster-metadata", rnnic.encode(photo_like(8, 8), error_threshold=4, metadata=metadata)


def pixel_fixtures() -> Iterator[tuple[str, bytes]]:
    """Yield the fixtures of alpha and of 16 bits."""
    for channels in range(1, 5):
        for dtype in (np.uint8, np.uint16):
            if channels % 2 and dtype is np.uint8:
                continue
            kind = f"{channels}x{8 * np.dtype(dtype).itemsize}"
            for height, width in ((1, 1), (23, 50)):
                image = pixels_of(height, width, channels, dtype)
                size = f"{width}x{height}"
                for step in (0.25, 4.0):
                    yield f"pyramid-{kind}-{size}-{step:g}", rnnic.encode(image, step=step)
                for threshold in (0, 0.5, 4):
                    data = rnnic.encode(image, error_threshold=threshold, tile_size=16)
                    yield f"raster-{kind}-{size}-{threshold:g}", data
    drawn = np.random.default_rng(4).integers(0, 65536, (12, 4), np.uint16)[:, 1:]
    blocks = np.random.default_rng(1).integers(0, 12, (12, 9))
    image = drawn[np.repeat(np.repeat(blocks, 4, 0), 6, 1)]
    yield "pyramid-drawn-16", rnnic.encode(image, quality=90)


def pyramid_fixtures() -> Iterator[tuple[str, bytes]]:
    """Yield the fixtures of method pyramid."""
    for channels in (1, 3):
        kind = "grey" if channels == 1 else "rgb"
        for size in ((1, 1), (1, 40), (37, 1), (23, 50)):
            image = photo_like(*size, channels)
            for step, effort in ((0.5, 5), (4.0, 1), (4.0, 5), (4.0, 9), (40.0, 5)):
                name = f"pyramid-{kind}-{size[1]}x{size[0]}-{step:g}-{effort}"
                yield name, rnnic.encode(image, step=step, effort=effort, tile_size=32)
    for name, image in extreme_images(20, 24):
        yield f"pyramid-{name}", rnnic.encode(image, quality=90)
    for channels in (1, 3):
        for height, width, step in ((60, 44, 5), (37, 90, 20), (130, 9, 60)):
            data = rnnic.encode(waves(height, width, channels, period=150), step=step)
            yield f"pyramid-waves-{channels}-{width}x{height}", data
    for colours in (2, 9, 300):
        drawn = np.random.default_rng(colours).integers(0, 256, (colours, 3), np.uint8)
        blocks = np.random.default_rng(1).integers(0, colours, (12, 9))
        image = drawn[np.repeat(np.repeat(blocks, 4, 0), 6, 1)]
        yield f"pyramid-drawn-{colours}", rnnic.encode(image, quality=90, tile_size=32)


def checksum(pixels: Pixels) -> int:
    """Return the CRC-32 of an image's samples, row by row."""
    return zlib.crc32(np.ascontiguousarray(pixels).tobytes())


def main() -> None:
    """Write everything."""
    folder = FOLDER / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.rnnic"):
        old.unlink()
    (FOLDER / "small.rnnm").write_bytes(small_model().to_bytes())
    lines = []
    for name, data in fixtures():
        (folder / f"{name}.rnnic").write_bytes(data)
        lines.append(f"{checksum(rnnic.decode(data)):08x} {name}.rnnic\n")
    (folder / "checksums.txt").write_text("".join(sorted(lines, key=lambda line: line[9:])))


if __name__ == "__main__":
    main()
