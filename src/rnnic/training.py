"""Training a model from photos."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rnnic._version import __version__
from rnnic.checkpoints import Checkpoints
from rnnic.errors import OptionError
from rnnic.mapping import Mapper, ThreadMapper
from rnnic.model import Model
from rnnic.photos import PhotoFolder
from rnnic.pyramid import training as pyramid
from rnnic.pyramid.method import SECTION as PYRAMID_SECTION
from rnnic.raster import training as raster
from rnnic.raster.model import SECTION as RASTER_SECTION
from rnnic.raster.training import RasterSettings

__all__ = ["METHODS", "check_methods", "train_model"]

Progress = Callable[[float, str], None]

METHODS = ("raster", "pyramid")
_RASTER_SHARE = 0.2


def check_methods(methods: Sequence[str]) -> None:
    """Raise OptionError if a method is not known, or there is none."""
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise OptionError(f"no method {', '.join(unknown)!r}; there is {', '.join(METHODS)}")


def train_model(
    photos: PhotoFolder,
    settings: RasterSettings,
    source: str,
    progress: Progress | None = None,
    methods: Sequence[str] = METHODS,
    checkpoints: Path | None = None,
    mapper: Mapper | None = None,
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
    mapper : Mapper, optional
        Where photos are worked on; it does not change the model.

    Raises
    ------
    OptionError
        If a method is not known.
    RnnicError
        If a photo cannot be worked on; it is named.
    """
    check_methods(methods)
    told = progress or (lambda _done, _what: None)
    used = mapper or ThreadMapper()
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
                photos, settings, lambda done, what: told(split * done, what), used
            ).to_bytes(),
        )
        information["raster"] = asdict(settings)
    if "pyramid" in methods:
        own = pyramid.TrainingSettings(seed=settings.seed)
        model = pyramid.train(
            photos,
            own,
            progress=lambda what, done: told(split + (1 - split) * done, what),
            checkpoints=Checkpoints(
                checkpoints, [PYRAMID_SECTION, photos.identity, asdict(own), __version__]
            ),
            mapper=used,
        )
        sections[PYRAMID_SECTION] = model.to_bytes()
        information["pyramid"] = asdict(own)
    return Model(sections, information)
