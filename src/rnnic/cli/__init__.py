"""The command ``rnnic``.

Only click is imported when a command line is read: what a command needs, it imports when it runs.
"""

import logging
import signal
import sys
from typing import Any, NoReturn

import click

from rnnic._version import __version__
from rnnic.cli.batch import batch
from rnnic.cli.bench import bench
from rnnic.cli.codec import compress, decompress, info
from rnnic.cli.demo import demo
from rnnic.cli.palette import palette
from rnnic.cli.view import view
from rnnic.errors import OptionError, RnnicError

__all__ = ["Failure", "command_line", "main"]

_TERMINATED = 143


class Failure(click.ClickException):
    """An error that is one line on standard error."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"rnnic: {self.message}", file=file or sys.stderr)


class _WrongUse(Failure):
    """An option that has no meaning."""

    exit_code = click.UsageError.exit_code


class _Interrupted(Failure):
    """The user pressed Ctrl-C."""

    exit_code = 130


class _Group(click.Group):
    """A group of commands whose expected errors are one line, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OptionError as error:
            raise _WrongUse(str(error)) from error
        except RnnicError as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            raise  # click ends quietly when the reader of its output does
        except OSError as error:
            reason = error.strerror or str(error)
            name = f"{error.filename}: " if error.filename is not None else ""
            raise Failure(name + reason) from error
        except MemoryError as error:
            note = f"{error.args[0]}: " if error.args else ""
            raise Failure(
                f"{note}not enough memory; use fewer --threads, or a smaller image or region"
            ) from error
        except KeyboardInterrupt as error:
            raise _Interrupted("interrupted; nothing was left half-written") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rnnic")
def command_line() -> None:
    """Compress photos as indices into a shared palette of pixel differences.

    A file name "-" is standard input or output; one such as s3://bucket/photo.png is a URL, read and written
    through fsspec.
    """


for _command in (compress, decompress, info, batch, demo, view, bench, palette):
    command_line.add_command(_command)


def _terminate(_signal: int, _frame: Any) -> NoReturn:
    raise SystemExit(_TERMINATED)


def main() -> None:
    """Run the command line."""
    # An exception lets outputs in the making be removed, as an interrupt from the keyboard does.
    signal.signal(signal.SIGTERM, _terminate)
    # Pillow logs what it finds in damaged files; the error that follows says enough.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    command_line(prog_name="rnnic")
