"""What the commands share: kinds of values, progress, messages."""

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import click

from rnnic.errors import RnnicError

__all__ = [
    "compile_notice",
    "encode_options",
    "max_pixels_option",
    "metadata_option",
    "model_option",
    "naming",
    "neighbors_option",
    "option_names",
    "overwrite_option",
    "progress_bar",
    "region_of",
    "size_in_bytes",
    "threads_option",
]

Progress = Callable[[float, str], None]

_BAR_STEPS = 1000
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def size_in_bytes(text: str) -> int:
    """Return a number of bytes, written plainly or as in ``250k`` or ``1.5M``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)b?", text.strip().lower())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size; write bytes, 250k or 1.5M")
    return int(float(match[1]) * _UNITS[match[2]])


def region_of(text: str) -> tuple[int, int, int, int]:
    """Return a region's x, y, width and height."""
    try:
        x, y, width, height = map(int, text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a region; write X,Y,W,H in pixels") from error
    return x, y, width, height


overwrite_option = click.option("--overwrite", is_flag=True, help="Replace existing output.")
threads_option = click.option(
    "--threads", type=int, metavar="N", help="Tiles at once.  [default: one a CPU, at most 8]"
)
model_option = click.option(
    "--model", type=click.Path(), metavar="FILE", help="Model file.  [default: the one shipped]"
)
neighbors_option = click.option(
    "--neighbors",
    default="exact",
    show_default=True,
    metavar="NAME",
    help="Search for neighbours: exact, ckdtree, faiss, annoy, hnswlib or voyager.",
)
max_pixels_option = click.option(
    "--max-pixels", type=int, metavar="N", help="Refuse larger images.  [default: 268435456]"
)


metadata_option = click.option(
    "--metadata",
    "kinds",
    default="all",
    metavar="KINDS",
    help="What goes along: all, none, or some of exif,icc,xmp,text.  [default: all]",
)

_ENCODE_OPTIONS = (
    click.option("--quality", type=float, metavar="Q", help="0 to 100, lossless.  [default: 90]"),
    click.option("--psnr", type=float, metavar="DB", help="Least bytes found with this PSNR."),
    click.option(
        "--size", type=size_in_bytes, metavar="BYTES", help="Best quality found within this size."
    ),
    click.option(
        "--error-threshold",
        "threshold_option",
        type=float,
        metavar="T",
        help="No pixel is further off, in 8-bit RGB units; 0: lossless.",
    ),
    click.option("--step", type=float, metavar="D", help="Method pyramid: step size, in samples."),
    click.option(
        "--effort",
        type=click.IntRange(1, 9),
        default=5,
        help="Method pyramid: 1 (fastest) to 9 (smallest).  [default: 5]",
    ),
    click.option(
        "--method",
        metavar="NAME",
        help="pyramid, or raster, which bounds every pixel's error.  [default: pyramid]",
    ),
    click.option(
        "--alpha-quality",
        type=float,
        default=100.0,
        metavar="Q",
        help="100: lossless.  [default: 100]",
    ),
    click.option("--keep-hidden", is_flag=True, help="Code colours under alpha 0 too."),
    neighbors_option,
    click.option("--tile-size", type=int, metavar="N", help="Side of a tile, 16 to 4096 pixels."),
)


def encode_options(command: Any) -> Any:
    """Give a command the options that say how images are encoded."""
    for option in reversed(_ENCODE_OPTIONS):
        command = option(command)
    return command


def option_names(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what `encode_options` gave under the names that the API has."""
    named = {"psnr": "target_psnr", "size": "target_bytes", "threshold_option": "error_threshold"}
    return {named.get(name, name): value for name, value in settings.items()}


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Put a file's name before the messages of errors that do not say what file they are about."""
    try:
        yield
    except RnnicError as error:
        if name in str(error):
            raise
        raise type(error)(f"{name}: {error}") from error
    except MemoryError as error:
        raise MemoryError(name) from error


@contextlib.contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Progress | None]:
    """Yield a function that shows progress; None where standard error is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=_BAR_STEPS, file=sys.stderr, show_pos=False) as bar:

        def tell(done: float, what: str) -> None:
            bar.label = what
            # Set and not advanced, for a search begins anew with every trial.
            bar.pos = int(_BAR_STEPS * min(max(done, 0.0), 1.0))
            bar.render_progress()

        yield tell


@contextlib.contextmanager
def compile_notice(quiet: bool = False) -> Iterator[None]:
    """Say so, once, when kernels have to be compiled, which only the first run does."""
    if quiet:
        yield
        return
    from rnnic._jit import tell_of_compiling

    first = threading.Lock()

    def tell() -> None:
        if first.acquire(blocking=False):
            clear = "\r\x1b[K" if sys.stderr.isatty() else ""
            click.echo(
                f"{clear}rnnic: compiling kernels for this machine (first run only, up to a minute)",
                err=True,
            )

    with tell_of_compiling(tell):
        yield
