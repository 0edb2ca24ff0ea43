"""Files and folders of this machine, and of any store that fsspec knows, by name or URL."""

import os
from collections.abc import Iterator
from pathlib import Path

from rnnic.output import atomic_output
from rnnic.stores import is_url, located, naming_store, read_url, url_exists, url_output

__all__ = ["exists", "is_folder", "is_url", "join", "read", "walk", "write"]

_TEMPORARY = ".rnnic-"


def join(folder: str, relative: str) -> str:
    """Return the name of a file in a folder; `relative` has slashes."""
    if is_url(folder):
        return f"{folder.rstrip('/')}/{relative}"
    return str(Path(folder, *relative.split("/")))


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
    if not Path(name).exists():
        raise FileNotFoundError(2, "No such file or directory", name)
    return Path(name).is_dir()


def exists(name: str) -> bool:
    """Return whether there is a file of that name."""
    return url_exists(name) if is_url(name) else Path(name).exists()


def walk(folder: str) -> Iterator[str]:
    """Yield the files in a folder and the folders in it, relative to it, with slashes, in order.

    Links to folders are not followed; unfinished outputs are left out.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """
    if is_url(folder):
        store, path = located(folder)
        with naming_store(folder):
            found = sorted(store.find(path))
        start = len(path.rstrip("/")) + 1
        yield from (name[start:] for name in found if f"/{_TEMPORARY}" not in name)
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
    return read_url(name) if is_url(name) else Path(name).read_bytes()


def write(name: str, data: bytes, *, overwrite: bool) -> None:
    """Write a file, whole or not at all; folders are made where they are missing."""
    if is_url(name):
        store, path = located(name)
        with naming_store(name):
            store.makedirs(path.rpartition("/")[0], exist_ok=True)
        with url_output(name) as file:
            file.write(data)
        return
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(name, overwrite=overwrite) as file:
        file.write(data)
