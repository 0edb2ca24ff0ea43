"""``rnnic bench``."""

import click

from rnnic.cli.common import compile_notice, model_option, progress_bar, threads_option
from rnnic.cli.compare import COMMANDS, LineProgress

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Compare with other codecs."""


@bench.command()
@click.option(
    "--folder", type=click.Path(), help="Folder with kodim01.png to kodim24.png; no download."
)
@click.option(
    "--method",
    default="raster",
    show_default=True,
    metavar="NAME",
    help="raster (the published one) or pyramid.",
)
@click.option(
    "--effort", type=click.IntRange(1, 9), default=5, show_default=True, help="Of method pyramid."
)
@click.option("--limit", type=click.IntRange(1, 24), metavar="N", help="Only the first N images.")
@click.option("--json", "json_path", type=click.Path(), help="Write the results there.")
@click.option("--overwrite", is_flag=True, help="Replace an existing JSON file.")
@click.option(
    "--peer",
    "peer_names",
    multiple=True,
    metavar="NAME",
    help="Only this other codec (again for more).",
)
@click.option("--no-peers", is_flag=True, help="Leave the other codecs out.")
@threads_option
@model_option
def kodak(
    folder: str | None,
    method: str | None,
    limit: int | None,
    json_path: str | None,
    effort: int,
    overwrite: bool,
    peer_names: tuple[str, ...],
    no_peers: bool,
    threads: int | None,
    model: str | None,
) -> None:
    """Check the published claims on the 24 Kodak images.

    Each is compressed to at least the PSNR of its JPEG at quality 100 (OpenCV). Exit code 1 if an
    image is not smaller than its JPEG, or all of them not more than 20 % smaller. The other codecs
    that are installed (`bench codecs` lists them) follow, with the smallest file of at least that PSNR.
    """
    import dataclasses
    import json
    from pathlib import Path

    from rnnic.bench import kodak as benchmark
    from rnnic.errors import RnnicError
    from rnnic.output import atomic_output, check_output

    if json_path is not None:
        check_output(json_path, overwrite=overwrite)
    benchmark.require_opencv()
    others = [] if no_peers else benchmark.peers(peer_names)
    with progress_bar() as progress:
        home = Path(folder) if folder else benchmark.download(limit, progress)
    images = benchmark.image_paths(home, limit)
    click.echo(benchmark.HEADING)
    rows = []
    with compile_notice():
        for path in images:
            row = benchmark.compare(path, method, threads, model, effort)
            rows.append(row)
            click.echo(row.line())
    result = benchmark.Result(rows)
    click.echo("\n".join(result.lines()))
    found = []
    with progress_bar() as progress:
        tell = progress or LineProgress().tell
        for index, (path, row) in enumerate(zip(images, rows, strict=True)):
            tell(index / len(images), f"{path.name}, other codecs")
            found += benchmark.compare_peers(path, others, row.jpeg_psnr)
    if found:
        click.echo("\n" + "\n".join(benchmark.peers_table(found, rows)))
    if json_path is not None:
        values = result.to_dict() | {"peers": [dataclasses.asdict(row) for row in found]}
        with atomic_output(json_path, overwrite=overwrite) as file:
            file.write(json.dumps(values, indent=2).encode() + b"\n")
    if not result.claims_hold:
        raise RnnicError("a published claim does not hold")


@bench.command()
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--psnr", type=float, default=44.0, show_default=True, help="PSNR of both, in dB.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--growth", is_flag=True, help="Time and memory at 0.4 and 24 megapixels instead.")
@click.option("--method", metavar="NAME", help="How pixels are coded.  [default: pyramid]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def speed(
    images: tuple[str, ...],
    psnr: float,
    rounds: int,
    growth: bool,
    method: str | None,
    as_json: bool,
) -> None:
    """Time one thread against OpenJPEG, on the same IMAGES at the same PSNR."""
    import dataclasses
    import json

    from rnnic.bench import speed as benchmark

    rows: list[benchmark.Growth] | list[benchmark.Speed]
    with compile_notice():
        if growth:
            rows = benchmark.measure_growth(images[0], psnr, method)
        else:
            rows = [benchmark.measure_speed(image, psnr, rounds, method) for image in images]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows]))
    else:
        click.echo("\n".join(benchmark.table(rows)))


for _command in COMMANDS:
    bench.add_command(_command)
