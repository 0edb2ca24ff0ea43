"""Output that appears under its name whole or not at all."""

import contextlib
import errno
import io
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rnnic.errors import RnnicError
from rnnic.stores import is_url, local_path, url_exists, url_output

__all__ = ["STANDARD", "OutputExistsError", "atomic_output", "check_output"]

PathLike = str | os.PathLike[str]

STANDARD = "-"
"""The name that means standard input or output."""
_TEMPORARY = ".rnnic-"


class OutputExistsError(RnnicError, FileExistsError):
    """The output is there already and is not to be replaced."""


def check_output(path: PathLike, *, overwrite: bool = False) -> None:
    """Check, before any work is done, that an output could be written.

    Raises
    ------
    OutputExistsError
        If it exists and is not to be replaced.
    RnnicError
        If it is a folder, or its folder does not exist or cannot be written to.
    MissingDependencyError, OSError
        If it is a URL that nothing at hand can write to, or whose store does not answer.
    """
    if os.fspath(path) == STANDARD:
        return
    final = _local(path)
    if final is None:
        if not overwrite and url_exists(os.fspath(path)):
            raise _exists(path)
        return
    if final.is_dir():
        raise RnnicError(f"{path}: is a folder; name a file in it")
    if final.exists():
        if _is_special(final):
            return
        if not overwrite:
            raise _exists(path)
    if not final.parent.is_dir():
        raise RnnicError(f"{path}: there is no folder {final.parent}; make it first")
    if not os.access(final.parent, os.W_OK):
        raise RnnicError(f"{path}: no permission to write into the folder {final.parent}")


def _local(path: PathLike) -> Path | None:
    """Return the file that a path or URL leads to, None if that is in a store."""
    local = local_path(os.fspath(path)) if is_url(path) else os.fspath(path)
    return None if local is None else Path(os.path.realpath(local))


def _exists(path: PathLike) -> OutputExistsError:
    return OutputExistsError(f"{path}: exists already; choose another name or --overwrite")


def _is_special(path: Path) -> bool:
    """Return whether the path is a device or a pipe, which must not be replaced by a file."""
    return not stat.S_ISREG(path.stat().st_mode)


@contextlib.contextmanager
def atomic_output(path: PathLike, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only once it is complete.

    What is written goes to a temporary file in the same folder, one without a name where the system has
    such files. It takes the final name when the block ends, and is removed when it ends by an error or
    an interrupt. Through a symbolic link the file it leads to is replaced. Devices and pipes are written
    to directly, once all is there. What goes to a URL is kept in memory until the block ends, see
    `rnnic.stores.url_output`.

    Parameters
    ----------
    path : path or URL
        ``-`` is standard output.
    overwrite : bool
        Whether an existing file is replaced.

    Yields
    ------
    binary file

    Raises
    ------
    OutputExistsError
        If the file exists, or came to exist meanwhile, and is not to be replaced.
    RnnicError
        If the path is a folder, or its folder is missing or cannot be written to.
    OSError
        If writing fails, for example as the disk is full; it names the file.
    """
    check_output(path, overwrite=overwrite)
    final = _local(path)
    if final is None:
        with url_output(os.fspath(path)) as store:
            yield store
            check_output(path, overwrite=overwrite)  # it may have come to exist meanwhile
        return
    try:
        if os.fspath(path) == STANDARD or (final.exists() and _is_special(final)):
            buffer = io.BytesIO()
            yield buffer
            _write_directly(final if is_url(path) else path, buffer)
        else:
            yield from _replaced_file(final, overwrite, path)
    except OSError as error:
        own = error.filename is None or Path(error.filename).name.startswith(_TEMPORARY)
        if error.errno is None or not own:
            raise
        name = "standard output" if os.fspath(path) == STANDARD else os.fspath(path)
        raise OSError(error.errno, error.strerror, name) from error


def _write_directly(path: PathLike, buffer: io.BytesIO) -> None:
    if os.fspath(path) == STANDARD:
        sys.stdout.buffer.write(buffer.getbuffer())
        sys.stdout.buffer.flush()
        return
    with Path(path).open("wb") as file:
        file.write(buffer.getbuffer())


def _replaced_file(final: Path, overwrite: bool, path: PathLike) -> Iterator[BinaryIO]:
    """Yield a temporary file; give it the final name, or remove it."""
    temporary = final.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}.part")
    unnamed = _unnamed_file(final.parent)
    try:
        with unnamed or temporary.open("xb") as file:
            yield file
            _sync(file)
            appeared = unnamed is not None and _give_name(unnamed, final, temporary)
        if not appeared:
            _rename(temporary, final, overwrite, path)
        _sync_folder(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _unnamed_file(folder: Path) -> BinaryIO | None:
    """Open a file without a name in a folder, of which a kill leaves nothing; None where there are none.

    Linux has them, on most file systems of a machine's own; its manual page open(2), ``O_TMPFILE``.
    """
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        return None
    try:
        return os.fdopen(os.open(folder, flag | os.O_RDWR, 0o666), "w+b")
    except OSError:
        return None  # if it is no lack of such files, opening one with a name tells


def _give_name(unnamed: BinaryIO, final: Path, temporary: Path) -> bool:
    """Give the file its final name, or if that is in use the temporary one; return whether the final one."""
    handle = unnamed.fileno()
    for name in (final, temporary):
        with contextlib.suppress(OSError):
            # Only with a folder's handle, which an absolute path does without, does it follow /proc's link.
            os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=handle)
            return name == final
    unnamed.seek(0)
    with temporary.open("xb") as file:
        shutil.copyfileobj(unnamed, file)
        _sync(file)
    return False


def _rename(temporary: Path, final: Path, overwrite: bool, path: PathLike) -> None:
    """Give the file its final name, which must not be in use unless it is to be replaced."""
    if overwrite:
        with contextlib.suppress(OSError):
            shutil.copymode(final, temporary)
        temporary.replace(final)
        return
    try:
        # Unlike a rename, a second link never replaces a file that another program made meanwhile.
        os.link(temporary, final)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        temporary.replace(final)  # a file system without links


def _sync(file: BinaryIO) -> None:
    """Make the content survive a power failure."""
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power failure, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
