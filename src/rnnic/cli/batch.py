"""``rnnic batch``."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rnnic.cli.common import (
    encode_options,
    max_pixels_option,
    metadata_option,
    model_option,
    option_names,
    overwrite_option,
)
from rnnic.errors import RnnicError

if TYPE_CHECKING:
    from rnnic.batch.plan import Task
    from rnnic.batch.work import Job, Outcome

__all__ = ["batch"]

_MAX_DEFAULT_JOBS = 8

_SHARED = (
    click.argument("sources", nargs=-1, required=True),
    click.argument("dest"),
    click.option(
        "--jobs",
        type=click.IntRange(1),
        metavar="N",
        help="Files at once.  [default: one a CPU, at most 8]",
    ),
    click.option(
        "--skip-existing", is_flag=True, help="Leave files alone whose result is there already."
    ),
    click.option("--keep-suffix", is_flag=True, help="Name results a.png.rnnic, not a.rnnic."),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Work on a Dask cluster: tcp://HOST:PORT, or local, which starts one here.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for every file."),
    click.option("--quiet", is_flag=True, help="Print nothing but errors."),
)


def _shared_options(command: Any) -> Any:
    for option in reversed(_SHARED):
        command = option(command)
    return overwrite_option(command)


@click.group()
def batch() -> None:
    """Compress or decompress many files: folders are mirrored.

    SOURCES and DEST are files, folders, or URLs of stores that fsspec knows. A file that cannot be read is
    reported and left out; the exit code is 1 then. Results appear whole or not at all: after an
    interruption the same command with --skip-existing does the rest.
    """


@batch.command()
@_shared_options
@encode_options
@model_option
@metadata_option
def compress(kinds: str, **settings: Any) -> None:
    """Compress all images in SOURCES into DEST."""
    from PIL import Image

    from rnnic.batch.work import Job
    from rnnic.encoding import resolve_model
    from rnnic.metadata import Metadata
    from rnnic.methods import method_by_name
    from rnnic.options import EncodeOptions

    run = _Run.of(settings)
    options = {name: value for name, value in option_names(settings).items() if value is not None}
    # What is wrong with the options is told before any work.
    checked = EncodeOptions(**options)
    method_by_name(checked.chosen_method)
    resolve_model(checked.model)
    Metadata().chosen(kinds)
    Image.init()
    readable = {
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    }
    # Each file has a process of its own: its tiles need no threads.
    job = Job(compress=True, options=options | {"threads": 1}, metadata=kinds)
    run.go(job, frozenset(readable) - {".rnnic", ".pdf"}, ".rnnic")


@batch.command()
@_shared_options
@click.option("--format", "suffix", default="png", show_default=True, help="Suffix of the results.")
@click.option("--reduce", type=int, default=0, metavar="K", help="At 1 / 2^K of the size.")
@max_pixels_option
@model_option
def decompress(suffix: str, **settings: Any) -> None:
    """Decompress all .rnnic files in SOURCES into DEST."""
    from rnnic.batch.work import Job
    from rnnic.files import image_format

    run = _Run.of(settings)
    options = {name: value for name, value in settings.items() if value is not None}
    image_format(f"x.{suffix}")
    job = Job(compress=False, options=options | {"threads": 1})
    run.go(job, frozenset({".rnnic"}), f".{suffix}")


class _Run:
    """A batch, and what is told of it."""

    def __init__(self, sources: Sequence[str], dest: str, **settings: Any) -> None:
        self.sources, self.dest = sources, dest
        jobs: int | None = settings["jobs"]
        self.jobs = min(os.cpu_count() or 1, _MAX_DEFAULT_JOBS) if jobs is None else jobs
        self.skip: bool = settings["skip_existing"]
        self.overwrite: bool = settings["overwrite"]
        self.keep_suffix: bool = settings["keep_suffix"]
        self.scheduler: str | None = settings["scheduler"]
        self.as_json: bool = settings["as_json"]
        self.quiet: bool = settings["quiet"]
        if self.skip and self.overwrite:
            raise click.UsageError("--skip-existing and --overwrite exclude each other")

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "_Run":
        """Take the shared options out of a command's."""
        names = [
            *("sources", "dest", "jobs", "skip_existing", "overwrite", "keep_suffix"),
            *("scheduler", "as_json", "quiet"),
        ]
        return cls(**{name: settings.pop(name) for name in names})

    def go(self, job: "Job", suffixes: frozenset[str], new_suffix: str) -> None:
        """Do everything, and end with the exit code."""
        from rnnic.batch.plan import plan
        from rnnic.batch.run import run_local, run_on_dask
        from rnnic.batch.work import Outcome

        tasks = plan(self.sources, self.dest, suffixes, new_suffix, keep_suffix=self.keep_suffix)
        todo, skipped = self._split(tasks)
        # What is there by now was looked for: from here on a result may only replace its own.
        job = replace(job, overwrite=True)
        report = _Report(len(tasks), self.as_json, self.quiet)
        for task in skipped:
            report.add(Outcome(task.source, task.target, "skipped"))
        if self.scheduler is None:
            outcomes = run_local(todo, job, min(self.jobs, max(len(todo), 1)))
        else:
            outcomes = run_on_dask(todo, job, self.scheduler, self.jobs)
        for outcome in outcomes if todo else ():
            report.add(outcome)
        if report.end():
            sys.exit(1)

    def _split(self, tasks: "list[Task]") -> "tuple[list[Task], list[Task]]":
        """Return what is to be done and what is skipped.

        Raises
        ------
        RnnicError
            If results are there and nothing was said of them.
        """
        from rnnic.batch import stores

        if self.overwrite:
            return tasks, []
        there = [task for task in tasks if stores.exists(task.target)]
        if there and not self.skip:
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            raise RnnicError(
                f"{there[0].target}{more} exist already; use --skip-existing or --overwrite"
            )
        done = set(there)
        return [task for task in tasks if task not in done], there


class _Report:
    """Progress on a terminal, lines of JSON, failures, and a summary."""

    def __init__(self, total: int, as_json: bool, quiet: bool) -> None:
        self._total, self._as_json, self._quiet = total, as_json, quiet
        self._live = not quiet and sys.stderr.isatty()
        self._started = time.perf_counter()
        self._counts = {"done": 0, "skipped": 0, "failed": 0}
        self._bytes_in = self._bytes_out = 0

    def add(self, outcome: "Outcome") -> None:
        """Take in what became of a file."""
        self._counts[outcome.status] += 1
        self._bytes_in += outcome.bytes_in
        self._bytes_out += outcome.bytes_out
        if self._as_json:
            self._above(lambda: click.echo(json.dumps(outcome.to_dict())))
        if outcome.error is not None:
            told = outcome.error
            if outcome.source not in told:
                told = f"{outcome.source}: {told}"
            self._above(lambda: click.echo(f"rnnic: {told}", err=True))
        if self._live:
            click.echo(f"\r\x1b[K{self._line()}", err=True, nl=False)

    def _above(self, tell: Callable[[], None]) -> None:
        """Say something in the place of the line of progress."""
        if self._live:
            click.echo("\r\x1b[K", err=True, nl=False)
        tell()

    def _line(self) -> str:
        worked = self._counts["done"] + self._counts["failed"]
        seconds = time.perf_counter() - self._started
        finished = worked + self._counts["skipped"]
        line = f"{finished} of {self._total}"
        if worked:
            left = int(seconds / worked * (self._total - finished))
            line += f", {worked / seconds:.1f} files/s, {self._saved()}, {_clock(left)} left"
        return line

    def _saved(self) -> str:
        saved = self._bytes_in - self._bytes_out
        share = f" ({100 * saved / self._bytes_in:.0f} %)" if self._bytes_in else ""
        return f"{saved / 1e6:.1f} MB saved{share}"

    def end(self) -> bool:
        """Print the summary; tells whether a file failed."""
        if self._live:
            click.echo("\r\x1b[K", err=True, nl=False)
        if not self._quiet:
            counts = ", ".join(f"{n} {status}" for status, n in self._counts.items() if n)
            seconds = time.perf_counter() - self._started
            click.echo(
                f"{counts}; {self._bytes_in} bytes to {self._bytes_out}, {self._saved()},"
                f" {_clock(int(seconds))}",
                err=self._as_json,
            )
        return self._counts["failed"] > 0


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
