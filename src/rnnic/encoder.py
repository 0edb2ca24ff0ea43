"""One image, and what encodes it at any control."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.aiming import goal_of
from rnnic.alpha import encode_alpha, fill_hidden, quantised_alpha
from rnnic.container import Header, TileBox, serialize, tile_boxes, window_of
from rnnic.errors import UnsupportedImageError
from rnnic.lossless import looks_drawn
from rnnic.metadata import Metadata
from rnnic.methods import EncodedTiles, Memory, Method, TileTrace, Touch, method_by_name
from rnnic.model import Model, resolve_model
from rnnic.options import EncodeOptions
from rnnic.parallel import map_threads, thread_count
from rnnic.parts import pack_part

__all__ = ["Encoded", "ImageEncoder", "Progress"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Progress = Callable[[float, str], None]


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

    def deepened(self) -> "Encoded | None":
        """Return what `rnnic.methods.Touch.deepened` gives."""
        tiles = self._tiles.touch.deepened() if self._tiles.touch else None
        return None if tiles is None else self._wrap(tiles)

    def without_encoder(self) -> "Encoded":
        """Return the same without what `touched` needs, which is a lot of memory."""
        return replace(self, _tiles=replace(self._tiles, touch=None))

    def traces(self) -> list[TileTrace]:
        """Return, tile by tile, which code stands for which pixel."""
        return self._tiles.trace(self._tiles.payloads)


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


def _with_coded_alpha(pixels: Pixels, options: EncodeOptions) -> Pixels:
    """Return a copy with alpha as it will be coded, and with hidden colours replaced unless kept."""
    pixels = pixels.copy()
    pixels[:, :, -1] = quantised_alpha(pixels[:, :, -1], options.alpha_quality)
    if not options.keep_hidden:
        fill_hidden(pixels[:, :, :-1], pixels[:, :, -1])
    return pixels


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """Encodes one image at any control."""

    pixels: Pixels
    dimensions: int
    method: Method
    model: Model
    options: EncodeOptions
    metadata: Metadata
    memory: Memory = field(default_factory=Memory)

    @classmethod
    def of(
        cls, image: npt.ArrayLike, options: EncodeOptions, metadata: Metadata | None
    ) -> "ImageEncoder":
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
            control = goal_of(options).guess(encoder.colour, method.photos)
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

    def with_options(self, options: EncodeOptions) -> "ImageEncoder":
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
        in_parts: bool = False,
    ) -> Encoded:
        """Encode the image; `in_parts`, what is given may be `Encoded.left`."""
        return self._wrap(self.tiles(control, progress, what, in_parts=in_parts))

    def _wrap(self, tiles: EncodedTiles) -> Encoded:
        reconstruction = tiles.reconstruction
        assert reconstruction is not None
        if self.header.has_alpha:
            reconstruction = np.concatenate([reconstruction, self.pixels[:, :, -1:]], axis=2)
        shape = self.pixels.shape[: self.dimensions]
        return Encoded(self.file(tiles), reconstruction.reshape(shape), tiles, self._wrap)
