"""A round trip that is checked: compress to a file, decode it from disk, compare, draw."""

import dataclasses
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rnnic.api import decode, encode_image, info
from rnnic.figures import coded_data_picture, collect_traces
from rnnic.files import load_image, save_image
from rnnic.methods import method_by_name
from rnnic.metrics import max_error, psnr
from rnnic.options import EncodeOptions
from rnnic.output import atomic_output

__all__ = ["DemoReport", "run_demo"]

Pixels = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]
_SMALL = 64


@dataclass(frozen=True)
class DemoReport:
    """What a round trip showed; sizes in bytes, times in seconds."""

    image: str
    size: tuple[int, int]
    channels: int
    equal: bool
    psnr: float
    max_error: float
    threshold: float | None
    file_bytes: int
    raw_bytes: int
    source_bytes: int
    source_format: str
    png_bytes: int
    jpeg_bytes: int
    jpeg_psnr: float
    compress_seconds: float
    decompress_seconds: float
    shares: dict[str, float]
    compressed: Path
    decoded: Path
    picture: Path

    def lines(self) -> list[str]:
        """Return the report as text."""
        width, height = self.size
        pixels = width * height

        def size(count: int) -> str:
            return f"{count:>11,} bytes {8 * count / pixels:8.3f} bits per pixel"

        def speed(seconds: float) -> str:
            return f"{seconds:.2f} s, {pixels / seconds / 1e6:.2f} MP/s"

        bound = "" if self.threshold is None else f" (threshold {self.threshold:g})"
        proof = (
            "equal in every pixel to the encoder's reconstruction"
            if self.equal
            else "NOT EQUAL to the encoder's reconstruction"
        )
        colours = "grey" if self.channels == 1 else "RGB"
        shares = (f"{name} {100 * share:.1f} %" for name, share in self.shares.items())
        rows = {
            "image": f"{self.image}, {width} x {height}, {colours}",
            "decoded file": proof,
            "PSNR": f"{self.psnr:.2f} dB",
            "largest error": f"{self.max_error:.3f}{bound}, Euclidean, 8-bit RGB units",
            "pixels": size(self.raw_bytes),
            f"source, {self.source_format}": size(self.source_bytes),
            "PNG": size(self.png_bytes),
            "JPEG, q 100": f"{size(self.jpeg_bytes)}, {self.jpeg_psnr:.2f} dB",
            "RNNIC": f"{size(self.file_bytes)}, {self.psnr:.2f} dB",
            "compress": speed(self.compress_seconds),
            "decompress": speed(self.decompress_seconds),
            "coded by": ", ".join(shares),
            "written": f"{self.compressed}, {self.decoded}, {self.picture}",
        }
        return [f"{name:<14} {text}" for name, text in rows.items()]


def _as_png(pixels: Pixels) -> int:
    """Return the size of the pixels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.tell()


def _as_jpeg(pixels: Pixels) -> tuple[int, float]:
    """Return size and PSNR of the pixels as JPEG at quality 100, 4:2:0 as is common."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling="4:2:0")
    with Image.open(buffer) as image:
        return len(buffer.getvalue()), psnr(pixels, np.asarray(image))


def _without_target(options: EncodeOptions) -> EncodeOptions:
    """Return options that can be met by any image."""
    return dataclasses.replace(
        options, quality=50.0, error_threshold=None, target_psnr=None, target_bytes=None
    )


def run_demo(
    source: str, folder: Path, options: EncodeOptions, progress: Progress | None = None
) -> DemoReport:
    """Compress an image to a file, decode that file, compare and draw.

    Parameters
    ----------
    source : path
        An image.
    folder : Path
        Where the compressed file, the decoded image and the picture are written; made if missing.
    options : EncodeOptions
        How to compress.
    progress : callable, optional
        Receives the fraction done and what is being done.

    Raises
    ------
    RnnicError
        If the image cannot be read or compressed.
    OSError
        If a file cannot be read or written.
    """
    loaded = load_image(source)
    pixels = loaded.pixels
    stem = "image" if source == "-" else Path(source).stem
    folder.mkdir(parents=True, exist_ok=True)
    compressed = folder / f"{stem}.rnnic"
    # A first, small one lets the kernels be compiled, or fetched from their cache, untimed. It must be large
    # enough for filters of its own.
    encode_image(pixels[:_SMALL, :_SMALL], _without_target(options))
    started = time.perf_counter()
    encoded = encode_image(pixels, options, loaded.metadata, progress)
    compress_seconds = time.perf_counter() - started
    with atomic_output(compressed, overwrite=True) as file:
        file.write(encoded.data)

    data = compressed.read_bytes()
    corner = (0, 0, 1, 1)
    decode(data, region=corner, threads=options.threads, model=options.model)
    started = time.perf_counter()
    decoded = decode(data, threads=options.threads, model=options.model)
    decompress_seconds = time.perf_counter() - started
    equal = np.array_equal(decoded, encoded.reconstruction)

    decoded_path = folder / f"{stem}.decoded.png"
    save_image(decoded_path, decoded, loaded.metadata, overwrite=True)
    found = info(data)
    names = method_by_name(found.method).labels
    coded = collect_traces(encoded.traces(), pixels.shape[:2], names)
    quality = psnr(pixels, decoded)
    caption = (
        f"{stem}: {len(data):,} bytes, {found.bits_per_pixel:.3f} bits per pixel, {quality:.2f} dB"
    )
    picture = folder / f"{stem}.coded.png"
    drawn = coded_data_picture(pixels, decoded, coded, caption)
    save_image(picture, np.asarray(drawn), overwrite=True)
    jpeg_bytes, jpeg_psnr = _as_jpeg(pixels)
    return DemoReport(
        image=loaded.name,
        size=(found.width, found.height),
        channels=found.channels,
        equal=equal,
        psnr=quality,
        max_error=max_error(pixels, decoded),
        threshold=found.parameters.get("error_threshold"),
        file_bytes=len(data),
        raw_bytes=pixels.size,
        source_bytes=0 if source == "-" else Path(source).stat().st_size,
        source_format=loaded.format,
        png_bytes=_as_png(pixels),
        jpeg_bytes=jpeg_bytes,
        jpeg_psnr=jpeg_psnr,
        compress_seconds=compress_seconds,
        decompress_seconds=decompress_seconds,
        shares=dict(zip(names, coded.shares(), strict=True)),
        compressed=compressed,
        decoded=decoded_path,
        picture=picture,
    )
