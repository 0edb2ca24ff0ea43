"""Encoding images: options in, a file out."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.aiming import Goal, PsnrGoal, SizeGoal, aim_at, refine
from rnnic.container import Header, serialize
from rnnic.errors import OptionError, UnsupportedImageError
from rnnic.metadata import Metadata
from rnnic.methods import EncodedTiles, Method, TileTrace, Touch, method_by_name
from rnnic.model import Model, default_model
from rnnic.options import EncodeOptions
from rnnic.targets import Search

__all__ = ["Encoded", "encode", "encode_image", "resolve_model"]

Pixels = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]
PathLike = str | os.PathLike[str]

_NARROW = 3e-4


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
    _wrap: Callable[[EncodedTiles], "Encoded"]

    @property
    def touch(self) -> Touch | None:
        """What codes parts anew, where it is known."""
        return self._tiles.touch

    def touched(self, part: int, bias: float) -> "Encoded":
        """Code a part anew, see `rnnic.methods.Touch`; this file is not changed."""
        assert self._tiles.touch is not None
        return self._wrap(self._tiles.touch.code(part, bias))

    def without_encoder(self) -> "Encoded":
        """Return the same without what `touched` needs, which is a lot of memory."""
        return replace(self, _tiles=replace(self._tiles, touch=None))

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
        return self._wrap(replace(header, parameters=tiles.parameters), tiles)

    def _wrap(self, header: Header, tiles: EncodedTiles) -> Encoded:
        """Make a file of tiles."""
        data = serialize(header, tiles.payloads, self.metadata)
        shape = self.pixels.shape[: self.dimensions]
        return Encoded(
            data, tiles.reconstruction.reshape(shape), tiles, partial(self._wrap, header)
        )


def _encode_to_target(encoder: _Encoder, progress: Progress | None) -> Encoded:
    """Search the control that meets the options' target.

    Raises
    ------
    OptionError
        If no control does; the message names what can be reached.
    """
    options, method = encoder.options, encoder.method
    goal: Goal
    if options.target_psnr is not None:
        goal = PsnrGoal(options.target_psnr)
    else:
        assert options.target_bytes is not None
        goal = SizeGoal(options.target_bytes)
    trials = 0

    def attempt(control: float) -> Encoded:
        nonlocal trials
        trials += 1
        return encoder.run(control, progress, f"trial {trials}")

    def excess(made: Encoded) -> float:
        return goal.excess(made, encoder.pixels)

    span, resolution = method.control_range, method.control_resolution
    search = Search(span, resolution, goal.tolerance, goal.finer_is_more)
    if not method.has_effort:
        found = search.run(attempt, excess)
    else:

        def rough(pixels: Pixels, effort: int, control: float) -> Encoded:
            lighter = replace(encoder, pixels=pixels, options=replace(options, effort=effort))
            return lighter.run(control, progress, "aiming")

        aim = aim_at(goal, encoder.pixels, options.effort, span, rough)
        search = replace(search, narrow=_NARROW, first=aim.first, slope=aim.slope)
        found = search.run(
            attempt, excess, lambda made, over: refine(goal, aim, made, encoder.pixels, over)
        )
    made = found.result
    lossless = made is not None and np.array_equal(
        made.reconstruction.reshape(encoder.pixels.shape), encoder.pixels
    )
    if made is None or (found.at_end and method.has_effort and not lossless):
        ends = [encoder.run(control, progress, "looking for the range") for control in span]
        low, high = sorted(map(goal.measure, ends, repeat(encoder.pixels)))
        raise OptionError(
            f"target {goal.name(goal.target)} is out of reach: this image can have"
            f" {goal.name(low)} to {goal.name(high)} at these settings"
        )
    return made.without_encoder()
