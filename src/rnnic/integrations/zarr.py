"""A serializer for arrays of Zarr 3: chunks are images or stacks of images.

>>> import zarr
>>> from rnnic.integrations.zarr import RnnicCodec
>>> array = zarr.create_array(
...     {}, shape=(8, 64, 64), chunks=(4, 32, 32), dtype="uint16",
...     serializer=RnnicCodec(error_threshold=0), compressors=None,
... )
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rnnic.errors import FormatError, MissingDependencyError, OptionError, UnsupportedImageError
from rnnic.integrations.stacks import (
    Layout,
    check_layout,
    encode_stack,
    image_axes,
    json_options,
    parse_stack,
    stack_shape,
)
from rnnic.options import EncodeOptions

try:
    from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
    from zarr.core.common import parse_named_configuration
except ImportError as error:
    raise MissingDependencyError("zarr is not installed: pip install 'rnnic[zarr]'") from error

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer
    from zarr.core.chunk_grids import ChunkGrid
    from zarr.core.common import JSON
    from zarr.core.dtype.wrapper import TBaseDType, TBaseScalar, ZDType
    from zarr.core.indexing import SelectorTuple

__all__ = ["RnnicCodec"]

_NAME = "rnnic"


@dataclass(frozen=True, init=False)
class RnnicCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Compresses chunks that are images, or stacks of images.

    Parameters
    ----------
    layout : {"auto", "HW", "HWC"}
        What the last axes of a chunk are: rows and columns, or rows, columns and channels. With "auto" a
        last axis of length 1 … 4 is one of channels if there are three axes or more; say "HW" for stacks of
        images of at most 4 columns. All axes before are those of a stack.
    threads : int, optional
        Tiles and images of a chunk coded at once; the default is one a CPU, at most 8. Not stored
        with the array, for it is a matter of the machine and not of the data.
    **options
        Those of :class:`rnnic.EncodeOptions` that are JSON values, for every image: ``quality``,
        ``error_threshold``, ``target_psnr``, ``target_bytes``, ``step``, ``method``, ``effort``,
        ``tile_size``, ``keep_hidden`` and so on. Unlike there, ``keep_hidden`` is True unless given,
        for what is no alpha may be in the last of 2 or 4 channels. ``model``, a path, is needed for
        reading too.

    Raises
    ------
    OptionError
        If an option is unknown, out of its range, or no JSON value.
    """

    is_fixed_size = False

    layout: Layout
    options: tuple[tuple[str, Any], ...]
    threads: int | None = field(compare=False)
    _checked: EncodeOptions = field(compare=False, repr=False)

    def __init__(self, *, layout: str = "auto", threads: int | None = None, **options: Any) -> None:
        checked = json_options({"keep_hidden": True} | options | {"threads": threads})
        object.__setattr__(self, "layout", check_layout(layout))
        object.__setattr__(self, "options", tuple(sorted(options.items())))
        object.__setattr__(self, "threads", threads)
        object.__setattr__(self, "_checked", checked)

    @classmethod
    def from_dict(cls, data: "dict[str, JSON]") -> Self:
        """Return the codec that an array's metadata describe."""
        _, configuration = parse_named_configuration(data, _NAME, require_configuration=False)
        if not isinstance(configuration, dict | None):
            raise OptionError(f"the configuration of the codec {_NAME} must be an object")
        arguments: dict[str, Any] = dict(configuration or {})
        return cls(**arguments)

    def to_dict(self) -> "dict[str, JSON]":
        """Return what an array's metadata hold: what was given, but for the number of threads."""
        configuration = dict(self.options)
        if self.layout != "auto":
            configuration["layout"] = self.layout
        return {"name": _NAME, "configuration": configuration}

    def evolve_from_array_spec(self, array_spec: "ArraySpec") -> Self:
        """Return the codec itself, after checking the type and the number of axes.

        Raises
        ------
        UnsupportedImageError
            If arrays of this type or with so few axes are no images.
        """
        _check_dtype(array_spec.dtype.to_native_dtype())
        least = 3 if self.layout == "HWC" else 2
        if array_spec.ndim < least:
            raise UnsupportedImageError(
                f"an array of {array_spec.ndim} axes; with layout {self.layout!r}, images have {least}"
            )
        return self

    def validate(
        self,
        *,
        shape: tuple[int, ...],  # noqa: ARG002  # Zarr's signature
        dtype: "ZDType[TBaseDType, TBaseScalar]",
        chunk_grid: "ChunkGrid",
    ) -> None:
        """Check the type, and that chunks can be images.

        Raises
        ------
        UnsupportedImageError, LimitError
            If not.
        """
        _check_dtype(dtype.to_native_dtype())
        chunk = getattr(chunk_grid, "chunk_shape", None)
        if chunk is None:
            return
        with contextlib.suppress(UnsupportedImageError):
            image_axes(sorted(chunk, reverse=True), self.layout)
            return  # it can become an image by a filter that transposes, if it is none
        image_axes(chunk, self.layout)

    def _encode_sync(self, chunk_array: "NDBuffer", chunk_spec: "ArraySpec") -> "Buffer":
        array = chunk_array.as_numpy_array()
        data = encode_stack(array, self.layout, self._checked, self.threads)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _encode_single(self, chunk_data: "NDBuffer", chunk_spec: "ArraySpec") -> "Buffer":
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    def _decode_sync(self, chunk_bytes: "Buffer", chunk_spec: "ArraySpec") -> "NDBuffer":
        return self._decode_part(chunk_bytes, (), chunk_spec)

    def _decode_part(
        self, chunk_bytes: "Buffer", selection: "SelectorTuple", chunk_spec: "ArraySpec"
    ) -> "NDBuffer":
        """Return what a selection picks out of a chunk; decode what it needs of which images alone."""
        stack = parse_stack(chunk_bytes.as_numpy_array().data)
        shape, dtype = chunk_spec.shape, chunk_spec.dtype.to_native_dtype()
        if stack.shape != stack_shape(shape, self.layout) or stack.dtype != dtype.newbyteorder("="):
            raise FormatError(
                f"a chunk holds {stack.dtype} of shape {stack.shape},"
                f" the array's chunks are {dtype} of shape {shape}"
            )
        before = len(shape) - image_axes(shape, self.layout)
        box, within = _bounds(selection, shape, before)
        numbers = np.arange(len(stack.files)).reshape(shape[:before])[tuple(box[:before])]
        part = stack._replace(files=[stack.files[number] for number in numbers.ravel().tolist()])
        rows, columns = box[before : before + 2]
        height, width = rows.stop - rows.start, columns.stop - columns.start
        region = (columns.start, rows.start, width, height)
        pixels = part.decode(region=region, threads=self.threads, model=self._checked.model)
        chunk = pixels.reshape(*numbers.shape, height, width, *shape[before + 2 :])
        array = chunk.astype(dtype, copy=False)[within]
        return chunk_spec.prototype.nd_buffer.from_numpy_array(array)

    async def _decode_partial_single(
        self, byte_getter: "ByteGetter", selection: "SelectorTuple", chunk_spec: "ArraySpec"
    ) -> "NDBuffer | None":
        data = await byte_getter.get(prototype=chunk_spec.prototype)
        if data is None:
            return None
        return await asyncio.to_thread(self._decode_part, data, selection, chunk_spec)

    async def _decode_single(self, chunk_data: "Buffer", chunk_spec: "ArraySpec") -> "NDBuffer":
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: "ArraySpec") -> int:
        """Raise NotImplementedError: the size depends on the pixels."""
        raise NotImplementedError


def _bounds(
    selection: "SelectorTuple", shape: tuple[int, ...], before: int
) -> tuple[list[slice], "SelectorTuple"]:
    """Return the box of a chunk that holds all that is selected, and the selection within the box.

    Only on the axes before those of an image has the box steps; nothing in it is without pixels.
    """
    box = [slice(0, side) for side in shape]
    if not isinstance(selection, tuple):
        return box, selection
    simple = [selector for selector in selection if isinstance(selector, int | slice)]
    if len(simple) < len(selection):
        return box, selection  # arrays of indices: the box is the whole chunk
    within = simple.copy()
    for axis, (selector, side) in enumerate(zip(simple, shape, strict=False)):
        picked = range(*selector.indices(side)) if isinstance(selector, slice) else range(0)
        if isinstance(selector, int):
            box[axis], within[axis] = slice(selector, selector + 1), 0
        elif picked and axis < before:
            box[axis], within[axis] = selector, slice(None)
        elif picked and picked.step > 0:
            box[axis] = slice(picked[0], picked[-1] + 1)
            within[axis] = slice(None, None, picked.step)
    return box, tuple(within)


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UnsupportedImageError(
            f"an array of {dtype}; uint8 and uint16 can be compressed, convert it"
        )
