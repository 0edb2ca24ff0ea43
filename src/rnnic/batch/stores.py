"""Files and folders of this machine, and of any store that fsspec knows, by name or URL."""

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rnnic.output import atomic_output
from rnnic.stores import (
    is_url,
    local_path,
    located,
    naming_store,
    read_url,
    takes_objects,
    url_exists,
)

__all__ = [
    "absolute",
    "clear_unfinished",
    "existing",
    "exists",
    "identity",
    "is_folder",
    "is_private",
    "is_special",
    "is_url",
    "join",
    "make_folder",
    "make_folder_of",
    "read",
    "size",
    "walk",
    "write",
]

_TEMPORARY = re.compile(r"\.rnnic-[0-9a-f]+\.part")
_ABANDONED_SECONDS = 60
"""An unfinished output that nobody has written to for so long is nobody's: content comes in one go."""


def join(folder: str, relative: str) -> str:
    """Return the name of a file in a folder; `relative` has slashes."""
    if is_url(folder):
        return f"{folder.rstrip('/')}/{relative}"
    return str(Path(folder, *relative.split("/")))


def _local(name: str) -> str | None:
    """Return the path on this machine that a name or URL stands for, None if it is elsewhere."""
    return local_path(name) if is_url(name) else name


def absolute(name: str) -> str:
    """Return a name that holds in another process's folder too."""
    return name if is_url(name) else os.path.abspath(name)  # noqa: PTH100 links are kept


def identity(name: str) -> str:
    """Return what is the same for all names of a file."""
    local = _local(name)
    return name.rstrip("/") if local is None else os.path.realpath(local)


def is_private(name: str) -> bool:
    """Return whether other processes do not see what is there, as in ``memory://``."""
    return name.lower().startswith("memory://")


def is_folder(name: str) -> bool:
    """Return whether a name is that of a folder.

    Raises
    ------
    OSError
        If there is nothing of that name.
    """
    if is_url(name):
        store, path = located(name)
        with naming_store(name):
            return str(store.info(path)["type"]) == "directory"
    return stat.S_ISDIR(Path(name).stat().st_mode)


def is_special(name: str) -> bool:
    """Return whether a name is that of a pipe or a device, which might never end."""
    if is_url(name):
        return False
    try:
        return not stat.S_ISREG(Path(name).stat().st_mode)
    except OSError:
        return False  # that will be told when it is read


def exists(name: str) -> bool:
    """Return whether there is something of that name."""
    return url_exists(name) if is_url(name) else Path(name).exists()


def existing(names: Iterable[str], folder: str) -> set[str]:
    """Return those names, all of files in a folder or the folders in it, that are in use."""
    if _local(folder) is None:
        # One listing in place of a question for each.
        store, path = located(folder)
        with naming_store(folder):
            store.invalidate_cache()
            found = {join(folder, name) for name in _find(store, path)}
        return found.intersection(names)
    return {name for name in names if exists(name)}


def _find(store: Any, path: str) -> list[str]:
    """Return the files below a path of a store, relative to it, in order."""
    start = len(path.rstrip("/")) + 1
    try:
        return sorted(name[start:] for name in store.find(path) if len(name) >= start)
    except FileNotFoundError:
        return []


def walk(folder: str, leave_out: Callable[[OSError], None]) -> Iterator[str]:
    """Yield the files in a folder and the folders in it, relative to it, with slashes, in order.

    Links to folders are not followed; unfinished outputs are left out.

    Parameters
    ----------
    folder : str
    leave_out : callable
        Is told of folders that cannot be read.
    """
    if is_url(folder):
        store, path = located(folder)
        with naming_store(folder):
            found = _find(store, path)
        yield from (name for name in found if not _TEMPORARY.fullmatch(name.rpartition("/")[2]))
        return
    for place, folders, names in os.walk(folder, onerror=leave_out):
        folders.sort()
        for name in sorted(names):
            if not _TEMPORARY.fullmatch(name):
                yield (Path(place) / name).relative_to(folder).as_posix()


def read(name: str) -> bytes:
    """Return a file's content."""
    return read_url(name) if is_url(name) else Path(name).read_bytes()


def size(name: str) -> int:
    """Return a file's size in bytes."""
    local = _local(name)
    if local is not None:
        return Path(local).stat().st_size
    store, path = located(name)
    with naming_store(name):
        return int(store.size(path) or 0)


def make_folder(name: str) -> None:
    """Make a folder, and those it is in, where they are missing.

    Raises
    ------
    OSError
        If it cannot be made, is a file, or cannot be written to.
    """
    local = _local(name)
    if local is None:
        store, path = located(name)
        # Stores of objects have no folders; asked for one, they might make a bucket.
        if not takes_objects(store):
            with naming_store(name):
                store.makedirs(path, exist_ok=True)
        return
    try:
        Path(local).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", name) from error
    if not os.access(local, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)


def make_folder_of(name: str) -> None:
    """Make the folder that a file is to be in; errors are those of `make_folder`."""
    make_folder(name.rpartition("/")[0] if is_url(name) else str(Path(name).parent))


def write(name: str, data: bytes, *, overwrite: bool) -> None:
    """Write a file, whole or not at all; its folder is there."""
    with atomic_output(name, overwrite=overwrite) as file:
        file.write(data)


def clear_unfinished(names: Iterable[str]) -> None:
    """Remove what runs that were killed left beside the files of these names, on this machine."""
    paths = (_local(name) for name in names)
    now = time.time()
    for folder in {Path(path).parent for path in paths if path is not None}:
        with contextlib.suppress(OSError):  # it is no obstacle to the work
            for found in folder.iterdir():
                if _TEMPORARY.fullmatch(found.name):
                    age = now - found.stat().st_mtime
                    if age > _ABANDONED_SECONDS:
                        found.unlink()
