"""Encoding images: options in, a file out."""

import math
from dataclasses import replace
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.aiming import LEAST_EFFORT, Aim, Aiming, Goal, PsnrGoal, goal_of
from rnnic.encoder import Encoded, ImageEncoder, Progress
from rnnic.errors import OptionError
from rnnic.landing import Landing
from rnnic.metadata import Metadata
from rnnic.methods import Memory
from rnnic.metrics import psnr
from rnnic.options import EncodeOptions
from rnnic.refining import refine
from rnnic.targets import Found, Search

__all__ = ["Encoded", "encode", "encode_file", "encode_image"]

Pixels = npt.NDArray[Any]  # uint8 or uint16

_NARROW = 3e-4
_TRIALS, _QUICK_TRIALS = 4, 7
"""So many encodes of the whole image are enough once the target is between two; of a quick method."""
_PATIENT_EFFORT = 8
"""From this effort on, bytes count more than time."""
_HOPE = 0.5
"""The asked effort makes a drawing hardly smaller than so much of what the least effort does."""
_FEW_BITS = 0.06
_FURTHER = (1.2, 1.44, 1.73)
"""PSNR and size jump with the step at so few bits a pixel: coarser ones may be smaller and no worse."""
_LEAST_PSNR = 25.0
"""From here on, an image that is better even with the coarsest step has met its target."""


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
    encoder = ImageEncoder.of(image, options, metadata)
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
    encoder = ImageEncoder.of(image, options, metadata)
    if options.has_target:
        return _encode_to_target(encoder, progress)
    return encoder.run(encoder.control, progress, "encoding")


def _encode_to_target(encoder: ImageEncoder, progress: Progress | None) -> Encoded:
    """Return the smallest file found that has the PSNR, or the best one within the bytes, asked for.

    Raises
    ------
    OptionError
        If there is none; the message names what can be reached.
    """
    options, method = encoder.options, encoder.method
    goal = goal_of(options)
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
    assert not made.left
    return made.without_encoder()


def _looked_further(
    goal: Goal, encoder: ImageEncoder, aim: Aim, made: Encoded, progress: Progress | None
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


def _aim(goal: Goal, encoder: ImageEncoder, progress: Progress | None) -> Aim:
    """Find where to begin with a search."""
    options, method = encoder.options, encoder.method
    span = method.control_range(encoder.header.bit_depth)
    encoders = {id(encoder.pixels): encoder}

    def encode(pixels: Pixels, control: float, effort: int) -> Encoded:
        lighter = replace(options, effort=effort)
        if id(pixels) not in encoders:
            memory = Memory(usual=encoder.memory.any_tile, sample=True)
            encoders[id(pixels)] = replace(encoder, pixels=pixels, memory=memory)
        return encoders[id(pixels)].with_options(lighter).run(control, progress, "aiming")

    # Without efforts, all encodes are of the least one.
    effort = options.effort if method.has_effort else LEAST_EFFORT
    aim = Aiming(goal, encoder.pixels, effort, span, encode, method.photos).run()
    if aim.foreseen is not None:
        # Nothing was fitted to the image: it begins with what was to its sample, the latest.
        encoder.memory.usual = list(encoders.values())[-1].memory.any_tile
    return aim


class _Trial(NamedTuple):
    """An encode of a search; where it is `Encoded.left`, the excess is foreseen.

    ``usual`` is the excess with the usual weight of bits.
    """

    made: Encoded
    control: float
    excess: float
    usual: float


def _search(
    goal: Goal, encoder: ImageEncoder, aim: Aim, progress: Progress | None
) -> Found[Encoded]:
    """Search the control that meets a goal."""
    method = encoder.method
    landing = None
    if isinstance(goal, PsnrGoal) and (aim.rough is not None or aim.foreseen is not None):
        landing = Landing(goal, aim, encoder.pixels)
    trials = 0

    def attempt(control: float) -> _Trial:
        nonlocal trials
        trials += 1
        what = f"trial {trials}"
        made = encoder.run(control, progress, what, in_parts=landing is not None)
        if landing is None or not made.left:
            excess = goal.excess(made, encoder.pixels)
            return _Trial(made, control, excess, excess)
        made, usual = landing.approach(made, control)
        excess = usual if made.left else goal.excess(made, encoder.pixels)
        return _Trial(made, control, excess, usual)

    def cost(trial: _Trial) -> float:
        if trial.made.left:
            return math.inf
        return len(trial.made.data) if isinstance(goal, PsnrGoal) else trial.excess

    def refined(trial: _Trial, over: float) -> _Trial:
        made = trial.made
        if landing is not None and made.left:
            made = landing.complete(made, trial.control)
            over = goal.excess(made, encoder.pixels)
        if not 0 <= over <= goal.tolerance:
            made = refine(goal, aim, made, encoder.pixels, over)
            over = goal.excess(made, encoder.pixels)
        return trial._replace(made=made, excess=over)

    patient = method.has_effort and encoder.options.effort >= _PATIENT_EFFORT
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
        refinable=(goal.least_loss if patient else goal.refinable).times(aim.freedom(goal)),
        aim=goal.middle if landing is None else aim.lean(goal),
    )
    found = search.run(
        attempt, lambda trial: trial.excess, refined, cost, lambda trial: trial.usual
    )
    return Found(found.result and found.result.made, found.reached, found.at_end)
