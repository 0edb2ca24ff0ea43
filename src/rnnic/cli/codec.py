"""``rnnic compress``, ``decompress`` and ``info``."""

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from rnnic.cli.common import (
    compile_notice,
    encode_options,
    max_pixels_option,
    metadata_option,
    model_option,
    naming,
    option_names,
    overwrite_option,
    progress_bar,
    region_of,
    threads_option,
)

if TYPE_CHECKING:
    from rnnic.api import Encoded
    from rnnic.files import LoadedImage

__all__ = ["compress", "decompress", "info"]


@click.command()
@click.argument("image", type=click.Path())
@click.argument("out", type=click.Path())
@click.argument("error_threshold", type=float, required=False)
@encode_options
@threads_option
@model_option
@metadata_option
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def compress(
    image: str,
    out: str,
    error_threshold: float | None,
    kinds: str,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Compress IMAGE, of any format that Pillow reads, into OUT.

    ERROR_THRESHOLD is the published way to say --error-threshold.
    """
    if error_threshold is not None:
        if settings["threshold_option"] is not None:
            raise click.UsageError("ERROR_THRESHOLD is given twice")
        settings["threshold_option"] = error_threshold
        settings["method"] = settings["method"] or "raster"

    from rnnic.api import encode_image
    from rnnic.files import load_image
    from rnnic.options import EncodeOptions
    from rnnic.output import atomic_output, check_output

    options = EncodeOptions(**option_names(settings))
    check_output(out, overwrite=overwrite)
    loaded = load_image(image)
    metadata = loaded.metadata.chosen(kinds)
    started = time.perf_counter()
    with naming(loaded.name), compile_notice(quiet), progress_bar(quiet) as progress:
        encoded = encode_image(loaded.pixels, options, metadata, progress)
    seconds = time.perf_counter() - started
    with atomic_output(out, overwrite=overwrite) as file:
        file.write(encoded.data)
    if not quiet:
        report = _report(image, out, loaded, encoded, seconds)
        text = json.dumps(report) if as_json else _summary(report)
        click.echo(text, err=out == "-")


def _report(
    image: str, out: str, loaded: "LoadedImage", encoded: "Encoded", seconds: float
) -> dict[str, Any]:
    """Return what compress did, as JSON values."""
    import math
    from pathlib import Path

    from rnnic.api import info as describe
    from rnnic.metrics import max_error, psnr
    from rnnic.stores import is_url

    found = describe(encoded.data)
    quality = psnr(loaded.pixels, encoded.reconstruction)
    return {
        "image": loaded.name,
        "out": out,
        "width": found.width,
        "height": found.height,
        "channels": found.channels,
        "image_file_bytes": None if image == "-" or is_url(image) else Path(image).stat().st_size,
        "bit_depth": found.bit_depth,
        "raw_bytes": loaded.pixels.nbytes,
        "bytes": len(encoded.data),
        "ratio": loaded.pixels.nbytes / len(encoded.data),
        "bits_per_pixel": found.bits_per_pixel,
        "psnr": quality if math.isfinite(quality) else None,
        "lossless": math.isinf(quality),
        "max_error": max_error(loaded.pixels, encoded.reconstruction),
        "method": found.method,
        "parameters": found.parameters,
        "metadata": found.metadata.sizes(),
        "seconds": seconds,
    }


def _summary(report: dict[str, Any]) -> str:
    quality = "lossless" if report["lossless"] else f"{report['psnr']:.2f} dB"
    error = "" if report["lossless"] else f", no pixel off by more than {report['max_error']:.2f}"
    return (
        f"{report['image']}: {report['width']} x {report['height']},"
        f" {report['raw_bytes']} bytes of pixels to {report['bytes']}"
        f" ({report['ratio']:.2f} to 1, {report['bits_per_pixel']:.3f} bits per pixel),"
        f" {quality}{error}, {report['seconds']:.2f} s"
    )


@click.command()
@click.argument("file", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--region", type=region_of, metavar="X,Y,W,H", help="Only this part, in pixels.")
@click.option("--reduce", type=int, default=0, metavar="K", help="At 1 / 2^K of the size.")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Decode what is intact of a damaged file, fill the rest, report it; exit code 1.",
)
@threads_option
@max_pixels_option
@model_option
@overwrite_option
def decompress(
    file: str,
    out: str,
    region: tuple[int, int, int, int] | None,
    reduce: int,
    keep_going: bool,
    threads: int | None,
    max_pixels: int | None,
    model: str | None,
    overwrite: bool,
) -> None:
    """Decompress FILE into OUT, whose suffix says the format.

    All formats written keep every pixel, except JPEG.
    """
    from rnnic.api import decode, decode_report
    from rnnic.api import info as describe
    from rnnic.container import DEFAULT_MAX_PIXELS
    from rnnic.files import check_format, image_format, read_bytes, save_image
    from rnnic.output import check_output

    image_format(out)
    check_output(out, overwrite=overwrite)
    data = read_bytes(file)
    name = "standard input" if file == "-" else file
    options: dict[str, Any] = {
        "region": region,
        "reduce": reduce,
        "threads": threads,
        "max_pixels": DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels,
        "model": model,
    }
    damage: list[str] = []
    with naming(name), compile_notice():
        if keep_going:
            pixels, report, metadata = decode_report(data, **options)
            damage = report.lines()
        else:
            found = describe(data)
            check_format(out, alpha=found.alpha, bit_depth=found.bit_depth)
            pixels, metadata = decode(data, **options), found.metadata
    save_image(out, pixels, metadata, overwrite=overwrite)
    for line in damage:
        click.echo(f"{name}: {line}", err=True)
    if damage:
        sys.exit(1)


@click.command()
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(file: str, as_json: bool) -> None:
    """Say what FILE holds, after checking all its checksums."""
    from rnnic.api import info as describe
    from rnnic.files import read_bytes

    with naming("standard input" if file == "-" else file):
        found = describe(read_bytes(file)).to_dict()
    if as_json:
        click.echo(json.dumps({"file": file} | found))
        return
    found["bits_per_pixel"] = round(found["bits_per_pixel"], 4)
    for name in ("parameters", "metadata"):
        pairs = (f"{key} {value}" for key, value in found[name].items())
        found[name] = ", ".join(pairs) or "none"
    if found["metadata"] != "none":
        found["metadata"] += " (bytes)"
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):<15} {value}")
