"""What ``rnnic batch`` tells while it runs."""

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rnnic.batch.work import Outcome

__all__ = ["BatchReport"]

_BAR = 20
_CLEAR = "\r\x1b[K"


class BatchReport:
    """Progress on a terminal, lines of JSON, failures, and a summary.

    As a context it takes its line of progress away in the end, also where an error ends the batch.
    """

    def __init__(self, total: int, as_json: bool, quiet: bool) -> None:
        self._total, self._as_json, self._quiet = total, as_json, quiet
        self._live = not quiet and sys.stderr.isatty()
        self._started = time.perf_counter()
        self._counts = {"done": 0, "skipped": 0, "failed": 0}
        self._worked = 0
        self._bytes_in = self._bytes_out = 0

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(self, *_error: object) -> None:
        self._clear()

    def add(self, outcome: "Outcome") -> None:
        """Take in what became of a file."""
        self._counts[outcome.status] += 1
        self._worked += outcome.seconds > 0
        self._bytes_in += outcome.bytes_in
        self._bytes_out += outcome.bytes_out
        if self._as_json or outcome.error is not None:
            self._clear()
        if self._as_json:
            click.echo(json.dumps(outcome.to_dict()))
        if outcome.error is not None:
            named = outcome.source in outcome.error
            told = outcome.error if named else f"{outcome.source}: {outcome.error}"
            click.echo(f"rnnic: {told}", err=True)
        self._show()

    def _show(self) -> None:
        if self._live:
            line = self._line()[: shutil.get_terminal_size().columns - 1]
            click.echo(_CLEAR + line, err=True, nl=False)

    def _clear(self) -> None:
        if self._live:
            click.echo(_CLEAR, err=True, nl=False)

    def _line(self) -> str:
        finished = sum(self._counts.values())
        full = _BAR * finished // self._total
        line = f"[{'#' * full}{'-' * (_BAR - full)}] {finished} of {self._total}"
        if self._worked:
            seconds = time.perf_counter() - self._started
            left = _clock(seconds / self._worked * (self._total - finished))
            line += f", {self._worked / seconds:.1f} files/s, {self._saved()}, {left} left"
        return line

    def _saved(self) -> str:
        saved = self._bytes_in - self._bytes_out
        if saved < 0:
            return f"{-saved / 1e6:.1f} MB more"
        share = f" ({100 * saved / self._bytes_in:.0f} %)" if self._bytes_in else ""
        return f"{saved / 1e6:.1f} MB saved{share}"

    def end(self) -> bool:
        """Print the summary; tells whether a file failed."""
        if not self._quiet:
            counts = ", ".join(f"{n} {status}" for status, n in self._counts.items() if n)
            click.echo(
                f"{counts}; {self._bytes_in} bytes to {self._bytes_out}, {self._saved()},"
                f" {_clock(time.perf_counter() - self._started)}",
                err=self._as_json,
            )
        return self._counts["failed"] > 0


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
