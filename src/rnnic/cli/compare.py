"""``rnnic bench curve``, ``matched``, ``codecs``, ``merge``, ``export`` and ``report``."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnic.cli.common import compile_notice, overwrite_option, progress_bar
from rnnic.errors import OptionError, RnnicError

if TYPE_CHECKING:
    from rnnic.bench.results import Results
    from rnnic.bench.runner import Curve, Matched

__all__ = ["COMMANDS", "LineProgress"]

_LINE_SECONDS = 20

sources_argument = click.argument("sources", nargs=-1, required=True, metavar="FOLDER...")


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that both kinds of run have."""
    for option in reversed(
        [
            click.option(
                "--codec",
                "codecs",
                multiple=True,
                metavar="NAME",
                help="A codec to measure (again for more).  [default: all that are installed]",
            ),
            click.option(
                "-o",
                "--output",
                default="bench.json",
                show_default=True,
                type=click.Path(),
                help="Results, written again after each step.",
            ),
            click.option("--resume", is_flag=True, help="Go on with the results in the output."),
            click.option("--rounds", type=int, default=3, show_default=True, help="Timings each."),
            click.option("--no-memory", is_flag=True, help="Do not measure peak memory."),
            overwrite_option,
        ]
    ):
        command = option(command)
    return command


@click.command()
def codecs() -> None:
    """List the codecs that can be compared, and what is missing for the others."""
    from rnnic.bench import codecs as bench_codecs

    absent = bench_codecs.missing()
    for name, codec in bench_codecs.registry().items():
        note = f"missing: {absent[name]}" if name in absent else codec.version()
        click.echo(f"{name:<10} {codec.label}: {codec.description}\n{'':<10} {note}")


@click.command()
@sources_argument
@click.option(
    "--goal",
    "goals",
    multiple=True,
    metavar="GOAL",
    default=["jpeg-420@100"],
    show_default=True,
    help="PSNR in dB, or CODEC@SETTING for what that reaches on each image (again for more).",
)
@_run_options
def matched(sources: Sequence[str], goals: Sequence[str], **options: Any) -> None:
    """Find each codec's smallest file of at least a PSNR, for images and all in folders.

    Exit code 1 if an image could not be used; it is named, and all others are measured.
    """
    from rnnic.bench import runner

    chosen = tuple(runner.parse_goal(goal) for goal in dict.fromkeys(goals))
    results = _measured(runner.Matched(chosen), sources, **options)
    _tell(results, None)
    _end(results)


@click.command()
@sources_argument
@click.option("--anchor", default="jpeg-420", show_default=True, metavar="NAME")
@click.option(
    "--points", type=click.IntRange(2), metavar="N", help="Only N settings of each ladder."
)
@_run_options
def curve(sources: Sequence[str], anchor: str, points: int | None, **options: Any) -> None:
    """Measure each codec over its range of quality, and its BD-rate against an anchor.

    Exit code 1 if an image could not be used; it is named, and all others are measured.
    """
    from rnnic.bench import runner
    from rnnic.bench.codecs import codec_of

    codec_of(anchor)
    if options["codecs"] and anchor not in options["codecs"]:
        options["codecs"] = (*options["codecs"], anchor)
    results = _measured(runner.Curve(points), sources, **options)
    _tell(results, anchor)
    _end(results)


def _measured(
    plan: "Curve | Matched",
    sources: Sequence[str],
    codecs: Sequence[str],
    output: str,
    **options: Any,
) -> "Results":
    """Run a benchmark; its results are in the output after each step."""
    from rnnic.bench import runner
    from rnnic.bench.codecs import available, missing
    from rnnic.output import STANDARD

    if output == STANDARD:
        raise OptionError(
            "the results are a file that a run can go on with; name one with --output"
        )
    settings = runner.Settings(options["rounds"], not options["no_memory"])
    chosen = available(codecs)
    if not codecs:
        for name, why in missing().items():
            click.echo(f"rnnic: without {name}: {why}", err=True)
    paths = runner.find_images(sources)
    results = _begun(plan.mode, output, options["resume"], options["overwrite"])
    run = runner.Run(plan, chosen, settings, results)
    with compile_notice(), progress_bar() as bar:
        told = bar or LineProgress().tell
        for _ in run.images(paths, told, lambda: results.save(output)):
            pass
    results.save(output)
    if not results.images:
        reasons = "; ".join(results.skipped.values())
        raise RnnicError(f"none of the images could be used: {reasons}")
    return results


class LineProgress:
    """Progress where there is no terminal: a line now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def tell(self, done: float, what: str) -> None:
        """Tell the state, unless the last line is recent."""
        if time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            click.echo(f"rnnic: {100 * done:.0f} %: {what}", err=True)


def _begun(mode: str, output: str, resume: bool, overwrite: bool) -> "Results":
    """Return what the output holds if it is to be gone on with, else empty results."""
    from rnnic.bench.results import Results
    from rnnic.output import OutputExistsError, check_output

    if resume and Path(output).exists():
        results = Results.load(output)
        if results.mode != mode:
            raise RnnicError(f"{output}: holds results of bench {results.mode}; name another file")
        results.skipped.clear()
        return results
    try:
        check_output(output, overwrite=overwrite)
    except OutputExistsError as error:
        raise OutputExistsError(
            f"{output}: exists already; go on with it (--resume), replace it (--overwrite), or name"
            " another"
        ) from error
    return Results(mode)


def _tell(results: "Results", anchor: str | None) -> None:
    """Print the tables."""
    from rnnic.bench import tables
    from rnnic.bench.bdrate import bd_rates

    if anchor is None:
        for rung in tables.goals(results):
            click.echo("\n".join(tables.matched_table(results, rung)) + "\n")
        return
    try:
        rates = bd_rates(results, anchor)
    except RnnicError as error:
        click.echo(f"rnnic: no BD-rates: {error}", err=True)
    else:
        click.echo("\n".join(tables.bd_table(results, rates, anchor)) + "\n")
    click.echo("\n".join(tables.speed_table(results)))


def _end(results: "Results") -> None:
    """Name what failed; exit code 1 if anything did."""
    from rnnic.bench import tables

    lines = [f"left out: {why}" for why in results.skipped.values()] + tables.failures(results)
    for line in lines:
        click.echo(f"rnnic: {line}", err=True)
    if lines:
        sys.exit(1)


@click.command()
@click.argument("parts", nargs=-1, required=True, metavar="RESULT...", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Merged results.")
@overwrite_option
def merge(parts: Sequence[str], output: str, overwrite: bool) -> None:
    """Merge results of several runs, of other images or codecs; the later file wins."""
    from rnnic.bench.results import Results
    from rnnic.bench.results import merge as merge_results
    from rnnic.output import check_output

    check_output(output, overwrite=overwrite)
    whole = merge_results([Results.load(part) for part in parts])
    whole.save(output)
    click.echo(f"{output}: {len(whole.points)} points, {whole.to_dict()['description']}")


@click.command()
@click.argument("result", type=click.Path())
@click.option("--csv", "csv_path", type=click.Path(), help="All points; - is standard output.")
@click.option(
    "--compressai",
    type=click.Path(file_okay=False),
    help="Folder for a file per codec, as CompressAI's plots read them.",
)
@click.option("--anchor", default="jpeg-420", show_default=True, help="Of the BD-rates shown.")
@overwrite_option
def export(
    result: str, csv_path: str | None, compressai: str | None, anchor: str, overwrite: bool
) -> None:
    """Print a result's tables, or write it as CSV or as files for CompressAI."""
    import json

    from rnnic.bench.results import CURVE, Results
    from rnnic.output import atomic_output

    results = Results.load(result)
    if csv_path is not None:
        with atomic_output(csv_path, overwrite=overwrite) as file:
            file.write(results.to_csv().encode())
    if compressai is not None:
        folder = Path(compressai)
        folder.mkdir(parents=True, exist_ok=True)
        for codec in results.to_dict()["codecs"]:
            values = {key: codec[key] for key in ("name", "description", "results")}
            with atomic_output(folder / f"{codec['name']}.json", overwrite=overwrite) as file:
                file.write(json.dumps(values, indent=2).encode() + b"\n")
    if csv_path is None and compressai is None:
        _tell(results, anchor if results.mode == CURVE else None)


@click.command()
@click.argument("parts", nargs=-1, required=True, metavar="RESULT...", type=click.Path())
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path())
@click.option("--anchor", default="jpeg-420", show_default=True, help="Of the BD-rates.")
@click.option(
    "--crops",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    metavar="N",
    help="Images to show details of; they are read and coded again.",
)
@overwrite_option
def report(parts: Sequence[str], output: str, anchor: str, crops: int, overwrite: bool) -> None:
    """Make one HTML page of the results of curve, matched, or both; it needs no network."""
    from rnnic.bench.report import make_report
    from rnnic.bench.results import Results
    from rnnic.output import atomic_output, check_output

    check_output(output, overwrite=overwrite)
    page = make_report([Results.load(part) for part in parts], anchor, crops)
    with atomic_output(output, overwrite=overwrite) as file:
        file.write(page.encode())


COMMANDS = (codecs, matched, curve, merge, export, report)
