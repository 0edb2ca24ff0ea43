"""Arrays of images as bytes: what the adapters of libraries of chunked arrays share.

One image is its RNNIC file. A stack of them is a frame, all numbers little-endian:

======  ========  =======================================
offset  size      content
======  ========  =======================================
0       8         signature 8A 52 4E 4E 53 54 0D 0A
8       4         u32 number of images N, at least 1
12      4 N       u32 lengths of their files
12+4N             the files, back to back, nothing after
======  ========  =======================================

All images of a stack have the same size, channels and bit depth.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from rnnic.chunks import check_signature, iterate_chunks
from rnnic.container import DEFAULT_MAX_PIXELS, SIGNATURE, Header, parse_head
from rnnic.decoding import PathLike, decode
from rnnic.encoding import encode_file
from rnnic.errors import FormatError, LimitError, OptionError, TruncatedError, UnsupportedImageError
from rnnic.model import Model
from rnnic.options import EncodeOptions
from rnnic.parallel import map_threads, thread_count

__all__ = [
    "Layout",
    "Stack",
    "check_layout",
    "encode_stack",
    "image_axes",
    "json_options",
    "parse_stack",
    "stack_shape",
]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Layout = Literal["auto", "HW", "HWC"]
Region = tuple[int, int, int, int]  # x, y, width, height

STACK_SIGNATURE = b"\x8aRNNST\r\n"
_COUNT = struct.Struct("<I")
_MAX_LENGTH = 2**32 - 1
_MAX_CHANNELS = 4


def json_options(options: Mapping[str, Any]) -> EncodeOptions:
    """Return the options of an encoder that a configuration holds, checked.

    Raises
    ------
    OptionError
        If one is unknown, out of its range, or no JSON value.
    """
    for name, value in options.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"{name} is {value!r}; a configuration holds JSON values only"
            ) from error
    try:
        return EncodeOptions(**options)
    except TypeError as error:
        raise OptionError(f"unknown option among {', '.join(sorted(options))}") from error


def check_layout(layout: str) -> Layout:
    """Return the layout, which must be one of those that there are."""
    for known in get_args(Layout):
        if layout == known:
            return known  # type: ignore[no-any-return]
    raise OptionError(f"layout is {layout!r}; it must be {', '.join(get_args(Layout))}")


def image_axes(shape: Sequence[int], layout: Layout) -> int:
    """Return how many of the last axes of an array are those of one image, 2 or 3.

    Parameters
    ----------
    shape : sequence of int
        (..., H, W) or (..., H, W, c).
    layout : {"auto", "HW", "HWC"}
        What the last axes are; "auto" takes a last axis of 1 … 4 for channels if there are three axes
        or more.

    Raises
    ------
    UnsupportedImageError
        If the shape is none of images.
    """
    deep = layout == "HWC" or (
        layout == "auto" and len(shape) > 2 and 1 <= shape[-1] <= _MAX_CHANNELS
    )
    axes = 3 if deep else 2
    fits = len(shape) >= axes and (not deep or 1 <= shape[-1] <= _MAX_CHANNELS)
    if not fits or 0 in shape:
        raise UnsupportedImageError(
            f"an array of shape {tuple(shape)} with layout {layout!r}; images (H, W) or (H, W, c)"
            " with c = 1 … 4, or stacks (N, H, W) or (N, H, W, c) of them, are needed"
        )
    if math.prod(shape) // (shape[-1] if deep else 1) > DEFAULT_MAX_PIXELS:
        raise LimitError(
            f"an array of shape {tuple(shape)} has more than {DEFAULT_MAX_PIXELS} pixels;"
            " use smaller chunks"
        )
    return axes


def stack_shape(shape: Sequence[int], layout: Layout) -> tuple[int, ...]:
    """Return the shape that a compressed array is decoded to, see `Stack.shape`."""
    axes = image_axes(shape, layout)
    image = tuple(shape[-axes:])
    image = image[:2] if image[2:] == (1,) else image
    return image if len(shape) == axes else (math.prod(shape[:-axes]), *image)


def encode_stack(
    array: Pixels, layout: Layout, options: EncodeOptions, threads: int | None = None
) -> bytes:
    """Compress an image or a stack of images.

    Parameters
    ----------
    array : uint8 or uint16 (..., H, W) or (..., H, W, c)
        Images; all axes before those of one image make a stack.
    layout : {"auto", "HW", "HWC"}
        See `image_axes`.
    options : EncodeOptions
        Of every image.
    threads : int, optional
        Tiles and images coded at once; the default is one a CPU, at most 8.

    Raises
    ------
    UnsupportedImageError
        If the type or shape is none of images.
    LimitError
        If there are more pixels than a decoder takes at once, or a file is longer than its length field
        can say.
    OptionError
        If an option has no meaning for the images.
    """
    axes = image_axes(array.shape, layout)
    if array.ndim == axes:
        return encode_file(array, replace(options, threads=threads))
    images = array.reshape(-1, *array.shape[-axes:])
    outer, inner = _shared(threads, len(images))
    each = replace(options, threads=inner)
    files = map_threads(lambda image: encode_file(image, each), images, outer)
    if max(map(len, files)) > _MAX_LENGTH:
        raise LimitError(f"an image takes more than {_MAX_LENGTH} bytes; use smaller chunks")
    lengths = struct.pack(f"<{len(files)}I", *map(len, files))
    return b"".join((STACK_SIGNATURE, _COUNT.pack(len(files)), lengths, *files))


def _shared(threads: int | None, images: int) -> tuple[int, int]:
    """Return how many images are coded at once, and with how many threads each."""
    count = thread_count(threads)
    outer = min(count, images)
    return outer, count // outer


class Stack(NamedTuple):
    """Compressed images whose headers have been read.

    Parameters
    ----------
    files : sequence of memoryview
        The files.
    header : Header
        What holds for all of them.
    single : bool
        Whether it is one image, not a stack.
    """

    files: Sequence[memoryview]
    header: Header
    single: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, (H, W), (H, W, c), (N, H, W) or (N, H, W, c) with c = 2 … 4."""
        header = self.header
        image = (header.height, header.width) + (header.channels,) * (header.channels > 1)
        return image if self.single else (len(self.files), *image)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples, uint8 or uint16."""
        return np.dtype(self.header.dtype)

    def decode(
        self,
        out: Pixels | None = None,
        *,
        region: Region | None = None,
        threads: int | None = None,
        model: Model | PathLike | None = None,
    ) -> Pixels:
        """Decode into an array of the stack's shape and type, a new one if none is given.

        With a region, x, y, width and height, only that part of every image is decoded and the array has its
        size. Errors are those of :func:`rnnic.decode`.
        """
        if self.single:
            return decode(self.files[0], out=out, region=region, threads=threads, model=model)
        if out is None:
            sides = self.shape[1:3] if region is None else (region[3], region[2])
            out = np.empty((len(self.files), *sides, *self.shape[3:]), self.dtype)
        pixels = out
        outer, inner = _shared(threads, len(self.files))

        def place(index: int) -> None:
            file = self.files[index]
            decode(file, out=pixels[index], region=region, threads=inner, model=model)

        map_threads(place, range(len(self.files)), outer)
        return pixels


def parse_stack(data: memoryview) -> Stack:
    """Read the headers of an image or a stack; nothing of the images' size is allocated.

    Raises
    ------
    FormatError, TruncatedError, ChecksumError
        If the data does not start as it must, or lengths do not fit it.
    LimitError
        If there are more pixels than one chunk may have.
    """
    found = bytes(data[: len(STACK_SIGNATURE)])
    if len(found) <= 4 or not STACK_SIGNATURE.startswith(found):  # up to there both begin alike
        return Stack([data], _header(data), single=True)
    files = _split(data)
    header = _header(files[0])
    for index, file in enumerate(files):
        other = _header(file)
        if _form(other) != _form(header):
            raise FormatError(
                f"image {index} of the stack is {_form(other)}, the first one {_form(header)}"
                " (width, height, channels, bits)"
            )
    pixels = len(files) * header.width * header.height
    if pixels > DEFAULT_MAX_PIXELS:
        raise LimitError(f"{pixels} pixels in a stack are more than {DEFAULT_MAX_PIXELS}")
    return Stack(files, header, single=False)


def _split(data: memoryview) -> list[memoryview]:
    """Return the files of a stack."""
    start = len(STACK_SIGNATURE)
    if len(data) < start + _COUNT.size:
        raise TruncatedError("the stack ends before its count of images does")
    (count,) = _COUNT.unpack_from(data, start)
    start += _COUNT.size
    if count == 0:
        raise FormatError("a stack of no images")
    if count > (len(data) - start) // 4:
        raise TruncatedError(f"the stack ends within the lengths of its {count} images")
    lengths = struct.unpack_from(f"<{count}I", data, start)
    start += 4 * count
    if sum(lengths) != len(data) - start:
        kind = TruncatedError if sum(lengths) > len(data) - start else FormatError
        raise kind(f"the stack's files need {sum(lengths)} bytes, {len(data) - start} are there")
    files = []
    for length in lengths:
        files.append(data[start : start + length])
        start += length
    return files


def _header(file: memoryview) -> Header:
    check_signature(file, SIGNATURE, "RNNIC file")
    return parse_head(next(iterate_chunks(file)), DEFAULT_MAX_PIXELS)


def _form(header: Header) -> tuple[int, int, int, int]:
    return header.width, header.height, header.channels, header.bit_depth
