"""Encoding images: options in, a file out."""

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.aiming import LEAST_EFFORT, Aim, Goal, PsnrGoal, SizeGoal, aim_at
from rnnic.alpha import encode_alpha, fill_hidden, quantised_alpha
from rnnic.container import Header, TileBox, serialize, tile_boxes, window_of
from rnnic.errors import OptionError, UnsupportedImageError
from rnnic.landing import Landing, refine
from rnnic.lossless import looks_drawn
from rnnic.metadata import Metadata
from rnnic.methods import EncodedTiles, Memory, Method, TileTrace, Touch, method_by_name
from rnnic.metrics import psnr
from rnnic.model import Model, default_model
from rnnic.options import EncodeOptions
from rnnic.parallel import map_threads, thread_count
from rnnic.parts import pack_part
from rnnic.targets import Found, Search

__all__ = ["Encoded", "encode", "encode_file", "encode_image", "resolve_model"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Progress = Callable[[float, str], None]
PathLike = str | os.PathLike[str]

_NARROW = 3e-4
_TRIALS, _QUICK_TRIALS = 4, 7
"""So many encodes of the whole image are enough once the target is between two; of a quick method."""
_HOPE = 0.5
"""The asked effort makes a drawing hardly smaller than so much of what the least effort does."""
_FEW_BITS = 0.06
_FURTHER = (1.2, 1.44, 1.73)
"""PSNR and size jump with the step at so few bits a pixel: coarser ones may be smaller and no worse."""
_LEAST_PSNR = 25.0
"""From here on, an image that is better even with the coarsest step has met its target."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A compressed image, and what can be said of it without decoding it.

    Parameters
    ----------
    data : bytes
        The file.
    reconstruction : uint8 or uint16 (H, W) or (H, W, c)
        The pixels that a decoder will give.
    """

    data: bytes
    reconstruction: Pixels
    _tiles: EncodedTiles
    _wrap: Callable[[EncodedTiles], "Encoded"]

    @property
    def drawn(self) -> bool:
        """Whether a tile is without loss because it takes fewer bytes so."""
        return self._tiles.drawn

    @property
    def touch(self) -> Touch | None:
        """What codes parts anew, where it is known."""
        return self._tiles.touch

    @property
    def left(self) -> bool:
        """Whether there are parts that `touched` is to code before this is an image's file."""
        return self._tiles.left

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
    """Return the image as C-contiguous uint8 or uint16 (H, W, c) with c = 1 … 4.

    Raises
    ------
    UnsupportedImageError
        If its shape or type is another.
    """
    pixels = np.asarray(image)
    if pixels.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UnsupportedImageError(
            f"samples of type {pixels.dtype}; uint8 and uint16 can be compressed, convert the image"
        )
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in range(1, 5):
        raise UnsupportedImageError(
            f"an array of shape {np.shape(image)}; (H, W) or (H, W, c) with c = 1 … 4 is needed"
        )
    if 0 in pixels.shape:
        raise UnsupportedImageError(f"an image without pixels, shape {np.shape(image)}")
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


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
    image : uint8 or uint16 (H, W) or (H, W, c)
        Grey, or with c = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. Colours are not premultiplied.
    metadata : Metadata, optional
        Travels along in the file.
    progress : callable, optional
        Receives the fraction done, 0 … 1, and what is being done.
    **options
        See :class:`rnnic.EncodeOptions`: ``quality``, ``error_threshold``, ``target_psnr``,
        ``target_bytes``, ``alpha_quality``, ``keep_hidden``, ``method``, ``neighbors``, ``threads``,
        ``tile_size``, ``step``, ``effort``, ``exact_tiles``, ``model``.

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
    return encode_file(image, checked, metadata, progress)


def encode_file(
    image: npt.ArrayLike,
    options: EncodeOptions,
    metadata: Metadata | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Do what `encode` does, with the options in one object."""
    encoder = _Encoder.of(image, options, metadata)
    if options.has_target:
        return _encode_to_target(encoder, progress).data
    return encoder.file(encoder.tiles(encoder.control, progress, "encoding", reconstruct=False))


def encode_image(
    image: npt.ArrayLike,
    options: EncodeOptions,
    metadata: Metadata | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Compress an image and keep what the encoder knows of the result.

    Parameters and errors are those of :func:`encode`, with the options in one object.

    Parameters
    ----------
    image : uint8 or uint16 (H, W) or (H, W, c)
    options : EncodeOptions
    metadata : Metadata, optional
    progress : callable, optional

    Returns
    -------
    Encoded
        The file, and the pixels that a decoder will give.
    """
    encoder = _Encoder.of(image, options, metadata)
    if options.has_target:
        return _encode_to_target(encoder, progress)
    return encoder.run(encoder.control, progress, "encoding")


def _with_coded_alpha(pixels: Pixels, options: EncodeOptions) -> Pixels:
    """Return a copy with alpha as it will be coded, and with hidden colours replaced unless kept."""
    pixels = pixels.copy()
    pixels[:, :, -1] = quantised_alpha(pixels[:, :, -1], options.alpha_quality)
    if not options.keep_hidden:
        fill_hidden(pixels[:, :, :-1], pixels[:, :, -1])
    return pixels


@dataclass(frozen=True, eq=False)
class _Encoder:
    """Encodes one image at any control."""

    pixels: Pixels
    dimensions: int
    method: Method
    model: Model
    options: EncodeOptions
    metadata: Metadata
    memory: Memory = field(default_factory=dict)

    @classmethod
    def of(
        cls, image: npt.ArrayLike, options: EncodeOptions, metadata: Metadata | None
    ) -> "_Encoder":
        """Check an image and its options."""
        pixels = _checked_pixels(image)
        method = method_by_name(options.chosen_method)
        model = resolve_model(options.model)
        if pixels.shape[2] % 2 == 0:
            pixels = _with_coded_alpha(pixels, options)
        encoder = cls(pixels, np.ndim(image), method, model, options, metadata or Metadata())
        if options.tile_size is not None:
            return encoder
        if options.has_target:
            control = _goal(options).guess(encoder.colour, method.photos)
        else:
            control = encoder.control
        size = method.best_tile_size(encoder.colour, control, model, options)
        return replace(encoder, options=replace(options, tile_size=size))

    @property
    def tile_size(self) -> int:
        """The tile size, which `of` has chosen where the options do not."""
        assert self.options.tile_size is not None
        return self.options.tile_size

    @functools.cached_property
    def header(self) -> Header:
        """The header, but for the method's parameters."""
        height, width, channels = self.pixels.shape
        return Header(
            self.method.code,
            channels,
            8 * self.pixels.itemsize,
            width,
            height,
            self.tile_size,
            self.model.section_id(self.method.section),
        )

    @functools.cached_property
    def boxes(self) -> list[TileBox]:
        """The places of the tiles."""
        return tile_boxes(self.header.width, self.header.height, self.header.tile_size)

    @functools.cached_property
    def colour(self) -> Pixels:
        """The channels that the method codes."""
        if self.pixels.shape[2] % 2:
            return self.pixels
        return np.ascontiguousarray(self.pixels[:, :, :-1])

    @functools.cached_property
    def alpha(self) -> list[bytes]:
        """The alpha of each tile, as it comes before the method's payload."""
        alpha = self.pixels[:, :, -1]
        return map_threads(
            lambda box: pack_part(encode_alpha(alpha[window_of(box)])),
            self.boxes,
            thread_count(self.options.threads),
        )

    def with_options(self, options: EncodeOptions) -> "_Encoder":
        """Return an encoder of the same image whose other options have no part in alpha."""
        other = replace(self, options=options)
        if self.header.has_alpha:
            vars(other)["alpha"] = self.alpha
        return other

    @property
    def control(self) -> float:
        """The number that sets the quality, for options without a target."""
        return self.method.control(self.options, 8 * self.pixels.itemsize)

    def has_drawn_tiles(self) -> bool:
        """Tell whether a tile may be coded without loss."""
        return any(looks_drawn(self.colour[window_of(box)]) for box in self.boxes)

    def tiles(
        self,
        control: float,
        progress: Progress | None,
        what: str,
        *,
        reconstruct: bool = True,
        rough: bool = False,
        in_parts: bool = False,
    ) -> EncodedTiles:
        """Encode the tiles."""
        told = None if progress is None else lambda done: progress(done, what)
        return self.method.encode(
            self.colour,
            self.boxes,
            control,
            self.model,
            self.options,
            told,
            reconstruct=reconstruct,
            rough=rough,
            in_parts=in_parts,
            memory=self.memory if self.options.has_target else None,
        )

    def file(self, tiles: EncodedTiles) -> bytes:
        """Make a file of tiles."""
        payloads = tiles.payloads
        if self.header.has_alpha:
            payloads = [alpha + own for alpha, own in zip(self.alpha, payloads, strict=True)]
        header = replace(self.header, parameters=tiles.parameters)
        return serialize(header, payloads, self.metadata)

    def run(
        self,
        control: float,
        progress: Progress | None,
        what: str,
        *,
        rough: bool = False,
        in_parts: bool = False,
    ) -> Encoded:
        """Encode the image; `in_parts`, what is given may be `Encoded.left`."""
        return self._wrap(self.tiles(control, progress, what, rough=rough, in_parts=in_parts))

    def _wrap(self, tiles: EncodedTiles) -> Encoded:
        reconstruction = tiles.reconstruction
        assert reconstruction is not None
        if self.header.has_alpha:
            reconstruction = np.concatenate([reconstruction, self.pixels[:, :, -1:]], axis=2)
        shape = self.pixels.shape[: self.dimensions]
        return Encoded(self.file(tiles), reconstruction.reshape(shape), tiles, self._wrap)


def _goal(options: EncodeOptions) -> Goal:
    """Return the target of options that have one."""
    if options.target_psnr is not None:
        return PsnrGoal(options.target_psnr)
    assert options.target_bytes is not None
    return SizeGoal(options.target_bytes)


def _encode_to_target(encoder: _Encoder, progress: Progress | None) -> Encoded:
    """Return the smallest file found that has the PSNR, or the best one within the bytes, asked for.

    Raises
    ------
    OptionError
        If there is none; the message names what can be reached.
    """
    options, method = encoder.options, encoder.method
    goal = _goal(options)
    # What is smooth and quick to code tells where the target is: tiles without loss jump over it.
    drawn = method.has_effort and options.exact_tiles and encoder.has_drawn_tiles()
    lossy = encoder.with_options(replace(options, exact_tiles=False)) if drawn else encoder
    aim = _aim(goal, lossy, progress)
    found = _search(goal, encoder, aim, progress)
    made = found.result
    small = isinstance(goal, PsnrGoal)
    beyond = made is not None and found.reached > goal.tolerance
    if (
        made is not None
        and made.drawn
        and beyond
        and (_HOPE * aim.size < len(made.data) if small else not _is_exact(made, encoder.pixels))
    ):
        # Without those tiles there may be a smaller, or better, file beyond the jump.
        other = _search(goal, lossy, aim, progress).result
        if other is not None and _is_better(other, made, encoder.pixels, small=small):
            made = other
    few = _FEW_BITS / 8 * encoder.pixels[:, :, 0].size
    if small and method.has_effort and made is not None and beyond and len(made.data) <= few:
        made = _looked_further(goal, encoder, aim, made, progress)
    if small and method.has_effort and found.at_end and goal.target >= _LEAST_PSNR:
        assert made is not None
        return made.without_encoder()
    at_end = found.at_end and method.has_effort
    if made is None or (at_end and not _is_exact(made, encoder.pixels)):
        span = method.control_range(encoder.header.bit_depth)
        ends = [encoder.run(control, progress, "looking for the range") for control in span]
        low, high = sorted(map(goal.measure, ends, repeat(encoder.pixels)))
        raise OptionError(
            f"target {goal.name(goal.target)} is out of reach: this image can have"
            f" {goal.name(low)} to {goal.name(high)} at these settings"
        )
    return made.without_encoder()


def _looked_further(
    goal: Goal, encoder: _Encoder, aim: Aim, made: Encoded, progress: Progress | None
) -> Encoded:
    """Return the smallest file that meets a goal, among one and some of coarser controls."""
    coarsest = encoder.method.control_range(encoder.header.bit_depth)[1]
    for factor in _FURTHER:
        if factor * aim.first > coarsest:
            break
        other = encoder.run(factor * aim.first, progress, "looking further")
        over = goal.excess(other, encoder.pixels)
        if over < -goal.settled:
            break
        if over > goal.tolerance:
            other = refine(goal, aim, other, encoder.pixels, over)
        if over >= 0 and len(other.data) < len(made.data):
            made = other
    return made


def _is_exact(made: Encoded, pixels: Pixels) -> bool:
    """Tell whether a file has lost nothing."""
    return np.array_equal(made.reconstruction.reshape(pixels.shape), pixels)


def _is_better(made: Encoded, than: Encoded, pixels: Pixels, *, small: bool) -> bool:
    """Tell whether a file is smaller than another, or else nearer to the pixels."""
    if small:
        return len(made.data) < len(than.data)
    first, second = (psnr(one.reconstruction.reshape(pixels.shape), pixels) for one in (made, than))
    return first > second


def _aim(goal: Goal, encoder: _Encoder, progress: Progress | None) -> Aim:
    """Find where to begin with a search."""
    options, method = encoder.options, encoder.method
    span = method.control_range(encoder.header.bit_depth)

    def encode(pixels: Pixels, control: float, effort: int) -> Encoded:
        lighter = encoder.with_options(replace(options, effort=effort))
        if pixels is not encoder.pixels:
            lighter = replace(encoder, pixels=pixels, options=lighter.options, memory={})
        return lighter.run(control, progress, "aiming", rough=effort == LEAST_EFFORT)

    # Without efforts, all encodes are of the least one.
    effort = options.effort if method.has_effort else LEAST_EFFORT
    return aim_at(goal, encoder.pixels, effort, span, encode, method.photos)


class _Trial(NamedTuple):
    """An encode of a search; where it is `Encoded.left`, the excess is foreseen."""

    made: Encoded
    control: float
    excess: float


def _search(goal: Goal, encoder: _Encoder, aim: Aim, progress: Progress | None) -> Found[Encoded]:
    """Search the control that meets a goal."""
    method = encoder.method
    landing = None
    if isinstance(goal, PsnrGoal) and aim.rough is not None and aim.rough.touch is not None:
        landing = Landing(goal, aim, aim.rough, encoder.pixels)
    trials = 0

    def attempt(control: float) -> _Trial:
        nonlocal trials
        trials += 1
        what = f"trial {trials}"
        made = encoder.run(control, progress, what, in_parts=landing is not None)
        if landing is None or not made.left:
            return _Trial(made, control, goal.excess(made, encoder.pixels))
        made, excess = landing.approach(made, control)
        return _Trial(made, control, excess)

    def cost(trial: _Trial) -> float:
        if trial.made.left:
            return math.inf
        return len(trial.made.data) if isinstance(goal, PsnrGoal) else trial.excess

    def refined(trial: _Trial, over: float) -> _Trial:
        made = trial.made
        if landing is not None and made.left:
            made, over = landing.complete(made, trial.control)
            trial = _Trial(made, trial.control, over)
            if 0 <= over <= goal.tolerance:
                return trial
        other = refine(goal, aim, made, encoder.pixels, over)
        return trial if other is made else _Trial(other, trial.control, goal.excess(other, encoder.pixels))

    span = method.control_range(encoder.header.bit_depth)
    search = Search(
        span,
        method.control_resolution,
        goal.tolerance,
        goal.finer_is_more,
        narrow=_NARROW,
        first=aim.first,
        slope=aim.slope,
        trials=_TRIALS if method.has_effort else _QUICK_TRIALS,
        settled=goal.settled,
        refinable=goal.refinable,
    )
    found = search.run(attempt, lambda trial: trial.excess, refined, cost)
    return Found(found.result and found.result.made, found.reached, found.at_end)
