"""What a batch is to do: which files, and where their results go."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rnnic.batch import stores
from rnnic.errors import OptionError, RnnicError

__all__ = ["Plan", "Task", "plan"]


@dataclass(frozen=True)
class Task:
    """A file and the name of its result."""

    source: str
    target: str


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what cannot be.

    Parameters
    ----------
    tasks : list of Task
    unreadable : list of (str, str)
        Folders and files of folders that were left out, and why.
    """

    tasks: list[Task]
    unreadable: list[tuple[str, str]]


def plan(
    sources: Sequence[str],
    destination: str,
    suffixes: frozenset[str],
    new_suffix: str,
    *,
    keep_suffix: bool = False,
) -> Plan:
    """Return what is to be done, in order.

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
        If two files would have the same target, one a target that is a folder of another's, or a file one
        that is a source.
    RnnicError
        If there is no file to work on.
    OSError
        If there is nothing of a source's name.
    """
    found: dict[PurePosixPath, str] = {}
    unreadable: list[tuple[str, str]] = []
    for source in sources:
        for name, place in _files(source, destination, suffixes, unreadable):
            kept = place.name + new_suffix if keep_suffix else _renamed(place, new_suffix)
            target = place.with_name(kept)
            if found.setdefault(target, name) != name:
                raise _collision(found[target], name, stores.join(destination, str(target)))
    if not found:
        reason = "".join(f"; {name}: {why}" for name, why in unreadable[:1])
        raise RnnicError(f"{', '.join(sources)}: no file to work on{reason}")
    _check_folders(found)
    tasks = [Task(name, stores.join(destination, str(target))) for target, name in found.items()]
    _check_sources(tasks, new_suffix)
    return Plan(tasks, unreadable)


def _renamed(place: PurePosixPath, new_suffix: str) -> str:
    """Return a file's name with another suffix; a.png.rnnic becomes a.png, not a.png.png."""
    stem = place.stem
    return stem if stem.lower().endswith(new_suffix) else stem + new_suffix


def _collision(first: str, second: str, target: str) -> OptionError:
    # Names that differ in their suffixes alone can be told apart by them.
    last = [PurePosixPath(name).name for name in (first, second)]
    remedy = "use --keep-suffix" if last[0] != last[1] else "give each its own DEST"
    return OptionError(f"{first} and {second} would both become {target}; {remedy}")


def _check_folders(found: dict[PurePosixPath, str]) -> None:
    for target, name in found.items():
        for folder in target.parents:
            if folder in found:
                raise OptionError(
                    f"{found[folder]} would become {folder}, which is a folder for {name};"
                    " rename one of them"
                )


def _check_sources(tasks: list[Task], new_suffix: str) -> None:
    if not any(task.source.lower().endswith(new_suffix) for task in tasks):
        return
    sources = {stores.identity(task.source) for task in tasks}
    for task in tasks:
        if stores.identity(task.target) in sources:
            raise OptionError(
                f"{task.source} would replace the source {task.target}; choose another DEST"
            )


def _files(
    source: str, destination: str, suffixes: frozenset[str], unreadable: list[tuple[str, str]]
) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield the files of a source: their names, and their places relative to the source."""
    if not stores.is_folder(source):
        yield source, PurePosixPath(source.replace(os.sep, "/").rpartition("/")[2])
        return

    def leave_out(error: OSError) -> None:
        unreadable.append((str(error.filename), error.strerror or str(error)))

    inside = _below(source, destination)
    for relative in stores.walk(source, leave_out):
        place = PurePosixPath(relative)
        if place.suffix.lower() not in suffixes or inside in place.parents:
            continue
        name = stores.join(source, relative)
        if (
            ".." in place.parts
        ):  # a store may have such names; they would lead out of the destination
            unreadable.append((name, "a name with .. in it; copy it to another one"))
        elif not stores.is_special(name):
            yield name, place


def _below(folder: str, destination: str) -> PurePosixPath | None:
    """Return where in a folder a destination is; None if it is outside, or is the folder."""
    outer = PurePosixPath(stores.identity(folder).replace(os.sep, "/"))
    inner = PurePosixPath(stores.identity(destination).replace(os.sep, "/"))
    if inner == outer or not inner.is_relative_to(outer):
        return None
    return inner.relative_to(outer)
