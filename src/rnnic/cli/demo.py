"""``rnnic demo``."""

import dataclasses
import json
from typing import Any

import click

from rnnic.cli.common import (
    compile_notice,
    model_option,
    naming,
    neighbors_option,
    progress_bar,
    threads_option,
)

__all__ = ["demo"]


@click.command()
@click.argument("image", type=click.Path())
@click.argument("error_threshold", type=float, required=False)
@click.option("--quality", type=float, metavar="Q", help="0 to 100, lossless.  [default: 90]")
@click.option("--psnr", type=float, metavar="DB", help="Least bytes found with this PSNR.")
@click.option(
    "--method",
    metavar="NAME",
    help="pyramid, or raster, which bounds every pixel's error.  [default: pyramid]",
)
@neighbors_option
@click.option(
    "--folder",
    type=click.Path(),
    default="rnnic-demo",
    show_default=True,
    help="Where the files are written; those of an earlier demo of the image are replaced.",
)
@threads_option
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def demo(
    image: str, error_threshold: float | None, folder: str, as_json: bool, **settings: Any
) -> None:
    """Compress IMAGE, decode the file, prove that all is well, draw the coded data."""
    if error_threshold is not None:
        settings["method"] = settings["method"] or "raster"

    from pathlib import Path

    from rnnic.demo import run_demo
    from rnnic.errors import RnnicError
    from rnnic.options import EncodeOptions

    options = EncodeOptions(
        error_threshold=error_threshold, target_psnr=settings.pop("psnr"), **settings
    )
    with naming(image), compile_notice(), progress_bar() as progress:
        report = run_demo(image, Path(folder), options, progress)
    if as_json:
        values = dataclasses.asdict(report)
        click.echo(json.dumps(values, default=str))
    else:
        click.echo("\n".join(report.lines()))
    if not report.equal:
        raise RnnicError(f"{image}: the decoded pixels differ from the encoder's reconstruction")
