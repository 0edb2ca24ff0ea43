"""Photos to train a model from: those of a folder, or arrays."""

import contextlib
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from rnnic.batch import stores
from rnnic.batch.work import reason
from rnnic.errors import RnnicError
from rnnic.mapping import Mapper, ThreadMapper

__all__ = ["LoadedPhotos", "PhotoFolder", "without_pillows_warnings"]

Pixels = npt.NDArray[np.uint8]


class LoadedPhotos:
    """Photos that are in memory.

    Parameters
    ----------
    photos : sequence of uint8 arrays, (H, W, 3)
    """

    def __init__(self, photos: Sequence[Pixels]) -> None:
        self._photos = photos

    def __len__(self) -> int:
        return len(self._photos)

    def load(self, index: int) -> Pixels:
        """Return a photo."""
        return self._photos[index]

    def name(self, index: int) -> str:
        """Return what messages call a photo."""
        return f"photo {index}"


class _Found(NamedTuple):
    """What a first look at a file gave: a digest of its content, or why it cannot be used."""

    digest: str
    error: str | None = None


class PhotoFolder:
    """The photos of a folder tree, by number, one at a time in memory.

    They are ordered by their names below the folder, so that every machine numbers them alike.

    Parameters
    ----------
    folder : str or path
        A folder, or the URL of one. Files in it, at any depth, whose suffix is that of an image are
        looked at.
    warn : callable
        Receives a line for each file that cannot be used; it is left out.
    mapper : Mapper, optional
        Where files are looked at.

    Raises
    ------
    RnnicError
        If there is no usable photo.
    OSError
        If the folder cannot be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        warn: Callable[[str], None],
        mapper: Mapper | None = None,
    ) -> None:
        self._folder = os.fspath(folder)
        if not stores.exists(self._folder) or not stores.is_folder(self._folder):
            raise RnnicError(f"{self._folder}: is not a folder")
        # Names for other processes, which may work in other folders.
        self._place = stores.absolute(self._folder)
        suffixes = tuple(Image.registered_extensions())
        every = stores.walk(self._folder, lambda error: warn(reason(error)))
        names = sorted(name for name in every if name.lower().endswith(suffixes))
        names = [name for name in names if not stores.is_special(stores.join(self._folder, name))]
        looked = (mapper or ThreadMapper()).map(partial(_look, self._place), names, str)
        self._names: list[str] = []
        self.identity: list[tuple[str, str]] = []
        for name, found in zip(names, looked, strict=True):
            if found.error is None:
                self._names.append(name)
                self.identity.append((name, found.digest))
            else:
                warn(f"{stores.join(self._folder, name)}: left out: {found.error}")
        if not self._names:
            raise RnnicError(f"{self._folder}: no photo that can be read is in it")

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the name of a photo's file."""
        return stores.join(self._folder, self._names[index])

    def load(self, index: int) -> Pixels:
        """Return a photo as uint8 (H, W, 3).

        Raises
        ------
        RnnicError
            If it cannot be read, or is not what it was at first. To go on without it would make
            another model than the same photos make elsewhere.
        """
        name = self.name(index)
        try:
            content = stores.read(stores.join(self._place, self._names[index]))
            pixels = _pixels(content)
        except Exception as error:  # Pillow's readers raise anything
            raise RnnicError(f"{name}: {reason(error)}") from error
        if _digest(content) != self.identity[index][1]:
            raise RnnicError(f"{name}: was changed during the training")
        return pixels


def _look(place: str, name: str) -> _Found:
    """Look at a file as a whole, so that nothing damaged is met after hours of training."""
    try:
        content = stores.read(stores.join(place, name))
        _pixels(content)
    except Exception as error:  # noqa: BLE001  Pillow's readers raise anything
        return _Found("", reason(error))
    return _Found(_digest(content))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _pixels(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"), np.uint8)


@contextlib.contextmanager
def without_pillows_warnings() -> Iterator[None]:
    """Do not print what Pillow says of odd photos; for all threads, so it is entered in the first."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
