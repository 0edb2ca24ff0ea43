"""``rnnic batch``."""

import contextlib
import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rnnic.cli.batch_report import BatchReport
from rnnic.cli.common import (
    compile_notice,
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
    from rnnic.batch.work import Job

__all__ = ["batch"]

_MAX_DEFAULT_JOBS = 8
_NOT_PIXELS = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
"""What Pillow knows by its first bytes, but does not read without other programs."""

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
    from rnnic.batch.work import Job

    run = _Run.of(settings)
    options = {name: value for name, value in option_names(settings).items() if value is not None}
    _check_options(options, kinds)
    # Each file has a process of its own: its tiles need no threads.
    job = Job(compress=True, options=options | {"threads": 1}, metadata=kinds)
    run.go(job, _readable_suffixes(), ".rnnic")


def _check_options(options: dict[str, Any], kinds: str) -> None:
    """Say what is wrong with the options before any work; what encodes is not imported for that."""
    from rnnic.metadata import Metadata
    from rnnic.methods import METHOD_NAMES, method_by_name
    from rnnic.model import Model
    from rnnic.options import EncodeOptions

    checked = EncodeOptions(**options)
    if checked.chosen_method not in METHOD_NAMES:
        method_by_name(checked.chosen_method)
    if checked.neighbors != "exact":
        from rnnic.search import make_search

        make_search(checked.neighbors)
    if options.get("model") is not None:
        Model.load(options["model"])
    Metadata().chosen(kinds)


def _readable_suffixes() -> frozenset[str]:
    """Return the suffixes of the images that Pillow reads."""
    from PIL import Image

    Image.init()
    return frozenset(
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in Image.OPEN and kind not in _NOT_PIXELS and suffix != ".rnnic"
    )


@batch.command()
@_shared_options
@click.option("--format", "suffix", default="png", show_default=True, help="Suffix of the results.")
@click.option(
    "--reduce", type=click.IntRange(0, 5), default=0, metavar="K", help="At 1 / 2^K of the size."
)
@max_pixels_option
@model_option
def decompress(suffix: str, **settings: Any) -> None:
    """Decompress all .rnnic files in SOURCES into DEST."""
    from rnnic.batch.work import Job
    from rnnic.files import image_format

    run = _Run.of(settings)
    options = {name: value for name, value in settings.items() if value is not None}
    suffix = "." + suffix.removeprefix(".")
    image_format("x" + suffix)
    job = Job(compress=False, options=options | {"threads": 1})
    run.go(job, frozenset({".rnnic"}), suffix)


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
        from rnnic.batch import stores
        from rnnic.batch.plan import plan
        from rnnic.batch.pool import get_ready
        from rnnic.batch.run import run
        from rnnic.batch.work import Outcome

        if self.scheduler is None:
            get_ready()
        planned = plan(self.sources, self.dest, suffixes, new_suffix, keep_suffix=self.keep_suffix)
        todo, skipped = self._split(planned.tasks)
        existing = "replace" if self.overwrite else "skip" if self.skip else "fail"
        job = replace(job, existing=existing)
        stores.make_folder(self.dest)
        stores.clear_unfinished(task.target for task in planned.tasks)
        total = len(planned.tasks) + len(planned.unreadable)
        report = BatchReport(total, self.as_json, self.quiet)
        for name, why in planned.unreadable:
            report.add(Outcome(name, None, "failed", error=why))
        for task in skipped:
            report.add(Outcome(task.source, task.target, "skipped"))
        notice = functools.partial(compile_notice, self.quiet)
        with (
            report,
            contextlib.closing(run(todo, job, self.jobs, self.scheduler, notice)) as outcomes,
        ):
            for outcome in outcomes:
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
        there = stores.existing([task.target for task in tasks], self.dest)
        if there and not self.skip:
            more = f" and {len(there) - 1} more exist" if len(there) > 1 else " exists"
            raise RnnicError(f"{min(there)}{more} already; use --skip-existing or --overwrite")
        return (
            [task for task in tasks if task.target not in there],
            [task for task in tasks if task.target in there],
        )
