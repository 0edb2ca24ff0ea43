"""What a batch is to do: which files, and where their results go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rnnic.batch import stores
from rnnic.errors import OptionError, RnnicError

__all__ = ["Task", "plan"]


@dataclass(frozen=True)
class Task:
    """A file and the name of its result."""

    source: str
    target: str


def plan(
    sources: Sequence[str],
    destination: str,
    suffixes: frozenset[str],
    new_suffix: str,
    *,
    keep_suffix: bool = False,
) -> list[Task]:
    """Return the tasks, in order.

    Parameters
    ----------
    sources : sequence of str
        Files and folders, or URLs of them. What is in a folder goes to the same place below the destination.
    destination : str
        A folder or a URL; what is in it is no source, even if it is in a source's folder.
    suffixes : frozenset of str
        Which files of folders are taken, in lower case, with the dot. Files named by themselves always are.
    new_suffix : str
        Takes the place of a file's suffix, or with `keep_suffix` comes behind it.

    Raises
    ------
    OptionError
        If two files would have the same target.
    RnnicError
        If there is no file to work on.
    OSError
        If a source cannot be read.
    """
    found: dict[str, str] = {}
    for source in sources:
        for name, relative in _files(source, destination, suffixes):
            path = PurePosixPath(relative)
            kept = f"{path.name}{new_suffix}" if keep_suffix else path.with_suffix(new_suffix).name
            target = stores.join(destination, (path.parent / kept).as_posix())
            if target in found and found[target] != name:
                raise OptionError(
                    f"{found[target]} and {name} would both become {target};"
                    " use --keep-suffix, or compress them one by one"
                )
            found[target] = name
    if not found:
        raise RnnicError(f"{', '.join(sources)}: no file to work on")
    return [Task(source, target) for target, source in found.items()]


def _files(source: str, destination: str, suffixes: frozenset[str]) -> list[tuple[str, str]]:
    """Return the files of a source: their names, and their places relative to the source."""
    if not stores.is_folder(source):
        return [(source, source.replace("\\", "/").rpartition("/")[2])]
    inside = _below(source, destination)
    return [
        (stores.join(source, relative), relative)
        for relative in stores.walk(source)
        if PurePosixPath(relative).suffix.lower() in suffixes
        and not (inside is not None and relative.startswith(inside))
    ]


def _below(folder: str, destination: str) -> str | None:
    """Return where in a folder a destination is, as the beginning of relative names; None outside."""
    if stores.is_url(folder) or stores.is_url(destination):
        start = folder.rstrip("/") + "/"
        return (
            destination.rstrip("/")[len(start) :] + "/" if destination.startswith(start) else None
        )
    try:
        inner = Path(destination).resolve().relative_to(Path(folder).resolve()).as_posix()
    except ValueError:
        return None
    return None if inner == "." else inner + "/"
