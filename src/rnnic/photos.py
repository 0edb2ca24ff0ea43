"""Training a model from a folder of photos."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from rnnic._version import __version__
from rnnic.checkpoints import Checkpoints
from rnnic.errors import OptionError, RnnicError
from rnnic.model import Model
from rnnic.pyramid import training as pyramid
from rnnic.pyramid.method import SECTION as PYRAMID_SECTION
from rnnic.raster import training as raster
from rnnic.raster.model import SECTION as RASTER_SECTION
from rnnic.raster.training import RasterSettings

__all__ = ["PhotoFolder", "train_model"]

Pixels = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]

METHODS = ("raster", "pyramid")
_RASTER_SHARE = 0.2


class PhotoFolder:
    """The photos of a folder tree, by number, one at a time in memory.

    They are ordered by their paths below the folder, so that every machine numbers them alike.

    Parameters
    ----------
    folder : Path
        Files in it, at any depth, whose suffix is that of an image are looked at.
    warn : callable
        Receives a line for each file that cannot be used.

    Raises
    ------
    RnnicError
        If there is no usable photo.
    OSError
        If the folder cannot be read.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        if not folder.is_dir():
            raise RnnicError(f"{folder}: is not a folder")
        self._warn = warn
        self._folder = folder
        suffixes = set(Image.registered_extensions())
        found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
        ordered = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
        self.paths = [path for path in ordered if path.is_file() and self._opens(path)]
        if not self.paths:
            raise RnnicError(f"{folder}: no photo that can be read is in it")

    def _opens(self, path: Path) -> bool:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(path):
                    return True
        except Exception as error:  # noqa: BLE001  Pillow's readers raise anything
            self._warn(f"{path}: left out: {error}")
            return False

    @property
    def identity(self) -> list[tuple[str, int]]:
        """Names and sizes of the photos' files."""
        return [
            (path.relative_to(self._folder).as_posix(), path.stat().st_size) for path in self.paths
        ]

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> Pixels:
        """Return a photo as uint8 (H, W, 3); a damaged one as a single grey pixel."""
        path = self.paths[index]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(path) as image:
                    return np.array(image.convert("RGB"), np.uint8)
        except Exception as error:  # noqa: BLE001  Pillow's readers raise anything
            # After hours of training one damaged file of many is no reason to stop.
            self._warn(f"{path}: left out: {error}")
            return np.full((1, 1, 3), 128, np.uint8)


def train_model(
    photos: PhotoFolder,
    settings: RasterSettings,
    source: str,
    progress: Progress | None = None,
    methods: Sequence[str] = METHODS,
    checkpoints: Path | None = None,
) -> Model:
    """Train a model.

    Parameters
    ----------
    photos : PhotoFolder
        The photos.
    settings : RasterSettings
        Those of method raster; its seed is that of all methods. Same settings and photos give the
        same model.
    source : str
        Says in the model where the photos are from.
    progress : callable, optional
        Receives the fraction done and what is being done.
    methods : sequence of str
        Methods to train a section for.
    checkpoints : Path, optional
        A folder for finished stages. The same call goes on from what is there.

    Raises
    ------
    OptionError
        If a method is not known.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise OptionError(f"no method {', '.join(unknown)!r}; there is {', '.join(METHODS)}")
    told = progress or (lambda _done, _what: None)
    sections = {}
    information: dict[str, Any] = {"photos": len(photos), "source": source}
    # The share of the time that training raster takes.
    split = (_RASTER_SHARE if "pyramid" in methods else 1.0) if "raster" in methods else 0.0
    if "raster" in methods:
        kept = Checkpoints(
            checkpoints, [RASTER_SECTION, photos.identity, asdict(settings), __version__]
        )
        sections[RASTER_SECTION] = kept.stage(
            "all",
            lambda: raster.train(
                photos.load, len(photos), settings, lambda done, what: told(split * done, what)
            ).to_bytes(),
        )
        information["raster"] = asdict(settings)
    if "pyramid" in methods:
        own = pyramid.TrainingSettings(seed=settings.seed)
        numbers = {path: number for number, path in enumerate(photos.paths)}
        model = pyramid.train(
            photos.paths,
            progress=lambda what, done: told(split + (1 - split) * done, what),
            settings=own,
            load=lambda path: photos.load(numbers[path]),
            checkpoints=Checkpoints(
                checkpoints, [PYRAMID_SECTION, photos.identity, asdict(own), __version__]
            ),
        )
        sections[PYRAMID_SECTION] = model.to_bytes()
        information["pyramid"] = asdict(own)
    return Model(sections, information)
