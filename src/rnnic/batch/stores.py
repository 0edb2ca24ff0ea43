"""Files of this machine, and of any store that fsspec knows, by name or URL."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnic.errors import RnnicError
from rnnic.extras import require
from rnnic.output import atomic_output

__all__ = ["exists", "is_folder", "is_url", "join", "read", "walk", "write"]

_TEMPORARY = ".rnnic-"


def is_url(name: str) -> bool:
    """Return whether a name is a URL, for example ``s3://bucket/photos``."""
    return "://" in name


def join(folder: str, relative: str) -> str:
    """Return the name of a file in a folder; `relative` has slashes."""
    if is_url(folder):
        return f"{folder.rstrip('/')}/{relative}"
    return str(Path(folder, *relative.split("/")))


def _store(name: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    fsspec: Any = require("fsspec", "the library fsspec", "fsspec")
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(name)
    except (ImportError, ValueError) as error:
        raise RnnicError(f"{name}: {error}") from error
    return found


def is_folder(name: str) -> bool:
    """Return whether a name is that of a folder.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    """
    if is_url(name):
        store, path = _store(name)
        return str(store.info(path)["type"]) == "directory"
    if not Path(name).exists():
        raise FileNotFoundError(2, "No such file or directory", name)
    return Path(name).is_dir()


def exists(name: str) -> bool:
    """Return whether there is a file of that name."""
    if is_url(name):
        store, path = _store(name)
        return bool(store.exists(path))
    return Path(name).exists()


def walk(folder: str) -> Iterator[str]:
    """Yield the files in a folder and the folders in it, relative to it, with slashes, in order.

    Links to folders are not followed; unfinished outputs are left out.
    """
    if is_url(folder):
        store, path = _store(folder)
        start = len(path.rstrip("/")) + 1
        for found in sorted(store.find(path)):
            yield found[start:]
        return
    root = Path(folder)

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(root, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            if not name.startswith(_TEMPORARY):
                yield (Path(place) / name).relative_to(root).as_posix()


def read(name: str) -> bytes:
    """Return a file's content."""
    if is_url(name):
        store, path = _store(name)
        content: bytes = store.cat_file(path)
        return content
    return Path(name).read_bytes()


def write(name: str, data: bytes, *, overwrite: bool) -> None:
    """Write a file, whole or not at all; folders are made where they are missing."""
    if not is_url(name):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(name, overwrite=overwrite) as file:
            file.write(data)
        return
    store, path = _store(name)
    parent, _, last = path.rpartition("/")
    store.makedirs(parent, exist_ok=True)
    temporary = f"{parent}/{_TEMPORARY}{secrets.token_hex(8)}-{last}"
    try:
        store.pipe_file(temporary, data)
        store.mv(temporary, path)
    except BaseException:
        if store.exists(temporary):
            store.rm(temporary)
        raise
