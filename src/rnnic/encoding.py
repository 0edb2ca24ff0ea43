"""Encoding images: options in, a file out."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.container import Header, serialize
from rnnic.errors import OptionError, UnsupportedImageError
from rnnic.metadata import Metadata
from rnnic.methods import EncodedTiles, Method, TileTrace, method_by_name
from rnnic.metrics import psnr
from rnnic.model import Model, default_model
from rnnic.options import EncodeOptions
from rnnic.targets import Search

__all__ = ["Encoded", "encode", "encode_image", "resolve_model"]

Pixels = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]
PathLike = str | os.PathLike[str]

_PSNR_TOLERANCE = 0.02
_SIZE_TOLERANCE = 0.015
_NARROW = 0.64
"""Bracket that ends a search, for a control of 1, in the method's finest differences."""
_LEAST_EFFORT_TO_SCOUT = 3
_SCOUT_EFFORT = 1


@dataclass(frozen=True, eq=False)
class Encoded:
    """A compressed image, and what can be said of it without decoding it.

    Parameters
    ----------
    data : bytes
        The file.
    reconstruction : uint8 (H, W) or (H, W, 3)
        The pixels that a decoder will give.
    """

    data: bytes
    reconstruction: Pixels
    _tiles: EncodedTiles

    def traces(self) -> list[TileTrace]:
        """Return, tile by tile, which code stands for which pixel."""
        return self._tiles.trace()


def _checked_pixels(image: npt.ArrayLike) -> Pixels:
    """Return the image as C-contiguous uint8 (H, W, c) with c = 1 or 3.

    Raises
    ------
    UnsupportedImageError
        If its shape or type is another.
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        raise UnsupportedImageError(
            f"samples of type {pixels.dtype}; this version compresses uint8, convert the image"
        )
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise UnsupportedImageError(
            f"an array of shape {np.shape(image)}; (H, W), (H, W, 1) or (H, W, 3) is needed"
        )
    if 0 in pixels.shape:
        raise UnsupportedImageError(f"an image without pixels, shape {np.shape(image)}")
    return np.ascontiguousarray(pixels)


def resolve_model(model: Model | PathLike | None) -> Model:
    """Return a model: the one given, of the file given, or the one that comes with the package."""
    if model is None:
        return default_model()
    return model if isinstance(model, Model) else Model.load(model)


def encode(
    image: npt.ArrayLike,
    *,
    metadata: Metadata | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> bytes:
    """Compress an image.

    Parameters
    ----------
    image : uint8 (H, W), (H, W, 1) or (H, W, 3)
        Grey or RGB pixels.
    metadata : Metadata, optional
        Travels along in the file.
    progress : callable, optional
        Receives the fraction done, 0 … 1, and what is being done.
    **options
        See :class:`rnnic.EncodeOptions`: ``quality``, ``error_threshold``, ``target_psnr``,
        ``target_bytes``, ``method``, ``neighbors``, ``threads``, ``tile_size``, ``model``.

    Returns
    -------
    bytes
        The file. Same image and options give the same bytes, whatever the number of threads.

    Raises
    ------
    UnsupportedImageError
        If the array is no image that can be compressed.
    OptionError
        If an option is out of its range, unknown, or a target cannot be reached.

    Examples
    --------
    >>> import numpy as np, rnnic
    >>> image = np.zeros((16, 24, 3), np.uint8)
    >>> data = rnnic.encode(image, error_threshold=0)
    >>> bool((rnnic.decode(data) == image).all())
    True
    """
    try:
        checked = EncodeOptions(**options)
    except TypeError as error:
        raise OptionError(f"unknown option among {', '.join(sorted(options))}") from error
    return encode_image(image, checked, metadata, progress).data


def encode_image(
    image: npt.ArrayLike,
    options: EncodeOptions,
    metadata: Metadata | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Compress an image and keep what the encoder knows of the result.

    Parameters and errors are those of :func:`encode`.
    """
    pixels = _checked_pixels(image)
    method = method_by_name(options.chosen_method)
    model = resolve_model(options.model)
    encoder = _Encoder(pixels, np.ndim(image), method, model, options, metadata or Metadata())
    if options.target_psnr is None and options.target_bytes is None:
        return encoder.run(method.control(options), progress, "encoding")
    return _encode_to_target(encoder, progress)


@dataclass(frozen=True, eq=False)
class _Encoder:
    """Encodes one image at any control."""

    pixels: Pixels
    dimensions: int
    method: Method
    model: Model
    options: EncodeOptions
    metadata: Metadata

    def run(self, control: float, progress: Progress | None, what: str) -> Encoded:
        height, width, channels = self.pixels.shape
        model_id = self.model.section_id(self.method.section)
        tile_size = self.options.tile_size or self.method.default_tile_size
        header = Header(self.method.code, channels, 8, width, height, tile_size, model_id)
        boxes = [header.tile_box(index) for index in range(header.tile_count)]
        told = None if progress is None else lambda done: progress(done, what)
        tiles = self.method.encode(self.pixels, boxes, control, self.model, self.options, told)
        header = Header(
            self.method.code, channels, 8, width, height, tile_size, model_id, tiles.parameters
        )
        data = serialize(header, tiles.payloads, self.metadata)
        shape = self.pixels.shape[: self.dimensions]
        return Encoded(data, tiles.reconstruction.reshape(shape), tiles)


def _encode_to_target(encoder: _Encoder, progress: Progress | None) -> Encoded:
    """Search the control that meets the options' target.

    Raises
    ------
    OptionError
        If no control does; the message names what can be reached.
    """
    psnr_goal, size_goal = encoder.options.target_psnr, encoder.options.target_bytes
    trials = 0
    sizes: list[int] = []

    def attempt(by: _Encoder, control: float) -> Encoded:
        nonlocal trials
        trials += 1
        return by.run(control, progress, f"trial {trials}")

    def excess(e: Encoded) -> float:
        if psnr_goal is not None:
            return psnr(e.reconstruction.reshape(encoder.pixels.shape), encoder.pixels) - psnr_goal
        assert size_goal is not None
        sizes.append(len(e.data))
        return 1 - len(e.data) / size_goal

    search = Search(
        encoder.method.control_range,
        encoder.method.control_resolution,
        _SIZE_TOLERANCE if psnr_goal is None else _PSNR_TOLERANCE,
        finer_is_more=psnr_goal is not None,
        narrow=_NARROW * encoder.method.control_resolution,
    )
    hint = None
    if encoder.method.has_effort and encoder.options.effort >= _LEAST_EFFORT_TO_SCOUT:
        # The lowest effort is several times faster and tells where to look.
        scout = dataclasses.replace(
            encoder, options=dataclasses.replace(encoder.options, effort=_SCOUT_EFFORT)
        )
        rough = dataclasses.replace(search, tolerance=20 * search.tolerance, narrow=0.05)
        hint = rough.run(lambda control: attempt(scout, control), excess).hint
        sizes.clear()
    found = search.run(lambda control: attempt(encoder, control), excess, hint)
    if found.result is not None:
        return found.result
    if psnr_goal is not None:
        most = psnr_goal + found.reached
        raise OptionError(f"no setting gives {psnr_goal} dB; the most is {most:.2f}")
    raise OptionError(f"no setting gives {size_goal} bytes; the smallest file has {min(sizes)}")
