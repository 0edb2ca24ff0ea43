"""Files behind URLs, ``s3://``, ``https://``, ``memory://`` and so on, through fsspec."""

import contextlib
import errno
import io
import os
import re
import secrets
from collections.abc import Iterator
from typing import Any, BinaryIO

from rnnic.errors import MissingDependencyError, RnnicError
from rnnic.extras import require

__all__ = [
    "is_url",
    "local_path",
    "located",
    "naming_store",
    "read_url",
    "takes_objects",
    "url_exists",
    "url_output",
]

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_CODES = (
    (FileNotFoundError, errno.ENOENT),
    (FileExistsError, errno.EEXIST),
    (IsADirectoryError, errno.EISDIR),
    (NotADirectoryError, errno.ENOTDIR),
    (PermissionError, errno.EACCES),
    (TimeoutError, errno.ETIMEDOUT),
)  # stores raise these without a code


def is_url(path: str | os.PathLike[str]) -> bool:
    """Return whether a name is a URL, also a chained one such as ``simplecache::s3://…``."""
    return isinstance(path, str) and _URL.match(path) is not None


@contextlib.contextmanager
def naming_store(url: str) -> Iterator[None]:
    """Turn what stores raise into errors that name the URL.

    Raises
    ------
    MissingDependencyError
        If a library is missing.
    OSError
        If the store refuses or fails.
    """
    try:
        yield
    except (RnnicError, MemoryError):
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"{url}: {error}; 'rnnic[fsspec]' brings what local files, memory and HTTP need"
        ) from error
    except OSError as error:
        known = (code for kind, code in _CODES if isinstance(error, kind))
        code = error.errno or next(known, errno.EIO)
        said = error.strerror or (str(error) if code == errno.EIO else os.strerror(code))
        raise OSError(code, said, url) from error
    except NotImplementedError as error:
        raise OSError(errno.ENOSYS, "this kind of store cannot do that", url) from error
    except Exception as error:  # every store has errors of its own
        raise OSError(errno.EIO, str(error) or type(error).__name__, url) from error


def located(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises
    ------
    MissingDependencyError
        If fsspec or what it needs for this kind of URL is not installed.
    RnnicError
        If this kind of URL is not known.
    """
    core = require("fsspec.core", "fsspec", "fsspec")
    with naming_store(url):
        try:
            system, path = core.url_to_fs(url)
        except ValueError as error:
            raise RnnicError(f"{url}: {error}") from error
    return system, path


def local_path(url: str) -> str | None:
    """Return the path of a file that a URL names on this machine, None if it is elsewhere."""
    system, path = located(url)
    local = require("fsspec.implementations.local", "fsspec", "fsspec").LocalFileSystem
    return path if isinstance(system, local) else None


def read_url(url: str) -> bytes:
    """Return a file's content.

    Raises
    ------
    OSError
        If it cannot be read; it names the URL.
    MissingDependencyError, RnnicError
        If a library for this kind of URL is missing, or the kind is not known.
    """
    system, path = located(url)
    with naming_store(url):
        content: bytes = system.cat_file(path)
    return content


def url_exists(url: str) -> bool:
    """Return whether there is something under a URL; errors are those of `read_url`."""
    system, path = located(url)
    with naming_store(url):
        return bool(system.exists(path))


@contextlib.contextmanager
def url_output(url: str) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its URL only once it is complete.

    Stores that take a whole object in one call get one. Others get it under a temporary name in the
    same folder, then rename it.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        If it cannot be written; it names the URL.
    MissingDependencyError, RnnicError
        As `read_url`.
    """
    system, path = located(url)
    buffer = io.BytesIO()
    yield buffer
    with naming_store(url):
        if takes_objects(system):
            system.pipe_file(path, buffer.getvalue())
        else:
            _write_and_move(system, path, buffer.getvalue())


def takes_objects(system: Any) -> bool:
    """Return whether the store has a call of its own for a whole object, which then is atomic."""
    base = require("fsspec.spec", "fsspec", "fsspec").AbstractFileSystem
    asynchronous = require("fsspec.asyn", "fsspec", "fsspec").AsyncFileSystem
    if isinstance(system, asynchronous):
        return type(system)._pipe_file is not asynchronous._pipe_file
    return type(system).pipe_file is not base.pipe_file


def _write_and_move(system: Any, path: str, content: bytes) -> None:
    folder, slash, _ = path.rpartition("/")
    temporary = f"{folder}{slash}.rnnic-{secrets.token_hex(8)}.part"
    try:
        system.pipe_file(temporary, content)
        system.mv(temporary, path)
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            system.rm_file(temporary)
        raise
