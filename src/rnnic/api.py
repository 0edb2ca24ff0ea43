"""Encode and decode images; what ``import rnnic`` offers."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rnnic.container import (
    DEFAULT_MAX_PIXELS,
    MAX_SIDE,
    Container,
    Header,
    TileBox,
    parse,
    serialize,
)
from rnnic.errors import OptionError, RnnicError, TruncatedError, UnsupportedImageError
from rnnic.files import atomic_output
from rnnic.metadata import Metadata
from rnnic.methods import EncodedTiles, Method, TileTrace, method_by_code, method_by_name
from rnnic.metrics import psnr
from rnnic.model import Model, default_model
from rnnic.options import EncodeOptions
from rnnic.parallel import map_threads, thread_count
from rnnic.targets import Search

__all__ = [
    "Encoded",
    "FileInfo",
    "decode",
    "encode",
    "encode_image",
    "info",
    "read",
    "write",
]

Pixels = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]
Data = bytes | bytearray | memoryview
PathLike = str | os.PathLike[str]

_PSNR_TOLERANCE = 0.02
_SIZE_TOLERANCE = 0.015
_RESOLUTION = 1 / 64


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


def _resolve_model(model: Model | PathLike | None) -> Model:
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
    method = method_by_name(options.method)
    model = _resolve_model(options.model)
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
    span = encoder.method.control_range
    trials = 0

    def attempt(control: float) -> Encoded:
        nonlocal trials
        trials += 1
        return encoder.run(control, progress, f"trial {trials}")

    if psnr_goal is not None:
        goal = psnr_goal
        search = Search(span, _RESOLUTION, _PSNR_TOLERANCE, finer_is_more=True)
        found = search.run(
            attempt,
            lambda e: psnr(e.reconstruction.reshape(encoder.pixels.shape), encoder.pixels) - goal,
        )
        if found.result is None:
            raise OptionError(f"no setting gives {goal} dB; the most is {goal + found.reached:.2f}")
        return found.result
    assert size_goal is not None
    limit = size_goal
    search = Search(span, _RESOLUTION, _SIZE_TOLERANCE, finer_is_more=False)
    sizes: list[int] = []

    def excess(e: Encoded) -> float:
        sizes.append(len(e.data))
        return 1 - len(e.data) / limit

    found = search.run(attempt, excess)
    if found.result is None:
        raise OptionError(f"no setting gives {limit} bytes; the smallest file has {min(sizes)}")
    return found.result


def _checked_region(region: Sequence[int] | None, header: Header) -> tuple[int, int, int, int]:
    """Return the region x, y, width, height; the whole image where none is asked for."""
    if region is None:
        return 0, 0, header.width, header.height
    x, y, width, height = region
    inside = x >= 0 and y >= 0 and x + width <= header.width and y + height <= header.height
    if not inside or width < 1 or height < 1:
        raise OptionError(
            f"region {x},{y},{width},{height} is not inside the image"
            f" of {header.width} x {header.height} pixels"
        )
    return x, y, width, height


def _output(out: Pixels | None, shape: tuple[int, int, int]) -> Pixels:
    """Return an array (h, w, c) to decode into; `out` itself where the caller gave one."""
    if out is None:
        return np.empty(shape, np.uint8)
    expected = shape if shape[2] > 1 or out.ndim == 3 else shape[:2]
    if out.shape != expected or out.dtype != np.uint8 or not out.flags.writeable:
        raise OptionError(f"out must be a writeable uint8 array of shape {expected}")
    return out.reshape(shape) if out.flags.c_contiguous else np.empty(shape, np.uint8)


def decode(
    data: Data,
    *,
    region: Sequence[int] | None = None,
    threads: int | None = None,
    out: Pixels | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    model: Model | PathLike | None = None,
) -> Pixels:
    """Decompress an image.

    Parameters
    ----------
    data : bytes-like
        A file's content.
    region : sequence of 4 int, optional
        x, y, width, height in pixels: only this part, for which only the tiles it touches are
        decoded.
    threads : int, optional
        Tiles decoded at once; the default is the number of CPUs, at most 8.
    out : uint8 array, optional
        Receives the pixels and is returned.
    max_pixels : int
        Larger images are refused.
    model : Model or path, optional
        Looked at before the installed models.

    Returns
    -------
    uint8 (H, W) or (H, W, 3)
        Grey or RGB pixels.

    Raises
    ------
    FormatError, TruncatedError, ChecksumError
        If the data is not a whole, undamaged file.
    LimitError
        If the image is larger than `max_pixels`.
    ModelMissingError
        If the model that the file was compressed with is not at hand.
    """
    container = parse(memoryview(data), max_pixels)
    header = container.header
    method = method_by_code(header.method)
    wanted = _resolve_model(model) if model is not None else None
    decode_tile = method.tile_decoder(header, wanted)
    _check_tile_sizes(container, method)
    x, y, width, height = _checked_region(region, header)
    target = _output(out, (height, width, header.channels))

    def place(index: int) -> None:
        box = header.tile_box(index)
        left, upper = max(x, box.x), max(y, box.y)
        right, lower = min(x + width, box.x + box.width), min(y + height, box.y + box.height)
        if (right - left, lower - upper) == (box.width, box.height):
            moved = TileBox(box.x - x, box.y - y, box.width, box.height)
            decode_tile(container.tiles[index], moved, target)
            return
        tile = np.empty((box.height, box.width, header.channels), np.uint8)
        decode_tile(container.tiles[index], TileBox(0, 0, box.width, box.height), tile)
        target[upper - y : lower - y, left - x : right - x] = tile[
            upper - box.y : lower - box.y, left - box.x : right - box.x
        ]

    size = header.tile_size
    touched = [
        row * header.columns + column
        for row in range(y // size, (y + height - 1) // size + 1)
        for column in range(x // size, (x + width - 1) // size + 1)
    ]
    map_threads(place, touched, min(thread_count(threads), len(touched)))
    if out is not None:
        if not out.flags.c_contiguous:
            out[...] = target.reshape(out.shape)
        return out
    return target if header.channels > 1 else target[:, :, 0]


def _check_tile_sizes(container: Container, method: Method) -> None:
    """Check that every tile has the bytes it needs at least, before its pixels are allocated."""
    for index, payload in enumerate(container.tiles):
        least = method.minimum_bytes(container.header.tile_box(index))
        if len(payload) < least:
            raise TruncatedError(
                f"tile {index} has {len(payload)} bytes, its size needs {least} at least;"
                " the file is damaged"
            )


def _load(source: PathLike | BinaryIO) -> tuple[bytes, str]:
    """Return the content of a file, and its name for messages."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).read_bytes(), os.fspath(source)
    return source.read(), str(getattr(source, "name", "file"))


def _named(name: str, error: RnnicError) -> RnnicError:
    """Return the error with the file's name before its message."""
    return type(error)(f"{name}: {error}")


def read(source: PathLike | BinaryIO, **options: Any) -> Pixels:
    """Decompress a file.

    Parameters
    ----------
    source : path or binary file
        What to read.
    **options
        Those of :func:`decode`.

    Raises
    ------
    OSError
        If the file cannot be read.
    RnnicError
        As :func:`decode`; the message names the file.
    """
    data, name = _load(source)
    try:
        return decode(data, **options)
    except RnnicError as error:
        raise _named(name, error) from error


def write(
    target: PathLike | BinaryIO,
    image: npt.ArrayLike,
    *,
    overwrite: bool = True,
    **options: Any,
) -> int:
    """Compress an image into a file, which is written whole or not at all.

    Parameters
    ----------
    target : path or binary file
        Where to write. A path is replaced only once the new file is complete.
    image : uint8 (H, W), (H, W, 1) or (H, W, 3)
        Grey or RGB pixels.
    overwrite : bool
        Whether an existing file is replaced.
    **options
        Those of :func:`encode`.

    Returns
    -------
    int
        Number of bytes written.

    Raises
    ------
    OSError
        If the file cannot be written.
    RnnicError
        As :func:`encode`.
    """
    data = encode(image, **options)
    if isinstance(target, (str, os.PathLike)):
        with atomic_output(target, overwrite=overwrite) as file:
            file.write(data)
    else:
        target.write(data)
    return len(data)


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself, without its pixels being decoded."""

    width: int
    height: int
    channels: int
    bit_depth: int
    method: str
    parameters: dict[str, Any]
    model_id: str
    tile_size: int
    tiles: int
    file_size: int
    metadata: Metadata

    @property
    def bits_per_pixel(self) -> float:
        """Size of the file over the number of pixels, in bits."""
        return 8 * self.file_size / (self.width * self.height)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; of the metadata, only the sizes."""
        found = dataclasses.asdict(dataclasses.replace(self, metadata=Metadata()))
        found["bits_per_pixel"] = self.bits_per_pixel
        found["metadata"] = self.metadata.sizes()
        return found


def info(source: Data | PathLike | BinaryIO) -> FileInfo:
    """Return what a file says of itself; all its checksums are verified.

    Parameters
    ----------
    source : bytes-like, path or binary file
        The file or its content.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError, TruncatedError, ChecksumError, LimitError
        If it is not a whole, undamaged file; the message names it.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _info(memoryview(source))
    data, name = _load(source)
    try:
        return _info(memoryview(data))
    except RnnicError as error:
        raise _named(name, error) from error


def _info(data: memoryview) -> FileInfo:
    container = parse(data, MAX_SIDE**2)
    header = container.header
    method = method_by_code(header.method)
    return FileInfo(
        width=header.width,
        height=header.height,
        channels=header.channels,
        bit_depth=header.bit_depth,
        method=method.name,
        parameters=method.describe(header.parameters),
        model_id=header.model_id.hex(),
        tile_size=header.tile_size,
        tiles=header.tile_count,
        file_size=len(data),
        metadata=container.metadata,
    )
